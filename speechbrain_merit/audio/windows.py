"""Recordings of any length through windows that overlap, joined again without a seam.

Two windows meet near the middle of their overlap, where they agree best, and one fades into the
other there. So every sample is taken from a window in which it has at least
``OVERLAP / 2 − REACH − FADE`` seconds of real sound on either side, except at the ends of the
recording. C channels, S samples.
"""

from typing import NamedTuple

import numpy as np
import torch

from speechbrain_merit.lobes.spectrum import SAMPLE_RATE

#: Seconds in which two windows overlap; its middle is a full second.
OVERLAP = 2
#: Seconds from that middle within which the place is chosen where two windows meet.
REACH = 0.6
#: Seconds on either side of that place in which one window fades into the other.
FADE = 0.1
#: Seconds of the shortest window: below it most of the work would be overlap.
SHORTEST_WINDOW = 4


class Window(NamedTuple):
    """A section of a recording and which part of it counts.

    ``start`` in the recording, ``wavs`` (C, S), ``begin`` and ``end`` of the part that counts, in
    samples from ``start``; ``last`` of the recording or not.
    """

    start: int
    wavs: np.ndarray
    begin: int
    end: int
    last: bool


def cut(blocks, seconds):
    """Cuts a stream of blocks into windows.

    Arguments
    ---------
    blocks : iterable of numpy.ndarray
        Consecutive samples (C, n) at 16 kHz, of any n.
    seconds : int
        Length of a window. What is no longer comes as one window; the last window of a longer
        recording reaches back to be about as long as the others.

    Yields
    ------
    Window

    Raises
    ------
    ValueError
        ``seconds`` is no whole number of at least 4.

    Example
    -------
    >>> windows = list(cut([np.zeros((1, 16000 * 21))], seconds=10))
    >>> [(w.start // 16000, w.wavs.shape[1] // 16000) for w in windows]
    [(0, 10), (8, 10), (11, 10)]
    >>> [((w.start + w.begin) // 16000, (w.start + w.end) // 16000) for w in windows]
    [(0, 9), (9, 17), (17, 21)]
    """
    if seconds < SHORTEST_WINDOW or seconds != int(seconds):
        raise ValueError(
            f"window_seconds is {seconds}: give a whole number from {SHORTEST_WINDOW} on."
        )
    length, half = int(seconds) * SAMPLE_RATE, OVERLAP * SAMPLE_RATE // 2
    hop = length - 2 * half
    start = done = 0
    before = None  # the section between the start of the window before and that of the next one
    held = None
    for block in blocks:
        held = block if held is None else np.concatenate([held, block], axis=1)
        while held.shape[1] > length:
            yield Window(start, held[:, :length], done - start, length - half, last=False)
            done = start + length - half
            start += hop
            before, held = held[:, :hop], held[:, hop:]
    if held is None:
        return
    if before is not None:
        total = start + held.shape[1]
        back = -(-(total - length) // SAMPLE_RATE) * SAMPLE_RATE  # on a full second
        held = np.concatenate([before[:, back - start + hop :], held], axis=1)
        start = back
    yield Window(start, held, done - start, held.shape[1], last=True)


class Joiner:
    """Puts enhanced windows together again, in order.

    Attributes
    ----------
    meetings : list of int
        The samples of the recording at which windows met.

    Example
    -------
    >>> wave = np.random.default_rng(0).normal(size=(1, 16000 * 21))
    >>> joiner = Joiner()
    >>> pieces = [joiner.add(w, torch.from_numpy(w.wavs)) for w in cut([wave], seconds=10)]
    >>> np.allclose(torch.cat(pieces, dim=1), wave), len(joiner.meetings)
    (True, 2)
    """

    def __init__(self):
        self.tail, self.meetings = None, []

    def add(self, window, wavs):
        """Takes the enhanced window (C, S); gives the samples (C, n) that are final by now."""
        half = round((REACH + FADE) * SAMPLE_RATE)
        begin = window.begin - (0 if self.tail is None else half)
        end = window.end if window.last else window.end - half
        piece = wavs[:, begin:end]
        if self.tail is not None:
            mixed, place = self.fade(self.tail, piece[:, : 2 * half])
            self.meetings.append(window.start + begin + place)
            piece = torch.cat([mixed, piece[:, 2 * half :]], dim=1)
        self.tail = None if window.last else wavs[:, end : window.end + half].clone()
        return piece

    @staticmethod
    def fade(old, new):
        """From ``old`` to ``new`` (C, n), where they differ least; and the place of that."""
        width = round(FADE * SAMPLE_RATE)
        total = (old - new).double().square().sum(dim=0).cumsum(dim=0)
        total = torch.nn.functional.pad(total, (1, 0))
        place = int((total[2 * width :] - total[: -2 * width]).argmin()) + width
        rise = torch.zeros(old.shape[1], dtype=old.dtype, device=old.device)
        ramp = (torch.arange(2 * width, dtype=old.dtype, device=old.device) + 0.5) / (2 * width)
        rise[place - width : place + width] = torch.sin(ramp * torch.pi / 2) ** 2
        rise[place + width :] = 1
        return old * (1 - rise) + new * rise, place
