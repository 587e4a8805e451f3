"""Metrics of enhancement and emotion: known values, invariances and what they refuse."""

import math
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechbrain_merit.evaluation import parallel
from speechbrain_merit.evaluation.emotion import calibration_error, emotion_scores
from speechbrain_merit.evaluation.enhancement import (
    SCORE_KEYS,
    mean_scores,
    pesq_wb,
    score_utterance,
    score_utterances,
    si_sdr,
    ssnr,
    ssnr_sb,
    stoi,
)
from speechbrain_merit.evaluation.parallel import ordered_map

RATE = 16000


@pytest.fixture(scope="module")
def speech():
    """Two seconds that PESQ takes for speech: a buzz with syllables, at a quiet level."""
    time = np.arange(2 * RATE) / RATE
    buzz = sum(np.sin(2 * np.pi * 140 * k * time) / k for k in range(1, 30))
    return 0.02 * buzz * np.clip(np.sin(2 * np.pi * 2 * time), 0, None)


@pytest.fixture(scope="module")
def noise():
    return 0.01 * np.random.default_rng(1).normal(size=2 * RATE)


def orthogonal(wave, noise, snr_db):
    """Noise of zero mean at right angles to a wave of zero mean, at an SNR."""
    noise = noise - noise.mean()
    noise = noise - (noise @ wave) / (wave @ wave) * wave
    return noise * np.sqrt((wave @ wave) / (noise @ noise) * 10 ** (-snr_db / 10))


@pytest.mark.parametrize("snr_db", [-20, -5, 0, 12.5])
def test_si_sdr_of_orthogonal_noise_is_its_snr(speech, noise, snr_db):
    clean = speech - speech.mean()
    assert si_sdr(clean, clean + orthogonal(clean, noise, snr_db)) == pytest.approx(snr_db)


@settings(max_examples=30, deadline=None)
@given(gain=st.floats(1e-3, 1e3), offset=st.floats(-1, 1))
def test_si_sdr_ignores_gain_sign_and_offset(gain, offset):
    clean, noise = np.random.default_rng(0).normal(size=(2, 800))
    score = si_sdr(clean, clean + noise)
    assert si_sdr(clean, gain * (clean + noise) + offset) == pytest.approx(score, abs=1e-6)
    assert si_sdr(clean, -gain * (clean + noise)) == pytest.approx(score, abs=1e-6)


@pytest.mark.parametrize("gain", [1, 0.3, -7])
def test_si_sdr_has_no_value_for_the_reference_itself(speech, gain):
    clean = speech.astype(np.float32)
    assert si_sdr(clean, np.float32(gain) * clean) is None  # also after float32 rounding
    assert si_sdr(clean, np.zeros_like(clean)) is None
    assert si_sdr(np.zeros_like(clean), clean) is None


def test_ssnr_of_a_signal_against_itself_is_the_upper_limit():
    wave = np.random.default_rng(0).normal(size=RATE)
    assert ssnr(wave, wave) == 35
    assert ssnr_sb(wave, wave) == 35


def test_ssnr_of_a_gain_is_the_ratio_of_the_residual():
    # 0.9 of the wave leaves a residual of 0.1: 20 dB in every frame; −2 times leaves 3: −9.54 dB.
    wave = np.random.default_rng(0).normal(size=RATE)
    assert ssnr(wave, 0.9 * wave) == pytest.approx(20, abs=1e-6)
    assert ssnr(wave, -2 * wave) == pytest.approx(-20 * math.log10(3), abs=1e-6)
    assert ssnr(wave, -9 * wave) == -10  # 10 times the wave is 20 dB above it, clipped


def test_digital_silence_costs_ssnr_its_frames():
    # Hann windows of 480 samples each 120: of 4 s, the silent half is half of the frames but for
    # the few on the border, each at −10 dB.
    wave = np.random.default_rng(0).normal(size=4 * RATE)
    wave[: 2 * RATE] = 0
    frames = (4 * RATE - 480) // 120
    silent = (2 * RATE - 480) // 120 + 1
    expected = (35 * (frames - silent) - 10 * silent) / frames
    assert ssnr(wave, wave) == pytest.approx(expected, abs=1e-9)
    quiet = 1e-5 * np.random.default_rng(1).normal(size=4 * RATE)
    assert ssnr(wave, wave + quiet) == pytest.approx(expected, abs=0.2)


def test_only_the_definition_of_speechbrain_ignores_a_gain(speech, noise):
    estimate = speech + 0.1 * noise
    assert ssnr_sb(speech, 0.25 * estimate) == pytest.approx(ssnr_sb(speech, estimate), abs=1e-6)
    assert ssnr_sb(speech, estimate + 0.1) == pytest.approx(ssnr_sb(speech, estimate), abs=1e-6)
    assert abs(ssnr(speech, 0.25 * estimate) - ssnr(speech, estimate)) > 1


def test_ssnr_sb_is_the_loop_of_the_recipes(speech, noise):
    clean, estimate = speech - speech.mean(), speech + noise - (speech + noise).mean()
    estimate = estimate * np.abs(clean).max() / np.abs(estimate).max()
    window = 0.5 * (1 - np.cos(2 * np.pi * np.linspace(1, 480, 480) / 481))
    frames = []
    for index in range(int(len(clean) / 120 - 4)):
        part = slice(120 * index, 120 * index + 480)
        energy = ((clean[part] * window) ** 2).sum()
        error = (((clean[part] - estimate[part]) * window) ** 2).sum()
        frames.append(min(max(10 * math.log10(energy / (error + 1e-10) + 1e-10), -10), 35))
    assert ssnr_sb(speech, speech + noise) == pytest.approx(np.mean(frames), abs=1e-9)


def test_pesq_and_stoi_rank_and_reach_their_best(speech, noise):
    assert pesq_wb(speech, speech) == pytest.approx(4.64, abs=0.01)
    assert stoi(speech, speech) == pytest.approx(1, abs=1e-6)
    assert pesq_wb(speech, speech + 0.1 * noise) > pesq_wb(speech, speech + 3 * noise)
    assert stoi(speech, speech + 0.1 * noise) > stoi(speech, speech + 3 * noise)


@pytest.mark.parametrize("metric", [pesq_wb, stoi])
def test_pesq_and_stoi_ignore_levels(speech, noise, metric):
    score = metric(speech, speech + noise)
    assert metric(1e-3 * speech, 50 * (speech + noise)) == pytest.approx(score, abs=1e-3)


def test_what_cannot_be_scored_has_no_value(speech):
    silence = np.zeros_like(speech)
    assert pesq_wb(silence, speech) is None and pesq_wb(speech, silence) is None
    assert pesq_wb(speech[:1000], speech[:1000]) is None
    assert stoi(silence, speech) is None
    assert stoi(speech[:4000], speech[:4000]) is None
    assert ssnr(speech[:400], speech[:400]) is None
    assert ssnr_sb(speech, silence) is None


def test_one_frame_and_a_hop_are_enough_for_ssnr(speech):
    wave = speech[8000:8600]  # 30 ms and a quarter of it at 16 kHz
    assert ssnr(wave, 0.9 * wave) == pytest.approx(20, abs=1e-3)
    assert ssnr(wave[:599], 0.9 * wave[:599]) is None


def test_stoi_hears_16_khz_unless_it_is_told_otherwise(speech, noise):
    assert stoi(speech, speech + noise) == stoi(speech, speech + noise, 16000)
    assert stoi(speech, speech + noise) != stoi(speech, speech + noise, 16001)


def test_pesq_takes_up_to_20_seconds(speech, noise):
    repeated = [np.resize(wave, 20 * 16000 + 1) for wave in (speech, speech + noise)]
    assert pesq_wb(*repeated) is None
    assert pesq_wb(*(wave[:-1] for wave in repeated)) > 1


def test_long_recordings_do_not_crash_pesq():
    # 100 bursts: more stretches of speech than the library has room for.
    burst = np.concatenate([np.random.default_rng(0).normal(size=4000), np.zeros(4000)])
    assert pesq_wb(np.tile(burst, 100), np.tile(burst, 100)) is None


@pytest.mark.parametrize("estimate", [np.zeros(99), np.zeros((1, 100)), np.full(100, np.nan)])
@pytest.mark.parametrize("metric", [pesq_wb, stoi, si_sdr, ssnr, ssnr_sb])
def test_unequal_or_broken_signals_are_an_error(metric, estimate):
    with pytest.raises(ValueError):
        metric(np.ones(100), estimate)


def test_pesq_refuses_other_rates(speech):
    with pytest.raises(ValueError, match="resample"):
        pesq_wb(speech, speech, 8000)


def test_means_leave_out_what_has_no_value():
    column = {key: index for index, key in enumerate(SCORE_KEYS)}
    scores = np.ones((3, len(SCORE_KEYS)))
    scores[0, column["pesq"]] = math.nan
    scores[1, column["pesq"]], scores[1, column["pesq_noisy"]] = 3.0, math.nan
    scores[1, column["si_sdr"]] = math.inf
    scores[:, column["ssnr"]] = math.nan
    means = mean_scores(scores)
    assert means["pesq"] == 2.0 and means["si_sdr"] == 1.0
    assert means["ssnr"] is None
    assert means["pesq_failed"] == 2 and mean_scores(scores, quick=True)["pesq_failed"] == 0
    assert mean_scores(scores[:0])["stoi"] is None


def test_processes_give_the_scores_of_one_process_in_order(speech, noise):
    def items():
        for level in (3.0, 1.0, 0.3, 0.1, 0.03):
            clean = speech.astype(np.float32)
            yield clean, clean + np.float32(level) * noise.astype(np.float32), clean

    alone = list(score_utterances(items(), RATE, n_jobs=0, progress=False))
    assert [score["si_sdr_noisy"] for score in alone] == sorted(s["si_sdr_noisy"] for s in alone)
    assert alone[1] == score_utterance(*list(items())[1], RATE)
    assert list(score_utterances(items(), RATE, n_jobs=2, progress=False)) == alone


def test_items_are_drawn_as_results_come_and_in_this_thread():
    drawn, threads = [], set()

    def items():
        for index in range(40):
            drawn.append(index)
            threads.add(threading.get_ident())
            yield index

    results = parallel._results(abs, items(), 2)
    for done in range(10):
        assert next(results) == done
        assert len(drawn) - done <= 2 * parallel.PENDING_PER_JOB + 1
    results.close()
    assert threads == {threading.get_ident()}


def test_an_error_in_a_worker_or_in_the_items_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        list(ordered_map(math.log2, (1 / index for index in (1, 0)), n_jobs=2))
    unequal = [(np.ones(9), np.ones(9), np.ones(8))]
    with pytest.raises(ValueError, match="one length"):
        list(score_utterances(unequal, RATE, n_jobs=2, progress=False))
    with pytest.raises(ValueError, match="n_jobs is -2"):
        ordered_map(abs, [1], n_jobs=-2)


def test_a_worker_that_dies_is_an_error_and_no_hang():
    with pytest.raises(RuntimeError, match="n_jobs=0"):
        list(ordered_map(os._exit, [3], n_jobs=2))


def test_workers_do_not_run_the_main_script_again(tmp_path, repo_root):
    # Without a `__name__` guard, a plain spawn would print twice and then fail.
    script = tmp_path / "script.py"
    script.write_text(
        "print('started')\n"
        "from speechbrain_merit.evaluation.parallel import ordered_map\n"
        "print(list(ordered_map(abs, [-1, -2], n_jobs=2)))\n"
    )
    done = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": str(repo_root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "started\n[1, 2]\n"


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="no process is kept to a core here"
)
def test_all_cores_are_those_that_the_process_may_use():
    # The machine's number of cores does not count: one core is all that this process is given.
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "os.cpu_count = lambda: 64\n"
        "from speechbrain_merit.evaluation.parallel import processes; print(processes(-1))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
    assert parallel.processes(0) == 0 and parallel.processes(3) == 3


def test_workers_import_no_torch():
    code = "import sys, speechbrain_merit.evaluation.enhancement; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def one_hot(predicted, n_classes):
    return np.eye(n_classes)[predicted]


def test_emotion_scores_by_hand():
    # a: recall 2/3, precision 2/2, F1 4/5; b: recall 1/1, precision 1/2, F1 2/3.
    scores = emotion_scores([0, 0, 0, 1], one_hot([0, 0, 1, 1], 2), ["a", "b"])
    assert scores["f1_macro"] == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert scores["f1_micro"] == pytest.approx(3 / 4)
    assert scores["uar"] == pytest.approx((2 / 3 + 1) / 2)
    assert scores["confusion"] == [[2, 1], [0, 1]]
    assert scores["n"] == 4


def test_a_class_without_utterances_has_no_recall_and_no_weight():
    scores = emotion_scores([0, 0, 1], one_hot([0, 2, 1], 3), ["a", "b", "c"])
    assert scores["recall"] == {"a": 0.5, "b": 1.0, "c": None}
    assert scores["uar"] == 0.75
    assert scores["f1_macro"] == pytest.approx((2 / 3 + 1) / 2)
    assert scores["confusion"] == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]


def test_calibration_from_perfect_to_worst():
    assert calibration_error([0, 1], [[1, 0], [0, 1]]) == 0
    assert calibration_error([1, 0], [[1, 0], [0, 1]]) == 1
    # Four at 0.75 of which three are right: the confidence is what it says.
    assert calibration_error([0, 0, 0, 1], [[0.75, 0.25]] * 4) == pytest.approx(0)
    # Errors of two bins do not cancel: |0 − 0.6| and |1 − 0.9|, each for half of the utterances.
    assert calibration_error([1, 0], [[0.6, 0.4], [0.9, 0.1]]) == pytest.approx(0.35)


@pytest.mark.parametrize(
    "truth, probabilities, message",
    [
        ([], np.zeros((0, 2)), "one utterance or more"),
        ([[0]], [[0.5, 0.5]], "one utterance or more"),
        ([0, 1], [[0.5, 0.5]], "2 utterances"),
        ([0], [[0.2, 0.3, 0.5]], "2"),
        ([2], [[0.5, 0.5]], "indices 0 ... 1"),
        ([-1], [[0.5, 0.5]], "indices 0 ... 1"),
        ([0.0], [[0.5, 0.5]], "indices 0 ... 1"),
        ([0], [[1.0, 2.0]], "softmax of the logits"),
        ([0], [[1.2, -0.2]], "softmax of the logits"),
        ([0, 0], [[0.5, 0.5], [0.4, 0.597]], "softmax of the logits"),
        ([0], [[math.nan, 1.0]], "softmax of the logits"),
    ],
)
def test_emotion_input_that_cannot_be_scored_is_an_error(truth, probabilities, message):
    with pytest.raises(ValueError, match=message):
        emotion_scores(np.array(truth, dtype=None if truth else int), probabilities, ["a", "b"])


def test_what_half_precision_rounds_can_be_scored():
    scores = emotion_scores([0, 1, 1], [[0.5004, 0.5], [0.0, 1.0], [1.0, 0.0]], ["a", "b"])
    assert scores["f1_micro"] == pytest.approx(2 / 3) and scores["n"] == 3


def test_a_confidence_belongs_to_the_bin_that_it_closes():
    # Two bins: .5 closes the first, .6 lies in the second; errors of two bins do not cancel.
    sure = [[0.5, 0.5], [0.6, 0.4]]
    assert calibration_error([1, 0], sure, bins=2) == pytest.approx((0.5 + 0.4) / 2)
    assert calibration_error([1, 0], sure, bins=1) == pytest.approx((0.5 - 0.4) / 2)
    # Fifteen unless told otherwise: 9/15 closes the ninth, .61 lies in the tenth.
    assert calibration_error([1, 0], [[0.6, 0.4], [0.61, 0.39]]) == pytest.approx((0.6 + 0.39) / 2)
