"""Speech in a room: what an impulse response makes of it, and the early part of that.

What reaches the ear within 50 ms of the direct sound helps understanding (ISO 3382-1, D50); what
comes later blurs. Enhancement is therefore asked for the early part, not for the dry recording.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
import torchaudio

from speechbrain_merit.audio.reading import read_audio
from speechbrain_merit.data.augmentation import happens
from speechbrain_merit.errors import AudioError

EARLY_SECONDS = 0.050
BEFORE_SECONDS = 0.001  # kept before the direct sound: a band-limited impulse has a slope


def in_room(speech, response, sample_rate):
    """Puts speech into a room.

    Arguments
    ---------
    speech : torch.Tensor
        Dry speech (S), float32.
    response : torch.Tensor
        Impulse response of any length; its largest peak is taken for the direct sound.
    sample_rate : int
        Of both, in Hz.

    Returns
    -------
    reverberant : torch.Tensor
        Speech in the room (S), at the level of the dry speech and without the time that sound needs
        to the microphone.
    early : torch.Tensor
        The part of it (S) that arrives within 50 ms of the direct sound.

    Raises
    ------
    ValueError
        If speech or response is silent.

    Example
    -------
    >>> reverberant, early = in_room(torch.randn(8000), torch.tensor([0.0, 1.0, 0.5]), 16000)
    >>> reverberant.shape, bool(torch.equal(reverberant, early))
    (torch.Size([8000]), True)
    """
    peak = int(response.abs().argmax())
    before = min(peak, round(BEFORE_SECONDS * sample_rate))
    response = response[peak - before :]
    first = response[: before + round(EARLY_SECONDS * sample_rate) + 1]
    whole, early = (_convolve(speech, part) for part in (response, first))
    power, level = (wave.double().square().mean() for wave in (whole, speech))
    if not (power > 0 and level > 0):
        raise ValueError("Speech or impulse response is silent: there is nothing to hear in it.")
    gain = float(torch.sqrt(level / power))
    return gain * whole, gain * early


def _convolve(wave, response):
    """The first S samples, also where the response is longer than the wave (S)."""
    return torchaudio.functional.fftconvolve(wave, response)[: len(wave)]


class RoomBank:
    """The impulse responses of a manifest, a bounded number of them in memory.

    Arguments
    ---------
    entries : dict
        ``{id: {"wav", …}}``, paths filled in.
    sample_rate : int
        Rate in Hz.
    cache_size : int
        Responses kept in memory.
    """

    def __init__(self, entries, sample_rate, cache_size=256):
        self.entries, self.sample_rate = entries, sample_rate
        self.names = sorted(entries)
        self.load = lru_cache(maxsize=cache_size)(self._load)

    def __reduce__(self):
        """Travels to another process without the responses that it keeps in memory."""
        return RoomBank, (self.entries, self.sample_rate, self.load.cache_info().maxsize)

    def _load(self, name):
        # One microphone: the mean of several would be a comb filter.
        path = self.entries[name]["wav"]
        response = read_audio(path, self.sample_rate, channel=0)
        if not response.any():
            raise AudioError(f"{path}: its first channel is silent: no room. Take it away.")
        return response

    def draw(self, rng):
        """A response drawn with the generator, every one equally likely."""
        return self.load(self.names[int(rng.integers(len(self.names)))])


@dataclass(frozen=True)
class Room:
    """Puts a share of the utterances into a room.

    Arguments
    ---------
    bank : RoomBank, optional
        Impulse responses to draw from; without any, no utterance stands in a room.
    share : float
        0 … 1.

    Example
    -------
    >>> speech = torch.randn(8000)
    >>> heard, target = Room()(speech, rng=None)
    >>> heard is speech and target is speech
    True
    """

    bank: RoomBank | None = None
    share: float = 0.5

    def __call__(self, wave, rng):
        """The speech (S) as it is heard, and what enhancement is to make of it: the early part."""
        if self.bank is not None and happens(self.share, rng):
            return in_room(wave, self.bank.draw(rng), self.bank.sample_rate)
        return wave, wave
