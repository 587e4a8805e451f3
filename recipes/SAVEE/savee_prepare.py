"""Prepares SAVEE: four speakers, all for training, or one of them for the test.

Haq and Jackson (2009), "Speaker-dependent audio-visual emotion recognition", AVSP 2009
Download, after registration: http://kahlan.eps.surrey.ac.uk/savee/
"""

import re

from speechbrain.utils.logger import get_logger

from speechbrain_merit.audio.inspection import find_audio
from speechbrain_merit.audio.names import some
from speechbrain_merit.data.few_speakers import few_speakers
from speechbrain_merit.data.listing import check_folder
from speechbrain_merit.data.preparation import check_labels, prepare_speech
from speechbrain_merit.data.splits import split_by_speaker
from speechbrain_merit.errors import PreparationError

logger = get_logger(__name__)

SOURCE = (
    "SAVEE can be had at http://kahlan.eps.surrey.ac.uk/savee/ after registration: pass AudioData "
    "as --data_folder"
)
EMOTIONS = {
    "a": "angry",
    "sa": "sad",
    "h": "happy",
    "n": "neutral",
    "d": "disgust",
    "f": "fearful",
    "su": "surprised",
}
SPEAKERS = ["DC", "JE", "JK", "KL"]
# As published, a01.wav in a folder for each speaker; copies are often named DC_a01.wav.
NAME = re.compile(rf"(?:({'|'.join(SPEAKERS)})_?)?({'|'.join(EMOTIONS)})(\d\d)")
FEW_SPEAKERS = True  # its splits hold the training alone, unless a fold is asked for


def prepare_savee(
    data_folder,
    save_json_train,
    save_json_valid,
    save_json_test,
    labels,
    merge_labels=None,
    fold=None,
    skip_prep=False,
):
    """Writes the manifests of SAVEE for the emotions asked for; without a fold all trains.

    Arguments
    ---------
    data_folder : str or Path
        ``AudioData``, with a folder for each speaker.
    save_json_train, save_json_valid, save_json_test : str or Path
        The manifests to write: without a fold, the first alone.
    labels : list of str
        Some of angry, sad, happy, neutral, disgust, fearful, surprised;
        the others are left out and counted.
    merge_labels : dict, optional
        ``{label: label that it counts as}``.
    fold : int, optional
        1 to 4: the speaker who is tested on.
    skip_prep : bool
        If True, nothing is done.

    Raises
    ------
    FileNotFoundError
        If `data_folder` is not SAVEE.
    PreparationError
        If a label is not one of SAVEE, a split is empty, an utterance is there twice, or more
        than 5 % of a split's files cannot be used.

    Example
    -------
    >>> prepare_savee("SAVEE", "train.json", "valid.json", "test.json", ["sad", "sleepy"])
    Traceback (most recent call last):
      ...
    speechbrain_merit.errors.PreparationError: labels: SAVEE has no 'sleepy'; it has ...
    """
    if skip_prep:
        return
    check_labels(labels, list(EMOTIONS.values()), "SAVEE", merge_labels)
    root = check_folder(data_folder, SOURCE)
    utterances = find_utterances(root)
    splits = few_speakers("SAVEE", SPEAKERS, fold)
    rows = split_by_speaker("SAVEE", utterances, splits, labels, merge_labels)
    manifests = {"train": save_json_train, "valid": save_json_valid, "test": save_json_test}
    prepare_speech("SAVEE", root, manifests, rows, labels)


def find_utterances(root):
    """``{id: row}`` of the recordings below a folder, which four speakers name alike."""
    found, others = {}, []
    for path in find_audio(root):
        match = NAME.fullmatch(path.stem)
        speaker = match and (match[1] or path.parent.name.upper())
        if not match or speaker not in SPEAKERS:
            others.append(path.relative_to(root).as_posix())
            continue
        name = f"{speaker}_{match[2]}{match[3]}"
        if name in found:
            raise PreparationError(
                f"SAVEE: {found[name]['wav']} and {path} are the same utterance: keep one of them."
            )
        found[name] = {
            **{"wav": path, "emo": EMOTIONS[match[2]], "spk_id": speaker, "gender": "male"}
        }
    if not found:
        raise FileNotFoundError(
            f"data_folder: no recording in {root} is named like those of SAVEE (DC/a01.wav). "
            f"{SOURCE}."
        )
    if others:
        logger.warning(
            f"SAVEE: {len(others)} recordings passed over, not named like DC/a01.wav: "
            f"{some(others)}."
        )
    return found
