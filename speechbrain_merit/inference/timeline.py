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

from dataclasses import dataclass

import numpy as np

NO_SPEECH = "no_speech"
CELL = 1  # second
CONTEXT = 3  # seconds that a cell's probabilities are computed from
SHORTEST_SEGMENT = 2  # seconds


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


def sections(begin, end, total):
    """The section of ``CONTEXT`` seconds around each cell of a part of a recording.

    Arguments
    ---------
    begin, end : float
        The part, in seconds; ``begin`` is a full second.
    total : float
        Length of the recording as far as it is known, in seconds.

    Returns
    -------
    list of tuple
        Start and end of each section.

    Example
    -------
    >>> sections(0, 4.5, 4.5)
    [(0, 3), (0, 3), (1, 4), (1.5, 4.5), (1.5, 4.5)]
    >>> sections(0, 2.5, 2.5)
    [(0, 2.5)]
    """
    if total <= CONTEXT:
        return [(0, total)]
    starts = [max(0, min(cell - CELL, total - CONTEXT)) for cell in range(begin, int(np.ceil(end)))]
    return [(start, start + CONTEXT) for start in starts]


def segments(probabilities, speech, total, labels):
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
    cells = [int(row.argmax()) if heard else -1 for row, heard in zip(probabilities, speech)]
    ends = [min(total, CELL * (index + 1)) for index in range(len(cells))]
    ends[-1] = total
    runs = []  # [label, first cell, last cell + 1]
    for index, label in enumerate(cells):
        if runs and runs[-1][0] == label:
            runs[-1][2] = index + 1
        else:
            runs.append([label, index, index + 1])

    def seconds(run):
        return ends[run[2] - 1] - (ends[run[1] - 1] if run[1] else 0)

    while len(runs) > 1:
        place = min(range(len(runs)), key=lambda i: seconds(runs[i]))
        if seconds(runs[place]) >= SHORTEST_SEGMENT:
            break
        beside = [i for i in (place - 1, place + 1) if 0 <= i < len(runs)]
        emotion = runs[place][0] >= 0
        to = max(beside, key=lambda i: (emotion and runs[i][0] >= 0, seconds(runs[i])))
        runs[to][1:] = min(runs[to][1], runs[place][1]), max(runs[to][2], runs[place][2])
        del runs[place]
        merged = runs[:1]
        for run in runs[1:]:
            if run[0] == merged[-1][0]:
                merged[-1][2] = run[2]
            else:
                merged.append(run)
        runs = merged
    result = []
    for label, first, last in runs:
        heard = probabilities[first:last][np.asarray(speech[first:last], dtype=bool)]
        score = round(float(heard[:, label].mean()), 4) if label >= 0 and len(heard) else None
        start = ends[first - 1] if first else 0
        result.append(Segment(start, ends[last - 1], labels[label] if label >= 0 else NO_SPEECH,
                              score))  # fmt: skip
    return result
