"""Metrics of speech enhancement: PESQ, STOI, SI-SDR and two segmental SNRs.

Only numpy, pesq and pystoi are imported here, so that worker processes start fast. Every metric
compares one utterance, at full length, with its clean reference. A metric that has no value for an
utterance returns None, never a number that would look like a score.
"""

import math
import warnings
from functools import partial

import numpy as np
from pesq import PesqError, pesq
from pystoi import stoi as pystoi_stoi

from speechbrain_merit.evaluation.parallel import ordered_map
from speechbrain_merit.evaluation.segmental import check_waves, ssnr, ssnr_sb
from speechbrain_merit.measures import si_sdr_energies

METRICS = ("pesq", "stoi", "si_sdr", "ssnr", "ssnr_sb")
SCORE_KEYS = tuple(key for metric in METRICS for key in (metric, f"{metric}_noisy"))

PESQ_RATE = 16000  # Hz, the only rate of wide-band PESQ (ITU-T P.862.2)
# Seconds. The pesq library has room for 50 stretches of speech and crashes the whole process beyond
# (pesq 0.0.4); a stretch and the gap after it last 200 ms each at least, so 20 s are always safe.
PESQ_LONGEST = 20.0
# Waves are float32: a residual below its resolution is rounding, and the ratio counts as infinite.
RESOLUTION = float(np.finfo(np.float32).eps) ** 2


def pesq_wb(clean, estimate, sample_rate=PESQ_RATE):
    """Wide-band PESQ (ITU-T P.862.2), a predicted opinion score between 1.0 and 4.6.

    Arguments
    ---------
    clean : np.ndarray
        Reference, (samples,).
    estimate : np.ndarray
        Signal to judge, (samples,). Its level does not matter.
    sample_rate : int
        In Hz; 16000 is the only legal value.

    Returns
    -------
    float or None
        None where the pesq library finds no speech, the signal is shorter than 0.25 s or longer
        than 20 s (beyond, the library may crash the process), or either signal is silent.

    Raises
    ------
    ValueError
        If the rate is not 16000 or the two are not waves of one length.

    Example
    -------
    >>> clean = np.random.default_rng(0).normal(size=16000)
    >>> round(pesq_wb(clean, clean), 2)
    4.64
    >>> pesq_wb(clean, np.zeros(16000)) is None
    True
    """
    if sample_rate != PESQ_RATE:
        raise ValueError(f"Wide-band PESQ needs {PESQ_RATE} Hz, not {sample_rate}: resample first.")
    clean, estimate = check_waves(clean=clean, estimate=estimate)
    if not clean.any() or not estimate.any() or len(clean) > PESQ_LONGEST * sample_rate:
        return None
    try:
        # The library keeps only the ratio of the two levels, and aligns levels itself: scaling
        # each to a common peak changes no score and keeps a very quiet one from vanishing.
        score = float(pesq(sample_rate, _peak_one(clean), _peak_one(estimate), "wb"))
    except (PesqError, ValueError):  # no utterance, too short; NaN inside its level alignment
        return None
    return _finite(score)


def stoi(clean, estimate, sample_rate=16000):
    """Short-time objective intelligibility (Taal et al., IEEE TASLP 2011), 0 to 1.

    Arguments
    ---------
    clean : np.ndarray
        Reference, (samples,).
    estimate : np.ndarray
        Signal to judge, (samples,). Its level does not matter.
    sample_rate : int
        In Hz.

    Returns
    -------
    float or None
        None where the reference holds less than 30 frames (0.4 s) of speech, for which pystoi
        would give 1e-5.

    Raises
    ------
    ValueError
        If the two are not waves of one length.

    Example
    -------
    >>> clean = np.random.default_rng(0).normal(size=16000)
    >>> round(stoi(clean, clean), 3)
    1.0
    """
    clean, estimate = check_waves(clean=clean, estimate=estimate)
    if not clean.any():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # pystoi's only sign of "too short"
        try:
            return _finite(pystoi_stoi(clean, estimate, sample_rate))
        except RuntimeWarning:
            return None


def si_sdr(clean, estimate):
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al., ICASSP 2019).

    Both signals are brought to zero mean; see `speechbrain_merit.measures`.

    Arguments
    ---------
    clean : np.ndarray
        Reference, (samples,).
    estimate : np.ndarray
        Signal to judge, (samples,).

    Returns
    -------
    float or None
        None where the ratio is infinite or undefined: the estimate is the reference up to scale
        (to the resolution of float32), is orthogonal to it, or one of them is silent.

    Raises
    ------
    ValueError
        If the two are not waves of one length.

    Example
    -------
    >>> clean, noise = np.array([1.0, -1.0, 1.0, -1.0]), np.array([0.1, 0.1, -0.1, -0.1])
    >>> round(si_sdr(clean, clean + noise), 3)
    20.0
    >>> si_sdr(clean, 3 * clean) is None
    True
    """
    clean, estimate = check_waves(clean=clean, estimate=estimate)
    clean, estimate = clean - clean.mean(), estimate - estimate.mean()
    if not clean.any():
        return None
    wanted, unwanted = si_sdr_energies(estimate, clean)
    if wanted <= RESOLUTION * unwanted or unwanted <= RESOLUTION * wanted:
        return None
    return float(10 * np.log10(wanted / unwanted))


def score_utterance(clean, noisy, enhanced, sample_rate=16000, quick=False):
    """Score the enhanced and the noisy signal of one utterance by every metric.

    Arguments
    ---------
    clean : np.ndarray
        Reference, (samples,).
    noisy : np.ndarray
        Input of the system, (samples,).
    enhanced : np.ndarray
        Output of the system, (samples,).
    sample_rate : int
        In Hz; 16000 (PESQ needs it).
    quick : bool
        Leave out PESQ and STOI, which take nearly all of the time.

    Returns
    -------
    dict
        `pesq`, `stoi`, `si_sdr`, `ssnr`, `ssnr_sb` and each with `_noisy`: float or None.

    Raises
    ------
    ValueError
        If the three are not finite waves of one length.

    Example
    -------
    >>> generator = np.random.default_rng(0)
    >>> clean, noise = generator.normal(size=(2, 16000))
    >>> scores = score_utterance(clean, clean + noise, clean + 0.1 * noise)
    >>> scores["si_sdr"] > scores["si_sdr_noisy"]
    True
    """
    clean, noisy, enhanced = check_waves(clean=clean, noisy=noisy, enhanced=enhanced)
    scores = {}
    for suffix, signal in (("", enhanced), ("_noisy", noisy)):
        scores[f"pesq{suffix}"] = None if quick else pesq_wb(clean, signal, sample_rate)
        scores[f"stoi{suffix}"] = None if quick else stoi(clean, signal, sample_rate)
        scores[f"si_sdr{suffix}"] = si_sdr(clean, signal)
        scores[f"ssnr{suffix}"] = ssnr(clean, signal, sample_rate)
        scores[f"ssnr_sb{suffix}"] = ssnr_sb(clean, signal, sample_rate)
    return {key: scores[key] for key in SCORE_KEYS}


def score_utterances(items, sample_rate, n_jobs, progress=True, total=None, quick=False):
    """Score many utterances, spread over processes.

    Arguments
    ---------
    items : iterable
        Of (clean, noisy, enhanced), see `score_utterance`. A generator is drawn from only as
        results come, in the thread of the caller, so that memory stays flat.
    sample_rate : int
        In Hz.
    n_jobs : int
        Number of worker processes; 0 or 1 works in this process, −1 takes all cores it may use.
    progress : bool
        Whether to show a progress bar.
    total : int or None
        Number of items, for the progress bar, where `items` has no length.
    quick : bool
        As of `score_utterance`.

    Returns
    -------
    iterator of dict
        One result of `score_utterance` an item, in the order of `items`.

    Raises
    ------
    ValueError
        As `score_utterance`, or if `n_jobs` is below −1.
    RuntimeError
        If a worker process dies.

    Example
    -------
    >>> clean, noise = np.random.default_rng(0).normal(size=(2, 8000))
    >>> items = ((clean, clean + level * noise, clean) for level in (1.0, 0.1))
    >>> scores = score_utterances(items, 16000, n_jobs=0, progress=False)
    >>> [round(score["si_sdr_noisy"]) for score in scores]
    [0, 20]
    """
    score = partial(_score_item, sample_rate=sample_rate, quick=quick)
    return ordered_map(score, items, n_jobs, "Scoring" if progress else None, total)


def mean_scores(scores, quick=False):
    """Average the scores of many utterances, each key over those that have a finite value.

    Where a metric fails on an utterance for the enhanced signal alone, the two averages are over
    different utterances; `pesq_failed` says for how many PESQ has done so.

    Arguments
    ---------
    scores : array of float
        A row an utterance, (n, 10), its columns in the order of `SCORE_KEYS`; NaN where
        `score_utterance` gave None.
    quick : bool
        They were scored so: without PESQ, which then has failed on none.

    Returns
    -------
    dict
        The keys of `score_utterance` (None where no utterance has a value) and `pesq_failed`, the
        number of utterances whose enhanced or noisy PESQ has no value.

    Example
    -------
    >>> scores = np.full((3, len(SCORE_KEYS)), [[1.0], [2.0], [np.nan]])
    >>> means = mean_scores(scores)
    >>> means["stoi"], means["pesq_failed"]
    (1.5, 1)
    """
    columns = dict(zip(SCORE_KEYS, np.asarray(scores, dtype=np.float64).T, strict=True))
    known = {key: np.isfinite(column) for key, column in columns.items()}
    means = {
        key: float(column[known[key]].mean()) if known[key].any() else None
        for key, column in columns.items()
    }
    failed = ~(known["pesq"] & known["pesq_noisy"])
    means["pesq_failed"] = 0 if quick else int(failed.sum())
    return means


def _score_item(item, sample_rate, quick):
    """Score one (clean, noisy, enhanced): a function of the module, so that workers find it."""
    return score_utterance(*item, sample_rate, quick)


def _peak_one(wave):
    """Scale a wave that is not silent to a peak of 1."""
    return wave / np.abs(wave).max()


def _finite(value):
    """Return a finite number as a float, anything else as None."""
    return float(value) if value is not None and math.isfinite(value) else None
