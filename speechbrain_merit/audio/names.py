"""Names of files as other systems, programs and encodings write them."""

import hashlib
import os
import unicodedata

MAX_NAMED = 10  # of many files, a message names this many
LONGEST = 255  # bytes of a name, on nearly every file system


def readable(name):
    r"""The name of a file as text in one form; bytes that are no UTF-8 are read as Windows-1252.

    For comparing and for messages: the file itself does not answer to it.

    Example
    -------
    >>> readable("n\udce9.wav"), readable("ne\u0301.wav")
    ('né.wav', 'né.wav')
    """
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        name = os.fsencode(name).decode("cp1252", errors="replace")
    return unicodedata.normalize("NFC", name)


def some(names):
    """The first few of many names, for a message.

    Example
    -------
    >>> some(["a", "b"])
    'a, b'
    """
    names = list(names)
    rest = len(names) - MAX_NAMED
    return ", ".join(readable(str(n)) for n in names[:MAX_NAMED]) + (
        f" and {rest} more" if rest > 0 else ""
    )


def shortened(name, room):
    """A name that leaves ``room`` bytes for an ending; cut and told apart by a hash if need be.

    Example
    -------
    >>> shortened("call", 13), len(shortened("x" * 250, 13)) + 13
    ('call', 255)
    """
    raw = os.fsencode(name)
    if len(raw) + room <= LONGEST:
        return name
    mark = "_" + hashlib.sha256(raw).hexdigest()[:8]
    raw = raw[: LONGEST - room - len(mark)]
    while raw and raw[-1] & 0xC0 == 0x80:  # within a character of UTF-8
        raw = raw[:-1]
    if raw and raw[-1] & 0xC0 == 0xC0:
        raw = raw[:-1]
    return os.fsdecode(raw) + mark
