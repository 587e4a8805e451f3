"""The training log, written by SpeechBrain's loggers."""

import logging
from pathlib import Path

from speechbrain_merit.errors import SettingsError

# at its import SpeechBrain warns that torchvision is missing: none of our figures is drawn by it
logging.getLogger("speechbrain.utils.train_logger").addFilter(
    lambda record: "torchvision" not in record.getMessage()
)
from speechbrain.utils.train_logger import FileTrainLogger, TensorboardLogger  # noqa: E402

CHOICES = ("file", "tensorboard")
TRAIN_LOG = "train_log.txt"  # as every hparams/*.yaml names it


def build_loggers(choice, train_log, output_folder):
    """The loggers of a run; the text file is always written, since the report reads its curves.

    Arguments
    ---------
    choice : str
        ``file``, or ``tensorboard`` for both.
    train_log : str
        The text file.
    output_folder : str
        TensorBoard's files go into its folder ``tensorboard``.

    Returns
    -------
    list
        SpeechBrain train loggers.

    Raises
    ------
    SettingsError
        Another choice.

    Example
    -------
    >>> folder = getfixture("tmpdir")
    >>> [type(log).__name__ for log in build_loggers("file", folder / "log.txt", folder)]
    ['FileTrainLogger']
    """
    if choice not in CHOICES:
        raise SettingsError(f"train_logger is {choice!r}: choose one of {', '.join(CHOICES)}.")
    loggers = [FileTrainLogger(save_file=str(train_log), precision=4)]
    if choice == "tensorboard":
        loggers.append(TensorboardLogger(str(Path(output_folder) / "tensorboard")))
    return loggers
