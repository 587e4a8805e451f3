"""Whisper's encoder, all hidden states, on short input as it is.

Radford et al., "Robust speech recognition via large-scale weak supervision" (arXiv 2212.04356).
"""

import torch
from torch import nn
from transformers.audio_utils import mel_filter_bank

from speechbrain_merit.lobes.hidden import Encoder, first
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

#: Root mean square that Whisper hears: speech as loud as in ordinary recordings.
WHISPER_RMS = 0.1


class WhisperHidden(Encoder):
    """Whisper's encoder on input of any length up to 30 s, without padding it to 30 s.

    Arguments
    ---------
    model : transformers WhisperEncoder
        The encoder.
    trained : bool
        Whether its weights come from training.

    Example
    -------
    >>> from transformers import WhisperConfig
    >>> from transformers.models.whisper.modeling_whisper import WhisperEncoder
    >>> config = WhisperConfig(d_model=96, encoder_layers=2, encoder_attention_heads=4)
    >>> encoder = WhisperHidden(WhisperEncoder(config), trained=False)
    >>> encoder(torch.randn(2, 16000), torch.tensor([1.0, 0.6])).shape
    torch.Size([3, 2, 50, 96])
    """

    max_seconds = 30  # the positions that Whisper has learnt

    def __init__(self, model, trained=True):
        config = model.config
        super().__init__(config.d_model, config.encoder_layers, trained)
        self.model = model
        bank = mel_filter_bank(
            N_BINS, config.num_mel_bins, 0.0, SAMPLE_RATE / 2, SAMPLE_RATE, "slaney", "slaney"
        )
        self.register_buffer("mel", torch.tensor(bank, dtype=torch.float32), persistent=False)
        self.register_buffer(
            "window", torch.hann_window(N_FFT, dtype=torch.float32), persistent=False
        )

    def front(self):
        """The two convolutions over the mel spectrum, and the positions, which are fixed sines."""
        return [self.model.conv1, self.model.conv2, self.model.embed_positions]

    def frames(self, counts):
        """Frames T of S samples: two mel frames each, the last one alone where odd."""
        return (counts // HOP + 1) // 2

    def power(self, wavs, lengths):
        """The power of each frequency (B, M + 1, F); ONNX has another transform here."""
        return stft(wavs, lengths, self.window).abs().square()

    def log_mel(self, wavs, lengths):
        """Whisper's input (B, mel, M), M = S // 160, normalised over each true length."""
        power = self.power(wavs, lengths)[:, :-1]
        counts = sample_counts(wavs, lengths) // HOP
        valid = (torch.arange(power.shape[1], device=wavs.device) < counts.unsqueeze(1))[..., None]
        log = in_bands(power, self.mel).clamp(min=1e-10).log10()  # 1e-10, 8, 4: Whisper's own
        loudest = log.masked_fill(~valid, -torch.inf).amax(dim=(1, 2), keepdim=True)
        return ((torch.maximum(log, loudest - 8) + 4) / 4 * valid).transpose(1, 2), valid

    def hidden_states(self, wavs, lengths):
        """See :meth:`Encoder.forward`."""
        if wavs.shape[1] > self.max_seconds * SAMPLE_RATE:
            raise ValueError(
                f"Whisper hears at most {self.max_seconds} s at once and this wave has "
                f"{wavs.shape[1] / SAMPLE_RATE:.1f} s: cut it into windows."
            )
        wavs, _ = normalise_rms(wavs, lengths, WHISPER_RMS)
        mel, valid = self.log_mel(wavs, lengths)
        mel = mel.to(self.model.conv1.weight.dtype)
        gelu = nn.functional.gelu
        # What lies behind an utterance's end is zero before each convolution, as if it were alone.
        states = gelu(self.model.conv1(mel)) * valid.transpose(1, 2)
        states = gelu(self.model.conv2(states)).transpose(1, 2)
        n_frames = states.shape[1]
        states = states + self.model.embed_positions.weight[:n_frames]
        counts = self.frames(sample_counts(wavs, lengths))
        inside = torch.arange(n_frames, device=wavs.device) < counts.unsqueeze(1)
        attention = None if bool(inside.all()) else inside[:, None, None, :]
        all_states = [states]
        for layer in self.model.layers:
            states = first(layer(states, attention))
            all_states.append(states)
        return torch.stack(all_states) * inside[None, :, :, None]
