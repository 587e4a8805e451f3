"""Routers: for every frame, which experts of the shared pool a task listens to.

N frames, W the width a router sees, E experts, k experts chosen a frame.

References: Sparse MERIT (arXiv 2509.08470); Switch Transformer (arXiv 2101.03961); ST-MoE
(arXiv 2202.08906); straight-through estimator (arXiv 1308.3432).
"""

from typing import NamedTuple

import torch
from torch import nn

from speechbrain_merit.errors import SettingsError
from speechbrain_merit.lobes.frames import project
from speechbrain_merit.lobes.precision import wide, wide_dtype

#: What each mode does with the probabilities p of a frame; the comment says where gradient flows.
MODES = {
    "straight_through": "chosen weight 1 + p - stopgrad(p): one-hot forward, gradient by chosen p",
    "switch": "chosen weight p: output scaled by its probability",
    "dense": "every expert, weight p",
    "hard": "chosen weight 1, no gradient: the released code, for its checkpoints",
    "random": "as hard, from a router that stays as it was initialised: a control",
    "uniform": "every expert, weight 1 / E: a control",
}
UNTRAINED = ("hard", "random", "uniform")  # no gradient of any loss reaches these routers


class Routing(NamedTuple):
    """The decision of one router.

    ``logits`` (…, E) in float32; ``experts`` (…, k) that were chosen; ``weights`` (…, k) of these.
    """

    logits: torch.Tensor
    experts: torch.Tensor
    weights: torch.Tensor


class Router(nn.Module):
    """One linear layer, a float32 softmax and a rule.

    Arguments
    ---------
    width : int
        Width W of a frame.
    n_experts : int
        Number of experts E.
    mode : str
        One of ``MODES``.
    top_k : int
        Experts a frame in the sparse modes; their outputs are averaged (``switch``: summed under
        their probabilities).
    jitter : float
        Half-width of the multiplicative noise on the input, in training only (Switch: 0.01).

    Raises
    ------
    SettingsError
        Unknown mode, or k outside 1 … E.

    Example
    -------
    >>> router = Router(width=8, n_experts=3)
    >>> routing = router(torch.randn(5, 8))
    >>> routing.logits.shape, routing.experts.shape, routing.weights.flatten().tolist()
    (torch.Size([5, 3]), torch.Size([5, 1]), [1.0, 1.0, 1.0, 1.0, 1.0])
    """

    def __init__(self, width, n_experts, mode="straight_through", top_k=1, jitter=0.0):
        super().__init__()
        if mode not in MODES:
            raise SettingsError(f"Unknown routing {mode!r}: choose one of {', '.join(MODES)}.")
        if not 1 <= top_k <= n_experts:
            raise SettingsError(
                f"top_k is {top_k}; it must lie between 1 and n_experts={n_experts}."
            )
        self.fc = nn.Linear(width, n_experts)
        self.mode, self.top_k, self.jitter = mode, top_k, jitter
        if mode in UNTRAINED:
            self.fc.requires_grad_(False)

    def forward(self, frames):
        """Routes frames (N, W), a tensor or NormalisedFrames."""
        if self.training and self.jitter > 0:  # needs the frames themselves
            frames = frames if isinstance(frames, torch.Tensor) else frames.tensor()
            frames = frames * torch.empty_like(frames).uniform_(1 - self.jitter, 1 + self.jitter)
        return self.decide(float_logits(self.fc, frames))

    def decide(self, logits):
        """The :class:`Routing` of logits (N, E) in float32."""
        probabilities = logits.softmax(dim=-1)
        if self.mode in ("dense", "uniform"):
            experts = torch.arange(logits.shape[-1], device=logits.device).expand(logits.shape)
            uniform = torch.full_like(probabilities, 1 / logits.shape[-1])
            return Routing(logits, experts, probabilities if self.mode == "dense" else uniform)
        chosen, experts = probabilities.topk(self.top_k, dim=-1)
        if self.mode == "switch":
            return Routing(logits, experts, chosen)
        weights = torch.ones_like(chosen)
        if self.mode == "straight_through":
            weights = weights + (chosen - chosen.detach())
        return Routing(logits, experts, weights / self.top_k)


def route(routers, frames):
    """Routes frames for several tasks, which hear them in one product.

    Arguments
    ---------
    routers : dict
        Task → :class:`Router` over the same frames and number of experts.
    frames : torch.Tensor or NormalisedFrames
        Frames (N, W).

    Returns
    -------
    dict
        Task → :class:`Routing`.

    Example
    -------
    >>> routers = {"se": Router(8, 3), "ser": Router(8, 3)}
    >>> {task: routing.logits.shape for task, routing in route(routers, torch.randn(5, 8)).items()}
    {'se': torch.Size([5, 3]), 'ser': torch.Size([5, 3])}
    """
    if any(router.training and router.jitter > 0 for router in routers.values()):
        return {task: router(frames) for task, router in routers.items()}  # each has its own noise
    layers = [router.fc for router in routers.values()]
    together = Together(*(torch.cat([getattr(fc, n) for fc in layers]) for n in ("weight", "bias")))
    parts = float_logits(together, frames).chunk(len(layers), dim=-1)
    return {task: router.decide(part) for (task, router), part in zip(routers.items(), parts)}


class Together(NamedTuple):
    """Several linear layers as one: ``weight`` (K · E, W) and ``bias`` (K · E)."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __call__(self, frames):
        """(N, W) to (N, K · E)."""
        return nn.functional.linear(frames, self.weight, self.bias)


def float_logits(layer, frames):
    """A router's linear layer in float32, whatever autocast says: or near ties flip."""
    with torch.autocast(layer.weight.device.type, enabled=False):
        if isinstance(frames, torch.Tensor):
            frames = wide(frames)
        return wide(project(layer, frames, wide_dtype(layer.weight.dtype)))
