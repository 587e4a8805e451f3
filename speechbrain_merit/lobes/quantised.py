"""Weights in int8 for inference on a CPU: a quarter of the memory, the arithmetic in float.

One scale an output channel, symmetric: w ≈ scale · q, q in −127 … 127. Activations stay float, so
nothing has to be calibrated. T. Dettmers et al., https://arxiv.org/abs/2208.07339, describe the
scheme (there with activations in int8 too).
"""

import torch
from torch import nn

LARGEST = 127  # of a symmetric int8
#: Where a layer's weight is read by others than the layer itself, or must stay exact: routers
#: compare near ties, and WavLM's attention hands its weights to torch's own function.
KEPT = ("Router", "WavLMAttention")


class Int8Linear(nn.Module):
    """A linear layer with its weight (out, in) in int8 and a scale (out) in float32.

    Arguments
    ---------
    width : int
        Input width.
    out : int
        Output width.
    bias : bool
        Whether there is a bias.

    Example
    -------
    >>> layer = nn.Linear(64, 8)
    >>> small = Int8Linear.of(layer)
    >>> frames = torch.randn(5, 64)
    >>> bool((small(frames) - layer(frames)).abs().max() < 0.02)
    True
    """

    def __init__(self, width, out, bias=True):
        super().__init__()
        self.register_buffer("weight", torch.zeros(out, width, dtype=torch.int8))
        self.register_buffer("scale", torch.ones(out))
        self.register_buffer("bias", torch.zeros(out) if bias else None)

    @classmethod
    @torch.no_grad()
    def of(cls, layer):
        """The int8 form of a ``nn.Linear``."""
        small = cls(layer.in_features, layer.out_features, layer.bias is not None)
        weight = layer.weight.float()
        small.scale = weight.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny) / LARGEST
        small.weight = (weight / small.scale.unsqueeze(1)).round().to(torch.int8)
        if layer.bias is not None:
            small.bias = layer.bias.detach().float().clone()
        return small

    def forward(self, frames):
        """(…, in) to (…, out), in the type of the input."""
        if frames.dtype == torch.float16:  # sums of up to 127 times each would leave its range
            weight = (self.weight * self.scale.unsqueeze(1)).to(frames.dtype)
            result = nn.functional.linear(frames, weight)
        else:
            result = nn.functional.linear(frames, self.weight.to(frames.dtype)) * self.scale
        return (result if self.bias is None else result + self.bias).to(frames.dtype)


def quantise(module, replace=Int8Linear.of):
    """Puts :class:`Int8Linear` in the place of every ``nn.Linear`` in a module.

    Arguments
    ---------
    module : nn.Module
        Changed in place; for inference only from then on.
    replace : callable
        What makes the new layer of the old one; an empty one of its size loads a state dict of
        int8 weights: ``lambda layer: Int8Linear(layer.in_features, layer.out_features)``.

    Returns
    -------
    nn.Module
        The module.

    Example
    -------
    >>> quantise(nn.Sequential(nn.Linear(4, 3), nn.ReLU()))
    Sequential(
      (0): Int8Linear()
      (1): ReLU()
    )
    """
    for name, child in module.named_children():
        if type(child) is nn.Linear:
            setattr(module, name, replace(child))
        elif type(child).__name__ not in KEPT:
            quantise(child, replace)
    return module
