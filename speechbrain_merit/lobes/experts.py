"""The pool of experts that all tasks share, computed only where a task asked for it.

Each (frame, expert) pair is computed once, for whichever tasks chose it; a frame that no task sent
to an expert never reaches it.
"""

import torch
from torch import nn

from speechbrain_merit.lobes.frames import project


class Expert(nn.Sequential):
    """Linear → ReLU → Linear, the paper's expert (25600 → 4096 → 1024).

    Arguments
    ---------
    width : int
        Width W of a frame.
    hidden : int
        Hidden width.
    out : int
        Width D' of the output.
    rank : int, optional
        For small machines: the first linear becomes two, W → rank → hidden, of
        rank · (W + hidden) weights in place of W · hidden.

    Example
    -------
    >>> Expert(8, 16, 4)(torch.randn(5, 8)).shape
    torch.Size([5, 4])
    """

    def __init__(self, width, hidden, out, rank=None):
        first = [nn.Linear(width, hidden)]
        if rank is not None:
            first = [nn.Linear(width, rank, bias=False), nn.Linear(rank, hidden)]
        super().__init__(*first, nn.ReLU(), nn.Linear(hidden, out))

    def forward(self, frames):
        """Frames (N, W), a tensor or NormalisedFrames, to (N, D')."""
        first, *rest = self
        states = project(first, frames)
        for layer in rest:
            states = layer(states)
        return states

    @torch.no_grad()
    def factorised(self, rank):
        """A smaller expert of this trained one: its first layer's best approximation of a rank.

        Of an expert that is of low rank already, the best one of what its two layers make together.
        """
        *first, _, last = self
        weight = first[-1].weight if len(first) == 1 else first[1].weight @ first[0].weight
        left, sizes, right = torch.linalg.svd(weight, full_matrices=False)
        smaller = Expert(weight.shape[1], weight.shape[0], last.out_features, rank)
        smaller[0].weight.copy_(right[:rank])
        smaller[1].weight.copy_(left[:, :rank] * sizes[:rank])
        smaller[1].bias.copy_(first[-1].bias)
        smaller[-1].load_state_dict(last.state_dict())
        return smaller.to(weight.device)


class ExpertPool(nn.Module):
    """E experts and the dispatch of frames to them.

    Arguments
    ---------
    width : int
        Width W of a frame.
    hidden : int
        Hidden width of an expert.
    out : int
        Width D' of an expert's output.
    n_experts : int
        Number of experts E.
    rank : int, optional
        Rank of the experts' first linear layer; full unless given.

    Example
    -------
    >>> from speechbrain_merit.lobes.routing import Router
    >>> frames, pool = torch.randn(7, 8), ExpertPool(8, 16, 4, n_experts=3)
    >>> outputs = pool(frames, {"se": Router(8, 3)(frames), "ser": Router(8, 3)(frames)})
    >>> outputs["se"].shape, outputs["ser"].shape
    (torch.Size([7, 4]), torch.Size([7, 4]))
    """

    def __init__(self, width, hidden, out, n_experts, rank=None):
        super().__init__()
        self.out = out
        self.experts = nn.ModuleList(Expert(width, hidden, out, rank) for _ in range(n_experts))

    def forward(self, frames, routings):
        """Sums, for each task, the outputs of the experts it chose under their weights.

        Arguments
        ---------
        frames : torch.Tensor or NormalisedFrames
            Frames (N, W), without padding.
        routings : dict
            Task → :class:`~speechbrain_merit.lobes.routing.Routing` over the same N frames.

        Returns
        -------
        dict
            Task → (N, D').
        """
        shape = len(frames), len(self.experts)
        # task → (N, E): the weight of every expert for every frame, and whether it was chosen
        weights = {task: spread(r.weights, r.experts, shape) for task, r in routings.items()}
        chosen = {task: spread(True, r.experts, shape) for task, r in routings.items()}
        wanted = torch.stack(list(chosen.values())).any(dim=0)
        counts = wanted.sum(dim=0).tolist()  # with nonzero, the two waits for a GPU
        rows_of = wanted.T.nonzero()[:, 1].split(counts)
        sums = {}
        for index, (expert, rows) in enumerate(zip(self.experts, rows_of)):
            if len(rows) == 0:
                continue
            output = expert(frames[rows])
            for task in routings:
                if task not in sums:
                    sums[task] = output.new_zeros(len(frames), self.out)
                weight = weights[task][rows, index].unsqueeze(1).to(output.dtype)
                sums[task].index_add_(0, rows, output * weight)
        return sums

    def factorise(self, rank):
        """Replaces every expert by :meth:`Expert.factorised`; returns the pool."""
        self.experts = nn.ModuleList(expert.factorised(rank) for expert in self.experts)
        return self


def spread(values, experts, shape):
    """Values (N, k), or one for all, at the places (N, k) of the experts chosen: (N, E), else 0.

    Example
    -------
    >>> spread(torch.ones(2, 1), torch.tensor([[2], [0]]), (2, 3)).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    if isinstance(values, torch.Tensor):
        return values.new_zeros(shape).scatter(1, experts, values)
    return torch.zeros(shape, dtype=torch.bool, device=experts.device).scatter(1, experts, values)
