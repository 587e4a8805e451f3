#!/usr/bin/env python3
"""Scores a trained system on clean speech and every noise set × SNR, and writes the report.

> python evaluate.py results/merit/MiniMERIT/1234

The run's hyperparams.yaml and best checkpoint are read. Keys can be changed:
--test_snrs "[-10, 20]" --noise_test_folders "{street: /path/to/street}", in place of the run's.

Each utterance is a row of evaluation/predictions.jsonl as soon as it is scored. The same command
after an interrupt goes on where it was; after a complete scoring it scores anew. Tables, figures
and report are made of that file, again and without model or recordings, by
> python evaluate.py results/merit/MiniMERIT/1234 --from_predictions True

Without PESQ and STOI, which take most of the time: --quick True.

On the test split of another corpus, in a folder of its own; and a pretrained folder:
> python evaluate.py results/merit/RAVDESS/1234 --corpus nEMO --data_folder /path/to/nEMO
> python evaluate.py pretrained/merit-tiny --corpus nEMO --data_folder /path/to/nEMO
On a benchmark of NoisyEmo: a run; enhanced files of another tool; another classifier's answers:
> python evaluate.py RUN --benchmark DIR
> python evaluate.py --benchmark DIR --enhanced FOLDER
> python evaluate.py --benchmark DIR --predicted answers.csv
"""

import logging
import sys

from speechbrain_merit.errors import ends_in_a_line
from speechbrain_merit.training.scoring import score

if __name__ == "__main__":
    if not sys.argv[1:] or {"-h", "--help"} & set(sys.argv[1:]):
        print(__doc__)
        sys.exit(0 if sys.argv[1:] else 2)
    logging.basicConfig(level=logging.INFO, format="%(name)s - %(message)s")
    with ends_in_a_line("evaluate.py"):
        score(sys.argv[1:])
