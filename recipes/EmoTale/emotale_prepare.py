"""Prepares EmoTale: manifests for train, valid and test.

Hjuler, Skat-Rørdam, Clemmensen and Das (2025), "EmoTale: An Enacted Speech-emotion Dataset in
Danish", ASRU 2025, https://arxiv.org/abs/2508.14548
Download: https://github.com/snehadas/EmoTale
"""

import re
from pathlib import Path

from speechbrain_merit.data.listing import UNRATED, check_folder, named_files, table_rows
from speechbrain_merit.data.preparation import check_labels, prepare_speech, write_unmatched
from speechbrain_merit.data.ratings import PublishedRatings
from speechbrain_merit.data.splits import cross_validate, split_by_speaker
from speechbrain_merit.errors import PreparationError

SOURCE = (
    "EmoTale can be had at https://github.com/snehadas/EmoTale: pass the folder with "
    "annotations.csv and wav/ as --data_folder"
)
EMOTIONS = {"A": "angry", "S": "sad", "H": "happy", "N": "neutral", "B": "bored"}
LANGUAGES = {"DK": "Danish", "EN": "English"}
NAME = re.compile(rf"({'|'.join(LANGUAGES)})_(\d{{3}})_([{''.join(EMOTIONS)}])_([1-5])")
# Each rater has a number; arousal, valence and dominance are given from 1 to 5, in halves.
RATING = re.compile(r"a\d+_([AVD]|cat)")
ATTRIBUTES = {"A": "arousal", "V": "valence", "D": "dominance"}
LOWEST, HIGHEST = 1, 5
SPEAKERS = ["001"] + [f"{number:03d}" for number in range(3, 20)]  # there is no 002
SPLITS = {"train": SPEAKERS[:11], "valid": SPEAKERS[11:14], "test": SPEAKERS[14:]}


def prepare_emotale(
    data_folder,
    save_json_train,
    save_json_valid,
    save_json_test,
    labels,
    merge_labels=None,
    fold=None,
    skip_prep=False,
):
    """Writes the manifests of EmoTale, speaker-independent, for the emotions asked for.

    The label is the emotion that the speaker enacted. Rows also hold arousal, valence and
    dominance, the means of the raters', scaled from 1 … 5 to 0 … 1, the number of raters and the
    share of them who chose the label. Both languages of a speaker are in the same split.

    Arguments
    ---------
    data_folder : str or Path
        Holds ``annotations.csv`` and ``wav/``.
    save_json_train, save_json_valid, save_json_test : str or Path
        The manifests to write: speakers 001-012, 013-015 and 016-019.
    labels : list of str
        Some of angry, sad, happy, neutral, bored; the others are left out and counted.
    merge_labels : dict, optional
        ``{label: label that it counts as}``.
    fold : int, optional
        1 to 5: a fold of the cross-validation over speakers, in place of the fixed splits.
    skip_prep : bool
        If True, nothing is done.

    Raises
    ------
    FileNotFoundError
        If `data_folder` is not EmoTale.
    PreparationError
        If a row of the annotations is wrong, a label is not one of EmoTale, a split is empty, an
        utterance is there twice, or more than 5 % of a split's files cannot be used.

    Example
    -------
    >>> prepare_emotale("EmoTale", "train.json", "valid.json", "test.json", ["sad", "calm"])
    Traceback (most recent call last):
      ...
    speechbrain_merit.errors.PreparationError: labels: EmoTale has no 'calm'; it has \
angry, sad, happy, neutral, bored.
    """
    if skip_prep:
        return
    check_labels(labels, list(EMOTIONS.values()), "EmoTale", merge_labels)
    root = check_folder(data_folder, SOURCE)
    table = root / "annotations.csv"
    if not table.is_file():
        raise FileNotFoundError(f"data_folder: {root} has no annotations.csv. {SOURCE}.")
    ratings = read_ratings(table)
    audio = root / "wav" if (root / "wav").is_dir() else root
    found = named_files("EmoTale", [audio], NAME, "DK_001_A_1.wav", SOURCE)
    recordings = {name: path for name, (path, _) in found.items()}
    write_unmatched(Path(save_json_train).parent, "EmoTale", table, ratings, recordings)
    utterances = {
        name: {
            "wav": path,
            "emo": EMOTIONS[match[3]],
            "spk_id": match[2],
            "language": LANGUAGES[match[1]],
            **ratings.get(name, {}),
        }
        for name, (path, match) in found.items()
    }
    splits = cross_validate(SPLITS, fold)
    rows = split_by_speaker("EmoTale", utterances, splits, labels, merge_labels)
    manifests = {"train": save_json_train, "valid": save_json_valid, "test": save_json_test}
    prepare_speech("EmoTale", root, manifests, rows, labels)


def read_ratings(table):
    r"""Reads what the raters said of each utterance.

    Arguments
    ---------
    table : Path
        ``annotations.csv``: ``file``, ``gt_emotion`` and, for each rater, such as the first,
        ``a1_A``, ``a1_V``, ``a1_D`` and ``a1_cat``.

    Returns
    -------
    dict
        ``{id: {"arousal", "valence", "dominance", "raters", "agreement"}}``; what no rater gave is
        left out, and so is a rating outside 1 … 5.

    Raises
    ------
    PreparationError
        Naming the row that is wrong.

    Example
    -------
    >>> table = Path(getfixture("tmpdir")) / "annotations.csv"
    >>> text = "file,a1_A,a1_cat,a2_A,a2_cat,gt_emotion\nDK_001_A_1.wav,4.0,A,5.0,S,A\n"
    >>> _ = table.write_text(text)
    >>> read_ratings(table)
    {'DK_001_A_1': {'arousal': 0.875, 'raters': 2, 'agreement': 0.5}}
    """
    ratings, fields, scaled = {}, {}, PublishedRatings("EmoTale", LOWEST, HIGHEST)
    for row in table_rows(table, ["file"]):
        place = f"{table}, line {row.pop('line')}"
        name = Path(row["file"]).stem
        match = NAME.fullmatch(name)
        if match is None:
            raise PreparationError(f"{place}: {row['file']!r} is not named like DK_001_A_1.wav.")
        if name in fields:
            if fields[name] != row:
                raise PreparationError(f"{place}: {name} is there a second time, and otherwise.")
            continue
        fields[name] = row
        if row.get("gt_emotion", match[3]) != match[3]:
            raise PreparationError(f"{place}: {name} has the emotion {row['gt_emotion']!r}.")
        given = {letter: [] for letter in (*ATTRIBUTES, "cat")}
        for column, value in row.items():
            rating = RATING.fullmatch(str(column))
            if rating and value.lower() not in UNRATED:
                given[rating[1]].append((column, value))
        ratings[name] = {}
        for letter, attribute in ATTRIBUTES.items():
            values = [scaled(value, f"{place}: {column}") for column, value in given[letter]]
            values = [value for value in values if value is not None]
            if values:
                ratings[name][attribute] = round(sum(values) / len(values), 6)
        chosen = [value for _, value in given["cat"]]
        if chosen:
            ratings[name]["raters"] = len(chosen)
            ratings[name]["agreement"] = round(chosen.count(match[3]) / len(chosen), 4)
    scaled.report()
    return ratings
