"""WavLM, HuBERT and wav2vec 2.0: all hidden states, an utterance in a batch as if alone.

WavLM: Chen et al. (arXiv 2110.13900); HuBERT: Hsu et al. (arXiv 2106.07447); wav2vec 2.0: Baevski
et al. (arXiv 2006.11477).
"""

import threading

import torch
from torch import nn

from speechbrain_merit.lobes.hidden import Encoder, first
from speechbrain_merit.lobes.level import normalise_rms
from speechbrain_merit.lobes.spectrum import sample_counts


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
        features = self.convolve(wavs.to(next(self.parameters()).dtype), counts)
        inside = torch.arange(features.shape[1], device=wavs.device)
        inside = inside < self.frames(counts).unsqueeze(1)
        projected = first(self.model.feature_projection(features))
        mask = None if bool(inside.all()) else inside
        states = layer_states(self.model.encoder, projected, mask)
        return torch.stack(states) * inside[None, :, :, None]


def layer_states(encoder, projected, mask):
    """What enters the first layer of a transformers encoder, and what leaves each layer.

    Taken by hooks, since the hidden states that transformers returns are raw or normalised
    depending on the model and its version. In the large form (``do_stable_layer_norm``) number 0
    holds the positional convolution and no LayerNorm, and the last one precedes the final
    LayerNorm; in the base form number 0 has passed the encoder's LayerNorm, as its layers see it.
    """
    states, thread = [], threading.get_ident()

    def keep(layer, given, named, output):
        if threading.get_ident() != thread:  # another one's wave in the same layers
            return
        if not states:
            states.append(given[0] if given else named["hidden_states"])
        states.append(first(output))

    hooks = [layer.register_forward_hook(keep, with_kwargs=True) for layer in encoder.layers]
    try:
        encoder(projected, attention_mask=mask)
    finally:
        for hook in hooks:
            hook.remove()
    return states
