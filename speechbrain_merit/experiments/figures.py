"""Figures of an experiment: metrics against SNR, and the tasks' gradients through training."""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from speechbrain_merit.drawing import plain
from speechbrain_merit.experiments.results import METRICS

#: Told apart by colour-blind readers too, with the markers (M. Okabe and K. Ito, 2008).
COLOURS = ("#000000", "#e69f00", "#56b4e9", "#009e73", "#d55e00", "#0072b2", "#cc79a7", "#999999")
MARKERS = "osDv^<>P"
LINES = ("-", "--", ":")  # the second and the third eight
GRID = "#dddddd"


def against_snr(results, systems, metric, noise_set):
    """A line for each system over the SNRs of a noise set; None where none has the metric.

    Arguments
    ---------
    results : Results
        Of a table.
    systems : list of str
        Lines, in order.
    metric : str
        A key of ``METRICS``.
    noise_set : str
        Its name.

    Returns
    -------
    Figure or None
    """
    every = [c for seeds in results.systems.values() for s in seeds.values() for c in s]
    snrs = sorted({snr for name, snr in every if name == noise_set})
    lines = {}
    for system in systems:
        scores = [results.scores(system, (noise_set, snr), metric) for snr in snrs]
        if snrs and all(scores):
            lines[results.titled(system, systems, metric)] = [sum(s) / len(s) for s in scores]
    if not lines:
        return None
    figure, axes = empty(f"{METRICS[metric].title}, {noise_set} noise", "SNR (dB)")
    for index, (title, values) in enumerate(lines.items()):
        axes.plot(snrs, values, label=plain(title), **style(index))
    axes.set_xticks(snrs)
    beside(figure)
    return figure


def gradient_cosines(curves):
    """The cosine of the two tasks' gradients on the encoder, epoch by epoch; None without any.

    Arguments
    ---------
    curves : dict
        System → list of curves of its runs, each a list of dicts an epoch.
    """
    lines = {}
    for system, runs in curves.items():
        by_epoch = {}
        for run in runs:
            for epoch in run:
                value = epoch.get("train gradient cosine")
                if value is not None:
                    by_epoch.setdefault(epoch["epoch"], []).append(value)
        if by_epoch:
            lines[system] = {e: sum(v) / len(v) for e, v in sorted(by_epoch.items())}
    if not lines:
        return None
    figure, axes = empty("Cosine of the tasks' gradients on the encoder", "epoch")
    axes.axhline(0, color="#666666", linewidth=0.8)
    for index, (system, points) in enumerate(lines.items()):
        axes.plot(list(points), list(points.values()), label=plain(system), **style(index))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    beside(figure)
    return figure


def empty(title, below):
    """A figure with one pair of axes."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(plain(title), loc="left", fontsize=10)
    axes.set_xlabel(below)
    axes.grid(color=GRID, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def beside(figure):
    """The legend, where it hides no line however many there are."""
    figure.legend(loc="outside right center", frameon=False, fontsize=8)


def style(index):
    """Colour, marker and strokes of a line: those of 24 all differ."""
    colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
    strokes = LINES[index // len(COLOURS) % len(LINES)]
    return {
        **{"color": colour, "marker": marker, "linestyle": strokes},
        **{"markersize": 4, "linewidth": 1.4},
    }
