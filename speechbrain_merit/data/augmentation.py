"""What training does to a wave: speed, section, filter and band before the mixing, a codec after.

Each function takes a mono wave (S) in float32; what is random comes from a NumPy generator.
"""

import io
from functools import partial

import soundfile
import torch
import torchaudio
from scipy.signal import lfilter

#: Coefficients of the random filter: J.-M. Valin, "A hybrid DSP/deep learning approach to real-time
#: full-band speech enhancement", 2018, https://arxiv.org/abs/1709.08243
FILTER_RANGE = 3 / 8
STEEP = 64  # torchaudio's width of a resampling filter; its default, 6, leaks above the band
TELEPHONE_RATE = 8000  # Hz: what a telephone line leaves lies below half of it
#: Codecs of fixed telephones and the first mobile ones (G.711, GSM 06.10), at 8 kHz …
TELEPHONE_CODECS = {"ulaw": ("WAV", "ULAW"), "alaw": ("WAV", "ALAW"), "gsm": ("WAV", "GSM610")}
#: … and of the internet, at the lowest quality that soundfile offers: some 10 to 35 kbit/s.
INTERNET_CODECS = {
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "vorbis": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
}
LOWEST_QUALITY = 0.99  # of 0 … 1, best to worst
CODEC_PEAK = 0.9  # of full scale: a codec clips what lies above it


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


def pass_codec(wave, codec, sample_rate):
    """Encodes and decodes a wave (S), at any level: length, place and level stay as they were.

    Arguments
    ---------
    wave : torch.Tensor
        Mono wave (S), float32; it may lie above full scale.
    codec : str
        One of `TELEPHONE_CODECS` or `INTERNET_CODECS`.
    sample_rate : int
        In Hz; of internet codecs it has to be one that Opus knows, such as 16 000.

    Returns
    -------
    torch.Tensor
        What is left of it (S).

    Example
    -------
    >>> tone = torch.sin(torch.arange(16000) / 10.0)
    >>> error = pass_codec(tone, "gsm", 16000) - tone
    >>> bool(0 < error.square().mean() < 0.1 * tone.square().mean())
    True
    """
    peak = float(wave.abs().max())
    if peak == 0:
        return wave
    telephone = codec in TELEPHONE_CODECS
    container, subtype = (TELEPHONE_CODECS if telephone else INTERNET_CODECS)[codec]
    resample = partial(torchaudio.functional.resample, lowpass_filter_width=STEEP)
    rate = TELEPHONE_RATE if telephone else sample_rate
    sent = resample(wave * (CODEC_PEAK / peak), sample_rate, rate)
    quality = {} if telephone else {"compression_level": LOWEST_QUALITY}
    stream = io.BytesIO()
    soundfile.write(stream, sent.numpy(), rate, subtype, format=container, **quality)
    stream.seek(0)
    received = torch.from_numpy(soundfile.read(stream, dtype="float32")[0])
    received = resample(received, rate, sample_rate)[: len(wave)]
    received = torch.nn.functional.pad(received, (0, len(wave) - len(received)))
    return received * (peak / CODEC_PEAK)


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
