"""The timeline: the rule as it is written down, at a cost that grows with the recording."""

import random
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechbrain_merit.inference import timeline
from speechbrain_merit.inference.timeline import NO_SPEECH, joined, segments

LABELS = ["sad", "happy", "angry"]


def by_the_book(cells, ends):
    """Rules 3 and 4 as they read: look for the shortest run, let a neighbour have it, again."""
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
        if seconds(runs[place]) >= timeline.SHORTEST_SEGMENT:
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
    return [tuple(run) for run in runs]


def cell_ends(n_cells, rest):
    return [*range(1, n_cells), n_cells - 1 + rest]


@given(
    cells=st.lists(st.integers(-1, 2), min_size=1, max_size=40),
    rest=st.sampled_from([0.1, 0.5, 1.0]) | st.floats(0.001, 1.0),
    shortest=st.sampled_from([2, 2, 3, 5]),
)
@settings(max_examples=400, deadline=None)
def test_runs_join_as_the_rule_reads(cells, rest, shortest):
    ends = cell_ends(len(cells), rest)
    before = timeline.SHORTEST_SEGMENT
    timeline.SHORTEST_SEGMENT = shortest  # longer ones let runs grow more than once
    try:
        assert joined(cells, ends) == by_the_book(cells, ends)
    finally:
        timeline.SHORTEST_SEGMENT = before


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=30))
@settings(max_examples=100, deadline=None)
def test_segments_cover_the_recording_and_score_what_was_heard(cells):
    probabilities = np.full((len(cells), 3), 0.2)
    for row, (label, _) in zip(probabilities, cells):
        row[label] = 0.6
    speech, total = np.array([heard for _, heard in cells]), len(cells) - 0.25
    found = segments(probabilities, speech, total, LABELS)
    assert [s.start for s in found] == [0, *(s.end for s in found[:-1])]
    assert found[-1].end == total
    assert all(a.emotion != b.emotion for a, b in zip(found, found[1:]))
    for segment in found:
        heard = [label for label, h in cells[int(segment.start) : int(np.ceil(segment.end))] if h]
        if segment.emotion == NO_SPEECH:
            assert segment.score is None
        elif heard:
            share = heard.count(LABELS.index(segment.emotion)) / len(heard)
            assert segment.score == pytest.approx(0.2 + 0.4 * share, abs=1e-4)


def calls(n_cells):
    """How many functions are called to join the cells of a recording that changes every second."""
    rng, count = random.Random(0), 0
    cells = [rng.randrange(-1, 3) for _ in range(n_cells)]

    def counting(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counting)
    try:
        joined(cells, cell_ends(n_cells, 1.0))
    finally:
        sys.setprofile(None)
    return count


def test_the_work_grows_with_the_recording_and_not_with_its_square():
    assert calls(8000) < 1.2 * 4 * calls(2000)  # 16 times where it is quadratic


def test_a_day_is_joined():
    rng = np.random.default_rng(0)
    day = 24 * 3600
    probabilities, speech = rng.dirichlet(np.ones(3), day), rng.random(day) < 0.8
    found = segments(probabilities, speech, day - 0.5, LABELS)
    assert found[-1].end == day - 0.5
    assert min(s.end - s.start for s in found) >= timeline.SHORTEST_SEGMENT
