"""The mixing of speech and noise at an asked signal-to-noise ratio, one utterance at a time.

The clean speech is never touched; only the noise is scaled, by a gain from the root mean squares of
both over the utterance's true length. Waves are float32 and are never clipped: at −5 dB a mixture
of loud speech peaks far above full scale.
"""

import hashlib
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from speechbrain.utils.epoch_loop import EpochCounter

from speechbrain_merit.audio.reading import read_audio
from speechbrain_merit.data.augmentation import (
    Band,
    Codec,
    Crop,
    Filter,
    Speed,
    cut_gaps,
    limit_band,
)
from speechbrain_merit.data.babble import Babble
from speechbrain_merit.data.levels import Clip, Level
from speechbrain_merit.data.rooms import Room
from speechbrain_merit.errors import AudioError, MeritError

#: Behind a noise set's name: speech and noise are limited to what a telephone passes.
NARROW = ", 4 kHz"


class Mixture(NamedTuple):
    """Speech and noise: ``mixture`` and ``clean`` (S) in float32, noise ``gain``, ``snr_db``.

    Without noise the gain is 0 and the SNR infinite.
    """

    mixture: torch.Tensor
    clean: torch.Tensor
    gain: float
    snr_db: float


def generator(*key):
    """A NumPy random generator that the key alone decides, on every machine and run.

    Example
    -------
    >>> int(generator(1, "a").integers(1000)) == int(generator(1, "a").integers(1000))
    True
    """
    digest = hashlib.sha256(repr(key).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))


def loop(noise, n_samples, rng):
    """``n_samples`` of a noise from a random place on, from its start again after its end.

    Example
    -------
    >>> loop(torch.arange(3.0), 4, generator(0)).shape
    torch.Size([4])
    """
    place = int(rng.integers(len(noise)))
    return noise[(place + torch.arange(n_samples)) % len(noise)]


def mix(clean, noise, snr_db, rng):
    """Adds noise to speech at a signal-to-noise ratio.

    Arguments
    ---------
    clean : torch.Tensor
        Speech (S), float32.
    noise : torch.Tensor
        Noise of any length, without gaps; it starts at a random place and is looped to S.
    snr_db : float
        Ratio of the speech's to the noise's mean power over S, in dB.
    rng : numpy.random.Generator
        Chooses the place.

    Returns
    -------
    Mixture

    Raises
    ------
    ValueError
        Speech or noise is silent, so that no gain gives the ratio.

    Example
    -------
    >>> speech, noise = torch.randn(1000), torch.randn(300)
    >>> mixture = mix(speech, noise, 5.0, generator(0))
    >>> added = mixture.mixture - speech
    >>> print(f"{10 * torch.log10(speech.square().sum() / added.square().sum()):.2f} dB")
    5.00 dB
    """
    noise = loop(noise, len(clean), rng)
    speech_power, noise_power = (w.double().square().mean() for w in (clean, noise))
    if not (speech_power > 0 and noise_power > 0):
        what = "speech" if not speech_power > 0 else "noise"
        raise ValueError(f"The {what} is silent: no gain gives {snr_db} dB.")
    gain = float(torch.sqrt(speech_power / noise_power) * 10 ** (-snr_db / 20))
    return Mixture(clean + gain * noise, clean, gain, float(snr_db))


@contextmanager
def named(wav):
    """Says of which recording it is that something cannot be mixed."""
    try:
        yield
    except MeritError:  # which says so itself
        raise
    except ValueError as error:
        raise AudioError(f"{wav}: {error}") from error


class NoiseBank:
    """The recordings of a noise manifest, their gaps cut, a bounded number of them in memory.

    Arguments
    ---------
    entries : dict
        Noise manifest ``{id: {"wav", "start", "duration", "noise_type"}}``, paths filled in.
    sample_rate : int
        Rate in Hz.
    cache_size : int
        Recordings kept in memory (30 s at 16 kHz are 2 MB).
    """

    def __init__(self, entries, sample_rate, cache_size=64):
        self.entries, self.sample_rate = entries, sample_rate
        self.names = sorted(entries)
        self.load = lru_cache(maxsize=cache_size)(self._load)

    def __reduce__(self):
        """Travels to another process without the recordings that it keeps in memory."""
        return NoiseBank, (self.entries, self.sample_rate, self.load.cache_info().maxsize)

    def _load(self, name):
        entry = self.entries[name]
        noise = read_audio(entry["wav"], self.sample_rate, entry["start"], entry["duration"])
        return cut_gaps(noise, self.sample_rate)

    def draw(self, rng):
        """A recording (S) drawn with the generator, every recording equally likely."""
        return self.load(self.names[int(rng.integers(len(self.names)))])


@dataclass(frozen=True)
class Noise:
    """Adds noise to speech, as it is heard, at a random SNR; a share of the speech stays without.

    Arguments
    ---------
    bank : NoiseBank
        Noise to draw from.
    snr_db : sequence
        Lowest and highest SNR in dB, drawn uniformly.
    clean_share : float
        Share of utterances that stay without noise.
    max_noises : int
        Up to so many recordings make the noise together, each at the same level.
    filter : Filter
        What each of them passes.
    babble : Babble
        Whether other voices are the noise.
    """

    bank: NoiseBank
    snr_db: Sequence[float]
    clean_share: float = 0.0
    max_noises: int = 1
    filter: Filter = Filter()
    babble: Babble = Babble()

    def __call__(self, heard, target, rng, narrow, utterance=None):
        """A Mixture of the speech as it is ``heard`` (S), with ``target`` (S) as its clean one.

        In a ``narrow`` band, speech and noise are limited alike, so that the SNR holds within it.
        ``utterance`` is the id, by which babble is of other voices.
        """
        if rng.random() < self.clean_share:
            return Mixture(heard, target, 0.0, float("inf"))
        noise = self.babble(utterance, len(heard), rng)
        noise = self.draw(len(heard), rng) if noise is None else noise
        if narrow:
            noise = limit_band(noise, self.bank.sample_rate)
        snr_db = float(rng.uniform(*self.snr_db))
        return mix(heard, noise, snr_db, rng)._replace(clean=target)

    def draw(self, n_samples, rng):
        """One recording, or several at the same level; each passes a filter of its own."""
        count = int(rng.integers(1, self.max_noises + 1)) if self.max_noises > 1 else 1
        if count == 1:
            return self.filter(self.bank.draw(rng), rng)
        noise = torch.zeros(n_samples)
        for _ in range(count):
            part = loop(self.filter(self.bank.draw(rng), rng), n_samples, rng)
            noise += part / part.square().mean().sqrt().clamp(min=1e-8)
        return noise


@dataclass(frozen=True)
class TrainingMixer:
    """New noise, place, SNR, speed, crop and channel for every utterance in every epoch.

    Seeded by (seed, epoch, utterance id): a resumed training hears what an uninterrupted one does.

    Arguments
    ---------
    seed : int
        Seed of the run.
    epoch_counter : speechbrain.utils.epoch_loop.EpochCounter
        Its ``current`` is part of the seed.
    speed, crop, filter, band, room, noise, level, clip, codec
        The steps from the file to the mixture, in this order. The SNR is that of the speech as it
        is heard in the room, and of the mixture before it is clipped and coded.
    """

    seed: int
    epoch_counter: EpochCounter
    speed: Speed
    crop: Crop
    filter: Filter
    band: Band
    room: Room
    noise: Noise
    level: Level
    clip: Clip
    codec: Codec

    def __call__(self, utterance, wav, section=()):
        """Mixes the speech in the file ``wav``; ``utterance`` is its id.

        ``section`` is (start, duration) in seconds, where the utterance is a part of the file.
        """
        rng = generator(self.seed, self.epoch_counter.current, utterance)
        speech = read_audio(wav, self.noise.bank.sample_rate, *section)
        speech = self.crop(self.speed(speech, rng), rng)
        speech = self.filter(speech, rng)
        speech, narrow = self.band(speech, rng)
        # an epoch may hold an utterance several times, as name|0, name|1, …
        name = utterance.rpartition("|")[0] or utterance
        with named(wav):
            heard, target = self.room(speech, rng)
            mixed = self.noise(heard, target, rng, narrow, name)
        mixed, recorded = self.level(mixed, rng)
        clipped = self.clip(mixed.mixture, rng)
        return mixed._replace(mixture=self.codec(clipped, rng, narrow, recorded))


class FixedMixer:
    """The same mixture on every run: seeded by (seed, utterance id, noise set).

    At every SNR an utterance meets the same noise from the same place on, so that what changes
    along a curve of scores over SNR is the SNR alone.

    Arguments
    ---------
    banks : dict
        Noise set → :class:`NoiseBank`.
    sample_rate : int
        Rate in Hz.
    seed : int
        Seed of the evaluation, not of the training: systems are compared on the same mixtures.
    """

    def __init__(self, banks, sample_rate, seed):
        self.banks, self.sample_rate, self.seed = banks, sample_rate, seed

    def __call__(self, utterance, wav, noise_set=None, snr_db=None):
        """Mixes the speech in the file ``wav``; without ``noise_set`` it stays clean.

        A noise set's name with ``NARROW`` behind it asks for the same mixture within 4 kHz.
        """
        clean = read_audio(wav, self.sample_rate)
        if noise_set is None:
            return Mixture(clean, clean, 0.0, float("inf"))
        name = noise_set.removesuffix(NARROW)  # the same noise in both bands
        rng = generator(self.seed, utterance, name)
        noise = self.banks[name].draw(rng)
        if noise_set != name:
            clean, noise = (limit_band(wave, self.sample_rate) for wave in (clean, noise))
        with named(wav):
            return mix(clean, noise, snr_db, rng)
