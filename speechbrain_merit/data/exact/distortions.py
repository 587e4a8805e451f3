"""What becomes of speech without noise: rooms, clipping, telephone, codecs, losses, jumps, DC.

Each takes speech (int16 at 16 kHz), a severity from 1 to 3 and draws, and gives int64 of the same
length and time.
"""

import numpy as np

from speechbrain_merit.data.exact import rooms
from speechbrain_merit.data.exact.filters import RATE, above, below, resample
from speechbrain_merit.data.exact.g711 import a_law, mu_law
from speechbrain_merit.data.exact.g721 import g721
from speechbrain_merit.data.exact.gsm import gsm

NARROW = 8000  # Hz, rate of the telephone network
PACKET = RATE // 50  # 20 ms
BANDS = ((0, 4000), (300, 3400), (300, 2000))  # Hz
LOST = (5, 15, 30)  # % of the packets
STAYS = 50  # %: after a lost packet the next one is lost too, so that losses come two at a time
JUMPS = (1, 2, 3)  # most halvings of the amplitude, 6 dB each
OFFSETS = (4, 2, 1)  # of the speech's own peak, one part in so many


def room(samples, severity, draws):
    """A room of 0.3, 0.6 or 1 s reverberation, its tail 5 dB below to 5 dB above the speech."""
    return rooms.heard(samples, severity, draws.integer(0, rooms.ROOMS))


def clipping(samples, severity, draws):
    """Cut at a half, a quarter or an eighth of the peak."""
    peak = int(np.abs(samples.astype(np.int64)).max(initial=0))
    limit = max(1, peak >> severity)
    return np.clip(samples.astype(np.int64), -limit, limit)


def telephone(samples, severity, draws):
    """Up to 4 kHz, from 300 Hz to 3.4 kHz, or from 300 Hz to 2 kHz."""
    low, high = BANDS[severity - 1]
    band = below(samples, high)
    return above(band, low) if low else band


def codec(samples, severity, draws):
    """At 8 kHz through G.711 (A-law, then μ-law, as in a call abroad), G.721 or GSM 06.10."""
    narrow = resample(samples, RATE, NARROW)
    coded = (lambda wave: mu_law(a_law(wave)), g721, gsm)[severity - 1](narrow)
    return resample(coded, NARROW, RATE)[: len(samples)].astype(np.int64)


def packet_loss(samples, severity, draws):
    """5, 15 or 30 % of the packets of 20 ms are silent; often two and more in a row."""
    count = -(-len(samples) // PACKET)
    percent = draws.integers(0, 10000, count)
    share = LOST[severity - 1]
    starts = 100 * share * (100 - STAYS) // (100 - share)  # so that `share` are lost on the whole
    lost, state = np.zeros(count, dtype=bool), False
    for index in range(count):
        state = bool(percent[index] < (100 * STAYS if state else starts))
        lost[index] = state
    kept = np.repeat(~lost, PACKET)[: len(samples)]
    return np.where(kept, samples.astype(np.int64), 0)


def gain_jumps(samples, severity, draws):
    """Two times a second the level jumps, down by up to 6, 12 or 18 dB and up again."""
    length = RATE // 2
    count = len(samples) // length + 2
    halvings = draws.integers(0, JUMPS[severity - 1] + 1, count)
    halvings[1::2] = 0  # every other piece is as it was
    start = draws.integer(0, length)
    down = np.repeat(halvings, length)[start : start + len(samples)]
    return samples.astype(np.int64) >> down


def dc(samples, severity, draws):
    """A constant of a quarter, a half or the whole of the speech's peak is added."""
    peak = int(np.abs(samples.astype(np.int64)).max(initial=0))
    sign = 2 * draws.integer(0, 2) - 1
    return samples.astype(np.int64) + sign * (peak // OFFSETS[severity - 1])


DISTORTIONS = {
    f.__name__: f for f in (room, clipping, telephone, codec, packet_loss, gain_jumps, dc)
}
SEVERITIES = (1, 2, 3)
