"""The emotion over time: each line of the rule, and what holds of every recording."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechbrain_merit.audio.windows import Window
from speechbrain_merit.inference.timeline import (
    NO_SPEECH,
    SHORTEST_SEGMENT,
    cells,
    section,
    segments,
)

LABELS = ["angry", "sad", "happy"]
SURE = {"a": [0.8, 0.1, 0.1], "s": [0.1, 0.7, 0.2], "h": [0.3, 0.1, 0.6], "-": [0.4, 0.3, 0.3]}


def timeline(cells, total=None):
    """The segments of cells, written as letters, a dash for no speech, as (start, end, emotion)."""
    found = segments(
        np.array([SURE[cell] for cell in cells]),
        np.array([cell != "-" for cell in cells]),
        len(cells) if total is None else total,
        LABELS,
    )
    return [(s.start, s.end, s.emotion) for s in found]


# Sections


def test_a_section_lies_around_its_cell_and_within_the_recording():
    def sections(cells, total):
        return [section(cell, 0, total) for cell in cells]

    assert sections([4, 5, 6], 20) == [(3, 6), (4, 7), (5, 8)]
    assert sections([0, 1], 20) == [(0, 3), (0, 3)]
    assert sections([18, 19], 20) == [(17, 20), (17, 20)]
    assert sections([0, 1, 2, 3], 3.5) == [(0, 3), (0, 3), (0.5, 3.5), (0.5, 3.5)]
    assert section(6.5, 4, 7.25) == (4.25, 7.25) and section(4.5, 4, 7.25) == (4, 7)


@pytest.mark.parametrize("total", [0.4, 2.5, 3])
def test_a_recording_of_up_to_three_seconds_is_one_section(total):
    samples = round(total * 16000)
    assert cells(Window(0, np.zeros((1, samples)), 0, samples, last=True)) == [(0, samples)]
    assert section(0, 0, total) == (0, total)


# The rule


def test_like_neighbours_are_one_segment():
    assert timeline("aasss") == [(0, 2, "angry"), (2, 5, "sad")]
    assert timeline("aaaa") == [(0, 4, "angry")]


def test_a_segment_of_two_seconds_stays_and_a_shorter_one_joins_the_longer_neighbour():
    assert timeline("aaasshhh") == [(0, 3, "angry"), (3, 5, "sad"), (5, 8, "happy")]
    assert timeline("aaaashhh") == [(0, 5, "angry"), (5, 8, "happy")]
    assert timeline("aaashhhh") == [(0, 3, "angry"), (3, 8, "happy")]
    assert timeline("aaashhh") == [(0, 4, "angry"), (4, 7, "happy")]  # both alike: the earlier


def test_at_the_ends_there_is_one_neighbour():
    assert timeline("ahhh") == [(0, 4, "happy")]
    assert timeline("hhha") == [(0, 4, "happy")]
    assert timeline("hhhaa", total=4.5) == [(0, 4.5, "happy")]  # 1.5 s


def test_what_lay_around_an_error_is_one_segment_again():
    assert timeline("aahaa") == [(0, 5, "angry")]
    assert timeline("aahaahhh") == [(0, 5, "angry"), (5, 8, "happy")]


def test_a_short_emotion_joins_another_emotion_rather_than_a_longer_pause():
    assert timeline("-----haa") == [(0, 5, NO_SPEECH), (5, 8, "angry")]
    assert timeline("aah-----") == [(0, 3, "angry"), (3, 8, NO_SPEECH)]
    assert timeline("---h---") == [(0, 7, NO_SPEECH)]


def test_a_short_pause_joins_the_longer_neighbour():
    assert timeline("aa-hhh") == [(0, 2, "angry"), (2, 6, "happy")]
    assert timeline("aaa-hh") == [(0, 4, "angry"), (4, 6, "happy")]


def test_the_shortest_goes_first():
    # The last segment first would take up the sad second, and stay.
    assert timeline("aaashh", total=5.9) == [(0, 5.9, "angry")]
    # Of two seconds the earlier one goes first; the later one then has a longer neighbour.
    assert timeline("aaash") == [(0, 5, "angry")]


def test_a_recording_without_speech_is_one_segment_without_a_score():
    (found,) = segments(np.full((4, 3), 1 / 3), np.zeros(4, dtype=bool), 3.2, LABELS)
    assert (found.start, found.end, found.emotion, found.score) == (0, 3.2, NO_SPEECH, None)


def test_a_pause_has_no_score_also_where_a_short_word_joined_it():
    (found,) = segments(np.array([SURE[c] for c in "---a---"]), np.eye(7, dtype=bool)[3], 7, LABELS)
    assert found.emotion == NO_SPEECH and found.score is None


def test_the_last_cell_reaches_to_the_end():
    assert timeline("aaa", total=2.25) == [(0, 2.25, "angry")]
    assert timeline("aaahh", total=5.4) == [(0, 3, "angry"), (3, 5.4, "happy")]


def test_a_score_is_the_mean_over_the_cells_with_speech():
    p = np.array([[0.9, 0.05, 0.05], [0.9, 0.05, 0.05], [0.0, 0.5, 0.5], [0.3, 0.6, 0.1]])
    p = np.concatenate([p, [[0.60004, 0.2, 0.19996]] * 2])
    speech = np.array([True, True, False, True, True, True])
    (found,) = segments(p, speech, 6.0, LABELS)
    expected = (0.9 + 0.9 + 0.3 + 2 * 0.60004) / 5
    assert found.emotion == "angry" and found.score == round(expected, 4)


@given(
    cells=st.text("ash-", min_size=1, max_size=40),
    cut=st.floats(0, 0.99),
)
@settings(max_examples=300, deadline=None)
def test_every_timeline_covers_its_recording_by_segments_that_are_heard_in_it(cells, cut):
    total = len(cells) - cut
    found = timeline(cells, total)
    assert found[0][0] == 0 and found[-1][1] == total
    names = dict(zip("ash-", [*LABELS, NO_SPEECH]))
    for (_, end, emotion), (start, _, other) in zip(found, found[1:]):
        assert end == start and emotion != other
    for start, end, emotion in found:
        assert len(found) == 1 or end - start >= SHORTEST_SEGMENT
        assert emotion in [names[cell] for cell in cells[int(start) : int(np.ceil(end))]]
