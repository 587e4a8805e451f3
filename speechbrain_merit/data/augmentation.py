"""What training does to a wave: speed, section, filter and band before the mixing, a codec after.

Each function takes a mono wave (S) in float32; what is random comes from a NumPy generator. A step,
such as `Filter`, is called with (wave, rng) and meets a share of the utterances; as it is by
default it changes nothing.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import soundfile
import torch
import torchaudio
from scipy.signal import lfilter

#: Coefficients of the random filter: J.-M. Valin, "A hybrid DSP/deep learning approach to real-time
#: full-band speech enhancement", 2018, https://arxiv.org/abs/1709.08243
FILTER_RANGE = 3 / 8
GAP_SECONDS = 0.010  # digital silence is looked for in frames of 10 ms
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


def cut_gaps(noise, sample_rate):
    """Removes the 10 ms frames of a noise (S) that are digital silence; of nothing else, none.

    Example
    -------
    >>> cut_gaps(torch.cat([torch.zeros(320), torch.ones(160)]), 16000).shape
    torch.Size([160])
    """
    size = round(GAP_SECONDS * sample_rate)
    whole, rest = noise[: len(noise) // size * size], noise[len(noise) // size * size :]
    frames = whole.view(-1, size)
    kept = torch.cat([frames[(frames != 0).any(dim=1)].flatten(), rest[: len(rest) * rest.any()]])
    return kept if len(kept) else noise


def happens(share, rng):
    """Whether what a share of the utterances meets happens to this one.

    A share of 0 draws nothing: what is switched off leaves all other draws as they were.

    Example
    -------
    >>> import numpy as np
    >>> happens(0.0, None), happens(1.0, np.random.default_rng(0))
    (False, True)
    """
    return share > 0 and rng.random() < share


@dataclass(frozen=True)
class Speed:
    """Plays a wave (S) at one of several speeds; pitch and tempo change together.

    Arguments
    ---------
    factors : sequence of float
        One of them is drawn for an utterance.

    Example
    -------
    >>> import numpy as np
    >>> Speed([1.1])(torch.randn(1100), np.random.default_rng(0)).shape
    torch.Size([1000])
    """

    factors: Sequence[float] = (1.0,)

    def __call__(self, wave, rng):
        """The wave at the speed that is drawn."""
        return change_speed(wave, float(rng.choice(self.factors)))


@dataclass(frozen=True)
class Crop:
    """Takes a random section that is not silent, or the whole wave (S) where it is shorter.

    Arguments
    ---------
    n_samples : int, optional
        Length of the section; None takes the whole wave.

    Example
    -------
    >>> import numpy as np
    >>> Crop(800)(torch.randn(1000), np.random.default_rng(0)).shape
    torch.Size([800])
    """

    n_samples: int | None = None

    def __call__(self, wave, rng):
        """The section."""
        return wave if self.n_samples is None else crop(wave, self.n_samples, rng)


@dataclass(frozen=True)
class Filter:
    """Passes a share of the waves through a random filter each.

    Arguments
    ---------
    share : float
        0 … 1.

    Example
    -------
    >>> import numpy as np
    >>> wave = torch.randn(1000)
    >>> torch.equal(Filter(0.0)(wave, np.random.default_rng(0)), wave)
    True
    """

    share: float = 0.0

    def __call__(self, wave, rng):
        """The wave, or what a random filter makes of it."""
        return random_filter(wave, rng) if happens(self.share, rng) else wave


@dataclass(frozen=True)
class Band:
    """Limits a share of the waves to 4 kHz, as the telephone does.

    Arguments
    ---------
    sample_rate : int
        In Hz.
    share : float
        0 … 1.

    Example
    -------
    >>> import numpy as np
    >>> wave, narrow = Band(16000, share=1.0)(torch.randn(1000), np.random.default_rng(0))
    >>> wave.shape, narrow
    (torch.Size([1000]), True)
    """

    sample_rate: int
    share: float = 0.0

    def __call__(self, wave, rng):
        """The wave (S), and whether it was limited."""
        narrow = happens(self.share, rng)
        return (limit_band(wave, self.sample_rate) if narrow else wave), narrow


@dataclass(frozen=True)
class Codec:
    """Sends a share of the waves through a codec that is drawn.

    Arguments
    ---------
    sample_rate : int
        In Hz.
    share : float
        0 … 1.

    Example
    -------
    >>> import numpy as np
    >>> wave = torch.randn(1000)
    >>> torch.equal(Codec(16000)(wave, np.random.default_rng(0), narrow=True), wave)
    True
    """

    sample_rate: int
    share: float = 0.0

    def __call__(self, wave, rng, narrow, recorded=False):
        """The wave (S), or what is left: of a ``narrow`` one by telephone, else by internet.

        One that is ``recorded`` has a level of its own, at which it is coded.
        """
        if not happens(self.share, rng):
            return wave
        codec = str(rng.choice(sorted(TELEPHONE_CODECS if narrow else INTERNET_CODECS)))
        at = {"full_scale": 1.0} if recorded else {}
        return pass_codec(wave, codec, self.sample_rate, **at)


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


def pass_codec(wave, codec, sample_rate, full_scale=None):
    """Encodes and decodes a wave (S), at any level: length, place and level stay as they were.

    Arguments
    ---------
    wave : torch.Tensor
        Mono wave (S), float32; it may lie above full scale.
    codec : str
        One of `TELEPHONE_CODECS` or `INTERNET_CODECS`.
    sample_rate : int
        In Hz; of internet codecs it has to be one that Opus knows, such as 16 000.
    full_scale : float, optional
        What the codec can hold, above which it clips; unless given, a little more than the peak.

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
    largest = peak / CODEC_PEAK if full_scale is None else full_scale
    telephone = codec in TELEPHONE_CODECS
    container, subtype = (TELEPHONE_CODECS if telephone else INTERNET_CODECS)[codec]
    resample = partial(torchaudio.functional.resample, lowpass_filter_width=STEEP)
    rate = TELEPHONE_RATE if telephone else sample_rate
    sent = resample(wave / largest, sample_rate, rate)
    if full_scale is not None:
        sent = sent.clamp(-1.0, 1.0)
    quality = {} if telephone else {"compression_level": LOWEST_QUALITY}
    stream = io.BytesIO()
    soundfile.write(stream, sent.numpy(), rate, subtype, format=container, **quality)
    stream.seek(0)
    received = torch.from_numpy(soundfile.read(stream, dtype="float32")[0])
    received = resample(received, rate, sample_rate)[: len(wave)]
    received = torch.nn.functional.pad(received, (0, len(wave) - len(received)))
    return received * largest


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
