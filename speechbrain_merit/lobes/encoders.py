"""Self-supervised encoders: a wave in, all hidden states out, with padding that changes nothing.

Hidden states are taken raw: number 0 is the input of the first transformer layer, number i the
output of layer i, before any final LayerNorm. L hidden states, B batch, S samples, T frames
(50 a second), D width.

The transformers come from Hugging Face ``transformers``. SpeechBrain's own lobes for them
normalise a wave over its padding and lose ``freeze`` under ``.train()``; hence these.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModel, WhisperConfig
from transformers.audio_utils import mel_filter_bank
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from speechbrain_merit.lobes.spectrum import HOP, N_BINS, N_FFT, SAMPLE_RATE, sample_counts, stft

SELF_SUPERVISED = ("wavlm", "hubert", "wav2vec2")
#: Root mean square that Whisper hears: speech as loud as in ordinary recordings.
WHISPER_RMS = 0.1
#: The encoder of ``--encoder mini``: Whisper's form, some 1 % of tiny.en's multiplications.
#: Whisper's own init_std, 0.02, leaves the sound ten times weaker than the added positions.
MINI = dict(
    d_model=96, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=192, init_std=0.06
)


def normalise_rms(wavs, lengths, rms):
    """Brings each wave (B, S) to a root mean square over its true length; padding becomes zero.

    Returns
    -------
    tuple
        The waves (B, S) and the factor (B, 1) that each was multiplied with. Silence stays silent.

    Example
    -------
    >>> wavs, factor = normalise_rms(torch.ones(1, 4), torch.tensor([0.5]), rms=0.1)
    >>> wavs
    tensor([[0.1000, 0.1000, 0.0000, 0.0000]])
    """
    counts = sample_counts(wavs, lengths).unsqueeze(1)
    wavs = wavs * (torch.arange(wavs.shape[1], device=wavs.device) < counts)
    power = wavs.double().square().sum(dim=1, keepdim=True) / counts
    factor = torch.where(power > 0, rms / power.sqrt().clamp(min=1e-12), 1.0).to(wavs.dtype)
    return wavs * factor, factor


class Encoder(nn.Module):
    """What the encoders share: freezing that holds, and relative lengths of frames.

    ``width`` D and ``n_hidden`` L are attributes. ``trained`` is False for an encoder that starts
    from random weights: it is never frozen. ``max_seconds`` is the longest input, None for any.
    ``head_dropout`` is the dropout that suits an emotion head on top: the paper's 0.5 for wide
    pretrained frames, 0.1 for an encoder that has to learn through it.
    """

    max_seconds = None

    def __init__(self, width, n_layers, trained):
        super().__init__()
        self.width, self.n_hidden, self.trained = width, n_layers + 1, trained
        self.head_dropout = 0.5 if trained else 0.1
        self.frozen = False

    def front(self):
        """The modules of the front end, which stay frozen when the rest trains."""
        raise AssertionError("each encoder names its front end")

    def freeze(self, frozen=True):
        """Freezes the encoder, or lets its transformer train; the convolutions stay frozen."""
        if self.trained:
            self.frozen = frozen
            self.requires_grad_(not frozen)
            for module in self.front():
                module.requires_grad_(False)
            self.train(self.training)

    def train(self, mode=True):
        """Sets the training mode; what is frozen stays in evaluation mode (no dropout).

        The encoder itself keeps the mode it was given, so that unfreezing knows which to take up.
        """
        super().train(mode and not self.frozen)
        self.training = mode
        if self.trained:
            for module in self.front():
                module.eval()
        return self

    def frame_lengths(self, wavs, lengths):
        """Relative lengths (B) that count the T frames instead of samples; None stays None."""
        if lengths is None:
            return None
        counts = self.frames(sample_counts(wavs, lengths)).to(torch.float32)
        return counts / self.frames(torch.tensor(wavs.shape[1]))

    def forward(self, wavs, lengths=None):
        """Waves (B, S) at 16 kHz with relative lengths (B) to hidden states (L, B, T, D)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return self.hidden_states(wavs, lengths)


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
    >>> encoder = build_encoder("mini")
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
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)

    def front(self):
        """The two convolutions over the mel spectrum, and the positions, which are fixed sines."""
        return [self.model.conv1, self.model.conv2, self.model.embed_positions]

    def frames(self, counts):
        """Frames T of S samples: two mel frames each, the last one alone where odd."""
        return (counts // HOP + 1) // 2

    def log_mel(self, wavs, lengths):
        """Whisper's input (B, mel, M), M = S // 160, normalised over each true length."""
        power = stft(wavs, lengths, self.window)[:, :-1].abs().square()
        counts = sample_counts(wavs, lengths) // HOP
        valid = (torch.arange(power.shape[1], device=wavs.device) < counts.unsqueeze(1))[..., None]
        log = (power @ self.mel).clamp(min=1e-10).log10()  # 1e-10, 8, 4: Whisper's own constants
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
            states = layer(states, attention)
            all_states.append(states)
        return torch.stack(all_states) * inside[None, :, :, None]


class SelfSupervisedHidden(Encoder):
    """WavLM, HuBERT or wav2vec 2.0, all hidden states, an utterance in a batch as if alone.

    Arguments
    ---------
    model : transformers PreTrainedModel
        A ``WavLMModel``, ``HubertModel`` or ``Wav2Vec2Model``.
    normalise : bool
        Bring each wave to zero mean and unit variance first (what the large models expect).

    Example
    -------
    >>> from transformers import WavLMConfig, WavLMModel
    >>> config = WavLMConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
    ...     intermediate_size=32, conv_dim=[16] * 7, num_conv_pos_embedding_groups=2)
    >>> encoder = SelfSupervisedHidden(WavLMModel(config), normalise=False)
    >>> encoder(torch.randn(2, 16000), torch.tensor([1.0, 0.6])).shape
    torch.Size([3, 2, 49, 32])
    """

    def __init__(self, model, normalise, trained=True):
        config = model.config
        super().__init__(config.hidden_size, config.num_hidden_layers, trained)
        config.layerdrop = 0.0  # a dropped layer would leave a hidden state out
        config.apply_spec_augment = False  # masking is for pretraining; the noise augments here
        self.model, self.normalise = model, normalise

    def front(self):
        """The convolutions over the wave."""
        return [self.model.feature_extractor]

    def frames(self, counts):
        """Frames T of S samples, by the convolutions' kernels and strides."""
        for kernel, stride in zip(self.model.config.conv_kernel, self.model.config.conv_stride):
            counts = (counts - kernel) // stride + 1
        return counts

    def convolve(self, wavs, counts):
        """The convolutions' output (B, T, C); each utterance by itself where padding would leak.

        The base models normalise each channel over time (group norm), padding included.
        """
        extract = self.model.feature_extractor
        if self.model.config.feat_extract_norm != "group" or int(counts.min()) == wavs.shape[1]:
            return extract(wavs).transpose(1, 2)
        single = [extract(w[None, :c])[0].T for w, c in zip(wavs, counts.tolist())]
        padded = nn.utils.rnn.pad_sequence(single, batch_first=True)
        missing = int(self.frames(torch.tensor(wavs.shape[1]))) - padded.shape[1]
        return nn.functional.pad(padded, (0, 0, 0, missing))

    def hidden_states(self, wavs, lengths):
        """See :meth:`Encoder.forward`."""
        counts = sample_counts(wavs, lengths)
        if int(self.frames(counts.min())) < 1:
            raise ValueError(f"{int(counts.min())} samples are too short for one encoder frame.")
        if self.normalise:
            valid = torch.arange(wavs.shape[1], device=wavs.device) < counts.unsqueeze(1)
            mean = (wavs * valid).sum(dim=1, keepdim=True) / counts.unsqueeze(1)
            wavs = normalise_rms((wavs - mean) * valid, lengths, rms=1.0)[0]
        features = self.convolve(wavs, counts)
        inside = torch.arange(features.shape[1], device=wavs.device)
        inside = inside < self.frames(counts).unsqueeze(1)
        projected = self.model.feature_projection(features)
        if isinstance(projected, tuple):  # HuBERT returns the projection alone
            projected = projected[0]
        mask = None if bool(inside.all()) else inside
        states = layer_states(self.model.encoder, projected, mask)
        return torch.stack(states) * inside[None, :, :, None]


def layer_states(encoder, projected, mask):
    """What enters the first layer of a transformers encoder, and what leaves each layer.

    Taken by hooks, since the hidden states that transformers returns are raw or normalised
    depending on the model and its version.
    """
    states = []

    def keep(layer, given, output):
        if not states:
            states.append(given[0])
        states.append(output[0] if isinstance(output, tuple) else output)

    hooks = [layer.register_forward_hook(keep) for layer in encoder.layers]
    try:
        encoder(projected, attention_mask=mask)
    finally:
        for hook in hooks:
            hook.remove()
    return states


def build_encoder(source, freeze=True):
    """Builds an encoder from a name.

    Arguments
    ---------
    source : str
        ``mini`` (a small one from random weights, trained with the rest), or a Hugging Face name
        or local folder of a WavLM, HuBERT, wav2vec 2.0 or Whisper model.
    freeze : bool
        Start frozen; :meth:`Encoder.freeze` changes it later. ``mini`` is never frozen.

    Returns
    -------
    Encoder

    Raises
    ------
    ValueError
        Nothing loadable at ``source``, or a model of another kind.

    Example
    -------
    >>> encoder = build_encoder("mini")
    >>> encoder.width, encoder.n_hidden, encoder.frozen
    (96, 3, False)
    """
    if source == "mini":
        return WhisperHidden(WhisperEncoder(WhisperConfig(dropout=0.0, **MINI)), trained=False)
    hint = "Give mini, a Hugging Face name such as microsoft/wavlm-large, or a local folder."
    try:
        config = AutoConfig.from_pretrained(source)
    except (OSError, ValueError) as error:
        missing = not Path(str(source)).exists()
        what = "no such folder here, and the hub did not give it" if missing else str(error)
        raise ValueError(f"encoder: cannot load {source!r}: {what}. {hint}") from error
    if config.model_type == "whisper":
        encoder = WhisperHidden(load_weights(WhisperEncoder, source, config))
    elif config.model_type in SELF_SUPERVISED:
        encoder = SelfSupervisedHidden(
            load_weights(AutoModel, source, config), normalise=expects_unit_variance(source, config)
        )
    else:
        raise ValueError(f"encoder: {source!r} is a {config.model_type} model, not one of these: "
                         f"whisper, {', '.join(SELF_SUPERVISED)}. {hint}")  # fmt: skip
    encoder.freeze(freeze)
    return encoder


def load_weights(model_class, source, config):
    """Loads pretrained weights in float32; a weight that the folder lacks is an error."""
    # a whole Whisper's encoder keys, and those of a folder with the encoder alone
    renamed = {r"^(model\.)?encoder\.": ""} if model_class is WhisperEncoder else None
    try:
        model, report = model_class.from_pretrained(
            source,
            config=config,
            dtype=torch.float32,
            output_loading_info=True,
            key_mapping=renamed,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"encoder: the weights of {source!r} cannot be loaded: {error}") from error
    # masked_spec_embed serves pretraining alone, and some published folders leave it out
    missing = sorted(key for key in report["missing_keys"] if key != "masked_spec_embed")
    if missing:
        raise ValueError(f"encoder: {source!r} lacks the weights {', '.join(missing[:5])} …")
    return model


def expects_unit_variance(source, config):
    """Whether a self-supervised model was trained on waves of zero mean and unit variance."""
    from transformers import AutoFeatureExtractor

    try:
        return bool(AutoFeatureExtractor.from_pretrained(source).do_normalize)
    except (OSError, ValueError):  # no preprocessor_config.json: the rule of the published models
        return config.feat_extract_norm == "layer"
