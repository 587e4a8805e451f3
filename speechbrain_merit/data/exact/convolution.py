"""Convolution of whole numbers, exact, and at the speed of an FFT."""

import numpy as np
from scipy.fft import next_fast_len

SURE = 0.01  # largest distance from a whole number that the bound below may reach


def convolve(samples, taps):
    """The whole convolution (S + T − 1) of whole numbers, int64.

    It is computed by a floating-point FFT and rounded. That gives the exact numbers, whatever the
    library: by the bound below an FFT of any make is off by less than 0.01, and they are whole.
    Where sound is too long and loud for that it is cut.

    Arguments
    ---------
    samples, taps : np.ndarray
        Whole numbers, (S,) and (T,).

    Example
    -------
    >>> convolve(np.array([1, 2, 3]), np.array([10, -1])).tolist()
    [10, 19, 28, -3]
    """
    samples, taps = np.asarray(samples), np.asarray(taps)
    whole = len(samples) + len(taps) - 1
    if len(samples) == 1:
        return samples.astype(np.int64) * taps.astype(np.int64)
    samples, taps = samples.astype(np.float64), taps.astype(np.float64)
    if _bound(samples, taps) > SURE:
        half = len(samples) // 2
        total = np.zeros(whole, dtype=np.int64)
        total[: half + len(taps) - 1] += convolve(samples[:half], taps)
        total[half:] += convolve(samples[half:], taps)
        return total
    size = next_fast_len(whole, real=True)
    spectrum = np.fft.rfft(samples, size) * np.fft.rfft(taps, size)
    exact = np.fft.irfft(spectrum, size)[:whole]
    rounded = np.rint(exact)
    if np.abs(exact - rounded).max(initial=0.0) > 2 * SURE:
        raise ArithmeticError("The FFT of this NumPy is less exact than any FFT should be.")
    return rounded.astype(np.int64)


def same(samples, taps):
    """The convolution with symmetric taps of odd length, without delay: (S,) int64."""
    side = len(taps) // 2
    return convolve(samples, taps)[side : side + len(samples)]


def _bound(samples, taps):
    """How far a value may be off: 6 ε log₂(size) ‖samples‖ ‖taps‖.

    N. Higham, "Accuracy and stability of numerical algorithms", 2002, section 24.1: the relative
    error of an FFT in the 2-norm is below about log₂(size) ε; three of them, with a margin of two.
    """
    size = np.log2(len(samples) + len(taps))
    norms = np.sqrt((samples @ samples) * (taps @ taps))
    return 6 * np.finfo(np.float64).eps * size * norms
