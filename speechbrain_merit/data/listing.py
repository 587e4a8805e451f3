"""What the owners of a corpus publish: folders, file names and tables of labels.

File names are taken as the owners' rules have them, and what does not follow is counted and said.
Tables come out of spreadsheets of all kinds: in several encodings (see `code_pages`), with
semicolons, with a comma inside quotes, with a first line for the spreadsheet alone.
"""

import csv
import io
import math
import re
import unicodedata
from pathlib import Path

from speechbrain.utils.logger import get_logger

from speechbrain_merit.audio.inspection import find_audio
from speechbrain_merit.audio.names import some
from speechbrain_merit.data.code_pages import read_text
from speechbrain_merit.errors import PreparationError

logger = get_logger(__name__)

DELIMITERS = ",;\t|"
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[ \t]*(?:\r\n|\r|\n)', re.IGNORECASE)  # for Excel
EXCEL_ERROR = re.compile(r"#(n/?[avd]|.*[!?])", re.IGNORECASE)  # "#NV", "#REF!", "#NOMBRE?"
# What stands where nobody gave a rating.
UNRATED = frozenset({"", "nan", "na", "n/a", "#n/a", "none", "null", "unknown", "-", "–", "?"})


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


def read_table(path, columns, optional=()):
    r"""Reads a table of labels, whatever program wrote it.

    Arguments
    ---------
    path : str or Path
        Text with one line of column names: UTF-8, UTF-16, or Windows-1252; fields between commas,
        semicolons, tabs or bars, in quotes where need be; any line ends. A first line ``sep=;``,
        as Excel takes it, names what stands between fields.
    columns, optional : list of str
        Columns that have to be there, and some that may. They are found in capital and small
        letters alike, and named in the rows as here.

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
        If the encoding cannot be told, a column is missing or there twice, or a row has more or
        fewer fields than the first line.

    Example
    -------
    >>> path = Path(getfixture("tmpdir")) / "labels.csv"
    >>> _ = path.write_bytes(b'\xef\xbb\xbfFile;note\r\na.wav;"one; two"\r\n')
    >>> read_table(path, ["file"])
    [{'line': 2, 'file': 'a.wav', 'note': 'one; two'}]
    """
    return list(table_rows(path, columns, optional))


def table_rows(path, columns, optional=()):
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
    text = read_text(path)
    lines, delimiter = io.StringIO(text, newline=""), None
    announced = SEPARATOR_LINE.match(text)
    if announced:
        delimiter = announced[1]
        lines.seek(announced.end())
    else:
        head = re.split(r"[\r\n]", text.lstrip(), maxsplit=1)[0]
        delimiter = max(DELIMITERS, key=head.count)
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    names = None
    try:
        for fields in reader:
            line = reader.line_num + bool(announced)
            fields = [field.strip() for field in fields]
            if not any(fields):
                continue
            if names is None:
                names = _column_names(path, fields, columns, optional)
                continue
            while len(fields) > len(names) and not fields[-1]:
                fields.pop()  # of empty cells, spreadsheets write any number behind a row
            left_out = names[len(fields) :]
            if {*left_out} <= {*optional}:  # nor do they write empty cells at a row's end
                fields += [""] * len(left_out)
            if len(fields) != len(names):
                raise PreparationError(
                    f"{path}, line {line}: {len(fields)} fields, but {len(names)} "
                    f"columns: {some(fields)}."
                )
            yield {"line": line, **{k: v for k, v in zip(names, fields) if k != "line"}}
    except csv.Error as error:
        raise PreparationError(
            f"{path}, line {reader.line_num}: {error}. Is a quote left open, there or above?"
        ) from None
    if names is None:
        raise PreparationError(f"{path} is empty: copy it from the corpus again.")


def _column_names(path, found, columns, optional):
    """The first line of a table, with the columns that are asked for as they were asked for."""
    names = list(found)
    for column in (*columns, *optional):
        alike = [i for i, name in enumerate(found) if name == column]
        alike = alike or [i for i, name in enumerate(found) if folded(name) == folded(column)]
        if len(alike) > 1:
            raise PreparationError(
                f"{path} has {len(alike)} columns {column}: keep one, or rename the others."
            )
        if alike:
            names[alike[0]] = column
    missing = [column for column in columns if column not in names]
    if missing:
        raise PreparationError(
            f"{path} has no column {' or '.join(missing)}; it has {', '.join(found)}."
        )
    return names


def folded(text):
    """What is the same in two spellings: letters large and small, composed or not (Unicode NFC).

    Example
    -------
    >>> folded("JO\u0308RG") == folded("jörg")
    True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text.strip()).casefold())


def read_rating(text, place):
    """A rating such as arousal as it stands in a table.

    Arguments
    ---------
    text : str
        The value, also with a comma for the point.
    place : str
        File, line and column, for the message.

    Returns
    -------
    float or None
        None where nobody gave one: nothing, ``nan``, ``n/a`` and the like.

    Raises
    ------
    PreparationError
        If it is something else than a number.

    Example
    -------
    >>> read_rating("3,5", "labels.csv, line 2: arousal"), read_rating("NaN", "")
    (3.5, None)
    """
    text = text.strip()
    if text.lower() in UNRATED:
        return None
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        raise PreparationError(f"{place} is {text!r}, not a number.") from None
    return None if math.isnan(value) else value


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
    float or None
        0 for `lowest`, 1 for `highest`, None where nobody gave a rating.

    Raises
    ------
    PreparationError
        If it is no number or lies outside the scale.

    Example
    -------
    >>> scale_attribute("4", 1, 5, "labels.csv, line 2: arousal")
    0.75
    """
    value = read_rating(text, place)
    if value is None:
        return None
    if not lowest <= value <= highest:
        raise PreparationError(f"{place} is {value:g}, not between {lowest:g} and {highest:g}.")
    return round((value - lowest) / (highest - lowest), 6)
