"""Learning curves, read back from the text file that SpeechBrain's train logger writes."""

import math
from pathlib import Path


def read_curves(train_log):
    """Reads the text file back: one dict of numbers an epoch.

    A run that was interrupted between an epoch's line and its checkpoint writes that epoch again:
    the last line of an epoch counts. A line that was cut, by a full disk say, counts for nothing.

    Example
    -------
    >>> file = Path(getfixture("tmpdir")) / "log.txt"
    >>> _ = file.write_text("epoch: 1 - train loss: 2.5 - valid f1_macro: 0.5")
    >>> read_curves(file)
    [{'epoch': 1, 'train loss': 2.5, 'valid f1_macro': 0.5}]
    """
    train_log = Path(train_log)
    if not train_log.exists():
        return []
    curves = {}
    for line in train_log.read_text(encoding="utf-8").splitlines():
        line = line[line.rfind("epoch: ") :]  # what was cut may stand before it
        items = (item.rsplit(": ", 1) for part in line.split(" - ") for item in part.split(", "))
        try:
            values = {name: float(value) for name, value in items}
            epoch = int(values.pop("epoch"))
        except (ValueError, KeyError):
            continue
        finite = {name: v if math.isfinite(v) else None for name, v in values.items()}
        curves[epoch] = {"epoch": epoch, **finite}
    return [curves[epoch] for epoch in sorted(curves)]
