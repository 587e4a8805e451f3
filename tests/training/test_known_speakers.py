"""A test of speakers that the model has met before says so, in the log and in its report."""

import logging
import shutil

import pytest

from speechbrain_merit.data.manifests import write_manifest
from speechbrain_merit.evaluation.predictions import read_predictions
from speechbrain_merit.training.exporting import export
from speechbrain_merit.training.known_speakers import (
    grown_from,
    known_speakers,
    to_tell,
    trained_on,
)
from speechbrain_merit.training.scoring import score
from tests.training.test_run import arguments, at_root, corpus, recipe, trained  # noqa: F401

FACT = "test speakers heard in training"


def run(folder, corpus, train, valid, **keys):  # noqa: F811
    """What a run leaves of the speakers that it heard."""
    (folder / "save").mkdir(parents=True)
    lines = [f"corpus: {corpus}", *(f"{key}: {value}" for key, value in keys.items())]
    (folder / "hyperparams.yaml").write_text("\n".join(lines))
    for split, names in (("train", train), ("valid", valid)):
        rows = {name: {"wav": "x.wav", "duration": 1.0, "spk_id": name} for name in names}
        write_manifest(folder / "save" / f"{split}.json", rows)
    return folder


def test_a_run_has_heard_what_the_runs_heard_that_it_grew_from(tmp_path):
    first = run(tmp_path / "first", "RAVDESS", ["01", "02"], ["03"])
    second = run(tmp_path / "second", "nEMO", ["A"], ["B"], start_from=first / "pretrained")
    heard = {("RAVDESS", name) for name in ("01", "02", "03")}
    assert trained_on(first) == trained_on(first / "pretrained") == heard
    assert trained_on(second) == heard | {("nEMO", "A"), ("nEMO", "B")}
    cascade = {"enhancer": str(first), "classifier": None, "encoder": "mini"}
    assert grown_from(cascade) == heard
    assert trained_on(tmp_path / "elsewhere") == set()


@pytest.mark.parametrize("split, count", [("train", "1 of 1"), ("test", None)])
def test_a_manifest_of_other_speakers_is_no_matter(
    corpus,  # noqa: F811
    trained,  # noqa: F811
    caplog,
    split,
    count,
):
    words = ["--device", "cpu", "--test_annotation", str(trained / "save" / f"{split}.json")]
    with caplog.at_level(logging.WARNING):
        score([str(trained), *words])
    header, _ = read_predictions(trained / "evaluation" / "predictions.jsonl")
    assert header["summary"].get(FACT) == count
    assert ("speakers of this test are ones that" in caplog.text) == (count is not None)
    page = (trained / "evaluation" / "report.html").read_text(encoding="utf-8")
    assert (FACT in page) == (count is not None)


def test_a_run_that_starts_from_one_which_heard_its_test_says_so(
    corpus,  # noqa: F811
    trained,  # noqa: F811
    tmp_path,
):
    start = run(tmp_path / "start", "My-Corpus", ["x"], ["test"])
    (start / "pretrained").symlink_to(trained / "pretrained")
    words = ["--start_from", str(start), "--number_of_epochs", "1"]
    recipe.run(arguments(corpus, tmp_path / "run", *words))
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "1 of 1 speakers of this test are ones" in log and "test (My-Corpus)" in log
    header, _ = read_predictions(tmp_path / "run" / "evaluation" / "predictions.jsonl")
    assert header["summary"][FACT] == "1 of 1"


def test_heads_of_another_run_tell_whom_they_heard(tmp_path):
    first = run(tmp_path / "first", "RAVDESS", ["01"], ["03"])
    heard = {("RAVDESS", "01"), ("RAVDESS", "03")}
    assert grown_from({"heads_folder": str(first), "start_from": None}) == heard


def test_a_pretrained_folder_tells_wherever_it_lies_and_names_nobody(
    trained,  # noqa: F811
    tmp_path,
    caplog,
):
    first = shutil.copytree(trained / "pretrained", tmp_path / "elsewhere")
    second = export(first, tmp_path / "again", "fp16")
    heard = {("My-Corpus", name) for name in ("train", "valid")}
    assert trained_on(trained) == heard
    for folder in (first, second):
        assert not heard & trained_on(folder)
        with caplog.at_level(logging.WARNING):
            assert known_speakers(trained_on(folder), heard | {("My-Corpus", "x")}) == "2 of 3"
        assert "train (My-Corpus), valid (My-Corpus)" in caplog.text
        assert known_speakers(trained_on(folder), {("Other", "train")}) is None
    grown = run(tmp_path / "grown", "nEMO", ["A"], ["B"], start_from=first)
    assert to_tell(trained_on(grown))["My-Corpus"] == to_tell(heard)["My-Corpus"]


def test_the_shipped_model_tells_whom_it_heard(repo_root):
    heard = trained_on(repo_root / "pretrained" / "merit-tiny")
    actors = {("RAVDESS", f"{actor:02}") for actor in range(1, 25)}
    assert known_speakers(heard, actors) == "20 of 24"
    assert known_speakers(heard, {("nEMO", "MP0"), ("nEMO", "WR0")}) is None
