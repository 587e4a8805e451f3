"""From rows of utterances to rows of conditions: the metrics' own values, in little memory."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechbrain_merit.evaluation.attributes import attribute_scores
from speechbrain_merit.evaluation.conditions import Conditions
from speechbrain_merit.evaluation.emotion import emotion_scores
from speechbrain_merit.evaluation.enhancement import SCORE_KEYS
from speechbrain_merit.evaluation.significance import f1_interval
from tests.evaluation.fake_predictions import (
    ATTRIBUTES,
    CONDITIONS,
    LABELS,
    N_EXPERTS,
    a_header,
    a_row,
    some_rows,
)


def collected(rows, **changes):
    conditions = Conditions(a_header(1, **changes))
    for row in rows:
        conditions.add(row)
    return conditions


@pytest.fixture(scope="module")
def forty():
    """40 utterances under each condition."""
    return collected(some_rows(40))


def of_condition(index, corpus=None):
    """The rows of a condition, of one corpus or of all."""
    rows = some_rows(40)[40 * index : 40 * (index + 1)]
    return [row for row in rows if corpus in (None, row["corpus"])]


@pytest.mark.parametrize("corpus", [None, "First", "Other"])
@pytest.mark.parametrize("index", range(len(CONDITIONS)))
def test_a_condition_has_the_values_of_the_metrics_themselves(forty, index, corpus):
    rows = of_condition(index, corpus)
    found = (forty.rows() if corpus is None else forty.by_corpus()[corpus])[index]
    assert (found["noise_set"], found["snr_db"]) == CONDITIONS[index]
    truth = np.array([LABELS.index(row["label"]) for row in rows])
    probabilities = np.array([row["probabilities"] for row in rows])
    for key, value in emotion_scores(truth, probabilities, LABELS).items():
        assert found[key] == value, key
    speakers = [row["speaker"] for row in rows]
    interval = f1_interval(truth, probabilities.argmax(axis=1), speakers, len(LABELS))
    ends = None if interval.low is None else [interval.low, interval.high]
    assert (found["f1_macro_ci"], found["f1_macro_ci_reason"]) == (ends, interval.reason)
    ratings = [
        [[np.nan if value is None else value for value in row["attributes"][key]] for row in rows]
        for key in ("truth", "predicted")
    ]
    for key, value in attribute_scores(*ratings, ATTRIBUTES).items():
        assert found[key] == value, key
    for key in SCORE_KEYS:
        known = [row["scores"][key] for row in rows if row["scores"][key] is not None]
        assert found[key] == np.mean(known), key
    assert found["pesq_failed"] == sum(row["scores"]["pesq"] is None for row in rows) > 0


def test_the_order_of_speakers_in_the_file_does_not_change_the_interval_of_their_names():
    rows = of_condition(0)
    renamed = [{**row, "speaker": f"{9 - int(row['speaker'][-1])}"} for row in rows]
    for own in (rows, renamed):
        truth = np.array([LABELS.index(row["label"]) for row in own])
        predicted = np.array([np.argmax(row["probabilities"]) for row in own])
        expected = f1_interval(truth, predicted, [row["speaker"] for row in own], 3)
        row = collected(own).rows()[0]
        assert row["f1_macro_ci_reason"] == expected.reason
        assert row["f1_macro_ci"] == (None if expected.reason else [expected.low, expected.high])


def test_one_corpus_has_no_rows_of_its_own():
    assert collected([{**row, "corpus": None} for row in some_rows(4)]).by_corpus() == {}


def test_what_a_system_lacks_is_none():
    lacking = {"probabilities": None, "attributes": None, "experts": None}
    rows = [{**row, **lacking} for row in some_rows(4)]
    conditions = collected(rows, tasks=["se"], n_experts=None)
    row = conditions.rows()[1]
    assert row["f1_macro"] is None and row["confusion"] is None and "ccc" not in row
    assert row["stoi"] is not None and row["n"] == 4
    assert conditions.expert_use() == []
    row = collected([{**r, "scores": None} for r in some_rows(4)], tasks=["ser"]).rows()[1]
    assert row["stoi"] is None and row["pesq_failed"] is None and 0 <= row["f1_macro"] <= 1


@given(st.lists(st.lists(st.integers(0, 5000), min_size=3, max_size=3), min_size=1, max_size=20))
def test_shares_are_pooled_frame_by_frame(frames_of_experts):
    # As if all frames of all utterances were counted together: a long utterance counts for more.
    if not np.sum(frames_of_experts):
        return
    rows = []
    for index, frames in enumerate(frames_of_experts):
        total = max(1, sum(frames))
        shares = [round(count / total, 6) for count in frames]
        rows.append({**a_row(index, 99), "frames": total, "experts": {"se": shares}})
    use = collected(rows).expert_use()
    pooled = next(entry["shares"] for entry in use if entry["emotion"] is None)
    expected = np.sum(frames_of_experts, axis=0)
    assert pooled == (expected / expected.sum()).tolist()


def test_two_experts_a_frame_share_the_bar():
    row = {**a_row(0, 9), "frames": 10, "experts": {"se": [1.0, 0.7, 0.3]}}
    assert collected([row]).expert_use()[0]["shares"] == [0.5, 0.35, 0.15]


def test_shares_are_told_by_task_condition_and_emotion(forty):
    keys = {
        (entry["task"], entry["noise_set"], entry["snr_db"], entry["emotion"])
        for entry in forty.expert_use()
    }
    assert keys == {
        (task, *condition, emotion)
        for task in ("se", "ser")
        for condition in CONDITIONS
        for emotion in (None, *LABELS)
    }
    for entry in forty.expert_use():
        assert len(entry["shares"]) == N_EXPERTS
        assert sum(entry["shares"]) == pytest.approx(1)


def test_an_utterance_costs_a_few_numbers():
    # 3 + 3 probabilities + 2 · 2 attributes + 10 scores are 20 numbers, 160 bytes; an array grows
    # by an eighth at a time. Paths through the experts or dicts would be thousands.
    kept = {}
    for n in (2_000, 20_000):
        row = a_row(0, n)
        tracemalloc.start()
        conditions = Conditions(a_header(1))
        for index in range(n):
            conditions.add({**row, "speaker": f"speaker{index % 50}"})
        kept[n] = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert conditions.rows()[0]["n"] == n
    assert (kept[20_000] - kept[2_000]) / 18_000 < 200
