"""What training does to a wave before it is mixed: speed, section, filter, band.

Each function takes a mono wave (S) in float32; what is random comes from a NumPy generator.
"""

from functools import partial

import torch
import torchaudio
from scipy.signal import lfilter

#: Coefficients of the random filter: J.-M. Valin, "A hybrid DSP/deep learning approach to real-time
#: full-band speech enhancement", 2018, https://arxiv.org/abs/1709.08243
FILTER_RANGE = 3 / 8
STEEP = 64  # torchaudio's width of a resampling filter; its default, 6, leaks above the band
TELEPHONE_RATE = 8000  # Hz: what a telephone line leaves lies below half of it


def random_filter(wave, rng):
    """Passes the wave (S) through a random second-order filter: another microphone, another room.

    H(z) = (1 + r1 / z + r2 / z²) / (1 + r3 / z + r4 / z²), each r uniform in −3/8 … 3/8. Stable,
    since |r3| + |r4| < 1.

    Example
    -------
    >>> import numpy as np
    >>> random_filter(torch.randn(1000), np.random.default_rng(0)).shape
    torch.Size([1000])
    """
    r1, r2, r3, r4 = rng.uniform(-FILTER_RANGE, FILTER_RANGE, size=4)
    filtered = lfilter([1, r1, r2], [1, r3, r4], wave.numpy().astype("float64"))
    return torch.from_numpy(filtered).to(wave.dtype)


def limit_band(wave, sample_rate):
    """Takes out of the wave (S) what an 8 kHz recording cannot hold.

    Example
    -------
    >>> limit_band(torch.randn(1001), 16000).shape
    torch.Size([1001])
    """
    resample = partial(torchaudio.functional.resample, lowpass_filter_width=STEEP)
    narrow = resample(wave, sample_rate, TELEPHONE_RATE)
    return resample(narrow, TELEPHONE_RATE, sample_rate)[: len(wave)]


def change_speed(wave, factor):
    """Plays a wave (S) faster by a factor, to S / factor samples.

    Example
    -------
    >>> change_speed(torch.randn(1100), 1.1).shape
    torch.Size([1000])
    """
    if factor == 1.0:
        return wave
    return torchaudio.functional.resample(wave, round(factor * 100), 100)


def crop(wave, n_samples, rng):
    """A random section of ``n_samples`` that is not silent, or the whole wave where it is shorter.

    A section of digital silence holds no speech to mix at an SNR; after ten such draws the section
    of the most energy is taken.
    """
    if len(wave) <= n_samples:
        return wave
    for _ in range(10):
        start = int(rng.integers(len(wave) - n_samples + 1))
        section = wave[start : start + n_samples]
        if bool((section != 0).any()):
            return section
    energy = torch.nn.functional.pad(wave.double().square().cumsum(dim=0), (1, 0))
    start = int((energy[n_samples:] - energy[:-n_samples]).argmax())
    return wave[start : start + n_samples]
