"""MeritStream: clean speech and its emotion while the sound arrives."""

import math
from collections import deque
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
import soxr
import torch

from speechbrain_merit.audio.reading import RATES
from speechbrain_merit.audio.windows import Joiner, Windower, file_plan, live_plan
from speechbrain_merit.errors import StreamError
from speechbrain_merit.inference.smoothing import Smoother
from speechbrain_merit.inference.timeline import cells, segments
from speechbrain_merit.lobes.spectrum import MIN_SAMPLES, SAMPLE_RATE

#: Seconds from a sample's arrival to its chunk.
SHORTEST_LATENCY, LONGEST_LATENCY = 0.25, 10
#: What whole numbers are divided by.
FULL_SCALE = {np.dtype(np.int16): 2**15, np.dtype(np.int32): 2**31}
HEADS = {"enhancement": "se", "emotion": "ser"}


class Chunk(NamedTuple):
    """A piece of a stream, at most a second long.

    ``enhanced`` (n), float32 on the CPU, at the stream's rate, one channel; ``emotion`` as it is
    shown (:mod:`speechbrain_merit.inference.smoothing`), or ``no_speech``; ``probabilities``
    emotion → calibrated probability in the 3 s around it as far as they are heard, None where
    these hold no speech; ``speech``, whether they do; ``snr_db``, 10·log10 of enhanced over removed
    energy, None where either is nothing; ``at``, where it begins, in seconds.
    """

    enhanced: torch.Tensor
    emotion: str
    probabilities: dict | None
    speech: bool
    snr_db: float | None
    at: float


class MeritStream:
    """Hears sound as it arrives; gives as many samples as it was given.

    Blocks of any size give the same chunks, to the bit. A sample's chunk comes with the push that
    brings the sound up to ``latency`` seconds behind it; at other rates than 16 kHz filters add up
    to a quarter of a second from 8 kHz on. A third of the latency, at most 1.7 s, is look-ahead,
    the rest the hop from window to window; a window is two seconds longer
    than the latency, and at least three seconds (``live_plan`` of
    :mod:`speechbrain_merit.audio.windows`).

    With the model's ``window_seconds`` as latency (10 unless it says otherwise), windows are those
    of a file: ``enhanced`` and :meth:`timeline` are what ``analyse_file`` gives, save for what only
    the whole of a recording tells: an offset (DC) is not taken off, and channels that cancel each
    other are not told from others.

    One thread at a time may use a stream; streams of one interface are strangers to each other.

    Arguments
    ---------
    merit : MeritInterface
        The model, with an enhancement and an emotion head.
    sample_rate : int
        Hz, of what is pushed and of what comes back.
    channels : int
        Of what is pushed; their mean is heard, and comes back as one.
    latency : float
        Seconds, 0.25 to 10, or up to the model's ``window_seconds`` where these are more.

    Raises
    ------
    StreamError
        The model lacks a head, or no stream can be of that rate, channels or latency.

    Example
    -------
    >>> from speechbrain_merit.inference import MeritInterface
    >>> stream = MeritStream(MeritInterface.shipped(run_opts={"device": "cpu"}))
    >>> chunks = [c for _ in range(10) for c in stream.push(np.zeros(1600))] + stream.finish()
    >>> sum(len(chunk.enhanced) for chunk in chunks), chunks[0].emotion, chunks[1].at
    (16000, 'no_speech', 0.5)
    """

    def __init__(self, merit, sample_rate=SAMPLE_RATE, channels=1, latency=0.75):
        for head, task in HEADS.items():
            if task not in merit.tasks or getattr(merit.model, head) is None:
                raise StreamError(f"This model has no {head} head, and a stream needs it.")
        longest = max(LONGEST_LATENCY, merit.window_seconds)
        if not isinstance(sample_rate, Integral) or sample_rate not in RATES:
            raise StreamError(f"sample_rate is {sample_rate!r}: give Hz, such as 16000 or 48000.")
        if not isinstance(channels, Integral) or channels < 1:
            raise StreamError(f"channels is {channels!r}: give a whole number from 1 on.")
        if not isinstance(latency, Real) or not SHORTEST_LATENCY <= latency <= longest:
            raise StreamError(
                f"latency is {latency!r}: give seconds, {SHORTEST_LATENCY} to {longest:g}."
            )
        self.merit, self.sample_rate, self.channels = merit, int(sample_rate), int(channels)
        of_file = latency >= merit.window_seconds
        window = merit.window_seconds
        self.plan = file_plan(window) if of_file else live_plan(latency, window)
        self.labels = list(merit.hparams.labels)
        self.there = Resampler(self.sample_rate, SAMPLE_RATE)
        self.windower = Windower(self.plan)
        self.noisy, self.enhanced = Joiner(self.plan), Joiner(self.plan)
        self.final, self.heard_until = torch.zeros(2, 0), 0  # of both; what pieces have taken
        self.told = deque()  # pieces whose samples are not all final
        self.smoother = Smoother(self.labels)
        self.back = Resampler(SAMPLE_RATE, self.sample_rate)
        self.pushed = self.given = 0  # samples at the stream's rate
        self.over = None  # why nothing more can be pushed

    def push(self, samples):
        """Takes the next samples.

        Arguments
        ---------
        samples : array or torch.Tensor
            (n), or (n, channels) as soundfile and sounddevice have it; floats, full scale 1, or
            int16 or int32; any n, 0 among it.

        Returns
        -------
        list of Chunk
            What is ready.

        Raises
        ------
        StreamError
            The stream is over; or the block has another number of channels, another type, or NaN
            or infinite samples: then nothing of it has been taken.
        """
        return self.through(self.windows(samples))

    def finish(self):
        """Ends the stream; gives the rest (list of Chunk)."""
        return self.through(self.last_windows())

    def windows(self, samples):
        """The first half of :meth:`push`: windows, of which each goes on to :meth:`take`.

        A service hears those of several streams in one pass, by ``merit.hear(windows)``; what a
        stream gives then depends on the others by no more than rounding.
        """
        self.require_open()
        samples = self.checked(samples)
        self.pushed += len(samples)
        return self.windower.push(self.there.add(samples.mean(axis=1))[None])

    def last_windows(self):
        """The first half of :meth:`finish`."""
        self.require_open()
        self.over = "finished"
        samples = self.there.finish()
        if self.pushed and self.windower.total + len(samples) == 0:
            samples = np.zeros(1, np.float32)  # a sample of a high rate
        windows = self.windower.push(samples[None]) + self.windower.finish()
        if windows and windows[-1].wavs.shape[1] < MIN_SAMPLES:
            missing = MIN_SAMPLES - windows[-1].wavs.shape[1]
            padded = np.pad(windows[-1].wavs, ((0, 0), (0, missing)))
            windows[-1] = windows[-1]._replace(wavs=padded)
        return windows

    def require_open(self):
        """Raises StreamError where the stream is over."""
        if self.over is not None:
            raise StreamError(f"This stream is {self.over}: open another one.")

    def checked(self, samples):
        """Samples (n, channels) in float32, or StreamError."""
        if isinstance(samples, torch.Tensor):
            samples = samples.detach().cpu()
            samples = (samples.float() if samples.is_floating_point() else samples).numpy()
        samples = np.asarray(samples)
        if not samples.size:
            return np.zeros((0, self.channels), np.float32)
        if samples.ndim == 1 and self.channels == 1:
            samples = samples[:, None]
        if samples.ndim != 2 or samples.shape[1] != self.channels:
            turned = samples.ndim == 2 and samples.shape[0] == self.channels
            raise StreamError(
                f"A block of shape {samples.shape}: this stream takes (samples, {self.channels})"
                + (" or (samples)" if self.channels == 1 else "")
                + (": turn it, block.T." if turned else "; open another one for other channels.")
            )
        if samples.dtype in FULL_SCALE:
            return samples.astype(np.float32) / np.float32(FULL_SCALE[samples.dtype])
        if samples.dtype.kind != "f":
            raise StreamError(f"A block of {samples.dtype}: give floats, int16 or int32.")
        with np.errstate(over="ignore"):  # found as infinite
            samples = samples.astype(np.float32)
        finite = np.isfinite(samples).all(axis=1)
        if not finite.all():
            place = (self.pushed + int(np.argmin(finite))) / self.sample_rate
            raise StreamError(f"NaN or infinite samples at {place:.2f} s: the block is not taken.")
        return samples

    def through(self, windows):
        """Hears windows, one by one; gives the chunks."""
        chunks, over = [], self.over
        self.over = "broken"  # by an error while a window is heard, which is then lost
        for window in windows:
            try:
                heard = self.merit.hear([window])
            except FloatingPointError as error:  # of the network, on samples that no sound has
                raise StreamError(f"{error}: the stream cannot go on, open another one.") from error
            chunks += self.take(window, heard[0])
        self.over = over
        return chunks

    def take(self, window, heard):
        """The second half: what was heard of a window (list of Heard); gives the chunks."""
        (heard,) = heard
        noisy = self.noisy.add(window, torch.from_numpy(window.wavs))
        enhanced = self.enhanced.add(window, heard.enhanced[None])
        self.final = torch.cat([self.final, torch.cat([noisy, enhanced])], dim=1)
        for joiner in (self.noisy, self.enhanced):
            joiner.meetings.clear()  # a day would have many
        self.told.extend(zip(cells(window), heard.cells, map(bool, heard.cell_speech)))
        chunks = []
        while self.told and self.told[0][0][1] <= self.heard_until + self.final.shape[1]:
            place, row, speech = self.told.popleft()
            last = window.last and not self.told
            chunks.append(self.chunk(*place, row, speech, last))
        return chunks

    def chunk(self, begin, end, row, speech, last):
        """The chunk of a piece, of its probabilities (classes) and whether it holds speech."""
        noisy, enhanced = self.final[:, : end - begin]
        self.final, self.heard_until = self.final[:, end - begin :].clone(), end
        kept = float(enhanced.double().square().sum())
        removed = float((noisy - enhanced).double().square().sum())
        wave, at = self.back.add(enhanced.numpy()), self.given
        if last:
            wave = np.concatenate([wave, self.back.finish()])[: self.pushed - at]
            wave = np.pad(wave, (0, self.pushed - at - len(wave)))  # filters round
        self.given += len(wave)
        return Chunk(
            enhanced=torch.from_numpy(wave.copy()),
            emotion=self.smoother.add(row, speech, begin, end),
            probabilities=dict(zip(self.labels, map(float, row))) if speech else None,
            speech=speech,
            snr_db=10 * math.log10(kept / removed) if kept > 0 and removed > 0 else None,
            at=at / self.sample_rate,
        )

    def timeline(self, chunks):
        """The emotion over time, as an analysis has it.

        Arguments
        ---------
        chunks : list of Chunk
            All of the stream, from the first.

        Returns
        -------
        list of Segment
            By the rule of :mod:`speechbrain_merit.inference.timeline`, its cells the chunks.
        """
        if not chunks:
            return []
        cell = (self.plan.cell or SAMPLE_RATE) / SAMPLE_RATE
        total = sum(len(chunk.enhanced) for chunk in chunks) / self.sample_rate
        nobody = dict.fromkeys(self.labels, 0.0)
        rows = np.array([list((chunk.probabilities or nobody).values()) for chunk in chunks])
        speech = np.array([chunk.speech for chunk in chunks])
        ends = [min(total, cell * (index + 1)) for index in range(len(chunks))]
        return segments(rows, speech, total, self.labels, ends)


class Resampler:
    """Samples (n) of one channel from rate to rate, block by block; the very samples if equal.

    Example
    -------
    >>> resampler = Resampler(8000, 16000)
    >>> len(resampler.add(np.zeros(8000, np.float32))) + len(resampler.finish())
    16000
    """

    def __init__(self, source, target):
        equal = source == target
        self.soxr = None if equal else soxr.ResampleStream(source, target, 1, dtype="float32")

    def add(self, wave):
        """Takes samples (n); gives what is ready."""
        if self.soxr is None or not len(wave):
            return wave
        return self.soxr.resample_chunk(np.ascontiguousarray(wave)[:, None])[:, 0]

    def finish(self):
        """The rest."""
        nothing = np.zeros(0, np.float32)
        if self.soxr is None:
            return nothing
        return self.soxr.resample_chunk(nothing[:, None], last=True)[:, 0]
