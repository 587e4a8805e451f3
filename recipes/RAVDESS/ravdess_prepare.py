"""Prepares the speech part of RAVDESS: manifests for train, valid and test.

Livingstone and Russo (2018), "The Ryerson Audio-Visual Database of Emotional Speech and Song",
PLoS ONE 13(5), https://doi.org/10.1371/journal.pone.0196391
Download: https://zenodo.org/records/1188976 (Audio_Speech_Actors_01-24.zip, 208 MB)
"""

import re
from collections import Counter
from pathlib import Path

from speechbrain.utils.logger import get_logger

from speechbrain_merit.data.inspection import find_audio
from speechbrain_merit.data.manifests import PreparationError
from speechbrain_merit.data.preparation import check_labels, prepare_speech

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
SPLITS = {"train": range(1, 17), "valid": range(17, 21), "test": range(21, 25)}  # actors
FILES_PER_ACTOR = 60  # as published: 4 neutral and 8 of each other emotion


def prepare_ravdess(
    data_folder,
    save_json_train,
    save_json_valid,
    save_json_test,
    labels,
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
    speechbrain_merit.data.manifests.PreparationError: labels: RAVDESS has no 'bored'; it has \
neutral, calm, happy, sad, angry, fearful, disgust, surprised.
    """
    if skip_prep:
        return
    check_labels(labels, list(EMOTIONS.values()), "RAVDESS")
    utterances = _find_utterances(check_ravdess_folders(data_folder))
    _check_sizes(utterances)
    rows = {split: {} for split in SPLITS}
    dropped = Counter()
    for path, emotion, actor in utterances:
        if emotion not in labels:
            dropped[emotion] += 1
            continue
        split = next(split for split, actors in SPLITS.items() if int(actor) in actors)
        rows[split][path.stem] = {
            "wav": path,
            "emo": emotion,
            "spk_id": actor,
            "gender": "male" if int(actor) % 2 else "female",
        }
    if dropped:
        counts = ", ".join(f"{emotion} {count}" for emotion, count in sorted(dropped.items()))
        logger.info(f"RAVDESS: left out, not in `labels`: {counts}")
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
    if not data_folder:
        raise FileNotFoundError(f"data_folder is not set. {SOURCE}.")
    data_folder = Path(data_folder)
    if not data_folder.is_dir():
        raise FileNotFoundError(f"data_folder: there is no folder {data_folder}. {SOURCE}.")
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


def _find_utterances(actor_folders):
    """(path, emotion, actor) of every file that is named like a speech file of RAVDESS."""
    utterances, seen, others = [], {}, 0
    for path in (path for folder in actor_folders for path in find_audio(folder)):
        name = NAME.fullmatch(path.stem)
        if name is None:
            others += 1
            continue
        if path.stem in seen:
            raise PreparationError(
                f"RAVDESS: {seen[path.stem]} and {path} are the same utterance: keep one of them."
            )
        seen[path.stem] = path
        utterances.append((path, EMOTIONS[name[1]], name[2]))
    if not utterances:
        raise FileNotFoundError(
            f"data_folder: no file in {actor_folders[0]} and the folders beside it is named like "
            f"RAVDESS's speech (03-01-05-01-01-01-01.wav). {SOURCE}."
        )
    if others:
        logger.info(f"RAVDESS: {others} audio files passed over: they are not speech (03-01-…).")
    return utterances


def _check_sizes(utterances):
    found = Counter(int(actor) for _, _, actor in utterances)
    partial = [
        f"{actor:02d} ({found[actor]})"
        for actors in SPLITS.values()
        for actor in actors
        if found[actor] != FILES_PER_ACTOR
    ]
    if partial:
        logger.warning(
            f"RAVDESS: not {FILES_PER_ACTOR} files, as published, of actors (files found): "
            f"{', '.join(partial)}. Results will not compare with those of the whole corpus."
        )
