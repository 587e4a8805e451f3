"""Trains a plain classifier on features of clean and noisy speech, for a benchmark's scripts.

Noise is of the kinds that need no recordings, drawn for training alone.
"""

from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from speechbrain_merit.data.exact import noises
from speechbrain_merit.data.exact.draws import Draws
from speechbrain_merit.data.exact.integers import fitted
from speechbrain_merit.data.exact.mixing import mixed, piece

SNRS = (-5, 0, 5, 10, 15, 20)
COPIES = 2  # noisy versions of each utterance
RECORDINGS = 3  # of each kind of noise
STRENGTHS = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1, 3)  # C, how freely weights may grow


def training_noise():
    """Recordings of noise, of every kind that is synthesised: a list of (S,) int16."""
    kinds = noises.SYNTHESISED
    return [noises.recording(kind, f"probe {n}") for kind in kinds for n in range(RECORDINGS)]


def sounds(clean, name, recordings):
    """Yields an utterance (S,) int16, clean and with noise of drawn kinds and SNRs, in float32.

    Example
    -------
    >>> clean = np.arange(-4000, 4000, dtype=np.int16)
    >>> noise = np.tile(np.array([9, -9], dtype=np.int16), 8000)
    >>> [wave.shape for wave in sounds(clean, "an utterance", [noise])]
    [(8000,), (8000,), (8000,)]
    """
    yield clean / np.float32(32768)
    for copy in range(COPIES):
        draws = Draws("probe", name, copy)
        noise = recordings[draws.integer(0, len(recordings))]
        snr = SNRS[draws.integer(0, len(SNRS))]
        yield fitted(mixed(clean, piece(noise, len(clean), draws), snr))[0] / np.float32(32768)


def linear(strength):
    """A linear classifier of strength C, to which all emotions count alike."""
    return LogisticRegression(C=strength, class_weight="balanced", max_iter=2000)


class Trained(NamedTuple):
    """A classifier behind a standardisation, its F1-macro on validation, and its C."""

    pipeline: Pipeline
    f1: float
    strength: float


def fit(classifier, train, valid, strengths=STRENGTHS):
    """Trains a classifier for each C and keeps the best on validation speakers.

    Arguments
    ---------
    classifier : callable
        C to a scikit-learn classifier.
    train, valid : tuple
        Features (N, F) and classes (N) each.
    strengths : sequence of float
        The values of C.

    Returns
    -------
    Trained

    Example
    -------
    >>> x, y = np.array([[0.0], [1.0], [4.0], [5.0]]), np.array([0, 0, 1, 1])
    >>> fit(linear, (x, y), (x, y)).f1
    1.0
    """
    best = None
    for strength in strengths:
        pipeline = make_pipeline(StandardScaler(), classifier(strength)).fit(*train)
        f1 = float(f1_score(valid[1], pipeline.predict(valid[0]), average="macro"))
        if best is None or f1 > best.f1:
            best = Trained(pipeline, f1, strength)
    return best
