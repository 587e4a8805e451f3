"""Synthetic noise recordings: pink, hum, babble, impulsive and modulated.

Every recording draws its own colour, rate or voices, so that two of a type differ as two places
of a kind do.
"""

import numpy as np
from scipy.signal import butter, fftconvolve, lfilter, sosfilt

from speechbrain_merit.data.synthetic_voices import EMOTIONS, RATE, Voice, synthesise

NOISE_RMS = 0.05  # of full scale; a mixture sets its own level
BABBLE_VOICES = 5  # enough that no voice stands out, few enough that it sounds like speech


def pink(samples, rng):
    """Noise whose power falls with frequency, by 2 to 4.5 dB an octave.

    Arguments
    ---------
    samples : int
        Length at 16 kHz.
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    numpy.ndarray
        (samples,), RMS `NOISE_RMS`, as from all functions here.

    Example
    -------
    >>> pink(16000, np.random.default_rng(0)).shape
    (16000,)
    """
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequency = np.maximum(np.fft.rfftfreq(samples, 1 / RATE), 30.0)  # flat below hearing
    return _scaled(np.fft.irfft(spectrum * frequency ** -rng.uniform(0.33, 0.75), samples))


def hum(samples, rng):
    """A machine: harmonics of 50 to 120 Hz that drift a little, over some broadband noise.

    Arguments
    ---------
    samples : int
        Length at 16 kHz.
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    numpy.ndarray
        (samples,).

    Example
    -------
    >>> hum(16000, np.random.default_rng(0)).shape
    (16000,)
    """
    drift = np.cumsum(rng.standard_normal(samples)) * 1e-4  # Hz
    phase = 2 * np.pi * np.cumsum(rng.uniform(50, 120) + drift) / RATE
    roll_off = rng.uniform(0.6, 1.2)
    tones = sum(
        rng.uniform(0.3, 1) * k**-roll_off * np.sin(k * phase + rng.uniform(0, 2 * np.pi))
        for k in range(1, 31)
    )
    return _scaled(_scaled(tones) + rng.uniform(0.2, 0.6) * pink(samples, rng))


def babble(samples, rng):
    """Several voices at once, none of them one of the corpus's speakers.

    Arguments
    ---------
    samples : int
        Length at 16 kHz.
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    numpy.ndarray
        (samples,).

    Example
    -------
    >>> babble(16000, np.random.default_rng(0)).shape
    (16000,)
    """
    total = np.zeros(samples)
    moods = list(EMOTIONS.values())
    for _ in range(BABBLE_VOICES):
        voice = Voice(rng.uniform(90, 250), rng.uniform(0.95, 1.2), rng.uniform(0.03, 0.12))
        # Half the length, heard twice at another place: nobody will notice, at half the work.
        part = synthesise(voice, moods[rng.integers(4)], samples / RATE / 2, rng)
        total += np.roll(np.resize(part, samples), rng.integers(samples))
    echo = rng.standard_normal(RATE // 4) * np.exp(-np.arange(RATE // 4) / (0.05 * RATE))
    room = fftconvolve(total, echo)[:samples]
    return _scaled(_scaled(total) + 0.5 * _scaled(room))


def impulsive(samples, rng):
    """Knocks and clicks, 2 to 8 a second, that ring for some tens of milliseconds.

    Arguments
    ---------
    samples : int
        Length at 16 kHz.
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    numpy.ndarray
        (samples,).

    Example
    -------
    >>> impulsive(16000, np.random.default_rng(0)).shape
    (16000,)
    """
    hits = np.zeros(samples)
    count = max(1, round(samples / RATE * rng.uniform(2, 8)))
    hits[rng.integers(0, samples, count)] = 10 ** (rng.normal(0, 6, count) / 20)
    length = RATE // 5
    fading = np.exp(-np.arange(length) / (rng.uniform(0.01, 0.04) * RATE))
    low = rng.uniform(300, 2000)
    sos = butter(1, (low, 3 * low), "bandpass", fs=RATE, output="sos")
    ring = sosfilt(sos, rng.standard_normal(length)) * fading
    return _scaled(_scaled(fftconvolve(hits, ring)[:samples]) + 0.1 * pink(samples, rng))


def modulated(samples, rng):
    """A band of noise that swells 1 to 6 times a second, as an engine or waves do.

    Arguments
    ---------
    samples : int
        Length at 16 kHz.
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    numpy.ndarray
        (samples,).

    Example
    -------
    >>> modulated(16000, np.random.default_rng(0)).shape
    (16000,)
    """
    wander = lfilter([1e-4], [1, -(1 - 1e-4)], rng.standard_normal(samples))
    rate = rng.uniform(1, 6) * (1 + 5 * wander)
    swell = 0.5 * (1 + np.sin(2 * np.pi * np.cumsum(rate) / RATE))
    low = rng.uniform(150, 1200)
    sos = butter(2, (low, rng.uniform(2, 5) * low), "bandpass", fs=RATE, output="sos")
    band = sosfilt(sos, rng.standard_normal(samples))
    return _scaled((0.1 + swell**2) * band + 0.05 * pink(samples, rng))


def _scaled(wave):
    return wave * (NOISE_RMS / np.sqrt(np.mean(wave**2)))


NOISES = {f.__name__: f for f in (pink, hum, babble, impulsive, modulated)}
