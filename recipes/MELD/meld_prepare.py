"""Prepares MELD, scenes of a television series: its own splits, which share speakers.

Poria, Hazarika, Majumder, Naik, Cambria and Mihalcea (2019), "MELD: A Multimodal Multi-Party
Dataset for Emotion Recognition in Conversations", ACL 2019, https://aclanthology.org/P19-1050/
Download: https://affective-meld.github.io (MELD.Raw.tar.gz)
"""

import re
from pathlib import Path

from speechbrain.utils.logger import get_logger

from speechbrain_merit.audio.inspection import find_audio
from speechbrain_merit.data.listing import check_folder, table_rows
from speechbrain_merit.data.preparation import (
    MAX_BAD_SHARE,
    check_labels,
    prepare_speech,
    write_unmatched,
)
from speechbrain_merit.data.splits import WantedLabels
from speechbrain_merit.errors import PreparationError

logger = get_logger(__name__)

SOURCE = (
    "MELD can be had at https://affective-meld.github.io: unpack MELD.Raw and the archives in it, "
    "take the sound out of its films as the recipe's README says, and pass that folder as "
    "--data_folder"
)
EMOTIONS = {
    "anger": "angry",
    "sadness": "sad",
    "joy": "happy",
    "neutral": "neutral",
    "disgust": "disgust",
    "fear": "fearful",
    "surprise": "surprised",
}
#: Folder of the films and table of labels of each split, as published.
PLACES = {
    "train": ("train_splits", "train_sent_emo.csv"),
    "valid": ("dev_splits_complete", "dev_sent_emo.csv"),
    "test": ("output_repeated_splits_test", "test_sent_emo.csv"),
}
#: 132 films of the test were cut anew, under a longer name; their namesakes do not fit the table.
AGAIN = "final_videos_test"
NAME = re.compile(rf"(?:{AGAIN})?(dia\d+_utt\d+)")
#: Minutes of other scenes under a line of text: https://github.com/declare-lab/MELD/issues/20
WRONG = {"output_repeated_splits_test": {"dia38_utt4", "dia220_utt0"}}
FEW_MISSING = 20  # of a split; as published, a film or two are broken


def prepare_meld(
    data_folder,
    save_json_train,
    save_json_valid,
    save_json_test,
    labels,
    merge_labels=None,
    skip_prep=False,
):
    """Writes the manifests of MELD, by its own splits, for the emotions asked for.

    Arguments
    ---------
    data_folder : str or Path
        Holds the folders and tables of `PLACES`, somewhere below.
    save_json_train, save_json_valid, save_json_test : str or Path
        The manifests to write; most speakers are in all.
    labels : list of str
        Some of angry, sad, happy, neutral, disgust, fearful, surprised;
        the others are left out and counted.
    merge_labels : dict, optional
        ``{label: label that it counts as}``.
    skip_prep : bool
        If True, nothing is done.

    Raises
    ------
    FileNotFoundError
        If `data_folder` is not MELD, or a table or the sound of a split is missing.
    PreparationError
        If a label is not one of MELD, a split is empty, an utterance is there twice, or more
        than 5 % of a split's files cannot be used.

    Example
    -------
    >>> prepare_meld("MELD", "train.json", "valid.json", "test.json", ["sad", "sleepy"])
    Traceback (most recent call last):
      ...
    speechbrain_merit.errors.PreparationError: labels: MELD has no 'sleepy'; it has ...
    """
    if skip_prep:
        return
    check_labels(labels, list(EMOTIONS.values()), "MELD", merge_labels)
    root = check_folder(data_folder, SOURCE)
    wanted, rows = WantedLabels(labels, merge_labels), {}
    listed, recordings = {}, {}
    for split, (folder, table) in PLACES.items():
        path = find(root, table)
        heard = sound(root, folder)
        rows[split] = {}
        for row in table_rows(path, ["Speaker", "Emotion", "Dialogue_ID", "Utterance_ID"]):
            name = f"dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}"
            listed[f"{split}_{name}"] = row
            emotion = wanted(EMOTIONS.get(row["Emotion"].lower(), row["Emotion"]))
            if name in heard and emotion is not None:
                rows[split][f"{split}_{name}"] = {
                    **{"wav": heard[name], "emo": emotion, "spk_id": row["Speaker"]}
                }
        recordings |= {f"{split}_{name}": path for name, path in heard.items()}
    wanted.report("MELD")
    unmatched = Path(save_json_train).parent
    unmatched = write_unmatched(unmatched, "MELD", "*_sent_emo.csv", listed, recordings)
    refuse_half(listed, recordings, unmatched)
    manifests = {"train": save_json_train, "valid": save_json_valid, "test": save_json_test}
    prepare_speech("MELD", root, manifests, rows, labels)


def find(root, name):
    """The file or folder of a name somewhere below a folder; the first one that is found."""
    found = min(root.rglob(name), key=lambda path: len(path.parts), default=None)
    if found is None:
        raise FileNotFoundError(f"data_folder: {root} has no {name}. {SOURCE}.")
    return found


def sound(root, folder):
    """``{dia0_utt0: Path}`` of the recordings of a split; what was cut again is taken so."""
    place = find(root, folder)
    paths = sorted(find_audio(place), key=lambda path: path.stem.startswith(AGAIN))
    names = {path: match[1] for path in paths if (match := NAME.fullmatch(path.stem))}
    found = {name: path for path, name in names.items()}
    for name in sorted(WRONG.get(folder, set()) & {*found}):
        if not found[name].stem.startswith(AGAIN):
            logger.warning(f"MELD: left out, as it holds other scenes: {found.pop(name)}.")
    if not found:
        raise FileNotFoundError(
            f"data_folder: {place} holds no sound, such as dia0_utt0.wav. {SOURCE}."
        )
    return found


def refuse_half(listed, recordings, unmatched):
    """Raises PreparationError where a split lacks much of its sound, as of a loop cut short."""
    for split in PLACES:
        names = [key for key in listed if key.startswith(f"{split}_")]
        missing = sum(key not in recordings for key in names)
        if missing > max(FEW_MISSING, MAX_BAD_SHARE * len(names)):
            raise PreparationError(
                f"MELD: {missing} of {len(names)} utterances of {split!r} have no sound: "
                f"{unmatched} lists them. Take it out of the other films as well, then rerun."
            )
