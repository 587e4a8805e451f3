"""What all encoders share: hidden states that are raw, finite, and free of padding.

Hidden states are taken raw: number 0 is the input of the first transformer layer, number i the
output of layer i, before any final LayerNorm. L hidden states, B batch, S samples, T frames
(50 a second), D width.
"""

import math

import torch
from torch import nn

from speechbrain_merit.lobes.spectrum import sample_counts


def first(output):
    """The states alone, where a module of transformers may give more in a tuple with them.

    Which of its modules do differs between its models and its versions.
    """
    return output[0] if isinstance(output, tuple) else output


def check_finite(hidden, wavs):
    """Stops at hidden states (L, B, T, D) that hold infinity or no number, and names the first.

    Sums in float32 keep both, pass over the memory once and copy nothing; the host waits for the
    device once, for L numbers.

    Raises
    ------
    FloatingPointError
        Names the hidden state, and says what to try.

    Example
    -------
    >>> hidden = torch.zeros(3, 1, 5, 8)
    >>> hidden[1:] = torch.inf
    >>> check_finite(hidden, torch.zeros(1, 1600))
    Traceback (most recent call last):
    ...
    FloatingPointError: Hidden state 1 of the encoder (0 enters the first layer, 2 leaves the ...
    """
    dtype = torch.promote_types(hidden.dtype, torch.float32)
    sums = hidden.detach().sum(dim=(1, 2, 3), dtype=dtype).tolist()
    broken = [number for number, total in enumerate(sums) if not math.isfinite(total)]
    if not broken:
        return
    if not bool(torch.isfinite(wavs).all()):
        cause = "The wave itself does: look at the recording, or at what came before the encoder."
    else:
        cause = (
            "In half precision a layer overflows above 65504: try precision: fp32, or bf16. If it "
            "is fp32 already, the weights are damaged or training diverged: go back to the last "
            "good checkpoint and lower encoder_lr."
        )
    raise FloatingPointError(
        f"Hidden state {broken[0]} of the encoder (0 enters the first layer, {len(sums) - 1} "
        f"leaves the last) holds infinity or NaN. {cause}"
    )


class Encoder(nn.Module):
    """What the encoders share: freezing that holds, and relative lengths of frames.

    ``width`` D and ``n_hidden`` L are attributes. ``trained`` is False for an encoder that starts
    from random weights: it is never frozen. ``max_seconds`` is the longest input, None for any.
    ``head_dropout`` is the dropout that suits an emotion head on top: the paper's 0.5 for wide
    pretrained frames, 0.1 for an encoder that has to learn through it. ``enhancement_hidden`` is
    the width of an enhancement head on top: the paper's 256, or half of it beside a small encoder,
    where the recurrent layers would take nearly all of the time.
    """

    max_seconds = None

    def __init__(self, width, n_layers, trained):
        super().__init__()
        self.width, self.n_hidden, self.trained = width, n_layers + 1, trained
        self.head_dropout = 0.5 if trained else 0.1
        self.enhancement_hidden = 256 if trained else 64
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
        """Waves (B, S) at 16 kHz with relative lengths (B) to hidden states (L, B, T, D).

        Raises FloatingPointError where a hidden state is infinite or no number.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            hidden = self.hidden_states(wavs, lengths)
        check_finite(hidden, wavs)
        return hidden
