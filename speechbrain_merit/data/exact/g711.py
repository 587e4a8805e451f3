"""G.711, the companding of the telephone network: 8 bits a sample, A-law and μ-law.

ITU-T G.711 (1988). Only what comes out is wanted here, not the bits on the way: each sample goes to
the nearest of the levels of its segment.
"""

import numpy as np


def mu_law(samples):
    """Samples, int16, coded and decoded by μ-law (tables 2a and 2b): 14 bits, bias 33.

    Example
    -------
    >>> mu_law(np.array([0, 100, 32767, -32768], dtype=np.int16)).tolist()
    [0, 104, 32124, -32124]
    """
    wide = np.asarray(samples, dtype=np.int64)
    size = np.minimum(np.abs(wide) >> 2, 8158) + 33
    exponent = _segment(size >> 5)  # 0 to 7
    step = size >> (exponent + 1) & 15
    level = ((2 * step + 33) << exponent) - 33
    return _signed(wide < 0, level << 2)


def a_law(samples):
    """Samples, int16, coded and decoded by A-law (tables 1a and 1b): 13 bits.

    Example
    -------
    >>> a_law(np.array([0, 100, 32767, -32768], dtype=np.int16)).tolist()
    [8, 104, 32256, -32256]
    """
    wide = np.asarray(samples, dtype=np.int64)
    negative = wide < 0
    size = np.where(negative, ~wide, wide) >> 4  # 11 bits
    exponent = _segment(size >> 3)  # 0: below 16; 1: below 32; …
    step = np.where(exponent > 0, size >> np.maximum(exponent - 1, 0) & 15, size)
    level = np.where(exponent > 0, (2 * step + 33) << np.maximum(exponent - 1, 0), 2 * step + 1)
    return _signed(negative, level << 3)


def _segment(size):
    """Which power of two each number below 256 reaches, from 0 for 0 and 1 to 7."""
    return sum((size >= 1 << bit).astype(np.int64) for bit in range(1, 8))


def _signed(negative, level):
    return np.where(negative, -level, level).astype(np.int16)
