"""The terms of the loss but the enhancement head's: emotion, attributes, load balance, router z.

B batch, A attributes, T encoder frames, E experts. Padding counts in none of them. ``total`` is the
sum of a tensor over all processes of a run: each term is that of their joint batch.
"""

import torch
from torch.nn import functional

from speechbrain_merit.labels import NO_LABEL
from speechbrain_merit.lobes.objectives import alone, ratio
from speechbrain_merit.lobes.precision import wide
from speechbrain_merit.measures import concordance_parts

MIN_SPREAD = 1e-8  # of ratings in a batch: all the same, and the concordance is 0 / 0


def emotion_loss(logits, target, weight=None, label_smoothing=0.0, total=alone):
    """Cross-entropy of logits (B, classes) and labels (B); torch's weighted mean.

    An utterance without a label, `NO_LABEL`, is left out; without any label the loss is 0.

    Example
    -------
    >>> emotion_loss(torch.zeros(2, 4), torch.tensor([0, 3]))
    tensor(1.3863)
    """
    logits = wide(logits)
    weight = logits.new_ones(logits.shape[-1]) if weight is None else weight.to(logits.dtype)
    options = {"label_smoothing": label_smoothing, "ignore_index": NO_LABEL, "reduction": "sum"}
    loss = functional.cross_entropy(logits, target, weight=weight, **options)
    known = target != NO_LABEL
    return ratio(loss, (weight[target.clamp(min=0)] * known).sum(), total)


def attribute_loss(predicted, target, total=alone):
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
    predicted, rated = wide(predicted), torch.isfinite(target)
    truth = target.to(predicted.dtype).nan_to_num()
    count = total(rated.sum(dim=0).to(predicted.dtype))

    def mean(values):
        return total((values * rated).sum(dim=0)) / count.clamp(min=1)

    agreement, spread = concordance_parts(truth, predicted, mean)
    losses = 1 - agreement / spread.clamp(min=MIN_SPREAD)
    said = count > 1
    return (losses * said).sum() / said.sum().clamp(min=1)


def load_balance_loss(routing, frames, total=alone):
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
    use = functional.one_hot(chosen, n_experts).to(logits.dtype).mean(dim=1).sum(dim=0)
    mass = logits.softmax(dim=-1).sum(dim=0)
    use, mass, count = total(torch.stack([use, mass, torch.full_like(use, len(logits))]))
    return n_experts * (use / count * mass / count).sum()


def router_z_loss(routing, frames, total=alone):
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
    return ratio(routing.logits[frames].logsumexp(dim=-1).square().sum(), frames.sum(), total)
