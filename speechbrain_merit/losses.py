"""The terms of the loss: emotion, attributes, enhancement, load balance and router z.

B batch, A attributes, N spectral frames, F bins, T encoder frames, E experts. Padding counts in
none of them.
"""

import torch
from speechbrain.nnet.losses import l1_loss
from torch.nn import functional

MIN_SPREAD = 1e-8  # of ratings in a batch: all the same, and the concordance is 0 / 0


def class_weights(counts):
    """Weight N / (C · N_c) of each class c, from its number of utterances.

    Raises
    ------
    ValueError
        A class has no utterance.

    Example
    -------
    >>> class_weights([2, 1, 1])
    tensor([0.6667, 1.3333, 1.3333])
    """
    counts = torch.as_tensor(counts, dtype=torch.float32)
    if (counts == 0).any():
        raise ValueError(f"A class has no training utterance (utterances: {counts.tolist()}).")
    return counts.sum() / (len(counts) * counts)


def emotion_loss(logits, target, weight=None, label_smoothing=0.0):
    """Cross-entropy of logits (B, classes) and labels (B); torch's weighted mean.

    Example
    -------
    >>> emotion_loss(torch.zeros(2, 4), torch.tensor([0, 3]))
    tensor(1.3863)
    """
    return functional.cross_entropy(
        logits.float(), target, weight=weight, label_smoothing=label_smoothing
    )


def attribute_loss(predicted, target):
    """1 − concordance correlation over the batch, mean over the attributes that are rated in it.

    Concordance: L. Lin, Biometrics 1989. A batch in which an attribute is rated fewer than twice
    says nothing about it; without any, the loss is 0.

    Arguments
    ---------
    predicted : torch.Tensor
        Values (B, A).
    target : torch.Tensor
        Values (B, A) in 0 … 1, NaN where nobody rated.

    Example
    -------
    >>> ratings = torch.tensor([[0.1, 0.9], [0.8, float("nan")]])
    >>> attribute_loss(ratings.nan_to_num(), ratings)
    tensor(0.)
    """
    predicted, rated = predicted.float(), torch.isfinite(target)
    losses = [
        1 - concordance(p[r], t[r])
        for p, t, r in zip(predicted.T, target.T, rated.T)
        if int(r.sum()) > 1
    ]
    return torch.stack(losses).mean() if losses else predicted.sum() * 0.0


def concordance(predicted, target):
    """Concordance correlation coefficient of two series (N)."""
    gap = predicted.mean() - target.mean()
    variances = predicted.var(correction=0) + target.var(correction=0)
    covariance = ((predicted - predicted.mean()) * (target - target.mean())).mean()
    return 2 * covariance / (variances + gap**2).clamp(min=MIN_SPREAD)


def enhancement_loss(estimate, clean, lengths=None):
    """Mean absolute error of log1p magnitudes (B, N, F) over true frames.

    Example
    -------
    >>> enhancement_loss(torch.zeros(1, 5, 201), torch.ones(1, 5, 201))
    tensor(1.)
    """
    if lengths is None:
        lengths = torch.ones(len(estimate), device=estimate.device)
    return l1_loss(estimate.float(), clean, lengths)


def si_sdr(estimate, clean, lengths=None):
    """Scale-invariant signal-to-distortion ratio in dB (B) of waves (B, S); padding must be zero.

    Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019 (without mean removal).

    Example
    -------
    >>> clean = torch.tensor([[1.0, 0.0]])
    >>> si_sdr(torch.tensor([[2.0, 0.2]]), clean)
    tensor([20.0000])
    """
    estimate, clean = estimate.float(), clean.float()
    tiny = torch.finfo(torch.float32).eps
    scale = (estimate * clean).sum(-1, keepdim=True) / (clean.square().sum(-1, keepdim=True) + tiny)
    target = scale * clean
    error = (estimate - target).square().sum(-1)
    return 10 * torch.log10((target.square().sum(-1) + tiny) / (error + tiny))


def load_balance_loss(routing, frames):
    """Switch Transformer's balance loss, E · Σ f_e · P_e, over true frames; 1 at uniform use.

    Fedus et al., 2021 (arXiv 2101.03961), equation 4. f_e is the share of choices that fell on
    expert e, P_e its mean probability; the gradient flows through P.

    Arguments
    ---------
    routing : Routing
        Over (B, T, …).
    frames : torch.Tensor
        (B, T), True where a frame is no padding.

    Example
    -------
    >>> from speechbrain_merit.lobes.routing import Routing
    >>> routing = Routing(torch.zeros(1, 2, 2), torch.tensor([[[0], [1]]]), torch.ones(1, 2, 1))
    >>> load_balance_loss(routing, torch.ones(1, 2, dtype=torch.bool))
    tensor(1.)
    """
    logits, chosen = routing.logits[frames], routing.experts[frames]
    n_experts = logits.shape[-1]
    share = functional.one_hot(chosen, n_experts).float().mean(dim=(0, 1))
    return n_experts * (share * logits.softmax(dim=-1).mean(dim=0)).sum()


def router_z_loss(routing, frames):
    """ST-MoE's z-loss, the mean squared log-sum-exp of the logits over true frames.

    Zoph et al., 2022 (arXiv 2202.08906), equation 5: keeps logits small, so that a softmax in low
    precision stays exact.

    Example
    -------
    >>> from speechbrain_merit.lobes.routing import Routing
    >>> routing = Routing(torch.zeros(1, 2, 2), torch.zeros(1, 2, 1), torch.ones(1, 2, 1))
    >>> router_z_loss(routing, torch.ones(1, 2, dtype=torch.bool))
    tensor(0.4805)
    """
    return routing.logits[frames].logsumexp(dim=-1).square().mean()
