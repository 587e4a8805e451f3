"""A recipe's train.py, YAML files that are looked for, and runs of older versions."""

import runpy
import shutil
import subprocess
import sys

import pytest

from speechbrain_merit.data.corpora import RECIPES
from speechbrain_merit.errors import MeritError, SettingsError
from speechbrain_merit.training import run as recipe
from speechbrain_merit.training.finished import export_run
from speechbrain_merit.training.scoring import score
from speechbrain_merit.training.settings import parse, refuse_old

CORPORA = sorted(path.parent.name for path in RECIPES.glob("*/corpus.yaml"))


@pytest.mark.parametrize("name", CORPORA)
def test_each_recipes_train_py_hands_its_own_corpus_on(name, monkeypatch):
    handed = []
    monkeypatch.setattr(recipe, "main", lambda script, corpus: handed.append((script, corpus)))
    monkeypatch.setattr(sys, "path", list(sys.path))
    script = RECIPES / name / "train.py"
    runpy.run_path(str(script), run_name="__main__")
    assert handed == [(str(script), str(RECIPES / name))]
    assert sys.path[0] == str(RECIPES.parent)  # the checkout goes before what is installed
    _, _, overrides = parse(["hparams/merit.yaml"], corpus=handed[0][1])
    assert overrides["corpus"] == name


def test_a_mistake_ends_a_recipes_train_py_in_one_line(tmp_path):
    command = [sys.executable, RECIPES / "RAVDESS" / "train.py", "hparams/nothing.yaml"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    line = ended.stderr.strip().splitlines()[-1]
    assert line.startswith("train.py: There is no file hparams/nothing.yaml: give one of hparams/")
    assert "hparams/merit.yaml" in line and list(tmp_path.iterdir()) == []


def test_a_corpus_of_the_command_line_goes_over_the_recipes_own(monkeypatch):
    monkeypatch.chdir(RECIPES / "nEMO")
    own = str(RECIPES / "nEMO")
    for more in (["--corpus", "CREMA-D"], ["--corpus=CREMA-D"]):
        _, _, overrides = parse(["hparams/merit.yaml", *more], corpus=own)
        assert (overrides["corpus"], overrides["batch_size"]) == ("CREMA-D", 16)
    _, _, overrides = parse(["hparams/merit.yaml", "--batch_size", "3"], corpus=own)
    assert (overrides["corpus"], overrides["batch_size"]) == ("nEMO", 3)
    assert "output_folder" not in overrides  # relative: below where it is called


@pytest.mark.parametrize(
    "line, message",
    [
        ("labels: angry", "labels is 'angry': it takes a list"),
        ("number_of_epochs: many", "number_of_epochs is 'many': it takes a whole number"),
        ("crop_seconds: long", "crop_seconds is 'long': it takes a number"),
        ("lable_smoothing: 0.1", "no key lable_smoothing; did you mean label_smoothing"),
        ("licence: 4", "Mine.corpus.yaml: licence is 4"),
        ("opt_class: !name:torch.optim.SGD", "Mine.corpus.yaml cannot be read"),
    ],
)
def test_a_wrong_key_of_a_corpus_yaml_is_named(line, message, tmp_path, repo_root, monkeypatch):
    monkeypatch.chdir(repo_root)
    (tmp_path / "Mine").mkdir()
    (tmp_path / "Mine" / "corpus.yaml").write_text(line)
    with pytest.raises(MeritError, match=message):
        recipe.run(["hparams/merit.yaml", "--corpus", str(tmp_path / "Mine")])


@pytest.mark.parametrize(
    "script, words",
    [
        ("train.py", ["--corpus", "--data_folder", "hparams/merit.yaml", "RAVDESS"]),
        ("recipes/RAVDESS/train.py", ["--data_folder", "the corpus of this folder"]),
        ("evaluate.py", ["--from_predictions", "--benchmark", "--corpus"]),
        ("experiments.py", ["--shared", "recipes/RAVDESS/experiment.yaml"]),
    ],
)
def test_help_says_how_it_is_called(script, words, repo_root):
    command = [sys.executable, str(repo_root / script), "--help"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0
    assert all(word in ended.stdout for word in words), ended.stdout


def test_no_corpus_lies_where_minimerit_does(tmp_path, repo_root, monkeypatch):
    monkeypatch.chdir(repo_root)
    output = tmp_path / "run"
    with pytest.raises(SettingsError, match="--data_folder is missing: .* recordings of RAVDESS"):
        recipe.run(["hparams/merit.yaml", "--corpus", "RAVDESS", "--output_folder", str(output)])
    assert not output.exists()


def test_a_yaml_is_looked_for_here_then_in_the_recipe_then_in_the_repository(tmp_path, monkeypatch):
    mine = tmp_path / "Mine"
    (mine / "hparams").mkdir(parents=True)
    (mine / "corpus.yaml").write_text("batch_size: 3\nlabels: [sad, happy]\n")
    monkeypatch.chdir(tmp_path)

    def found(name="hparams/merit.yaml"):
        path, _, overrides = parse([name], corpus=str(mine))
        return path.resolve(), overrides.get("batch_size")

    ours = RECIPES.parent / "hparams" / "merit.yaml"
    assert found() == (ours, 3)
    shutil.copy(ours, mine / "hparams" / "merit.yaml")
    # what is the corpus's own says all: its corpus.yaml is not laid over it
    assert found() == (mine / "hparams" / "merit.yaml", None)
    (tmp_path / "hparams").mkdir()
    shutil.copy(ours, tmp_path / "hparams" / "merit.yaml")
    assert found() == (tmp_path / "hparams" / "merit.yaml", 3)
    assert found(str(ours)) == (ours, 3)
    (mine / "hparams" / "own.yaml").write_text("batch_size: 1\n")
    with pytest.raises(SettingsError, match="no file hparams/nothing.yaml.*dense_merit.*own.yaml"):
        found("hparams/nothing.yaml")


def test_a_run_of_an_older_version_is_refused_with_what_to_do(tmp_path, repo_root, monkeypatch):
    monkeypatch.chdir(repo_root)
    old = tmp_path / "old"
    (old / "save" / "CKPT+1").mkdir(parents=True)
    (old / "save" / "CKPT+1" / "CKPT.yaml").write_text("score: 0.5")
    text = (repo_root / "hparams" / "merit.yaml").read_text(encoding="utf-8")
    now = "speechbrain_merit.training.loggers.build_loggers"
    assert now in text
    was = "speechbrain_merit.training_log.build_loggers"
    (old / "hyperparams.yaml").write_text(text.replace(now, was), encoding="utf-8")
    message = f"{old} is a run of an older version: {was}.*{old / 'pretrained'}.*train again"
    with pytest.raises(MeritError, match=message):
        score([str(old)])
    with pytest.raises(MeritError, match=message):
        recipe.run(["hparams/merit.yaml", "--output_folder", str(old)])
    with pytest.raises(MeritError, match=message):
        export_run(old, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (old / "hyperparams.yaml").write_text(text, encoding="utf-8")
    refuse_old(old)  # one of this version is none
