"""Rooms: impulse responses of a direct path and a tail of noise that dies away."""

from functools import cache

from speechbrain_merit.data.exact.convolution import convolve
from speechbrain_merit.data.exact.draws import Draws
from speechbrain_merit.data.exact.filters import RATE
from speechbrain_merit.data.exact.integers import energy, gain, scaled
from speechbrain_merit.data.exact.waves import decay

#: Of each severity: ms in which the tail falls by 60 dB; dB by which it is below the direct path
SEVERITIES = ((300, 5), (600, 0), (1000, -5))
ROOMS = 8  # of each severity
DIRECT_BITS = 14
GAP = RATE // 500  # 2 ms from the direct path to the first reflection
# 60 dB are 9.966 halvings
HALVINGS, PER = 9966, 1000


@cache
def response(severity, index):
    """The impulse response of a room, int64; its direct path, 2¹⁴, comes first.

    Example
    -------
    >>> int(response(1, 0)[0])
    16384
    """
    milliseconds, db = SEVERITIES[severity - 1]
    count = RATE * milliseconds // 1000
    draws = Draws("room", severity, index)
    half_life = count * PER // HALVINGS
    tail = draws.white(count) * decay(count, half_life) >> 20
    tail[: draws.integer(GAP, 4 * GAP)] = 0
    direct = 1 << 2 * DIRECT_BITS
    tail = scaled(tail, gain(direct, energy(tail), db, 24), 24)
    tail[0] = 1 << DIRECT_BITS
    return tail


def heard(samples, severity, index):
    """Speech heard in a room, as long as before, its direct path in place and at its level."""
    whole = convolve(samples, response(severity, index))[: len(samples)]
    return whole + (1 << DIRECT_BITS >> 1) >> DIRECT_BITS
