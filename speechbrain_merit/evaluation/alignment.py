"""Enhanced waves of another tool brought in time with the clean ones: delay, length.

A tool may delay its output, most by a constant. The delay is looked for where the clean wave and
the output are alike enough to be sure.
"""

from typing import NamedTuple

import numpy as np
from scipy.signal import correlate

LONGEST = 8000  # samples, 0.5 s: no delay beyond is looked for
SURE = 0.5  # least normalised correlation at which a delay is believed
AS_WELL = 0.9  # of the likeness at the delay that was found
ODD_SHARE = 0.1  # of the length: what is missing or too much beyond this is another recording


class Delay(NamedTuple):
    """Samples by which a wave comes late, and how like it is to the clean one there (0 to 1)."""

    samples: int
    likeness: float


def find_delay(clean, wave):
    """The delay of a wave (S') behind the clean one (S).

    Example
    -------
    >>> clean = np.random.default_rng(0).normal(size=4000)
    >>> find_delay(clean, np.concatenate([np.zeros(37), clean])[:4000]).samples
    37
    """
    clean, wave = (np.asarray(w, dtype=np.float64) for w in (clean, wave))
    scale = np.sqrt((clean @ clean) * (wave @ wave))
    if not scale > 0:
        return Delay(0, 0.0)
    found = correlate(wave, clean, method="fft")
    zero = len(clean) - 1
    start = max(0, zero - LONGEST)
    near = np.abs(found[start : zero + LONGEST + 1])
    best = int(near.argmax())
    return Delay(start + best - zero, float(near[best] / scale))


def fits(clean, wave, delay, found):
    """Whether a delay explains a wave about as well as the one that was found for it.

    Voices repeat themselves: a period beside the right one is nearly as like.

    Example
    -------
    >>> tone = np.sin(np.arange(4000) / 8)
    >>> fits(tone, tone, 50, find_delay(tone, tone)), fits(tone, tone, 12, find_delay(tone, tone))
    (True, False)
    """
    return likeness(clean, wave, delay) >= AS_WELL * found.likeness > 0


def likeness(clean, wave, delay):
    """How like a wave (S'), its delay removed, is to the clean one (S), from 0 to 1.

    Example
    -------
    >>> likeness([0.0, 1.0, 2.0], [0.0, 0.0, -1.0, -2.0], 1)
    1.0
    """
    clean = np.asarray(clean, float)
    wave = aligned(np.asarray(wave, float), delay, len(clean))
    scale = np.sqrt((clean @ clean) * (wave @ wave))
    return float(abs(clean @ wave) / scale) if scale > 0 else 0.0


def common_delay(delays):
    """The delay of a tool: the commonest of those that are sure; 0 where none is."""
    sure = [delay.samples for delay in delays if delay.likeness >= SURE]
    return max(set(sure), key=lambda d: (sure.count(d), -abs(d))) if sure else 0


def aligned(wave, delay, length):
    """A wave with its delay removed, cut or filled with silence to a length.

    Example
    -------
    >>> aligned(np.array([0, 1, 2, 3]), 1, 4).tolist(), aligned(np.array([1, 2]), -1, 3).tolist()
    ([1, 2, 3, 0], [0, 1, 2])
    """
    wave = np.asarray(wave)
    wave = wave[delay:] if delay > 0 else np.concatenate([np.zeros(-delay, wave.dtype), wave])
    out = np.zeros(length, dtype=wave.dtype)
    out[: min(length, len(wave))] = wave[:length]
    return out


def too_odd(found, length):
    """Whether a length is so far from the right one that it is another recording's."""
    return abs(found - length) > ODD_SHARE * length + LONGEST
