"""What the header and the rows of ``predictions.jsonl`` hold, and the check that they do.

C classes, A attributes, E experts. A number is finite; what a system or a condition lacks is None.
A row has these keys:

=================== ==============================================================================
``index``           place in the test set, from 0
``id``              utterance and condition in one name
``utterance``       id in the manifest; the same under every condition
``speaker``         its speaker
``corpus``          its corpus where the test set joins several, otherwise None
``label``           true emotion; None without labels
``noise_set``       name of the noise set or distortion; None for clean speech
``snr_db``          SNR that was asked for; None for clean speech and distortions
``measured_snr_db`` SNR of the mixture that was heard; None where it holds no noise
``probabilities``   C, in the order of the header's labels; None without an emotion head
``attributes``      ``truth`` (A, None where nobody rated) and ``predicted`` (A); or None
``scores``          each enhancement score, of the output and, ``_noisy``, of the input; or None
``frames``          valid frames of the encoder
``experts``         task → share of these frames that each expert heard (E); None without experts
=================== ==============================================================================

and, but for files of older versions, ``experts_by_level``: the shares of ``experts`` apart by the
level of the frame (3, E), pause, soft and loud (see `frame_levels`); None without experts.
"""

from speechbrain_merit.evaluation.enhancement import SCORE_KEYS
from speechbrain_merit.evaluation.frame_levels import LEVELS

FORMAT = 1  # raised when a file of another version could be misread
# Beyond it a number is no score, level or share, and no figure can be drawn of it.
LARGEST = 1e9
SUM_TOLERANCE = 1e-3  # of probabilities, as in `emotion.emotion_scores`
HEADER_KEYS = {
    "format": int,
    "labels": list,
    "attributes": list,
    "tasks": list,
    "n_experts": int | None,
    "checkpoint": str | None,
    "model": str,
    "settings": dict,
    "rows": int,
    "ids": str,
    "sources": str,
    "summary": dict,
}
TEXTS = ("id", "utterance", "speaker")
OPTIONAL_TEXTS = ("corpus", "label", "noise_set")
ROW_KEYS = ("index", *TEXTS, *OPTIONAL_TEXTS, "snr_db", "measured_snr_db", "probabilities")
ROW_KEYS += ("attributes", "scores", "frames", "experts")


def check_header(header):
    """Raises ValueError, with what is wrong, for what is no header of this format.

    Example
    -------
    >>> check_header({"format": 99})
    Traceback (most recent call last):
    ...
    ValueError: is of format 99 and this version reads 1: score the run again
    """
    if not isinstance(header, dict) or "format" not in header:
        raise ValueError("has no header: it is no file of predictions")
    if header["format"] != FORMAT:
        found = header["format"]
        raise ValueError(
            f"is of format {found} and this version reads {FORMAT}: score the run again"
        )
    for key, kind in HEADER_KEYS.items():
        if not isinstance(header.get(key, ...), kind) or isinstance(header[key], bool):
            raise ValueError(f"has a header without a fit {key}")
    for key in ("labels", "attributes", "tasks"):
        names = header[key]
        if not all(isinstance(name, str) for name in names) or len({*names}) < len(names):
            raise ValueError(f"has a header whose {key} are not names, each once")
    if header["rows"] < 1 or (header["n_experts"] or 1) < 1:
        raise ValueError("has a header with a number of rows or experts below 1")


def heads(header):
    """Which of ``emotion``, ``attributes`` and ``enhancement`` the scored system has a head for."""
    ser = "ser" in header["tasks"]
    return {
        "emotion": ser and bool(header["labels"]),
        "attributes": ser and bool(header["attributes"]),
        "enhancement": "se" in header["tasks"],
    }


def check_row(row, header):
    """Raises ValueError, with what is wrong, for what is no row under a header.

    Example
    -------
    >>> check_row({"index": 0}, {"labels": []})
    Traceback (most recent call last):
    ...
    ValueError: lacks id, utterance, speaker, corpus, label, noise_set, snr_db, measured_snr_db, \
probabilities, attributes, scores, frames, experts
    """
    missing = [key for key in ROW_KEYS if key not in row]
    if missing:
        raise ValueError(f"lacks {', '.join(missing)}")
    if not _count(row["index"]) or row["index"] >= header["rows"]:
        raise ValueError(f"index is not a number from 0 to {header['rows'] - 1}")
    for key in TEXTS + OPTIONAL_TEXTS:
        if not isinstance(row[key], str) and not (row[key] is None and key in OPTIONAL_TEXTS):
            raise ValueError(f"{key} is no text")
    if row["label"] not in (header["labels"] or [None]):
        raise ValueError(f"label {row['label']} is none of {header['labels']}")
    for key in ("snr_db", "measured_snr_db"):
        if not (row[key] is None or _number(row[key])):
            raise ValueError(f"{key} is no finite number")
    if row["noise_set"] is None and row["snr_db"] is not None:
        raise ValueError("snr_db is there without a noise_set")
    has = heads(header)
    _check_head(row, "probabilities", has["emotion"], lambda p: _shares(p, len(header["labels"])))
    if row["probabilities"] and abs(sum(row["probabilities"]) - 1) > SUM_TOLERANCE:
        raise ValueError("probabilities do not sum to 1")
    n_attributes = len(header["attributes"])
    _check_head(row, "attributes", has["attributes"], lambda a: _ratings(a, n_attributes))
    _check_head(row, "scores", has["enhancement"], _scores)
    tasks, n_experts = header["tasks"], header["n_experts"]
    _check_head(row, "experts", n_experts is not None, lambda e: _experts(e, tasks, n_experts))
    by_level = row.get("experts_by_level")
    if by_level is not None and not _by_level(by_level, row["experts"]):
        raise ValueError("experts_by_level are not the shares of experts, apart by level")
    if not _count(row["frames"]):
        raise ValueError("frames is no number of frames")


def _check_head(row, key, has, fits):
    """Raise ValueError unless a key holds what fits it, or None where there is no such head."""
    if not has and row[key] is not None:
        raise ValueError(f"{key} are there, and the header names no such head")
    if has and not fits(row[key]):
        raise ValueError(f"{key} are not the finite numbers that the header asks for")


def _number(value):
    """Whether a value is a finite number of a sensible size."""
    return type(value) in (int, float) and -LARGEST <= value <= LARGEST


def _count(value):
    """Whether a value is a whole number from 0 on."""
    return type(value) is int and 0 <= value <= LARGEST


def _shares(values, n):
    """Whether values are n numbers from 0 to 1."""
    if not isinstance(values, list) or len(values) != n:
        return False
    return all(_number(value) and 0 <= value <= 1 for value in values)


def _ratings(values, n):
    """Whether values are the attributes of an utterance."""
    if not isinstance(values, dict) or {*values} != {"truth", "predicted"}:
        return False
    if not all(isinstance(value, list) and len(value) == n for value in values.values()):
        return False
    return all(map(_number, values["predicted"])) and all(
        value is None or _number(value) for value in values["truth"]
    )


def _scores(values):
    """Whether values are enhancement scores, or None where a metric has no value."""
    if not isinstance(values, dict) or {*values} != {*SCORE_KEYS}:
        return False
    return all(value is None or _number(value) for value in values.values())


def _experts(values, tasks, n):
    """Whether values are each task's shares of the experts."""
    if not isinstance(values, dict) or {*values} != {*tasks}:
        return False
    return all(_shares(shares, n) for shares in values.values())


def _by_level(values, experts):
    """Whether values are the shares of the experts, apart by the level of the frame."""
    if not isinstance(values, dict) or experts is None or {*values} != {*experts}:
        return False
    return all(
        isinstance(values[task], list)
        and len(values[task]) == len(LEVELS)
        and all(_shares(shares, len(experts[task])) for shares in values[task])
        for task in experts
    )
