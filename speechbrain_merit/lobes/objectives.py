"""What enhancement heads are trained on. B batch, S samples, N spectral frames, F bins.

Padding counts in none of them.
"""

import torch
from speechbrain.nnet.losses import l1_loss

from speechbrain_merit.lobes.spectrum import frame_mask, sample_counts
from speechbrain_merit.measures import si_sdr_energies


def log_spectral_l1(estimate, clean, lengths=None):
    """Mean absolute error of log1p magnitudes (B, N, F) over true frames.

    Example
    -------
    >>> log_spectral_l1(torch.zeros(1, 5, 201), torch.ones(1, 5, 201))
    tensor(1.)
    """
    if lengths is None:
        lengths = torch.ones(len(estimate), device=estimate.device)
    return l1_loss(estimate.float(), clean, lengths)


def si_sdr(estimate, clean, lengths=None):
    """Scale-invariant signal-to-distortion ratio in dB (B) of waves (B, S), each at zero mean.

    The same as :func:`speechbrain_merit.evaluation.enhancement.si_sdr`, but finite everywhere, with
    a finite gradient.

    Example
    -------
    >>> clean = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    >>> si_sdr(clean + torch.tensor([[0.1, 0.1, -0.1, -0.1]]), clean)
    tensor([20.0000])
    """
    tiny = torch.finfo(torch.float32).eps
    estimate, clean = centred(estimate.float(), lengths), centred(clean.float(), lengths)
    silent = (clean.square().sum(-1, keepdim=True) == 0) * tiny  # 0 / 0 otherwise
    wanted, unwanted = si_sdr_energies(estimate, clean + silent)
    return 10 * torch.log10((wanted + tiny) / (unwanted + tiny))


def centred(wavs, lengths=None):
    """Waves (B, S) less their mean over the true samples, zero in the padding."""
    inside = frame_mask(lengths, *wavs.shape, device=wavs.device)
    total = (wavs * inside).sum(-1, keepdim=True)
    return (wavs - total / sample_counts(wavs, lengths).unsqueeze(1)) * inside
