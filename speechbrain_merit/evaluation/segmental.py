"""Segmental SNR in two definitions that must not be compared with each other."""

import numpy as np

SSNR_WINDOW = 0.030  # seconds (Loizou, "Speech Enhancement: Theory and Practice", comp_snr.m)
SSNR_OVERLAP = 4  # windows over each sample, that is 75 % overlap
SSNR_LOW, SSNR_HIGH = -10.0, 35.0  # dB, each frame is clipped to this range
SSNR_EPS = np.finfo(np.float64).eps  # Matlab's eps, which Loizou's code adds
SSNR_SB_EPS = 1e-10  # what SpeechBrain's recipes add instead


def ssnr(clean, estimate, sample_rate=16000):
    """Segmental SNR in dB as Loizou defines it, the estimate taken at its own level.

    Frames of 30 ms under a Hann window, 75 % overlap, each clipped to -10 ... 35 dB, then averaged.
    The formula adds Matlab's eps (2.2e-16) to the noise and to the ratio; a frame in which the
    reference is digital silence therefore scores -10 dB whatever the estimate does, and a corpus
    with such frames does not reach 35 dB even against itself.

    Arguments
    ---------
    clean : np.ndarray
        Reference, (samples,).
    estimate : np.ndarray
        Signal to judge, (samples,).
    sample_rate : int
        In Hz.

    Returns
    -------
    float or None
        None where the signal is too short for a frame.

    Raises
    ------
    ValueError
        If the two are not waves of one length.

    Example
    -------
    >>> clean = np.random.default_rng(0).normal(size=16000)
    >>> round(ssnr(clean, clean), 3), round(ssnr(clean, 0.9 * clean), 3)
    (35.0, 20.0)
    """
    clean, estimate = check_waves(clean=clean, estimate=estimate)
    return _segmental_snr(clean, estimate, sample_rate, SSNR_EPS)


def ssnr_sb(clean, estimate, sample_rate=16000):
    """Segmental SNR in dB as SpeechBrain's enhancement recipes compute it (composite_eval.py).

    As `ssnr`, but both signals are first brought to zero mean and the estimate to the peak of the
    reference, and the constant in the formula is 1e-10. A gain on the estimate changes nothing.

    Arguments
    ---------
    clean : np.ndarray
        Reference, (samples,).
    estimate : np.ndarray
        Signal to judge, (samples,).
    sample_rate : int
        In Hz.

    Returns
    -------
    float or None
        None where the signal is too short for a frame or the estimate is constant (it has no peak).

    Raises
    ------
    ValueError
        If the two are not waves of one length.

    Example
    -------
    >>> clean = np.random.default_rng(0).normal(size=16000)
    >>> round(ssnr_sb(clean, 0.9 * clean), 3)
    35.0
    """
    clean, estimate = check_waves(clean=clean, estimate=estimate)
    clean, estimate = clean - clean.mean(), estimate - estimate.mean()
    peak = np.abs(estimate).max()
    if peak == 0:
        return None
    estimate = estimate * (np.abs(clean).max() / peak)
    return _segmental_snr(clean, estimate, sample_rate, SSNR_SB_EPS)


def check_waves(**named):
    """Check that waves belong together and return them as float64.

    Arguments
    ---------
    **named : np.ndarray
        Waves (samples,) by the name that an error shows.

    Returns
    -------
    list of np.ndarray
        The waves in the order given.

    Raises
    ------
    ValueError
        If they are not waves of one length, are empty, or hold NaN or infinite samples.

    Example
    -------
    >>> clean, estimate = check_waves(clean=np.zeros(3, dtype=np.float32), estimate=np.ones(3))
    >>> clean.dtype
    dtype('float64')
    """
    waves = {name: np.asarray(wave, dtype=np.float64) for name, wave in named.items()}
    shapes = {name: wave.shape for name, wave in waves.items()}
    if len(set(shapes.values())) != 1 or any(len(s) != 1 or s[0] == 0 for s in shapes.values()):
        raise ValueError(
            f"Expected waves (samples,) of one length, got {shapes}: "
            "score each utterance alone and cut padding off before."
        )
    for name, wave in waves.items():
        if not np.isfinite(wave).all():
            raise ValueError(f"The {name} signal holds NaN or infinite samples.")
    return list(waves.values())


def _segmental_snr(clean, estimate, sample_rate, eps):
    """Average over frames of the clipped ratio in dB; both definitions share it."""
    length = round(SSNR_WINDOW * sample_rate)
    hop = length // SSNR_OVERLAP
    count = (len(clean) - length) // hop  # Loizou's count: a last frame that fits exactly is out
    if count < 1:
        return None
    # Symmetric Hann window without its two zeros, as in Loizou's code.
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1, length + 1) / (length + 1))

    def energies(wave):
        frames = np.lib.stride_tricks.sliding_window_view(wave, length)[::hop][:count]
        return ((frames * window) ** 2).sum(axis=1)

    ratio = energies(clean) / (energies(clean - estimate) + eps)
    return float(np.clip(10 * np.log10(ratio + eps), SSNR_LOW, SSNR_HIGH).mean())
