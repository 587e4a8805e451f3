"""Sines and decays of whole numbers."""

from functools import cache

import numpy as np

SINE_BITS = 12  # steps of a whole turn
PHASE_BITS = 32  # of a turn, in which phases are counted
AMPLITUDE = 32767
PI_BITS = 13493037705  # π · 2³², rounded


@cache
def sine_table():
    """One turn of a sine in 4096 steps, int64, ±32767: its Taylor series in whole numbers."""
    steps = 1 << SINE_BITS
    quarter = [_sine(index) for index in range(steps // 4 + 1)]
    half = quarter + quarter[-2:0:-1]
    return np.array(half + [-value for value in half], dtype=np.int64)


def _sine(index):
    """AMPLITUDE · sin of a number of steps, in fractions of 32 bits."""
    angle = 2 * PI_BITS * index >> SINE_BITS
    term, total, n = angle, 0, 1
    while term:
        total += term
        # floor division of the size alone: the sign alternates
        size = abs(term) * angle * angle // (n + 1) // (n + 2) >> 64
        term, n = (-size if term > 0 else size), n + 2
    return (AMPLITUDE * total + (1 << 31)) >> 32


def sine(phase):
    """Sines of phases, in units of 2⁻³² of a turn; int64, ±32767.

    Example
    -------
    >>> sine(np.array([0, 1 << 30, 3 << 30])).tolist()
    [0, 32767, -32767]
    """
    whole = np.asarray(phase, dtype=np.int64) & (1 << PHASE_BITS) - 1
    return sine_table()[whole >> PHASE_BITS - SINE_BITS]


def turns(hertz_16, rate):
    """Phase a sample of a frequency given in sixteenths of a hertz, in units of 2⁻³² of a turn.

    Example
    -------
    >>> turns(16 * 4000, 16000) == 1 << 30
    True
    """
    return (hertz_16 << PHASE_BITS - 4) // rate


def decay(samples, half_life):
    """From 2²⁰ on, halved every `half_life` samples and straight in between; (samples,) int64.

    Example
    -------
    >>> decay(5, 2).tolist()
    [1048576, 786432, 524288, 393216, 262144]
    """
    halvings, rest = np.divmod(np.arange(samples, dtype=np.int64), half_life)
    start = np.int64(1 << 20) >> np.minimum(halvings, 40)
    return start * (2 * half_life - rest) // (2 * half_life)
