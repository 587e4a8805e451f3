"""The temperature: honest logits keep it, separable ones are not sharpened without bound."""

import numpy as np
import pytest
from scipy.special import softmax

from speechbrain_merit.evaluation.calibration import LOWEST, fit_temperature
from speechbrain_merit.evaluation.emotion import calibration_error


def honest(n, spread, seed=0):
    """Logits (n, 4), and classes drawn by their softmax: their temperature is 1."""
    rng = np.random.default_rng(seed)
    logits = spread * rng.normal(size=(n, 4))
    return logits, (softmax(logits, axis=1).cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)


def separable(n, confidence, seed=0):
    """Logits (n, 4) that are always right, about so confident, and classes."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(4, size=n)
    margin = np.log(3 * confidence / (1 - confidence)) * rng.uniform(0.7, 1.3, n)
    return margin[:, None] * np.eye(4)[truth] + 0.2 * rng.normal(size=(n, 4)), truth


@pytest.mark.parametrize("spread", [1.0, 3.0, 6.0])  # right: about .54, .79 and .89 of the answers
@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.5])
def test_the_true_temperature_is_found(spread, temperature):
    found = []
    for seed in range(10):
        logits, truth = honest(1000, spread, seed)
        found.append(fit_temperature(temperature * logits, truth))
    assert np.mean(found) == pytest.approx(temperature, rel=0.05)


def test_calibrated_probabilities_mean_what_they_say():
    logits, truth = honest(4000, 3.0)
    sure = 3 * logits
    calibrated = softmax(sure / fit_temperature(sure, truth), axis=1)
    assert calibration_error(truth, softmax(sure, axis=1)) > 0.1
    assert calibration_error(truth, calibrated) < 0.03
    right = (sure.argmax(axis=1) == truth).mean()
    assert calibrated.max(axis=1).mean() == pytest.approx(right, abs=0.02)


@pytest.mark.parametrize("n", [20, 100, 500, 2000])
@pytest.mark.parametrize("confidence", [0.6, 0.925, 0.98, 0.999])
def test_right_answers_alone_do_not_sharpen_a_network_without_bound(n, confidence):
    logits, truth = separable(n, confidence)
    assert (logits.argmax(axis=1) == truth).all()
    temperature = fit_temperature(logits, truth)
    assert temperature >= LOWEST - 1e-3
    claimed = softmax(logits / temperature, axis=1).max(axis=1).mean()
    assert claimed <= (n + 1) / (n + 2) + 1e-3  # of the next one, by the rule of succession


def test_a_network_that_is_sure_of_itself_is_not_made_surer_by_a_small_validation_set():
    logits, truth = separable(100, 0.999)
    assert fit_temperature(logits, truth) > 1


def test_one_class_leaves_nothing_to_calibrate():
    assert np.isfinite(fit_temperature(np.zeros((5, 1)), [0] * 5))


@pytest.mark.parametrize("logits, truth", [(np.zeros((0, 3)), []), (np.zeros((2, 3)), [0])])
def test_what_is_no_validation_set_is_an_error(logits, truth):
    with pytest.raises(ValueError, match="calibration"):
        fit_temperature(logits, truth)
