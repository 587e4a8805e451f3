"""The whole network: one encoder pass, an integration, and the heads of the tasks asked for."""

from typing import NamedTuple

import torch
from torch import nn

from speechbrain_merit.lobes.enhancement import Enhanced
from speechbrain_merit.lobes.integration import TASKS
from speechbrain_merit.lobes.level import FixedRMS
from speechbrain_merit.lobes.spectrum import frame_mask


class MeritOutput(NamedTuple):
    """What :class:`Merit` returns; what no task asked for is None.

    ``waves`` (B, S) enhanced, at the level of the input; ``enhanced`` the same inside, with what
    the head's loss needs; ``logits`` (B, classes); ``attributes`` (B, A); ``emotion_frames``
    (B, T, D') that the emotion head pools; ``routing`` task → Routing over (B, T, …); ``frames``
    (B, T) True where a frame is no padding; ``factor`` (B, 1) to the inner level.
    """

    waves: torch.Tensor | None
    enhanced: Enhanced | None
    logits: torch.Tensor | None
    attributes: torch.Tensor | None
    emotion_frames: torch.Tensor | None
    routing: dict
    frames: torch.Tensor
    factor: torch.Tensor


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
    >>> output.waves.shape, output.logits.shape
    (torch.Size([2, 16000]), torch.Size([2, 4]))
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
        self.config = {}  # its parts have theirs, and the level says its own
        self.encoder, self.integration = encoder, integration
        self.enhancement, self.emotion, self.attributes = enhancement, emotion, attributes
        self.level = level or FixedRMS(level_rms)

    @property
    def tasks(self):
        """The tasks that this system has a head for."""
        heads = {"se": [self.enhancement], "ser": [self.emotion, self.attributes]}
        return tuple(task for task in TASKS if any(head is not None for head in heads[task]))

    @property
    def encoders(self):
        """The encoders that train, or will."""
        return [self.encoder]

    @property
    def max_seconds(self):
        """The longest wave that it hears at once; None for any."""
        return self.encoder.max_seconds

    @property
    def n_experts(self):
        """The size of the pool of experts; None where there is none."""
        return self.integration.config.get("n_experts")

    def hear(self, wavs, lengths=None):
        """Waves at the inner level and their factor, hidden states, relative frame lengths."""
        wavs, factor = self.level(wavs, lengths)
        hidden = self.encoder(wavs, lengths)
        return (wavs, factor), hidden, self.encoder.frame_lengths(wavs, lengths)

    def standardise(self, batches):
        """Starts the LayerNorms over the hidden states from batches of noisy training data.

        Arguments
        ---------
        batches : iterable
            Pairs of waves (B, S) and relative lengths (B) or None.
        """
        self.integration.standardise(self.hear(*batch)[1:] for batch in batches)

    def forward(self, wavs, lengths=None, tasks=None):
        """Hears noisy waves (B, S) of relative lengths (B); see :class:`MeritOutput`."""
        tasks = tasks or self.tasks
        (wavs, factor), hidden, frame_lengths = self.hear(wavs, lengths)
        integrated = self.integration(hidden, frame_lengths, tasks)
        waves = enhanced = logits = attributes = None
        if "se" in tasks:
            enhanced = self.enhancement(wavs, lengths, integrated.se, frame_lengths)
            waves = self.level.restore(enhanced.waves, factor, lengths)
        if "ser" in tasks:
            if self.emotion is not None:
                logits = self.emotion(integrated.ser, frame_lengths)
            if self.attributes is not None:
                attributes = self.attributes(integrated.ser, frame_lengths)
        frames = frame_mask(frame_lengths, *hidden.shape[1:3], device=wavs.device)
        heads = waves, enhanced, logits, attributes, integrated.ser
        return MeritOutput(*heads, integrated.routing, frames, factor)
