"""The part of a preparation that every corpus shares: check the audio, write the manifests.

A recipe lists its utterances and splits; all that can go wrong with files is settled here: a bad
file is left out and listed in ``skipped.csv``, too many stop the preparation before a manifest is
written, and a preparation that was interrupted starts over.
"""

import csv
import hashlib
import io
import json
from collections import Counter
from itertools import combinations
from pathlib import Path

from speechbrain.utils.logger import get_logger

from speechbrain_merit.audio.inspection import inspect_files
from speechbrain_merit.audio.names import readable, some
from speechbrain_merit.data.manifests import escape_row, remember, rooted, skip, write_manifest
from speechbrain_merit.data.splits import WantedLabels
from speechbrain_merit.errors import PreparationError
from speechbrain_merit.writing import write_text

logger = get_logger(__name__)

MAX_BAD_SHARE = 0.05  # of a split: more is a broken download rather than a broken file
SKIPPED_FILE = "skipped.csv"
UNMATCHED_FILE = "unmatched.csv"


def check_labels(labels, available, corpus, merge_labels=None, some_do=False):
    """Checks the labels a user asks for against those a corpus has, however they are spelled.

    Arguments
    ---------
    labels : list of str
        The key ``labels`` of the YAML.
    available : list of str
        The labels of the corpus.
    corpus : str
        Its name, for the message.
    merge_labels : dict, optional
        ``{label of the corpus: label that it counts as}``.
    some_do : bool
        Whether labels that the corpus does not have are only warned of, as long as it has no others
        than these: a model that knows more is tested on what is there.

    Raises
    ------
    PreparationError
        If there is a single label, one twice, or one that the corpus does not have. None at all is
        right for systems that learn attributes alone.

    Example
    -------
    >>> check_labels(["sad", "bored"], ["sad", "angry"], "MY")
    Traceback (most recent call last):
      ...
    speechbrain_merit.errors.PreparationError: labels: MY has no 'bored'; it has sad, angry.
    """
    wanted = WantedLabels(labels, merge_labels)
    labels, found = wanted.labels, {wanted(emotion) for emotion in available}
    lacking = [str(label) for label in labels if label not in found]
    if lacking and some_do and found and found <= {*labels}:  # else they may have other names there
        logger.warning(f"{corpus} has no {' and no '.join(map(repr, lacking))}: not tested.")
    elif lacking:
        raise PreparationError(
            f"labels: {corpus} has no {lacking[0]!r}; it has {', '.join(map(str, available))}."
        )
    if len(labels) == 1 or len(set(labels)) < len(labels):
        raise PreparationError(f"labels: {labels} has to name two or more labels, each one once.")


def prepare_speech(corpus, data_folder, manifests, rows, labels, inspect=None):
    """Checks every utterance of a corpus and writes the manifests of its splits.

    Nothing is done if the same was prepared before (same files and sizes, labels and folder).

    Arguments
    ---------
    corpus : str
        Name of the corpus.
    data_folder : str or Path
        The folder that ``{data_root}`` stands for in the manifests.
    manifests : dict
        ``{split: JSON file}``; ``train`` is one of the splits, and all lie in one folder.
    rows : dict
        ``{split: {id: {"wav": Path, "emo": label, "spk_id": speaker, …}}}``.
    labels : list of str
        The label set.
    inspect : callable, optional
        Checks files as `inspect_files` does, which is taken where none is given; `inspect_headers`
        for corpora too large to decode.

    Raises
    ------
    PreparationError
        If a split is empty or more than 5 % of it cannot be used, an id is in two splits, or a
        label has no utterance in ``train``.

    Example
    -------
    >>> import numpy as np, soundfile as sf
    >>> folder = Path(getfixture("tmpdir"))
    >>> rows = {"train": {}}
    >>> for name in ("sad", "happy"):
    ...     wav = folder / f"{name}.wav"
    ...     sf.write(wav, np.sin(np.arange(8000) / 10.0), 16000)
    ...     rows["train"][name] = {"wav": wav, "emo": name, "spk_id": "1"}
    >>> manifest = folder / "save" / "train.json"
    >>> prepare_speech("MINE", folder, {"train": manifest}, rows, ["sad", "happy"])
    >>> json.loads(manifest.read_text())["sad"]
    {'wav': '{data_root}/sad.wav', 'emo': 'sad', 'spk_id': '1', 'duration': 0.5}
    """
    paths = [manifests[split] for split in rows]
    _check_splits(corpus, data_folder, rows, labels)
    options = {
        "data_folder": str(Path(data_folder).resolve()),
        "labels": list(labels),
        "utterances": _digest(rows),
    }
    if skip(corpus, paths, options):
        logger.info(f"{corpus}: the manifests in {Path(paths[0]).parent} are complete, kept.")
        return
    remember(corpus, paths, None)

    good, skipped = {}, []
    for split, utterances in rows.items():
        files = [row["wav"] for row in utterances.values()]
        reports = (inspect or inspect_files)(files, f"{corpus} {split}")
        good[split] = {}
        for (key, row), report in zip(utterances.items(), reports):
            if report.problem:
                skipped.append((split, row["wav"], report.problem))
            else:
                wav = rooted(row["wav"], data_folder)
                good[split][key] = {**escape_row(row), "wav": wav, "duration": report.duration}
    skipped_file = write_skipped(Path(paths[0]).parent, list(rows), skipped)
    totals = {split: len(utterances) for split, utterances in rows.items()}
    bad = Counter(split for split, *_ in skipped)
    stop_if_too_many(bad, totals, skipped_file)
    if skipped:
        _check_splits(corpus, data_folder, good, labels)

    for split, entries in good.items():
        write_manifest(manifests[split], entries)
        _log_split(corpus, split, entries, labels, bad[split], skipped_file)
    remember(corpus, paths, options)


def _check_splits(corpus, data_folder, rows, labels):
    speakers, owner = {}, {}
    for split, utterances in rows.items():
        if not utterances:
            raise PreparationError(
                f"{corpus}: the split {split!r} is empty: {data_folder} holds no utterance of it"
                + (f" with one of the labels {', '.join(labels)}." if labels else ".")
            )
        for key, row in utterances.items():
            if owner.setdefault(key, split) != split:
                raise PreparationError(f"{corpus}: {key!r} is in {owner[key]!r} and {split!r}.")
            speakers.setdefault(row.get("spk_id"), set()).add(split)
        missing = [x for x in labels if x not in {row["emo"] for row in utterances.values()}]
        if missing and split == "train":
            raise PreparationError(
                f"{corpus}: no training utterance in {data_folder} is {' or '.join(missing)}: take "
                f"it out of `labels`, or complete the corpus."
            )
        if missing:
            logger.warning(f"{corpus}: the split {split!r} holds no {' or '.join(missing)}.")
    for split, other in combinations(rows, 2):
        both = {s for s, found in speakers.items() if s is not None and {split, other} <= found}
        if both:
            count = sum(row.get("spk_id") in both for row in rows[other].values())
            logger.warning(
                f"{corpus}: {len(both)} speakers of {split!r} are in {other!r} too, with {count} "
                f"utterances there: {some(sorted(map(str, both)))}. What is measured on "
                f"{other!r} is not how well voices are understood that were never heard."
            )


def _digest(rows):
    """Changes with any utterance's id, file, size or field."""
    seen = hashlib.sha256()
    for split, utterances in rows.items():
        for key, row in sorted(utterances.items()):
            path = Path(row["wav"])
            size = path.stat().st_size if path.is_file() else -1
            seen.update(json.dumps([split, key, size, row], default=str, sort_keys=True).encode())
    return seen.hexdigest()


def _log_split(corpus, split, entries, labels, left_out, skipped_file):
    counts = Counter(row["emo"] for row in entries.values())
    hours = sum(row["duration"] for row in entries.values()) / 3600
    speakers = len({row.get("spk_id") for row in entries.values()})
    logger.info(
        f"{corpus} {split}: {len(entries)} utterances, {speakers} speakers, {hours:.2f} h ("
        + ", ".join(f"{label} {counts[label]}" for label in labels)
        + ")"
    )
    if left_out:
        logger.warning(f"{corpus} {split}: {left_out} files left out, listed in {skipped_file}.")


def write_skipped(folder, splits, rows):
    """Lists the files that were left out, in place of what the list said of these splits before.

    Arguments
    ---------
    folder : str or Path
        The folder of the manifests.
    splits : list of str
        The splits that were prepared; other splits' rows stay.
    rows : list of tuple
        (split, file, reason).

    Returns
    -------
    Path
        ``skipped.csv`` in that folder; with nothing to list, no file.

    Example
    -------
    >>> folder = getfixture("tmpdir")
    >>> path = write_skipped(folder, ["train"], [("train", "a.wav", "silent")])
    >>> path.read_text().split()
    ['split,file,reason', 'train,a.wav,silent']
    >>> write_skipped(folder, ["train"], []).exists()
    False
    """
    path = Path(folder) / SKIPPED_FILE
    kept = []
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as lines:
            kept = [tuple(row) for row in list(csv.reader(lines))[1:] if row[0] not in splits]
    rows = kept + [(split, readable(str(file)), readable(reason)) for split, file, reason in rows]
    if rows:
        table = io.StringIO()
        csv.writer(table, lineterminator="\n").writerows([("split", "file", "reason"), *rows])
        write_text(path, table.getvalue())
    else:
        path.unlink(missing_ok=True)
    return path


def write_unmatched(folder, corpus, table, listed, recordings):
    r"""Lists what a table of labels names and the disk lacks, and the reverse.

    Arguments
    ---------
    folder : str or Path
        The folder of the manifests; ``unmatched.csv`` is written there.
    corpus : str
        Name of the corpus.
    table : str or Path
        The table of labels.
    listed : collection of str
        Ids of the utterances in the table.
    recordings : dict
        ``{id: Path}`` of the recordings on the disk.

    Returns
    -------
    Path
        ``unmatched.csv``; with nothing to list, no file.

    Example
    -------
    >>> folder = getfixture("tmpdir")
    >>> path = write_unmatched(folder, "MY", "my/labels.csv", ["a", "b"], {"b": 1, "c": "c.wav"})
    >>> path.read_text().split("\n")[1:3]
    ['a,"in labels.csv, not on the disk"', 'c.wav,"on the disk, not in labels.csv"']
    """
    name = Path(table).name
    absent = sorted(key for key in listed if key not in recordings)
    extra = sorted(readable(str(p)) for key, p in recordings.items() if key not in listed)
    reasons = [(key, f"in {name}, not on the disk") for key in absent]
    reasons += [(path, f"on the disk, not in {name}") for path in extra]
    path = Path(folder) / UNMATCHED_FILE
    if not reasons:
        path.unlink(missing_ok=True)
        return path
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows([("file", "reason"), *reasons])
    write_text(path, lines.getvalue())
    logger.warning(
        f"{corpus}: {len(absent)} utterances in {name} have no recording, and {len(extra)} "
        f"recordings do not stand in it: {path} lists them."
    )
    return path


def stop_if_too_many(bad, totals, skipped_file):
    """Stops a preparation when more than 5 % of a split's files are bad.

    Arguments
    ---------
    bad : dict
        Number of bad files by split.
    totals : dict
        Number of files by split.
    skipped_file : Path
        Where they are listed.

    Raises
    ------
    PreparationError
        Naming the splits and the list.

    Example
    -------
    >>> stop_if_too_many({"train": 1}, {"train": 20}, "skipped.csv")
    >>> try:
    ...     stop_if_too_many({"train": 2}, {"train": 20}, "skipped.csv")
    ... except PreparationError as error:
    ...     print(str(error).split(":", 1)[0])
    More than 5% of the files cannot be used (train
    """
    over = [s for s, total in totals.items() if bad.get(s, 0) > MAX_BAD_SHARE * total]
    if over:
        counts = "; ".join(f"{split}: {bad[split]} of {totals[split]}" for split in over)
        raise PreparationError(
            f"More than {MAX_BAD_SHARE:.0%} of the files cannot be used ({counts}): {skipped_file} "
            f"lists them. Repair or remove them (or download the corpus again), then rerun."
        )
