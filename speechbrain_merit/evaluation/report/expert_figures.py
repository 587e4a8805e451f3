"""Figures of the routing: which share of the frames each task sends to each expert."""

import math
from itertools import product

import numpy as np
from matplotlib.patches import Patch

from speechbrain_merit.drawing import plain
from speechbrain_merit.evaluation.report.figures import (
    LONGEST_TICK,
    light_axes,
    noise_sets,
    panel_grid,
)
from speechbrain_merit.evaluation.report.tables import decibel

# Experts: Okabe and Ito's palette, told apart by colour-blind readers too.
EXPERTS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#444444")


def expert_use_by_snr(expert_use):
    """Share of frames that each expert gets, for each task and noise set, against SNR.

    Arguments
    ---------
    expert_use : list of dict
        `task`, `noise_set`, `snr_db`, `emotion` (None for all emotions), `shares` (E floats).

    Returns
    -------
    Figure or None
        None where there is nothing over all emotions.

    Example
    -------
    >>> use = {"task": "se", "noise_set": "street", "snr_db": 0, "emotion": None}
    >>> len(expert_use_by_snr([{**use, "shares": [0.4, 0.6]}]).axes)
    1
    """
    entries = [entry for entry in expert_use if entry["emotion"] is None]
    if not entries:
        return None
    sets = noise_sets(entries) or [None]
    tasks = list(dict.fromkeys(entry["task"] for entry in entries))
    figure, panels = panel_grid(len(tasks) * len(sets), (3.4, 2.5), across=len(sets))
    for axes, (task, name) in zip(panels, product(tasks, sets), strict=True):
        bars = {}
        own = [e for e in entries if e["task"] == task and e["noise_set"] in (name, None)]
        for entry in sorted(own, key=lambda e: math.inf if e["snr_db"] is None else e["snr_db"]):
            clean = entry["noise_set"] is None
            bars["clean" if clean else decibel(entry["snr_db"])] = entry["shares"]
        _stacked(axes, bars)
        axes.set_title(plain(task.upper() + (f", {name}" if name else "")), fontsize=9, loc="left")
    _expert_legend(figure, max(len(entry["shares"]) for entry in entries))
    return figure


def expert_use_by_emotion(expert_use):
    """Share of frames that each expert gets, for each task and emotion, averaged over conditions.

    Arguments
    ---------
    expert_use : list of dict
        As in `expert_use_by_snr`.

    Returns
    -------
    Figure or None
        None where nothing is told by emotion.

    Example
    -------
    >>> use = {"task": "ser", "noise_set": None, "snr_db": None, "emotion": "sad"}
    >>> len(expert_use_by_emotion([{**use, "shares": [0.4, 0.6]}]).axes)
    1
    """
    entries = [entry for entry in expert_use if entry["emotion"] is not None]
    if not entries:
        return None
    tasks = list(dict.fromkeys(entry["task"] for entry in entries))
    figure, panels = panel_grid(len(tasks), (3.4, 2.5), across=2)
    for axes, task in zip(panels, tasks, strict=True):
        shares = {}
        for entry in entries:
            if entry["task"] == task:
                shares.setdefault(plain(entry["emotion"], LONGEST_TICK), []).append(entry["shares"])
        _stacked(axes, {emotion: np.mean(group, axis=0) for emotion, group in shares.items()})
        axes.set_title(plain(task.upper()), fontsize=9, loc="left")
    _expert_legend(figure, max(len(entry["shares"]) for entry in entries))
    return figure


def _stacked(axes, bars):
    """Stacked bars of expert shares, `bars` a dict of name to shares."""
    light_axes(axes, "")
    floor = np.zeros(len(bars))
    for expert, heights in enumerate(zip(*bars.values(), strict=True)):
        colour = EXPERTS[expert % len(EXPERTS)]
        axes.bar(range(len(bars)), heights, bottom=floor, color=colour, width=0.75)
        floor = floor + heights
    axes.set_xticks(range(len(bars)), bars, fontsize=8)
    axes.set_ylim(0, 1)
    axes.tick_params(labelsize=8)
    axes.set_ylabel("share of frames", fontsize=8)


def _expert_legend(figure, count):
    """Legend of the colours of the experts, below the panels."""
    figure.legend(
        handles=expert_patches(count),
        loc="outside lower center",
        ncols=8,
        frameon=False,
        fontsize=8,
    )


def expert_patches(count):
    """Legend handles of the experts, numbered from 1.

    Arguments
    ---------
    count : int
        Number of experts.

    Returns
    -------
    list of matplotlib.patches.Patch
        One for each expert.

    Example
    -------
    >>> [patch.get_label() for patch in expert_patches(2)]
    ['expert 1', 'expert 2']
    """
    return [
        Patch(color=EXPERTS[expert % len(EXPERTS)], label=f"expert {expert + 1}")
        for expert in range(count)
    ]
