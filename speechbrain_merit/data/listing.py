"""What the owners of a corpus publish: folders, file names and tables of labels.

File names are taken as the owners' rules have them, and what does not follow is counted and said.
Tables come out of spreadsheets of all kinds: with a byte order mark, in UTF-16 or Windows-1252,
with semicolons, with a comma inside quotes.
"""

import codecs
import csv
import io
from pathlib import Path

from speechbrain.utils.logger import get_logger

from speechbrain_merit.audio.inspection import find_audio
from speechbrain_merit.errors import PreparationError

logger = get_logger(__name__)

MAX_NAMED = 10  # of many files that are wrong, a message names this many
DELIMITERS = ",;\t|"


def check_folder(data_folder, source):
    """The folder of a corpus, if there is one.

    Arguments
    ---------
    data_folder : str, Path or None
        As the user gave it.
    source : str
        Where the corpus can be had, for the message.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FileNotFoundError
        If it is not set or not there.

    Example
    -------
    >>> check_folder("nowhere", "MY can be had at https://my.example")
    Traceback (most recent call last):
      ...
    FileNotFoundError: data_folder: there is no folder nowhere. MY can be had at https://my.example.
    """
    if not data_folder:
        raise FileNotFoundError(f"data_folder is not set. {source}.")
    folder = Path(data_folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"data_folder: there is no folder {folder}. {source}.")
    return folder


def named_files(corpus, folders, pattern, example, source):
    """Recordings whose names follow the rule of a corpus.

    Arguments
    ---------
    corpus : str
        Its name, for messages.
    folders : list of Path
        Where to look, with all folders below.
    pattern : re.Pattern
        The whole name without its suffix has to match it.
    example : str
        A name that follows the rule, for messages.
    source : str
        Where the corpus can be had, for messages.

    Returns
    -------
    dict
        ``{name without suffix: (path, match)}``, sorted by path. Others are counted in the log.

    Raises
    ------
    FileNotFoundError
        If no name follows the rule.
    PreparationError
        If a name is there twice.

    Example
    -------
    >>> import re
    >>> folder = Path(getfixture("tmpdir"))
    >>> for name in ("A1_sad.wav", "notes.wav"):
    ...     (folder / name).touch()
    >>> found = named_files("MY", [folder], re.compile(r"(A[1-9])_(sad|happy)"), "A1_sad.wav", "")
    >>> {name: match.groups() for name, (_, match) in found.items()}
    {'A1_sad': ('A1', 'sad')}
    """
    found, others = {}, []
    for path in (path for folder in folders for path in find_audio(folder)):
        match = pattern.fullmatch(path.stem)
        if match is None:
            others.append(path.name)
        elif path.stem in found:
            raise PreparationError(
                f"{corpus}: {found[path.stem][0]} and {path} are the same utterance: keep one of "
                "them."
            )
        else:
            found[path.stem] = (path, match)
    if not found:
        raise FileNotFoundError(
            f"data_folder: no recording in {folders[0]} is named like those of {corpus} "
            f"({example}). {source}."
        )
    if others:
        logger.warning(
            f"{corpus}: {len(others)} recordings passed over, not named like {example}: "
            f"{some(others)}."
        )
    return found


def some(names):
    """The first few of many names, for a message.

    Example
    -------
    >>> some(["a", "b"])
    'a, b'
    """
    rest = len(names) - MAX_NAMED
    return ", ".join(map(str, names[:MAX_NAMED])) + (f" and {rest} more" if rest > 0 else "")


def read_table(path, columns):
    r"""Reads a table of labels, whatever program wrote it.

    Arguments
    ---------
    path : str or Path
        Text with one line of column names: UTF-8, UTF-16 with its mark, or Windows-1252; fields
        between commas, semicolons, tabs or bars, in quotes where need be; any line ends.
    columns : list of str
        Columns that have to be there.

    Returns
    -------
    list of dict
        A row each, with ``line``, its line in the file, and the fields by column, without spaces
        around them. Empty lines are left out.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    PreparationError
        If a column is missing, or a row has more or fewer fields than the first line.

    Example
    -------
    >>> path = Path(getfixture("tmpdir")) / "labels.csv"
    >>> _ = path.write_bytes(b'\xef\xbb\xbffile;note\r\na.wav;"one; two"\r\n')
    >>> read_table(path, ["file"])
    [{'line': 2, 'file': 'a.wav', 'note': 'one; two'}]
    """
    return list(table_rows(path, columns))


def table_rows(path, columns):
    r"""Yields the rows of `read_table` one by one: for tables of a million rows.

    Example
    -------
    >>> path = Path(getfixture("tmpdir")) / "labels.csv"
    >>> _ = path.write_text("file,emotion\na.wav,sad")
    >>> next(table_rows(path, ["file"]))["emotion"]
    'sad'
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}: the corpus's labels stand in it.")
    text = decode(path.read_bytes())
    head = text.lstrip().split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(DELIMITERS, key=head.count))
    names = None
    try:
        for fields in reader:
            fields = [field.strip() for field in fields]
            if not any(fields):
                continue
            if names is None:
                names = fields
                missing = [column for column in columns if column not in names]
                if missing:
                    raise PreparationError(
                        f"{path} has no column {' or '.join(missing)}; it has {', '.join(names)}."
                    )
            elif len(fields) != len(names):
                raise PreparationError(
                    f"{path}, line {reader.line_num}: {len(fields)} fields, but {len(names)} "
                    f"columns: {some(fields)}."
                )
            else:
                yield {"line": reader.line_num, **dict(zip(names, fields))}
    except csv.Error as error:
        raise PreparationError(
            f"{path}, line {reader.line_num}: {error}. Is a quote left open, there or above?"
        ) from None
    if names is None:
        raise PreparationError(f"{path} is empty: copy it from the corpus again.")


def decode(content):
    r"""Text from the bytes of a file in UTF-8, UTF-16 or Windows-1252, without its mark.

    Example
    -------
    >>> decode("né".encode("utf-16")), decode("né".encode("cp1252"))
    ('né', 'né')
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def scale_attribute(text, lowest, highest, place):
    """An attribute such as arousal, from the scale of a corpus to 0 … 1.

    Arguments
    ---------
    text : str
        The value as it stands in a file, also with a comma for the point.
    lowest, highest : float
        The ends of the scale.
    place : str
        File, line and column, for the message.

    Returns
    -------
    float
        0 for `lowest`, 1 for `highest`.

    Raises
    ------
    PreparationError
        If it is no number or lies outside the scale.

    Example
    -------
    >>> scale_attribute("4", 1, 5, "labels.csv, line 2: arousal")
    0.75
    """
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        raise PreparationError(f"{place} is {text!r}, not a number.") from None
    if not lowest <= value <= highest:
        raise PreparationError(f"{place} is {value:g}, not between {lowest:g} and {highest:g}.")
    return round((value - lowest) / (highest - lowest), 6)
