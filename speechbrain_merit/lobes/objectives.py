"""What enhancement heads are trained on. B batch, S samples, N spectral frames, F bins.

Padding counts in none of them.
"""

import torch

from speechbrain_merit.lobes.precision import wide
from speechbrain_merit.lobes.spectrum import frame_mask, sample_counts
from speechbrain_merit.measures import si_sdr_energies


def alone(values):
    """The sum of a tensor over all processes of a run, where there is one process: itself.

    Losses take such a function, ``total``; that of a run of several processes is
    :func:`speechbrain_merit.training.processes.total`.
    """
    return values


def ratio(part, whole, total=alone):
    """``part / whole``, each summed over all processes first; 0 where the whole is 0.

    The processes of a run hold unequal numbers of frames and utterances: the mean of their means
    is not the mean of the joint batch.

    Arguments
    ---------
    part, whole : torch.Tensor
        Of one shape, what this process holds of a sum and of its count or weight.
    total : callable
        The sum over processes.

    Example
    -------
    >>> ratio(torch.tensor([6.0, 0.0]), torch.tensor([4.0, 0.0]))
    tensor([1.5000, 0.0000])
    """
    part, whole = total(torch.stack([part, whole.to(part.dtype)]))
    return part / whole.clamp(min=torch.finfo(part.dtype).tiny)


def log_spectral_l1(estimate, clean, lengths=None, total=alone):
    """Mean absolute error of log1p magnitudes (B, N, F) over true frames.

    Example
    -------
    >>> log_spectral_l1(torch.zeros(1, 5, 201), torch.ones(1, 5, 201))
    tensor(1.)
    """
    inside = frame_mask(lengths, *clean.shape[:2], device=clean.device)
    errors = (wide(estimate) - clean).abs().masked_fill(~inside.unsqueeze(-1), 0.0)
    return ratio(errors.sum(), inside.sum() * clean.shape[-1], total)


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
    estimate, clean = centred(wide(estimate), lengths), centred(wide(clean), lengths)
    silent = (clean.square().sum(-1, keepdim=True) == 0) * tiny  # 0 / 0 otherwise
    wanted, unwanted = si_sdr_energies(estimate, clean + silent)
    return 10 * torch.log10((wanted + tiny) / (unwanted + tiny))


def centred(wavs, lengths=None):
    """Waves (B, S) less their mean over the true samples, zero in the padding."""
    inside = frame_mask(lengths, *wavs.shape, device=wavs.device)
    total = (wavs * inside).sum(-1, keepdim=True)
    return (wavs - total / sample_counts(wavs, lengths).unsqueeze(1)) * inside
