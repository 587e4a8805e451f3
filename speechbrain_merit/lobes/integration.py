"""From the encoder's layers to each task's frames: mixture of experts, or a weighted sum.

L hidden states, B batch, T frames, D width, D' output width, E experts. Every integration has the
same signature, so that a comparison of systems compares this step alone.
"""

from typing import NamedTuple

import torch
from torch import nn

from speechbrain_merit.lobes.experts import ExpertPool
from speechbrain_merit.lobes.frames import NormalisedFrames
from speechbrain_merit.lobes.routing import Router, Routing, route
from speechbrain_merit.lobes.spectrum import frame_mask

TASKS = ("se", "ser")
MIN_VARIANCE = 1e-6  # of a feature over the data; a constant one would be divided by zero


class Integrated(NamedTuple):
    """What an integration returns.

    ``se`` and ``ser`` are (B, T, D') or None where the task was not asked for; ``routing`` maps a
    task to its :class:`Routing` over (B, T, …), empty where nothing is routed; padding is zero.
    """

    se: torch.Tensor | None
    ser: torch.Tensor | None
    routing: dict


def scatter(values, valid):
    """Puts values (N, …) of the valid frames back into (B, T, …), zeros elsewhere."""
    result = values.new_zeros(*valid.shape, *values.shape[1:])
    result[valid] = values
    return result


class Integration(nn.Module):
    """What the integrations share: a LayerNorm for each hidden state, and its start.

    Arguments
    ---------
    n_hidden : int
        Number of hidden states L.
    width : int
        Width D of a hidden state.
    """

    def __init__(self, n_hidden, width):
        super().__init__()
        self.layer_norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(n_hidden))

    @torch.no_grad()
    def standardise(self, batches):
        """Starts every LayerNorm so that each feature has mean 0 and variance 1 over the data.

        A LayerNorm equalises the features of one frame, not one feature over frames: in a
        pretrained encoder most of them hardly move around a large mean, and heads that start from
        such input learn slowly. The affine part takes the data's statistics up, and trains on.

        Arguments
        ---------
        batches : iterable
            Pairs of hidden states (L, B, T, D) and relative lengths (B) or None.
        """
        count, total, square = 0, 0.0, 0.0
        for hidden, lengths in batches:
            valid = frame_mask(lengths, *hidden.shape[1:3], device=hidden.device)
            states = nn.functional.layer_norm(hidden[:, valid].double(), hidden.shape[-1:])
            count += states.shape[1]
            total = total + states.sum(dim=1)
            square = square + states.square().sum(dim=1)
        mean = total / count
        deviation = (square / count - mean**2).clamp(min=MIN_VARIANCE).sqrt()
        for norm, m, d in zip(self.layer_norms, mean, deviation):
            norm.weight.copy_(1 / d)
            norm.bias.copy_(-m / d)


class MixtureOfExperts(Integration):
    """Sparse MERIT: a LayerNorm for each layer, concatenation, a router a task, shared experts.

    Arguments
    ---------
    n_hidden : int
        Number of hidden states L.
    width : int
        Width D of a hidden state.
    n_experts : int
        Number of experts E in the pool that both tasks share.
    routing : str
        A mode of :mod:`speechbrain_merit.lobes.routing`; ``dense`` makes it Dense MERIT.
    expert_hidden : int, optional
        Hidden width of an expert; 4 · D unless given, as in the paper.
    out : int, optional
        Output width D'; D unless given.
    top_k : int
        Experts a frame.
    jitter : float
        Router jitter in training.
    expert_rank : int, optional
        Rank of the experts' first linear layer, for small machines; full unless given.

    Example
    -------
    >>> mixture = MixtureOfExperts(n_hidden=3, width=8)
    >>> integrated = mixture(torch.randn(3, 2, 10, 8), torch.tensor([1.0, 0.5]))
    >>> integrated.se.shape, integrated.routing["ser"].experts.shape
    (torch.Size([2, 10, 8]), torch.Size([2, 10, 1]))
    """

    def __init__(
        self,
        n_hidden,
        width,
        n_experts=3,
        routing="straight_through",
        expert_hidden=None,
        out=None,
        top_k=1,
        jitter=0.0,
        expert_rank=None,
    ):
        super().__init__(n_hidden, width)
        self.out = out or width
        total = n_hidden * width
        self.routers = nn.ModuleDict(
            {task: Router(total, n_experts, routing, top_k, jitter) for task in TASKS}
        )
        hidden = expert_hidden or 4 * width
        self.config = {
            "n_hidden": n_hidden,
            "width": width,
            "n_experts": n_experts,
            "routing": routing,
            "expert_hidden": hidden,
            "out": self.out,
            "top_k": top_k,
            "jitter": jitter,
            "expert_rank": expert_rank,
        }
        self.pool = ExpertPool(total, hidden, self.out, n_experts, expert_rank)

    def factorise(self, rank):
        """Replaces the experts by smaller ones of a rank, see :meth:`Expert.factorised`."""
        self.pool.factorise(rank)
        self.config["expert_rank"] = rank
        return self

    def forward(self, hidden, lengths=None, tasks=TASKS):
        """Integrates hidden states (L, B, T, D); only the ``tasks`` asked for are computed."""
        valid = frame_mask(lengths, *hidden.shape[1:3], device=hidden.device)
        rows = valid.flatten().nonzero().squeeze(1)  # padding reaches no router and no expert
        rows = rows if len(rows) < valid.numel() else None
        frames = NormalisedFrames(hidden.flatten(1, 2), self.layer_norms, rows)
        routing = route({task: self.routers[task] for task in tasks}, frames)
        outputs = self.pool(frames, routing)
        outputs = {task: scatter(output, valid) for task, output in outputs.items()}
        routing = {
            task: Routing(*(scatter(value, valid) for value in r)) for task, r in routing.items()
        }
        return Integrated(outputs.get("se"), outputs.get("ser"), routing)


class WeightedSum(Integration):
    """One learnt weighted sum of all layers for each task: the naive multi-task system.

    Arguments
    ---------
    n_hidden : int
        Number of hidden states L.
    width : int
        Width D of a hidden state, and of the output.

    Example
    -------
    >>> weighted = WeightedSum(n_hidden=3, width=8)
    >>> integrated = weighted(torch.randn(3, 2, 10, 8))
    >>> integrated.se.shape, integrated.routing
    (torch.Size([2, 10, 8]), {})
    """

    def __init__(self, n_hidden, width):
        super().__init__(n_hidden, width)
        self.config = {"n_hidden": n_hidden, "width": width}
        self.out = width
        self.weights = nn.ParameterDict(
            {task: nn.Parameter(torch.zeros(n_hidden)) for task in TASKS}
        )

    def forward(self, hidden, lengths=None, tasks=TASKS):
        """Integrates hidden states (L, B, T, D); only the ``tasks`` asked for are computed."""
        valid = frame_mask(lengths, *hidden.shape[1:3], device=hidden.device)
        states = torch.stack([norm(state) for norm, state in zip(self.layer_norms, hidden)])
        outputs = {
            task: torch.einsum("l,lbtd->btd", self.weights[task].softmax(dim=0), states)
            * valid.unsqueeze(-1)
            for task in tasks
        }
        return Integrated(outputs.get("se"), outputs.get("ser"), {})
