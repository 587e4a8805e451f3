"""The pool of experts that all tasks share, computed only where a task asked for it.

Each (frame, expert) pair is computed once, for whichever tasks chose it; a frame that no task sent
to an expert never reaches it.
"""

import torch
from torch import nn


class Expert(nn.Sequential):
    """Linear → ReLU → Linear, the paper's expert (25600 → 4096 → 1024).

    Example
    -------
    >>> Expert(8, 16, 4)(torch.randn(5, 8)).shape
    torch.Size([5, 4])
    """

    def __init__(self, width, hidden, out):
        super().__init__(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, out))


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

    Example
    -------
    >>> from speechbrain_merit.lobes.routing import Router
    >>> frames, pool = torch.randn(7, 8), ExpertPool(8, 16, 4, n_experts=3)
    >>> outputs = pool(frames, {"se": Router(8, 3)(frames), "ser": Router(8, 3)(frames)})
    >>> outputs["se"].shape, outputs["ser"].shape
    (torch.Size([7, 4]), torch.Size([7, 4]))
    """

    def __init__(self, width, hidden, out, n_experts):
        super().__init__()
        self.out = out
        self.experts = nn.ModuleList(Expert(width, hidden, out) for _ in range(n_experts))

    def forward(self, frames, routings):
        """Sums, for each task, the outputs of the experts it chose under their weights.

        Arguments
        ---------
        frames : torch.Tensor
            Frames (N, W), without padding.
        routings : dict
            Task → :class:`~speechbrain_merit.lobes.routing.Routing` over the same N frames.

        Returns
        -------
        dict
            Task → (N, D').
        """
        sums = {}
        for index, expert in enumerate(self.experts):
            # (N) weight of this expert for each task, and whether any task wants it
            chose = {task: routing.experts == index for task, routing in routings.items()}
            wanted = torch.stack([c.any(dim=-1) for c in chose.values()]).any(dim=0)
            rows = wanted.nonzero().squeeze(1)
            if len(rows) == 0:
                continue
            output = expert(frames[rows])
            for task, routing in routings.items():
                weight = (routing.weights * chose[task]).sum(dim=-1)[rows]
                total = sums.get(task)
                if total is None:
                    total = output.new_zeros(len(frames), self.out)
                sums[task] = total.index_add(0, rows, output * weight.unsqueeze(1).to(output.dtype))
        return {task: sums.get(task, frames.new_zeros(len(frames), self.out)) for task in routings}
