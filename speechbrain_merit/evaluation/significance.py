"""How sure a difference in F1-macro is: bootstrap over speakers and utterances.

A test set has many utterances but few speakers (four in RAVDESS's), and those of one speaker
resemble each other. Resampling utterances alone would pretend that they are independent and give
intervals that are too narrow. Each resample therefore draws speakers with replacement and then, for
each drawn speaker, as many of its utterances as it has, with replacement (two-stage bootstrap,
Davison and Hinkley 1997, section 3.8).
"""

import numpy as np

TAIL = 2.5  # percent outside a 95 % interval on either side
CHUNK = 2_000_000  # drawn utterances held at once: some 100 MB


def bootstrap_f1(truth, predicted, speakers, n_classes, n_resamples=1000, seed=0):
    """95 % bootstrap interval of F1-macro.

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
    n_resamples : int
        Number of resamples.
    seed : int
        Seed of the draws; the same seed gives the same interval.

    Returns
    -------
    tuple of float
        Lower and upper end (percentiles of the resamples). In each resample F1-macro is over the
        classes present in its truth, as in `emotion_scores`.

    Raises
    ------
    ValueError
        If there is no utterance, lengths differ or a class index is out of range.

    Example
    -------
    >>> truth = [0, 1] * 20
    >>> bootstrap_f1(truth, truth, speakers=["a", "b"] * 20, n_classes=2)
    (1.0, 1.0)
    """
    truth, predicted, speakers = _check(n_classes, speakers, truth, predicted)
    scores = _resampled_f1(truth, [predicted], speakers, n_classes, n_resamples, seed)[0]
    return _interval(scores)


def paired_bootstrap(
    truth, predicted_a, predicted_b, speakers, n_classes, n_resamples=1000, seed=0
):
    """Compare two systems on the same utterances by the difference of their F1-macro.

    Both are scored on the same resamples, so that what makes a resample hard for both cancels out.

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
    n_resamples : int
        Number of resamples.
    seed : int
        Seed of the draws.

    Returns
    -------
    dict
        `difference` (F1-macro of a minus b on the whole set), `low` and `high` (its 95 % interval)
        and `p` (two-sided; the smallest value it can take is 2 / (n_resamples + 1)).

    Raises
    ------
    ValueError
        If there is no utterance, lengths differ or a class index is out of range.

    Example
    -------
    >>> truth, other = [0, 1] * 20, [1, 0] * 20
    >>> result = paired_bootstrap(truth, truth, other, ["a", "b"] * 20, n_classes=2)
    >>> result["difference"], result["p"] < 0.01
    (1.0, True)
    """
    truth, a, b, speakers = _check(n_classes, speakers, truth, predicted_a, predicted_b)
    whole = [_f1_macro(_confusions(truth, p, 0, 1, n_classes))[0] for p in (a, b)]
    scores_a, scores_b = _resampled_f1(truth, [a, b], speakers, n_classes, n_resamples, seed)
    differences = scores_a - scores_b
    low, high = _interval(differences)
    # The whole set counts as one more resample, so that p is never 0 (Davison and Hinkley, 4.2).
    tail = min((differences <= 0).sum(), (differences >= 0).sum()) + 1
    return {
        "difference": float(whole[0] - whole[1]),
        "low": low,
        "high": high,
        "p": float(min(1.0, 2 * tail / (n_resamples + 1))),
    }


def _resampled_f1(truth, predictions, speakers, n_classes, n_resamples, seed):
    """F1-macro of each prediction on each resample: (predictions, resamples)."""
    generator = np.random.default_rng(seed)
    order = np.argsort(speakers, kind="stable")  # the utterances of a speaker side by side
    sizes = np.bincount(speakers)
    starts = np.cumsum(sizes) - sizes
    step = max(1, CHUNK // len(truth))
    scores = []
    for first in range(0, n_resamples, step):
        count = min(step, n_resamples - first)
        drawn = generator.integers(len(sizes), size=(count, len(sizes)))
        lengths = sizes[drawn]
        resample = np.repeat(np.arange(count), lengths.sum(axis=1))
        size = np.repeat(lengths.ravel(), lengths.ravel())
        start = np.repeat(starts[drawn].ravel(), lengths.ravel())
        chosen = order[start + generator.integers(size)]
        scores.append(
            [
                _f1_macro(_confusions(truth[chosen], predicted[chosen], resample, count, n_classes))
                for predicted in predictions
            ]
        )
    return np.concatenate(scores, axis=1)


def _confusions(truth, predicted, resample, count, n_classes):
    """Confusion matrices (count, C, C), a row a true class, of the utterances of each resample."""
    cell = (resample * n_classes + truth) * n_classes + predicted
    counts = np.bincount(cell, minlength=count * n_classes**2)
    return counts.reshape(count, n_classes, n_classes)


def _f1_macro(confusions):
    """F1-macro (count,) over the classes present in the truth of each matrix."""
    right = confusions.diagonal(axis1=1, axis2=2)
    true, given = confusions.sum(axis=2), confusions.sum(axis=1)
    f1 = 2 * right / np.maximum(true + given, 1)
    present = true > 0
    return (f1 * present).sum(axis=1) / present.sum(axis=1)


def _interval(values):
    """95 % percentile interval as two floats."""
    low, high = np.percentile(values, [TAIL, 100 - TAIL])
    return float(low), float(high)


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
