"""Finds the recording that a table means, where it names it in another way than the disk does."""

import os
import posixpath
import re
from pathlib import Path

from speechbrain_merit.audio.inspection import AUDIO_SUFFIXES, find_audio
from speechbrain_merit.audio.names import readable, some
from speechbrain_merit.data.listing import folded
from speechbrain_merit.errors import PreparationError

DRIVE = re.compile(r"[A-Za-z]:/")


class Recordings:
    r"""The recordings of a folder, by the names that tables have for them.

    A name is looked for as it is; then in another form of Unicode, in other capital and small
    letters, and without its suffix; then, if it names no folder, in every folder. An absolute path,
    or one that begins above the folder, counts from the folder's own name on. The first of these
    that one recording answers to is taken.

    Arguments
    ---------
    root : str or Path
        The folder; it is searched with all folders below.

    Attributes
    ----------
    paths : dict
        ``{path within the folder: Path}``, sorted; ``/`` stands between folders everywhere.

    Example
    -------
    >>> root = Path(getfixture("tmpdir"), "speech")
    >>> (root / "anna").mkdir(parents=True)
    >>> (root / "anna" / "Take 1.WAV").touch()
    >>> recordings = Recordings(root)
    >>> names = ["anna/take 1.wav", "Take 1", r"anna\Take 1.flac", r"D:\speech\anna\Take 1.wav"]
    >>> {recordings.find(name) for name in names}
    {'anna/Take 1.WAV'}
    >>> recordings.find("ben/Take 1.wav") in recordings.paths
    False
    """

    def __init__(self, root):
        self.root = Path(root)
        self.places = [f"{p.as_posix()}/" for p in (self.root.absolute(), self.root.resolve())]
        self.own_name = folded(self.root.resolve().name)
        self.paths = {p.relative_to(self.root).as_posix(): p for p in find_audio(self.root)}
        self.steps = []
        for change in (readable, folded, _without_suffix):
            found = {}
            for name in self.paths:
                found.setdefault(change(readable(name)), []).append(name)
            self.steps.append((change, found))
        self.anywhere = {}
        for name in self.paths:
            key = _without_suffix(readable(posixpath.basename(name)))
            self.anywhere.setdefault(key, []).append(name)

    def find(self, name):
        """The path within the folder that a name stands for; in `paths` if it is there.

        Raises
        ------
        PreparationError
            Several recordings answer to it, or it is the path of another folder.
        """
        if name in self.paths:
            return name
        candidates = self._within(name.replace("\\", "/"))
        if not candidates:
            raise PreparationError(f"{name} is no path within {self.root}")
        found = map(self._look_up, candidates)
        return next((path for path in found if path is not None), candidates[0])

    def _within(self, text):
        """What a name may be as a path within the folder."""
        candidates = []
        if _is_absolute(text):
            candidates += [text[len(p) :] for p in self.places if text.startswith(p)]
        elif not posixpath.normpath(text).startswith(".."):
            candidates.append(text)
        parts = [part for part in text.split("/") if part not in ("", ".")]
        for index, part in enumerate(parts[:-1]):
            if folded(part) == self.own_name:
                candidates.append("/".join(parts[index + 1 :]))
        return [posixpath.normpath(path) for path in candidates]

    def _look_up(self, path):
        if path in self.paths:
            return path
        for change, found in self.steps:
            if change(path) in found:
                return _the_one(path, found[change(path)])
        if "/" not in path and _without_suffix(path) in self.anywhere:
            return _the_one(path, self.anywhere[_without_suffix(path)])
        return None


def _the_one(path, names):
    if len(names) > 1:
        raise PreparationError(f"{path} may be {some(names)}: name one of them in full")
    return names[0]


def _is_absolute(text):
    return text.startswith("/") or DRIVE.match(text) is not None


def _without_suffix(name):
    stem, suffix = os.path.splitext(name)
    return folded(stem if suffix.lower() in AUDIO_SUFFIXES else name)
