"""Speech and noise at an SNR, in whole numbers."""

import numpy as np

from speechbrain_merit.data.exact.integers import energy, gain, scaled

BITS = 24  # of the fraction of the noise's gain
TRIES = 20  # places in a recording that are tried for sound
GAP = 160  # samples, 10 ms


def without_gaps(noise):
    """A recording without its frames of 10 ms of digital silence, where it holds any sound.

    Recordings as published are often filled up with it; a piece of no more than the last few
    samples of a sound would be raised to an SNR by a gain of thousands.

    Example
    -------
    >>> without_gaps(np.repeat([0, 1, 0, 2], 160)).tolist() == [1] * 160 + [2] * 160
    True
    """
    frames = [noise[start : start + GAP] for start in range(0, len(noise), GAP)]
    return np.concatenate([frame for frame in frames if frame.any()] or [noise])


def piece(noise, count, draws):
    """A piece of a recording, from a drawn place on and round its end; with sound in it.

    Raises
    ------
    ValueError
        Where only silence was found.

    Example
    -------
    >>> from speechbrain_merit.data.exact.draws import Draws
    >>> piece(np.arange(10), 4, Draws("example")).tolist()
    [1, 2, 3, 4]
    """
    for _ in range(TRIES):
        start = draws.integer(0, len(noise))
        found = np.take(noise, np.arange(start, start + count), mode="wrap")
        if found.any():
            return found
    raise ValueError("The recording holds hardly anything but silence.")


def mixed(speech, noise, snr_db):
    """Speech plus noise, int64; the speech keeps its level.

    Arguments
    ---------
    speech, noise : np.ndarray
        int16, (S,); neither is silent.
    snr_db : int
        A multiple of 5: the ratio of their energies over all S samples.

    Example
    -------
    >>> mixed(np.array([100, -100]), np.array([10, 10]), 20).tolist()
    [110, -90]
    """
    factor = gain(energy(speech), energy(noise), snr_db, BITS)
    return speech.astype(np.int64) + scaled(noise, factor, BITS)
