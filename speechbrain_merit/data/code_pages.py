"""Text from the bytes of a table, whatever program wrote it, or a word on why that cannot be.

UTF-8 and UTF-16 can be told for certain. Of the old code pages Windows-1252 alone is taken, where
what it gives looks like words of Western languages: Cyrillic, Greek or Polish letters read by it
would be names that nobody has, and nothing would say so.
"""

import codecs
import re
from pathlib import Path

from speechbrain.utils.logger import get_logger

from speechbrain_merit.errors import PreparationError

logger = get_logger(__name__)

MARKS = {  # the longest first: UTF-32's begins like UTF-16's
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
WORKBOOKS = (b"PK\x03\x04", bytes.fromhex("d0cf11e0a1b11ae1"))  # .xlsx and .ods, .xls
SAVE_AS_UTF8 = "open it in the program that wrote it and save it as UTF-8 (Excel: CSV UTF-8)"

# What no word of a Western language holds, in text that is read as Windows-1252.
ACCENTED = "À-ÖØ-öø-ÿŠšŒœŽžŸ"
LETTER = "A-Za-z" + ACCENTED
BETWEEN_LETTERS = r"·’‘–—…´ªº\xa0"  # signs that may stand there
NOT_WESTERN = re.compile(
    rf"(?<![{LETTER}])[{ACCENTED}]{{2,}}(?![{LETTER}])"  # a word of accented letters alone
    rf"|[{ACCENTED}]{{3,}}"
    rf"|[{LETTER}][^\x00-\x7f{ACCENTED}{BETWEEN_LETTERS}][{LETTER}]"  # a sign within a word
    r"|[a-zß-öø-ÿšœž][À-ÖØ-ÞŠŒŽŸ]"  # an accented capital after a small letter
)


def decode(content):
    r"""Text from bytes in UTF-8, UTF-16 or Windows-1252, without its mark; never refused.

    For files of which only the plain letters matter.

    Example
    -------
    >>> decode("né".encode("utf-16")), decode("né".encode("cp1252"))
    ('né', 'né')
    """
    for mark, encoding in MARKS.items():
        if content.startswith(mark):
            return content.decode(encoding, errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def read_text(path):
    r"""The text of a table: UTF-8, UTF-16, or Windows-1252 with a warning.

    Arguments
    ---------
    path : Path
        The file.

    Returns
    -------
    str
        Its text, without the mark of its encoding.

    Raises
    ------
    PreparationError
        The file is a workbook, is cut off, or is in none of these encodings.

    Example
    -------
    >>> path = Path(getfixture("tmpdir")) / "labels.csv"
    >>> _ = path.write_bytes("file,speaker\n1.wav,Анна\n".encode("cp1251"))
    >>> try:
    ...     read_text(path)
    ... except PreparationError as error:
    ...     print(str(error).split("labels.csv", 1)[1].split(":", 1)[0])
    , line 2 is not UTF-8, and 'Àííà' is no word in Windows-1252
    """
    path = Path(path)
    content = path.read_bytes()
    if content.startswith(WORKBOOKS):
        raise PreparationError(
            f"{path} is a workbook under the name of a table: {SAVE_AS_UTF8}, not just rename it."
        )
    encoding = next((name for mark, name in MARKS.items() if content.startswith(mark)), None)
    encoding = encoding or _unmarked_utf16(content)
    try:
        text = content.decode(encoding or "utf-8-sig")
    except UnicodeDecodeError as error:
        if encoding is None and b"\0" not in content:
            return _western(path, content, error.start)
        text = "\0"
    if "\0" in text:
        raise PreparationError(
            f"{path} is damaged: it holds what is no text. Copy it again, or {SAVE_AS_UTF8}."
        )
    return text


def _unmarked_utf16(content):
    """UTF-16 without its mark is told by the zeros beside plain letters; None for anything else."""
    first, second = content[::2].count(0), content[1::2].count(0)
    if 10 * max(first, second) < len(content) or 8 * min(first, second) > max(first, second):
        return None
    return "utf-16-le" if second > first else "utf-16-be"


def _western(path, content, first_wrong):
    """The text as Windows-1252, if it reads like that."""
    try:
        text = content.decode("cp1252")
        found = NOT_WESTERN.search(text)
        at, word = (found.start(), _word(text, found.start())) if found else (None, None)
    except UnicodeDecodeError as error:
        text, at, word = "", error.start, content[error.start : error.start + 1]
    if at is not None:
        line = content.count(b"\n", 0, at) + 1
        raise PreparationError(
            f"{path}, line {line} is not UTF-8, and {word!r} is no word in Windows-1252: the "
            f"table is in an encoding that cannot be told. Please {SAVE_AS_UTF8}."
        )
    logger.warning(
        f"{path} is not UTF-8 and was read as Windows-1252 ({_word(text, first_wrong)!r}): save it "
        "as UTF-8 if that is not what it says."
    )
    return text


def _word(text, at):
    """The word around a place in a text; one byte of Windows-1252 is one letter."""
    start = re.search(r"[^\s,;|/\\\"]*$", text[max(0, at - 40) : at]).group()
    return start + re.match(r"[^\s,;|/\\\"]*", text[at : at + 40]).group()
