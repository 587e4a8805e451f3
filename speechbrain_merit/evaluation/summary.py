"""A benchmark in a few numbers, for a table of many systems; made of predictions alone.

=================== ==============================================================================
``f1_clean``        F1-macro of clean speech
``f1_mean``         mean F1-macro over noise sets × SNRs
``si_sdr_mean``     mean SI-SDR in dB over the same; ``si_sdr_gain`` over the noisy input's
``unscored``        utterances in noise that have none, as the output is silent: in neither mean
``corruption``      mean error under each noise set and distortion, relative to a baseline's, in %
``snr_90``          SNR in dB below which F1 falls under 90 % of clean; ``snr_90_ci``, its interval;
                    where it lies outside the grid, None and ``snr_90_bound``, such as ``< −5``
``ece``             expected calibration error over noise sets × SNRs
``coverage``        share that can be answered where 90 % of the answers have to be right
=================== ==============================================================================

Relative corruption errors as of D. Hendrycks and T. Dietterich, "Benchmarking neural network
robustness to common corruptions and perturbations", ICLR 2019, which RobuSER takes up for emotion.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
from scipy.stats import t as student
from sklearn.isotonic import IsotonicRegression

from speechbrain_merit.errors import PredictionsError
from speechbrain_merit.evaluation.emotion import calibration_error, emotion_scores
from speechbrain_merit.evaluation.predictions import (
    find_predictions,
    ids_digest,
    read_predictions,
)
from speechbrain_merit.evaluation.report.tables import number, to_json
from speechbrain_merit.evaluation.rows import heads
from speechbrain_merit.writing import write_text

KEPT = 0.9  # of the F1 of clean speech
RIGHT = 0.9  # of the answers that are given
#: Lossy codecs, whose samples differ from machine to machine: beside the test, in no comparison.
INEXACT = ("opus", "mp3")
LEVEL = 0.95
SUMMARY = "summary.json"
FEW = 3  # speakers, fewer make no interval


def write_summary(folder, baseline=None):
    """Writes ``summary.json`` and ``summary.md`` beside an evaluation's predictions; returns it.

    ``baseline`` is a file of predictions; it need not be there, or be of the same benchmark.
    """
    folder = Path(folder)
    header, rows = tested(*read_predictions(find_predictions(folder)))
    found = summary(header, rows, baseline_f1(baseline, header["ids"], header["sources"]))
    write_text(folder / SUMMARY, to_json(found))
    write_text(folder / "summary.md", to_markdown({folder.name: found}))
    print(to_markdown({folder.name: found}))
    return found


def tested(header, rows):
    """Header and rows of predictions without what stands beside the test."""
    rows = [row for row in rows if (row["noise_set"] or "").rsplit(" ", 1)[0] not in INEXACT]
    rows = [{**row, "index": index} for index, row in enumerate(rows)]
    return {**header, "rows": len(rows), "ids": ids_digest(row["id"] for row in rows)}, rows


def summary(header, rows, baseline=None):
    """The summary numbers of predictions on a benchmark.

    Arguments
    ---------
    header : dict
        Of the predictions.
    rows : iterable of dict
        Their rows.
    baseline : dict, optional
        ``{noise set or distortion: mean F1-macro}`` of another system, from `corruption_f1`.

    Returns
    -------
    dict
        See above; None for what a system or a test set has not.
    """
    rows, has = list(rows), heads(header)
    noisy = [row for row in rows if row["snr_db"] is not None]
    found = dict.fromkeys(
        (
            *("f1_clean", "f1_mean", "si_sdr_mean", "si_sdr_gain", "corruption"),
            *("snr_90", "snr_90_ci", "snr_90_bound", "ece", "coverage", "unscored"),
        )
    )
    if has["enhancement"]:
        found["si_sdr_mean"] = _mean_score(noisy, "si_sdr")
        # of the same utterances: a silent output has no SI-SDR, its input has
        pairs = [(r["scores"]["si_sdr"], r["scores"]["si_sdr_noisy"]) for r in noisy]
        gains = [after - before for after, before in pairs if None not in (after, before)]
        found["si_sdr_gain"] = float(np.mean(gains)) if gains else None
        found["unscored"] = sum(after is None and before is not None for after, before in pairs)
    if has["emotion"]:
        table = Table(rows, header["labels"])
        found["f1_clean"], curve = table.curve()
        found["f1_mean"] = float(np.mean([f1 for _, f1 in curve])) if curve else None
        found["snr_90"], found["snr_90_ci"] = table.threshold()
        if found["snr_90"] is not None and not np.isfinite(found["snr_90"]):
            above = found["snr_90"] < 0  # everywhere
            found["snr_90"] = None
            found["snr_90_bound"] = f"< {curve[0][0]:g}" if above else f"> {curve[-1][0]:g}"
        if baseline is not None:
            found["corruption"] = corruption_error(corruption_f1(header, rows), baseline)
        if noisy:
            truth, chances = table.answers(noisy)
            if (chances.max(axis=1) < 1).any():  # answers without probabilities say neither
                found["ece"] = calibration_error(truth, chances)
                found["coverage"] = coverage(truth, chances)
    return found


class Table:
    """The emotion part of rows, ready to be counted by condition with a speaker left out."""

    def __init__(self, rows, labels):
        self.rows, self.labels = rows, labels
        self.speakers = sorted({row["speaker"] for row in rows})

    def answers(self, rows):
        """True classes (n) and probabilities (n, C)."""
        truth = np.array([self.labels.index(row["label"]) for row in rows])
        return truth, np.array([row["probabilities"] for row in rows])

    def f1(self, rows):
        """F1-macro of rows."""
        return emotion_scores(*self.answers(rows), self.labels)["f1_macro"]

    def curve(self, without=None):
        """F1 of clean speech, None without any, and pairs (SNR, mean F1 over noise sets)."""
        by_condition = {}
        for row in self.rows:
            if row["speaker"] != without:
                by_condition.setdefault((row["noise_set"], row["snr_db"]), []).append(row)
        clean = by_condition.get((None, None))
        by_snr = {}
        for (_, snr), rows in by_condition.items():
            if snr is not None:
                by_snr.setdefault(snr, []).append(self.f1(rows))
        pairs = [(snr, float(np.mean(f1))) for snr, f1 in sorted(by_snr.items())]
        return (None if clean is None else self.f1(clean)), pairs

    def threshold(self):
        """The SNR at which 90 % of clean F1 are left, and its 95 % interval by the jackknife.

        As `crossing` where it is infinite; then, and for fewer than three speakers, there is no
        interval.
        """
        whole = crossing(*self.curve())
        if whole is None or not np.isfinite(whole) or len(self.speakers) < FEW:
            return whole, None
        each = [crossing(*self.curve(without)) for without in self.speakers]
        if not np.isfinite(each).all():
            return whole, None
        n = len(each)
        error = np.sqrt((n - 1) * np.var(each))
        margin = student.ppf((1 + LEVEL) / 2, n - 1) * error
        return whole, [float(whole - margin), float(whole + margin)]


def crossing(clean, curve):
    """The SNR in dB at which an isotonic fit of F1 reaches 90 % of clean speech's.

    Arguments
    ---------
    clean : float or None
        F1 of clean speech.
    curve : list of tuple
        (SNR, F1), SNRs ascending.

    Returns
    -------
    float or None
        None without clean speech or noise; −inf where F1 is above throughout, +inf where below.

    Example
    -------
    >>> round(crossing(1.0, [(-5, 0.5), (0, 0.7), (5, 0.95), (10, 0.93)]), 3)
    4.167
    """
    if clean is None or not curve:
        return None
    snrs, f1 = np.array(curve, dtype=float).T
    fitted = IsotonicRegression().fit_transform(snrs, f1)
    above = fitted >= KEPT * clean - 1e-9  # a tie is not decided by rounding
    if above.all() or not above.any():
        return -np.inf if above.all() else np.inf
    first = int(above.argmax())
    share = (KEPT * clean - fitted[first - 1]) / (fitted[first] - fitted[first - 1])
    return float(snrs[first - 1] + share * (snrs[first] - snrs[first - 1]))


def coverage(truth, probabilities):
    """Largest share of the utterances, the surest first, of which 90 % are answered right.

    Example
    -------
    >>> coverage([0, 0, 1, 1], [[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.55, 0.45]])
    0.75
    """
    probabilities = np.asarray(probabilities)
    sure = probabilities.max(axis=1)
    order = np.argsort(-sure, kind="stable")
    right = (probabilities.argmax(axis=1) == np.asarray(truth))[order]
    share = np.cumsum(right) / np.arange(1, len(right) + 1)
    # utterances of one confidence are answered together or not at all
    last = np.append(np.diff(sure[order]) != 0, True)
    enough = np.flatnonzero((share >= RIGHT) & last)
    return float((enough[-1] + 1) / len(right)) if len(enough) else 0.0


def corruption_f1(header, rows):
    """Mean F1-macro under each noise set (over SNRs) and distortion (over severities)."""
    by_condition = {}
    for row in rows:
        if row["noise_set"] is not None:
            by_condition.setdefault((row["noise_set"], row["snr_db"]), []).append(row)
    by_kind, table = {}, Table([], header["labels"])
    for (name, snr), own in by_condition.items():
        kind = name if snr is not None else name.rsplit(" ", 1)[0]
        by_kind.setdefault(kind, []).append(table.f1(own))
    return {kind: float(np.mean(f1)) for kind, f1 in sorted(by_kind.items())}


def corruption_error(f1, baseline):
    """Mean over noise sets and distortions of 1 − F1 relative to a baseline's, in %.

    Raises
    ------
    PredictionsError
        The baseline lacks one: it was scored on another benchmark.

    Example
    -------
    >>> corruption_error({"pink": 0.75, "dc": 0.5}, {"pink": 0.5, "dc": 0.5})
    75.0
    """
    lacking = sorted({*f1} ^ {*baseline})
    if lacking:
        raise PredictionsError(
            f"The baseline was scored on another benchmark: one of both lacks {', '.join(lacking)}."
        )
    ratios = [(1 - f1[kind]) / max(1 - baseline[kind], 1e-9) for kind in f1]
    return float(100 * np.mean(ratios)) if ratios else None


def baseline_f1(path, ids, sources=None):
    """`corruption_f1` of a file of predictions; None where there is none of the same test set.

    ``ids`` and, where they are told, ``sources`` are of the header of what is compared with it.
    """
    if path is None or not Path(path).is_file():
        return None
    header, rows = read_predictions(path)
    same = header["ids"] == ids and (sources is None or same_samples(header["sources"], sources))
    return corruption_f1(header, rows) if same else None


def same_samples(digest, sources):
    """Whether ``sources`` of a header are those of the benchmark with a digest.

    Those of a run are the digest of what `score_run` hands to `provenance.header`.
    """
    run = hashlib.sha256(json.dumps([digest, "{}", ""]).encode()).hexdigest()
    return sources in (digest, run)


COLUMNS = (
    ("f1_clean", "F1 clean", 3),
    ("f1_mean", "F1 mean", 3),
    ("corruption", "corruption error (%)", 0),
    ("snr_90", "SNR of 90 % (dB)", 1),
    ("ece", "ECE", 3),
    ("coverage", "coverage", 2),
    ("si_sdr_mean", "SI-SDR (dB)", 1),
    ("si_sdr_gain", "gain (dB)", 1),
)


def to_markdown(summaries):
    """A table of summaries by name.

    Example
    -------
    >>> print(to_markdown({"mine": {"f1_clean": 0.5, "snr_90": 2.5, "snr_90_ci": [-1, 6]}}))
    | system | F1 clean | SNR of 90 % (dB) |
    | --- | --- | --- |
    | mine | 0.500 | 2.5 [−1.0, 6.0] |
    <BLANKLINE>
    """
    every = [{key for key, value in s.items() if value is not None} for s in summaries.values()]
    columns = [c for c in COLUMNS if any({c[0], f"{c[0]}_bound"} & keys for keys in every)]
    lines = [["system", *(title for _, title, _ in columns)], ["---"] * (len(columns) + 1)]
    lines += [[name, *(_cell(own, *c) for c in columns)] for name, own in summaries.items()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(found, key, _, decimals):
    if found.get(f"{key}_bound"):
        return found[f"{key}_bound"].replace("-", "−")
    text, interval = number(found.get(key), decimals), found.get(f"{key}_ci")
    if key == "si_sdr_mean" and found.get("unscored"):
        return f"{text} ({found['unscored']} without)"
    if interval is None:
        return text
    return f"{text} [{number(interval[0], decimals)}, {number(interval[1], decimals)}]"


def _mean_score(rows, key):
    values = [row["scores"][key] for row in rows if row["scores"][key] is not None]
    return float(np.mean(values)) if values else None
