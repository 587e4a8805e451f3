"""Filters of whole numbers: from rate to rate, and low and high parts of a band.

All are cut out of one low-pass, ``taps.npy`` (made by `make_taps`), held in steps of 1/882 of a
sample. Between rates, time is measured in samples of the lower one, for which it passes what is
below 0.42 of its rate (6.7 kHz of 16 kHz) and nothing above its half; −6 dB at 0.461.
"""

from functools import cache
from math import gcd
from pathlib import Path

import numpy as np

from speechbrain_merit.data.exact.convolution import same
from speechbrain_merit.data.exact.integers import divided

PATH = Path(__file__).with_name("taps.npy")
RATE = 16000  # samples a second of all that is made here
FINE = 882  # steps a sample: a multiple of 2, 3, 6 and 441, which lead to all usual rates
SIDE = 32  # samples that the filter reaches to either side
CUTOFF = 0.461  # of the rate, −6 dB
BLOCK = 1 << 16  # samples made at a time: memory stays flat


@cache
def low_pass():
    """The low-pass on its fine grid, both halves, (2 · SIDE · FINE + 1,) int64."""
    half = np.load(PATH).astype(np.int64)
    return np.concatenate([half[:0:-1], half])


def resample(samples, rate, new_rate=RATE):
    """Samples at another rate: each output is a sum of inputs times taps over the sum of the taps.

    That quotient is rounded to the nearest whole number, halves upwards, and limited to int16.
    Beyond its ends the sound is taken for silence.

    Arguments
    ---------
    samples : np.ndarray
        int16, (S,).
    rate, new_rate : int
        Of input and output, in Hz.

    Returns
    -------
    np.ndarray
        int16, ⌈S · new_rate / rate⌉; the first sample stays at its time.

    Raises
    ------
    ValueError
        For a ratio of rates that the filter has no steps for.

    Example
    -------
    >>> resample(np.full(4800, 1000, dtype=np.int16), 48000)[800:803].tolist()
    [1000, 1000, 1000]
    """
    if rate == new_rate:
        return np.asarray(samples, dtype=np.int16)
    up, down = (value // gcd(rate, new_rate) for value in (new_rate, rate))
    low, high = min(up, down), max(up, down)
    # Time in fine steps: of an input sample, and of an output sample
    step_in, step_out = (FINE if value == low else FINE * low // high for value in (down, up))
    if FINE * low % high:
        raise ValueError(f"No exact filter leads from {rate} Hz to {new_rate} Hz.")
    reach = SIDE * FINE // step_in
    padded = np.zeros(len(samples) + 2 * reach + 1, dtype=np.int64)
    padded[reach : reach + len(samples)] = samples
    count = -(-len(samples) * up // down)
    blocks = [
        _block(padded, np.arange(start, min(start + BLOCK, count)), step_in, step_out, reach)
        for start in range(0, count, BLOCK)
    ]
    return np.concatenate([np.zeros(0, np.int64), *blocks]).clip(-32768, 32767).astype(np.int16)


def _block(padded, places, step_in, step_out, reach):
    """The outputs at given places, int64."""
    taps, middle = low_pass(), SIDE * FINE
    nearest, phase = np.divmod(places * step_out, step_in)
    total, weight = np.zeros(len(places), np.int64), np.zeros(len(places), np.int64)
    for offset in range(-reach, reach + 2):
        distance = phase - offset * step_in
        inside = np.abs(distance) <= middle
        tap = np.where(inside, taps[np.clip(distance + middle, 0, 2 * middle)], 0)
        total += tap * padded[np.minimum(nearest + offset + reach, len(padded) - 1)]
        weight += tap
    return divided(total, weight)


@cache
def lower_taps(hertz):
    """Taps at 16 kHz, odd and symmetric, of a low-pass with its −6 dB at about `hertz`."""
    step = max(1, round(FINE * hertz / (CUTOFF * RATE)))
    middle = SIDE * FINE
    reach = middle // step
    return low_pass()[middle - reach * step : middle + reach * step + 1 : step]


def below(samples, hertz):
    """What of a sound at 16 kHz is below a frequency, (S,) int64.

    Example
    -------
    >>> below(np.full(4000, 500), 2000)[2000:2002].tolist()
    [500, 500]
    """
    taps = lower_taps(hertz)
    return divided(same(samples, taps), int(taps.sum()))


def above(samples, hertz):
    """What of a sound at 16 kHz is above a frequency, (S,) int64."""
    return np.asarray(samples, dtype=np.int64) - below(samples, hertz)
