"""Intervals over speakers: how often they hold the truth, and when there is none."""

import sys

import numpy as np
import pytest
from scipy.stats import ttest_1samp
from sklearn.metrics import f1_score

from speechbrain_merit.evaluation import significance
from speechbrain_merit.evaluation.significance import f1_difference, f1_interval

#: Of test sets, of fixed seeds. The standard error of a coverage of .95 over them is .007, a third
#: of what the tests allow.
DRAWS = 1000


@pytest.fixture(scope="module")
def simulation(repo_root):
    """The module of benchmarks/intervals.py."""
    sys.path.insert(0, str(repo_root / "benchmarks"))
    try:
        import intervals
    finally:
        sys.path.pop(0)
    return intervals


def answers(n, accuracy, n_speakers=4, seed=0):
    """Truth, predictions right at a rate, and speakers."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(4, size=n)
    wrong = (truth + generator.integers(1, 4, size=n)) % 4
    predicted = np.where(generator.random(n) < accuracy, truth, wrong)
    return truth, predicted, [f"speaker {index % n_speakers}" for index in range(n)]


# Coverage


@pytest.mark.parametrize("deviation", [0.05, 0.1, 0.2])
@pytest.mark.parametrize("n_speakers", [4, 8, 16])
def test_a_95_percent_interval_holds_the_truth_that_often(simulation, n_speakers, deviation):
    given, held, _ = simulation.coverage(
        simulation.one_system, 0.7, DRAWS, n_speakers, deviation, 0.7
    )
    assert given == 1
    assert held == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("n_speakers", [4, 8])
def test_so_does_that_of_a_difference_of_two_systems(simulation, n_speakers):
    given, held, _ = simulation.coverage(simulation.two_systems, 0.05, DRAWS, n_speakers, 0.1, 0.05)
    assert given == 1 and held == pytest.approx(0.95, abs=0.02)


def test_where_speakers_have_unequal_numbers_of_utterances_intervals_are_rather_too_wide(
    simulation,
):
    _, held, _ = simulation.coverage(simulation.one_system, 0.7, DRAWS, 6, 0.1, 0.7, False)
    assert 0.94 < held < 0.985


# None where there is nothing to learn from


@pytest.mark.parametrize("n_speakers, reason", [(1, "1 speaker does not"), (2, "2 speakers do")])
def test_one_or_two_speakers_give_no_interval_and_it_says_why(n_speakers, reason):
    truth, predicted, speakers = answers(200, 0.7, n_speakers)
    low, high, why = f1_interval(truth, predicted, speakers, 4)
    assert low is None and high is None and reason in why
    other = answers(200, 0.8, n_speakers, seed=0)[1]
    result = f1_difference(truth, predicted, other, speakers, 4)
    assert result["low"] is result["high"] is result["p"] is None and reason in result["reason"]
    assert result["difference"] == pytest.approx(
        f1_score(truth, predicted, average="macro") - f1_score(truth, other, average="macro")
    )


def test_a_speaker_with_most_of_the_utterances_gives_no_interval():
    truth, predicted, _ = answers(100, 0.7)
    speakers = ["a"] * 90 + ["b"] * 5 + ["c"] * 5
    assert "most utterances are of one of 3" in f1_interval(truth, predicted, speakers, 4).reason


def test_where_all_is_right_no_interval_claims_to_be_sure_of_it():
    truth, _, speakers = answers(100, 0.7)
    for predicted in (truth, (truth + 1) % 4):
        assert f1_interval(truth, predicted, speakers, 4) == (
            None,
            None,
            "all speakers score alike",
        )


# The numbers


def test_the_fast_f1_is_that_of_scikit_learn():
    truth, predicted, speakers = answers(60, 0.6, n_speakers=3)
    truth[truth == 3] = 2  # class 3 is predicted but never true
    names, indices = np.unique(speakers, return_inverse=True)
    whole, each = significance._left_out(truth, predicted, indices, 4)
    expected = f1_score(truth, predicted, labels=[0, 1, 2], average="macro")
    assert whole == pytest.approx(expected)
    for index in range(3):
        kept = indices != index
        expected = f1_score(truth[kept], predicted[kept], labels=[0, 1, 2], average="macro")
        assert each[index] == pytest.approx(expected)


def test_the_p_of_a_difference_is_that_of_a_t_test_over_speakers():
    """Two classes in equal numbers, errors in both alike: F1-macro is the share of right ones."""
    n_speakers, half = 6, 10
    truth = np.tile([0, 1], n_speakers * half)
    speakers = np.repeat(np.arange(n_speakers), 2 * half)
    errors = np.array([0, 1, 3, 2, 5, 2])  # of each class, of each speaker
    other = truth.reshape(n_speakers, half, 2).copy()
    for speaker, count in enumerate(errors):
        other[speaker, :count] = 1 - other[speaker, :count]
    result = f1_difference(truth, truth, other.ravel(), speakers, 2)
    expected = ttest_1samp(errors / half, 0)
    assert result["difference"] == pytest.approx(errors.mean() / half)
    assert result["p"] == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert (result["low"], result["high"]) == pytest.approx((interval.low, interval.high))


def test_the_interval_holds_the_estimate_and_shrinks_with_speakers():
    widths = []
    for n_speakers in (4, 16, 64):
        ends = []
        for seed in range(10):
            truth, predicted, speakers = answers(50 * n_speakers, 0.7, n_speakers, seed)
            low, high, reason = f1_interval(truth, predicted, speakers, 4)
            assert reason is None and low < f1_score(truth, predicted, average="macro") < high
            ends.append((low, high))
        widths.append(np.diff(ends).mean())
    assert widths[0] > 2 * widths[1] > 3 * widths[2]


def test_speakers_that_differ_widen_the_interval():
    # Some are always right, some always wrong: which speakers are drawn decides everything.
    truth = np.tile([0, 1, 2, 3], 50)
    speakers = np.repeat(["a", "b", "c", "d"], 50)
    predicted = np.where(np.isin(speakers, ["a", "b"]), truth, (truth + 1) % 4)
    low, high, _ = f1_interval(truth, predicted, speakers, 4)
    assert low < 0.1 and high > 0.9
    mixed_low, mixed_high, _ = f1_interval(truth, predicted, np.arange(200), 4)
    assert mixed_high - mixed_low < 0.25


def test_names_and_order_of_speakers_change_nothing():
    truth, predicted, speakers = answers(120, 0.7)
    order = np.random.default_rng(0).permutation(120)
    shuffled = f1_interval(
        truth[order], predicted[order], [f"x{speakers[i]}" for i in order], n_classes=4
    )
    assert shuffled[:2] == pytest.approx(f1_interval(truth, predicted, speakers, 4)[:2])


def test_a_system_does_not_differ_from_itself():
    truth, predicted, speakers = answers(112, 0.7)
    result = f1_difference(truth, predicted, predicted, speakers, 4)
    assert result["difference"] == 0 and result["reason"] == "all speakers score alike"


def test_swapping_the_systems_turns_the_difference_round():
    truth, good, speakers = answers(400, 0.8)
    bad = answers(400, 0.6, seed=0)[1]
    forth, back = (f1_difference(truth, a, b, speakers, 4) for a, b in ((good, bad), (bad, good)))
    assert forth["difference"] > 0 and forth["low"] > 0
    assert forth["p"] < 0.05
    assert back["difference"] == pytest.approx(-forth["difference"])
    assert (back["low"], back["high"]) == pytest.approx((-forth["high"], -forth["low"]))
    assert back["p"] == pytest.approx(forth["p"])


def test_pairing_sees_what_two_intervals_do_not():
    # One system is the other with a sixth of its errors mended: never worse, yet close.
    truth, worse, speakers = answers(224, 0.7, n_speakers=8)
    errors = np.flatnonzero(truth != worse)
    better = worse.copy()
    better[errors[::6]] = truth[errors[::6]]
    low = f1_interval(truth, better, speakers, 4).low
    high = f1_interval(truth, worse, speakers, 4).high
    assert low < high  # the two intervals overlap
    assert f1_difference(truth, better, worse, speakers, 4)["low"] > 0


@pytest.mark.parametrize(
    "truth, predicted, speakers",
    [([], [], []), ([0, 1], [0], ["a", "a"]), ([0], [0], ["a", "b"]), ([0], [2], ["a"])],
)
def test_input_that_does_not_fit_is_an_error(truth, predicted, speakers):
    with pytest.raises(ValueError, match="Expected one true class|is not below n_classes"):
        f1_interval(np.array(truth, dtype=int), predicted, speakers, n_classes=2)
