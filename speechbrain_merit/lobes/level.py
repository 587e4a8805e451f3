"""The level at which the network hears: a fixed RMS for each wave, or a corpus's statistics.

A level is called with waves (B, S) and relative lengths (B), and gives the waves at the network's
level, zero in the padding, and the factor (B, 1) that each was multiplied with; ``restore`` brings
enhanced waves back to the level of the input, and ``applied`` takes the clean waves of the mixtures
to it.
"""

import torch

from speechbrain_merit.lobes.spectrum import frame_mask, sample_counts


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


class FixedRMS:
    """Every wave at the same root mean square: a gain at the input changes nothing.

    Arguments
    ---------
    rms : float
        The root mean square; 1 is the unit variance of the paper's waves.

    Example
    -------
    >>> level, wavs = FixedRMS(0.1), torch.randn(2, 8000)
    >>> inside, factor = level(wavs)
    >>> torch.allclose(level.restore(inside, factor), wavs, atol=1e-6)
    True
    """

    def __init__(self, rms=1.0):
        self.rms = rms
        self.config = {"rms": rms}

    def __call__(self, wavs, lengths=None):
        """Waves (B, S) to waves at the fixed level, and the factor (B, 1) of each."""
        return normalise_rms(wavs, lengths, self.rms)

    def applied(self, wavs, factor, lengths=None):
        """The clean waves (B, S) of mixtures that were brought to the level by ``factor``."""
        return wavs * factor

    def restore(self, wavs, factor, lengths=None):
        """Waves (B, S) back at the level of the input."""
        return wavs / factor


class CorpusStatistics:
    """Mean and standard deviation of all samples of a corpus, as the paper's authors train.

    A loud wave stays loud: the input's gain matters. Their released checkpoints need it so.

    Arguments
    ---------
    mean : float
        Mean of the training set's samples.
    std : float
        Their standard deviation.

    Raises
    ------
    ValueError
        The deviation is not a positive number, or the mean is none.

    Example
    -------
    >>> level = CorpusStatistics(mean=0.5, std=2.0)
    >>> inside, factor = level(torch.tensor([[4.5, 0.5, 0.0]]), torch.tensor([2 / 3]))
    >>> inside, factor
    (tensor([[2., 0., 0.]]), tensor([[0.5000]]))
    >>> level.restore(inside, factor, torch.tensor([2 / 3]))
    tensor([[4.5000, 0.5000, 0.0000]])
    """

    FLOOR = 1e-8  # of the released code, added to the deviation

    def __init__(self, mean, std):
        # a comparison with NaN is False
        if not (abs(mean) < float("inf") and 0 < std < float("inf")):
            raise ValueError(f"A level needs a finite mean and a positive std, not {mean}, {std}.")
        self.mean, self.std = float(mean), float(std)
        self.config = {"mean": self.mean, "std": self.std}

    def __call__(self, wavs, lengths=None):
        """Waves (B, S) to standardised waves, and the factor (B, 1), the same for all."""
        scale = self.std + self.FLOOR
        padding = ~frame_mask(lengths, *wavs.shape, device=wavs.device)
        inside = ((wavs - self.mean) / scale).masked_fill(padding, 0.0)
        return inside, torch.full_like(wavs[:, :1], 1 / scale)

    def applied(self, wavs, factor, lengths=None):
        """Clean waves (B, S), standardised as the mixtures are."""
        return self(wavs, lengths)[0]

    def restore(self, wavs, factor, lengths=None):
        """Waves (B, S) back at the level of the input, zero in the padding."""
        padding = ~frame_mask(lengths, *wavs.shape, device=wavs.device)
        return (wavs * self.std + self.mean).masked_fill(padding, 0.0)
