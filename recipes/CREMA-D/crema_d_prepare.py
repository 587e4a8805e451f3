"""Prepares CREMA-D: manifests for train, valid and test.

Cao, Cooper, Keutmann, Gur, Nenkova and Verma (2014), "CREMA-D: Crowd-sourced Emotional Multimodal
Actors Dataset", IEEE Transactions on Affective Computing 5(4),
https://doi.org/10.1109/TAFFC.2014.2336244
Download: https://github.com/CheyneyComputerScience/CREMA-D (the folder AudioWAV/, by Git LFS)
"""

import re

from speechbrain_merit.data.listing import check_folder, named_files, read_table
from speechbrain_merit.data.preparation import check_labels, prepare_speech
from speechbrain_merit.data.splits import cross_validate, split_by_speaker

SOURCE = (
    "CREMA-D can be had at https://github.com/CheyneyComputerScience/CREMA-D: clone it with Git "
    "LFS and pass that folder as --data_folder"
)
EMOTIONS = {
    "ANG": "angry",
    "SAD": "sad",
    "HAP": "happy",
    "NEU": "neutral",
    "FEA": "fearful",
    "DIS": "disgust",
}
# Actor, sentence, emotion, intensity; one file is published with a single X.
NAME = re.compile(rf"(1\d{{3}})_[A-Z]{{3}}_({'|'.join(EMOTIONS)})_(?:LO|MD|HI|XX?)")
# A minute that holds its sentence in every emotion.
UNUSABLE = ["1064_IEO_DIS_MD"]
ACTORS = [str(actor) for actor in range(1001, 1092)]
SPLITS = {"train": ACTORS[:64], "valid": ACTORS[64:77], "test": ACTORS[77:]}
DEMOGRAPHICS = "VideoDemographics.csv"


def prepare_crema_d(
    data_folder,
    save_json_train,
    save_json_valid,
    save_json_test,
    labels,
    merge_labels=None,
    fold=None,
    skip_prep=False,
):
    """Writes the manifests of CREMA-D, speaker-independent, for the emotions asked for.

    The label is the emotion that the actor was asked for, as the file name has it.

    Arguments
    ---------
    data_folder : str or Path
        The corpus, or its folder ``AudioWAV``.
    save_json_train, save_json_valid, save_json_test : str or Path
        The manifests to write: actors 1001-1064, 1065-1077 and 1078-1091.
    labels : list of str
        Some of angry, sad, happy, neutral, fearful, disgust; the others are left out and counted.
    merge_labels : dict, optional
        ``{label: label that it counts as}``.
    fold : int, optional
        1 to 5: a fold of the cross-validation over actors, in place of the fixed splits.
    skip_prep : bool
        If True, nothing is done.

    Raises
    ------
    FileNotFoundError
        If `data_folder` is not CREMA-D.
    PreparationError
        If a label is not one of CREMA-D, a split is empty, an utterance is there twice, or more
        than 5 % of a split's files cannot be used.

    Example
    -------
    >>> prepare_crema_d("CREMA-D", "train.json", "valid.json", "test.json", ["sad", "bored"])
    Traceback (most recent call last):
      ...
    speechbrain_merit.errors.PreparationError: labels: CREMA-D has no 'bored'; it has \
angry, sad, happy, neutral, fearful, disgust.
    """
    if skip_prep:
        return
    check_labels(labels, list(EMOTIONS.values()), "CREMA-D", merge_labels)
    root = check_folder(data_folder, SOURCE)
    audio = root / "AudioWAV" if (root / "AudioWAV").is_dir() else root
    found = named_files("CREMA-D", [audio], NAME, "1001_DFA_ANG_XX.wav", SOURCE)
    genders = _genders(root)
    utterances = {
        name: {
            "wav": path,
            "emo": EMOTIONS[match[2]],
            "spk_id": match[1],
            "gender": genders.get(match[1], "unknown"),
        }
        for name, (path, match) in found.items()
        if name not in UNUSABLE
    }
    splits = cross_validate(SPLITS, fold)
    rows = split_by_speaker("CREMA-D", utterances, splits, labels, merge_labels)
    manifests = {"train": save_json_train, "valid": save_json_valid, "test": save_json_test}
    prepare_speech("CREMA-D", root, manifests, rows, labels)


def _genders(root):
    """{actor: gender} from the table in the corpus or, if AudioWAV was passed, beside it."""
    for folder in (root, root.parent):
        if (folder / DEMOGRAPHICS).is_file():
            table = read_table(folder / DEMOGRAPHICS, ["ActorID", "Sex"])
            return {row["ActorID"]: row["Sex"].lower() for row in table}
    return {}
