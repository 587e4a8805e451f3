"""Whether a benchmark is the same test as another: file by file, and the step where it parts."""

import lzma
from pathlib import Path

from speechbrain_merit.data.exact.noises import KINDS
from speechbrain_merit.data.noisyemo.build import read_flac
from speechbrain_merit.data.noisyemo.manifest import BESIDE, read_manifest
from speechbrain_merit.data.noisyemo.published import sha256
from speechbrain_merit.errors import AudioError, PreparationError
from speechbrain_merit.evaluation.parallel import ordered_map
from speechbrain_merit.writing import whole

DIGITS = 16  # of a SHA-256 that are committed, of each file and its source
FIRST = ("clean", "noise")  # inputs: what is made of another input differs too
STEPS = {
    "missing": "it is missing: give the command again that built it",
    "damaged": "its samples are not those that were written: it was damaged or changed since. "
    "Delete it, and give the command again that built it",
    "input": "input: the published file holds other samples, of another release or a copy of it. "
    "Fetch it again, and give the command again that built it",
    "lacks": "input: the other one holds it, this one does not: a recording was missing here when "
    "it was built. Complete the copy, and give the command again that built it",
    "more": "input: the other one does not hold it: a recording was missing there, or is one too "
    "many here",
    "voices": "input: it is of all validation speakers' recordings, and one of these holds other "
    "samples or is missing. Fetch them again, and give the command again that built it",
    "conversion": "conversion: the published file is the same, its 16 kHz samples are not",
    "noise": "input: the noise recording is another one",
    "mixing": "mixing: speech and noise are the same, what was made of them is not",
    "babble": "mixing: the voices are the same, what was made of them is not",
    "own": "mixing: it is made of nothing but draws, and came out otherwise",
}


def verify(folder, expected, jobs=-1):
    """Compares a benchmark's folder with the hashes of another one.

    Arguments
    ---------
    folder : str or Path
        With ``manifest.csv``.
    expected : str or Path
        Committed hashes (``.csv.xz``), or the manifest of another machine.
    jobs : int
        Processes.

    Returns
    -------
    tuple
        None and the number of files compared where both are the same test; otherwise the first
        file that differs and why, a text.

    Raises
    ------
    PreparationError
        The folder holds no whole benchmark, or the two have no file in common.
    """
    folder = Path(folder)
    rows = [row for row in read_manifest(folder) if row["kind"] != BESIDE]
    paths = [(folder / row["file"], row["sha256"]) for row in rows]
    for (path, _), found in zip(paths, ordered_map(_state, paths, jobs, "Reading")):
        if found is not None:
            return path.relative_to(folder).as_posix(), STEPS[found]
    wanted = read_hashes(expected)
    own = _hashes(rows)
    sets, theirs = ({_set(file) for file in files} for files in (own, wanted))
    common = {file: pair for file, pair in wanted.items() if _set(file) in sets}
    if not {*own} & {*common}:
        raise PreparationError(f"{expected} holds the hashes of none of the files in {folder}.")
    lacking = {*common} - {*own}
    if lacking:
        return min(lacking, key=_place), STEPS["lacks"]
    more = {file for file in own if _set(file) in theirs} - {*common}
    if more:
        return min(more, key=_place), STEPS["more"]
    for file in sorted(common, key=_place):
        samples, source = (
            "" not in (mine, other) and mine[:DIGITS] != other[:DIGITS]
            for mine, other in zip(own[file], common[file])  # older ones have no source of babble
        )
        if samples or source:
            return file, STEPS[_step(file, source)]
    return None, len(common)


def alone(folder, expected):
    """What only one of two benchmarks holds, which `verify` therefore does not compare.

    Returns
    -------
    tuple
        Noise sets and distortions of the expected one alone, of the folder's alone (lists); and
        whether the first are part of every benchmark, and no noise that somebody added.
    """
    mine, theirs = _hashes(read_manifest(folder)), read_hashes(expected)
    added = {_set(file) for file in theirs if file.startswith("noise/")} - {*KINDS, "babble"}
    sets, others = ({_set(file) for file in files} for files in (mine, theirs))
    return sorted(others - sets), sorted(sets - others), bool(others - sets - added)


def _place(file):
    """Where a file comes in the order of comparison."""
    return file.split("/")[0] not in FIRST, file


def _step(file, source):
    """The step that made a file another one: the first of all that differ, by `_place`."""
    kind = file.split("/")[0]
    if kind not in FIRST:
        return "mixing"
    if kind == "clean":
        return "input" if source else "conversion"
    if _set(file) == "babble":
        return "voices" if source else "babble"
    if _set(file) in KINDS:
        return "own"
    return "noise" if source else "conversion"


def _set(file):
    """The noise set, distortion or ``clean`` that a file belongs to."""
    parts = file.split("/")
    return parts[1] if parts[0] == "noise" else parts[0]


def _state(item):
    """None for a file that is as it was written, otherwise what is wrong."""
    path, digest = item
    if not path.is_file():
        return "missing"
    try:
        return None if sha256(read_flac(path)) == digest else "damaged"
    except AudioError:
        return "damaged"


def read_hashes(path):
    """``{file: (hash, hash of its source)}`` of committed hashes or a manifest.

    Raises
    ------
    PreparationError
        The file is missing or broken.
    """
    path = Path(path)
    if path.suffix != ".xz":
        return _hashes(read_manifest(path))
    try:
        with lzma.open(path, "rt", encoding="utf-8") as file:
            lines = [line.rstrip("\n").rsplit(",", 2) for line in file]
        return {name: (own, source) for name, own, source in lines}
    except (OSError, EOFError, ValueError, lzma.LZMAError) as error:
        raise PreparationError(f"{path} holds no hashes: {error}") from error


def _hashes(rows):
    """``{file: (hash, hash of its source)}`` of rows, but for those beside the test."""
    rows = (row for row in rows if row["kind"] != BESIDE)
    return {row["file"]: (row["sha256"], row["source_sha256"]) for row in rows}


def write_hashes(folder, path):
    """Writes the hashes of a benchmark to be committed, 16 digits of each."""
    found = _hashes(read_manifest(folder))
    lines = [f"{file},{own[:DIGITS]},{source[:DIGITS]}\n" for file, (own, source) in found.items()]
    with whole(path) as partial, lzma.open(partial, "wt", preset=9, encoding="utf-8") as file:
        file.writelines(lines)
