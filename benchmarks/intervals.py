"""How often the 95 % intervals of F1-macro hold the truth, by simulation.

    python benchmarks/intervals.py    # some 5 minutes

Speakers are drawn who are understood differently well: the share of right answers has a mean over
all speakers, which is the F1-macro that an interval should hold, and a deviation between them. Each
speaks utterances of four emotions; a wrong answer is any other emotion.
"""

import argparse
from itertools import product

import numpy as np

from speechbrain_merit.evaluation.significance import f1_difference, f1_interval

N_CLASSES = 4
PER_SPEAKER = 28  # utterances: about a speaker of RAVDESS's test set
SPEAKERS = (2, 3, 4, 6, 8, 16)
DEVIATIONS = (0.05, 0.1, 0.2)  # between speakers
#: Mean share of right answers, and whether speakers have equally many utterances.
SCENES = ((0.7, True), (0.5, True), (0.9, True), (0.7, False))
GAINS = (0.0, 0.05)  # of the better of two systems; the worse is right in a share of
WORSE = 0.6
SHARED = 0.6  # of the utterances are right or wrong in both systems for the same reason


def speakers_of(rng, n_speakers, equal=True):
    """The speaker of each utterance (n); of unequal numbers, log-normal with deviation 1."""
    sizes = np.full(n_speakers, PER_SPEAKER)
    if not equal:
        weights = rng.lognormal(0, 1, n_speakers)
        sizes = np.maximum(4, np.round(weights / weights.sum() * sizes.sum())).astype(int)
    return np.repeat(np.arange(n_speakers), sizes)


def shares(rng, n_speakers, mean, deviation):
    """The share of right answers of each speaker, of a beta distribution."""
    total = mean * (1 - mean) / deviation**2 - 1
    return rng.beta(mean * total, (1 - mean) * total, n_speakers)


def answers(rng, truth, right):
    """Predictions (n) that are right where ``right`` (n) says so."""
    wrong = (truth + rng.integers(1, N_CLASSES, len(truth))) % N_CLASSES
    return np.where(right, truth, wrong)


def one_system(rng, n_speakers, deviation, mean, equal=True):
    """The interval of F1-macro, its ends, on one drawn test set."""
    speakers = speakers_of(rng, n_speakers, equal)
    truth = np.arange(len(speakers)) % N_CLASSES
    share = shares(rng, n_speakers, mean, deviation)[speakers]
    predicted = answers(rng, truth, rng.random(len(truth)) < share)
    return f1_interval(truth, predicted, speakers, N_CLASSES)[:2]


def two_systems(rng, n_speakers, deviation, gain):
    """The interval of the difference, its ends, on one drawn test set.

    ``gain`` is what the first system is better by on average, ``deviation`` that of a speaker's
    share of right answers; the gain's is half of it.
    """
    speakers = speakers_of(rng, n_speakers)
    truth = np.arange(len(speakers)) % N_CLASSES
    share, more = (
        rng.uniform(middle - half, middle + half, n_speakers)[speakers]
        for middle, half in ((WORSE, 3**0.5 * deviation), (gain, 3**0.5 * deviation / 2))
    )
    luck, other = rng.random((2, len(truth)))
    other = np.where(rng.random(len(truth)) < SHARED, luck, other)
    better = answers(rng, truth, other < share + more)
    worse = answers(rng, truth, luck < share)
    result = f1_difference(truth, better, worse, speakers, N_CLASSES)
    return result["low"], result["high"]


def coverage(draw, truth, n_draws, n_speakers, *arguments):
    """Share of the draws that give an interval, of these the share that holds the truth, width."""
    rng = np.random.default_rng(n_speakers)
    ends = [draw(rng, n_speakers, *arguments) for _ in range(n_draws)]
    low, high = np.array([pair for pair in ends if pair[0] is not None]).reshape(-1, 2).T
    held = (low <= truth) & (truth <= high)
    given = len(low) / n_draws
    return (given, held.mean(), (high - low).mean()) if given else (0.0, np.nan, np.nan)


def cell(given, held, width):
    """What a table says of them."""
    if not given:
        return "–"
    share = f"{100 * given:.0f} %"
    return f"{held:.3f} ({width:.2f})" + ("" if share == "100 %" else f", {share}")


def table(draw, title, cases, n_draws):
    """Prints a line a case: its name, the truth, and further arguments of ``draw``."""
    print("\n| " + " | ".join([title, *(f"{n} speakers" for n in SPEAKERS)]) + " |")
    print("| --- " * (1 + len(SPEAKERS)) + "|")
    for name, truth, *arguments in cases:
        cells = [cell(*coverage(draw, truth, n_draws, n, *arguments)) for n in SPEAKERS]
        print("| " + " | ".join([name, *cells]) + " |", flush=True)


def main():
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=4000)
    n_draws = parser.parse_args().draws
    error = np.sqrt(0.95 * 0.05 / n_draws)
    print(f"{n_draws} draws a cell: the standard error of a coverage of .95 is {error:.4f}.")
    scenes = [
        (f"{mean}, {deviation}{'' if equal else ', unequal'}", mean, deviation, mean, equal)
        for (mean, equal), deviation in product(SCENES, DEVIATIONS)
    ]
    table(one_system, "F1, deviation", scenes, n_draws)
    pairs = [(f"{g}, {d}", g, d, g) for g, d in product(GAINS, DEVIATIONS)]
    table(two_systems, "difference, deviation", pairs, n_draws)


if __name__ == "__main__":
    main()
