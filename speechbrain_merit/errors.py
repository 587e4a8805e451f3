"""What a user can mend: one family of errors, each with the exit code of the command it ends.

``train.py``, ``evaluate.py`` and ``merit`` print these as one line. Every other error is a fault of
the program and keeps its traceback.
"""

import contextlib
import errno
import re
import sys

#: What a machine refuses to write, whatever program asks: a full disk, a quota, a limit on the size
#: of files, a disk that turned read-only. Any other OSError may be a fault of the program.
REFUSED = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


class MeritError(ValueError):
    """Something the user can mend; the message says what and what to do next.

    Example
    -------
    >>> issubclass(AudioError, MeritError), AudioError.exit_code
    (True, 2)
    """

    exit_code = 2  # as argparse has it for a command that could not start


class SettingsError(MeritError):
    """A command line or a YAML asks for what cannot be."""


class OtherRunError(SettingsError):
    """What a folder keeps is broken, or of another run than its name says."""


class PreparationError(MeritError):
    """A corpus, noise or rooms cannot be prepared."""


class AudioError(MeritError):
    """A recording that cannot be read or written; the message says which and why."""


class StreamError(MeritError):
    """A stream cannot be opened so, or a block of samples is none of it; the message says why."""


class PredictionsError(MeritError):
    """A file of predictions that cannot be used; the message says which, why and what to do."""


class PretrainedError(MeritError):
    """A pretrained folder that cannot be used; the message says which file and why."""


class ReleasedError(MeritError):
    """The authors' released files are not what they should be; the message says which."""


class UnreadableError(ReleasedError):
    """A released file that is broken, or holds more than tensors and plain values."""


class ConvertError(ReleasedError):
    """A released checkpoint cannot be converted: files, keys, names, places."""


@contextlib.contextmanager
def ends_in_a_line(command):
    """Ends a command in one line where its user can mend what went wrong; faults pass through.

    Arguments
    ---------
    command : str
        Its name, with which the line begins.

    Example
    -------
    >>> with ends_in_a_line("train.py"):
    ...     raise OSError(errno.ENOSPC, "No space left on device", "save/log.txt")
    Traceback (most recent call last):
      ...
    SystemExit: 2
    """
    try:
        yield
    except MeritError as error:
        print(f"{command}: {of_a_worker(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        print(
            f"{command}: cannot write: {error}. Make room, and give the same command again: it "
            "goes on where it was.",
            file=sys.stderr,
        )
        sys.exit(MeritError.exit_code)


def of_a_worker(text):
    r"""What an error said before torch raised it again for a worker, with its traceback before it.

    Example
    -------
    >>> of_a_worker("Caught AudioError in DataLoader worker process 0.\nOriginal Traceback: \n"
    ...             "  File …\nspeechbrain_merit.errors.AudioError: a.wav: NaN\n")
    'a.wav: NaN'
    """
    if not re.match(r"Caught \w+ in DataLoader worker", text):
        return text
    return re.split(r"\n[\w.]+Error: ", text)[-1].strip()
