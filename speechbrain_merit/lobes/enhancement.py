"""The enhancement head: a spectral mask from the noisy spectrum and the encoder's frames (BSSE-SE).

Hung et al., "Boosting self-supervised embeddings for speech enhancement", Interspeech 2022
(arXiv 2204.03339). B batch, N spectral frames (100 a second), T encoder frames (50 a second),
F = 201 bins, D' width.
"""

from typing import NamedTuple

import torch
from torch import nn

from speechbrain_merit.lobes.objectives import alone, log_spectral_l1, ratio, si_sdr
from speechbrain_merit.lobes.precision import wide
from speechbrain_merit.lobes.spectral_losses import EXTRA
from speechbrain_merit.lobes.spectrum import (
    N_BINS,
    N_FFT,
    frame_counts,
    istft,
    spectral_lengths,
    stft,
)

MAGNITUDE_FLOOR = 1e-6  # of the released code, kept so that its checkpoints give what they gave


def reverse(frames, counts):
    """Reverses each sequence of (B, N, …) within its own length; padding stays where it is.

    Example
    -------
    >>> reverse(torch.arange(4.0).view(1, 4, 1), torch.tensor([3])).flatten().tolist()
    [2.0, 1.0, 0.0, 3.0]
    """
    steps = torch.arange(frames.shape[1], device=frames.device)
    back = counts.unsqueeze(1) - 1 - steps
    index = torch.where(back >= 0, back, steps)
    return frames.gather(1, index.unsqueeze(-1).expand_as(frames))


class BidirectionalLSTM(nn.Module):
    """Bidirectional LSTM, the directions of the last layer summed, that never reads padding.

    The backward direction runs over each sequence reversed within its own length, so nothing needs
    packing, which is four to five times slower on a CPU.

    Arguments
    ---------
    width : int
        Width of the input and of each direction.
    n_layers : int
        Number of layers.

    Example
    -------
    >>> BidirectionalLSTM(8, n_layers=2)(torch.randn(2, 10, 8), torch.tensor([10, 5])).shape
    torch.Size([2, 10, 8])
    """

    def __init__(self, width, n_layers=2):
        super().__init__()
        widths = [width] + [2 * width] * (n_layers - 1)
        self.onward = nn.ModuleList(nn.LSTM(w, width, batch_first=True) for w in widths)
        self.backward_ = nn.ModuleList(nn.LSTM(w, width, batch_first=True) for w in widths)

    def forward(self, frames, counts):
        """Frames (B, N, width) of ``counts`` (B) true frames to (B, N, width)."""
        for onward, backward in zip(self.onward, self.backward_):
            left = onward(frames)[0]
            right = reverse(backward(reverse(frames, counts))[0], counts)
            frames = torch.cat([left, right], dim=-1)
        return left + right


class Enhanced(NamedTuple):
    """What an enhancement head makes of noisy waves.

    ``waves`` (B, S), zero in the padding; ``estimate`` what its own loss needs beside them, here
    log1p magnitudes (B, N, F), and ``lengths`` (B) the relative lengths of the N frames.
    """

    waves: torch.Tensor
    estimate: torch.Tensor
    lengths: torch.Tensor | None


class EnhancementHead(nn.Module):
    """Concatenate noisy log1p and encoder frames → linear → BLSTM → linear → sigmoid mask.

    Whatever a head does inside, it is called and trained as this one is: waves and frames in,
    waves out, and :meth:`loss` gives the terms that a YAML weights by ``<term>_weight``.

    Arguments
    ---------
    width : int
        Width D' of an encoder frame.
    hidden : int
        Width of the recurrent layers (256 in BSSE-SE).
    n_layers : int
        Number of recurrent layers (2 in BSSE-SE).

    Example
    -------
    >>> head = EnhancementHead(width=8, hidden=16)
    >>> enhanced = head(torch.randn(2, 1600), None, torch.randn(2, 5, 8))
    >>> enhanced.waves.shape, enhanced.estimate.shape
    (torch.Size([2, 1600]), torch.Size([2, 11, 201]))
    """

    def __init__(self, width, hidden=256, n_layers=2):
        super().__init__()
        self.config = {"width": width, "hidden": hidden, "n_layers": n_layers}
        self.enter = nn.Linear(N_BINS + width, hidden)
        self.blstm = BidirectionalLSTM(hidden, n_layers)
        self.leave = nn.Linear(hidden, N_BINS)
        self.register_buffer(
            "window", torch.hamming_window(N_FFT, dtype=torch.float32), persistent=False
        )

    def forward(self, wavs, lengths, frames, frame_lengths=None):
        """Enhances noisy waves.

        Arguments
        ---------
        wavs : torch.Tensor
            Noisy waves (B, S).
        lengths : torch.Tensor or None
            Their relative lengths (B).
        frames : torch.Tensor
            Encoder frames of the task (B, T, D').
        frame_lengths : torch.Tensor, optional
            Relative lengths (B) of the T frames.

        Returns
        -------
        Enhanced
        """
        noisy, phase = self.analyse(wavs, lengths)
        spectral = spectral_lengths(wavs, lengths)
        estimate = self.mask(noisy, frames, spectral, frame_lengths) * noisy
        return Enhanced(self.synthesise(estimate, phase, wavs, lengths), estimate, spectral)

    def loss(self, enhanced, clean, lengths=None, noisy=None, total=alone, extra=()):
        """The terms of the loss, each a scalar.

        Arguments
        ---------
        enhanced : Enhanced
            What :meth:`forward` gave.
        clean : torch.Tensor
            Clean waves (B, S) at the level of the head's input.
        lengths : torch.Tensor, optional
            Their relative lengths (B).
        noisy : torch.Tensor, optional
            True (B) where noise was added; unless given, everywhere.
        total : callable
            The sum of a tensor over all processes, for means over the joint batch.
        extra : sequence of str
            Further terms that are wanted, of
            :data:`speechbrain_merit.lobes.spectral_losses.EXTRA`.

        Returns
        -------
        dict
            ``enhancement``, L1 on log1p magnitudes; ``si_sdr``, minus SI-SDR in dB over the noisy
            utterances: without noise it has no bound, and nothing to gain, and 0 where none is
            noisy; and each of ``extra``.
        """
        target, _ = self.analyse(clean, lengths)
        return head_terms(enhanced, target, clean, lengths, noisy, total, extra)

    def analyse(self, wavs, lengths=None):
        """Waves (B, S) to log1p magnitude (B, N, F) and complex unit phase (B, N, F)."""
        spectrum = stft(wide(wavs), lengths, self.window)
        magnitude = spectrum.abs() + MAGNITUDE_FLOOR
        return magnitude.log1p(), spectrum / magnitude

    def synthesise(self, log_magnitude, phase, wavs, lengths=None):
        """Log1p magnitude and phase back to waves (B, S) of the lengths of ``wavs``."""
        magnitude = wide(log_magnitude).expm1() - MAGNITUDE_FLOOR
        return istft(magnitude.clamp(min=0) * phase, wavs, lengths, self.window)

    def mask(self, noisy, frames, lengths=None, frame_lengths=None):
        """The mask (B, N, F) in [0, 1] of noisy log1p (B, N, F) and encoder frames (B, T, D')."""
        batch, n_frames = noisy.shape[:2]
        counts = frame_counts(lengths, batch, n_frames, noisy.device)
        frames = twice(frames, frame_lengths, n_frames)
        both = torch.cat([noisy.to(frames.dtype), frames], dim=-1)
        return torch.sigmoid(self.leave(self.blstm(self.enter(both), counts)))


def head_terms(enhanced, target, clean, lengths, noisy, total, extra):
    """The terms of :meth:`EnhancementHead.loss`, with ``target`` clean log1p magnitudes (B, N, F).

    They are the same for every head whose estimate is of that form.
    """
    decibels = si_sdr(enhanced.waves, clean, lengths)
    noisy = torch.ones_like(decibels, dtype=torch.bool) if noisy is None else noisy
    loss = -decibels.masked_fill(~noisy, 0.0)
    terms = {
        "enhancement": log_spectral_l1(enhanced.estimate, target, enhanced.lengths, total),
        "si_sdr": ratio(loss.sum(), noisy.sum(), total),
    }
    terms.update({name: EXTRA[name](enhanced.waves, clean, lengths, total) for name in extra})
    return terms


def twice(frames, lengths, n_frames):
    """Frames (B, T, D') at 50 a second to (B, N, D') at 100: each twice, the last to the end.

    Example
    -------
    >>> twice(torch.arange(2.0).view(1, 2, 1), None, 5).flatten().tolist()
    [0.0, 0.0, 1.0, 1.0, 1.0]
    """
    last = frame_counts(lengths, *frames.shape[:2], frames.device) - 1
    step = torch.arange(n_frames, device=frames.device) // 2
    index = torch.minimum(step, last.unsqueeze(1))
    return frames.gather(1, index.unsqueeze(-1).expand(-1, -1, frames.shape[-1]))
