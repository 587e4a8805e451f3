"""A benchmark in a few numbers: each has the value that follows from the answers."""

import numpy as np
import pytest

from speechbrain_merit.errors import PredictionsError
from speechbrain_merit.evaluation.kept import kept
from speechbrain_merit.evaluation.summary import (
    corruption_error,
    corruption_f1,
    coverage,
    crossing,
    summary,
    to_markdown,
)

LABELS = ["sad", "happy"]
HEADER = {"labels": LABELS, "attributes": [], "tasks": ["ser"]}
SPEAKERS = "abcde"


def row(speaker, label, right, noise_set=None, snr=None, sure=0.9):
    """An answer, right or wrong."""
    index = LABELS.index(label) if right else 1 - LABELS.index(label)
    chances = [sure if i == index else 1 - sure for i in (0, 1)]
    return {
        "speaker": speaker,
        "label": label,
        "noise_set": noise_set,
        "snr_db": snr,
        "probabilities": chances,
        "scores": None,
    }


def condition(n_right, noise_set=None, snr=None, sure=0.9):
    """Ten utterances of each label by five speakers, of which so many are right."""
    return [
        row(SPEAKERS[i % 5], label, i < n_right, noise_set, snr, sure)
        for label in LABELS
        for i in range(10)
    ]


def grid():
    rows = condition(10)
    for snr, n_right in ((-5, 5), (0, 7), (5, 9), (10, 10)):
        rows += condition(n_right, "pink", snr)
    return rows + condition(6, "clipping 1") + condition(4, "clipping 2")


def test_means_are_over_noise_sets_and_snrs_alone():
    found = summary(HEADER, grid())
    assert found["f1_clean"] == 1.0
    assert found["f1_mean"] == pytest.approx(np.mean([0.5, 0.7, 0.9, 1.0]))
    assert found["si_sdr_mean"] is None and found["corruption"] is None


def test_the_gain_is_that_of_the_same_utterances():
    rows = [
        {**row("a", "sad", True, "pink", snr), "scores": {"si_sdr": after, "si_sdr_noisy": before}}
        for snr, before, after in ((-5, -5.0, None), (0, 0.0, 4.0), (5, 5.0, 6.0))
    ]
    found = summary({**HEADER, "tasks": ["se"]}, rows)  # the first one's output is silent
    assert found["si_sdr_gain"] == pytest.approx((4 + 1) / 2)


def test_the_snr_of_90_percent_is_where_the_curve_crosses():
    found = summary(HEADER, grid())
    assert found["snr_90"] == pytest.approx(5.0)
    low, high = found["snr_90_ci"]
    assert low < 5 < high


@pytest.mark.parametrize("n_right, bound", [(10, "< -5"), (2, "> 10")])
def test_a_curve_that_does_not_cross_gives_a_bound(n_right, bound):
    rows = condition(10)
    for snr in (-5, 10):
        rows += condition(n_right, "pink", snr)
    found = summary(HEADER, rows)
    assert found["snr_90"] is None and found["snr_90_ci"] is None
    assert found["snr_90_bound"] == bound
    assert bound.replace("-", "−") in to_markdown({"x": found})


def test_a_dip_is_evened_out_before_the_crossing_is_read():
    # .95 and .85 of a noisy estimate become .9 both: nothing crosses twice
    assert crossing(1.0, [(0, 0.95), (5, 0.85), (10, 1.0)]) == -np.inf
    assert crossing(1.0, [(0, 0.5), (5, 0.95), (10, 0.85)]) == pytest.approx(5.0)


def test_coverage_leaves_out_what_is_least_sure():
    surest = [row("a", "sad", True, sure=0.9)] * 9 + [row("a", "sad", False, sure=0.6)] * 11
    chances = [r["probabilities"] for r in surest]
    # nine right ones, and one wrong one more would be 90 %; but eleven are equally unsure
    assert coverage([0] * 20, chances) == 9 / 20
    assert coverage([1] * 20, chances) == 0.0


def test_silent_outputs_are_counted_beside_the_mean_that_they_leave():
    rows = [{**r, "scores": {"si_sdr": 9.0, "si_sdr_noisy": 0.0}} for r in condition(5, "pink", 0)]
    rows[0]["scores"] = {"si_sdr": None, "si_sdr_noisy": 0.0}
    found = summary({**HEADER, "tasks": ["se"]}, rows)
    assert found["unscored"] == 1 and "9.0 (1 without)" in to_markdown({"mine": found})


def test_answers_without_probabilities_say_nothing_of_calibration():
    found = summary(HEADER, condition(10) + condition(7, "pink", 0, sure=1.0))
    assert found["ece"] is None and found["coverage"] is None and found["f1_mean"] is not None


def test_corruption_errors_are_relative_to_the_baseline_kind_by_kind():
    f1 = corruption_f1(HEADER, grid())
    assert f1 == pytest.approx({"clipping": 0.5, "pink": 0.775})
    assert corruption_error(f1, f1) == pytest.approx(100)
    better = {"clipping": 0.0, "pink": 0.55}
    assert summary(HEADER, grid(), better)["corruption"] == pytest.approx(50)


def test_a_baseline_of_another_benchmark_is_refused():
    with pytest.raises(PredictionsError, match="lacks esc50"):
        corruption_error({"pink": 0.5}, {"pink": 0.5, "esc50": 0.5})


def test_emotion_kept_is_paired_and_told_for_all_noise_together():
    noisy, enhanced = condition(6, "pink", 0), condition(8, "pink", 0)
    found = {(r["noise_set"], r["snr_db"]): r for r in kept(LABELS, noisy, enhanced)}
    assert {*found} == {("pink", 0), ("all noise", None)}
    own = found["pink", 0]
    assert own["f1_noisy"] == pytest.approx(0.6) and own["f1_enhanced"] == pytest.approx(0.8)
    assert own["difference"] == pytest.approx(0.2) and own["low"] < 0.2 < own["high"]
