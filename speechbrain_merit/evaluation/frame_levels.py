"""Which frames of an utterance are pauses, which are soft and which loud, by its clean wave."""

import numpy as np

FRAME = 320  # samples of an encoder's frame, 20 ms
LEVELS = ("pause", "soft", "loud")
PAUSE_DB = -35.0  # below the loudest frame: between the noise floor of a studio and faint speech


def frame_levels(clean, n_frames):
    """The level of each frame, an index into ``LEVELS``.

    Arguments
    ---------
    clean : np.ndarray
        Clean wave (S) at 16 kHz.
    n_frames : int
        Frames T of the encoder; what they reach beyond the wave is a pause.

    Returns
    -------
    np.ndarray
        (T): 0 more than 35 dB below the loudest frame; of the others, 2 for the louder half.

    Example
    -------
    >>> frame_levels(np.repeat([0.0, 0.1, 1.0], FRAME), n_frames=4).tolist()
    [0, 1, 2, 0]
    """
    frames = np.zeros((n_frames, FRAME))
    kept = np.asarray(clean, dtype=np.float64)[: frames.size]
    frames.flat[: len(kept)] = kept
    power = np.square(frames).mean(axis=1)
    speech = power > 10 ** (PAUSE_DB / 10) * power.max()
    if not speech.any():
        return np.zeros(n_frames, dtype=int)
    loud = speech & (power > np.median(power[speech]))
    return speech.astype(int) + loud


def use_by_level(chosen, n_experts, levels):
    """Share of all frames that each expert heard, apart by level: (levels, E), nested lists.

    Arguments
    ---------
    chosen : np.ndarray
        Experts (T, k) of each frame.
    n_experts : int
        E.
    levels : np.ndarray
        (T), from :func:`frame_levels`.

    Example
    -------
    >>> use_by_level(np.array([[0], [1]]), 2, np.array([0, 2]))
    [[0.5, 0.0], [0.0, 0.0], [0.0, 0.5]]
    """
    counts = np.zeros((len(LEVELS), n_experts))
    np.add.at(counts, (levels[:, None], chosen), 1)
    # 6 digits: times the number of frames, the whole number comes back
    return (counts / max(1, len(chosen))).round(6).tolist()
