"""Manifests: the JSON files between a corpus on disk and training.

A manifest is ``{utterance id: {"wav": "{data_root}/…", "duration": seconds, …}}``, as SpeechBrain's
`DynamicItemDataset.from_json` reads it. Beside the manifests lie ``prepare.json`` (the options
they were made with, so that a second run can reuse them) and, if a file
was left out, ``skipped.csv`` (see `preparation`).
"""

import hashlib
import json
from pathlib import Path

from speechbrain.dataio.dataio import load_data_json

from speechbrain_merit.errors import PreparationError
from speechbrain_merit.writing import write_text

FORMAT = 2  # raised when the content of manifests changes, so that old ones are made again
OPTIONS_FILE = "prepare.json"


def escape(text):
    """Doubles braces: SpeechBrain formats every string of a manifest to fill in the data root.

    Arguments
    ---------
    text : str
        Any text, such as a file name.

    Returns
    -------
    str
        The text that comes back as `text` once a manifest is loaded.

    Example
    -------
    >>> escape("take{2}.wav").format_map({})
    'take{2}.wav'
    """
    return text.replace("{", "{{").replace("}", "}}")


def rooted(path, folder, root="data_root"):
    """Writes a path relative to the corpus, behind a placeholder for the corpus folder.

    Arguments
    ---------
    path : Path
        A file below `folder`.
    folder : Path
        The folder of the corpus.
    root : str
        Name of the placeholder.

    Returns
    -------
    str
        For example ``{data_root}/Actor_01/x.wav``.

    Example
    -------
    >>> rooted(Path("corpus/Actor_01/x.wav"), Path("corpus"))
    '{data_root}/Actor_01/x.wav'
    """
    return "{" + root + "}/" + escape(Path(path).relative_to(folder).as_posix())


def write_manifest(path, entries):
    """Writes a manifest, sorted by id, completely or not at all.

    Arguments
    ---------
    path : str or Path
        The JSON file.
    entries : dict
        ``{id: {"wav": …, "duration": seconds, …}}``.

    Raises
    ------
    PreparationError
        If there are no entries.

    Example
    -------
    >>> path = Path(getfixture("tmpdir")) / "train.json"
    >>> write_manifest(path, {"b": {"wav": "b.wav", "duration": 1.0}})
    >>> load_manifest(path)
    {'b': {'wav': 'b.wav', 'duration': 1.0}}
    """
    if not entries:
        raise PreparationError(f"Nothing to write into {path}: the split is empty.")
    ordered = {key: entries[key] for key in sorted(entries)}
    text = json.dumps(ordered, indent=2, ensure_ascii=False) + "\n"
    # A file's name that is no UTF-8 holds lone surrogates; as \udcff, JSON brings them back.
    write_text(path, text, errors="backslashreplace")


class ByName(dict):
    """What a placeholder finds by name; ``str.format`` makes a number of a name that is digits.

    Example
    -------
    >>> "{data_root[007]}/a.wav".format(data_root=ByName({"007": "/bond", "A": "/a"}))
    '/bond/a.wav'
    """

    def __missing__(self, key):
        """What the name of a number stands for."""
        for name in self:
            if name.isdecimal() and int(name) == key:
                return self[name]
        raise KeyError(key)


def load_manifest(path, labels=None, replacements=None):
    """Reads a manifest and checks every row of it.

    Arguments
    ---------
    path : str or Path
        The JSON file.
    labels : list of str, optional
        The label set; if any are given, each row's ``emo`` has to be one of them.
    replacements : dict, optional
        Values for the placeholders, such as ``{"data_root": folder}``.

    Returns
    -------
    dict
        ``{id: row}``, as `DynamicItemDataset` takes it.

    Raises
    ------
    FileNotFoundError
        If there is no such manifest.
    PreparationError
        If it is not a manifest, has no rows, has an id twice, or a row lacks ``wav`` or a positive
        ``duration``, or its label is not in `labels`, or a placeholder has no value.

    Example
    -------
    >>> path = Path(getfixture("tmpdir")) / "train.json"
    >>> row = {"wav": "{data_root}/a.wav", "duration": 1.0, "emo": "sad"}
    >>> write_manifest(path, {"a": row})
    >>> load_manifest(path, ["sad", "happy"], {"data_root": "corpus"})["a"]["wav"]
    'corpus/a.wav'
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no manifest {path}: run again without skip_prep.")
    try:
        rows = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_no_duplicates)
    except ValueError as error:
        raise PreparationError(
            f"{path}: {error}. Delete the file and prepare the data again."
        ) from None
    if not isinstance(rows, dict) or not rows:
        raise PreparationError(f"{path} has no rows: delete it and prepare the data again.")
    written = [_escaped(label) for label in labels or []]
    for key, row in rows.items():
        _check_row(f"{path}: row {key!r}", row, written)
    if replacements is None:  # the placeholders stay, as in the file
        return rows
    replacements = {k: ByName(v) if isinstance(v, dict) else v for k, v in replacements.items()}
    try:
        return load_data_json(path, replacements)
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise PreparationError(
            f"{path}: what stands in braces there cannot be filled in ({error!r}). Delete the file "
            "and prepare the data again."
        ) from None


def escape_row(row):
    """A row whose every text comes back as it is once the manifest is loaded, as in `escape`.

    Example
    -------
    >>> escape_row({"spk_id": "{anna}", "age": 30})
    {'spk_id': '{{anna}}', 'age': 30}
    """
    return {field: _escaped(value) for field, value in row.items()}


def _escaped(value):
    return escape(value) if isinstance(value, str) else value


def _no_duplicates(pairs):
    found = {}
    for key, value in pairs:
        if key in found:  # plain json.loads would silently keep the last one
            raise ValueError(f"{key!r} stands there twice")
        found[key] = value
    return found


def _check_row(place, row, labels):
    if not isinstance(row, dict) or not isinstance(row.get("wav"), str):
        raise PreparationError(f"{place} has no 'wav': the path of a recording.")
    duration = row.get("duration")
    if not isinstance(duration, (int, float)) or not 0 < duration < float("inf"):
        raise PreparationError(
            f"{place} has the duration {duration!r}: it must be seconds above 0."
        )
    if labels and row.get("emo") not in labels:
        raise PreparationError(
            f"{place} has the label {row.get('emo')!r}, but the labels are {labels}. Add it "
            f"to `labels` in the corpus's YAML, or map or leave it out in its preparation."
        )


def digest(files):
    """A text that changes with any file's place or size, as an option for `skip`.

    Arguments
    ---------
    files : dict
        ``{set: list of Path}``.

    Returns
    -------
    str
        64 hexadecimal digits.

    Example
    -------
    >>> path = Path(getfixture("tmpdir")) / "a.wav"
    >>> before = digest({"train": [path]})
    >>> _ = path.write_text("")
    >>> before == digest({"train": [path]})
    False
    """
    seen = hashlib.sha256()
    for name, found in files.items():
        for path in found:
            size = path.stat().st_size if path.is_file() else -1
            seen.update(f"{name}\0{path.resolve()}\0{size}\n".encode(errors="surrogateescape"))
    return seen.hexdigest()


def skip(name, manifests, options):
    """Tells whether manifests made with the same options are there already.

    Arguments
    ---------
    name : str
        What is prepared, such as ``RAVDESS``; several may share a folder.
    manifests : list of str or Path
        The JSON files.
    options : dict
        All that the manifests' content depends on.

    Returns
    -------
    bool
        True if the preparation can be skipped.

    Example
    -------
    >>> path = Path(getfixture("tmpdir")) / "train.json"
    >>> write_manifest(path, {"a": {"wav": "a.wav", "duration": 1.0}})
    >>> remember("MINE", [path], {"labels": ["sad"]})
    >>> skip("MINE", [path], {"labels": ["sad"]}), skip("MINE", [path], {"labels": ["happy"]})
    (True, False)
    """
    if not all(Path(path).is_file() for path in manifests):
        return False
    return _read_options(manifests).get(name) == _comparable(manifests, options)


def remember(name, manifests, options):
    """Notes, as the last step of a preparation, the options it was made with.

    Arguments
    ---------
    name : str
        As in `skip`.
    manifests : list of str or Path
        As in `skip`; ``prepare.json`` is written beside the first.
    options : dict or None
        As in `skip`; None forgets the note, as the first step of a preparation has to, so that an
        interrupted one is not taken for complete.

    Example
    -------
    >>> path = Path(getfixture("tmpdir")) / "train.json"
    >>> remember("MINE", [path], {"labels": ["sad"]})
    >>> sorted(json.loads((path.parent / "prepare.json").read_text())["MINE"])
    ['format', 'labels', 'manifests']
    """
    notes = _read_options(manifests)
    known = notes.pop(name, None)
    if options is not None:
        notes[name] = _comparable(manifests, options)
    elif known is None:
        return
    text = json.dumps(notes, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    write_text(Path(manifests[0]).parent / OPTIONS_FILE, text)


def _comparable(manifests, options):
    names = [Path(path).name for path in manifests]
    return json.loads(json.dumps({**options, "manifests": names, "format": FORMAT}))


def _read_options(manifests):
    path = Path(manifests[0]).parent / OPTIONS_FILE
    try:
        notes = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, or damaged: then all is prepared again
        return {}
    return notes if isinstance(notes, dict) else {}
