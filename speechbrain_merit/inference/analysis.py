"""What is known of one recording after one pass of the network, assembled window by window."""

import math
from dataclasses import dataclass, field

import numpy as np
import torch

from speechbrain_merit.audio.windows import Joiner
from speechbrain_merit.inference.timeline import NO_SPEECH, segments
from speechbrain_merit.lobes.spectrum import FRAME_RATE, SAMPLE_RATE


@dataclass
class Analysis:
    """The analysis of one recording, or of one channel of it.

    Attributes
    ----------
    duration : float
        Seconds.
    emotion : str or None
        The likeliest emotion, or ``no_speech``; None for a model without an emotion head.
    probabilities : dict or None
        Emotion → calibrated probability; None where there is no speech.
    attributes : dict
        Attribute (such as arousal) → value, for a model that has a head for them and a recording
        that holds speech.
    segments : list of Segment
        The emotion over time (:mod:`speechbrain_merit.inference.timeline`).
    speech_seconds : float
        How much of the recording is speech.
    snr_db : float or None
        Estimated signal-to-noise ratio: 10·log10 of the enhanced energy over the removed energy;
        None where either is nothing.
    experts : dict
        Task → expert of each frame (T), 50 frames a second; empty for a model without experts.
    enhanced : torch.Tensor or None
        The enhanced wave (S) at 16 kHz, on the CPU; None where it went to a file alone.
    path, enhanced_path : str or None
        The recording and its enhanced file.
    channel : int or None
        Channel of the recording, from 0; None for a mix of all.
    sample_rate : int
        Of the recording.
    joints : list of float
        Seconds at which windows met; empty for a recording that was heard in one pass.
    warnings : list of str
        What was wrong with the recording and passed over.
    error : str or None
        Why a recording of several could not be analysed: the rest says nothing then.
    """

    duration: float
    emotion: str | None = None
    probabilities: dict | None = None
    attributes: dict = field(default_factory=dict)
    segments: list = field(default_factory=list)
    speech_seconds: float = 0.0
    snr_db: float | None = None
    experts: dict = field(default_factory=dict)
    enhanced: torch.Tensor | None = None
    path: str | None = None
    enhanced_path: str | None = None
    channel: int | None = None
    sample_rate: int = SAMPLE_RATE
    joints: list = field(default_factory=list)
    warnings: list = field(default_factory=list)
    error: str | None = None

    def to_dict(self):
        """Plain values for JSON; experts as runs ``[expert, number of frames]``.

        Example
        -------
        >>> analysis = Analysis(0.1, "sad", {"sad": 1.0}, experts={"se": np.array([0, 0, 2])})
        >>> analysis.to_dict()["experts"]
        {'se': [[0, 2], [2, 1]]}
        """
        return {
            "path": self.path,
            "channel": self.channel,
            "duration": round(self.duration, 3),
            "sample_rate": self.sample_rate,
            "emotion": self.emotion,
            "probabilities": self.probabilities
            and {name: round(value, 4) for name, value in self.probabilities.items()},
            "attributes": {name: round(value, 4) for name, value in self.attributes.items()},
            "segments": [vars(segment) for segment in self.segments],
            "speech_seconds": round(self.speech_seconds, 2),
            "snr_db": None if self.snr_db is None else round(self.snr_db, 2),
            "enhanced_path": self.enhanced_path,
            "expert_frame_rate": FRAME_RATE if self.experts else None,
            "experts": {task: runs(chosen) for task, chosen in self.experts.items()},
            "joints": [round(place, 3) for place in self.joints],
            "warnings": self.warnings,
        }


def runs(values):
    """Equal neighbours as ``[value, count]``.

    Example
    -------
    >>> runs(np.array([1, 1, 0]))
    [[1, 2], [0, 1]]
    """
    values = np.asarray(values)
    starts = np.flatnonzero(np.diff(values, prepend=values[:1] - 1))
    counts = np.diff(starts, append=len(values))
    return [[int(value), int(count)] for value, count in zip(values[starts], counts)]


@dataclass
class Heard:
    """What the network made of one channel of one window.

    ``enhanced`` (S), ``probabilities`` (classes) and ``attributes`` (A) of the whole window;
    ``cells`` (cells, classes), ``cell_speech`` (cells), ``speech_seconds`` and ``experts`` task →
    (T) of the part of it that counts.
    """

    enhanced: torch.Tensor | None = None
    probabilities: np.ndarray | None = None
    attributes: np.ndarray | None = None
    cells: np.ndarray | None = None
    cell_speech: np.ndarray | None = None
    speech_seconds: float = 0.0
    experts: dict = field(default_factory=dict)


def compact(heard):
    """What is kept of a window until its recording ends, as plain numbers.

    Arrays would lie between the large ones that come and go, and memory would grow with the
    recording although little of it is used.

    Example
    -------
    >>> compact(Heard(probabilities=np.array([0.5, 0.5]), cell_speech=[True])).probabilities
    [0.5, 0.5]
    """

    def plain(array):
        return None if array is None else np.asarray(array).tolist()

    return Heard(
        probabilities=plain(heard.probabilities),
        attributes=plain(heard.attributes),
        cells=plain(heard.cells),
        cell_speech=plain(heard.cell_speech),
        speech_seconds=heard.speech_seconds,
    )


class Assembler:
    """Puts together what was heard of the channels of one recording, window by window.

    Arguments
    ---------
    n_channels : int
        How many.
    labels : list of str
        The emotions.
    abstain : bool
        Whether ``no_speech`` is an answer; without it, every second counts the same.
    attributes : list of str
        The attributes, where the model has a head for them.
    sinks : list
        Called with (noisy, enhanced) samples (C, n), tensors, as these become final; enhanced is
        None for a model without that head.
    """

    def __init__(self, n_channels, labels, abstain=True, attributes=(), sinks=()):
        self.n_channels, self.labels, self.attributes = n_channels, labels, attributes
        self.abstain, self.sinks = abstain, sinks
        self.noisy, self.enhanced = Joiner(), Joiner()
        self.kept, self.removed = np.zeros(n_channels), np.zeros(n_channels)
        self.parts = [[] for _ in range(n_channels)]
        self.experts = [{} for _ in range(n_channels)]
        self.n_samples = 0

    def add(self, window, heard):
        """Takes the next window and what was heard of its channels (list of Heard)."""
        self.n_samples = window.start + window.end
        noisy, enhanced = self.noisy.add(window, torch.from_numpy(window.wavs)), None
        if heard[0].enhanced is not None:
            enhanced = self.enhanced.add(window, torch.stack([h.enhanced for h in heard]))
            self.kept += enhanced.double().square().sum(dim=1).numpy()
            self.removed += (noisy - enhanced).double().square().sum(dim=1).numpy()
        for sink in self.sinks:
            sink(noisy, enhanced)
        for parts, experts, one in zip(self.parts, self.experts, heard):
            for task, chosen in one.experts.items():
                experts.setdefault(task, bytearray()).extend(chosen.tobytes())
            parts.append(((window.end - window.begin) / SAMPLE_RATE, compact(one)))

    def mean(self, name, channel):
        """``probabilities`` or ``attributes`` of all windows, weighted by their speech, or None."""
        parts = self.parts[channel]
        rows = [getattr(heard, name) for _, heard in parts]
        if not rows or rows[0] is None:
            return None
        weights = [heard.speech_seconds if self.abstain else seconds for seconds, heard in parts]
        if not sum(weights):
            weights = [seconds for seconds, _ in parts]
        return np.average(rows, axis=0, weights=weights)

    def finish(self):
        """The analyses, one a channel."""
        return [self.analysis(channel) for channel in range(self.n_channels)]

    def analysis(self, channel):
        """The analysis of one channel."""
        parts = [heard for _, heard in self.parts[channel]]
        result = Analysis(
            duration=self.n_samples / SAMPLE_RATE,
            speech_seconds=sum(part.speech_seconds for part in parts),
            experts={
                task: np.frombuffer(bytes(chosen), dtype=np.uint8)
                for task, chosen in self.experts[channel].items()
            },
        )
        if self.kept[channel] > 0 and self.removed[channel] > 0:
            result.snr_db = 10 * math.log10(self.kept[channel] / self.removed[channel])
        result.joints = [place / SAMPLE_RATE for place in self.enhanced.meetings]
        speech = np.array([heard for part in parts for heard in part.cell_speech])
        if parts[0].cells is not None:
            cells = np.array([cell for part in parts for cell in part.cells])
            result.segments = segments(cells, speech, result.duration, self.labels)
            silent = all(segment.emotion == NO_SPEECH for segment in result.segments)
        else:
            silent = not speech.any()
        probabilities = self.mean("probabilities", channel)
        if probabilities is not None:
            result.emotion = NO_SPEECH if silent else self.labels[int(probabilities.argmax())]
        if not silent:
            if probabilities is not None:
                result.probabilities = dict(zip(self.labels, map(float, probabilities)))
            if self.attributes:
                values = self.mean("attributes", channel)
                result.attributes = dict(zip(self.attributes, map(float, values)))
        return result
