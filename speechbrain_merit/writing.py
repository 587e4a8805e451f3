"""Files that are there whole or not at all, whenever the program or the machine stops."""

import os
import uuid
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path):
    """Gives a temporary path beside ``path``, and moves what was written there into its place.

    Its name is short whatever ``path``'s is, so that a name of the longest length can be written.

    Arguments
    ---------
    path : str or Path
        The file; its folder is made if need be.

    Yields
    ------
    Path
        Where to write; gone after an error, and the old file is untouched.

    Example
    -------
    >>> folder = Path(getfixture("tmpdir"))
    >>> with whole(folder / "note.txt") as partial:
    ...     _ = partial.write_text("done")
    >>> [path.name for path in folder.iterdir()]
    ['note.txt']
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with named(path):
            yield partial
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def named(path):
    """Names a file in an error of the system that names none, such as that of a full disk.

    Example
    -------
    >>> with named("save/note.txt"):
    ...     raise OSError(28, "No space left on device")
    Traceback (most recent call last):
      ...
    OSError: [Errno 28] No space left on device: 'save/note.txt'
    """
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


def write_text(path, text, errors="strict"):
    """Writes a UTF-8 text, lines ended alike everywhere, whole or not at all.

    Example
    -------
    >>> path = Path(getfixture("tmpdir")) / "save" / "note.txt"
    >>> write_text(path, "done")
    >>> path.read_text(), [p.name for p in path.parent.iterdir()]
    ('done', ['note.txt'])
    """
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8", errors=errors, newline="\n")


def write_bytes(path, data):
    """Writes bytes, whole or not at all."""
    with whole(path) as partial:
        partial.write_bytes(data)
