"""The released system once more, in plain torch, on one utterance, from its description alone.

Nothing of the package is used here. The attention follows the WavLM paper (arXiv 2110.13900,
equations 1 to 4), the rest the list of what the released code does. :func:`random_run` builds
files of the released form.
"""

import math
import pickle

import numpy as np
import torch
from torch.nn import functional

STRIDES = (5, 2, 2, 2, 2, 2, 2)
KERNELS = (10, 3, 3, 3, 3, 2, 2)
N_BINS = 201


def linear(state, name, x):
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def layer_norm(state, name, x):
    centred = x - x.mean(dim=-1, keepdim=True)
    scale = (centred.square().mean(dim=-1, keepdim=True) + 1e-5).rsqrt()
    return centred * scale * state[f"{name}.weight"] + state[f"{name}.bias"]


def gelu(x):
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


# WavLM


def convolve(ssl, wave, strides):
    """The seven convolutions: a wave (S) to (T, C)."""
    x = wave[None]
    for i, stride in enumerate(strides):
        name = f"feature_extractor.conv_layers.{i}"
        x = functional.conv1d(x[None], ssl[f"{name}.0.weight"], stride=stride)[0]
        x = gelu(layer_norm(ssl, f"{name}.2.1", x.T).T)
    return x.T


def position_convolution(ssl, x):
    """The convolution over time (T, D) whose weight is a direction v at a length g."""
    name = "encoder.pos_conv.0"
    if f"{name}.weight_g" in ssl:
        g, v = ssl[f"{name}.weight_g"], ssl[f"{name}.weight_v"]
    else:
        g, v = (ssl[f"{name}.parametrizations.weight.original{i}"] for i in (0, 1))
    weight = g * v / v.square().sum(dim=(0, 1), keepdim=True).sqrt()
    kernel, groups = v.shape[2], v.shape[0] // v.shape[1]
    bias, padding = ssl[f"{name}.bias"], kernel // 2
    y = functional.conv1d(x.T[None], weight, bias, padding=padding, groups=groups)
    return gelu(y[0, :, : len(x)].T)


def bucket(offset, n_buckets, max_distance):
    """The number of the embedding for key minus query position: exact near, logarithmic far."""
    half = n_buckets // 2
    exact, distance = half // 2, abs(offset)
    if distance >= exact:
        far = math.log(distance / exact) / math.log(max_distance / exact) * (half - exact)
        distance = min(exact + int(far), half - 1)
    return distance + (half if offset > 0 else 0)


def relative_bias(ssl, n_frames, max_distance):
    """The bias d (H, T, T) of every pair of positions, shared by all layers."""
    table = ssl["encoder.layers.0.self_attn.relative_attention_bias.weight"]
    offsets = range(1 - n_frames, n_frames)
    biases = table[[bucket(offset, len(table), max_distance) for offset in offsets]]
    steps = torch.arange(n_frames)
    return biases[steps - steps[:, None] + n_frames - 1].permute(2, 0, 1)


def attend(ssl, name, x, bias):
    """Self-attention over x (T, D) with the gated relative position bias of the paper.

    r = d + g_update · d + (1 − g_update) · s · g_reset · d. Each gate is a sigmoid of four outputs
    of grep_linear, summed, over the head's part of the layer's input; the first four give
    1 − g_update, the last four g_reset; s is grep_a.
    """
    heads = ssl[f"{name}.grep_a"].shape[1]
    parts = x.view(len(x), heads, -1)
    gates = linear(ssl, f"{name}.grep_linear", parts).view(len(x), heads, 2, 4).sum(-1).sigmoid()
    update, reset = 1 - gates[..., 0].T[:, :, None], gates[..., 1].T[:, :, None]
    s = ssl[f"{name}.grep_a"].view(heads, 1, 1)
    r = bias + update * bias + (1 - update) * s * reset * bias
    q, k, v = (
        linear(ssl, f"{name}.{p}_proj", x).view(len(x), heads, -1).transpose(0, 1) for p in "qkv"
    )
    scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1]) + r
    mixed = scores.softmax(dim=-1) @ v
    return linear(ssl, f"{name}.out_proj", mixed.transpose(0, 1).reshape(len(x), -1))


def hidden_states(ssl, wave, strides=STRIDES, max_distance=800):
    """All hidden states (L, T, D) of a wave (S), raw."""
    x = layer_norm(ssl, "layer_norm", convolve(ssl, wave, strides))
    x = linear(ssl, "post_extract_proj", x)
    x = x + position_convolution(ssl, x)
    bias = relative_bias(ssl, len(x), max_distance)
    states = [x]
    for i in range(sum(key.endswith("grep_a") for key in ssl)):
        name = f"encoder.layers.{i}"
        attended = layer_norm(ssl, f"{name}.self_attn_layer_norm", x)
        x = x + attend(ssl, f"{name}.self_attn", attended, bias)
        inner = gelu(linear(ssl, f"{name}.fc1", layer_norm(ssl, f"{name}.final_layer_norm", x)))
        x = x + linear(ssl, f"{name}.fc2", inner)
        states.append(x)
    return torch.stack(states)


# Mixture and heads


def mixture(mmoe, states, routing):
    """Frames (T, D') for SE and for SER, and the weights (T, E) that each gave the experts."""
    frame = torch.cat(
        [layer_norm(mmoe, f"layer_norms.{i}", state) for i, state in enumerate(states)], dim=-1
    )
    n_experts = len(mmoe["gates.0.fc.bias"])
    experts = torch.stack(
        [
            linear(mmoe, f"experts.{e}.fc2", linear(mmoe, f"experts.{e}.fc1", frame).relu())
            for e in range(n_experts)
        ],
        dim=1,
    )
    outputs, gates = [], []
    for gate in (0, 1):
        weights = linear(mmoe, f"gates.{gate}.fc", frame).softmax(dim=-1)
        if routing == "hard":
            weights = functional.one_hot(weights.argmax(dim=-1), n_experts).to(weights)
        outputs.append((weights[:, :, None] * experts).sum(dim=1))
        gates.append(weights)
    return outputs, gates


def classify(pool, ser, frames):
    """Class probabilities of frames (T, D')."""
    scores = linear(pool, "sap_linear", frames).tanh() @ pool["attention"]
    weights = scores.softmax(dim=0)
    mean = (weights * frames).sum(dim=0)
    variance = (weights * frames**2).sum(dim=0) - mean**2
    x = torch.cat([mean, variance.clamp(min=1e-5).sqrt()])
    x = layer_norm(ser, "fc.0.1", linear(ser, "fc.0.0", x)).relu()
    return linear(ser, "out.0", x).softmax(dim=-1)


def recurrent(se, x):
    """The two-layer bidirectional LSTM over x (N, M), both directions summed."""
    hidden = x.shape[-1]
    lstm = torch.nn.LSTM(hidden, hidden, 2, batch_first=True, bidirectional=True)
    prefix = "lstm_enc.1.blstm."
    lstm.load_state_dict(
        {key.removeprefix(prefix): v for key, v in se.items() if key.startswith(prefix)}
    )
    y = lstm(x[None])[0][0]
    return y[:, :hidden] + y[:, hidden:]


def enhance(se, wave, frames):
    """The enhanced wave of a standardised wave (S) and frames (T, D'), standardised still."""
    window = torch.hamming_window(400, periodic=True)
    spectrum = torch.stft(
        wave, 400, 160, 400, window, center=True, pad_mode="reflect", return_complex=True
    ).T
    noisy = torch.log1p(spectrum.abs() + 1e-6)
    twice = frames.repeat_interleave(2, dim=0)
    missing = len(noisy) - len(twice)
    if missing > 0:
        twice = torch.cat([twice, frames[-1:].expand(missing, -1)])
    x = linear(se, "lstm_enc.0", torch.cat([noisy, twice[: len(noisy)]], dim=-1))
    mask = linear(se, "lstm_enc.2", recurrent(se, x)).sigmoid()
    magnitude = torch.expm1(mask * noisy) - 1e-6
    phase = spectrum / (spectrum.abs() + 1e-6)
    return torch.istft((magnitude * phase).T, 400, 160, 400, window, length=len(wave))


@torch.no_grad()
def run_system(states, statistics, wave, routing="hard", **encoder):
    """Probabilities (classes), enhanced wave (S), and each task's gates (T, E) of a wave (S)."""
    mean, std = statistics
    inside = (wave - mean) / (std + 1e-8)
    hidden = hidden_states(states["ssl"], inside, **encoder)
    (for_se, for_ser), gates = mixture(states["mmoe"], hidden, routing)
    enhanced = enhance(states["se"], inside, for_se) * std + mean
    return classify(states["pool"], states["ser"], for_ser), enhanced, gates


# Random files of the released form, and a wave


def changing_wave(n_samples, seed=0):
    """Tones that come and go in a little noise (S): frames that differ from each other."""
    generator = torch.Generator().manual_seed(seed)
    seconds = torch.arange(n_samples) / 16000
    wave = 0.005 * torch.randn(n_samples, generator=generator)
    for _ in range(6):
        tone, rhythm, phase = torch.rand(3, generator=generator).tolist()
        sound = torch.sin(2 * torch.pi * (100 + 900 * tone) * seconds + phase)
        wave += 0.03 * sound * (torch.sin(2 * torch.pi * 6 * rhythm * seconds + phase) > 0)
    return wave


def random_linear(name, out, width, gain=1.0):
    bound = gain / math.sqrt(width)
    return {
        f"{name}.weight": torch.empty(out, width).uniform_(-bound, bound),
        f"{name}.bias": torch.empty(out).uniform_(-bound, bound),
    }


def random_norm(name, width):
    return {
        f"{name}.weight": 1 + 0.2 * torch.randn(width),
        f"{name}.bias": 0.2 * torch.randn(width),
    }


def random_ssl(
    n_layers=2,
    width=32,
    heads=4,
    feed_forward=48,
    channels=16,
    kernels=KERNELS,
    kernel=16,
    n_buckets=320,
    new_spelling=False,
):
    """WavLM's state dict in Microsoft's names, lively enough that every part matters."""
    state = {"mask_emb": torch.rand(width)}
    before = 1
    for i, size in enumerate(kernels):
        name = f"feature_extractor.conv_layers.{i}"
        scale = math.sqrt(2 / (before * size))
        state[f"{name}.0.weight"] = scale * torch.randn(channels, before, size)
        state.update(random_norm(f"{name}.2.1", channels))
        before = channels
    state.update(random_norm("layer_norm", channels))
    state.update(random_linear("post_extract_proj", width, channels, gain=3))
    magnitude, direction = torch.rand(1, 1, kernel) + 0.5, torch.randn(width, width // 4, kernel)
    names = ("weight_g", "weight_v")
    if new_spelling:
        names = ("parametrizations.weight.original0", "parametrizations.weight.original1")
    state["encoder.pos_conv.0.bias"] = 0.1 * torch.randn(width)
    state[f"encoder.pos_conv.0.{names[0]}"] = magnitude
    state[f"encoder.pos_conv.0.{names[1]}"] = direction
    for i in range(n_layers):
        name = f"encoder.layers.{i}"
        for part in ("q", "k", "v", "out"):
            state.update(random_linear(f"{name}.self_attn.{part}_proj", width, width, gain=2))
        state[f"{name}.self_attn.grep_a"] = 1 + torch.randn(1, heads, 1, 1)
        state.update(random_linear(f"{name}.self_attn.grep_linear", 8, width // heads, gain=2))
        state.update(random_norm(f"{name}.self_attn_layer_norm", width))
        state.update(random_linear(f"{name}.fc1", feed_forward, width, gain=2))
        state.update(random_linear(f"{name}.fc2", width, feed_forward, gain=2))
        state.update(random_norm(f"{name}.final_layer_norm", width))
    bias = torch.randn(n_buckets, heads)
    state["encoder.layers.0.self_attn.relative_attention_bias.weight"] = bias
    state.update(random_norm("encoder.layer_norm", width))
    return state


def random_states(n_experts=3, expert_hidden=40, out=24, hidden=20, seed=6, **ssl):
    """All five state dicts of a run."""
    torch.manual_seed(seed)
    encoder = random_ssl(**ssl)
    width, n_layers = len(encoder["mask_emb"]), sum(key.endswith("grep_a") for key in encoder)
    frame = (n_layers + 1) * width
    mmoe = {}
    for i in range(n_layers + 1):
        mmoe.update(random_norm(f"layer_norms.{i}", width))
    for e in range(n_experts):
        mmoe.update(random_linear(f"experts.{e}.fc1", expert_hidden, frame, gain=2))
        mmoe.update(random_linear(f"experts.{e}.fc2", out, expert_hidden, gain=4))
    for gate in (0, 1):
        mmoe.update(random_linear(f"gates.{gate}.fc", n_experts, frame))
    pool = {"attention": torch.randn(out, 1), **random_linear("sap_linear", out, out)}
    ser = {
        **random_linear("fc.0.0", 28, 2 * out),
        **random_norm("fc.0.1", 28),
        **random_linear("out.0", 4, 28, gain=3),
    }
    lstm = torch.nn.LSTM(hidden, hidden, 2, bidirectional=True).state_dict()
    se = {
        "weights": torch.ones(25),
        **{key: v for i in range(25) for key, v in random_norm(f"layer_norm.{i}", 8).items()},
        **random_linear("lstm_enc.0", hidden, N_BINS + out, gain=2),
        **{f"lstm_enc.1.blstm.{key}": value for key, value in lstm.items()},
        **random_linear("lstm_enc.2", N_BINS, hidden, gain=8),
    }
    return {"ssl": encoder, "mmoe": mmoe, "pool": pool, "ser": ser, "se": se}


def save_run(folder, states, statistics=(0.002, 0.07)):
    """Writes a run folder; the scalars are numpy's, as in the released files."""
    folder.mkdir(parents=True)
    for part, state in states.items():
        moments = {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(2)}}
        groups = [{"lr": 5e-5, "betas": (0.9, 0.999), "foreach": None, "params": [0]}]
        optimizer = {"state": moments, "param_groups": groups}
        torch.save({"model": state, "optimizer": optimizer}, folder / f"final_{part}.pt")
    torch.save({"model": {"loss": np.float64(0.5)}, "optimizer": None}, folder / "final_loss.pt")
    mean, std = statistics
    for name, scale in (("train_norm_stat.pkl", 1), ("clean_train_norm_stat.pkl", 0.5)):
        with open(folder / name, "wb") as file:
            pickle.dump((np.float64(mean), np.float64(std) * scale), file)
    return folder
