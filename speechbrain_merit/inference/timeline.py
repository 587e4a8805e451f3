"""The emotion over time: cells of one second, joined into segments by a fixed rule.

1. The recording is divided into cells of 1 s. A cell's probabilities are those of the 3 s of
   frames around it (at the ends: the first or last 3 s), so neighbours share what they hear. A
   recording up to 3 s is one cell.
2. A cell is ``no_speech`` where its 3 s hold no speech
   (:mod:`speechbrain_merit.audio.speech_presence`); otherwise its label is the likeliest emotion.
3. Neighbouring cells of the same label are one segment.
4. A segment shorter than 2 s joins the longer one of its neighbours, an emotion rather another
   emotion than ``no_speech``; the shortest segment goes first. An emotion that is heard for one
   second alone is rather an error.
5. A segment's score is the mean probability of its label over its cells that hold speech.
"""

import heapq
from dataclasses import dataclass

import numpy as np

from speechbrain_merit.labels import NO_SPEECH
from speechbrain_merit.lobes.spectrum import SAMPLE_RATE

CELL = 1  # second
CONTEXT = 3  # seconds that a cell's probabilities are computed from
SHORTEST_SEGMENT = 2  # seconds
NOBODY = -1  # in place of a label's index


@dataclass
class Segment:
    """A stretch of one emotion.

    ``start`` and ``end`` in seconds; ``emotion``, or ``no_speech``; ``score`` in 0 … 1, None for
    ``no_speech``.
    """

    start: float
    end: float
    emotion: str
    score: float | None


def cells(window):
    """The cells that a window tells of, (begin, end) in samples of the recording.

    Example
    -------
    >>> from speechbrain_merit.audio.windows import Window
    >>> cells(Window(0, np.zeros((1, 56000)), 0, 56000, last=True))
    [(0, 16000), (16000, 32000), (32000, 48000), (48000, 56000)]
    >>> cells(Window(0, np.zeros((1, 48000)), 0, 48000, last=True))
    [(0, 48000)]
    """
    if window.cells is not None:
        return window.cells
    begin, end = window.start + window.begin, window.start + window.end
    if window.start + window.wavs.shape[1] <= CONTEXT * SAMPLE_RATE:
        return [(begin, end)]
    edges = [*range(begin, end, CELL * SAMPLE_RATE), end]
    return list(zip(edges, edges[1:]))


def section(begin, first, total):
    """The section of ``CONTEXT`` seconds around a cell.

    Arguments
    ---------
    begin : float
        Where the cell begins, in seconds.
    first, total : float
        From where to where the recording is heard, in seconds.

    Returns
    -------
    tuple
        Start and end; all that is heard where that is shorter.

    Example
    -------
    >>> section(4, 0, 20), section(0, 0, 20), section(19, 0, 19.5), section(1, 0, 2.5)
    ((3, 6), (0, 3), (16.5, 19.5), (0, 2.5))
    """
    if total - first <= CONTEXT:
        return first, total
    start = max(first, min(begin - CELL, total - CONTEXT))
    return start, start + CONTEXT


def segments(probabilities, speech, total, labels, ends=None):
    """Joins cells into segments by the rule above.

    Arguments
    ---------
    probabilities : numpy.ndarray
        Of each cell (cells, classes).
    speech : numpy.ndarray
        Whether a cell holds speech (cells), bool.
    total : float
        Length of the recording in seconds.
    labels : list of str
        The classes.
    ends : list of float, optional
        Where each cell ends, in seconds, where cells are of other lengths.

    Returns
    -------
    list of Segment
        Without gaps, from 0 to ``total``.

    Example
    -------
    >>> p = np.array([[0.9, 0.1]] * 3 + [[0.4, 0.6]] + [[0.8, 0.2]] * 2)
    >>> segments(p, np.array([True] * 5 + [False]), 5.5, ["sad", "happy"])
    [Segment(start=0, end=5.5, emotion='sad', score=0.78)]
    """
    cells = np.where(speech, np.argmax(probabilities, axis=1), NOBODY).tolist()
    ends = ends or [min(total, CELL * (index + 1)) for index in range(len(cells))]
    ends[-1] = total
    result = []
    for label, first, last in joined(cells, ends):
        heard = probabilities[first:last][np.asarray(speech[first:last], dtype=bool)]
        score = round(float(heard[:, label].mean()), 4) if label >= 0 and len(heard) else None
        start = ends[first - 1] if first else 0
        result.append(Segment(start, ends[last - 1], labels[label] if label >= 0 else NO_SPEECH,
                              score))  # fmt: skip
    return result


def joined(cells, ends):
    """Runs of cells of one label, by rules 3 and 4.

    The shortest run lies on top of a heap, and each run knows its neighbours, so that the work
    hardly grows faster than the recording.

    Arguments
    ---------
    cells : list of int
        The label of each cell, ``NOBODY`` where there is no speech.
    ends : list of float
        Where each cell ends, in seconds.

    Returns
    -------
    list of tuple
        Label, first cell, last cell + 1.

    Example
    -------
    >>> joined([0, 0, 0, 1, 0, 0], [1, 2, 3, 4, 5, 5.5])
    [(0, 0, 6)]
    """
    first = [i for i, label in enumerate(cells) if i == 0 or label != cells[i - 1]]
    last = [*first[1:], len(cells)]
    label = [cells[i] for i in first]
    count = len(first)
    left, right = list(range(-1, count - 1)), list(range(1, count + 1))  # −1 and count: none
    gone = [False] * count

    def seconds(run):
        return ends[last[run] - 1] - (ends[first[run] - 1] if first[run] else 0)

    def neighbours(run):
        return [other for other in (left[run], right[run]) if 0 <= other < count]

    def take_in(run, other):
        """Makes a run and a neighbour one."""
        if other < run:
            first[run], left[run] = first[other], left[other]
        else:
            last[run], right[run] = last[other], right[other]
        gone[other] = True
        for beside in neighbours(run):
            if beside < run:
                right[beside] = run
            else:
                left[beside] = run

    heap = [(seconds(run), first[run], run) for run in range(count)]
    heapq.heapify(heap)
    while heap:
        length, start, run = heapq.heappop(heap)
        if gone[run] or (length, start) != (seconds(run), first[run]):
            continue  # it has grown, or is part of another
        if length >= SHORTEST_SEGMENT or not neighbours(run):
            break
        emotion = label[run] != NOBODY
        to = max(neighbours(run), key=lambda i: (emotion and label[i] != NOBODY, seconds(i)))
        take_in(to, run)
        for other in neighbours(to):
            if label[other] == label[to]:
                take_in(to, other)
        heapq.heappush(heap, (seconds(to), first[to], to))
    return [(label[i], first[i], last[i]) for i in range(count) if not gone[i]]
