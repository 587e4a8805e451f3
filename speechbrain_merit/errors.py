"""What a user can mend: one family of errors, each with the exit code of the command it ends.

``train.py``, ``evaluate.py`` and ``merit`` print these as one line. Every other error is a fault of
the program and keeps its traceback.
"""


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


class PreparationError(MeritError):
    """A corpus, noise or rooms cannot be prepared."""


class AudioError(MeritError):
    """A recording that cannot be read or written; the message says which and why."""


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
