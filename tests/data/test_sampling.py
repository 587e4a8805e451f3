"""How often sources and classes are drawn, and that each draw is another mixture."""

from collections import Counter
from types import SimpleNamespace

import pytest

from speechbrain_merit.data.pipeline import training_set
from speechbrain_merit.data.sampling import Draws, class_counts, plan, uses
from speechbrain_merit.errors import PreparationError
from speechbrain_merit.labels import label_encoder

LABELS = ["sad", "happy"]


@pytest.fixture
def entries():
    """Two corpora, one with three sad utterances to a happy one, and much other speech."""
    rows = {f"a{i}": {"emo": "happy" if i % 4 == 0 else "sad"} for i in range(40)}
    rows |= {f"b{i}": {"emo": LABELS[i % 2]} for i in range(10)}
    return rows | {f"r{i}": {} for i in range(500)}


def sources(entries):
    return {name: {"a": "A", "b": "B", "r": "read"}[name[0]] for name in entries}


def drawn(entries, epoch=1, seed=0, **settings):
    """The utterances of an epoch, with repetitions, and its items."""
    groups = plan(entries, sources(entries), **settings)
    rows = {name: {"wav": "", "duration": 1.0, **row} for name, row in entries.items()}
    dataset = training_set(rows, label_encoder(LABELS), None, uses(groups))
    draws = Draws(dataset.data_ids, groups, seed)
    draws.set_epoch(epoch)
    items = [dataset.data_ids[index] for index in draws]
    assert len(items) == len(draws)
    return [item.split("|")[0] for item in items], items


def test_without_shares_every_utterance_is_drawn_once_a_pass(entries):
    names, _ = drawn(entries, passes=2)
    assert Counter(names) == Counter(list(entries) * 2)


def test_shares_are_those_of_an_epoch_whose_labelled_part_keeps_its_length(entries):
    names, _ = drawn(entries, shares={"A": 1, "B": 1, "read": 2}, passes=2)
    assert Counter(name[0] for name in names) == {"a": 50, "b": 50, "r": 100}
    assert {Counter(names)[f"b{i}"] for i in range(10)} == {5}


def test_balanced_classes_are_drawn_evenly_within_a_corpus_and_no_further(entries):
    names, _ = drawn(entries, balanced=True)
    times = Counter((name[0], entries[name].get("emo")) for name in names)
    assert times == {("a", "sad"): 20, ("a", "happy"): 20, ("b", "sad"): 5, ("b", "happy"): 5,
                     ("r", None): 500}  # fmt: skip


def test_no_item_is_drawn_twice_so_that_each_draw_is_another_mixture(entries):
    _, items = drawn(entries, shares={"A": 1, "B": 5, "read": 0.5}, balanced=True, passes=3)
    assert len(set(items)) == len(items)


def test_draws_change_with_epoch_and_seed_alone(entries):
    shares = {"A": 1, "B": 1, "read": 1}
    first = drawn(entries, shares=shares)[1]
    assert drawn(entries, shares=shares)[1] == first
    assert drawn(entries, shares=shares, epoch=2)[1] != first
    assert drawn(entries, shares=shares, seed=2)[1] != first


def test_a_source_is_heard_whole_over_the_epochs_before_any_of_it_comes_again(entries):
    epochs = [drawn(entries, epoch, shares={"A": 1, "B": 1, "read": 1})[0] for epoch in range(60)]
    times = Counter(name for names in epochs for name in names)  # 25 of each in an epoch
    assert {times[f"r{i}"] for i in range(500)} == {3}
    assert {times[f"a{i}"] for i in range(40)} == {37, 38}


@pytest.mark.parametrize("settings", [{}, {"balanced": True}, {"shares": dict(A=1, B=3, read=9)}])
def test_class_counts_are_those_of_the_draws(entries, settings):
    groups = plan(entries, sources(entries), **settings)
    counts = Counter()
    for epoch in range(200):
        names, _ = drawn(entries, epoch, **settings)
        counts.update(entries[name].get("emo") for name in names)
    expected = class_counts(groups, entries, LABELS)
    assert [counts[label] / 200 for label in LABELS] == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(
    "shares, words",
    [
        ({"A": 1, "B": 1, "red": 1}, "there is no red; the training has A, B, read"),
        ({"A": 1, "B": 1}, "read has none: give one for each of A, B, read"),
        ({"A": 1, "B": 0, "read": 1}, "B has 0: give a number above 0"),
        ({"A": "much", "B": 1, "read": 1}, "A has 'much': give a number"),
    ],
)
def test_a_share_that_cannot_be_is_named(entries, shares, words):
    with pytest.raises(PreparationError, match=f"^source_shares: {words}"):
        plan(entries, sources(entries), shares)


def test_a_mixer_is_given_the_section_of_a_recording():
    heard = []
    mixer = lambda *given: heard.append(given) or SimpleNamespace(mixture=0, clean=0, snr_db=0)  # noqa: E731
    rows = {"a": {"wav": "a.wav", "section": [2.0, 3.0]}, "b": {"wav": "b.wav", "emo": "sad"}}
    dataset = training_set(rows, label_encoder(LABELS), mixer)
    items = [dataset[index] for index in range(2)]
    assert heard == [("a|0", "a.wav", [2.0, 3.0]), ("b|0", "b.wav", ())]
    assert [item["emotion"].tolist() for item in items] == [[-1], [0]]
