"""Noise sets in the layouts in which their owners publish them, and their parts.

A folder that is the root of one of these sets gives, for training, validation and test, parts that
share no recording, and nothing in which somebody speaks. Every other folder is taken whole.
"""

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from speechbrain_merit.audio.inspection import find_audio
from speechbrain_merit.data.listing import read_table

PARTS = ("train", "valid", "test")

# ESC-50: official folds, whose recordings come from different sources.
ESC50_FOLDS = {"train": ("1", "2", "3"), "valid": ("4",), "test": ("5",)}
ESC50_NAME = re.compile(r"([1-5])-\w+-[A-Z]-(\d+)")  # fold, clip, take, class
ESC50_VOICES = {"crying_baby", "laughing"}  # emotion of another voice than the one to be heard

# DEMAND: by place, the test places those of the noisy test set of VoiceBank.
DEMAND_PLACES = {
    "train": "DKITCHEN NFIELD NRIVER PCAFETER PRESTO PSTATION STRAFFIC TCAR TMETRO".split(),
    "valid": "DWASHING NPARK OHALLWAY".split(),
    "test": "DLIVING OOFFICE SCAFE SPSQUARE TBUS".split(),
}
DEMAND_SPEECH = ["OMEETING"]  # a meeting, in which one understands what is said
DEMAND_CHANNEL = re.compile(r"ch01", re.IGNORECASE)  # the 16 of a place hold the same sound

WHAM_FOLDERS = {"train": "tr", "valid": "cv", "test": "tt"}

DNS_BESIDE = ["clean", "read_speech", "emotional_speech", "impulse_responses", "dev_testset"]

FSD50K_TABLES = {"train": "dev", "valid": "dev", "test": "eval"}
FSD50K_VOICES = {"Human_voice"}  # parent of Speech, Singing, Laughter, Crying_and_sobbing, …


class Recording(NamedTuple):
    """A file and the type of its noise, for reports."""

    path: Path
    kind: str


def recordings(folder, part):
    """The recordings of a noise folder for one part.

    Arguments
    ---------
    folder : str or Path
        The root of a published set (see `SETS`), or any other folder, of which every part is all.
    part : str
        train, valid or test.

    Returns
    -------
    name : str or None
        The set that the folder was recognised as.
    list of Recording
        Sorted by path. The type of a noise is what the set calls it, or else the folder that the
        file is in, or, in `folder` itself, the file's name.

    Example
    -------
    >>> root = Path(getfixture("tmpdir")) / "wham_noise"
    >>> for name in ("tr", "cv", "tt"):
    ...     (root / name).mkdir(parents=True)
    ...     (root / name / "x.wav").touch()
    >>> recordings(root, "valid")[1][0].path.parent.name
    'cv'
    """
    folder = Path(folder)
    for name, (recognise, select) in SETS.items():
        if recognise(folder):
            return name, sorted(select(folder, part))
    return None, _typed_by_folder(find_audio(folder), folder)


def _typed_by_folder(paths, folder):
    return [Recording(p, p.stem if p.parent == folder else p.parent.name) for p in paths]


def dealt_part(key):
    """The part of a recording where a set has none of its own: 8 of 10 train, 1 valid, 1 test.

    Example
    -------
    >>> dealt_part("noise-free-sound-0000"), dealt_part("noise-free-sound-0000")
    ('train', 'train')
    """
    draw = int(hashlib.sha256(key.encode()).hexdigest(), 16) % 10
    return {0: "valid", 1: "test"}.get(draw, "train")


def _dealt(paths, folder, part, source=lambda path: path.stem):
    return [r for r in _typed_by_folder(paths, folder) if dealt_part(source(r.path)) == part]


def _folders(root, *names):
    return all((root / name).is_dir() for name in names)


def _musan(root, part):
    # music/ has singers in it, speech/ speakers
    return _dealt(find_audio(root / "noise"), root / "noise", part)


def _esc50(root, part):
    table = read_table(root / "meta" / "esc50.csv", ["target", "category"])
    category = {row["target"]: row["category"] for row in table}
    found = []
    for path in find_audio(root / "audio"):
        match = ESC50_NAME.fullmatch(path.stem)
        if match and match[1] in ESC50_FOLDS[part]:
            kind = category.get(match[2], f"class {match[2]}")
            if kind not in ESC50_VOICES:
                found.append(Recording(path, kind))
    return found


def _is_demand(root):
    places = sum(DEMAND_PLACES.values(), DEMAND_SPEECH)
    return any((root / place).is_dir() for place in places)


def _demand(root, part):
    return [
        Recording(path, place)
        for place in DEMAND_PLACES[part]
        if (root / place).is_dir()
        for path in find_audio(root / place)
        if DEMAND_CHANNEL.fullmatch(path.stem)
    ]


def _wham(root, part):
    return [Recording(path, "bar or café") for path in find_audio(root / WHAM_FOLDERS[part])]


def _dns_folder(root):
    """The noise in a clone of the DNS-Challenge, or in one of its dataset folders, or None."""
    places = ["datasets/noise", "datasets_fullband/noise_fullband", "noise_fullband"]
    # Any folder may hold one named noise: the speech or rooms beside it tell whose it is.
    if any((root / beside).is_dir() for beside in DNS_BESIDE):
        places.append("noise")
    return next((root / place for place in places if (root / place).is_dir()), None)


def _dns(root, part):
    folder = _dns_folder(root)
    # Clips of one source are numbered: door_Freesound_validated_35_0.wav, …_1.wav
    dealt = _dealt(find_audio(folder), folder, part, lambda path: re.sub(r"_\d+$", "", path.stem))
    return [Recording(path, "DNS-Challenge") for path, _ in dealt]


def _fsd50k(root, part):
    subset = FSD50K_TABLES[part]
    audio = root / f"FSD50K.{subset}_audio"
    split = {"train": "train", "valid": "val"}.get(part)
    found = []
    for row in read_table(root / "FSD50K.ground_truth" / f"{subset}.csv", ["fname", "labels"]):
        labels = row["labels"].split(",")
        path = audio / f"{row['fname']}.wav"
        wanted = split is None or row["split"] == split
        if wanted and not FSD50K_VOICES.intersection(labels):
            found.append(Recording(path, labels[0]))  # the most specific stands first
    return found


#: Name of a set: how its root is told, and its recordings of a part.
SETS = {
    "MUSAN": (lambda root: _folders(root, "noise", "music", "speech"), _musan),
    "ESC-50": (lambda root: (root / "meta" / "esc50.csv").is_file(), _esc50),
    "DEMAND": (_is_demand, _demand),
    "WHAM!": (lambda root: _folders(root, "tr", "cv", "tt"), _wham),
    "DNS-Challenge": (lambda root: _dns_folder(root) is not None, _dns),
    "FSD50K": (lambda root: _folders(root, "FSD50K.ground_truth"), _fsd50k),
}
