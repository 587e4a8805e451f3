"""Reads the label files of MSP-Podcast, in the forms of releases 1.6 to 2.0.

- ``labels_consensus.csv``: one row an utterance; the emotion is a letter in ``EmoClass``, or there
  is one column for each emotion; attributes are ``EmoAct``, ``EmoVal``, ``EmoDom``.
- ``labels_detailed.csv``: one row a rater and utterance, in columns or as one text.
- ``Partitions.txt``: the splits, for tables without a column ``Split_Set``.
"""

import os
import re
from collections import Counter

from speechbrain.utils.logger import get_logger

from speechbrain_merit.audio.inspection import AUDIO_SUFFIXES
from speechbrain_merit.audio.names import some
from speechbrain_merit.data.code_pages import decode
from speechbrain_merit.data.listing import UNRATED, table_rows
from speechbrain_merit.data.ratings import PublishedRatings
from speechbrain_merit.errors import PreparationError

logger = get_logger(__name__)

# The letters of EmoClass, and the words of other tables of the lab.
EMOTIONS = {
    "angry": ("A", "Angry", "Anger"),
    "sad": ("S", "Sad", "Sadness"),
    "happy": ("H", "Happy", "Happiness"),
    "surprised": ("U", "Surprise", "Surprised"),
    "fearful": ("F", "Fear", "Fearful"),
    "disgust": ("D", "Disgust", "Disgusted"),
    "contempt": ("C", "Contempt"),
    "neutral": ("N", "Neutral"),
}
NO_EMOTION = {
    "other": ("O", "Other"),
    "no agreement": ("X", "No agreement", "No_agreement"),
    "no label": ("",),
}
MEANING = {w.lower(): e for e, words in (EMOTIONS | NO_EMOTION).items() for w in words}
# Names of columns, where each emotion has one.
COLUMNS = {name: e for e, words in (EMOTIONS | NO_EMOTION).items() for name in words[1:]}
ATTRIBUTES = {"arousal": "EmoAct", "valence": "EmoVal", "dominance": "EmoDom"}
LOWEST, HIGHEST = 1, 7  # of the scale on which raters give attributes
SPLITS = {
    "train": "train",
    "development": "valid",
    "validation": "valid",
    "test1": "Test1",
    "test2": "Test2",
    "test3": "Test3",  # its labels are not published
}
RATED = re.compile(r"\b([AVD]):\s*([\d.]+)")  # in the column EmoDetail


def read_consensus(path, partitions=None):
    r"""Reads the consensus labels of every utterance.

    Arguments
    ---------
    path : Path
        ``labels_consensus.csv``, with ``EmoClass`` (a letter) or one column for each emotion.
    partitions : Path, optional
        ``Partitions.txt``, for utterances whose split `path` does not name.

    Returns
    -------
    dict
        ``{id: {"split", "emo", "spk_id", "gender", and "arousal", "valence", "dominance"}}``;
        ``emo`` is an emotion or a reason why there is none; an attribute is left out where there
        is none, or one outside 1 … 7.

    Raises
    ------
    PreparationError
        Naming the row that is wrong.

    Example
    -------
    >>> from pathlib import Path
    >>> path = Path(getfixture("tmpdir")) / "labels_consensus.csv"
    >>> _ = path.write_text("FileName,EmoClass,EmoAct,Split_Set\nMSP-PODCAST_1_2.wav,H,4,Train\n")
    >>> read_consensus(path)["MSP-PODCAST_1_2"]["arousal"]
    0.5
    """
    split_of = {} if partitions is None else read_partitions(partitions)
    utterances, lines, homeless = {}, {}, []
    scaled = PublishedRatings("MSP-Podcast", LOWEST, HIGHEST)
    for row in table_rows(path, ["FileName"]):
        line = row.pop("line")
        place = f"{path}, line {line}"
        key = _identify(row["FileName"], place)
        if key in lines:
            first, same = lines[key]
            if same != hash(tuple(row.items())):
                raise PreparationError(f"{place}: {key} stands in line {first} already.")
            continue
        lines[key] = line, hash(tuple(row.items()))
        if row.get("Split_Set"):
            split = _split(row["Split_Set"], place)
        else:
            split = split_of.get(key)
        if split is None:
            homeless.append(key)
        speaker = re.sub(r"\.0$", "", row.get("SpkrID", ""))  # as spreadsheets write a number
        if speaker.lower() in UNRATED:
            # Not one person; no speaker can be told to be in two splits by it.
            speaker = f"unknown_{split}_{key.rpartition('_')[0] or key}"
        gender = row.get("Gender", "").lower()
        utterances[key] = {
            "split": split,
            "emo": _emotion(row, place),
            "spk_id": speaker,
            "gender": "unknown" if gender in UNRATED else gender,
            **_attributes(row, place, scaled),
        }
    scaled.report()
    if homeless:
        logger.warning(
            f"MSP-Podcast: {len(homeless)} utterances are in no split and left out: "
            f"{some(homeless)}. {path.name} has no Split_Set for them, and no Partitions.txt "
            "names them."
        )
    return utterances


def read_partitions(path):
    """Reads the splits of an old release: lines such as ``Train; MSP-PODCAST_0023_0048.wav``.

    Example
    -------
    >>> from pathlib import Path
    >>> path = Path(getfixture("tmpdir")) / "Partitions.txt"
    >>> _ = path.write_text("Validation; MSP-PODCAST_0023_0048.wav")
    >>> read_partitions(path)
    {'MSP-PODCAST_0023_0048': 'valid'}
    """
    split_of = {}
    for number, line in enumerate(decode(path.read_bytes()).splitlines(), 1):
        split, semicolon, name = line.partition(";")
        if semicolon:
            place = f"{path}, line {number}"
            split_of[_identify(name.strip(" ;"), place)] = _split(split, place)
    return split_of


def add_ratings(path, utterances):
    """Adds to utterances how many rated them, and the share that chose the consensus emotion.

    Attributes that the consensus file lacks are the means of the raters'.

    Arguments
    ---------
    path : Path
        ``labels_detailed.csv``: a rating a row, in columns (release 1.6, 2.0) or as one text in
        ``EmoDetail`` (1.7 to 1.12).
    utterances : dict
        As `read_consensus` gives them; changed in place.
    """
    votes = {key: [] for key in utterances}
    scaled = PublishedRatings("MSP-Podcast", LOWEST, HIGHEST)
    for row in table_rows(path, ["FileName"]):
        key = _identify(row["FileName"], f"{path}, line {row['line']}")
        if key in votes:
            votes[key].append(_rating(row, f"{path}, line {row['line']}", scaled))
    scaled.report()
    for key, ratings in votes.items():
        if not ratings:
            continue
        row = utterances[key]
        row["raters"] = len(ratings)
        agree = sum(emotion == row["emo"] for emotion, _ in ratings)
        row["agreement"] = round(agree / len(ratings), 4)
        for name in ATTRIBUTES:
            given = [values[name] for _, values in ratings if name in values]
            if name not in row and given:
                row[name] = round(sum(given) / len(given), 6)


def _rating(row, place, scaled):
    """(emotion, attributes) of one rater; what is none of the eight emotions is None."""
    if "EmoDetail" not in row:
        word = row.get("EmoClass_Major", "")
        return MEANING.get(word.lower()), _attributes(row, place, scaled)
    worker, _, text = row["EmoDetail"].partition(";")
    letters = {column[3]: column for column in ATTRIBUTES.values()}  # A of EmoAct, …
    values = {letters[letter]: value for letter, value in RATED.findall(text)}
    return MEANING.get(text.partition(";")[0].strip().lower()), _attributes(values, place, scaled)


def _identify(name, place):
    """The id of an utterance from its file name, which may have folders before it and a suffix."""
    last = name.replace("\\", "/").rpartition("/")[2]
    stem, suffix = os.path.splitext(last)  # for a million rows, pathlib takes a minute
    key = stem if suffix.lower() in AUDIO_SUFFIXES else last
    if not key:
        raise PreparationError(f"{place}: there is no FileName.")
    return key


def _split(text, place):
    split = SPLITS.get(re.sub(r"[\s_-]", "", text).lower())
    if split is None:
        raise PreparationError(
            f"{place}: the split is {text!r}, none of Train, Development, Validation, Test1, "
            "Test2, Test3."
        )
    return split


def _emotion(row, place):
    """The emotion that raters agreed on, or the reason why there is none."""
    columns = [name for name in COLUMNS if name in row]
    if "EmoClass" not in row and not columns:
        raise PreparationError(f"{place}: no column EmoClass, and none for an emotion (Angry, …).")
    emotion = MEANING.get(row.get("EmoClass", "").lower())
    if emotion is None:
        raise PreparationError(
            f"{place}: EmoClass is {row['EmoClass']!r}, none of A S H U F D C N O X."
        )
    if not columns:
        return emotion
    votes = Counter({COLUMNS[name]: _number(row[name], name, place) or 0 for name in columns})
    (first, most), (_, next_most) = [*votes.most_common(2), (None, 0)][:2]
    voted = first if most > max(next_most, 0) else "no agreement"  # all zero: for none of them
    if "EmoClass" not in row:
        return voted
    if emotion in EMOTIONS and voted in EMOTIONS and emotion != voted:
        raise PreparationError(f"{place}: EmoClass says {emotion}, the columns say {voted}.")
    return emotion


def _attributes(row, place, scaled):
    """Those of arousal, valence and dominance that there are, scaled to 0 … 1."""
    given = {
        name: scaled(row[column], f"{place}: {column}")
        for name, column in ATTRIBUTES.items()
        if column in row
    }
    return {name: value for name, value in given.items() if value is not None}


def _number(text, column, place):
    """A number, or None where there is none."""
    if text.lower() in UNRATED:
        return None
    if text.lower() in ("true", "false"):
        return float(text.lower() == "true")
    try:
        return float(text.replace(",", "."))
    except ValueError:
        raise PreparationError(f"{place}: {column} is {text!r}, not a number.") from None
