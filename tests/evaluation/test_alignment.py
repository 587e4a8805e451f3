"""Delays of another tool's files are found where that can be, and removed."""

import numpy as np
import pytest

from speechbrain_merit.evaluation.alignment import (
    SURE,
    Delay,
    aligned,
    common_delay,
    find_delay,
    too_odd,
)

CLEAN = np.random.default_rng(0).normal(size=6000)


@pytest.mark.parametrize("delay", [-200, -1, 0, 1, 480, 4000])
def test_a_delay_is_found_and_removed_in_both_directions(delay):
    shifted = aligned(CLEAN, -delay, len(CLEAN))
    found = find_delay(CLEAN, -0.3 * shifted)  # an inverted copy is late by as much
    assert found.samples == delay
    back = aligned(shifted, delay, len(CLEAN))
    inside = slice(max(0, -delay), len(CLEAN) - max(0, delay))
    assert (back[inside] == CLEAN[inside]).all()


def test_what_is_silent_or_another_sound_is_not_believed():
    assert find_delay(CLEAN, np.zeros(6000)) == Delay(0, 0.0)
    assert find_delay(CLEAN, np.random.default_rng(1).normal(size=6000)).likeness < SURE


def test_the_common_delay_is_that_of_most_files_that_are_sure():
    delays = [Delay(80, 0.9), Delay(80, 0.8), Delay(3, 0.9), *[Delay(7, 0.1)] * 9]
    assert common_delay(delays) == 80
    assert common_delay([Delay(7, 0.1)]) == 0


def test_only_a_length_that_is_far_off_is_another_recordings():
    assert not too_odd(52000, 48000) and not too_odd(40000, 48000)
    assert too_odd(20000, 48000) and too_odd(90000, 48000)
