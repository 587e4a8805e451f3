"""The frames that routers and experts see: every layer's LayerNorm, concatenated, never stored.

At the paper's size a frame is 25 · 1024 = 25 600 wide. The first linear layer of a router or an
expert over such a frame is a sum of per-layer products, y = Σ_l LN_l(h_l) W_lᵀ + b, so the
concatenation is built a few layers at a time, in forward and again in backward, and training keeps
nothing but the hidden states, which are there anyway.

L hidden states, M frames with padding, N frames chosen, D width, W = L · D.
"""

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import layer_norm

from speechbrain_merit.lobes.precision import wide, wide_dtype

#: Layers of the concatenation that are built at once: enough for a matrix product at full speed
#: (benchmarks/experts.py), a fifth of the memory at the paper's 25.
LAYERS_AT_ONCE = 5
ROWS_AT_ONCE = 64  # of a weight in an elementwise step


class NormalisedLinear(torch.autograd.Function):
    """Σ_l LN_l(h_l[rows]) W_lᵀ: LayerNorm, selection, concatenation and product in one.

    The gradient of γ and β needs no product of its own. With x̂ the frames before γ and β, and
    G = dyᵀ x̂, the gradients are dW = G γ + (Σ dy) βᵀ, dγ = Σ_h W G and dβ = Wᵀ Σ dy. While the
    encoder is frozen this spares dy W, a third of a training step.
    """

    @staticmethod
    def forward(ctx, hidden, rows, gamma, beta, weight, eps, dtype):
        """Hidden states (L, M, D), rows (N), γ and β (L, D), weight (out, W) to (N, out)."""
        ctx.save_for_backward(hidden, rows, gamma, beta, weight)
        ctx.eps, ctx.dtype = eps, dtype
        count = hidden.shape[1] if rows is None else len(rows)
        total = torch.zeros(count, len(weight), device=hidden.device, dtype=wide_dtype(dtype))
        for layers, columns in groups(*hidden.shape[::2]):
            frames = [
                layer_norm(states, states.shape[-1:], wide(g), wide(b), eps)
                for states, g, b in zip(chosen(hidden[layers], rows), gamma[layers], beta[layers])
            ]
            frames = torch.cat([f.to(dtype) for f in frames], dim=-1)
            columns = weight[:, columns].to(dtype)
            if dtype == total.dtype:
                total.addmm_(frames, columns.T)
            else:  # sums stay in float32
                total += frames @ columns.T
        return total.to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        """The gradients, the frames built again."""
        hidden, rows, gamma, beta, weight = ctx.saved_tensors
        needs_hidden, _, needs_gamma, _, needs_weight = ctx.needs_input_grad[:5]
        dy, total = dy.to(ctx.dtype), wide(dy).sum(dim=0)
        d_hidden = torch.zeros_like(hidden) if needs_hidden else None
        d_gamma, d_beta = torch.zeros_like(gamma), torch.zeros_like(beta)
        d_weight = torch.empty_like(weight) if needs_weight else None
        for layers, columns in groups(*hidden.shape[::2]):
            states, mean, deviation = standardise(hidden[layers], rows, ctx.eps)
            part, shape = weight[:, columns], gamma[layers].shape
            d_beta[layers] = (total.to(weight.dtype) @ part).view(shape)
            if needs_hidden:
                pulled = wide(dy @ part.to(ctx.dtype)).view(-1, *shape).transpose(0, 1)
                d_gamma[layers] = (pulled * states).sum(dim=1)
                pulled = layer_norm_backward(
                    pulled * gamma[layers, None], hidden[layers], rows, mean, deviation
                )
                where = slice(None) if rows is None else rows
                d_hidden[layers, where] = pulled.to(d_hidden.dtype)
            if needs_weight or (needs_gamma and not needs_hidden):
                product = part.new_empty(part.shape) if d_weight is None else d_weight[:, columns]
                multiply(dy.T, concatenate(states).to(ctx.dtype), product)
                if not needs_hidden:
                    d_gamma[layers] = column_products(part, product).view(shape)
            if needs_weight:
                scale_and_shift(product, total, gamma[layers].flatten(), beta[layers].flatten())
        return d_hidden, None, d_gamma, d_beta, d_weight, None, None


def groups(n_hidden, width):
    """The layers and the columns of the concatenation that are built at once, group by group."""
    for start in range(0, n_hidden, LAYERS_AT_ONCE):
        layers = slice(start, min(start + LAYERS_AT_ONCE, n_hidden))
        yield layers, slice(layers.start * width, layers.stop * width)


def multiply(left, right, result):
    """The product of two matrices into a third, of another type if need be."""
    if left.dtype == result.dtype:
        torch.mm(left, right, out=result)
    else:
        result.copy_(left @ right)


def column_products(left, right):
    """The sum over rows of two matrices' products, in pieces that stay in the cache."""
    pieces = zip(left.split(ROWS_AT_ONCE), right.split(ROWS_AT_ONCE))
    return sum((one * other).sum(dim=0) for one, other in pieces)


def scale_and_shift(product, total, gamma, beta):
    """From G to G γ + (Σ dy) βᵀ in place, in pieces that stay in the cache."""
    for rows, sums in zip(product.split(ROWS_AT_ONCE), total.split(ROWS_AT_ONCE)):
        rows.mul_(gamma).addr_(sums.to(rows.dtype), beta)


def chosen(hidden, rows):
    """The chosen frames (l, N, D) of hidden states (l, M, D) in float32; all without ``rows``."""
    return wide(hidden if rows is None else hidden[:, rows])


def standardise(hidden, rows, eps):
    """The chosen frames (l, N, D) of mean 0 and variance 1 in float32; mean, 1 / deviation."""
    states = chosen(hidden, rows)
    return torch.native_layer_norm(states, states.shape[-1:], None, None, eps)


def layer_norm_backward(gradient, hidden, rows, mean, deviation):
    """The gradient (l, N, D) of :func:`standardise`."""
    states = chosen(hidden, rows)
    return torch.ops.aten.native_layer_norm_backward(
        gradient, states, states.shape[-1:], mean, deviation, None, None, [True, False, False]
    )[0]


def concatenate(states):
    """Layers (l, N, D) side by side: (N, l · D)."""
    return states.transpose(0, 1).flatten(1)


class NormalisedFrames:
    """Frames (N, W) over hidden states, to be indexed and projected like a tensor.

    Arguments
    ---------
    hidden : torch.Tensor
        Hidden states (L, M, D), padding included.
    norms : nn.ModuleList
        A LayerNorm for each of the L hidden states.
    rows : torch.Tensor, optional
        Indices (N) of the frames that are meant, into M, each once; all of them unless given.

    Example
    -------
    >>> from torch import nn
    >>> norms = nn.ModuleList(nn.LayerNorm(8) for _ in range(3))
    >>> frames = NormalisedFrames(torch.randn(3, 10, 8), norms, torch.arange(6))
    >>> len(frames[torch.tensor([5, 0])]), frames.tensor().shape
    (2, torch.Size([6, 24]))
    >>> project(nn.Linear(24, 4), frames).shape
    torch.Size([6, 4])
    """

    def __init__(self, hidden, norms, rows=None):
        self.hidden, self.norms, self.rows = hidden, norms, rows

    def __len__(self):
        """The number N of frames that are meant."""
        return self.hidden.shape[1] if self.rows is None else len(self.rows)

    def __getitem__(self, rows):
        """A choice of these frames; nothing is copied."""
        rows = rows if self.rows is None else self.rows[rows]
        return NormalisedFrames(self.hidden, self.norms, rows)

    def affine(self):
        """The LayerNorms' γ and β, each (L, D), and their ε."""
        gamma = torch.stack([norm.weight for norm in self.norms])
        beta = torch.stack([norm.bias for norm in self.norms])
        return gamma, beta, self.norms[0].eps

    def tensor(self):
        """The frames themselves (N, W)."""
        states = zip(self.norms, chosen(self.hidden, self.rows))
        return torch.cat([norm(state) for norm, state in states], dim=-1)

    def project(self, layer, dtype):
        """What the linear ``layer`` makes of the frames: (N, out)."""
        gamma, beta, eps = self.affine()
        with torch.autocast(self.hidden.device.type, enabled=False):
            result = NormalisedLinear.apply(
                self.hidden, self.rows, gamma, beta, layer.weight, eps, dtype
            )
            scale = getattr(layer, "scale", None)  # of int8 weights
            result = result if scale is None else result * scale.to(dtype)
            return result if layer.bias is None else result + layer.bias.to(dtype)


def project(layer, frames, dtype=None):
    """A linear layer over frames (N, W), a tensor or :class:`NormalisedFrames`.

    Arguments
    ---------
    layer : nn.Linear
        The layer.
    frames : torch.Tensor or NormalisedFrames
        Its input.
    dtype : torch.dtype, optional
        Of the product; autocast's where that is on, else that of the weights.

    Returns
    -------
    torch.Tensor
        (N, out).

    Example
    -------
    >>> project(torch.nn.Linear(8, 4), torch.randn(6, 8)).shape
    torch.Size([6, 4])
    """
    if isinstance(frames, torch.Tensor):
        return layer(frames)
    device = frames.hidden.device.type
    if dtype is None:
        dtype = getattr(layer, "scale", layer.weight).dtype
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else dtype
    return frames.project(layer, dtype)
