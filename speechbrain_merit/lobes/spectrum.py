"""Lengths, frame masks and a short-time Fourier transform that never reads padding.

A centred STFT reflects the wave about its end. In a padded batch that end is padding, and the last
frames of every shorter utterance change. Here each utterance is reflected about its own end.
"""

import torch

SAMPLE_RATE = 16000  # Hz; every encoder of the project hears this rate
N_FFT = 400  # samples = 25 ms, BSSE-SE's window
HOP = 160  # samples = 10 ms, so 100 spectral frames a second
N_BINS = N_FFT // 2 + 1
FRAME_RATE = 50  # encoder frames a second
MIN_SAMPLES = N_FFT  # one window: what is shorter has no spectrum


def sample_counts(wavs, lengths=None):
    """Number of true samples of each utterance.

    Arguments
    ---------
    wavs : torch.Tensor
        Waves (B, S).
    lengths : torch.Tensor, optional
        Relative lengths (B); all of S when absent.

    Returns
    -------
    torch.Tensor
        Counts (B), long.

    Example
    -------
    >>> sample_counts(torch.zeros(2, 1000), torch.tensor([1.0, 0.5])).tolist()
    [1000, 500]
    """
    return frame_counts(lengths, *wavs.shape[:2], device=wavs.device)


def frame_counts(lengths, batch, n_frames, device=None):
    """Number of true frames of each utterance, from relative lengths (B) or None.

    Example
    -------
    >>> frame_counts(torch.tensor([1.0, 0.5]), 2, 50).tolist()
    [50, 25]
    """
    if lengths is None:
        return torch.full((batch,), n_frames, dtype=torch.long, device=device)
    return torch.round(lengths.to(device) * n_frames).long().clamp(0, n_frames)


def frame_mask(lengths, batch, n_frames, device=None):
    """True where a frame belongs to its utterance, False in the padding: (B, T), bool.

    Example
    -------
    >>> frame_mask(torch.tensor([1.0, 0.5]), 2, 4).int().tolist()
    [[1, 1, 1, 1], [1, 1, 0, 0]]
    """
    counts = frame_counts(lengths, batch, n_frames, device)
    return torch.arange(n_frames, device=counts.device) < counts.unsqueeze(1)


def spectral_frames(counts):
    """Number of STFT frames, S // 160 + 1, for S samples (int or tensor)."""
    return counts // HOP + 1


def spectral_lengths(wavs, lengths):
    """Relative lengths (B) that count STFT frames instead of samples; None stays None."""
    if lengths is None:
        return None
    return spectral_frames(sample_counts(wavs, lengths)).float() / spectral_frames(wavs.shape[1])


def stft(wavs, lengths, window):
    """Centred short-time Fourier transform, each utterance reflected about its own end.

    Arguments
    ---------
    wavs : torch.Tensor
        Waves (B, S).
    lengths : torch.Tensor, optional
        Relative lengths (B).
    window : torch.Tensor
        Analysis window (400).

    Returns
    -------
    torch.Tensor
        Complex spectrum (B, N, F), N = S // 160 + 1, zero in the padding.

    Raises
    ------
    ValueError
        An utterance is shorter than one window (25 ms).

    Example
    -------
    >>> stft(torch.randn(2, 1600), torch.tensor([1.0, 0.5]), torch.hamming_window(400)).shape
    torch.Size([2, 11, 201])
    """
    counts = sample_counts(wavs, lengths)
    shortest = int(counts.min())
    if shortest < MIN_SAMPLES:
        raise ValueError(
            f"An utterance of {shortest} samples is shorter than one analysis window of "
            f"{MIN_SAMPLES} samples (25 ms at 16 kHz): leave it out or pad it."
        )

    def transform(waves):
        return torch.stft(
            waves,
            N_FFT,
            HOP,
            window=window.to(waves.dtype),  # a model in half precision has its buffers in it too
            center=True,
            pad_mode="reflect",
            return_complex=True,
        ).transpose(1, 2)

    if shortest == wavs.shape[1]:
        return transform(wavs)
    dtype = torch.promote_types(wavs.dtype, torch.complex64)
    spectrum = wavs.new_zeros(len(wavs), spectral_frames(wavs.shape[1]), N_BINS, dtype=dtype)
    for row, (wave, count) in enumerate(zip(wavs, counts.tolist())):
        spectrum[row, : spectral_frames(count)] = transform(wave[None, :count])[0]
    return spectrum


def in_bands(power, bank):
    """Power (B, N, F) in the bands of a filter bank (F, M), in float32 whatever autocast says.

    Half precision has no power as small as that of a pause.

    Example
    -------
    >>> in_bands(torch.ones(1, 2, 4), torch.ones(4, 3)).shape
    torch.Size([1, 2, 3])
    """
    with torch.autocast(power.device.type, enabled=False):
        return power @ bank.to(power.dtype)


def istft(spectrum, wavs, lengths, window):
    """Back to waves as long as ``wavs``; the inverse of :func:`stft`, zero in the padding.

    Arguments
    ---------
    spectrum : torch.Tensor
        Complex spectrum (B, N, F).
    wavs : torch.Tensor
        The waves (B, S) whose lengths the result takes.
    lengths : torch.Tensor, optional
        Relative lengths (B).
    window : torch.Tensor
        The window (400) of the analysis.

    Returns
    -------
    torch.Tensor
        Waves (B, S).

    Example
    -------
    >>> wavs, window = torch.randn(2, 1600), torch.hamming_window(400)
    >>> back = istft(stft(wavs, None, window), wavs, None, window)
    >>> torch.allclose(back, wavs, atol=1e-5)
    True
    """
    counts, window = sample_counts(wavs, lengths), window.to(spectrum.real.dtype)

    def transform(frames, length):
        return torch.istft(
            frames.transpose(1, 2), N_FFT, HOP, window=window, center=True, length=length
        )

    if int(counts.min()) == wavs.shape[1]:
        return transform(spectrum, wavs.shape[1])
    result = torch.zeros_like(wavs)
    for row, count in enumerate(counts.tolist()):
        result[row, :count] = transform(spectrum[row : row + 1, : spectral_frames(count)], count)[0]
    return result
