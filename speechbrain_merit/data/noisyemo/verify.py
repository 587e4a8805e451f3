"""Whether a benchmark is the same test as another: file by file, and the step where it parts."""

import lzma
from pathlib import Path

from speechbrain_merit.data.noisyemo.build import read_flac
from speechbrain_merit.data.noisyemo.manifest import read_manifest
from speechbrain_merit.data.noisyemo.published import sha256
from speechbrain_merit.errors import AudioError, PreparationError
from speechbrain_merit.evaluation.parallel import ordered_map
from speechbrain_merit.writing import whole

DIGITS = 16  # of a SHA-256 that are committed, of each file and its source
STEPS = {
    "missing": "it is missing",
    "damaged": "its samples are not those that were written: it was damaged or changed since",
    "input": "input: the published file holds other samples, of another release or a copy of it",
    "conversion": "conversion: the published file is the same, its 16 kHz samples are not",
    "noise": "input: the noise recording is another one",
    "mixing": "mixing: speech and noise are the same, what was made of them is not",
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
    rows = read_manifest(folder)
    paths = [(folder / row["file"], row["sha256"]) for row in rows]
    for (path, _), found in zip(paths, ordered_map(_state, paths, jobs, "Reading")):
        if found is not None:
            return path.relative_to(folder).as_posix(), STEPS[found]
    wanted = read_hashes(expected)
    own = {row["file"]: (row["sha256"], row["source_sha256"]) for row in rows}
    sets = {row["condition"] for row in rows}
    common = {file: pair for file, pair in wanted.items() if _set(file) in sets | {"clean"}}
    if not common or not {*own} & {*common}:
        raise PreparationError(f"{expected} holds the hashes of none of the files in {folder}.")
    missing = sorted({*common} - {*own})
    if missing:
        return missing[0], STEPS["missing"]
    noise = {row["file"]: row["noise"] for row in rows}
    clean = {row["file"]: f"clean/{row['utterance']}.flac" for row in rows if row["utterance"]}

    def differs(file, part):
        known = common.get(file)
        return known is not None and own[file][part][:DIGITS] != known[part][:DIGITS]

    # Inputs first: what is made of another input differs too, and the input is why.
    order = ("clean", "noise")
    for file in sorted(common, key=lambda f: (f.split("/")[0] not in order, f)):
        if differs(file, 1):
            return file, STEPS["noise" if file.startswith("noise/") else "input"]
        if differs(file, 0):
            if file.startswith(("clean/", "noise/")) and own[file][1]:
                return file, STEPS["conversion"]
            if file.startswith("noise/"):
                return file, STEPS["mixing"].replace("speech and noise are", "the voices are")
            for cause in (clean[file], noise[file]):
                if cause and differs(cause, 0):
                    return cause, STEPS["conversion"]
            return file, STEPS["mixing"]
    return None, len(common)


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
        rows = read_manifest(path)
        return {row["file"]: (row["sha256"], row["source_sha256"]) for row in rows}
    try:
        with lzma.open(path, "rt", encoding="utf-8") as file:
            lines = [line.rstrip("\n").split(",") for line in file]
        return {name: (own, source) for name, own, source in lines}
    except (OSError, EOFError, ValueError, lzma.LZMAError) as error:
        raise PreparationError(f"{path} holds no hashes: {error}") from error


def write_hashes(folder, path):
    """Writes the hashes of a benchmark to be committed, 16 digits of each."""
    rows = read_manifest(folder)
    lines = [f"{r['file']},{r['sha256'][:DIGITS]},{r['source_sha256'][:DIGITS]}\n" for r in rows]
    with whole(path) as partial, lzma.open(partial, "wt", preset=9, encoding="utf-8") as file:
        file.writelines(lines)
