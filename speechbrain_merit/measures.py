"""Measures that training optimises and evaluation reports, written once.

They use what tensors of torch and arrays of NumPy share, and import neither: a process that scores
need not load torch. S samples, N values; leading dimensions are kept.
"""


def si_sdr_energies(estimate, clean):
    """The two energies whose ratio is the scale-invariant signal-to-distortion ratio.

    Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019. The estimate is split into its
    projection on the clean wave and the rest.

    Arguments
    ---------
    estimate, clean : torch.Tensor or numpy.ndarray
        Waves (…, S) of zero mean; padding behind them, if any, is zero.

    Returns
    -------
    wanted, unwanted
        Energies (…) of the projection and of the rest; both NaN where the clean wave is silent.

    Example
    -------
    >>> import numpy as np
    >>> wanted, unwanted = si_sdr_energies(np.array([1.1, -0.9]), np.array([1.0, -1.0]))
    >>> round(float(wanted / unwanted), 1)
    100.0
    """
    scale = (estimate * clean).sum(-1) / (clean * clean).sum(-1)
    target = scale[..., None] * clean
    rest = estimate - target
    return (target * target).sum(-1), (rest * rest).sum(-1)


def concordance_parts(truth, predicted, mean=None):
    """Numerator and denominator of the concordance correlation coefficient of two series (N).

    L. Lin, "A concordance correlation coefficient to evaluate reproducibility", Biometrics 1989:
    2 cov / (var + var' + (mean − mean')²), 1 where the two agree in shape, scale and level.

    Arguments
    ---------
    truth, predicted : torch.Tensor or numpy.ndarray
        Values (N).
    mean : callable, optional
        Another mean than that over all N: over some of them, or over other processes' too.

    Example
    -------
    >>> import numpy as np
    >>> concordance_parts(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    (np.float64(0.5), np.float64(0.5))
    """
    mean = mean or (lambda values: values.mean())
    level, heard = mean(truth), mean(predicted)
    gap, truth, predicted = level - heard, truth - level, predicted - heard
    spread = mean(truth * truth) + mean(predicted * predicted) + gap * gap
    return 2 * mean(truth * predicted), spread
