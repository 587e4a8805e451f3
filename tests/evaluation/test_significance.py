"""The bootstrap: intervals hold the estimate, shrink with data and respect speakers."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from speechbrain_merit.evaluation import significance
from speechbrain_merit.evaluation.significance import bootstrap_f1, paired_bootstrap


def answers(n, accuracy, n_speakers=4, seed=0):
    """Truth, predictions right at a rate, and speakers."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(4, size=n)
    wrong = (truth + generator.integers(1, 4, size=n)) % 4
    predicted = np.where(generator.random(n) < accuracy, truth, wrong)
    return truth, predicted, [f"speaker {index % n_speakers}" for index in range(n)]


def test_the_fast_f1_is_that_of_scikit_learn():
    truth, predicted, _ = answers(60, 0.6)
    truth[truth == 3] = 2  # class 3 is predicted but never true
    matrix = significance._confusions(truth, predicted, 0, 1, 4)
    expected = f1_score(truth, predicted, labels=[0, 1, 2], average="macro")
    assert significance._f1_macro(matrix)[0] == pytest.approx(expected)


def test_the_interval_holds_the_estimate_and_shrinks_with_data():
    widths = []
    for n in (80, 800, 8000):
        truth, predicted, speakers = answers(n, 0.7)
        low, high = bootstrap_f1(truth, predicted, speakers, 4)
        assert low < f1_score(truth, predicted, average="macro") < high
        widths.append(high - low)
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


def test_the_interval_is_the_same_for_the_same_seed():
    truth, predicted, speakers = answers(100, 0.7)
    interval = bootstrap_f1(truth, predicted, speakers, 4, seed=5)
    assert bootstrap_f1(truth, predicted, speakers, 4, seed=5) == interval
    assert bootstrap_f1(truth, predicted, speakers, 4, seed=6) != interval


def test_chunks_change_nothing_but_the_draws(monkeypatch):
    truth, predicted, speakers = answers(100, 0.7)
    whole = bootstrap_f1(truth, predicted, speakers, 4)
    monkeypatch.setattr(significance, "CHUNK", 1000)
    assert bootstrap_f1(truth, predicted, speakers, 4) == pytest.approx(whole, abs=0.02)


def test_speakers_that_differ_widen_the_interval():
    # Two speakers are always right, two always wrong: which speakers are drawn decides everything.
    truth = np.tile([0, 1, 2, 3], 50)
    speakers = np.repeat(["a", "b", "c", "d"], 50)
    predicted = np.where(np.isin(speakers, ["a", "b"]), truth, (truth + 1) % 4)
    low, high = bootstrap_f1(truth, predicted, speakers, 4)
    mixed_low, mixed_high = bootstrap_f1(truth, predicted, np.arange(200), 4)
    assert (low, high) == (0, 1)
    assert mixed_high - mixed_low < 0.25


def test_speakers_keep_their_number_of_utterances():
    # A speaker with one utterance, always wrong, and one with 99, always right: half of the
    # resamples draw each once, a quarter the short one twice (F1 0), a quarter the long one twice.
    truth = np.zeros(100, dtype=int)
    predicted = np.array([1] + [0] * 99)
    speakers = ["short"] + ["long"] * 99
    scores = significance._resampled_f1(
        truth, [predicted], np.array([0] + [1] * 99), 2, 4000, seed=0
    )[0]
    mixed = 2 * 99 / (2 * 99 + 1)
    assert np.allclose(np.unique(scores), [0, mixed, 1])
    assert np.mean(scores == 0) == pytest.approx(0.25, abs=0.03)
    assert np.mean(scores == 1) == pytest.approx(0.25, abs=0.03)
    assert bootstrap_f1(truth, predicted, speakers, 2) == (0, 1)


def test_a_system_does_not_differ_from_itself():
    truth, predicted, speakers = answers(112, 0.7)
    result = paired_bootstrap(truth, predicted, predicted, speakers, 4)
    assert result == {"difference": 0, "low": 0, "high": 0, "p": 1}


def test_swapping_the_systems_turns_the_difference_round():
    truth, good, speakers = answers(400, 0.8)
    bad = answers(400, 0.6, seed=0)[1]
    forth, back = (
        paired_bootstrap(truth, a, b, speakers, 4) for a, b in ((good, bad), (bad, good))
    )
    assert forth["difference"] > 0 and forth["low"] > 0
    assert forth["p"] < 0.05
    assert back["difference"] == pytest.approx(-forth["difference"])
    assert (back["low"], back["high"]) == pytest.approx((-forth["high"], -forth["low"]))
    assert back["p"] == forth["p"]


def test_pairing_sees_what_two_intervals_do_not():
    # One system is the other with a tenth of its errors mended: never worse, yet close.
    truth, worse, speakers = answers(112, 0.7)
    errors = np.flatnonzero(truth != worse)
    better = worse.copy()
    better[errors[::3]] = truth[errors[::3]]
    low = bootstrap_f1(truth, better, speakers, 4)[0]
    high = bootstrap_f1(truth, worse, speakers, 4)[1]
    assert low < high  # the two intervals overlap
    assert paired_bootstrap(truth, better, worse, speakers, 4)["low"] > 0


@pytest.mark.parametrize(
    "truth, predicted, speakers",
    [([], [], []), ([0, 1], [0], ["a", "a"]), ([0], [0], ["a", "b"]), ([0], [2], ["a"])],
)
def test_input_that_does_not_fit_is_an_error(truth, predicted, speakers):
    with pytest.raises(ValueError):
        bootstrap_f1(np.array(truth, dtype=int), predicted, speakers, n_classes=2)
