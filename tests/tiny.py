"""Tiny networks and comparisons that several test files share."""

import torch
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from speechbrain_merit.lobes.dual_path import DualPathHead
from speechbrain_merit.lobes.emotion import EmotionHead
from speechbrain_merit.lobes.encoders import WhisperHidden
from speechbrain_merit.lobes.enhancement import EnhancementHead
from speechbrain_merit.lobes.integration import MixtureOfExperts
from speechbrain_merit.lobes.merit import Merit

WIDTH = 16


def agree(actual, expected, tolerance=1e-5):
    """Asserts equality up to a share of the largest value, the unit in which float32 rounds."""
    assert actual.shape == expected.shape
    scale = float(expected.detach().abs().max())
    assert scale > 0, "a comparison with zeros says nothing"
    difference = float((actual.detach() - expected.detach()).abs().max())
    assert difference <= tolerance * scale, f"{difference:.3g} apart on a scale of {scale:.3g}"


def pad(waves):
    """Waves of several lengths to a batch (B, S), zeros behind, and their relative lengths (B)."""
    counts = torch.tensor([len(wave) for wave in waves])
    return torch.nn.utils.rnn.pad_sequence(waves, batch_first=True), counts / counts.max()


def with_garbage(values, counts, dim=1):
    """The same batch with loud noise in the padding behind ``counts`` along ``dim``."""
    steps = torch.arange(values.shape[dim]).view([-1] + [1] * (values.dim() - dim - 1))
    counts = torch.as_tensor(counts).view([-1] + [1] * (values.dim() - dim))
    return torch.where(steps < counts, values, 100 * torch.randn_like(values))


def tiny_encoder(**changes):
    """An encoder of Whisper's form, lively enough that its attention looks somewhere."""
    config = dict(
        d_model=WIDTH,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=32,
        dropout=0.0,
        init_std=0.3,
    )
    return WhisperHidden(WhisperEncoder(WhisperConfig(**{**config, **changes})), trained=False)


def tiny_dual_path():
    """The convolutional enhancement head, so small that a test can run it often."""
    return DualPathHead(WIDTH, channels=(2, 4, 4), n_blocks=1)


def tiny_merit(enhancement=None, **changes):
    """The whole network of two tasks, in evaluation mode; ``changes`` go to the mixture."""
    encoder = tiny_encoder()
    mixture = MixtureOfExperts(encoder.n_hidden, encoder.width, **changes)
    enhancement = enhancement or EnhancementHead(WIDTH, hidden=16)
    return Merit(encoder, mixture, enhancement, EmotionHead(WIDTH, n_classes=4)).eval()
