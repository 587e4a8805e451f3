"""Prepares the JL corpus, New Zealand English: four speakers, for training, or one for the test.

James, Tian and Watson (2018), "An Open Source Emotional Speech Corpus for Human Robot Interaction
Applications", Interspeech 2018, https://doi.org/10.21437/Interspeech.2018-1349
Download: https://github.com/tli725/JL-Corpus
"""

import re

from speechbrain_merit.data.few_speakers import few_speakers
from speechbrain_merit.data.listing import check_folder, named_files
from speechbrain_merit.data.preparation import check_labels, prepare_speech
from speechbrain_merit.data.splits import split_by_speaker

SOURCE = (
    "The JL corpus can be had at https://github.com/tli725/JL-Corpus: unpack it and pass that "
    "folder as --data_folder"
)
PRIMARY = ["angry", "sad", "happy", "neutral", "excited"]
SECONDARY = ["anxious", "apologetic", "assertive", "concerned", "encouraging"]
EMOTIONS = PRIMARY + SECONDARY
# female1_angry_10a_1: who, emotion, sentence, session.
NAME = re.compile(rf"((?:fe)?male[12])_({'|'.join(EMOTIONS)})_(\d+[ab])_([12])")
SPEAKERS = ["female1", "male1", "female2", "male2"]
# As published; beside it lie copies of some, as listeners were given them.
PLACE = "JL(wav+txt)"
FEW_SPEAKERS = True  # its splits hold the training alone, unless a fold is asked for


def prepare_jl_corpus(
    data_folder,
    save_json_train,
    save_json_valid,
    save_json_test,
    labels,
    merge_labels=None,
    fold=None,
    skip_prep=False,
):
    """Writes the manifests of JL-Corpus for the emotions asked for; without a fold all trains.

    Arguments
    ---------
    data_folder : str or Path
        The corpus.
    save_json_train, save_json_valid, save_json_test : str or Path
        The manifests to write: without a fold, the first alone.
    labels : list of str
        Some of angry, sad, happy, neutral, excited and the five secondary emotions;
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
        If `data_folder` is not JL-Corpus.
    PreparationError
        If a label is not one of JL-Corpus, a split is empty, an utterance is there twice, or more
        than 5 % of a split's files cannot be used.

    Example
    -------
    >>> prepare_jl_corpus("JL-Corpus", "train.json", "valid.json", "test.json", ["sad", "sleepy"])
    Traceback (most recent call last):
      ...
    speechbrain_merit.errors.PreparationError: labels: JL-Corpus has no 'sleepy'; it has ...
    """
    if skip_prep:
        return
    check_labels(labels, EMOTIONS, "JL-Corpus", merge_labels)
    root = check_folder(data_folder, SOURCE)
    place = next((path for path in sorted(root.rglob(PLACE)) if path.is_dir()), root)
    utterances = {
        name: {
            "wav": path,
            "emo": match[2],
            "spk_id": match[1],
            "gender": match[1][:-1],
        }
        for name, (path, match) in named_files(
            "JL-Corpus", [place], NAME, "female1_angry_10a_1.wav", SOURCE
        ).items()
    }
    splits = few_speakers("JL-Corpus", SPEAKERS, fold)
    rows = split_by_speaker("JL-Corpus", utterances, splits, labels, merge_labels)
    manifests = {"train": save_json_train, "valid": save_json_valid, "test": save_json_test}
    prepare_speech("JL-Corpus", root, manifests, rows, labels)
