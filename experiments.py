#!/usr/bin/env python3
"""Trains and scores systems side by side, and says what they tell about each other.

> python experiments.py recipes/RAVDESS/experiment.yaml --shared /path/to/the/corpora

Finished runs are not made again; what is missing is. The tables, from what is there already:
> python experiments.py recipes/RAVDESS/experiment.yaml --from_predictions True

On a cluster, one job of three:
> python experiments.py recipes/RAVDESS/experiment.yaml --only 1/3
"""

from speechbrain_merit.experiments.command import main

if __name__ == "__main__":
    main(description=__doc__)
