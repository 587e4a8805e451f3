"""Prepares ESD, the Emotional Speech Database: its own splits, which share speakers, or folds.

Zhou, Sisman, Liu and Li (2022), "Emotional voice conversion: Theory, databases and ESD", Speech
Communication 137, https://doi.org/10.1016/j.specom.2021.11.006
Download: https://github.com/HLTSingapore/Emotional-Speech-Data
"""

import re

from speechbrain_merit.data.listing import check_folder, named_files
from speechbrain_merit.data.preparation import check_labels, prepare_speech
from speechbrain_merit.data.splits import WantedLabels, cross_validate, split_by_speaker

SOURCE = (
    "ESD can be had at https://github.com/HLTSingapore/Emotional-Speech-Data: unpack it and pass "
    "that folder as --data_folder"
)
EACH = 350  # parallel sentences of a speaker in an emotion, numbered through in this order
EMOTIONS = ["neutral", "angry", "happy", "sad", "surprised"]
# Of each 350, as published: the first 20 for validation, the next 30 for the test.
VALID, TEST = 20, 50
NAME = re.compile(r"(00(?:0[1-9]|1\d|20))_(\d{6})")
SPEAKERS = [f"{number:04d}" for number in range(1, 21)]  # ten of Mandarin, then ten of English
FOLDS = [SPEAKERS[part:10:5] + SPEAKERS[10 + part :: 5] for part in range(5)]  # two of each


def prepare_esd(
    data_folder,
    save_json_train,
    save_json_valid,
    save_json_test,
    labels,
    merge_labels=None,
    fold=None,
    skip_prep=False,
):
    """Writes the manifests of ESD, by its own splits or by speakers, for the emotions asked for.

    Arguments
    ---------
    data_folder : str or Path
        The corpus, with a folder for each speaker.
    save_json_train, save_json_valid, save_json_test : str or Path
        The manifests to write; without a fold, every speaker is in all.
    labels : list of str
        Some of angry, sad, happy, neutral, surprised;
        the others are left out and counted.
    merge_labels : dict, optional
        ``{label: label that it counts as}``.
    fold : int, optional
        1 to 5: a fold of the cross-validation over speakers, in place of the splits.
    skip_prep : bool
        If True, nothing is done.

    Raises
    ------
    FileNotFoundError
        If `data_folder` is not ESD.
    PreparationError
        If a label is not one of ESD, a split is empty, an utterance is there twice, or more
        than 5 % of a split's files cannot be used.

    Example
    -------
    >>> prepare_esd("ESD", "train.json", "valid.json", "test.json", ["sad", "sleepy"])
    Traceback (most recent call last):
      ...
    speechbrain_merit.errors.PreparationError: labels: ESD has no 'sleepy'; it has ...
    """
    if skip_prep:
        return
    check_labels(labels, EMOTIONS, "ESD", merge_labels)
    root = check_folder(data_folder, SOURCE)
    utterances, split_of = {}, {}
    for name, (path, match) in named_files("ESD", [root], NAME, "0011_000351.wav", SOURCE).items():
        emotion, split_of[name] = by_number(int(match[2]))
        language = "Mandarin" if match[1] <= "0010" else "English"
        utterances[name] = {"wav": path, "emo": emotion, "spk_id": match[1], "language": language}
    if fold is None:
        rows = by_published_split(utterances, split_of, labels, merge_labels)
    else:
        splits = cross_validate({}, fold, FOLDS)
        rows = split_by_speaker("ESD", utterances, splits, labels, merge_labels)
    manifests = {"train": save_json_train, "valid": save_json_valid, "test": save_json_test}
    prepare_speech("ESD", root, manifests, rows, labels)


def by_number(number):
    """Emotion and split of an utterance by its number in the corpus.

    Example
    -------
    >>> by_number(1), by_number(371), by_number(1750)
    (('neutral', 'valid'), ('angry', 'test'), ('surprised', 'train'))
    """
    block, place = divmod(number - 1, EACH)
    split = "valid" if place < VALID else "test" if place < TEST else "train"
    return EMOTIONS[block] if 0 <= block < len(EMOTIONS) else "unknown", split


def by_published_split(utterances, split_of, labels, merge_labels):
    """``{split: {id: row}}``; that speakers are in several is said when they are prepared."""
    wanted, rows = WantedLabels(labels, merge_labels), {"train": {}, "valid": {}, "test": {}}
    for name, row in utterances.items():
        emotion = wanted(row["emo"])
        if emotion is not None:
            rows[split_of[name]][name] = {**row, "emo": emotion}
    wanted.report("ESD")
    return rows
