"""The figure of one example: its spectrograms and, above them, the experts its frames went to."""

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from speechbrain_merit.drawing import plain
from speechbrain_merit.evaluation.report.expert_figures import EXPERTS, expert_patches

FRAME_RATE = 50  # encoder frames a second
WINDOW, HOP = 0.025, 0.010  # seconds
RANGE = 80.0  # dB between the loudest point of all three and black
QUIETEST = -100.0  # dB, so that digital silence alone is drawn black


def example_figure(example, n_experts=None):
    r"""Spectrograms noisy / enhanced / clean on one dB scale and one time axis, experts above.

    Arguments
    ---------
    example : speechbrain_merit.evaluation.report.examples.Example
        Waves that are None are left out.
    n_experts : int or None
        Size of the expert pool, for the legend; None takes what the example uses.

    Returns
    -------
    Figure
        The figure.

    Example
    -------
    >>> from types import SimpleNamespace
    >>> noisy, clean = np.random.default_rng(0).normal(size=(2, 16000))
    >>> example = SimpleNamespace(noisy=noisy, enhanced=None, clean=clean, sample_rate=16000,
    ...                           experts={"se": np.zeros(50, dtype=int)})
    >>> [axes.get_ylabel() for axes in example_figure(example).axes][:3]
    ['SE', 'noisy\nkHz', 'clean\nkHz']
    """
    waves = {name: getattr(example, name) for name in ("noisy", "enhanced", "clean")}
    waves = {name: np.asarray(wave) for name, wave in waves.items() if wave is not None}
    duration = max(len(wave) for wave in waves.values()) / example.sample_rate
    heights = [0.16] * len(example.experts) + [1.35] * len(waves)
    figure = Figure(figsize=(9, sum(heights) + 0.9), layout="constrained")
    figure.get_layout_engine().set(hspace=0.02, h_pad=0.02)
    panels = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights, sharex=True)
    strips, spectra = (panels[: len(example.experts), 0], panels[len(example.experts) :, 0])
    n_experts = max([n_experts or 0, *(int(np.max(e)) + 1 for e in example.experts.values())])
    for axes, (task, chosen) in zip(strips, example.experts.items(), strict=True):
        _strip(axes, task, np.asarray(chosen), n_experts)
    levels = {name: _decibels(wave, example.sample_rate) for name, wave in waves.items()}
    top = max(QUIETEST, *(level.max() for level in levels.values()))
    for axes, (name, level) in zip(spectra, levels.items(), strict=True):
        image = _spectrogram(axes, name, level, top, example.sample_rate, len(waves[name]))
        axes.tick_params(labelbottom=axes is spectra[-1], labelsize=8)
    spectra[-1].set_xlim(0, duration)
    spectra[-1].set_xlabel("seconds", fontsize=9)
    bar = figure.colorbar(image, ax=list(spectra), pad=0.01, aspect=40)
    bar.set_label("dB below the loudest point", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    if n_experts:
        patches = expert_patches(n_experts)
        figure.legend(
            handles=patches, loc="outside upper center", ncols=8, frameon=False, fontsize=8
        )
    return figure


def _strip(axes, task, chosen, n_experts):
    """A thin band with one colour for the expert of each frame."""
    colours = ListedColormap([EXPERTS[expert % len(EXPERTS)] for expert in range(n_experts)])
    axes.imshow(
        chosen[None],
        cmap=colours,
        vmin=-0.5,
        vmax=n_experts - 0.5,
        aspect="auto",
        interpolation="nearest",
        extent=(0, len(chosen) / FRAME_RATE, 0, 1),
    )
    axes.set_yticks([])
    axes.tick_params(bottom=False, labelbottom=False)
    axes.set_ylabel(plain(task.upper(), 8), rotation=0, ha="right", va="center", fontsize=9)


def _decibels(wave, sample_rate):
    """Magnitude spectrogram in dB, (frequencies, frames); silence is far below any signal."""
    length, hop = round(WINDOW * sample_rate), round(HOP * sample_rate)
    padded = np.pad(np.asarray(wave, dtype=np.float64), length // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[::hop]
    return 20 * np.log10(np.abs(np.fft.rfft(frames * np.hanning(length), axis=1)).T + 1e-10)


def _spectrogram(axes, name, level, top, sample_rate, samples):
    """One spectrogram relative to the loudest point of all."""
    image = axes.imshow(
        level - top,
        cmap="magma",
        vmin=-RANGE,
        vmax=0,
        aspect="auto",
        origin="lower",
        extent=(0, samples / sample_rate, 0, sample_rate / 2000),
    )
    axes.set_ylabel(f"{name}\nkHz", fontsize=9)
    return image
