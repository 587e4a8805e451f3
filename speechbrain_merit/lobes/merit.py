"""The whole network: one encoder pass, an integration, and the heads of the tasks asked for."""

from typing import NamedTuple

import torch
from torch import nn

from speechbrain_merit.lobes.integration import TASKS
from speechbrain_merit.lobes.level import FixedRMS
from speechbrain_merit.lobes.spectrum import frame_mask, spectral_lengths


class MeritOutput(NamedTuple):
    """What :class:`Merit` returns; what no task asked for is None.

    ``estimate`` and ``noisy`` log1p magnitudes (B, N, F) at the inner level, ``phase`` (B, N, F),
    ``spectral_lengths`` (B), ``logits`` (B, classes), ``routing`` task → Routing over (B, T, …),
    ``frames`` (B, T) True where a frame is no padding, ``factor`` (B, 1) to the inner level,
    ``emotion_frames`` (B, T, D') that the emotion head pools, ``attributes`` (B, A).
    """

    estimate: torch.Tensor | None
    noisy: torch.Tensor | None
    phase: torch.Tensor | None
    spectral_lengths: torch.Tensor | None
    logits: torch.Tensor | None
    routing: dict
    frames: torch.Tensor
    factor: torch.Tensor
    emotion_frames: torch.Tensor | None = None
    attributes: torch.Tensor | None = None


class Merit(nn.Module):
    """Encoder → integration → enhancement head and emotion head.

    A gain at the input changes neither the emotion nor the relative output: every mixture is
    brought to the same root mean square first, and the output is brought back. ``level`` may take
    another rule in, that of the authors' released checkpoints.

    Arguments
    ---------
    encoder : Encoder
        From :func:`speechbrain_merit.lobes.encoders.build_encoder`.
    integration : nn.Module
        From :mod:`speechbrain_merit.lobes.integration`.
    enhancement : nn.Module, optional
        The enhancement head; absent in a system for emotion alone.
    emotion : nn.Module, optional
        The emotion head; absent in a system for enhancement alone.
    level_rms : float
        Root mean square of the mixture inside; 1 is the unit variance of the paper's waves.
    level : FixedRMS or CorpusStatistics, optional
        From :mod:`speechbrain_merit.lobes.level`; ``FixedRMS(level_rms)`` unless given.
    attributes : nn.Module, optional
        The head of arousal, valence and the like, where there is one.

    Example
    -------
    >>> from speechbrain_merit.lobes.emotion import EmotionHead
    >>> from speechbrain_merit.lobes.encoders import build_encoder
    >>> from speechbrain_merit.lobes.enhancement import EnhancementHead
    >>> from speechbrain_merit.lobes.integration import MixtureOfExperts
    >>> encoder = build_encoder("mini")
    >>> mixture = MixtureOfExperts(encoder.n_hidden, encoder.width)
    >>> merit = Merit(encoder, mixture, EnhancementHead(96), EmotionHead(96, n_classes=4))
    >>> output = merit(torch.randn(2, 16000), torch.tensor([1.0, 0.5]))
    >>> output.estimate.shape, output.logits.shape
    (torch.Size([2, 101, 201]), torch.Size([2, 4]))
    >>> merit.waves(output, torch.randn(2, 16000), torch.tensor([1.0, 0.5])).shape
    torch.Size([2, 16000])
    """

    def __init__(
        self,
        encoder,
        integration,
        enhancement=None,
        emotion=None,
        level_rms=1.0,
        level=None,
        attributes=None,
    ):
        super().__init__()
        self.encoder, self.integration = encoder, integration
        self.enhancement, self.emotion, self.attributes = enhancement, emotion, attributes
        self.level = level or FixedRMS(level_rms)

    @property
    def tasks(self):
        """The tasks that this system has a head for."""
        heads = {"se": [self.enhancement], "ser": [self.emotion, self.attributes]}
        return tuple(task for task in TASKS if any(head is not None for head in heads[task]))

    def hear(self, wavs, lengths=None):
        """Waves at the inner level and their factor, hidden states, relative frame lengths."""
        wavs, factor = self.level(wavs, lengths)
        hidden = self.encoder(wavs, lengths)
        return (wavs, factor), hidden, self.encoder.frame_lengths(wavs, lengths)

    def forward(self, wavs, lengths=None, tasks=None):
        """Hears noisy waves (B, S) of relative lengths (B); see :class:`MeritOutput`."""
        tasks = tasks or self.tasks
        (wavs, factor), hidden, frame_lengths = self.hear(wavs, lengths)
        integrated = self.integration(hidden, frame_lengths, tasks)
        estimate = noisy = phase = logits = attributes = None
        spectral = spectral_lengths(wavs, lengths)
        if "se" in tasks:
            noisy, phase = self.enhancement.analyse(wavs, lengths)
            mask = self.enhancement(noisy, integrated.se, spectral, frame_lengths)
            estimate = mask * noisy
        if "ser" in tasks:
            if self.emotion is not None:
                logits = self.emotion(integrated.ser, frame_lengths)
            if self.attributes is not None:
                attributes = self.attributes(integrated.ser, frame_lengths)
        frames = frame_mask(frame_lengths, *hidden.shape[1:3], device=wavs.device)
        return MeritOutput(
            *(estimate, noisy, phase, spectral, logits, integrated.routing, frames, factor),
            emotion_frames=integrated.ser,
            attributes=attributes,
        )

    def waves(self, output, wavs, lengths=None):
        """Enhanced waves (B, S) at the level of the input ``wavs``."""
        enhanced = self.enhancement.synthesise(output.estimate, output.phase, wavs, lengths)
        return self.level.restore(enhanced, output.factor, lengths)
