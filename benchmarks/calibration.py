"""How well a model's probabilities are calibrated, condition by condition, from its predictions.

    python benchmarks/calibration.py pretrained/scores/merit-tiny

The expected calibration error (ECE) of a finite test set is above 0 for a perfect model too. So
beside it stands what a model would show whose probabilities are true: answers are drawn from them,
500 times. Their difference is what is wrong; confidence less accuracy says in which direction.
"""

import argparse
from pathlib import Path

import numpy as np

from speechbrain_merit.evaluation.emotion import calibration_error
from speechbrain_merit.evaluation.predictions import find_predictions, read_predictions

DRAWS = 500


def drawn_error(chances, rng):
    """Mean ECE of answers that are drawn from probabilities (n, classes)."""
    ends, classes = chances.cumsum(axis=1), chances.shape[1]
    errors = []
    for _ in range(DRAWS):
        truth = (rng.random((len(chances), 1)) > ends).sum(axis=1).clip(max=classes - 1)
        errors.append(calibration_error(truth, chances))
    return np.mean(errors)


def main():
    """Prints a row for each corpus and condition."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path, help="a run, or a folder with its evaluation")
    header, rows = read_predictions(find_predictions(parser.parse_args().results / "evaluation"))
    found = {}
    for row in rows:
        found.setdefault((row["corpus"], row["noise_set"], row["snr_db"]), []).append(row)
    print("| corpus | condition | n | ECE | perfect | difference | confidence − accuracy |")
    print("|---|---|---|---|---|---|---|")
    for (corpus, noise_set, snr_db), own in found.items():
        chances = np.array([row["probabilities"] for row in own], dtype=float)
        chances /= chances.sum(axis=1, keepdims=True)  # they are kept with few digits
        truth = np.array([header["labels"].index(row["label"]) for row in own])
        error = calibration_error(truth, chances)
        perfect = drawn_error(chances, np.random.default_rng(0))
        over = chances.max(axis=1).mean() - (chances.argmax(axis=1) == truth).mean()
        name = "clean" if noise_set is None else f"{noise_set}, {snr_db} dB"
        cells = f"{error:.3f} | {perfect:.3f} | {error - perfect:+.3f} | {over:+.3f}"
        print(f"| {corpus} | {name} | {len(own)} | {cells} |")


if __name__ == "__main__":
    main()
