"""An enhancement head of convolutions and dual paths: a gain for each bin of the noisy spectrum.

The spectrum is halved along frequency three times, meets the encoder's frames in the middle, where
recurrent layers run along frequency and along time in turn, and is brought back with skips. Form
after DPCRN, Le et al., Interspeech 2021 (arXiv 2107.05429). B batch, C channels, N spectral frames
(100 a second), T encoder frames (50 a second), F = 201 bins, F' = 26 bins in the middle, D' width.
Channels come last, as recurrent layers want them; convolutions then run on memory in that order.
"""

from itertools import pairwise

import torch
from torch import nn

from speechbrain_merit.errors import SettingsError
from speechbrain_merit.lobes.enhancement import (
    BidirectionalLSTM,
    Enhanced,
    EnhancementHead,
    head_terms,
    twice,
)
from speechbrain_merit.lobes.objectives import alone
from speechbrain_merit.lobes.precision import wide
from speechbrain_merit.lobes.spectrum import (
    N_BINS,
    N_FFT,
    frame_counts,
    frame_mask,
    istft,
    spectral_lengths,
    stft,
)

HALVING = {"kernel_size": (3, 5), "stride": (1, 2), "padding": (1, 2)}  # frames, bins
DOUBLING = {"kernel_size": (3, 3), "padding": (1, 1)}  # to twice the channels: two bins of each
MOST_CHANNELS = 4096
INPUTS = 2  # log1p magnitude, and the bin's place


class DualPathHead(nn.Module):
    """Convolutions → LSTMs along frequency and along time, n times → convolutions, skips → gain.

    Called and trained as :class:`~speechbrain_merit.lobes.enhancement.EnhancementHead` is. The gain
    in 0 … 1 is of the linear magnitude; the phase is the noisy one.

    Arguments
    ---------
    width : int
        Width D' of an encoder frame.
    channels : sequence of int
        Channels after each convolution, each of which halves the number of bins.
    n_blocks : int
        Number of dual-path blocks.

    Example
    -------
    >>> head = DualPathHead(width=8, channels=(4, 8, 8))
    >>> enhanced = head(torch.randn(2, 1600), None, torch.randn(2, 5, 8))
    >>> enhanced.waves.shape, enhanced.estimate.shape
    (torch.Size([2, 1600]), torch.Size([2, 11, 201]))
    """

    def __init__(self, width, channels=(16, 32, 32), n_blocks=2):
        super().__init__()
        self.config = {"width": width, "channels": list(channels), "n_blocks": n_blocks}
        bins = [N_BINS]
        for _ in channels:
            bins.append((bins[-1] + 1) // 2)
        depths = list(enumerate(pairwise([INPUTS, *channels])))
        self.down = nn.ModuleList(
            Step(nn.Conv2d(into, out, **HALVING), FrameNorm(bins[depth + 1], out))
            for depth, (into, out) in depths
        )
        self.enter = nn.Linear(width, bins[-1] * channels[-1])
        self.blocks = nn.ModuleList(DualPathBlock(channels[-1]) for _ in range(n_blocks))
        # each meets the skip of its own depth, beside what comes from below
        self.up = nn.ModuleList(
            Step(nn.Conv2d(2 * into, 2 * out, **DOUBLING), FrameNorm(bins[depth], out))
            for depth, (out, into) in reversed(depths[1:])
        )
        self.leave = nn.Conv2d(2 * channels[0], 2, **DOUBLING)
        exact = {"dtype": torch.float32}  # whatever torch builds models in by default
        self.register_buffer("window", torch.hamming_window(N_FFT, **exact), persistent=False)
        self.register_buffer("place", torch.linspace(-1, 1, N_BINS, **exact), persistent=False)

    def forward(self, wavs, lengths, frames, frame_lengths=None):
        """Enhances noisy waves; see :meth:`EnhancementHead.forward`."""
        magnitude, spectrum = self.analyse(wavs, lengths)
        spectral = spectral_lengths(wavs, lengths)
        gain = wide(self.gain(magnitude.log1p(), frames, spectral, frame_lengths))
        waves = self.synthesise(gain, spectrum, wavs, lengths)
        return Enhanced(waves, (gain * magnitude).log1p(), spectral)

    def analyse(self, wavs, lengths=None):
        """Waves (B, S) to magnitude and complex spectrum (B, N, F)."""
        spectrum = stft(wide(wavs), lengths, self.window)
        return spectrum.abs(), spectrum

    def synthesise(self, gain, spectrum, wavs, lengths=None):
        """A spectrum under a gain (B, N, F) back to waves (B, S) of the lengths of ``wavs``."""
        return istft(gain * spectrum, wavs, lengths, self.window)

    def loss(self, enhanced, clean, lengths=None, noisy=None, total=alone, extra=()):
        """The terms of the loss; see :meth:`EnhancementHead.loss`."""
        target = stft(wide(clean), lengths, self.window).abs().log1p()
        return head_terms(enhanced, target, clean, lengths, noisy, total, extra)

    def gain(self, noisy, frames, lengths=None, frame_lengths=None):
        """The gain (B, N, F) in 0 … 1 of noisy log1p (B, N, F) and encoder frames (B, T, D')."""
        counts = frame_counts(lengths, *noisy.shape[:2], noisy.device)
        # frames behind an utterance's own are zero wherever a convolution might read them
        inside = None if lengths is None else frame_mask(lengths, *noisy.shape[:2], noisy.device)
        middle = twice(self.enter(frames), frame_lengths, noisy.shape[1])
        states = noisy.to(middle.dtype)
        states = torch.stack([states, self.place.to(states.dtype).expand_as(states)], dim=-1)
        states, skips = within(states, inside), []
        for layer in self.down:
            skips.append(states)
            states = layer(states, inside)
        skip = states
        states = states + middle.view_as(states)
        for block in self.blocks:
            states = block(states, counts)
        states = within(states, inside)
        for layer in self.up:
            states, skip = torch.cat([states, skip], dim=-1), skips.pop()
            states = layer(states, inside, n_bins=skip.shape[2])
        states = convolved(self.leave, torch.cat([states, skip], dim=-1))
        return doubled(states, N_BINS).squeeze(-1).sigmoid()


def within(states, inside):
    """States (B, N, F, C), zero in the padding; ``inside`` (B, N) is None where there is none."""
    return states if inside is None else states * inside[:, :, None, None].to(states.dtype)


def convolved(convolution, states):
    """A convolution over the frames and bins of states (B, N, F, C)."""
    return convolution(states.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def doubled(states, n_bins):
    """States (B, N, F', 2C) to (B, N, F, C): the halves of the channels are neighbouring bins.

    Example
    -------
    >>> doubled(torch.tensor([[[[0, 1], [2, 3]]]]), 3).flatten().tolist()
    [0, 1, 2]
    """
    batch, n_frames, half, channels = states.shape
    return states.reshape(batch, n_frames, 2 * half, channels // 2)[:, :, :n_bins]


class Step(nn.Module):
    """A convolution, a norm and SiLU over (B, N, F, C), zero in the padding."""

    def __init__(self, convolution, norm):
        super().__init__()
        self.convolution, self.norm = convolution, norm

    def forward(self, states, inside=None, n_bins=None):
        """States (B, N, F, C) to (B, N, F'', C'), or to ``n_bins``, some twice as many."""
        states = convolved(self.convolution, states)
        if n_bins is not None:
            states = doubled(states, n_bins)
        return within(nn.functional.silu(self.norm(states)), inside)


class FrameNorm(nn.Module):
    """Each frame at zero mean and unit variance over channels and bins, then scaled by channel.

    Unlike a batch norm it knows nothing of other frames: neither padding nor the rest of a batch,
    nor how it is shared among processes, changes a result.

    Arguments
    ---------
    n_bins : int
        Number of bins F.
    channels : int
        Number of channels C.

    Example
    -------
    >>> FrameNorm(8, 4)(torch.randn(2, 10, 8, 4)).shape
    torch.Size([2, 10, 8, 4])
    """

    def __init__(self, n_bins, channels):
        super().__init__()
        self.shape = n_bins, channels
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, states):
        """States (B, N, F, C), normalised."""
        normal = nn.functional.layer_norm(states, self.shape)
        return normal * self.weight.to(normal.dtype) + self.bias.to(normal.dtype)


class DualPathBlock(nn.Module):
    """An LSTM along the bins of each frame, then one along the frames of each bin.

    Both run in both directions, each with a LayerNorm and a residual.

    Arguments
    ---------
    width : int
        Channels C, even.

    Example
    -------
    >>> DualPathBlock(8)(torch.randn(2, 10, 5, 8), torch.tensor([10, 7])).shape
    torch.Size([2, 10, 5, 8])
    """

    def __init__(self, width):
        super().__init__()
        self.along_bins = nn.LSTM(width, width // 2, batch_first=True, bidirectional=True)
        self.along_time = BidirectionalLSTM(width, n_layers=1)
        self.norm_bins, self.norm_time = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, states, counts):
        """States (B, N, F', C) of ``counts`` (B) true frames to the same shape."""
        batch, n_frames, n_bins, width = states.shape
        rows = states.reshape(-1, n_bins, width)
        states = states + self.norm_bins(self.along_bins(rows)[0]).view_as(states)
        columns = states.transpose(1, 2).reshape(-1, n_frames, width)
        columns = self.norm_time(self.along_time(columns, counts.repeat_interleave(n_bins)))
        return states + columns.view(batch, n_bins, n_frames, width).transpose(1, 2)


def build_enhancement(kind, width, hidden=256, n_layers=2, channels=(16, 32, 32)):
    """The enhancement head that a YAML asks for.

    Arguments
    ---------
    kind : str
        ``blstm``, BSSE-SE's mask, or ``dual_path``.
    width : int
        Width D' of an encoder frame.
    hidden : int
        Width of ``blstm``'s recurrent layers.
    n_layers : int
        Number of recurrent layers, or of dual-path blocks.
    channels : sequence of int
        Of ``dual_path``.

    Raises
    ------
    SettingsError
        There is no such kind, or a number of channels that does not go.

    Example
    -------
    >>> type(build_enhancement("dual_path", width=8)).__name__
    'DualPathHead'
    """
    if kind == "blstm":
        return EnhancementHead(width, hidden, n_layers)
    if kind != "dual_path":
        raise SettingsError(f"enhancement_head_type is {kind!r}: it takes blstm or dual_path.")
    whole = all(isinstance(n, int) and 0 < n <= MOST_CHANNELS for n in channels)
    if not channels or not whole or channels[-1] % 2:
        raise SettingsError(
            f"enhancement_channels is {list(channels)}: it takes whole numbers from 1 to "
            f"{MOST_CHANNELS}, the last of them even."
        )
    return DualPathHead(width, channels, n_layers)
