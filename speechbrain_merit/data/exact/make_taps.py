"""Makes ``taps.npy``, the one filter that everything in this room is filtered by.

> python -m speechbrain_merit.data.exact.make_taps

The file is committed and is what counts: whoever made it with which library, its whole numbers are
the definition. It holds the right half of a low-pass (a sinc within a Kaiser window) in steps of
1/882 of a sample, so that it serves between all usual rates: see `filters`.
"""

import numpy as np

from speechbrain_merit.data.exact.filters import CUTOFF, FINE, PATH, SIDE

BETA = 7.857  # of the Kaiser window: 80 dB
PEAK = 32767


def low_pass():
    """The right half of the filter (SIDE · FINE + 1,), int16."""
    time = np.arange(SIDE * FINE + 1) / FINE
    window = np.i0(BETA * np.sqrt(1 - (time / SIDE) ** 2)) / np.i0(BETA)
    return np.rint(PEAK * np.sinc(2 * CUTOFF * time) * window).astype("<i2")


if __name__ == "__main__":
    np.save(PATH, low_pass())
