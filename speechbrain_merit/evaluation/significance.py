"""How sure an F1-macro, or the difference of two, is: the jackknife over speakers.

A test set has many utterances but few speakers (four in RAVDESS's), and those of one speaker
resemble each other. What a score would be on other speakers is judged by leaving out one speaker
at a time: from how much that changes the score follows its standard error, and Student's t makes
an interval of it, wide where speakers are few (B. Efron and C. Stein, "The jackknife estimate of
variance", 1981; for few clusters J. MacKinnon, M. Nielsen and M. Webb, "Fast and reliable jackknife
and bootstrap methods for cluster-robust inference", 2023). Its degrees of freedom count what the
speakers are worth together: one with many utterances and three with few are less than four (Kish's
effective number). How often such intervals hold the truth: ``python benchmarks/intervals.py``.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit
from scipy.stats import t as student

LEVEL = 0.95
FEW_SPEAKERS = 2  # an effective number up to this leaves next to no degree of freedom
ALIKE = 1e-9  # scores that differ by less differ by rounding


class Interval(NamedTuple):
    """A 95 % interval, ``low`` to ``high``; or both None, and the ``reason`` why there is none."""

    low: float | None
    high: float | None
    reason: str | None


def f1_interval(truth, predicted, speakers, n_classes):
    """95 % interval of F1-macro on other speakers and utterances of the same kind.

    The interval is symmetric in the logit of F1, which keeps it between 0 and 1 and lets the
    farther end lie on the side where F1 has room.

    Arguments
    ---------
    truth : array of int
        True class indices, (n,).
    predicted : array of int
        Predicted class indices, (n,).
    speakers : sequence
        Speaker of each utterance, (n,), names or numbers.
    n_classes : int
        Number of classes.

    Returns
    -------
    Interval
        None where there are fewer than three speakers, or most utterances are of one, or all
        speakers score alike, as when everything is right: then nothing shows how speakers differ.
        Near 1 it holds the truth less often where a few speakers fare far worse than the rest:
        a small test set may have none of them.

    Raises
    ------
    ValueError
        If there is no utterance, lengths differ or a class index is out of range.

    Example
    -------
    >>> truth, predicted = [0, 1] * 20, [0] * 10 + [0, 1] * 15  # F1-macro .87
    >>> low, high, _ = f1_interval(truth, predicted, [i // 10 for i in range(40)], n_classes=2)
    >>> round(low, 3), round(high, 3)
    (0.146, 0.996)
    >>> f1_interval(truth, predicted, ["a", "b"] * 20, n_classes=2).reason
    '2 speakers do not tell how speakers differ'
    """
    truth, predicted, speakers = _check(n_classes, speakers, truth, predicted)
    whole, each = _left_out(truth, predicted, speakers, n_classes)
    reason = _why_none(speakers, each)  # also where F1 is 0 or 1, whose logit is infinite
    if reason is not None:
        return Interval(None, None, reason)
    margin = _margin(speakers, each) / (whole * (1 - whole))  # of the logit, by its derivative
    low, high = expit(logit(whole) + np.array([-margin, margin]))
    return Interval(float(low), float(high), None)


def f1_difference(truth, predicted_a, predicted_b, speakers, n_classes):
    """Compare two systems on the same utterances by the difference of their F1-macro.

    Both are scored on the same speakers, so that what makes a speaker hard for both cancels out.

    Arguments
    ---------
    truth : array of int
        True class indices, (n,).
    predicted_a : array of int
        Class indices that the first system predicts, (n,).
    predicted_b : array of int
        Class indices that the second system predicts, (n,).
    speakers : sequence
        Speaker of each utterance, (n,), names or numbers.
    n_classes : int
        Number of classes.

    Returns
    -------
    dict
        `difference` (F1-macro of a minus b on the whole set), `low` and `high` (its 95 % interval),
        `p` (two-sided, of no difference) and `reason`: why the three before are None, or None.

    Raises
    ------
    ValueError
        If there is no utterance, lengths differ or a class index is out of range.

    Example
    -------
    >>> truth, other = [0, 1] * 20, [0] * 10 + [0, 1] * 15
    >>> result = f1_difference(truth, truth, other, [i // 10 for i in range(40)], n_classes=2)
    >>> round(result["difference"], 2), round(result["p"], 2)
    (0.13, 0.4)
    """
    truth, a, b, speakers = _check(n_classes, speakers, truth, predicted_a, predicted_b)
    (whole_a, each_a), (whole_b, each_b) = (
        _left_out(truth, predicted, speakers, n_classes) for predicted in (a, b)
    )
    difference, each = float(whole_a - whole_b), each_a - each_b
    result = dict(difference=difference, low=None, high=None, p=None)
    result["reason"] = _why_none(speakers, each)
    if result["reason"] is None:
        margin = _margin(speakers, each)
        result["low"] = float(max(-1.0, difference - margin))
        result["high"] = float(min(1.0, difference + margin))
        ratio = abs(difference) / _standard_error(each)
        result["p"] = float(2 * student.sf(ratio, _freedom(speakers)))
    return result


def _left_out(truth, predicted, speakers, n_classes):
    """F1-macro of all utterances, and of those without each speaker in turn (speakers,)."""
    count = speakers.max() + 1
    cell = (speakers * n_classes + truth) * n_classes + predicted
    confusions = np.bincount(cell, minlength=count * n_classes**2)
    confusions = confusions.reshape(count, n_classes, n_classes)  # a row a true class
    total = confusions.sum(axis=0, keepdims=True)
    return _f1_macro(total)[0], _f1_macro(total - confusions)


def _f1_macro(confusions):
    """F1-macro (count,) over the classes present in the truth of each matrix (count, C, C)."""
    right = confusions.diagonal(axis1=1, axis2=2)
    true, given = confusions.sum(axis=2), confusions.sum(axis=1)
    f1 = 2 * right / np.maximum(true + given, 1)
    present = true > 0
    return (f1 * present).sum(axis=1) / np.maximum(present.sum(axis=1), 1)


def _why_none(speakers, each):
    """Why scores without each speaker (speakers,) make no interval, or None where they do."""
    if _freedom(speakers) <= FEW_SPEAKERS - 1:
        if len(each) > FEW_SPEAKERS:
            return f"most utterances are of one of {len(each)} speakers"
        subject = "1 speaker does" if len(each) == 1 else "2 speakers do"
        return f"{subject} not tell how speakers differ"
    return "all speakers score alike" if np.ptp(each) < ALIKE else None


def _freedom(speakers):
    """Degrees of freedom of the speakers of all utterances (n,): their effective number − 1."""
    sizes = np.bincount(speakers).astype(float)
    return sizes.sum() ** 2 / np.square(sizes).sum() - 1


def _standard_error(each):
    """The jackknife's, of a score whose values without each speaker are given (speakers,)."""
    return np.sqrt((len(each) - 1) * each.var())


def _margin(speakers, each):
    """Half the width of an interval of the score itself."""
    return student.ppf((1 + LEVEL) / 2, _freedom(speakers)) * _standard_error(each)


def _check(n_classes, speakers, *classes):
    """Return class indices as arrays and speakers as indices, or raise ValueError."""
    arrays = [np.asarray(values) for values in classes]
    speakers = np.asarray([str(speaker) for speaker in speakers])
    if len(speakers) == 0 or any(array.shape != speakers.shape for array in arrays):
        raise ValueError(
            "Expected one true class, one prediction and one speaker for each utterance, got "
            f"{[array.shape for array in arrays]} classes and {speakers.shape} speakers."
        )
    for array in arrays:
        if not np.issubdtype(array.dtype, np.integer) or array.min() < 0:
            raise ValueError("Classes must be indices, 0 or more.")
        if array.max() >= n_classes:
            raise ValueError(f"Class {array.max()} is not below n_classes = {n_classes}.")
    return *arrays, np.unique(speakers, return_inverse=True)[1].ravel()
