"""The keys of a released run, their shapes, and what each is called here.

One table says it all: for every key of a file the shape that it must have, and its name in
:class:`~speechbrain_merit.lobes.merit.Merit`. Read with unknown sizes, the table tells the sizes
from the tensors, each by what most of the tensors say; read with these, it tells which key is
missing or misshaped.
"""

import re
from collections import Counter
from dataclasses import dataclass, fields, replace

import torch

from speechbrain_merit.errors import ReleasedError
from speechbrain_merit.lobes.spectrum import N_BINS
from speechbrain_merit.released.files import FILES

LABELS = ("angry", "sad", "happy", "neutral")
STRIDES = (5, 2, 2, 2, 2, 2, 2)  # of the convolutions, as in every WavLM
KERNELS = (10, 3, 3, 3, 3, 2, 2)
POSITION_KERNEL = 128
N_BUCKETS, MAX_DISTANCE = 320, 800  # of the relative positions
GATE_WIDTH = 8  # outputs of the gate of the relative positions, two groups of four
LSTM_LAYERS = 2
#: What the released enhancement head holds and never uses.
UNUSED = re.compile(r"weights|layer_norm\.\d+\.(weight|bias)")
WEIGHT_NORM = {  # two spellings of torch for (magnitude, direction)
    "old": ("weight_g", "weight_v"),
    "new": ("parametrizations.weight.original0", "parametrizations.weight.original1"),
}


class Unknown(str):
    """A size that is still to be told; what is computed from it says nothing."""

    def nothing(self, other):
        """The result of any arithmetic."""
        return None

    __add__ = __radd__ = __mul__ = __rmul__ = __floordiv__ = nothing


@dataclass(frozen=True)
class Sizes:
    """All sizes of a released system; the first six are counts and facts, the rest widths."""

    n_layers: int
    n_experts: int
    strides: tuple = STRIDES
    n_buckets: int = N_BUCKETS
    max_distance: int = MAX_DISTANCE
    weight_norm: str = "old"
    width: int = Unknown("width")
    feed_forward: int = Unknown("feed_forward")
    heads: int = Unknown("heads")
    channels: tuple = ()
    kernels: tuple = ()
    position_kernel: int = Unknown("position_kernel")
    position_width: int = Unknown("position_width")
    expert_hidden: int = Unknown("expert_hidden")
    out: int = Unknown("out")
    emotion_hidden: int = Unknown("emotion_hidden")
    enhancement_hidden: int = Unknown("enhancement_hidden")

    @property
    def n_hidden(self):
        """Number of hidden states L: the input of the first layer, and each layer's output."""
        return self.n_layers + 1


def linear(theirs, ours, out, width):
    """The two rows of a linear layer: their key, its shape, our key."""
    return [
        (f"{theirs}.weight", (out, width), f"{ours}.weight"),
        (f"{theirs}.bias", (out,), f"{ours}.bias"),
    ]


def norm(theirs, ours, width):
    """The two rows of a LayerNorm."""
    return [(f"{theirs}.{kind}", (width,), f"{ours}.{kind}") for kind in ("weight", "bias")]


def encoder_rows(s):
    """``final_ssl.pt``: WavLM in Microsoft's names, in the form of the large one."""
    rows = [("mask_emb", (s.width,), "masked_spec_embed")]
    for i, (channels, kernel) in enumerate(zip(s.channels, s.kernels)):
        before = s.channels[i - 1] if i else 1
        theirs, ours = f"feature_extractor.conv_layers.{i}", f"feature_extractor.conv_layers.{i}"
        rows += [(f"{theirs}.0.weight", (channels, before, kernel), f"{ours}.conv.weight")]
        rows += norm(f"{theirs}.2.1", f"{ours}.layer_norm", channels)
    rows += norm("layer_norm", "feature_projection.layer_norm", s.channels[-1])
    rows += linear("post_extract_proj", "feature_projection.projection", s.width, s.channels[-1])

    position, ours = "encoder.pos_conv.0", "encoder.pos_conv_embed.conv"
    shapes = (1, 1, s.position_kernel), (s.width, s.position_width, s.position_kernel)
    rows += [(f"{position}.bias", (s.width,), f"{ours}.bias")]
    for theirs, new, shape in zip(WEIGHT_NORM[s.weight_norm], WEIGHT_NORM["new"], shapes):
        rows += [(f"{position}.{theirs}", shape, f"{ours}.{new}")]

    bias, embedding = "self_attn.relative_attention_bias.weight", "attention.rel_attn_embed.weight"
    shape = (s.n_buckets, s.heads)
    rows += [(f"encoder.layers.0.{bias}", shape, f"encoder.layers.0.{embedding}")]
    for i in range(s.n_layers):
        layer = f"encoder.layers.{i}"  # in both
        attention, ours = f"{layer}.self_attn", f"{layer}.attention"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            rows += linear(f"{attention}.{name}", f"{ours}.{name}", s.width, s.width)
        rows += [(f"{attention}.grep_a", (1, s.heads, 1, 1), f"{ours}.gru_rel_pos_const")]
        gate = f"{ours}.gru_rel_pos_linear"
        rows += linear(f"{attention}.grep_linear", gate, GATE_WIDTH, s.width // s.heads)
        rows += norm(f"{layer}.self_attn_layer_norm", f"{layer}.layer_norm", s.width)
        feed = f"{layer}.feed_forward"
        rows += linear(f"{layer}.fc1", f"{feed}.intermediate_dense", s.feed_forward, s.width)
        rows += linear(f"{layer}.fc2", f"{feed}.output_dense", s.width, s.feed_forward)
        rows += norm(f"{layer}.final_layer_norm", f"{layer}.final_layer_norm", s.width)
    return rows + norm("encoder.layer_norm", "encoder.layer_norm", s.width)


def mixture_rows(s):
    """``final_mmoe.pt``: a LayerNorm for each hidden state, experts, and a gate for each task."""
    frame = s.n_hidden * s.width
    rows = []
    for i in range(s.n_hidden):
        rows += norm(f"layer_norms.{i}", f"layer_norms.{i}", s.width)
    for e in range(s.n_experts):
        theirs, ours = f"experts.{e}", f"pool.experts.{e}"
        rows += linear(f"{theirs}.fc1", f"{ours}.0", s.expert_hidden, frame)
        rows += linear(f"{theirs}.fc2", f"{ours}.2", s.out, s.expert_hidden)
    for gate, task in enumerate(("se", "ser")):
        rows += linear(f"gates.{gate}.fc", f"routers.{task}.fc", s.n_experts, frame)
    return rows


def pool_rows(s):
    """``final_pool.pt``: attentive statistics pooling."""
    rows = linear("sap_linear", "pool.sap_linear", s.out, s.out)
    return [*rows, ("attention", (s.out, 1), "pool.attention")]


def emotion_rows(s):
    """``final_ser.pt``: the classifier over the pooled frames."""
    rows = linear("fc.0.0", "fc.1", s.emotion_hidden, 2 * s.out)
    rows += norm("fc.0.1", "fc.2", s.emotion_hidden)
    return rows + linear("out.0", "out", len(LABELS), s.emotion_hidden)


def enhancement_rows(s):
    """``final_se.pt``: the mask; here each direction of each recurrent layer is its own LSTM."""
    hidden = s.enhancement_hidden
    rows = linear("lstm_enc.0", "enter", hidden, N_BINS + s.out)
    for layer in range(LSTM_LAYERS):
        width = 2 * hidden if layer else hidden
        for suffix, ours in (("", "onward"), ("_reverse", "backward_")):
            for kind, shape in (
                ("weight_ih", (4 * hidden, width)),
                ("weight_hh", (4 * hidden, hidden)),
                ("bias_ih", (4 * hidden,)),
                ("bias_hh", (4 * hidden,)),
            ):
                key = f"lstm_enc.1.blstm.{kind}_l{layer}{suffix}"
                rows += [(key, shape, f"blstm.{ours}.{layer}.{kind}_l0")]
    return rows + linear("lstm_enc.2", "leave", N_BINS, hidden)


#: Part → its rows, and what stands before our names.
TABLE = {
    "ssl": (encoder_rows, "encoder.model."),
    "mmoe": (mixture_rows, "integration."),
    "pool": (pool_rows, "emotion."),
    "ser": (emotion_rows, "emotion."),
    "se": (enhancement_rows, "enhancement."),
}


def tell_sizes(
    states, strides=STRIDES, kernels=KERNELS, n_buckets=N_BUCKETS, max_distance=MAX_DISTANCE
):
    """The sizes of a system from its tensors, each by what most of them say.

    Arguments
    ---------
    states : dict
        Part → key → tensor.
    strides, kernels, n_buckets, max_distance
        What the tensors do not show: from a ``cfg``, or WavLM's own. A kernel's width counts only
        where the tensor itself does not show it.

    Returns
    -------
    Sizes
    """
    ssl, mixture = states["ssl"], states["mmoe"]
    layers = max(count(ssl, "encoder.layers."), count(mixture, "layer_norms.") - 1)
    gates = [v.shape[0] for k, v in mixture.items() if k.startswith("gates.") and v.dim()]
    experts = Counter([count(mixture, "experts."), *gates]).most_common(1)[0][0]
    new = any("pos_conv" in key and "parametrizations" in key for key in ssl)
    unknown = Sizes(
        n_layers=layers,
        n_experts=experts,
        strides=tuple(strides),
        n_buckets=n_buckets,
        max_distance=max_distance,
        weight_norm="new" if new else "old",
        channels=tuple(Unknown(f"channels.{i}") for i in range(len(strides))),
        kernels=tuple(Unknown(f"kernels.{i}") for i in range(len(strides))),
    )
    # Of these sizes one or two tensors speak: the usual one counts where none does, or two differ.
    votes = {f"kernels.{i}": Counter({width: 0.5}) for i, width in enumerate(kernels)}
    votes["position_kernel"] = Counter({POSITION_KERNEL: 0.5})
    for part, (rows, _) in TABLE.items():
        for key, shape, _ in rows(unknown):
            tensor = states[part].get(key)
            if tensor is not None and tensor.dim() == len(shape):
                for name, size in zip(shape, tensor.shape):
                    if isinstance(name, Unknown) and size:
                        votes.setdefault(name, Counter())[size] += 1

    def told(name):
        if name not in votes:
            raise ReleasedError(f"Nothing in the files tells the size {name}: are they a run's?")
        return votes[name].most_common(1)[0][0]

    found = {}
    for field in fields(Sizes):
        value = getattr(unknown, field.name)
        if isinstance(value, Unknown):
            found[field.name] = told(value)
        elif field.name in ("channels", "kernels"):
            found[field.name] = tuple(told(name) for name in value)
    sizes = replace(unknown, **found)
    for name in ("heads", "position_width"):
        if sizes.width % max(getattr(sizes, name), 1):
            raise ReleasedError(
                f"{FILES['ssl']}: {name} {getattr(sizes, name)} does not divide the width "
                f"{sizes.width}."
            )
    return sizes


def count(state, prefix):
    """One more than the highest number that follows ``prefix`` in the keys.

    Example
    -------
    >>> count({"layers.0.weight": 0, "layers.11.weight": 0, "norm": 0}, "layers.")
    12
    """
    numbers = [re.match(re.escape(prefix) + r"(\d+)\.", key) for key in state]
    return max((int(number[1]) + 1 for number in numbers if number), default=0)


def check_and_rename(states, sizes):
    """Checks every key against the table.

    Returns
    -------
    tuple
        The state dict of :class:`~speechbrain_merit.lobes.merit.Merit` in float32, and file →
        keys that no rule takes.

    Raises
    ------
    ReleasedError
        Names every file with its missing and misshaped keys, and what was expected.
    """
    renamed, extra, problems = {}, {}, []
    for part, (rows, prefix) in TABLE.items():
        state, wrong, seen = states[part], [], set()
        for key, shape, ours in rows(sizes):
            seen.add(key)
            if key not in state:
                wrong.append(f"lacks {key}, expected of shape {shape}")
            elif tuple(state[key].shape) != shape:
                wrong.append(f"{key} has shape {tuple(state[key].shape)}, expected {shape}")
            elif not torch.isfinite(state[key]).all():
                wrong.append(f"{key} holds NaN or infinity, expected numbers")
            else:
                renamed[prefix + ours] = state[key].float()
        if wrong:
            more = f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""
            problems.append(f"{FILES[part]}: {'; '.join(wrong[:5])}{more}")
        left = [k for k in state if k not in seen and not (part == "se" and UNUSED.fullmatch(k))]
        if left:
            extra[FILES[part]] = left
    if problems:
        raise ReleasedError(
            "The files do not hold what a released run holds. " + ". ".join(problems) + "."
        )
    return renamed, extra
