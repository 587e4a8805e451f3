"""What a released checkpoint holds: sizes, use of the experts, and whether its routers learnt."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from scipy.stats import kstest

from speechbrain_merit.lobes.integration import TASKS
from speechbrain_merit.lobes.spectrum import MIN_SAMPLES, SAMPLE_RATE

WINDOW = 12 * SAMPLE_RATE  # samples; the released systems were trained on up to 12 s
SIGNIFICANCE = 0.01

#: What the outcome of :func:`compare_with_start` means.
VERDICTS = {
    "as initialised": "nothing tells the weights from nn.Linear's start: no gradient reached this "
    "router, as none can behind a hard choice",
    "start, scaled": "nn.Linear's start but for its scale: weight decay alone moved this router, "
    "and no gradient, as none can behind a hard choice",
    "differs": "the weights are not nn.Linear's start at any scale: this router learnt, or was "
    "started in another way",
}


class StartTest(NamedTuple):
    """Comparison of a router's weights with its start, by Kolmogorov and Smirnov.

    ``distance`` and ``p`` are against the start itself, ``scale`` is the largest weight over the
    start's bound, ``p_scaled`` is against a start of that scale; ``verdict`` is a key of
    ``VERDICTS``.
    """

    distance: float
    p: float
    scale: float
    p_scaled: float
    verdict: str


def compare_with_start(weight):
    """Tests whether a linear layer's weights are still those that it started with.

    nn.Linear starts uniform in ±1/√fan_in. A router behind a hard choice receives no gradient, so
    in the released runs weight decay alone can have moved it, by one factor for all weights. Given
    the largest magnitude, the others of a scaled start are uniform up to it: that test needs no
    fitted value.

    Arguments
    ---------
    weight : torch.Tensor
        Weights (E, fan_in).

    Returns
    -------
    StartTest

    Example
    -------
    >>> _ = torch.manual_seed(0)
    >>> layer = torch.nn.Linear(1000, 3)
    >>> compare_with_start(layer.weight).verdict, compare_with_start(0.9 * layer.weight).verdict
    ('as initialised', 'start, scaled')
    >>> compare_with_start(torch.randn(3, 1000) / 1000).verdict
    'differs'
    """
    bound = weight.shape[1] ** -0.5
    values = weight.detach().double().flatten()
    start = kstest(values.numpy(), "uniform", (-bound, 2 * bound))
    order = values.abs().argsort()
    largest = float(values[order[-1]].abs())
    scaled = kstest(values[order[:-1]].numpy(), "uniform", (-largest, 2 * largest))
    if start.pvalue >= SIGNIFICANCE:
        verdict = "as initialised"
    else:
        verdict = "start, scaled" if scaled.pvalue >= SIGNIFICANCE else "differs"
    return StartTest(
        float(start.statistic),
        float(start.pvalue),
        largest / bound,
        float(scaled.pvalue),
        verdict,
    )


class ExpertUse(NamedTuple):
    """``shares``: task → share of the frames' weight on each expert; ``frames``: how many.

    ``agreement`` is the share of frames in which both tasks lean most on the same expert.
    """

    frames: int
    shares: dict
    agreement: float


@torch.inference_mode()
def expert_use(model, wave):
    """How much each task uses each expert over a wave (S) at 16 kHz, heard in 12 s windows."""
    windows = [w for w in wave.split(WINDOW) if len(w) >= MIN_SAMPLES]
    if not windows:
        raise ValueError(f"A wave of {len(wave)} samples is too short to be heard.")
    use = {task: [] for task in TASKS}
    for window in windows:
        _, hidden, lengths = model.hear(window[None])
        routing = model.integration(hidden, lengths, TASKS).routing
        for task, (logits, experts, weights) in routing.items():
            none = torch.zeros_like(logits[0])
            use[task].append(none.scatter(1, experts[0], weights[0].to(none)))
    use = {task: torch.cat(rows) for task, rows in use.items()}
    same = use["se"].argmax(dim=1) == use["ser"].argmax(dim=1)
    shares = {task: rows.mean(dim=0).tolist() for task, rows in use.items()}
    return ExpertUse(len(same), shares, float(same.float().mean()))


@dataclass(frozen=True)
class Report:
    """What a checkpoint holds; ``str`` gives it as text.

    ``sizes`` of :mod:`speechbrain_merit.released.keys`; ``mean`` and ``std`` of the training waves;
    ``parameters`` part → how many; ``routers`` task → :class:`StartTest`; ``use``
    :class:`ExpertUse` on the file ``wave``, None without one; ``extra`` file → keys that are not
    taken over; ``notes`` further remarks.
    """

    run: str
    sizes: object
    routing: str
    mean: float
    std: float
    parameters: dict
    routers: dict
    use: ExpertUse | None
    wave: str | None
    extra: dict
    notes: tuple

    def __str__(self):
        """Some twenty lines."""
        s = self.sizes
        sizes_of = {part: f"{n:,} parameters" for part, n in self.parameters.items()}
        lines = [
            f"Released run {self.run}",
            f"  encoder      {s.n_layers} layers of width {s.width}, {s.heads} heads, "
            f"feed-forward {s.feed_forward}, {sizes_of['encoder']}",
            f"  mixture      {s.n_hidden} hidden states, {s.n_experts} experts "
            f"{s.n_hidden * s.width} → {s.expert_hidden} → {s.out}, routing {self.routing}, "
            f"{sizes_of['integration']}",
            f"  enhancement  BLSTM of width {s.enhancement_hidden}, {sizes_of['enhancement']}",
            f"  emotion      hidden layer of width {s.emotion_hidden}, {sizes_of['emotion']}",
            f"  level        (x − {self.mean:.6g}) / {self.std:.6g}",
            "Routers against their start, nn.Linear's uniform ±1/√fan_in (Kolmogorov-Smirnov)",
        ]
        for task, test in self.routers.items():
            lines += [
                f"  {task:<4}  D = {test.distance:.4f}, p = {test.p:.3g}; at {test.scale:.4f} of "
                f"its scale p = {test.p_scaled:.3g}: {test.verdict}",
                f"        ({VERDICTS[test.verdict]})",
            ]
        if self.use is not None:
            lines.append(f"Use of the experts on {self.wave}, {self.use.frames} frames")
            for task, shares in self.use.shares.items():
                lines.append(f"  {task:<4}  " + "  ".join(f"{100 * x:5.1f} %" for x in shares))
            lines.append(f"  the same expert for both tasks: {100 * self.use.agreement:.1f} %")
        for file, keys in self.extra.items():
            more = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
            lines.append(f"Not taken over from {file}: {', '.join(keys[:5])}{more}")
        return "\n".join([*lines, *self.notes])
