"""Noise that needs no recordings: pink, hum, modulated, impulsive; and babble of given voices.

Each recording draws its own colour, rate or rhythm. All are whole numbers from SHA-256 on.
"""

import numpy as np

from speechbrain_merit.data.exact.convolution import convolve
from speechbrain_merit.data.exact.draws import Draws
from speechbrain_merit.data.exact.filters import RATE
from speechbrain_merit.data.exact.integers import LARGEST, divided, energy, gain, scaled
from speechbrain_merit.data.exact.waves import decay, sine, turns

SECONDS = 30
BITS = 16  # of the fraction of gains
OCTAVES = 12  # of pink noise
HARMONICS = 30
VOICES = 6  # of babble
BAND_TAPS = 255


def recording(kind, index, voices=()):
    """A recording of 30 s of a kind of noise.

    Arguments
    ---------
    kind : str
        One of `KINDS`.
    index : int
        Which recording of that kind.
    voices : sequence of np.ndarray
        For babble, utterances (int16) of several speakers in a fixed order.

    Returns
    -------
    np.ndarray
        (S,) int16, its peak at full scale.

    Example
    -------
    >>> recording("pink", 0).shape
    (480000,)
    """
    draws, count = Draws("noise", kind, index), SECONDS * RATE
    sound = babble(voices, draws, count) if kind == "babble" else SYNTHESISED[kind](draws, count)
    return full_scale(sound)


def full_scale(sound):
    """A sound with its peak at full scale, int16."""
    peak = int(np.abs(sound).max(initial=1))
    return divided(sound * LARGEST, peak).astype(np.int16)


def pink(draws, count):
    """Voss and McCartney's: white noises added, each held for twice as long as the one before."""
    total = draws.white(count)
    for octave in range(1, OCTAVES):
        held = 1 << octave
        values = np.repeat(draws.white(count // held + 2), held)
        start = draws.integer(0, held)
        total = total + values[start : start + count]
    return total


def hum(draws, count):
    """A machine: harmonics of 45 to 125 Hz that waver a little, over some pink noise."""
    base = turns(draws.integer(16 * 45, 16 * 125), RATE)
    wander = np.repeat(draws.integers(-base // 200, base // 200 + 1, count // 800 + 1), 800)[:count]
    phase = np.cumsum(base + wander)
    tones = np.zeros(count, dtype=np.int64)
    for harmonic in range(1, HARMONICS + 1):
        level = draws.integer(100, 330) // harmonic
        tones += level * sine(harmonic * phase + draws.integer(0, 1 << 31))
    return added(tones, pink(draws, count), 5)


def modulated(draws, count):
    """A band of noise that swells 1 to 6 times a second, as an engine or waves do."""
    rates = np.repeat(draws.integers(16, 96, count // RATE + 1), RATE)[:count]
    swell = 36000 + sine(np.cumsum((rates << 28) // RATE))  # never quite silent
    low = draws.integer(150, 1200)
    band = banded(draws.white(count), low, low * draws.integer(2, 6))
    return added(full_scale(band) * swell, pink(draws, count), 25)


def impulsive(draws, count):
    """Knocks and clicks, 2 to 7 a second, that ring for some tens of milliseconds."""
    hits = np.zeros(count, dtype=np.int64)
    knocks = draws.integer(2, 8) * count // RATE
    hits[draws.integers(0, count, knocks)] = 1 << draws.integers(4, 9, knocks)
    ring = RATE // 4
    low = draws.integer(300, 2000)
    tone = full_scale(banded(draws.white(ring), low, 3 * low))
    tone = tone * decay(ring, draws.integer(RATE // 200, RATE // 50)) >> 24
    return added(convolve(hits, tone)[:count], pink(draws, count), 20)


SYNTHESISED = {f.__name__: f for f in (pink, hum, modulated, impulsive)}
KINDS = ("babble", *SYNTHESISED)


def babble(voices, draws, count):
    """Six voices at once, each an endless row of utterances, all equally loud."""
    order = draws.integers(0, 1 << 31, len(voices)).argsort(kind="stable")
    shares = [[voices[i] for i in order[part::VOICES]] for part in range(VOICES)]
    total = np.zeros(count, dtype=np.int64)
    for share in filter(None, shares):
        row = np.concatenate(share).astype(np.int64)
        start = draws.integer(0, len(row))
        row = np.resize(np.roll(row, -start), count)
        total += scaled(row, gain(count << 22, max(1, energy(row)), 0, BITS), BITS)
    return total


def banded(sound, low, high):
    """What of a sound lies between two frequencies in Hz; gentle slopes, any level."""
    places = np.arange(-(BAND_TAPS // 2), BAND_TAPS // 2 + 1)
    middle, half = 16 * (low + high) // 2, 16 * (high - low) // 2
    window = BAND_TAPS // 2 + 1 - np.abs(places)
    # A carrier of the middle frequency, within a bell whose width the band asks for
    width = np.maximum(0, RATE * 16 - np.abs(places) * half)
    taps = sine(places * turns(middle, RATE) + (1 << 30)) * window * width
    taps = divided(taps * 1, int(np.abs(taps).max()) // 2048)
    return convolve(sound, taps)[BAND_TAPS // 2 : BAND_TAPS // 2 + len(sound)]


def added(sound, floor, db):
    """A sound over another that is `db` dB below it, both first at full scale; int64."""
    sound, floor = full_scale(sound).astype(np.int64), full_scale(floor)
    factor = gain(energy(sound), energy(floor), db, BITS)
    return sound + scaled(floor, factor, BITS)
