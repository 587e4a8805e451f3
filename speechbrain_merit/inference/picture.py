"""A picture of one analysis: spectrograms before and after, and the emotion over time.

The spectra are averaged into a fixed number of columns while the recording passes, so that a
picture of an hour takes no more memory than one of a second.
"""

import os
import warnings
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from speechbrain_merit.audio.files import AudioReader
from speechbrain_merit.drawing import plain
from speechbrain_merit.inference.timeline import NO_SPEECH
from speechbrain_merit.lobes.spectrum import HOP, N_BINS, N_FFT, SAMPLE_RATE
from speechbrain_merit.writing import whole

COLUMNS = 1000  # of a spectrogram, about what a screen shows
RANGE = 80.0  # dB between the loudest point and black
COLOURS = ("#c4572b", "#1f5a96", "#e0a526", "#4f7f3a", "#7d4f9e", "#3d8b8b", "#8a6d1f", "#b04a7a")
SILENT = "#dddddd"
FORMAT = {"dpi": 110}


class Spectrogram:
    """The power of each frequency over time, in at most ``COLUMNS`` columns.

    Arguments
    ---------
    n_samples : int
        Length of the recording at 16 kHz, as expected.
    """

    def __init__(self, n_samples):
        self.columns = max(1, min(COLUMNS, n_samples // HOP))
        self.n_samples = n_samples
        # frames overlap where there are few, and touch where there are many
        self.hop = HOP if n_samples <= 2 * COLUMNS * HOP else N_FFT
        self.power = np.zeros((N_BINS, self.columns))
        self.counts = np.zeros(self.columns)
        self.rest, self.start = np.zeros(0, np.float32), 0

    def add(self, wave):
        """Takes the next samples (n)."""
        wave = np.concatenate([self.rest, wave])
        n_frames = max(0, (len(wave) - N_FFT) // self.hop + 1)
        if n_frames:
            frames = np.lib.stride_tricks.sliding_window_view(wave, N_FFT)[:: self.hop]
            power = np.abs(np.fft.rfft(frames * np.hanning(N_FFT).astype(np.float32))) ** 2
            middle = self.start + np.arange(n_frames) * self.hop + N_FFT // 2
            column = np.minimum(middle * self.columns // self.n_samples, self.columns - 1)
            np.add.at(self.power.T, column, power)
            np.add.at(self.counts, column, 1)
        self.rest = wave[n_frames * self.hop :]
        self.start += n_frames * self.hop

    def decibels(self):
        """The mean power in dB (frequencies, columns)."""
        return 10 * np.log10(self.power / np.maximum(self.counts, 1) + 1e-12)


class Picture:
    """Collects what a picture shows while a recording is analysed.

    Arguments
    ---------
    path : str or Path
        The recording.
    channels : str
        ``mix`` or ``separate``.
    """

    def __init__(self, path, channels):
        reader = AudioReader(path, channels)
        n_samples = max(1, round(reader.seconds * SAMPLE_RATE))
        self.title = os.fsencode(Path(path).name).decode(errors="replace")  # need not be UTF-8
        self.enhances = False
        self.channels = [
            (Spectrogram(n_samples), Spectrogram(n_samples)) for _ in range(reader.kept)
        ]

    def add(self, noisy, enhanced):
        """Takes the next samples of all channels (C, n), tensors; enhanced may be None."""
        self.enhances = enhanced is not None
        for index, pair in enumerate(self.channels):
            for spectrogram, waves in zip(pair, (noisy, enhanced)):
                if waves is not None:
                    spectrogram.add(waves[index].numpy())

    def save(self, path, analyses):
        """Draws the picture as a PNG that appears when it is finished."""
        with whole(path) as partial, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # boxes stand for what the font lacks
            figure = self.figure(analyses)
            figure.savefig(partial, format="png", **FORMAT)
            figure.clear()  # its parts hold each other, and would wait for Python to see it

    def figure(self, analyses):
        """The figure: for each channel two spectrograms, and a strip of emotions under them."""
        names = sorted({s.emotion for a in analyses for s in a.segments} - {NO_SPEECH})
        known = list(analyses[0].probabilities or {})
        names = known + [name for name in names if name not in known]
        colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
        colours[NO_SPEECH] = SILENT
        shape = [1.5, 1.5, 0.25] if self.enhances else [1.5, 0.25]
        heights = shape * len(analyses)
        figure = Figure(figsize=(10, sum(heights) + 1.1), layout="constrained")
        panels = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
        for index, (pair, analysis) in enumerate(zip(self.channels, analyses)):
            own = panels[len(shape) * index : len(shape) * (index + 1)]
            self.channel(own, pair[: len(shape) - 1], analysis, colours)
        panels[-1].set_xlabel("seconds", fontsize=9)
        figure.suptitle(plain(self.title, 80), fontsize=10)
        shown = [n for n in colours if any(s.emotion == n for a in analyses for s in a.segments)]
        if shown:
            patches = [Patch(color=colours[name], label=plain(name, 20)) for name in shown]
            figure.legend(
                handles=patches, loc="outside lower center", ncols=6, frameon=False, fontsize=8
            )
        return figure

    def channel(self, panels, pair, analysis, colours):
        """The panels of one channel."""
        levels = [spectrogram.decibels() for spectrogram in pair]
        top = max(level.max() for level in levels)
        number = "" if analysis.channel is None else f" {analysis.channel}"
        for axes, level, name in zip(panels[:-1], levels, ("before", "after")):
            axes.imshow(
                level - top,
                cmap="magma",
                vmin=-RANGE,
                vmax=0,
                aspect="auto",
                origin="lower",
                extent=(0, analysis.duration, 0, SAMPLE_RATE / 2000),
            )
            axes.set_ylabel(f"{name}{number}\nkHz", fontsize=9)
            axes.tick_params(labelbottom=False, labelsize=8)
        strip = panels[-1]
        for segment in analysis.segments:
            width = segment.end - segment.start
            strip.barh(0, width, left=segment.start, height=1, color=colours[segment.emotion])
        strip.set(xlim=(0, analysis.duration), ylim=(-0.5, 0.5), yticks=[])
        strip.tick_params(labelsize=8)
