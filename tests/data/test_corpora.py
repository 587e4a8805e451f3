"""Several corpora in one run: whose settings count, how manifests join, results for each."""

import json
import logging

import numpy as np
import pytest
import soundfile as sf

from speechbrain_merit.data.corpora import (
    RECIPES,
    find_corpora,
    overlay,
    prepare_one,
    recipe_module,
)
from speechbrain_merit.data.manifests import load_manifest
from speechbrain_merit.errors import MeritError, PreparationError
from speechbrain_merit.training import run as recipe
from speechbrain_merit.training import scoring

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


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory):
    """The folder of one finished run on both."""
    output = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(RECIPES.parent)
        recipe.run(arguments(world, output))
    return output


def test_one_run_trains_on_all_and_scores_each(world, trained):
    output = trained
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
    assert scoring.score([str(output), "--data_folder", folders(world)]) == rows


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


def contents(folder, but=""):
    """{path: bytes} of a run's files, without those of one folder."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {p: p.read_bytes() for p in files if but == "" or folder / but not in p.parents}


@pytest.mark.parametrize(
    "text, message",
    [
        ("\ndef prepare_call-center():\n    pass\n", "line 2, is no Python"),
        ("def prepare_callcenter():\n    pass\n", "has no function prepare_call_center"),
    ],
)
def test_a_preparation_under_a_wrong_name_is_named(text, message, tmp_path):
    folder = tmp_path / "Call Center"
    folder.mkdir()
    (folder / "call_center_prepare.py").write_text(text)
    with pytest.raises(PreparationError, match=f"call_center_prepare.py.*{message}"):
        prepare_one(folder.name, folder, "x", {}, {"labels": LABELS})


def test_a_run_is_scored_on_another_corpus_in_a_folder_of_its_own(world, trained):
    before = contents(trained)
    name = str(world / "Other-One")
    data = ["--data_folder", str(world / "Other-One_data")]
    rows = scoring.score([str(trained), "--corpus", name, *data, "--device", "cpu"])
    assert [(row["noise_set"], row["n"]) for row in rows] == [(None, 4), ("hiss", 4)]
    own = trained / "evaluation_Other-One"
    assert json.loads((own / "metrics.json").read_text()) == rows
    assert (own / "report.html").is_file()
    tested = load_manifest(own / "save" / "test.json", LABELS)
    assert {row["spk_id"] for row in tested.values()} == {"test"}  # none that it trains on
    assert contents(trained, "evaluation_Other-One") == before
    # the same utterances as in the run's own test set, and so the same confusions
    each = json.loads((trained / "evaluation" / "metrics_by_corpus.json").read_text())
    assert rows[0]["confusion"] == each["Other-One"][0]["confusion"]
    (own / "metrics.json").unlink()
    assert scoring.score([str(trained), "--from_predictions", "True", "--corpus", name]) == rows
    assert json.loads((own / "metrics.json").read_text()) == rows


def test_each_test_set_has_a_folder_of_its_own():
    names = [{}, {"corpus": "x/Other"}, {"corpus": "A, B"}, {"corpus": "A", "test_split": "Test2"}]
    folders = [scoring.evaluation_folder(given) for given in [*names, {"corpus": "A", "fold": 2}]]
    assert folders == [
        "evaluation",
        "evaluation_Other",
        "evaluation_A,B",
        "evaluation_A_Test2",
        "evaluation_A_2",
    ]


@pytest.fixture(scope="module")
def german(world):
    """A folder copied from TEMPLATE, with a table for the test alone, in other words."""
    folder = world / "German"
    folder.mkdir()
    text = (RECIPES / "TEMPLATE" / "template_prepare.py").read_text(encoding="utf-8")
    text = text.replace("template", "german").replace("TEMPLATE", "German")
    (folder / "german_prepare.py").write_text(text, encoding="utf-8")
    words = {"Wut": "angry", "Trauer": "sad", "Freude": "happy", "neutral": "neutral"}
    (folder / "corpus.yaml").write_text(f"labels: {list(words)}\nmerge_labels: {words}\n")
    lines = [
        f"{split}_{label}.wav,{word},{split},Test"
        for word, label in words.items()
        for split in ("train", "test")
    ]
    table = "\n".join(["file,emotion,speaker,split", *lines])
    (world / "First_data" / "labels.csv").write_text(table)
    return folder


def test_a_corpus_for_the_test_alone_can_be_scored_on_and_not_trained_on(world, trained, german):
    data = ["--data_folder", str(world / "First_data")]
    rows = scoring.score([str(trained), "--corpus", str(german), *data, "--device", "cpu"])
    assert np.sum(rows[0]["confusion"], axis=1).tolist() == [2, 2, 2, 2]  # by the run's labels
    assert rows[0]["n"] == 8
    save = trained / "evaluation_German" / "save"
    assert not (save / "train.json").exists() and not (save / "valid.json").exists()
    more = ["--corpus", str(german), *data, "--labels", str(LABELS), "--skip_test", "True"]
    with pytest.raises(MeritError, match="German names recordings for the test alone.*not trained"):
        recipe.run([*arguments(world, trained.parent / "other"), *more])


@pytest.mark.parametrize(
    "words, message",
    [
        (["--corpus", "Nowhere"], "'Nowhere' is neither a corpus"),
        (["--corpus", "RAVDESS"], "data_folder is not set.*RAVDESS can be had"),
        (["--corpus", "RAVDESS", "--data_folder", "no/a"], "there is no folder no/a"),
        (["--corpus", "RAVDESS,nEMO", "--data_folder", "no/a"], "RAVDESS: folder, nEMO: folder"),
        (["--corpus", "RAVDESS", "--labels", "[sad, calm]"], "--labels: a trained model has those"),
    ],
)
def test_what_is_missing_for_another_corpus_is_named(trained, words, message):
    with pytest.raises(MeritError, match=message):
        scoring.score([str(trained), *words])


def test_another_corpus_has_to_have_the_labels_of_the_run(world, trained, german):
    words = ["--corpus", str(german), "--data_folder", str(world / "First_data")]
    with pytest.raises(
        MeritError, match="German has no 'angry'; it has Freude, Trauer, Wut, neutr"
    ):
        scoring.score([str(trained), *words, "--merge_labels", "{}"])
