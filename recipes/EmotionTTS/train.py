#!/usr/bin/env python3
"""Trains a system on the corpus of this folder; results are written where it is called.

> python train.py hparams/merit.yaml --data_folder /path/to/the/corpus
"""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
if (FOLDER.parents[1] / "speechbrain_merit").is_dir():  # in a checkout, which wins
    sys.path.insert(0, str(FOLDER.parents[1]))

from speechbrain_merit.training.run import main  # noqa: E402

if __name__ == "__main__":
    main(__file__, corpus=str(FOLDER))
