"""Figures of an evaluation: metrics against SNR, confusion, learning curves.

Every function returns a matplotlib Figure that is bound to no global state (no pyplot), ready for
`savefig`. Expert use is in `expert_figures.py`, one example in `spectrograms.py`.
"""

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from speechbrain_merit.drawing import plain
from speechbrain_merit.evaluation.report.tables import condition, number

# key, title, unit of the vertical axis
METRICS = (
    ("f1_macro", "F1-macro", "F1"),
    ("ccc", "Concordance of attributes", "CCC"),
    ("f1_micro", "F1-micro (accuracy)", "F1"),
    ("uar", "Unweighted average recall", "UAR"),
    ("ece", "Expected calibration error", "ECE"),
    ("pesq", "PESQ, wide band", "MOS-LQO"),
    ("stoi", "STOI", "STOI"),
    ("si_sdr", "SI-SDR", "dB"),
    ("ssnr", "Segmental SNR (Loizou)", "dB"),
    ("ssnr_sb", "Segmental SNR (SpeechBrain)", "dB"),
)
LINES = ("#1f5a96", "#c4572b", "#4f7f3a", "#7d4f9e", "#8a6d1f", "#3d8b8b")  # noise sets, curves
GRID = "#dddddd"
PANELS_ACROSS = 3
LONGEST_TICK = 18  # characters of a label on an axis


def metric_against_snr(rows, key):
    """One metric against SNR: a line for each noise set, the noisy input dashed, clean a level.

    Arguments
    ---------
    rows : list of dict
        One for each condition.
    key : str
        Key of the metric.

    Returns
    -------
    Figure or None
        None where no row has a value.

    Example
    -------
    >>> rows = [{"noise_set": "street", "snr_db": snr, "stoi": 0.8} for snr in (0, 5)]
    >>> figure = metric_against_snr(rows, "stoi")
    >>> figure.axes[0].get_title(loc="left")
    'STOI'
    """
    noisy_key = f"{key}_noisy"
    if all(row.get(key) is None and row.get(noisy_key) is None for row in rows):
        return None
    title, unit = {name: (title, unit) for name, title, unit in METRICS}[key]
    figure = Figure(figsize=(5.2, 3.7), layout="constrained")
    axes = light_axes(figure.add_subplot(), title)
    for index, name in enumerate(noise_sets(rows)):
        colour = LINES[index % len(LINES)]
        own = sorted((r for r in rows if r["noise_set"] == name), key=lambda row: row["snr_db"])
        snrs = [row["snr_db"] for row in own]
        style = {"color": colour, "linewidth": 1.8, "markersize": 4.5}
        axes.plot(snrs, _values(own, key), marker="o", label=plain(name), **style)
        if any(row.get(noisy_key) is not None for row in own):
            style.update(linestyle="--", linewidth=1.2, alpha=0.8)
            axes.plot(snrs, _values(own, noisy_key), label=plain(f"{name}, noisy input"), **style)
        if key == "f1_macro" and any(row.get("f1_macro_ci") for row in own):
            ends = [row.get("f1_macro_ci") or (np.nan, np.nan) for row in own]
            low, high = np.array(ends, dtype=float).T
            axes.fill_between(snrs, low, high, color=colour, alpha=0.13, linewidth=0)
    for row in rows:
        if row["noise_set"] is None and row.get(key) is not None:
            axes.axhline(row[key], color="#333333", linewidth=1.2, linestyle=":", label="clean")
    axes.set_xlabel("SNR (dB)")
    axes.set_ylabel(unit)
    snrs = sorted({row["snr_db"] for row in rows if row["snr_db"] is not None})
    axes.set_xticks(snrs, [f"{snr:g}".replace("-", "−") for snr in snrs])
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return figure


def confusion_matrices(rows):
    """Confusion matrices side by side, coloured by the share of each true class.

    Arguments
    ---------
    rows : list of dict
        The conditions to show.

    Returns
    -------
    Figure or None
        None where no row has a matrix.

    Example
    -------
    >>> row = {"noise_set": None, "recall": {"sad": 1.0, "happy": 0.5}}
    >>> len(confusion_matrices([{**row, "confusion": [[2, 0], [1, 1]]}]).axes)
    1
    """
    rows = [row for row in rows if row.get("confusion") is not None]
    if not rows:
        return None
    labels = [plain(label, LONGEST_TICK) for label in rows[0]["recall"]]
    size = max(2.9, 0.62 * len(labels))
    figure, panels = panel_grid(len(rows), (size, size))
    for axes, row in zip(panels, rows, strict=True):
        counts = np.asarray(row["confusion"], dtype=float)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (true, given), share in np.ndenumerate(shares):
            colour = "white" if share > 0.55 else "#222222"
            text = f"{counts[true, given]:.0f}"
            axes.text(given, true, text, ha="center", va="center", color=colour, fontsize=9)
        axes.set_xticks(range(len(labels)), labels, rotation=35, ha="right", fontsize=8)
        axes.set_yticks(range(len(labels)), labels, fontsize=8)
        axes.set_xlabel("predicted", fontsize=8)
        axes.set_ylabel("true", fontsize=8)
        axes.tick_params(length=0)
        title = f"{condition(row)}: F1-macro {number(row.get('f1_macro'), 2)}"
        axes.set_title(plain(title), fontsize=9, loc="left")
    return figure


def learning_curves(curves):
    """What was logged in each epoch, in small panels: `train loss` and `valid loss` share one.

    Arguments
    ---------
    curves : list of dict
        One for each epoch: `epoch` and any numbers named `<stage> <quantity>`.

    Returns
    -------
    Figure or None
        None where nothing was logged.

    Example
    -------
    >>> figure = learning_curves([{"epoch": 1, "train loss": 2.0, "valid loss": 2.5}])
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['loss']
    """
    panels_of = {}
    for name in dict.fromkeys(name for epoch in curves for name in epoch if name != "epoch"):
        if any(_number(epoch.get(name)) is not None for epoch in curves):
            stage, quantity = name.split(" ", 1) if " " in name else ("", name)
            panels_of.setdefault(quantity, []).append((stage, name))
    if not panels_of:
        return None
    epochs = [epoch["epoch"] for epoch in curves]
    stages = list(dict.fromkeys(stage for lines in panels_of.values() for stage, _ in lines))
    figure, panels = panel_grid(len(panels_of), (3.1, 2.1))
    for axes, (quantity, lines) in zip(panels, panels_of.items(), strict=True):
        light_axes(axes, plain(quantity), size=9)
        for stage, name in lines:
            colour = LINES[stages.index(stage) % len(LINES)]
            values = _values(curves, name)
            axes.plot(epochs, values, color=colour, marker=".", linewidth=1.4, label=plain(stage))
        axes.tick_params(labelsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        if any(stage for stage, _ in lines):
            axes.legend(frameon=False, fontsize=7)
    figure.supxlabel("epoch", fontsize=9)
    return figure


def noise_sets(entries):
    """Names of the noise sets in order of appearance, without clean and distortions.

    Arguments
    ---------
    entries : list of dict
        With `noise_set` and `snr_db`, which a distortion has not.

    Returns
    -------
    list of str
        Names.

    Example
    -------
    >>> rows = [{"noise_set": None, "snr_db": None}, {"noise_set": "clipping 2", "snr_db": None}]
    >>> noise_sets([*rows, {"noise_set": "seen", "snr_db": 0}, {"noise_set": "seen", "snr_db": 5}])
    ['seen']
    """
    return list(dict.fromkeys(e["noise_set"] for e in entries if e["snr_db"] is not None))


def panel_grid(count, size, across=PANELS_ACROSS):
    """A figure with panels in rows.

    Arguments
    ---------
    count : int
        Number of panels.
    size : tuple of float
        Width and height of a panel in inches.
    across : int
        Most panels in a row.

    Returns
    -------
    tuple
        The Figure and the list of its Axes.

    Example
    -------
    >>> figure, panels = panel_grid(4, (3, 2))
    >>> len(panels), float(figure.get_size_inches()[0])
    (4, 9.0)
    """
    across = min(count, across)
    down = math.ceil(count / across)
    figure = Figure(figsize=(size[0] * across, size[1] * down + 0.3), layout="constrained")
    return figure, [figure.add_subplot(down, across, index + 1) for index in range(count)]


def light_axes(axes, title, size=10):
    """Give axes a title, a light grid and no box.

    Arguments
    ---------
    axes : matplotlib.axes.Axes
        Changed in place.
    title : str
        Text above, on the left.
    size : float
        Font size of the title in points.

    Returns
    -------
    matplotlib.axes.Axes
        The same axes.

    Example
    -------
    >>> light_axes(Figure().add_subplot(), "loss").get_title(loc="left")
    'loss'
    """
    axes.set_title(title, fontsize=size, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    return axes


def _values(rows, key):
    """Values of a key, NaN (a gap in the line) where absent or not finite."""
    numbers = (_number(row.get(key)) for row in rows)
    return [math.nan if value is None else value for value in numbers]


def _number(value):
    """A finite number as float, anything else as None."""
    try:
        value = float(value)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None
