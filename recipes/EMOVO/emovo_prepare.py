"""Prepares EMOVO, acted Italian speech: all for training, or a cross-validation over its speakers.

Costantini, Iaderola, Paoloni and Todisco (2014), "EMOVO Corpus: an Italian Emotional Speech
Database", LREC 2014, https://aclanthology.org/L14-1478/
Download: http://voice.fub.it/activities/corpora/emovo/index.html
"""

import re

from speechbrain_merit.data.few_speakers import few_speakers
from speechbrain_merit.data.listing import check_folder, named_files
from speechbrain_merit.data.preparation import check_labels, prepare_speech
from speechbrain_merit.data.splits import split_by_speaker

SOURCE = (
    "EMOVO can be had at http://voice.fub.it/activities/corpora/emovo/index.html: unpack it and "
    "pass that folder as --data_folder"
)
# By the first letters of the Italian word: rabbia, tristezza, gioia, neutro, disgusto, paura,
# sorpresa.
EMOTIONS = {
    "rab": "angry",
    "tri": "sad",
    "gio": "happy",
    "neu": "neutral",
    "dis": "disgust",
    "pau": "fearful",
    "sor": "surprised",
}
NAME = re.compile(rf"({'|'.join(EMOTIONS)})-([fm][123])-([bdln]\d)")  # the last: which sentence
SPEAKERS = ["f1", "f2", "f3", "m1", "m2", "m3"]
FEW_SPEAKERS = True  # its splits hold the training alone, unless a fold is asked for


def prepare_emovo(
    data_folder,
    save_json_train,
    save_json_valid,
    save_json_test,
    labels,
    merge_labels=None,
    fold=None,
    skip_prep=False,
):
    """Writes the manifests of EMOVO for the emotions asked for; without a fold all trains.

    Arguments
    ---------
    data_folder : str or Path
        The corpus, with a folder for each speaker.
    save_json_train, save_json_valid, save_json_test : str or Path
        The manifests to write: without a fold, the first alone.
    labels : list of str
        Some of angry, sad, happy, neutral, disgust, fearful, surprised;
        the others are left out and counted.
    merge_labels : dict, optional
        ``{label: label that it counts as}``.
    fold : int, optional
        1 to 5: a fold of the cross-validation over speakers.
    skip_prep : bool
        If True, nothing is done.

    Raises
    ------
    FileNotFoundError
        If `data_folder` is not EMOVO.
    PreparationError
        If a label is not one of EMOVO, a split is empty, an utterance is there twice, or more
        than 5 % of a split's files cannot be used.

    Example
    -------
    >>> prepare_emovo("EMOVO", "train.json", "valid.json", "test.json", ["sad", "sleepy"])
    Traceback (most recent call last):
      ...
    speechbrain_merit.errors.PreparationError: labels: EMOVO has no 'sleepy'; it has ...
    """
    if skip_prep:
        return
    check_labels(labels, list(EMOTIONS.values()), "EMOVO", merge_labels)
    root = check_folder(data_folder, SOURCE)
    utterances = {
        name: {
            "wav": path,
            "emo": EMOTIONS[match[1]],
            "spk_id": match[2],
            "gender": "female" if match[2][0] == "f" else "male",
        }
        for name, (path, match) in named_files(
            "EMOVO", [root], NAME, "rab-f1-b1.wav", SOURCE
        ).items()
    }
    splits = few_speakers("EMOVO", SPEAKERS, fold)
    rows = split_by_speaker("EMOVO", utterances, splits, labels, merge_labels)
    manifests = {"train": save_json_train, "valid": save_json_valid, "test": save_json_test}
    prepare_speech("EMOVO", root, manifests, rows, labels)
