"""A small encoder that learns from scratch in minutes: convolutions over the log-mel spectrum.

Two things make it learn where a transformer as small does not. Each mel band loses its mean over
the utterance, so that neither the level nor the colour of a steady noise has to be unlearnt; and
its layers are convolutions over time (in the form of ConvNeXt, Liu et al., arXiv 2201.03545), which
see their neighbours from the first step on, where attention has to find them.
"""

from types import SimpleNamespace

import torch
from torch import nn
from transformers.audio_utils import mel_filter_bank

from speechbrain_merit.lobes.hidden import Encoder
from speechbrain_merit.lobes.level import normalise_rms
from speechbrain_merit.lobes.spectrum import (
    HOP,
    N_BINS,
    N_FFT,
    SAMPLE_RATE,
    in_bands,
    sample_counts,
    stft,
)

RMS = 0.1  # at which the floor below holds
FLOOR = 1e-4  # of mel power: some 40 dB below speech at that RMS; pauses are no deeper
FRONT_KERNEL = 3  # of both convolutions of the front end


class Config(SimpleNamespace):
    """The sizes: ``width``, ``layers``, ``kernel`` (frames), ``mel_bands``."""

    def to_diff_dict(self):
        """The keys and values, as a configuration of transformers gives them."""
        return {**vars(self), "model_type": "mel"}


class Layer(nn.Module):
    """Convolution over time, one filter a feature; then a linear layer there and back.

    Example
    -------
    >>> Layer(8, kernel=3)(torch.randn(1, 5, 8), torch.ones(1, 5, 1)).shape
    torch.Size([1, 5, 8])
    """

    def __init__(self, width, kernel):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.convolution = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.final_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 2 * width)
        self.fc2 = nn.Linear(2 * width, width)

    def forward(self, states, valid):
        """States (B, T, D), ``valid`` (B, T, 1) zero in the padding, to states (B, T, D)."""
        heard = (self.norm(states) * valid).transpose(1, 2)
        states = states + self.convolution(heard).transpose(1, 2)
        states = states + self.fc2(nn.functional.gelu(self.fc1(self.final_norm(states))))
        return states * valid


class Layers(nn.Module):
    """What :class:`MelHidden` learns.

    Arguments
    ---------
    config : dict
        The sizes, under the names of :class:`Config`.

    Example
    -------
    >>> len(Layers(dict(width=8, layers=2, kernel=3, mel_bands=20)).layers)
    2
    """

    def __init__(self, config):
        super().__init__()
        self.config = Config(**config)
        width = config["width"]
        self.conv1 = nn.Conv1d(config["mel_bands"], width, FRONT_KERNEL, padding=1)
        self.conv2 = nn.Conv1d(width, width, FRONT_KERNEL, stride=2, padding=1)
        self.norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(Layer(width, config["kernel"]) for _ in range(config["layers"]))


class MelHidden(Encoder):
    """Log-mel bands without their means → two convolutions to 50 frames a second → layers.

    Arguments
    ---------
    model : Layers
        The weights.
    trained : bool
        Whether they come from training.

    Example
    -------
    >>> encoder = MelHidden(Layers(dict(width=96, layers=2, kernel=9, mel_bands=80)))
    >>> encoder(torch.randn(2, 16000), torch.tensor([1.0, 0.6])).shape
    torch.Size([3, 2, 50, 96])
    """

    def __init__(self, model, trained=False):
        config = model.config
        super().__init__(config.width, config.layers, trained)
        self.model = model
        bank = mel_filter_bank(
            N_BINS, config.mel_bands, 0.0, SAMPLE_RATE / 2, SAMPLE_RATE, "slaney", "slaney"
        )
        self.register_buffer("mel", torch.tensor(bank, dtype=torch.float32), persistent=False)
        self.register_buffer(
            "window", torch.hann_window(N_FFT, dtype=torch.float32), persistent=False
        )

    def front(self):
        """The two convolutions over the mel spectrum."""
        return [self.model.conv1, self.model.conv2]

    def frames(self, counts):
        """Frames T of S samples: two mel frames each, the last one alone where odd."""
        return (counts // HOP + 1) // 2

    def power(self, wavs, lengths):
        """The power of each frequency (B, M + 1, F); ONNX has another transform here."""
        return stft(wavs, lengths, self.window).abs().square()

    def log_mel(self, wavs, lengths):
        """Log-mel bands (B, M, bands), M = S // 160, each less its mean over the true length."""
        power = self.power(wavs, lengths)[:, :-1]
        counts = (sample_counts(wavs, lengths) // HOP).unsqueeze(1)
        valid = (torch.arange(power.shape[1], device=wavs.device) < counts)[..., None]
        log = in_bands(power, self.mel).clamp(min=FLOOR).log10() * valid
        return (log - log.sum(dim=1, keepdim=True) / counts.unsqueeze(2)) * valid, valid

    def hidden_states(self, wavs, lengths):
        """See :meth:`Encoder.forward`."""
        model, gelu = self.model, nn.functional.gelu
        wavs, _ = normalise_rms(wavs, lengths, RMS)
        mel, valid = self.log_mel(wavs, lengths)
        mel = mel.to(model.conv1.weight.dtype)
        # What lies behind an utterance's end is zero before each convolution, as if it were alone.
        states = gelu(model.conv1(mel.transpose(1, 2))) * valid.transpose(1, 2)
        states = gelu(model.conv2(states)).transpose(1, 2)
        counts = self.frames(sample_counts(wavs, lengths)).unsqueeze(1)
        inside = (torch.arange(states.shape[1], device=wavs.device) < counts)[..., None]
        all_states = [model.norm(states) * inside]
        for layer in model.layers:
            all_states.append(layer(all_states[-1], inside))
        return torch.stack(all_states)
