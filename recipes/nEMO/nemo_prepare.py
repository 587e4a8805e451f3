"""Prepares nEMO: manifests for train, valid and test.

Christop (2024), "nEMO: Dataset of Emotional Speech in Polish", LREC-COLING 2024,
https://arxiv.org/abs/2404.06292
Download: https://github.com/amu-cai/nEMO (the folder samples/)
"""

import re

from speechbrain_merit.data.listing import check_folder, named_files
from speechbrain_merit.data.preparation import check_labels, prepare_speech
from speechbrain_merit.data.splits import cross_validate, split_by_speaker

SOURCE = (
    "nEMO can be had at https://github.com/amu-cai/nEMO: clone it and pass that folder as "
    "--data_folder"
)
EMOTIONS = {
    "anger": "angry",
    "sadness": "sad",
    "happiness": "happy",
    "neutral": "neutral",
    "fear": "fearful",
    "surprised": "surprised",
}
NAME = re.compile(rf"([A-Z]{{2}}\d)_({'|'.join(EMOTIONS)})_\d+")  # speaker, emotion, sentence
SPLITS = {
    "train": ["EB0", "IC0", "KD0", "KS0", "MK0", "TP0"],
    "valid": ["SM0"],
    "test": ["MP0", "WR0"],
}


def prepare_nemo(
    data_folder,
    save_json_train,
    save_json_valid,
    save_json_test,
    labels,
    merge_labels=None,
    fold=None,
    skip_prep=False,
):
    """Writes the manifests of nEMO, speaker-independent, for the emotions asked for.

    Reads the corpus as published (WAV, 24 kHz) and resampled or FLAC copies alike, as long as the
    file names are the originals'.

    Arguments
    ---------
    data_folder : str or Path
        The corpus, or its folder ``samples``.
    save_json_train, save_json_valid, save_json_test : str or Path
        The manifests to write; six, one and two of the speakers.
    labels : list of str
        Some of angry, sad, happy, neutral, fearful, surprised; the others are left out and counted.
    merge_labels : dict, optional
        ``{label: label that it counts as}``.
    fold : int, optional
        1 to 5: a fold of the cross-validation over speakers, in place of the fixed splits.
    skip_prep : bool
        If True, nothing is done.

    Raises
    ------
    FileNotFoundError
        If `data_folder` is not nEMO.
    PreparationError
        If a label is not one of nEMO, a split is empty, an utterance is there twice, or more than
        5 % of a split's files cannot be used.

    Example
    -------
    >>> prepare_nemo("nEMO", "train.json", "valid.json", "test.json", ["sad", "bored"])
    Traceback (most recent call last):
      ...
    speechbrain_merit.errors.PreparationError: labels: nEMO has no 'bored'; it has angry, \
sad, happy, neutral, fearful, surprised.
    """
    if skip_prep:
        return
    check_labels(labels, list(EMOTIONS.values()), "nEMO", merge_labels)
    root = check_folder(data_folder, SOURCE)
    samples = root / "samples" if (root / "samples").is_dir() else root
    utterances = {
        name: {"wav": path, "emo": EMOTIONS[match[2]], "spk_id": match[1]}
        for name, (path, match) in named_files(
            "nEMO", [samples], NAME, "SM0_anger_1.wav", SOURCE
        ).items()
    }
    splits = cross_validate(SPLITS, fold)
    rows = split_by_speaker("nEMO", utterances, splits, labels, merge_labels)
    manifests = {"train": save_json_train, "valid": save_json_valid, "test": save_json_test}
    prepare_speech("nEMO", root, manifests, rows, labels)
