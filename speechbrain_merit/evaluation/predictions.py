"""``predictions.jsonl``: what a system made of each utterance under each condition, row by row.

JSON Lines: the first line, the header, says what was scored (see `provenance`); every other line is
a row (see `rows`), in the order of the test set. Rows are written as they are scored, so that an
interrupted evaluation goes on where it was, and all else that an evaluation writes is made of this
file, without the model. Files that end in ``.gz`` or ``.xz`` are read and written compressed.
"""

import gzip
import hashlib
import heapq
import json
import lzma
import zlib
from pathlib import Path

from speechbrain.utils.logger import get_logger

from speechbrain_merit.errors import PredictionsError
from speechbrain_merit.evaluation.rows import check_header, check_row
from speechbrain_merit.writing import named, whole

logger = get_logger(__name__)

PREDICTIONS = "predictions.jsonl"
COMPRESSED = {".gz": gzip.open, ".xz": lzma.open}


def read_predictions(path):
    """Reads the predictions of one file; every row is checked as it comes.

    Arguments
    ---------
    path : str or Path
        ``predictions.jsonl``, or the same with ``.gz`` or ``.xz`` behind it.

    Returns
    -------
    header : dict
        What was scored: see `provenance.header`.
    rows : iterator of dict
        See `rows`. It is drawn from the file as it is used: memory stays flat.

    Raises
    ------
    PredictionsError
        The file is missing, of another format or broken; from the iterator: a row is missing, there
        twice or broken, or the file ends too early.

    Example
    -------
    >>> header = {"format": 1, "labels": [], "attributes": [], "tasks": ["se"], "n_experts": None,
    ...           "checkpoint": None, "model": "", "settings": {}, "rows": 2, "sources": "",
    ...           "ids": ids_digest(["a", "b"]), "summary": {}}
    >>> path = write_predictions(Path(getfixture("tmpdir")) / "predictions.jsonl.xz", header, [])
    >>> list(read_predictions(path)[1])
    Traceback (most recent call last):
    ...
    speechbrain_merit.errors.PredictionsError: ... is half-written: 0 of 2 rows. Continue with: ...
    """
    return merge_predictions([path])


def merge_predictions(paths):
    """Reads several files, each a part of one evaluation, as one; as `read_predictions`.

    Arguments
    ---------
    paths : list of str or Path
        Files with one and the same header, their rows in the order of the test set, each row in one
        of them.

    Returns
    -------
    header : dict
        Of the first file.
    rows : iterator of dict
        In the order of the test set, each exactly once.

    Raises
    ------
    PredictionsError
        As `read_predictions`; or two files were not scored alike.
    """
    paths = [Path(path) for path in paths]
    headers = [_read_header(path) for path in paths]
    for path, header in zip(paths, headers):
        differing = differences(header, headers[0])
        if differing:
            raise PredictionsError(
                f"{path} and {paths[0]} are no parts of one evaluation: they differ in "
                f"{', '.join(differing)}."
            )
    parts = [_read_rows(path, header) for path, header in zip(paths, headers)]
    rows = heapq.merge(*parts, key=lambda part: part[1]["index"])
    return headers[0], _each_once(rows, headers[0], ", ".join(map(str, paths)))


def write_predictions(path, header, rows):
    """Writes a file of predictions, whole or not at all; returns its path.

    Arguments
    ---------
    path : str or Path
        Where to; compressed where it ends in ``.gz`` or ``.xz``.
    header : dict
        See `provenance.header`.
    rows : iterable of dict
        In the order of the test set.
    """
    path = Path(path)
    with whole(path) as partial, COMPRESSED.get(path.suffix, open)(partial, "wb") as file:
        file.write(_line(header))
        file.writelines(_line(row) for row in rows)
    return path


def find_predictions(folder):
    """The file of predictions of an evaluation's folder, compressed or not."""
    names = [PREDICTIONS, *(PREDICTIONS + ending for ending in COMPRESSED)]
    found = [path for path in (Path(folder) / name for name in names) if path.is_file()]
    if not found:
        raise PredictionsError(
            f"{folder} holds no {PREDICTIONS}: score the run first, with python evaluate.py RUN."
        )
    return found[0]


def resume(path, header, batches):
    """Makes a file ready for `append`: how many batches it holds that need no scoring again.

    What was scored alike is kept up to the last whole batch, so that every batch that is left is
    heard as an evaluation without interrupt hears it; a line that was cut is dropped. Of another
    checkpoint or other settings nothing is kept.

    Arguments
    ---------
    path : str or Path
        Of an evaluation that was interrupted; it need not be there.
    header : dict
        Of the evaluation that begins.
    batches : list of sequences of int
        Its rows, by their places in the test set, in the order in which they are written.

    Returns
    -------
    int
        Number of leading batches that the file holds.
    """
    path = Path(path)
    try:
        differing = differences(_read_header(path), header)
    except PredictionsError as error:
        if path.exists():
            logger.info(f"Scored anew: {error}")
        return begin(path, header)
    if differing:
        logger.info(f"Scored anew: {path} was scored with another {', '.join(differing)}.")
        return begin(path, header)
    kept = 0
    with open(path, "r+b") as file:
        file.readline()
        end = file.tell()
        for batch in batches:
            if not all(_is_row(file.readline(), index, header) for index in batch):
                break
            kept, end = kept + 1, file.tell()
        file.truncate(end)
    if kept:
        logger.info(f"{path} is continued: {sum(map(len, batches[:kept]))} rows are there.")
    return kept


def begin(path, header):
    """Begins a file anew, without rows; returns their number, 0."""
    with named(path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(_line(header))
    return 0


def append(path, header, rows):
    """Writes rows behind those of a file, each as soon as it comes.

    Raises
    ------
    PredictionsError
        A row holds what it should not, such as NaN where training diverged.
    """
    for row in rows:
        try:
            check_row(row, header)
        except ValueError as error:
            raise PredictionsError(f"{row.get('id')}: {error}. Has training diverged?") from error
        with named(path), open(path, "ab") as file:  # named: what fails in rows is of another file
            file.write(_line(row))


def differences(header, other):
    """What two headers name differently; the command that was given does not count.

    Example
    -------
    >>> one = {"rows": 2, "settings": {"test_seed": 0}, "summary": {"command": "a"}}
    >>> differences(one, {"rows": 2, "settings": {"test_seed": 1}, "summary": {"command": "b"}})
    ['test_seed']
    """
    one, two = ({**h, **h["settings"], **h["summary"]} for h in (header, other))
    keys = sorted({*one, *two} - {"settings", "summary", "command"})
    return [key for key in keys if one.get(key) != two.get(key)]


def ids_digest(ids):
    """What the ids of a test set, in their order, are known by.

    Example
    -------
    >>> ids_digest(["a", "b"]) == ids_digest(iter("ab")) != ids_digest(["b", "a"])
    True
    """
    digest = hashlib.sha256()
    for name in ids:
        digest.update(_line(name))
    return digest.hexdigest()


def _line(value):
    """A value as a line of strict JSON in ASCII."""
    return (json.dumps(value, allow_nan=False, separators=(",", ":")) + "\n").encode("ascii")


def _lines(path):
    """Yield the number and the bytes of each line, from 1."""
    try:
        with COMPRESSED.get(path.suffix, open)(path, "rb") as file:
            yield from enumerate(file, start=1)
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise PredictionsError(f"{path} cannot be read: {error}") from error


def _object(line):
    """The object of a line; ValueError where it is none."""

    def refuse(constant):
        raise ValueError(f"holds {constant}, which is no number")

    try:
        value = json.loads(line, parse_constant=refuse)
    except UnicodeDecodeError as error:
        raise ValueError("is no text") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"is no whole line of JSON ({error})") from error
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("is no object")
    return value


def _read_header(path):
    """The checked header of a file."""
    for _, line in _lines(Path(path)):
        try:
            header = _object(line)
        except ValueError:
            header = None
        try:
            check_header(header)
        except ValueError as error:
            raise PredictionsError(f"{path} {error}.") from error
        return header
    raise PredictionsError(f"{path} is empty: score the run, with python evaluate.py RUN.")


def _read_rows(path, header):
    """Yield each row with where it stands, checked."""
    for number, line in _lines(path):
        if number == 1:
            continue
        place = f"{path}, line {number}"
        try:
            row = _object(line)
            check_row(row, header)
        except ValueError as error:
            hint = "" if line.endswith(b"\n") else " It was cut: python evaluate.py RUN continues."
            raise PredictionsError(f"{place}: {error}.{hint}") from error
        yield place, row


def _each_once(rows, header, name):
    """Yield rows; PredictionsError unless they are the whole test set, in order, each once."""
    count, digest = 0, hashlib.sha256()
    for place, row in rows:
        if row["index"] < count:
            raise PredictionsError(f"{place}: {row['id']} (index {row['index']}) is there twice.")
        if row["index"] > count:
            raise PredictionsError(
                f"{place}: index {row['index']} follows {count - 1}: a row is missing or out of "
                "order. Score the run again: python evaluate.py RUN"
            )
        count += 1
        digest.update(_line(row["id"]))
        yield row
    if count < header["rows"]:
        raise PredictionsError(
            f"{name} is half-written: {count} of {header['rows']} rows. "
            "Continue with: python evaluate.py RUN"
        )
    if digest.hexdigest() != header["ids"]:
        raise PredictionsError(f"{name}: its ids are not those of the test set that it names.")


def _is_row(line, index, header):
    """Whether a line is the whole row of a place in the test set."""
    try:
        row = _object(line)
        check_row(row, header)
    except ValueError:
        return False
    return line.endswith(b"\n") and row["index"] == index
