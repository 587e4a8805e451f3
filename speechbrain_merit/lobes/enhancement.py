"""The enhancement head: a spectral mask from the noisy spectrum and the encoder's frames (BSSE-SE).

Hung et al., "Boosting self-supervised embeddings for speech enhancement", Interspeech 2022
(arXiv 2204.03339). B batch, N spectral frames (100 a second), T encoder frames (50 a second),
F = 201 bins, D' width.
"""

import torch
from torch import nn

from speechbrain_merit.lobes.spectrum import N_BINS, N_FFT, frame_counts, istft, stft

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


class EnhancementHead(nn.Module):
    """Concatenate noisy log1p and encoder frames → linear → BLSTM → linear → sigmoid mask.

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
    >>> noisy, _ = head.analyse(torch.randn(2, 1600))
    >>> head(noisy, torch.randn(2, 5, 8)).shape
    torch.Size([2, 11, 201])
    """

    def __init__(self, width, hidden=256, n_layers=2):
        super().__init__()
        self.enter = nn.Linear(N_BINS + width, hidden)
        self.blstm = BidirectionalLSTM(hidden, n_layers)
        self.leave = nn.Linear(hidden, N_BINS)
        self.register_buffer("window", torch.hamming_window(N_FFT), persistent=False)

    def analyse(self, wavs, lengths=None):
        """Waves (B, S) to log1p magnitude (B, N, F) and complex unit phase (B, N, F)."""
        spectrum = stft(wavs.float(), lengths, self.window)
        magnitude = spectrum.abs() + MAGNITUDE_FLOOR
        return magnitude.log1p(), spectrum / magnitude

    def synthesise(self, log_magnitude, phase, wavs, lengths=None):
        """Log1p magnitude and phase back to waves (B, S) of the lengths of ``wavs``."""
        magnitude = log_magnitude.float().expm1() - MAGNITUDE_FLOOR
        return istft(magnitude.clamp(min=0) * phase, wavs, lengths, self.window)

    def forward(self, noisy, frames, lengths=None, frame_lengths=None):
        """The mask (B, N, F) in [0, 1].

        Arguments
        ---------
        noisy : torch.Tensor
            Noisy log1p magnitude (B, N, F).
        frames : torch.Tensor
            Encoder frames of the task (B, T, D').
        lengths : torch.Tensor, optional
            Relative lengths (B) of the N spectral frames.
        frame_lengths : torch.Tensor, optional
            Relative lengths (B) of the T encoder frames.
        """
        batch, n_frames = noisy.shape[:2]
        counts = frame_counts(lengths, batch, n_frames, noisy.device)
        last = frame_counts(frame_lengths, *frames.shape[:2], noisy.device) - 1
        # 50 a second to 100: each frame twice, the last one up to the end of the spectrum
        twice = torch.arange(n_frames, device=noisy.device) // 2
        index = torch.minimum(twice, last.unsqueeze(1))
        frames = frames.gather(1, index.unsqueeze(-1).expand(-1, -1, frames.shape[-1]))
        return torch.sigmoid(
            self.leave(self.blstm(self.enter(torch.cat([noisy, frames], dim=-1)), counts))
        )
