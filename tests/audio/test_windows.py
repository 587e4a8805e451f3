"""Windows: they cover a recording once, whatever its blocks, and join where they agree."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechbrain_merit.audio.windows import (
    FADE,
    LOOK_AHEAD,
    OVERLAP,
    REACH,
    Joiner,
    Windower,
    cut,
    file_plan,
    live_plan,
)

RATE = 16000


def recording(seconds, channels=1, seed=0):
    return np.random.default_rng(seed).normal(size=(channels, round(seconds * RATE)))


def in_blocks(wave, size):
    return [wave[:, start : start + size] for start in range(0, wave.shape[1], size)]


@given(
    seconds=st.floats(0.1, 40),
    window=st.integers(4, 15),
    block=st.floats(0.05, 50),
)
@settings(max_examples=40, deadline=None)
def test_windows_cover_a_recording_once_and_hear_past_their_part(seconds, window, block):
    wave = recording(seconds)
    windows = list(cut(in_blocks(wave, round(block * RATE)), window))
    done, half = 0, OVERLAP * RATE // 2
    for index, w in enumerate(windows):
        size = w.wavs.shape[1]
        assert np.array_equal(w.wavs, wave[:, w.start : w.start + size])
        assert w.start % RATE == 0
        assert w.start + w.begin == done  # where the one before ended
        done = w.start + w.end
        assert w.last == (index == len(windows) - 1)
        assert w.begin >= half or index == 0
        assert size - w.end >= half or w.last
        if not w.last:
            assert size == window * RATE
        elif index > 0:
            assert (window - 1) * RATE < size <= window * RATE
    assert done == wave.shape[1]


@given(latency=st.floats(0.1, 12))
@settings(max_examples=200, deadline=None)
def test_a_stream_hears_ahead_by_a_third_of_its_latency_at_most_and_hops_the_rest(latency):
    plan = live_plan(latency, longest=30)
    frame = 320  # samples at 50 frames a second
    ahead = min(int(latency * RATE) // frame // 3, round(LOOK_AHEAD * 50))
    assert plan.look_ahead == ahead * frame
    assert (
        latency * RATE - 2 * frame - frame * (plan.hop // plan.cell) <= plan.hop + plan.look_ahead
    )
    assert plan.hop + plan.look_ahead <= round(latency * RATE)  # every sample is final in time
    assert plan.first == plan.hop + plan.look_ahead and plan.hop % plan.cell == 0
    assert 0 < plan.cell <= RATE and plan.cell % frame == 0
    share = plan.look_ahead / (LOOK_AHEAD * RATE)  # of what a file has
    assert (plan.reach, plan.fade) == (round(REACH * RATE * share), round(FADE * RATE * share))
    assert plan.length == pytest.approx(max(3, 2 + latency) * RATE, abs=frame)
    windower, wave = Windower(plan), recording(latency + 4)
    windows = [w for block in in_blocks(wave, 1000) for w in windower.push(block)]
    assert windows[0].start == 0 and all(w.start % frame == 0 for w in windows)
    for w in windows:
        size = w.wavs.shape[1]
        assert np.array_equal(w.wavs, wave[:, w.start : w.start + size])


@pytest.mark.parametrize("extra, expected", [(0, 1), (1, 2)])
def test_what_fits_one_window_is_one(extra, expected):
    wave = np.zeros((2, 10 * RATE + extra))
    windows = list(cut([wave], 10))
    assert len(windows) == expected and windows[0].wavs.shape == (2, 10 * RATE)


def test_no_sound_is_no_window():
    assert list(cut([], 10)) == []


def test_empty_blocks_leave_nothing_behind():
    windower = Windower(file_plan(4))
    for _ in range(5):
        windower.push(np.zeros((1, 0), np.float32))
    assert not windower.blocks and windower.finish() == []


@pytest.mark.parametrize("seconds", [3, 0, 4.5])
def test_a_window_is_a_whole_number_of_at_least_four_seconds(seconds):
    with pytest.raises(ValueError, match="whole number from 4"):
        list(cut([recording(1)], seconds))
    assert len(list(cut([recording(1)], 4))) == 1


# Joining


@pytest.mark.parametrize("seconds", [3.0, 10.0, 10.1, 17.3, 26.0])
def test_windows_that_agree_join_to_the_recording(seconds):
    wave = recording(seconds, channels=2)
    joiner, windows = Joiner(), list(cut([wave], 10))
    pieces = [joiner.add(w, torch.from_numpy(w.wavs)) for w in windows]
    np.testing.assert_allclose(torch.cat(pieces, dim=1).numpy(), wave, atol=1e-12)
    assert len(joiner.meetings) == len(windows) - 1


@pytest.mark.parametrize("shift", [-0.6, -0.25, 0.0, 0.4, 0.6])
def test_windows_meet_where_they_agree_best(shift):
    """The two differ by a constant, but for 0.3 s around one place."""
    wave = recording(15)
    joiner, windows = Joiner(), list(cut([wave], 10))
    middle = windows[0].start + windows[0].end
    meeting = middle + round(shift * RATE)
    other = windows[1].wavs + 0.5
    near = slice(meeting - round(0.15 * RATE), meeting + round(0.15 * RATE))
    other[:, near.start - windows[1].start : near.stop - windows[1].start] -= 0.5
    joiner.add(windows[0], torch.from_numpy(windows[0].wavs))
    joiner.add(windows[1], torch.from_numpy(other))
    (found,) = joiner.meetings
    # anywhere that the fade lies within the 0.3 s
    assert abs(found - meeting) <= round((0.15 - FADE) * RATE) + 1


def test_one_window_fades_into_the_other_around_the_meeting():
    size, width = 2 * round((REACH + FADE) * RATE), round(FADE * RATE)
    old, new = torch.zeros(2, size).double(), torch.ones(2, size).double()
    new[:, 9000 - width : 9000 + width] = 0.0  # no difference here
    joined, place = Joiner.fade(old, new)
    assert place == 9000
    new = torch.ones(2, size).double()
    new[1, 9000 - width : 9000 + width] = 0.0  # one channel says where, both fade there
    joined, place = Joiner.fade(old, new)
    assert place == 9000
    rise = joined[0]
    assert not rise[: place - width].any() and bool((rise[place + width :] == 1).all())
    inside = rise[place - width : place + width]
    assert bool((inside.diff() > 0).all()) and 0 < inside[0] < 1e-4 and 1 - 1e-4 < inside[-1] < 1
    torch.testing.assert_close(inside + inside.flip(0), torch.ones(2 * width).double())
    quarter = inside[width // 2 - 1 : width // 2 + 1].mean()
    assert float(quarter) == pytest.approx(np.sin(np.pi / 8) ** 2, abs=1e-3)


@pytest.mark.parametrize("end", ["first", "last"])
def test_windows_may_meet_at_either_end_of_the_reach(end):
    size, width = 2 * round((REACH + FADE) * RATE), round(FADE * RATE)
    old, new = torch.zeros(1, size), torch.ones(1, size)
    agreeing = slice(0, 2 * width) if end == "first" else slice(size - 2 * width, size)
    new[:, agreeing] = 0.0
    assert Joiner.fade(old, new)[1] == (width if end == "first" else size - width)


def test_what_a_window_enhanced_may_be_overwritten_after_it_was_added():
    wave = recording(15)
    joiner, windows = Joiner(), list(cut([wave], 10))
    first = torch.from_numpy(windows[0].wavs.copy())
    kept = joiner.add(windows[0], first).clone()
    first.zero_()
    rest = joiner.add(windows[1], torch.from_numpy(windows[1].wavs))
    np.testing.assert_allclose(torch.cat([kept, rest], dim=1).numpy(), wave, atol=1e-12)
