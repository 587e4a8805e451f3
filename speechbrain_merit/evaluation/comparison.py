"""Two systems on the same utterances: the relative change of a score, how sure it is, and p.

A score is a function of sums over utterances, F1-macro of the cells of a confusion matrix, a mean
of a sum and a count. Both a resampled test set and one in which two systems changed places are then
other sums of the same numbers, and each costs one product of matrices.

*Interval*: paired bootstrap, speakers first, then their utterances (A. Davison and D. Hinkley,
"Bootstrap Methods and their Application", 1997, §3.8), both systems on the same draws. Of few
speakers its percentiles lie too close together: they are moved away from the estimate by Student's
t over the normal quantile and √(n / (n − 1)), as a mean over n speakers would need.

*p*: of no difference, by permutation. Under it the two systems' answers to a speaker could as well
have changed places, with all utterances of the speaker together: these depend on each other.

How often the interval holds the truth, and p is small where nothing differs, is simulated in
``tests/evaluation/test_comparison.py``.
"""

import functools
from typing import NamedTuple

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

LEVEL = 0.95
RESAMPLES = 2000
ALL = 2**14  # so many changes of places are tried one by one, of more as many at random


class Change(NamedTuple):
    """How the score ``a`` of one system differs from ``b`` of another.

    ``relative`` is (a − b) / b, with its 95 % interval ``low`` to ``high`` and the ``p`` of no
    difference. None where it cannot be told: b is not above 0 in all resamples, or there are fewer
    than three speakers; then ``reason`` says why. ``freedom``: degrees of freedom of the speakers,
    whose number is ``n_speakers``.
    """

    a: float
    b: float
    relative: float | None
    low: float | None
    high: float | None
    p: float | None
    reason: str | None
    freedom: float
    n_speakers: int = 0


def f1_macro_cells(truth, predicted, n_classes):
    """What F1-macro is a function of: the cell of the confusion matrix of each utterance.

    Arguments
    ---------
    truth, predicted : array of int
        Class indices (n,).
    n_classes : int
        C.

    Returns
    -------
    np.ndarray
        (n, C · C), a single 1 in each row.

    Example
    -------
    >>> cells = f1_macro_cells([0, 1, 1], [0, 1, 0], 2)
    >>> round(float(f1_macro(cells.sum(axis=0))), 3)
    0.667
    """
    cells = np.zeros((len(truth), n_classes**2))
    cells[np.arange(len(truth)), np.asarray(truth) * n_classes + np.asarray(predicted)] = 1
    return cells


def f1_macro(sums):
    """F1-macro of sums (…, C · C) of cells, over the classes that the truth has."""
    n_classes = round(sums.shape[-1] ** 0.5)
    matrix = sums.reshape(*sums.shape[:-1], n_classes, n_classes)
    true, given = matrix.sum(axis=-1), matrix.sum(axis=-2)
    right = np.einsum("...cc->...c", matrix)
    f1 = 2 * right / np.maximum(true + given, np.finfo(float).tiny)
    present = true > 0
    return (f1 * present).sum(axis=-1) / np.maximum(present.sum(axis=-1), 1)


def mean_cells(values):
    """What a mean is a function of: value and count of each utterance (n, 2); NaN counts not.

    Example
    -------
    >>> float(mean(mean_cells([1.0, 2.0, float("nan")]).sum(axis=0)))
    1.5
    """
    values = np.asarray(values, dtype=float)
    there = np.isfinite(values)
    return np.stack([np.where(there, values, 0.0), there], axis=1)


def mean(sums):
    """The mean of sums (…, 2)."""
    return sums[..., 0] / np.maximum(sums[..., 1], np.finfo(float).tiny)


class Draws:
    """Resampled test sets: speakers with replacement, then as many utterances of each.

    Arguments
    ---------
    speakers : sequence
        Speaker of each utterance (n,).
    n_resamples : int
        R.
    seed : int
        Of the draws: every comparison on the same utterances meets the same ones.

    Example
    -------
    >>> draws = Draws(["a", "a", "b"], n_resamples=4)
    >>> draws.weights.shape, draws.sizes.tolist()
    ((4, 3), [2, 1])
    """

    def __init__(self, speakers, n_resamples=RESAMPLES, seed=0):
        self.codes = np.unique(np.asarray(speakers, dtype=str), return_inverse=True)[1].ravel()
        self.sizes = np.bincount(self.codes)
        chance, n = np.random.default_rng(seed), len(self.sizes)
        times = chance.multinomial(n, np.full(n, 1 / n), size=n_resamples)  # each speaker is drawn
        self.weights = np.zeros((n_resamples, len(self.codes)))
        for speaker, size in enumerate(self.sizes):
            own = np.full(size, 1 / size)
            draws = chance.multinomial(times[:, speaker] * size, own)
            self.weights[:, self.codes == speaker] = draws

    @property
    def freedom(self):
        """Degrees of freedom of the speakers: their effective number (Kish) − 1."""
        return self.sizes.sum() ** 2 / np.square(self.sizes).sum() - 1

    def widening(self):
        """How much farther from the estimate the ends of an interval are than percentiles say."""
        freedom = self.freedom
        quantile = (1 + LEVEL) / 2
        factor = student.ppf(quantile, freedom) / norm.ppf(quantile)
        return factor * np.sqrt((freedom + 1) / freedom)

    def by_speaker(self, cells):
        """Sums (speakers, K) of cells (n, K)."""
        sums = np.zeros((len(self.sizes), cells.shape[1]))
        np.add.at(sums, self.codes, cells)
        return sums


@functools.lru_cache(maxsize=4)
def draws_of(speakers):
    """The :class:`Draws` of a tuple of speakers; most comparisons are on the same utterances."""
    return Draws(speakers)


def compare(a, b, score, draws, seed=0):
    """Compares two systems, each the mean over its seeds.

    Arguments
    ---------
    a, b : list of np.ndarray
        Cells (n, K) of each seed of a system, from :func:`f1_macro_cells` or :func:`mean_cells`.
    score : callable
        :func:`f1_macro` or :func:`mean`: sums (…, K) to scores (…).
    draws : Draws
        Of the utterances.
    seed : int
        Of the permutations.

    Returns
    -------
    Change

    Example
    -------
    >>> truth, speakers = np.arange(80) % 2, np.arange(80) // 8
    >>> wrong = np.where(np.arange(80) % 5 == 0, 1 - truth, truth)  # a fifth of the answers
    >>> draws = Draws(speakers)
    >>> right = f1_macro_cells(truth, truth, 2)
    >>> change = compare([right], [f1_macro_cells(truth, wrong, 2)], f1_macro, draws)
    >>> round(change.relative, 2), change.low > 0, round(change.p, 3)
    (0.25, True, 0.002)
    """
    whole_a, whole_b = (float(np.mean([score(c.sum(axis=0)) for c in s])) for s in (a, b))
    of = draws.freedom, len(draws.sizes)
    if draws.freedom <= 1:
        few = f"{len(draws.sizes)} speakers do not tell how speakers differ"
        return Change(whole_a, whole_b, *[None] * 4, few, *of)
    many_a, many_b = (np.mean([score(draws.weights @ c) for c in s], axis=0) for s in (a, b))
    p = permutation_p(a, b, score, draws, seed)
    if not (whole_b > 0 and (many_b > 0).all()):
        reason = "what it is relative to may be 0"
        return Change(whole_a, whole_b, None, None, None, p, reason, *of)
    relative = (whole_a - whole_b) / whole_b
    tail = 100 * (1 - LEVEL) / 2
    ends = np.percentile((many_a - many_b) / many_b, [tail, 100 - tail])
    low, high = relative + (ends - relative) * draws.widening()
    return Change(whole_a, whole_b, relative, float(low), float(high), p, None, *of)


def permutation_p(a, b, score, draws, seed=0):
    """Two-sided p of no difference; ``a``, ``b``, ``score`` and ``draws`` as of `compare`."""
    sums = [np.stack([draws.by_speaker(cells) for cells in system]) for system in (a, b)]
    n = len(draws.sizes)
    if 2**n <= ALL:
        changed = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    else:
        changed = np.random.default_rng(seed).integers(0, 2, size=(ALL, n))
        changed[0] = 0  # the one that was observed is one of them
    changed = changed.astype(float)

    if len(sums[0]) != len(sums[1]):  # each seed of one with each of the other
        pairs = np.indices([len(system) for system in sums]).reshape(2, -1)
        sums = [system[seeds] for system, seeds in zip(sums, pairs)]

    def scores(kept, given):  # of a system that keeps these speakers and is given those
        unchanged = np.einsum("ps,jsk->jpk", 1 - changed, kept)
        return score(unchanged + np.einsum("ps,jsk->jpk", changed, given)).mean(axis=0)

    differences = np.abs(scores(*sums) - scores(*sums[::-1]))
    return float(np.mean(differences >= differences[0] - 1e-12))


def least_p(n_speakers):
    """The least p that `permutation_p` can give: of so many speakers, all show the difference.

    Example
    -------
    >>> least_p(6)
    0.03125
    """
    return 2 / 2**n_speakers if 2**n_speakers <= ALL else 1 / ALL


def holm(values):
    """p-values corrected for their number (S. Holm, 1979); what is None stays so and counts not.

    Example
    -------
    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    known = sorted((p, i) for i, p in enumerate(values) if p is not None)
    corrected, highest = list(values), 0.0
    for place, (p, index) in enumerate(known):
        highest = max(highest, min(1.0, p * (len(known) - place)))
        corrected[index] = highest
    return corrected
