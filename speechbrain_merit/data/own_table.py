"""From the rows of somebody's own table to manifests: what is unambiguous is taken as meant.

What is not, such as two rows that say different things of one recording, is named row by row, all
of it at once and before a recording is opened.
"""

import os
import unicodedata
from collections import Counter
from pathlib import Path

from speechbrain.utils.logger import get_logger

from speechbrain_merit.audio.inspection import AUDIO_SUFFIXES
from speechbrain_merit.audio.names import MAX_NAMED, readable
from speechbrain_merit.data.listing import EXCEL_ERROR, UNRATED, folded
from speechbrain_merit.data.preparation import check_labels, prepare_speech, write_unmatched
from speechbrain_merit.data.recordings import Recordings
from speechbrain_merit.data.splits import WantedLabels, cross_validate, spelling
from speechbrain_merit.errors import PreparationError

logger = get_logger(__name__)

COLUMNS = {"file": "file", "emo": "emotion", "spk_id": "speaker"}  # for messages
SPLITS = {
    "train": ("train", "training"),
    "valid": ("valid", "validation", "val", "dev", "development"),
    "test": ("test", "testing"),
}
SPLIT_OF = {word: split for split, words in SPLITS.items() for word in words}


def prepare_own_table(corpus, table, rows, manifests, labels, merge_labels=None, fold=None):
    """Writes the manifests of a folder of recordings with a table of labels in it.

    A recording is found where the table names it in other capital letters, without its suffix or
    by the path of another computer (see `recordings`); rows that say the same count once; labels
    and speakers are the same in capital and small letters.

    Arguments
    ---------
    corpus : str
        Its name, for messages.
    table : str or Path
        The table, in the folder of the recordings.
    rows : list of dict
        A row each: ``line`` (in the table), ``file``, ``emo``, ``spk_id``, ``split`` (nothing or
        None where the table does not say) and what else the manifests shall hold, as ``arousal``.
    manifests : dict
        ``{"train": JSON file, "valid": …, "test": …}``. Where `rows` name recordings for the test
        alone, only that one is written: enough to score a trained system on.
    labels : list of str
        The labels that are wanted.
    merge_labels : dict, optional
        ``{label: label that it counts as}``.
    fold : int, optional
        1 to 5: tests on that fifth of the speakers, whatever the rows say of splits.

    Raises
    ------
    PreparationError
        Naming the rows that cannot be used; if there are no splits and fewer than five speakers;
        and as `prepare_speech`.
    """
    table = Path(table)
    if not rows:
        raise PreparationError(f"{table} has no rows below its first line.")
    given = fold is None and any(row["split"] for row in rows)
    recordings = Recordings(table.parent)
    utterances = _by_recording(table, rows, recordings, given, bool(labels))
    write_unmatched(Path(manifests["test"]).parent, corpus, table, utterances, recordings.paths)
    _unite_speakers(corpus, utterances.values())
    emotions = sorted({row["emo"] for row in utterances.values()})
    only_tested = given and {row["split"] for row in utterances.values()} == {"test"}
    check_labels(labels, emotions, corpus, merge_labels, some_do=only_tested)

    wanted, taken = WantedLabels(labels, merge_labels), {}
    for path, row in utterances.items():
        label = wanted(row["emo"])
        if label is not None:
            taken[path] = {**row, "emo": label}
    wanted.report(corpus)
    if given:
        splits = _splits_of_the_table(table, taken.values(), manifests)
    else:
        splits = _splits_by_speaker(taken.values(), 1 if fold is None else fold)
    by_split = {split: {} for split in splits}
    for key, (path, row) in zip(_ids(taken), taken.items()):
        split = row.pop("split")
        fields = {k: v for k, v in row.items() if k not in ("line", "file") and v is not None}
        wav = recordings.paths.get(path, table.parent / path)
        by_split[split][key] = {"wav": wav, **fields}
    prepare_speech(corpus, table.parent, manifests, by_split, labels)


def _by_recording(table, rows, recordings, given, labelled):
    """{path within the folder: row}, each recording once; names all rows that cannot be used."""
    needed = [key for key in COLUMNS if labelled or key != "emo"]
    utterances, problems, repeated = {}, [], 0
    for row in rows:
        try:
            row = _understood(row, recordings, given, needed)
            first = utterances.setdefault(row["file"], row)
            if differing := _differing(first, row):
                raise PreparationError(
                    f"{row['file']} stands in line {first['line']} with {differing}"
                )
            repeated += first is not row
        except PreparationError as error:
            problems.append(f"line {row['line']}: {error}")
    if problems:
        rest = len(problems) - MAX_NAMED
        more = f"; and {rest} lines more" if rest > 0 else ""
        raise PreparationError(f"{table}, {'; '.join(problems[:MAX_NAMED])}{more}.")
    if repeated:
        logger.warning(f"{table}: {repeated} rows say again what others say, and count once.")
    return utterances


def _understood(row, recordings, given, needed):
    """A row with the path of its recording within the folder, and the split by our name."""
    empty = [COLUMNS[key] for key in needed if not row[key]]
    if empty:
        raise PreparationError(f"{' and '.join(empty)} is empty")
    if row["spk_id"].lower() in UNRATED or EXCEL_ERROR.fullmatch(row["spk_id"]):
        raise PreparationError(
            f"{COLUMNS['spk_id']} is {row['spk_id']!r}, nobody's name: all such rows would count "
            "as one person. Name the recording session in its place"
        )
    split = SPLIT_OF.get(folded(row["split"] or "")) if given else None
    if given and split is None:
        raise PreparationError(f"split is {row['split']!r}: take one of {', '.join(SPLITS)}")
    speaker = unicodedata.normalize("NFC", row["spk_id"])
    return {**row, "file": recordings.find(row["file"]), "spk_id": speaker, "split": split}


def _differing(first, row):
    """What two rows say differently of one recording, in words."""
    keys = [key for key in row if key not in ("line", "file")]
    differing = [key for key in keys if spelling(first.get(key)) != spelling(row[key])]
    return " and ".join(f"another {COLUMNS.get(key, key)}" for key in differing)


def _unite_speakers(corpus, rows):
    """Gives speakers whose names differ in capital letters alone one name: nobody is two people."""
    names = {}
    for row in rows:
        names.setdefault(spelling(row["spk_id"]), Counter())[row["spk_id"]] += 1
    for row in rows:
        row["spk_id"] = names[spelling(row["spk_id"])].most_common(1)[0][0]
    united = [" and ".join(found) for found in names.values() if len(found) > 1]
    if united:
        logger.warning(f"{corpus}: taken for one speaker: {'; '.join(united[:MAX_NAMED])}.")


def _splits_of_the_table(table, rows, manifests):
    """The splits that the table names: all three, or the test alone."""
    named = {row["split"] for row in rows}
    missing = [split for split in SPLITS if split not in named]
    if missing == ["train", "valid"]:
        for split in missing:  # of an earlier state of the table
            Path(manifests[split]).unlink(missing_ok=True)
        return ["test"]
    if missing:
        raise PreparationError(
            f"{table}: no recording with one of the labels is for {' or '.join(missing)}. Training "
            "needs all of train, valid (on which the best checkpoint is chosen) and test; to score "
            "a trained system, test alone is enough."
        )
    return list(SPLITS)


def _splits_by_speaker(rows, fold):
    """Puts a fifth of the speakers into the test and a fifth into valid."""
    speakers = sorted({row["spk_id"] for row in rows})
    splits = cross_validate({"train": speakers, "valid": [], "test": []}, fold)
    split_of = {speaker: split for split, group in splits.items() for speaker in group}
    for row in rows:
        row["split"] = split_of[row["spk_id"]]
    return list(splits)


def _ids(paths):
    """An id for each path; ids become parts of the names of files."""
    used = set()
    for path in paths:
        stem, suffix = os.path.splitext(readable(path))
        stem = stem if suffix.lower() in AUDIO_SUFFIXES else stem + suffix
        key = name = stem.replace("/", "-")
        number = 1
        while key in used:  # a-b.wav beside a/b.wav, or a.flac beside a.wav
            number += 1
            key = f"{name}~{number}"
        used.add(key)
        yield key
