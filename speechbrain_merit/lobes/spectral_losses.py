"""Further terms for enhancement heads, on spectra of the enhanced waves. B batch, S samples.

Frames that lie wholly within an utterance count, and no others: padding is in none of them.
"""

import torch

from speechbrain_merit.lobes.objectives import alone, ratio
from speechbrain_merit.lobes.precision import wide
from speechbrain_merit.lobes.spectrum import HOP, N_FFT, sample_counts

#: Window and hop in samples: R. Yamamoto et al., "Parallel WaveGAN", arXiv 1910.11480, for 16 kHz.
RESOLUTIONS = ((256, 64), (512, 128), (1024, 256))
COMPRESSION = 0.3  # the power that magnitudes are raised to, near the ear's
COMPLEX_SHARE = 0.3  # of the compressed term: A. Ephrat et al., arXiv 1804.03619, and many since
FLOOR = 1e-6  # of power, beside speech at a root mean square of 1: gradients stay finite


def frames_within(wavs, lengths, n_fft, hop):
    """Spectrum (B, N, F) of the frames of waves (B, S), and True (B, N) where one has no padding.

    Example
    -------
    >>> spectrum, inside = frames_within(torch.randn(2, 800), torch.tensor([1.0, 0.5]), 400, 160)
    >>> spectrum.shape, inside.int().tolist()
    (torch.Size([2, 3, 201]), [[1, 1, 1], [1, 0, 0]])
    """
    wavs = wide(wavs)
    short = max(0, n_fft - wavs.shape[1])
    wavs = torch.nn.functional.pad(wavs, (0, short))
    window = torch.hann_window(n_fft, dtype=wavs.dtype, device=wavs.device)
    spectrum = torch.stft(wavs, n_fft, hop, window=window, center=False, return_complex=True)
    spectrum = spectrum.transpose(1, 2)
    ends = hop * torch.arange(spectrum.shape[1], device=wavs.device) + n_fft
    counts = sample_counts(wavs[:, : wavs.shape[1] - short], lengths)
    return spectrum, ends <= counts.unsqueeze(1)


def compressed_spectrum(estimate, clean, lengths=None, total=alone):
    """Mean squared error of compressed magnitudes and compressed complex spectra of waves (B, S).

    Example
    -------
    >>> waves = torch.randn(1, 800)
    >>> compressed_spectrum(waves, waves)
    tensor(0.)
    """
    (ours, inside), (theirs, _) = (
        frames_within(wavs, lengths, N_FFT, HOP) for wavs in (estimate, clean)
    )

    def compressed(spectrum):
        power = spectrum.real.square() + spectrum.imag.square() + FLOOR
        magnitude = power ** (COMPRESSION / 2)
        return magnitude, spectrum * (magnitude / power.sqrt())

    (magnitude, spectrum), (magnitude_wanted, wanted) = compressed(ours), compressed(theirs)
    error, apart = (magnitude - magnitude_wanted).square(), spectrum - wanted
    of_both = (1 - COMPLEX_SHARE) * error + COMPLEX_SHARE * (
        apart.real.square() + apart.imag.square()
    )
    of_both = of_both.masked_fill(~inside.unsqueeze(-1), 0.0)
    return ratio(of_both.sum(), inside.sum() * of_both.shape[-1], total)


def multi_resolution(estimate, clean, lengths=None, total=alone):
    """Spectral convergence and L1 of log magnitudes of waves (B, S), mean over `RESOLUTIONS`.

    Convergence is the error's share of the clean magnitudes of the joint batch, in root squares.

    Example
    -------
    >>> waves = torch.randn(1, 1600)
    >>> multi_resolution(waves, waves)
    tensor(0.)
    """
    sizes = RESOLUTIONS
    return sum(at_resolution(estimate, clean, lengths, total, *s) for s in sizes) / len(sizes)


def at_resolution(estimate, clean, lengths, total, n_fft, hop):
    """The two terms of :func:`multi_resolution` for one window and hop."""
    (ours, inside), (theirs, _) = (
        frames_within(wavs, lengths, n_fft, hop) for wavs in (estimate, clean)
    )
    inside = inside.unsqueeze(-1)
    ours, theirs = (
        (s.real.square() + s.imag.square() + FLOOR).sqrt().masked_fill(~inside, 1.0)
        for s in (ours, theirs)
    )
    missed = ratio((ours - theirs).square().sum(), (theirs * inside).square().sum(), total)
    convergence = (missed + FLOOR).sqrt() - FLOOR**0.5
    apart = (ours.log() - theirs.log()).abs().sum()
    return convergence + ratio(apart, inside.sum() * ours.shape[-1], total)


EXTRA = {"compressed": compressed_spectrum, "multi_resolution": multi_resolution}
