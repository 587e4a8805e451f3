"""Prepares the emotional part of EmotionTTS, acted Korean speech: train, valid and test.

KAIST and Selvas AI (2020), "EmotionTTS open DB", https://github.com/emotiontts/emotiontts_open_db
"""

import re

from speechbrain_merit.data.listing import check_folder, named_files
from speechbrain_merit.data.preparation import check_labels, prepare_speech
from speechbrain_merit.data.splits import cross_validate, split_by_speaker

SOURCE = (
    "EmotionTTS can be had at https://github.com/emotiontts/emotiontts_open_db (a twentieth of it; "
    "the whole on request): pass Dataset/SpeechCorpus/Emotional as --data_folder"
)
# By the number of the utterance, in hundreds, as its README lists them.
EMOTIONS = ["neutral", "happy", "angry", "sad"]
NAME = re.compile(r"((?:em|ne)[a-o])(00[0-4]\d\d)")
# Five speakers of sentences of any content (em…), ten of emotional ones (ne…). Whether those of
# one last letter are one person is not said: a and b are on one side.
FOLDS = [(f"em{a}", f"ne{b}", f"ne{c}") for a, b, c in zip("abfgh", "abcde", "klmno")]
SPLITS = cross_validate({}, fold=5, folds=FOLDS)


def prepare_emotiontts(
    data_folder,
    save_json_train,
    save_json_valid,
    save_json_test,
    labels,
    merge_labels=None,
    fold=None,
    skip_prep=False,
):
    """Writes the manifests of EmotionTTS, speaker-independent, for the emotions asked for.

    Arguments
    ---------
    data_folder : str or Path
        ``Dataset/SpeechCorpus/Emotional``, or the whole repository.
    save_json_train, save_json_valid, save_json_test : str or Path
        The manifests to write; nine, three and three of the speakers.
    labels : list of str
        Some of angry, sad, happy, neutral;
        the others are left out and counted.
    merge_labels : dict, optional
        ``{label: label that it counts as}``.
    fold : int, optional
        1 to 5: a fold of the cross-validation over speakers; without one, the fifth.
    skip_prep : bool
        If True, nothing is done.

    Raises
    ------
    FileNotFoundError
        If `data_folder` is not EmotionTTS.
    PreparationError
        If a label is not one of EmotionTTS, a split is empty, an utterance is there twice, or more
        than 5 % of a split's files cannot be used.

    Example
    -------
    >>> prepare_emotiontts("EmotionTTS", "train.json", "valid.json", "test.json", ["sad", "sleepy"])
    Traceback (most recent call last):
      ...
    speechbrain_merit.errors.PreparationError: labels: EmotionTTS has no 'sleepy'; it has ...
    """
    if skip_prep:
        return
    check_labels(labels, EMOTIONS, "EmotionTTS", merge_labels)
    root = check_folder(data_folder, SOURCE)
    found = named_files("EmotionTTS", [root], NAME, "nea00101.wav", SOURCE)
    utterances = {
        name: {"wav": path, "emo": emotion(match[2]), "spk_id": match[1]}
        for name, (path, match) in found.items()
        if emotion(match[2])
    }
    splits = cross_validate(SPLITS, fold, FOLDS)
    rows = split_by_speaker("EmotionTTS", utterances, splits, labels, merge_labels)
    manifests = {"train": save_json_train, "valid": save_json_valid, "test": save_json_test}
    prepare_speech("EmotionTTS", root, manifests, rows, labels)


def emotion(number):
    """The emotion of an utterance by its number: 1 to 100 neutral, … 301 to 400 sad.

    Example
    -------
    >>> [emotion(number) for number in ("00001", "00100", "00101", "00400", "00000")]
    ['neutral', 'neutral', 'happy', 'sad', None]
    """
    place = (int(number) - 1) // 100
    return EMOTIONS[place] if 0 <= place < len(EMOTIONS) else None
