"""What trainings that differ by chance do to p-values of comparisons over folds, by simulation.

    python benchmarks/trainings.py    # some 3 minutes

Two systems that are equally good are each trained once a fold and tested on its speakers, as in
``recipes/RAVDESS/experiment.yaml``. How well a training turned out moves all its speakers alike;
resampling speakers cannot see that. Printed is how often p is below .05 and the interval of the
relative change leaves out 0, where both should be 5 of 100 at most.
"""

import numpy as np

from speechbrain_merit.evaluation import comparison

TRIALS = 200
RESAMPLES = 400
N_CLASSES = 4
SPEAKERS, FOLDS, UTTERANCES = 33, 5, 40  # of each speaker
MEAN = 0.65  # share of right answers
OF_SPEAKERS, OF_PAIRS = 0.1, 0.033  # deviations between speakers; of a speaker, between systems
OF_TRAININGS = (0.0, 0.02, 0.04)
SHARED = 0.7  # of the utterances are right or wrong in both systems for the same reason


def compared(rng, deviation):
    """The :class:`~comparison.Change` of two equal systems on one drawn experiment."""
    speakers = np.repeat(np.arange(SPEAKERS), UTTERANCES)
    truth, fold = np.arange(len(speakers)) % N_CLASSES, np.arange(SPEAKERS) % FOLDS
    ease, luck = rng.normal(MEAN, OF_SPEAKERS, SPEAKERS), rng.random(len(speakers))
    cells = []
    for _ in range(2):
        share = ease + rng.normal(0, OF_PAIRS, SPEAKERS) + rng.normal(0, deviation, FOLDS)[fold]
        own = np.where(rng.random(len(speakers)) < SHARED, luck, rng.random(len(speakers)))
        right = own < share.clip(0.05, 0.95)[speakers]
        wrong = (truth + rng.integers(1, N_CLASSES, len(truth))) % N_CLASSES
        answers = np.where(right, truth, wrong)
        cells.append([comparison.f1_macro_cells(truth, answers, N_CLASSES)])
    draws = comparison.Draws(speakers, RESAMPLES)
    return comparison.compare(*cells, comparison.f1_macro, draws)


def main():
    """Prints a row for each deviation between trainings."""
    print(f"{SPEAKERS} speakers, {FOLDS} trainings of each system, {TRIALS} experiments")
    print("| deviation of a training in F1 | p below .05 | interval without 0 |")
    print("|---|---|---|")
    for deviation in OF_TRAININGS:
        rng = np.random.default_rng(0)
        found = [compared(rng, deviation) for _ in range(TRIALS)]
        small = np.mean([change.p < 0.05 for change in found])
        outside = np.mean([not change.low <= 0 <= change.high for change in found])
        print(f"| {100 * deviation:g} points | {small:.3f} | {outside:.3f} |", flush=True)


if __name__ == "__main__":
    main()
