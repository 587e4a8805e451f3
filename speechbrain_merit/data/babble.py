"""Babble: several other voices of the training at once, in the place of a recording of noise."""

from dataclasses import dataclass

import torch

from speechbrain_merit.audio.reading import read_audio
from speechbrain_merit.data.augmentation import cut_gaps, happens
from speechbrain_merit.errors import PreparationError

VOICES = (4, 8)  # fewest and most: with fewer, one understands what the others say
MIN_RMS = 1e-8  # of what is silent


class VoiceBank:
    """The training speech by speaker, of which others than the one to be heard are drawn.

    Arguments
    ---------
    entries : dict
        Speech manifest ``{id: {"wav", "spk_id", …}}``, paths filled in; a row without ``spk_id``
        is a speaker of its own.
    sample_rate : int
        Rate in Hz.

    Raises
    ------
    PreparationError
        There are too few speakers.
    """

    def __init__(self, entries, sample_rate):
        self.entries, self.sample_rate = entries, sample_rate
        self.speaker = {name: str(row.get("spk_id", name)) for name, row in entries.items()}
        self.utterances = {}
        for name, speaker in sorted(self.speaker.items()):
            self.utterances.setdefault(speaker, []).append(name)
        if len(self.utterances) <= VOICES[0]:
            raise PreparationError(
                f"babble_share: the training has {len(self.utterances)} speakers, and babble is "
                f"made of {VOICES[0]} to {VOICES[1]} others than the one to be heard: set it to 0, "
                "or train on more speech (speech_folders)."
            )

    def draw(self, utterance, n_samples, rng):
        """Voices (S) at the same level each, none of them that of an utterance by its id."""
        others = [name for name in self.utterances if name != self.speaker.get(utterance)]
        most = min(VOICES[1], len(others))
        count = int(rng.integers(VOICES[0], most + 1))
        babble = torch.zeros(n_samples)
        for speaker in rng.choice(others, size=count, replace=False):
            names = self.utterances[speaker]
            row = self.entries[names[int(rng.integers(len(names)))]]
            voice = read_audio(row["wav"], self.sample_rate, *row.get("section", ()))
            voice = cut_gaps(voice, self.sample_rate)
            place = int(rng.integers(len(voice)))
            voice = voice[(place + torch.arange(n_samples)) % len(voice)]
            babble += voice / voice.square().mean().sqrt().clamp(min=MIN_RMS)
        return babble


@dataclass(frozen=True)
class Babble:
    """Gives a share of the utterances babble for their noise.

    Arguments
    ---------
    bank : VoiceBank, optional
        Voices to draw from; not needed where the share is 0.
    share : float
        0 … 1.

    Example
    -------
    >>> Babble()("anna_1", 16000, None) is None
    True
    """

    bank: VoiceBank | None = None
    share: float = 0.0

    def __call__(self, utterance, n_samples, rng):
        """Babble (S) for an utterance, or None."""
        return self.bank.draw(utterance, n_samples, rng) if happens(self.share, rng) else None
