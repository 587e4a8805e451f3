"""The training log: written by SpeechBrain's loggers, read back as learning curves."""

import math
from pathlib import Path

from speechbrain.utils.train_logger import FileTrainLogger, TensorboardLogger

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
    ValueError
        Another choice.

    Example
    -------
    >>> folder = getfixture("tmpdir")
    >>> [type(log).__name__ for log in build_loggers("file", folder / "log.txt", folder)]
    ['FileTrainLogger']
    """
    if choice not in CHOICES:
        raise ValueError(f"train_logger is {choice!r}: choose one of {', '.join(CHOICES)}.")
    loggers = [FileTrainLogger(save_file=str(train_log), precision=4)]
    if choice == "tensorboard":
        loggers.append(TensorboardLogger(str(Path(output_folder) / "tensorboard")))
    return loggers


def read_curves(train_log):
    """Reads the text file back: one dict of numbers an epoch.

    A run that was interrupted between an epoch's line and its checkpoint writes that epoch again:
    the last line of an epoch counts.

    Example
    -------
    >>> file = Path(getfixture("tmpdir")) / "log.txt"
    >>> build_loggers("file", file, ".")[0].log_stats(
    ...     {"epoch": 1}, train_stats={"loss": 2.5}, valid_stats={"f1_macro": 0.5}, verbose=False)
    >>> read_curves(file)
    [{'epoch': 1, 'train loss': 2.5, 'valid f1_macro': 0.5}]
    """
    train_log = Path(train_log)
    if not train_log.exists():
        return []
    curves = {}
    for line in train_log.read_text(encoding="utf-8").splitlines():
        items = (item.rsplit(": ", 1) for part in line.split(" - ") for item in part.split(", "))
        values = {name: float(value) for name, value in items}
        epoch = int(values.pop("epoch"))
        finite = {name: v if math.isfinite(v) else None for name, v in values.items()}
        curves[epoch] = {"epoch": epoch, **finite}
    return [curves[epoch] for epoch in sorted(curves)]
