"""Sound of any length through windows that overlap, joined again without a seam.

Two windows meet near the middle of their overlap, where they agree best, and one fades into the
other there. So every sample is taken from a window in which it has real sound on either side,
except at the ends. :class:`Windower` cuts samples as they arrive, for files and streams alike; a
:class:`Plan` says where. C channels, S samples.
"""

from typing import NamedTuple

import numpy as np
import torch

from speechbrain_merit.lobes.spectrum import FRAME_RATE, SAMPLE_RATE

#: Seconds in which two windows of a file overlap; its middle is a full second.
OVERLAP = 2
#: Seconds from that middle within which the place is chosen where two windows meet.
REACH = 0.6
#: Seconds on either side of that place in which one window fades into the other.
FADE = 0.1
WIDTH = round(FADE * SAMPLE_RATE)  # the same in samples
#: Seconds of the shortest window: below it most of the work would be overlap.
SHORTEST_WINDOW = 4
#: Seconds that a window of a file hears behind what it makes final: of these, 0.3 s are context.
LOOK_AHEAD = OVERLAP / 2 + REACH + FADE


class Plan(NamedTuple):
    """Where sound is cut into windows, and how these are joined; all in samples.

    The first window ends at ``first``, each other ``hop`` behind the one before, and none is longer
    than ``length``. Final are the samples up to ``look_ahead`` before the end of a window, which
    meet those of the next one within ``reach`` and fade over ``2 · fade``. The last window starts
    on a multiple of ``grid``. A window is ready when ``wait`` samples beyond its end are there:
    1 leaves a recording that ends there to the last window. ``cell`` is the longest piece that an
    emotion is told of; None are the seconds of the part that counts.
    """

    length: int
    hop: int
    first: int
    look_ahead: int
    reach: int
    fade: int
    grid: int
    wait: int
    cell: int | None

    @property
    def half(self):
        """Samples on either side of the middle in which two windows may be mixed."""
        return self.reach + self.fade


def file_plan(seconds):
    """The plan of a file: windows of a length, which overlap by two seconds.

    Arguments
    ---------
    seconds : int
        Length of a window. What is no longer comes as one window; the last window of a longer
        recording reaches back to be about as long as the others.

    Raises
    ------
    ValueError
        ``seconds`` is no whole number of at least 4.

    Example
    -------
    >>> plan = file_plan(10)
    >>> plan.hop / SAMPLE_RATE, plan.look_ahead / SAMPLE_RATE
    (8.0, 1.7)
    """
    if seconds < SHORTEST_WINDOW or seconds != int(seconds):
        raise ValueError(
            f"window_seconds is {seconds}: give a whole number from {SHORTEST_WINDOW} on."
        )
    length = int(seconds) * SAMPLE_RATE
    return Plan(
        length=length,
        hop=length - OVERLAP * SAMPLE_RATE,
        first=length,
        look_ahead=round(LOOK_AHEAD * SAMPLE_RATE),
        reach=round(REACH * SAMPLE_RATE),
        fade=WIDTH,
        grid=SAMPLE_RATE,
        wait=1,
        cell=None,
    )


#: Seconds that a window of a stream is longer than its latency, and what it has at least.
PAST, LIVE_WINDOW = 2, 3
FRAME = SAMPLE_RATE // FRAME_RATE  # samples; windows start on the frames of the ones before


def live_plan(latency, longest):
    """The plan of a stream: every sample is final at most ``latency`` seconds after it came.

    A third of the latency, and at most what a file has, is look-ahead; the rest is the hop. The
    window is two seconds longer than the latency, and at least three seconds.

    Arguments
    ---------
    latency : float
        Seconds.
    longest : float
        Seconds of the longest window.

    Example
    -------
    >>> plan = live_plan(0.75, longest=10)
    >>> [samples / SAMPLE_RATE for samples in (plan.length, plan.hop, plan.look_ahead)]
    [3.0, 0.5, 0.24]
    """
    frames = round(latency * SAMPLE_RATE) // FRAME
    ahead = min(frames // 3, round(LOOK_AHEAD * FRAME_RATE))
    pieces = -(-(frames - ahead) // FRAME_RATE)  # none of them is longer than a second
    cell = (frames - ahead) // pieces * FRAME
    share = ahead * FRAME / (LOOK_AHEAD * SAMPLE_RATE)
    seconds = min(longest, max(LIVE_WINDOW, PAST + latency))
    return Plan(
        length=round(seconds * FRAME_RATE) * FRAME,
        hop=cell * pieces,
        first=cell * pieces + ahead * FRAME,
        look_ahead=ahead * FRAME,
        reach=round(REACH * SAMPLE_RATE * share),
        fade=round(FADE * SAMPLE_RATE * share),
        grid=FRAME,
        wait=0,
        cell=cell,
    )


class Window(NamedTuple):
    """A section of a recording and which part of it counts.

    ``start`` in the recording, ``wavs`` (C, S), ``begin`` and ``end`` of the part that counts, in
    samples from ``start``; ``last`` of the recording or not; ``cells``, the pieces that an emotion
    is told of, (begin, end) in the recording, or None for the seconds of the part that counts.
    """

    start: int
    wavs: np.ndarray
    begin: int
    end: int
    last: bool
    cells: list | None = None


class Windower:
    """Cuts samples into windows as they arrive; keeps no more than the next window needs.

    Arguments
    ---------
    plan : Plan
        Where to cut.

    Example
    -------
    >>> windower = Windower(file_plan(10))
    >>> blocks = np.split(np.zeros((1, 16000 * 21)), 7, axis=1)
    >>> [(w.start // 16000, w.end // 16000) for block in blocks for w in windower.push(block)]
    [(0, 9), (8, 9)]
    >>> [(w.start // 16000, w.end // 16000) for w in windower.finish()]
    [(11, 10)]
    """

    def __init__(self, plan):
        self.plan = plan
        self.blocks, self.base, self.total = [], 0, 0  # samples from base to total are held
        self.stop = plan.first  # of the next window
        self.done = self.told = 0  # samples in parts that counted, and in cells

    def push(self, block):
        """Takes the next samples (C, n), of any n; gives the windows that are ready (list)."""
        if block.shape[1]:  # empty ones would gather
            self.blocks.append(block)
        self.total += block.shape[1]
        windows = []
        while self.total >= self.stop + self.plan.wait:
            start, middle = max(0, self.stop - self.plan.length), self.stop - self.plan.look_ahead
            windows.append(self.window(start, self.stop, middle + self.plan.half, middle))
            self.stop += self.plan.hop
        return windows

    def finish(self):
        """The last window, which holds the rest; none where there was no sound (list)."""
        if self.total == 0:
            return []
        grid = self.plan.grid
        start = max(self.base, -(-(self.total - self.plan.length) // grid) * grid)
        return [self.window(start, self.total, self.total, self.total, last=True)]

    def window(self, start, stop, end, told, last=False):
        """A window of samples ``start`` … ``stop`` that counts up to ``end``; drops older ones."""
        held = self.blocks[0] if len(self.blocks) == 1 else np.concatenate(self.blocks, axis=1)
        begin, self.done = self.done, end
        cells = None
        if self.plan.cell is not None:
            edges = [*range(self.told, told, self.plan.cell), told]
            cells, self.told = list(zip(edges, edges[1:])), told
        self.blocks, offset, self.base = [held[:, start - self.base :]], self.base, start
        wavs = held[:, start - offset : stop - offset]
        return Window(start, wavs, begin - start, end - start, last, cells)


def cut(blocks, seconds):
    """Cuts the blocks of a file into windows.

    Arguments
    ---------
    blocks : iterable of numpy.ndarray
        Consecutive samples (C, n) at 16 kHz, of any n.
    seconds : int
        See :func:`file_plan`.

    Yields
    ------
    Window

    Example
    -------
    >>> windows = list(cut([np.zeros((1, 16000 * 21))], seconds=10))
    >>> [(w.start // 16000, w.wavs.shape[1] // 16000) for w in windows]
    [(0, 10), (8, 10), (11, 10)]
    >>> [((w.start + w.begin) // 16000, (w.start + w.end) // 16000) for w in windows]
    [(0, 9), (9, 17), (17, 21)]
    """
    windower = Windower(file_plan(seconds))
    for block in blocks:
        yield from windower.push(block)
    yield from windower.finish()


class Joiner:
    """Puts enhanced windows together again, in order.

    Arguments
    ---------
    plan : Plan, optional
        By which they were cut; a file's unless given.

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

    def __init__(self, plan=None):
        plan = plan or file_plan(SHORTEST_WINDOW)
        self.half, self.width = plan.half, plan.fade
        self.tail, self.meetings = None, []

    def add(self, window, wavs):
        """Takes the enhanced window (C, S); gives the samples (C, n) that are final by now."""
        half = self.half
        begin = window.begin - (0 if self.tail is None else half)
        end = window.end if window.last else window.end - half
        piece = wavs[:, begin:end]
        if self.tail is not None:
            mixed, place = self.fade(self.tail, piece[:, : 2 * half], self.width)
            self.meetings.append(window.start + begin + place)
            piece = torch.cat([mixed, piece[:, 2 * half :]], dim=1)
        self.tail = None if window.last else wavs[:, end : window.end + half].clone()
        return piece

    @staticmethod
    def fade(old, new, width=WIDTH):
        """From ``old`` to ``new`` (C, n), where they differ least; and the place of that."""
        total = (old - new).double().square().sum(dim=0).cumsum(dim=0)
        total = torch.nn.functional.pad(total, (1, 0))
        place = int((total[2 * width :] - total[: -2 * width]).argmin()) + width
        rise = torch.zeros(old.shape[1], dtype=old.dtype, device=old.device)
        ramp = (torch.arange(2 * width, dtype=old.dtype, device=old.device) + 0.5) / (2 * width)
        rise[place - width : place + width] = torch.sin(ramp * torch.pi / 2) ** 2
        rise[place + width :] = 1
        return old * (1 - rise) + new * rise, place
