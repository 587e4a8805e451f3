"""Prepares IEMOCAP: manifests for train, valid and test, one session left out.

Busso, Bulut, Lee, Kazemzadeh, Mower, Kim, Chang, Lee and Narayanan (2008), "IEMOCAP: interactive
emotional dyadic motion capture database", Language Resources and Evaluation 42,
https://doi.org/10.1007/s10579-008-9076-6
By licence from https://sail.usc.edu/iemocap/
"""

import re
from pathlib import Path

from speechbrain_merit.audio.inspection import find_audio
from speechbrain_merit.data.code_pages import decode
from speechbrain_merit.data.listing import check_folder
from speechbrain_merit.data.preparation import check_labels, prepare_speech, write_unmatched
from speechbrain_merit.data.ratings import PublishedRatings
from speechbrain_merit.data.splits import cross_validate, split_by_speaker
from speechbrain_merit.errors import PreparationError

SOURCE = (
    "IEMOCAP is had by licence from https://sail.usc.edu/iemocap/: pass IEMOCAP_full_release, with "
    "the folders Session1 … Session5, as --data_folder"
)
EMOTIONS = {
    "ang": "angry",
    "sad": "sad",
    "hap": "happy",
    "neu": "neutral",
    "exc": "excited",
    "fru": "frustrated",
    "fea": "fearful",
    "sur": "surprised",
    "dis": "disgust",
}
NO_EMOTION = {"oth": "other", "xxx": "no agreement"}
ATTRIBUTES = ("valence", "arousal", "dominance")  # in the order of the files
LOWEST, HIGHEST = 1, 5  # of the scale on which raters give them
# [6.2901 - 8.2357]	Ses01F_impro01_F000	neu	[2.5000, 2.5000, 2.5000]
TURN = re.compile(r"\[[\d.]+ - [\d.]+\]\s+(\S+)\s+(\w+)\s+\[(.+?),(.+?),(.+?)\]\s*")
NAME = re.compile(r"Ses0([1-5])[FM]_\w+_([FM])\d{3}")
SESSIONS = [[f"Ses0{session}F", f"Ses0{session}M"] for session in range(1, 6)]
SPLITS = cross_validate({}, fold=5, folds=SESSIONS)


def prepare_iemocap(
    data_folder,
    save_json_train,
    save_json_valid,
    save_json_test,
    labels,
    merge_labels=None,
    fold=None,
    skip_prep=False,
):
    """Writes the manifests of IEMOCAP, leaving one session out, for the emotions asked for.

    Turns with another emotion, or on whose emotion raters did not agree, are left out and counted.
    Rows also hold arousal (activation), valence and dominance, scaled from 1 … 5 to 0 … 1. The few
    that are published outside that scale are left out and counted: the turn is not rated there.

    Arguments
    ---------
    data_folder : str or Path
        ``IEMOCAP_full_release``, or a folder with it, as published.
    save_json_train, save_json_valid, save_json_test : str or Path
        The manifests to write: without `fold`, sessions 1-3, 4 and 5.
    labels : list of str
        Some of angry, sad, happy, neutral, excited, frustrated, fearful, surprised, disgust.
    merge_labels : dict, optional
        ``{label: label that it counts as}``; ``{"excited": "happy"}`` gives the four classes that
        are used most, with 5531 turns.
    fold : int, optional
        1 to 5: the session to test on; the one before it is for validation.
    skip_prep : bool
        If True, nothing is done.

    Raises
    ------
    FileNotFoundError
        If `data_folder` is not IEMOCAP.
    PreparationError
        If a line of the labels is wrong, a label is not one of IEMOCAP, a split is empty, a turn is
        there twice, or more than 5 % of a split's files are missing or cannot be used.

    Example
    -------
    >>> prepare_iemocap("IEMOCAP", "train.json", "valid.json", "test.json", ["sad", "calm"])
    Traceback (most recent call last):
      ...
    speechbrain_merit.errors.PreparationError: labels: IEMOCAP has no 'calm'; it has \
angry, sad, happy, neutral, excited, frustrated, fearful, surprised, disgust.
    """
    if skip_prep:
        return
    check_labels(labels, list(EMOTIONS.values()), "IEMOCAP", merge_labels)
    root = check_folder(data_folder, SOURCE)
    release = root / "IEMOCAP_full_release"
    base = release if release.is_dir() else root
    sessions = sorted(base.glob("Session[1-5]"))
    turns, scaled = {}, PublishedRatings("IEMOCAP", LOWEST, HIGHEST)
    for session in sessions:
        # The folders below hold each rater's own labels; what macOS adds begins with a dot.
        for path in sorted((session / "dialog" / "EmoEvaluation").glob("Ses*.txt")):
            _add_turns(turns, path, scaled)
    if not turns:
        raise FileNotFoundError(
            f"data_folder: {root} has no Session1/dialog/EmoEvaluation/Ses01F_impro01.txt and the "
            f"like with turns in them. {SOURCE}."
        )
    scaled.report()
    folders = [session / "sentences" / "wav" for session in sessions]
    recordings = {
        path.stem: path for folder in folders if folder.is_dir() for path in find_audio(folder)
    }
    save = Path(save_json_train).parent
    write_unmatched(save, "IEMOCAP", "EmoEvaluation", turns, recordings)
    for name, row in turns.items():
        # Where a file is missing, its published place: the check of the audio then names it.
        place = base / f"Session{name[4]}" / "sentences" / "wav" / f"{name}.wav"
        row["wav"] = recordings.get(name, place)
    splits = cross_validate(SPLITS, fold, SESSIONS)
    rows = split_by_speaker("IEMOCAP", turns, splits, labels, merge_labels)
    manifests = {"train": save_json_train, "valid": save_json_valid, "test": save_json_test}
    prepare_speech("IEMOCAP", root, manifests, rows, labels)


def _add_turns(turns, path, scaled):
    """Adds {id: row} of the turns of one dialogue; `scaled` reads its ratings."""
    for number, line in enumerate(decode(path.read_bytes()).splitlines(), 1):
        if not line.startswith("["):
            continue  # a heading, or what each rater said
        place = f"{path}, line {number}"
        turn = TURN.fullmatch(line)
        name = turn and NAME.fullmatch(turn[1])
        if not name:
            raise PreparationError(f"{place}: not a turn such as Ses01F_impro01_F000: {line!r}.")
        emotion = (EMOTIONS | NO_EMOTION).get(turn[2])
        if emotion is None:
            raise PreparationError(
                f"{place}: the emotion is {turn[2]!r}, none of {', '.join(EMOTIONS | NO_EMOTION)}."
            )
        if turn[1] in turns:
            raise PreparationError(f"{place}: {turn[1]} is there a second time.")
        values = zip(ATTRIBUTES, turn.groups()[2:])
        values = {name: scaled(text, f"{place}: {name}") for name, text in values}
        turns[turn[1]] = {
            "emo": emotion,
            "spk_id": f"Ses0{name[1]}{name[2]}",
            "gender": {"F": "female", "M": "male"}[name[2]],
            **{name: value for name, value in values.items() if value is not None},
        }
