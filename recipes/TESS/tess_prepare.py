"""Prepares TESS, the Toronto emotional speech set: two speakers, for training alone.

Pichora-Fuller and Dupuis (2020), "Toronto emotional speech set (TESS)", Borealis,
https://doi.org/10.5683/SP2/E8H2MF
Download: https://tspace.library.utoronto.ca/handle/1807/24487
"""

import re

from speechbrain_merit.data.few_speakers import few_speakers
from speechbrain_merit.data.listing import check_folder, named_files
from speechbrain_merit.data.preparation import check_labels, prepare_speech
from speechbrain_merit.data.splits import split_by_speaker

SOURCE = (
    "TESS can be had at https://tspace.library.utoronto.ca/handle/1807/24487: unpack it and pass "
    "that folder as --data_folder"
)
EMOTIONS = {
    "angry": "angry",
    "sad": "sad",
    "happy": "happy",
    "neutral": "neutral",
    "disgust": "disgust",
    "fear": "fearful",
    "ps": "surprised",  # pleasantly
}
# OA for OAF stands in one name as published.
NAME = re.compile(rf"(OAF?|YAF)_([\w'-]+)_({'|'.join(EMOTIONS)})")
SPEAKERS = ["OAF", "YAF"]  # the older actress and the younger one
FEW_SPEAKERS = True  # its splits hold the training alone


def prepare_tess(
    data_folder,
    save_json_train,
    save_json_valid,
    save_json_test,
    labels,
    merge_labels=None,
    fold=None,
    skip_prep=False,
):
    """Writes the manifests of TESS, all of it for training, for the emotions asked for.

    Arguments
    ---------
    data_folder : str or Path
        The corpus.
    save_json_train, save_json_valid, save_json_test : str or Path
        The manifests to write: the first alone.
    labels : list of str
        Some of angry, sad, happy, neutral, disgust, fearful, surprised;
        the others are left out and counted.
    merge_labels : dict, optional
        ``{label: label that it counts as}``.
    fold : int, optional
        Is refused: of two speakers, none would be left to train on.
    skip_prep : bool
        If True, nothing is done.

    Raises
    ------
    FileNotFoundError
        If `data_folder` is not TESS.
    PreparationError
        If a label is not one of TESS, a split is empty, an utterance is there twice, or more
        than 5 % of a split's files cannot be used.

    Example
    -------
    >>> prepare_tess("TESS", "train.json", "valid.json", "test.json", ["sad", "sleepy"])
    Traceback (most recent call last):
      ...
    speechbrain_merit.errors.PreparationError: labels: TESS has no 'sleepy'; it has ...
    """
    if skip_prep:
        return
    check_labels(labels, list(EMOTIONS.values()), "TESS", merge_labels)
    root = check_folder(data_folder, SOURCE)
    utterances = {
        name: {
            "wav": path,
            "emo": EMOTIONS[match[3]],
            "spk_id": "YAF" if match[1] == "YAF" else "OAF",
            "gender": "female",
        }
        for name, (path, match) in named_files(
            "TESS", [root], NAME, "OAF_back_angry.wav", SOURCE
        ).items()
    }
    splits = few_speakers("TESS", SPEAKERS, fold)
    rows = split_by_speaker("TESS", utterances, splits, labels, merge_labels)
    manifests = {"train": save_json_train, "valid": save_json_valid, "test": save_json_test}
    prepare_speech("TESS", root, manifests, rows, labels)
