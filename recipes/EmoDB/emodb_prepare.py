"""Prepares EmoDB, the Berlin Database of Emotional Speech: manifests for train, valid and test.

Burkhardt, Paeschke, Rolfes, Sendlmeier and Weiss (2005), "A Database of German Emotional Speech",
Interspeech 2005, https://doi.org/10.21437/Interspeech.2005-446
Download: http://emodb.bilderbar.info/download/download.zip
"""

import re

from speechbrain_merit.data.listing import check_folder, named_files
from speechbrain_merit.data.preparation import check_labels, prepare_speech
from speechbrain_merit.data.splits import cross_validate, split_by_speaker

SOURCE = (
    "EmoDB can be had at http://emodb.bilderbar.info/download/download.zip: unpack it and pass "
    "that folder as --data_folder"
)
# By the first letter of the German word: Wut, Trauer, Freude, neutral, Langeweile, Ekel, Angst.
EMOTIONS = {
    "W": "angry",
    "T": "sad",
    "F": "happy",
    "N": "neutral",
    "L": "bored",
    "E": "disgust",
    "A": "fearful",
}
NAME = re.compile(rf"(\d\d)([ab]\d\d)([{''.join(EMOTIONS)}])([a-z]?)")  # the last: which version
MEN = ["03", "10", "11", "12", "15"]
WOMEN = ["08", "09", "13", "14", "16"]
FOLDS = list(zip(MEN, WOMEN))  # one of each in every part
SPLITS = cross_validate({}, fold=5, folds=FOLDS)


def prepare_emodb(
    data_folder,
    save_json_train,
    save_json_valid,
    save_json_test,
    labels,
    merge_labels=None,
    fold=None,
    skip_prep=False,
):
    """Writes the manifests of EmoDB, speaker-independent, for the emotions asked for.

    Arguments
    ---------
    data_folder : str or Path
        The corpus, or its folder ``wav``.
    save_json_train, save_json_valid, save_json_test : str or Path
        The manifests to write; six, two and two of the speakers, half of them women.
    labels : list of str
        Some of angry, sad, happy, neutral, bored, disgust, fearful; the others are left out and
        counted.
    merge_labels : dict, optional
        ``{label: label that it counts as}``.
    fold : int, optional
        1 to 5: a fold of the cross-validation over speakers; without one, the fifth.
    skip_prep : bool
        If True, nothing is done.

    Raises
    ------
    FileNotFoundError
        If `data_folder` is not EmoDB.
    PreparationError
        If a label is not one of EmoDB, a split is empty, an utterance is there twice, or more than
        5 % of a split's files cannot be used.

    Example
    -------
    >>> prepare_emodb("EmoDB", "train.json", "valid.json", "test.json", ["sad", "calm"])
    Traceback (most recent call last):
      ...
    speechbrain_merit.errors.PreparationError: labels: EmoDB has no 'calm'; it has angry, \
sad, happy, neutral, bored, disgust, fearful.
    """
    if skip_prep:
        return
    check_labels(labels, list(EMOTIONS.values()), "EmoDB", merge_labels)
    root = check_folder(data_folder, SOURCE)
    audio = root / "wav" if (root / "wav").is_dir() else root
    utterances = {
        name: {
            "wav": path,
            "emo": EMOTIONS[match[3]],
            "spk_id": match[1],
            "gender": "male" if match[1] in MEN else "female",
        }
        for name, (path, match) in named_files(
            "EmoDB", [audio], NAME, "03a01Fa.wav", SOURCE
        ).items()
    }
    splits = cross_validate(SPLITS, fold, FOLDS)
    rows = split_by_speaker("EmoDB", utterances, splits, labels, merge_labels)
    manifests = {"train": save_json_train, "valid": save_json_valid, "test": save_json_test}
    prepare_speech("EmoDB", root, manifests, rows, labels)
