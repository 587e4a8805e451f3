"""Comparisons with known answers: coverage, errors of the first kind, and corrections."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from speechbrain_merit.evaluation.comparison import (
    Draws,
    compare,
    f1_macro,
    f1_macro_cells,
    holm,
    least_p,
    mean,
    mean_cells,
    permutation_p,
)

TRIALS = 120


def a_test_set(chance, n_speakers, each=24, deviation=0.1, by=(0.7, 0.7), shared=0.7):
    """True classes and two systems' answers, right in shares that differ by speaker.

    Both find the same speakers and utterances hard, as systems do.
    """
    speakers = np.repeat(np.arange(n_speakers), each)
    truth = np.tile(np.arange(4), len(speakers) // 4)
    hard = chance.normal(0, deviation, n_speakers)
    common = chance.random(len(speakers))
    answers = []
    for right in by:
        own = chance.normal(0, deviation / 3, n_speakers)
        level = np.clip(right + hard + own, 0.05, 0.95)[speakers]
        luck = np.where(chance.random(len(speakers)) < shared, common, chance.random(len(speakers)))
        wrong = (truth + chance.integers(1, 4, len(speakers))) % 4
        answers.append(np.where(luck < level, truth, wrong))
    return truth, speakers, answers


def test_f1_macro_is_that_of_scikit_learn():
    chance = np.random.default_rng(0)
    truth, predicted = chance.integers(0, 4, 50), chance.integers(0, 4, 50)
    ours = f1_macro(f1_macro_cells(truth, predicted, 4).sum(axis=0))
    assert ours == pytest.approx(f1_score(truth, predicted, average="macro"))
    # a class that the truth lacks does not count
    assert f1_macro(f1_macro_cells([0, 0], [0, 0], 3).sum(axis=0)) == 1


@pytest.mark.parametrize("n_speakers", [6, 33])
def test_the_interval_holds_the_true_change_about_as_often_as_it_says(n_speakers):
    chance, held = np.random.default_rng(n_speakers), 0
    many = [a_test_set(chance, 2000, by=(0.75, 0.65)) for _ in range(2)]
    scores = [
        [f1_macro(f1_macro_cells(t, a, 4).sum(axis=0)) for a in answers] for t, _, answers in many
    ]
    ours, theirs = np.mean(scores, axis=0)
    true = (ours - theirs) / theirs
    for _ in range(TRIALS):
        truth, speakers, answers = a_test_set(chance, n_speakers, by=(0.75, 0.65))
        cells = [[f1_macro_cells(truth, a, 4)] for a in answers]
        change = compare(*cells, f1_macro, Draws(speakers, n_resamples=300))
        held += change.low <= true <= change.high
    assert 0.92 <= held / TRIALS <= 1.0  # utterances are drawn again too, which widens it


@pytest.mark.parametrize("n_speakers", [8, 33])
def test_p_is_small_as_seldom_as_it_should_be_where_nothing_differs(n_speakers):
    chance, small = np.random.default_rng(n_speakers), 0
    for _ in range(TRIALS):
        truth, speakers, answers = a_test_set(chance, n_speakers)
        cells = [[f1_macro_cells(truth, a, 4)] for a in answers]
        draws = Draws(speakers, n_resamples=1)
        small += permutation_p(*cells, f1_macro, draws) <= 0.05
    assert small / TRIALS <= 0.05 + 3 * (0.05 * 0.95 / TRIALS) ** 0.5


def test_a_difference_that_all_speakers_show_is_found():
    truth, speakers, answers = a_test_set(np.random.default_rng(0), 12, by=(0.9, 0.6))
    ours, theirs = ([f1_macro_cells(truth, a, 4)] for a in answers)
    change = compare(ours, theirs, f1_macro, Draws(speakers))
    assert change.low > 0 and change.p < 0.01
    back = compare(theirs, ours, f1_macro, Draws(speakers))
    assert back.p == pytest.approx(change.p) and back.high < 0


def test_seeds_are_averaged_before_they_are_compared():
    speakers = np.repeat(np.arange(6), 4)
    one, two, other = (mean_cells(np.full(24, value)) for value in (3.0, 5.0, 2.0))
    change = compare([one, two], [other], mean, Draws(speakers))
    assert (change.a, change.b, change.relative) == (4.0, 2.0, 1.0)
    assert (change.low, change.high) == (1.0, 1.0)
    assert change.p == pytest.approx(2 / 2**6)  # the least that six speakers can show


@pytest.mark.parametrize("n_speakers", [5, 6])
def test_a_seed_that_is_missing_makes_no_p_smaller_than_the_speakers_allow(n_speakers):
    chance = np.random.default_rng(0)
    sets = [a_test_set(chance, n_speakers, by=(0.85, 0.5)) for _ in range(3)]
    truth, speakers, (_, answers) = sets[0]
    ours = [f1_macro_cells(truth, a, 4) for _, _, (a, _) in sets]
    theirs = [f1_macro_cells(truth, answers, 4)]
    draws = Draws(speakers, n_resamples=1)
    for pair in ((ours, theirs), (theirs, ours)):
        assert permutation_p(*pair, f1_macro, draws) == least_p(n_speakers)


def test_a_change_relative_to_what_may_be_nothing_is_not_told():
    chance = np.random.default_rng(0)
    values = chance.normal(0, 1, (2, 60))
    cells = [[mean_cells(v)] for v in values]
    change = compare(*cells, mean, Draws(np.repeat(np.arange(6), 10)))
    assert change.relative is None and "may be 0" in change.reason and change.p > 0.01


def test_two_speakers_tell_nothing():
    cells = [mean_cells(np.arange(8.0))]
    change = compare(cells, cells, mean, Draws([0] * 4 + [1] * 4))
    assert change.low is None and "2 speakers do not tell" in change.reason


def test_a_value_that_is_missing_counts_for_nothing():
    cells = mean_cells([1.0, np.nan, 3.0])
    assert mean(cells.sum(axis=0)) == 2.0


def test_holm_is_the_textbooks():
    assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert holm([0.5, None, 0.01]) == [pytest.approx(0.5), None, pytest.approx(0.02)]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
