#!/usr/bin/env python3
"""Trains a system of hparams/ on a corpus of recipes/, scores it per SNR and writes a report.

To run it on the synthetic corpus, which needs no download:
> python train.py hparams/merit.yaml

On a corpus of one's own, or one of recipes/:
> python train.py hparams/merit.yaml --corpus RAVDESS --data_folder /path/to/RAVDESS

Any key of the YAML can be given on the command line: --seed 7 --number_of_epochs 20.
"""

from speechbrain_merit.training.run import main

if __name__ == "__main__":
    main(__file__)
