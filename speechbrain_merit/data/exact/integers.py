"""Arithmetic of whole numbers that the rest of this room shares: rounding, roots, limits.

Samples are held as int64 while they are worked on and end as int16. Everything is +, −, ×, // and
shifts, so that no machine and no version of a library gives another result.
"""

from math import isqrt

import numpy as np

LARGEST, SMALLEST = 32767, -32768  # of int16
UNIT_BITS = 15
UNIT = 1 << UNIT_BITS  # a factor of 1, where factors are held as whole numbers


def divided(numerator, denominator):
    """A quotient to the nearest whole number, halves upwards.

    Example
    -------
    >>> divided(np.array([5, -5, 7]), 2).tolist()
    [3, -2, 4]
    """
    return (2 * numerator + denominator) // (2 * denominator)


def energy(samples):
    """The sum of squares, as an int of Python, which has no limit.

    Example
    -------
    >>> energy(np.array([3, -4], dtype=np.int16))
    25
    """
    wide = np.asarray(samples, dtype=np.int64)
    if wide.size and np.abs(wide).max() >= 1 << 20:  # 2²⁰ squared, 2²³ times, still fits
        return sum(int(value) ** 2 for value in wide)
    return int(wide @ wide)


def gain(wanted, found, db, bits):
    """The factor, times 2^bits and rounded down, that sets one energy `db` dB below another.

    factor⁴ = (wanted / found)² / 10^(db / 5), whose fourth root is two whole square roots.

    Arguments
    ---------
    wanted, found : int
        Energies: of what stays, and of what the factor is for; above 0.
    db : int
        A multiple of 5.
    bits : int
        Of the fraction.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        For another number of dB, or an energy of 0.

    Example
    -------
    >>> gain(100, 100, 20, bits=10), gain(100, 400, 0, bits=10)
    (102, 512)
    """
    if db % 5 or wanted <= 0 or found <= 0:
        raise ValueError(f"No factor for {db} dB between energies {wanted} and {found}.")
    power = db // 5
    above = wanted**2 * 10 ** max(0, -power) << 4 * bits
    return isqrt(isqrt(above // (found**2 * 10 ** max(0, power))))


def scaled(samples, factor, bits):
    """Samples times factor / 2^bits, to the nearest whole number.

    Example
    -------
    >>> scaled(np.array([3, -3]), factor=1, bits=1).tolist()
    [2, -1]
    """
    return (samples.astype(np.int64) * factor + (1 << bits >> 1)) >> bits


def fitted(samples):
    """Brings samples within int16, all by one factor where any is outside, so that none is clipped.

    Returns
    -------
    samples : np.ndarray
        int16.
    factor : int
        What they were multiplied by, in units of 2⁻¹⁵; 32768 where nothing was to do.

    Example
    -------
    >>> fitted(np.array([100, -200]))[1], fitted(np.array([65535, 1]))
    (32768, (array([32766,     0], dtype=int16), 16383))
    """
    samples = np.asarray(samples, dtype=np.int64)
    peak = max(int(samples.max(initial=0)), -int(samples.min(initial=0)))
    if peak <= LARGEST:
        return samples.astype(np.int16), UNIT
    factor = LARGEST * UNIT // peak
    return scaled(samples, factor, UNIT_BITS).astype(np.int16), factor


def saturated(samples):
    """Samples within int16, those outside at its ends.

    Example
    -------
    >>> saturated(np.array([40000, -5])).tolist()
    [32767, -5]
    """
    return np.clip(samples, SMALLEST, LARGEST).astype(np.int16)
