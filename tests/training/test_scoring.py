"""A pretrained folder is scored as the run that made it."""

import re
import shutil
from pathlib import Path

import pytest

from speechbrain_merit.errors import MeritError
from speechbrain_merit.training.scoring import name_of_test_set, score
from tests.training.test_run import arguments, at_root, corpus, trained  # noqa: F401 (fixtures)


def data(corpus):  # noqa: F811
    """What of the command line says where speech and noise are."""
    words = arguments(corpus, "")[1:]
    wanted = ("--corpus", "--data_folder", "--noise_test_folders", "--test_snrs", "--n_jobs")
    pairs = zip(words[::2], words[1::2])
    return [word for pair in pairs if pair[0] in wanted for word in pair]


def test_a_pretrained_folder_scores_as_its_run_does(corpus, trained, tmp_path):  # noqa: F811
    words = [*data(corpus), "--output_folder", str(tmp_path), "--device", "cpu"]
    rows = score([str(trained / "pretrained"), *words])
    expected = score([str(trained), "--device", "cpu"])
    assert [(row["noise_set"], row["n"]) for row in rows] == [(None, 4), ("street", 4)]
    for ours, theirs in zip(rows, expected):
        for key in ("f1_macro", "ece", "stoi", "si_sdr", "ssnr"):
            assert ours[key] == pytest.approx(theirs[key], abs=1e-6), key
    assert (tmp_path / "evaluation" / "report.html").is_file()
    assert not (tmp_path / "save" / "noise_train.json").exists()


def test_what_it_cannot_be_scored_on_is_named(corpus, trained, tmp_path):  # noqa: F811
    words = [*data(corpus), "--output_folder", str(tmp_path)]
    with pytest.raises(MeritError, match="no key speed"):
        score([str(trained / "pretrained"), *words, "--speed", "2"])
    with pytest.raises(MeritError, match="neither a corpus"):
        score([str(trained / "pretrained"), *words, "--corpus", "Nowhere"])


def test_noise_that_is_given_takes_the_place_of_the_run_s_own(corpus, trained, tmp_path):  # noqa: F811
    run = shutil.copytree(trained, tmp_path / "run")
    noise = f"{{hall: {corpus / 'noise' / 'valid'}}}"
    rows = score([str(run), "--device", "cpu", "--noise_test_folders", noise])
    assert [row["noise_set"] for row in rows] == [None, "hall"]


@pytest.mark.parametrize(
    "words",
    [
        ("--fold", "3"),
        ("--test_split", "Test2"),
        ("--merge_labels", "{happy: sad}"),
        ("--whole_corpora", "{My-Corpus: test}"),
        ("--speech_folders", "{more: /nowhere}"),
    ],
    ids=lambda words: words[0],
)
def test_the_own_test_set_is_not_split_anew(trained, words):  # noqa: F811
    before = (trained / "evaluation" / "predictions.jsonl").read_bytes()
    with pytest.raises(MeritError, match=f"{words[0]}: without effect on the run's own test set"):
        score([str(trained), "--device", "cpu", *words])
    if words[0] in ("--fold", "--test_split"):
        with pytest.raises(MeritError, match=f"{words[0]}: without effect"):
            score([str(trained), "--from_predictions", "True", *words])
    assert (trained / "evaluation" / "predictions.jsonl").read_bytes() == before


def test_the_fold_that_a_run_has_may_be_said(trained, tmp_path):  # noqa: F811
    run = shutil.copytree(trained, tmp_path / "run")
    text = (run / "hyperparams.yaml").read_text()
    assert "\nfold:" in text
    (run / "hyperparams.yaml").write_text(re.sub(r"\nfold:[^\n]*", "\nfold: 3", text))
    assert score([str(run), "--from_predictions", "True", "--fold", "3"])
    with pytest.raises(MeritError, match="--fold: without effect"):
        score([str(run), "--from_predictions", "True", "--fold", "4"])


def test_each_pretrained_folder_has_results_of_its_own(corpus, trained, tmp_path, monkeypatch):  # noqa: F811
    inside = shutil.copytree(trained, tmp_path / "run") / "pretrained"
    elsewhere = shutil.copytree(inside, tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert name_of_test_set({"corpus": str(corpus / "My-Corpus"), "fold": 2}) == "My-Corpus_2"
    words = [*data(corpus), "--device", "cpu", "--quick", "True"]
    for folder, out in ((inside, tmp_path / "run/pretrained_results"), (elsewhere, "results/mine")):
        rows = score([str(folder), *words])
        assert (out / Path("My-Corpus", "evaluation", "report.html")).is_file()
        (again,) = [w for f, w in zip(words, words[1:]) if f == "--corpus"]
        kept = score([str(folder), "--from_predictions", "True", "--corpus", again])
        assert [row["f1_macro"] for row in kept] == [row["f1_macro"] for row in rows]
