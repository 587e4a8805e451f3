"""Several corpora in one run: whose settings count, how manifests join, results for each."""

import json
import logging

import numpy as np
import pytest
import soundfile as sf

from speechbrain_merit.data.corpora import find_corpora, overlay, recipe_module
from speechbrain_merit.data.manifests import load_manifest
from speechbrain_merit.errors import MeritError, PreparationError
from speechbrain_merit.training import run as recipe

LABELS = ["angry", "sad", "happy", "neutral"]
RATE = 16000
PREPARE = """
from pathlib import Path

from speechbrain_merit.data.preparation import prepare_speech


def prepare_{name}(
    data_folder, save_json_train, save_json_valid, save_json_test, labels, skip_prep=False
):
    if skip_prep:
        return
    manifests = {{"train": save_json_train, "valid": save_json_valid, "test": save_json_test}}
    rows = {{split: {{}} for split in manifests}}
    for path in sorted(Path(data_folder).glob("*.wav")):
        split, label = path.stem.split("_")
        rows[split][path.stem] = {{"wav": path, "emo": label, "spk_id": split}}
    prepare_speech("{name}", data_folder, manifests, rows, labels)
"""


@pytest.fixture(autouse=True)
def at_root(repo_root, monkeypatch):
    """YAML paths on the command line are relative to the repository."""
    monkeypatch.chdir(repo_root)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two corpora, First and Other-One, whose utterances have the same ids and speakers."""
    root = tmp_path_factory.mktemp("corpora")
    rng = np.random.default_rng(0)
    settings = {
        "First": "labels: [angry, sad, happy, neutral]\nnumber_of_epochs: 1\nbatch_size: 4\n",
        "Other-One": "labels: [angry, sad, happy, neutral]\nbatch_size: 2\nlr: 0.1\n",
    }
    for pitch, (name, text) in enumerate(settings.items(), start=1):
        snake = name.lower().replace("-", "_")
        (root / name).mkdir()
        (root / name / "corpus.yaml").write_text(text)
        (root / name / f"{snake}_prepare.py").write_text(PREPARE.format(name=snake))
        (root / f"{name}_data").mkdir()
        for split in ("train", "valid", "test"):
            for index, label in enumerate(LABELS):
                wave = 0.1 * np.sin(np.arange(RATE // 2) * 0.02 * (pitch + index))
                wave += 0.001 * rng.standard_normal(len(wave))
                sf.write(root / f"{name}_data" / f"{split}_{label}.wav", wave, RATE)
    (root / "noise").mkdir()
    sf.write(root / "noise" / "a.wav", 0.1 * rng.standard_normal(RATE), RATE)
    return root


def corpora(world):
    return f"{world / 'First'},{world / 'Other-One'}"


def folders(world, names=("First", "Other-One")):
    return "{" + ", ".join(f"{name}: {world / (name + '_data')}" for name in names) + "}"


def arguments(world, output, *more):
    return [
        *("hparams/ser_only.yaml", "--corpus", corpora(world), "--data_folder", folders(world)),
        *("--noise_train_folder", str(world / "noise")),
        *("--noise_valid_folder", str(world / "noise")),
        *("--noise_test_folders", f"{{hiss: {world / 'noise'}}}", "--test_snrs", "[0]"),
        *("--output_folder", str(output), "--n_jobs", "0", "--n_examples", "1"),
        *("--device", "cpu", "--standardise_utterances", "2", *more),
    ]


def test_one_run_trains_on_all_and_scores_each(world, tmp_path):
    output = tmp_path / "run"
    recipe.run(arguments(world, output))
    rows = json.loads((output / "evaluation" / "metrics.json").read_text())
    each = json.loads((output / "evaluation" / "metrics_by_corpus.json").read_text())
    assert [(row["noise_set"], row["n"]) for row in rows] == [(None, 8), ("hiss", 8)]
    assert list(each) == ["First", "Other-One"]
    for own in each.values():
        assert [(row["noise_set"], row["n"]) for row in own] == [(None, 4), ("hiss", 4)]
        assert [set(row) for row in own] == [set(row) for row in rows]
    confusions = np.array([[row["confusion"] for row in own] for own in each.values()])
    assert (confusions.sum(axis=0) == [row["confusion"] for row in rows]).all()
    table = (output / "evaluation" / "metrics.md").read_text()
    assert "## First" in table and "## Other-One" in table and table.count("| clean |") == 3
    assert "<h3>Other-One</h3>" in (output / "evaluation" / "report.html").read_text()

    manifest = load_manifest(output / "save" / "train.json", LABELS)
    assert len(manifest) == 8
    row = manifest["Other-One_train_sad"]
    assert (row["corpus"], row["spk_id"]) == ("Other-One", "Other-One_train")
    assert row["wav"] == "{data_root[Other-One]}/train_sad.wav"
    # scored again from the folder alone, with one corpus elsewhere
    assert recipe.score([str(output), "--data_folder", folders(world)]) == rows


def test_settings_are_the_first_corpus_and_the_command_line_goes_over_all(world, caplog):
    with caplog.at_level(logging.WARNING):
        merged = overlay(corpora(world), {"data_folder": {"First": "a", "Other-One": "b"}})
    assert (merged["batch_size"], merged["number_of_epochs"]) == (4, 1)
    assert "lr" not in merged  # the second corpus alone has it: the system's counts
    assert "Other-One/corpus.yaml has other values of batch_size, lr" in caplog.text
    caplog.clear()
    assert overlay(corpora(world), {"batch_size": 7, "lr": 0.2})["batch_size"] == 7
    assert "Other-One/corpus.yaml" not in caplog.text
    swapped = ",".join(corpora(world).split(",")[::-1])
    assert overlay(swapped, {})["lr"] == 0.1


def test_labels_have_to_agree_or_be_given(world, tmp_path):
    third = tmp_path / "Third"
    third.mkdir()
    (third / "corpus.yaml").write_text("labels: [sad, happy]\nmerge_labels: {excited: happy}\n")
    names = f"{world / 'First'},{third}"
    with pytest.raises(PreparationError, match=r"labels differs.*Third: \['sad', 'happy'\].*--lab"):
        overlay(names, {})
    merged = overlay(names, {"labels": ["sad", "happy"]})
    assert merged["labels"] == ["sad", "happy"]
    assert merged["merge_labels"] == {"excited": "happy"}  # one corpus alone sets it


def test_a_folder_of_the_repository_and_one_from_elsewhere(world):
    found = find_corpora(f"RAVDESS, {world / 'First'}")
    assert list(found) == ["RAVDESS", "First"]
    merged = overlay(f"MiniMERIT,{world / 'First'}", {"data_folder": {"First": "x"}})
    assert merged["data_folder"] == {"MiniMERIT": "data/MiniMERIT", "First": "x"}
    assert merged["corpus"] == f"MiniMERIT,{world / 'First'}"


@pytest.mark.parametrize(
    "corpus, more, message",
    [
        ("RAVDESS,Nowhere", [], "'Nowhere' is neither a corpus.*RAVDESS.*nEMO"),
        ("RAVDESS,RAVDESS", [], "RAVDESS is there twice"),
        ("RAVDESS,", [], "'' is neither"),
        ("RAVDESS,nEMO", ["--data_folder", "one"], r"RAVDESS: folder, nEMO: folder"),
        ("RAVDESS,nEMO", ["--data_folder", "{RAVDESS: a}"], r"RAVDESS: folder, nEMO: folder"),
        ("RAVDESS", ["--data_folder", "{RAVDESS: a}"], "RAVDESS takes one folder"),
        ("RAVDESS,nEMO", ["--data_folder", "{RAVDESS: no/a, nEMO: no/b}"], "no folder no/a"),
        ("MiniMERIT", ["--fold", "2"], "fold is set, but prepare_minimerit takes none"),
        ("RAVDESS", ["--labels", "[sad, bored]", "--data_folder", "x"], "RAVDESS has no 'bored'"),
    ],
)
def test_a_mistake_is_named_before_training(corpus, more, message, tmp_path):
    base = ["hparams/merit.yaml", "--corpus", corpus, "--output_folder", str(tmp_path / "run")]
    with pytest.raises(MeritError, match=message):
        recipe.run([*base, *more])


def test_a_bad_corpus_stops_before_anything_is_joined(world, tmp_path):
    with pytest.raises(MeritError, match="no training utterance.*bored"):
        recipe.run(arguments(world, tmp_path, "--labels", "[angry, sad, happy, neutral, bored]"))
    assert not (tmp_path / "save" / "train.json").exists()


def test_a_preparation_is_the_one_of_its_own_folder(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name / "Same").mkdir(parents=True)
        (tmp_path / name / "Same" / "same_prepare.py").write_text(f"WHERE = {name!r}\n")
    for name in ("first", "second", "first"):
        assert recipe_module(tmp_path / name / "Same" / "same_prepare.py").WHERE == name
