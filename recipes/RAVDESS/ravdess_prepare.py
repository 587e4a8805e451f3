"""Prepares the speech part of RAVDESS: manifests for train, valid and test.

Livingstone and Russo (2018), "The Ryerson Audio-Visual Database of Emotional Speech and Song",
PLoS ONE 13(5), https://doi.org/10.1371/journal.pone.0196391
Download: https://zenodo.org/records/1188976 (Audio_Speech_Actors_01-24.zip, 208 MB)
"""

import re
from collections import Counter
from pathlib import Path

from speechbrain.utils.logger import get_logger

from speechbrain_merit.data.listing import check_folder, named_files
from speechbrain_merit.data.preparation import check_labels, prepare_speech
from speechbrain_merit.data.splits import cross_validate, split_by_speaker

logger = get_logger(__name__)

SOURCE = (
    "RAVDESS can be had at https://zenodo.org/records/1188976: unpack "
    "Audio_Speech_Actors_01-24.zip and pass that folder as --data_folder"
)
EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}
# Modality 03 is audio only, channel 01 is speech (02 is song); then emotion, intensity, statement,
# repetition and actor.
NAME = re.compile(r"03-01-(0[1-8])-0[12]-0[12]-0[12]-(0[1-9]|1\d|2[0-4])")
ACTOR_FOLDER = re.compile(r"Actor_\d\d", re.IGNORECASE)
SPEECH_FOLDER = "audio_speech_actors_01-24"
ACTORS = [f"{actor:02d}" for actor in range(1, 25)]
SPLITS = {"train": ACTORS[:16], "valid": ACTORS[16:20], "test": ACTORS[20:]}
FILES_PER_ACTOR = 60  # as published: 4 neutral and 8 of each other emotion


def prepare_ravdess(
    data_folder,
    save_json_train,
    save_json_valid,
    save_json_test,
    labels,
    merge_labels=None,
    fold=None,
    skip_prep=False,
):
    """Writes the manifests of RAVDESS, speaker-independent, for the emotions asked for.

    Reads the corpus as published (WAV, 48 kHz, a few files stereo) and resampled or FLAC copies
    alike, as long as the file names are the originals'. Emotions that `labels` does not name are
    left out and counted.

    Arguments
    ---------
    data_folder : str or Path
        Holds the folders ``Actor_01`` to ``Actor_24``, itself or in ``Audio_Speech_Actors_01-24``.
    save_json_train, save_json_valid, save_json_test : str or Path
        The manifests to write: actors 1-16, 17-20 and 21-24.
    labels : list of str
        Some of neutral, calm, happy, sad, angry, fearful, disgust, surprised.
    merge_labels : dict, optional
        ``{label: label that it counts as}``.
    fold : int, optional
        1 to 5: a fold of the cross-validation over actors, in place of the fixed splits.
    skip_prep : bool
        If True, nothing is done.

    Raises
    ------
    FileNotFoundError
        If `data_folder` is not RAVDESS.
    PreparationError
        If a label is not one of RAVDESS, a split is empty, an utterance is there twice, or more
        than 5 % of a split's files cannot be used.

    Example
    -------
    >>> prepare_ravdess("RAVDESS", "train.json", "valid.json", "test.json", ["sad", "bored"])
    Traceback (most recent call last):
      ...
    speechbrain_merit.errors.PreparationError: labels: RAVDESS has no 'bored'; it has \
neutral, calm, happy, sad, angry, fearful, disgust, surprised.
    """
    if skip_prep:
        return
    check_labels(labels, list(EMOTIONS.values()), "RAVDESS", merge_labels)
    found = named_files(
        "RAVDESS", check_ravdess_folders(data_folder), NAME, "03-01-05-01-01-01-01.wav", SOURCE
    )
    utterances = {
        name: {
            "wav": path,
            "emo": EMOTIONS[match[1]],
            "spk_id": match[2],
            "gender": "male" if int(match[2]) % 2 else "female",
        }
        for name, (path, match) in found.items()
    }
    _check_sizes(utterances)
    splits = cross_validate(SPLITS, fold)
    rows = split_by_speaker("RAVDESS", utterances, splits, labels, merge_labels)
    manifests = {"train": save_json_train, "valid": save_json_valid, "test": save_json_test}
    prepare_speech("RAVDESS", Path(data_folder), manifests, rows, labels)


def check_ravdess_folders(data_folder):
    """Finds the folders of the actors.

    Arguments
    ---------
    data_folder : str or Path
        As in `prepare_ravdess`.

    Returns
    -------
    list of Path
        The folders ``Actor_NN``.

    Raises
    ------
    FileNotFoundError
        Naming what is missing and where the corpus can be had.

    Example
    -------
    >>> folder = Path(getfixture("tmpdir"))
    >>> (folder / "Audio_Speech_Actors_01-24" / "Actor_01").mkdir(parents=True)
    >>> [actor.name for actor in check_ravdess_folders(folder)]
    ['Actor_01']
    """
    data_folder = check_folder(data_folder, SOURCE)
    # Some copies hold the corpus twice, in the folder itself and in the one below: take one.
    inner = [p for p in sorted(data_folder.iterdir()) if p.name.lower() == SPEECH_FOLDER]
    for folder in [data_folder, *inner]:
        if folder.is_dir():
            actors = [p for p in sorted(folder.iterdir()) if ACTOR_FOLDER.fullmatch(p.name)]
            if actors:
                return actors
    raise FileNotFoundError(
        f"data_folder: {data_folder} holds no folders Actor_01 … Actor_24. {SOURCE}."
    )


def _check_sizes(utterances):
    found = Counter(row["spk_id"] for row in utterances.values())
    partial = [f"{a} ({found[a]})" for a in ACTORS if found[a] != FILES_PER_ACTOR]
    if partial:
        logger.warning(
            f"RAVDESS: not {FILES_PER_ACTOR} files, as published, of actors (files found): "
            f"{', '.join(partial)}. Results will not compare with those of the whole corpus."
        )
