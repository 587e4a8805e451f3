"""The terms of the loss but the enhancement head's: emotion, attributes, load balance, router z.

B batch, A attributes, T encoder frames, E experts. Padding counts in none of them.
"""

import torch
from torch.nn import functional

from speechbrain_merit.measures import concordance_parts

MIN_SPREAD = 1e-8  # of ratings in a batch: all the same, and the concordance is 0 / 0


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
        1 - concordance(t[r], p[r])
        for p, t, r in zip(predicted.T, target.T, rated.T)
        if int(r.sum()) > 1
    ]
    return torch.stack(losses).mean() if losses else predicted.sum() * 0.0


def concordance(truth, predicted):
    """Concordance correlation coefficient of two series (N), with a gradient everywhere."""
    agreement, spread = concordance_parts(truth, predicted)
    return agreement / spread.clamp(min=MIN_SPREAD)


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
