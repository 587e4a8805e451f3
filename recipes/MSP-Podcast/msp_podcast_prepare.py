"""Prepares MSP-Podcast: manifests for train, valid and test from the folders of any release.

Lotfian and Busso (2019), "Building Naturalistic Emotionally Balanced Speech Corpus by Retrieving
Emotional Speech from Existing Podcast Recordings", IEEE Transactions on Affective Computing 10(4),
https://doi.org/10.1109/TAFFC.2017.2736999
By licence from the lab: https://lab-msp.com/MSP/MSP-Podcast.html
"""

import os
import re
import sys
from functools import partial
from pathlib import Path

from speechbrain.utils.logger import get_logger

from speechbrain_merit.audio.headers import inspect_headers
from speechbrain_merit.audio.inspection import find_audio
from speechbrain_merit.data.listing import check_folder
from speechbrain_merit.data.preparation import check_labels, prepare_speech, write_unmatched
from speechbrain_merit.data.splits import WantedLabels
from speechbrain_merit.errors import PreparationError

# Recipes are loaded by path, so that the file beside this one is not found by itself.
sys.path.insert(0, str(Path(__file__).resolve().parent))
from msp_podcast_labels import EMOTIONS, add_ratings, read_consensus

logger = get_logger(__name__)

SOURCE = (
    "MSP-Podcast is had by licence from https://lab-msp.com/MSP/MSP-Podcast.html: pass the folder "
    "of a release, with Audios/ and Labels/ in it, as --data_folder"
)
RATE = 16000  # Hz, as published

LABELS_FOLDER = re.compile(r"labels?", re.IGNORECASE)
AUDIO_FOLDER = re.compile(r"audios?", re.IGNORECASE)
CONSENSUS = re.compile(r"labels_con[sc]ensus\.csv", re.IGNORECASE)  # with a c up to release 1.9
DETAILED = re.compile(r"labels_detailed\.csv", re.IGNORECASE)
PARTITIONS = re.compile(r"partitions?\.txt", re.IGNORECASE)


def prepare_msp_podcast(
    data_folder,
    save_json_train,
    save_json_valid,
    save_json_test,
    labels,
    merge_labels=None,
    test_split="Test1",
    skip_prep=False,
):
    """Writes the manifests of MSP-Podcast, in the lab's own splits, for the emotions asked for.

    Utterances with another label, with none, or on which raters did not agree, are left out and
    counted, never taken for one of `labels`. Beside emotion, speaker and gender, rows hold arousal,
    valence and dominance, scaled from 1 … 7 to 0 … 1, and from ``labels_detailed.csv``, where it is
    present, the number of raters and the share of them who chose the consensus emotion. Audio is
    checked by its headers alone; what was read is noted in ``inspected.jsonl`` beside the
    manifests, so that an interrupted preparation goes on where it was.

    Arguments
    ---------
    data_folder : str or Path
        A release: ``Audios/`` (flat or with folders in it), ``Labels/`` and, where the labels do
        not name the splits, ``Partitions.txt``.
    save_json_train, save_json_valid, save_json_test : str or Path
        The manifests to write: Train, Development (or Validation) and `test_split`. The other
        labelled test set, as far as its audio is there, goes beside them (``test2.json``).
    labels : list of str
        Some of angry, sad, happy, surprised, fearful, disgust, contempt, neutral. With none named,
        for attributes alone, every utterance that was rated is taken.
    merge_labels : dict, optional
        ``{label: label that it counts as}``; ``other`` and ``no agreement`` may be named too.
    test_split : str
        Test1 or Test2.
    skip_prep : bool
        If True, nothing is done.

    Raises
    ------
    FileNotFoundError
        If `data_folder` is no release of MSP-Podcast.
    PreparationError
        If a row of a label file is wrong, an utterance is there twice, `test_split` has no labels,
        a label is not one of MSP-Podcast, a split is empty, or more than 5 % of it is missing or
        cannot be used.

    Example
    -------
    >>> prepare_msp_podcast("MSP", "train.json", "valid.json", "test.json", ["sad", "bored"])
    Traceback (most recent call last):
      ...
    speechbrain_merit.errors.PreparationError: labels: MSP-Podcast has no 'bored'; it has \
angry, sad, happy, surprised, fearful, disgust, contempt, neutral.
    """
    if skip_prep:
        return
    check_labels(labels, list(EMOTIONS), "MSP-Podcast", merge_labels)
    root = check_folder(data_folder, SOURCE)
    folders = [*_folders(root, LABELS_FOLDER), root]
    table = _file(folders, CONSENSUS)
    if table is None:
        raise FileNotFoundError(
            f"data_folder: {root} has no Labels/labels_consensus.csv (or labels_concensus.csv, as "
            f"up to release 1.9). {SOURCE}."
        )
    utterances = read_consensus(table, _file([root, *folders], PARTITIONS))
    recordings = _find_recordings((_folders(root, AUDIO_FOLDER) or [root])[0])
    save = Path(save_json_train).parent
    write_unmatched(save, "MSP-Podcast", table, utterances, recordings)

    chosen = _choose(utterances, WantedLabels(labels, merge_labels))
    detailed = _file(folders, DETAILED)
    if detailed is not None:
        add_ratings(detailed, {key: utterances[key] for key in chosen})
    rows = {"train": {}, "valid": {}, "Test1": {}, "Test2": {}, "Test3": {}}
    for key, label in chosen.items():
        row = {**utterances[key], "emo": label}
        # Where a file is missing, its published place: the check of the audio then names it.
        wav = recordings.get(key, root / "Audios" / f"{key}.wav")
        rows[row.pop("split")][key] = {"wav": wav, **row}
    manifests = {"train": save_json_train, "valid": save_json_valid, "test": save_json_test}
    rows = _name_test_set(rows, test_split, recordings)
    for split in list(rows)[3:]:
        manifests[split] = save / f"{split.lower()}.json"
    inspect = partial(inspect_headers, journal=save / "inspected.jsonl", min_rate=RATE)
    prepare_speech("MSP-Podcast", root, manifests, rows, labels, inspect)


def _folders(root, name):
    """Folders of that name in the release, and in those: archives are unpacked into their name."""
    with os.scandir(root) as entries:
        found = sorted(Path(e) for e in entries if name.fullmatch(e.name) and e.is_dir())
    return found + [inner for folder in found for inner in _folders(folder, name)]


def _file(folders, name):
    """The one file of that name, or None."""
    for folder in folders:
        found = [p for p in sorted(folder.iterdir()) if name.fullmatch(p.name) and p.is_file()]
        if len(found) > 1:
            raise PreparationError(f"{found[0]} and {found[1]}: keep one of them.")
        if found:
            return found[0]
    return None


def _find_recordings(folder):
    """{id: path} of all that lies in the folder of the audio."""
    found = {}
    for path in find_audio(folder):
        if path.stem in found:
            raise PreparationError(
                f"MSP-Podcast: {found[path.stem]} and {path} are the same utterance: keep one."
            )
        found[path.stem] = path
    if not found:
        raise FileNotFoundError(f"data_folder: {folder} holds no recordings. {SOURCE}.")
    return found


def _choose(utterances, wanted):
    """{id: label} of the utterances in a split with a label that is wanted; others are counted."""
    chosen, unrated, anonymous = {}, 0, 0
    for key, row in utterances.items():
        label = wanted(row["emo"])
        if not wanted.labels and row["emo"] == "no label":
            unrated += 1
        elif label is not None and row["split"] is not None:
            chosen[key] = label
            anonymous += row["spk_id"].startswith("unknown_")
    wanted.report("MSP-Podcast")
    if unrated:
        logger.info(f"MSP-Podcast: left out, not rated: {unrated}")
    if anonymous:
        logger.info(
            f"MSP-Podcast: {anonymous} utterances are of unknown speakers; whether these speak in "
            "another split too cannot be checked."
        )
    return chosen


def _name_test_set(rows, test_split, recordings):
    """Puts the test set that was chosen in third place, any other one after it."""
    tests = {split: rows[split] for split in list(rows)[2:] if rows[split]}
    if test_split not in tests:
        raise PreparationError(
            f"test_split: {test_split} has no labelled utterances here; there are "
            f"{', '.join(tests) or 'none'}."
        )
    named = {"train": rows["train"], "valid": rows["valid"], "test": tests.pop(test_split)}
    for split, utterances in tests.items():
        present = {key: row for key, row in utterances.items() if key in recordings}
        if present:
            named[split] = present
    return named
