#!/usr/bin/env python3
"""Scores a trained system on clean speech and every noise set × SNR, and writes the report.

> python evaluate.py results/merit/MiniMERIT/1234

The run's hyperparams.yaml and best checkpoint are read. Keys can be changed:
--test_snrs "[-10, 20]" --noise_test_folders "{street: /path/to/street}".
"""

import sys

from speechbrain_merit.errors import MeritError
from speechbrain_merit.training.run import score

if __name__ == "__main__":
    try:
        score(sys.argv[1:])
    except MeritError as error:
        sys.exit(f"evaluate.py: {error}")
