"""Probabilities that mean what they say: one temperature, fitted on validation data.

Guo et al., "On calibration of modern neural networks", ICML 2017 (arXiv 1706.04599).
"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

#: Logarithms of the temperatures among which the best is looked for: 1/20 to 20.
BOUNDS = (-3.0, 3.0)


def fit_temperature(logits, truth):
    """The temperature T at which softmax(logits / T) has the smallest negative log-likelihood.

    Arguments
    ---------
    logits : array
        Of utterances that were not trained on (N, classes).
    truth : array
        Index of the true class (N).

    Returns
    -------
    float
        Above 1 where the network is too sure of itself. It changes no decision.

    Raises
    ------
    ValueError
        No utterances, or shapes that do not fit.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.integers(0, 4, 4000)
    >>> honest = rng.normal(size=(4000, 4)) + np.log(0.7 / 0.1) * np.eye(4)[truth]
    >>> round(fit_temperature(5 * honest, truth) / fit_temperature(honest, truth), 2)
    5.0
    """
    logits, truth = np.asarray(logits, dtype=np.float64), np.asarray(truth)
    if logits.ndim != 2 or len(logits) != len(truth) or len(logits) == 0:
        raise ValueError(f"Logits {logits.shape} and classes {truth.shape} make no calibration.")
    rows = np.arange(len(truth))

    def loss(log_temperature):
        return -log_softmax(logits / np.exp(log_temperature), axis=1)[rows, truth].mean()

    return float(np.exp(minimize_scalar(loss, bounds=BOUNDS, method="bounded").x))
