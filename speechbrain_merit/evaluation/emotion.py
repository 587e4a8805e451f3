"""Metrics of emotion recognition: F1, recall, confusion and calibration of one test condition."""

import numpy as np
from sklearn.metrics import confusion_matrix, f1_score

ECE_BINS = 15  # of equal width, as in Guo et al., ICML 2017


def emotion_scores(truth, probabilities, labels):
    """Score the class probabilities of a set of utterances.

    F1-macro and UAR are means over the classes that occur in `truth`: a class without an utterance
    has no recall, and counting its F1 as 0 would punish the system for the test set. Utterances
    that are wrongly given to such a class still count against their true class.

    Arguments
    ---------
    truth : array of int
        True class indices, (n,).
    probabilities : array of float
        Class probabilities (softmax output), (n, C).
    labels : list of str
        Names of the C classes, in the order of the indices.

    Returns
    -------
    dict
        `f1_macro`, `f1_micro` (= accuracy), `uar` (mean recall), `recall` (by label, None for a
        class without an utterance), `confusion` (C lists of C counts, a row a true class), `ece`
        (expected calibration error) and `n`.

    Raises
    ------
    ValueError
        If there is no utterance, shapes do not fit, a class index is out of range, or the
        probabilities are not finite or do not sum to 1.

    Example
    -------
    >>> scores = emotion_scores([0, 0, 1], [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]], ["sad", "happy"])
    >>> scores["recall"], scores["uar"]
    ({'sad': 0.5, 'happy': 1.0}, 0.75)
    >>> scores["confusion"]
    [[1, 1], [0, 1]]
    """
    truth = np.asarray(truth)
    probabilities = np.asarray(probabilities, dtype=np.float64)
    _check(truth, probabilities, labels)
    classes = range(len(labels))
    predicted = probabilities.argmax(axis=1)
    confusion = confusion_matrix(truth, predicted, labels=classes)
    counts = confusion.sum(axis=1)
    present = np.flatnonzero(counts)
    recall = confusion.diagonal()[present] / counts[present]
    return {
        "f1_macro": float(
            f1_score(truth, predicted, labels=present, average="macro", zero_division=0.0)
        ),
        "f1_micro": float(
            f1_score(truth, predicted, labels=classes, average="micro", zero_division=0.0)
        ),
        "uar": float(recall.mean()),
        "recall": {
            **dict.fromkeys(labels),
            **{labels[index]: float(value) for index, value in zip(present, recall, strict=True)},
        },
        "confusion": confusion.tolist(),
        "ece": calibration_error(truth, probabilities),
        "n": len(truth),
    }


def calibration_error(truth, probabilities, bins=ECE_BINS):
    """Expected calibration error (Guo et al., ICML 2017): 0 where confidence equals accuracy.

    Utterances are sorted into bins of equal width by the probability of the predicted class; the
    distance between mean probability and accuracy is averaged over utterances.

    Arguments
    ---------
    truth : array of int
        True class indices, (n,).
    probabilities : array of float
        Class probabilities, (n, C).
    bins : int
        Number of bins.

    Returns
    -------
    float
        Between 0 and 1.

    Example
    -------
    >>> calibration_error([0, 0], [[0.75, 0.25], [0.75, 0.25]])
    0.25
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == np.asarray(truth)
    # Bins are open on the left and closed on the right: 1.0 belongs to the last.
    bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    excess = np.bincount(bin_of, weights=right - confidence, minlength=bins)
    return float(np.abs(excess).sum() / len(confidence))


def _check(truth, probabilities, labels):
    """Raise ValueError where truth and probabilities cannot be scored."""
    if truth.ndim != 1 or len(truth) == 0:
        raise ValueError(f"Expected true classes (n,) of one utterance or more, got {truth.shape}.")
    if probabilities.shape != (len(truth), len(labels)):
        raise ValueError(
            f"Expected probabilities ({len(truth)}, {len(labels)}) for {len(truth)} utterances "
            f"and the labels {list(labels)}, got {probabilities.shape}."
        )
    if not np.issubdtype(truth.dtype, np.integer) or not np.all(
        (truth >= 0) & (truth < len(labels))
    ):
        raise ValueError(f"True classes are indices 0 ... {len(labels) - 1} into {list(labels)}.")
    # 1e-3: sums of probabilities that were rounded to half precision stay within it
    if not np.allclose(probabilities.sum(axis=1), 1, atol=1e-3) or probabilities.min() < 0:
        raise ValueError("Probabilities do not sum to 1: pass the softmax of the logits.")
