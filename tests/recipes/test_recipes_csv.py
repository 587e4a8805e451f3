"""The lists in tests/recipes: all systems are listed, all files are there, and their checks hold.

They are in the form of SpeechBrain's own, whose ``tests/utils/recipe_tests.py`` can run them.
"""

import csv
import operator
import re
import runpy
import shlex
import sys

import pytest

from speechbrain_merit.data.corpora import RECIPES
from speechbrain_merit.evaluation.report.curves import read_curves
from speechbrain_merit.training.settings import parse
from tests.data.test_own_corpus import speech  # noqa: F401 (a fixture)
from tests.recipes.test_msp_podcast import release  # noqa: F401 (a fixture)

LISTS = sorted((RECIPES.parent / "tests" / "recipes").glob("*.csv"))
THAN = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def rows(path):
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def checks(row):
    """The files that have to be there, and (file, variable, relation, bound, epoch)."""
    text = row["test_debug_checks"]
    found = re.fullmatch(r"file_exists=\[([^ ]+)\] performance_check=\[([^\]]+)\]", text)
    file, variable, threshold, epoch = found[2].split(", ")
    relation, bound = re.fullmatch(r"([<>]=?)([\d.]+)", threshold).groups()
    epoch = int(re.fullmatch(r"epoch: (\d+)", epoch)[1])
    return found[1].split(","), (file, variable, THAN[relation], float(bound), epoch)


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_files_of_a_list_are_there(path, repo_root):
    for row in rows(path):
        for key in ("Script_file", "Hparam_file", "Data_prep_file", "Readme_file"):
            assert (repo_root / row[key]).is_file(), row[key]
        assert row["Dataset"] == path.stem
        assert row["Script_file"] == f"recipes/{path.stem}/train.py"


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_flags_of_a_list_are_understood(path, repo_root, monkeypatch):
    monkeypatch.chdir(repo_root)
    for row in rows(path):
        flags = shlex.split(row["test_debug_flags"])
        corpus = str((repo_root / row["Script_file"]).parent)
        _, run_opts, overrides = parse([row["Hparam_file"], *flags], corpus)
        assert run_opts["debug"] and overrides["corpus"] == row["Dataset"]
        files, (log, _, _, _, epoch) = checks(row)
        assert {log, "train.py", "hyperparams.yaml"} <= set(files)
        assert epoch <= run_opts["debug_epochs"]


def test_every_system_and_every_corpus_is_listed(repo_root):
    listed = [row for path in LISTS for row in rows(path)]
    systems = [*repo_root.glob("hparams/*.yaml"), *RECIPES.glob("*/hparams/*.yaml")]
    systems = {path.relative_to(repo_root).as_posix() for path in systems}
    assert {row["Hparam_file"] for row in listed} == systems
    assert {row["Dataset"] for row in listed} == {
        p.parent.name for p in RECIPES.glob("*/corpus.yaml")
    }


@pytest.fixture
def recordings(minimerit, release, speech):  # noqa: F811
    """What stands for a corpus's folder in a test."""
    return {"MiniMERIT": minimerit / "speech", "MSP-Podcast": release, "TEMPLATE": speech[0]}


@pytest.mark.parametrize(
    "name, hparams_file",
    [
        ("MiniMERIT", "hparams/ser_only.yaml"),
        ("TEMPLATE", "hparams/merit.yaml"),
        ("MSP-Podcast", "recipes/MSP-Podcast/hparams/merit_paper.yaml"),
    ],
)
def test_a_row_of_a_list_runs_and_its_checks_hold(
    name, hparams_file, recordings, minimerit, repo_root, tmp_path, monkeypatch
):
    (path,) = [path for path in LISTS if path.stem == name]
    (row,) = [row for row in rows(path) if row["Hparam_file"] == hparams_file]
    flags = [flag for flag in shlex.split(row["test_debug_flags"]) if "data_folder" not in flag]
    output = tmp_path / "output"
    command = [
        *(row["Script_file"], hparams_file, *flags, f"--data_folder={recordings[name]}"),
        *(f"--noise_folder={minimerit / 'noise'}", f"--output_folder={output}"),
        *("--device=cpu", "--n_jobs=0", "--num_workers=0"),
    ]
    monkeypatch.chdir(repo_root)
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setattr(sys, "path", list(sys.path))
    runpy.run_path(command[0], run_name="__main__")

    files, (log, variable, relation, bound, epoch) = checks(row)
    assert [file for file in files if not (output / file).exists()] == []
    assert log == "train_log.txt"
    (curve,) = [curve for curve in read_curves(output / log) if curve["epoch"] == epoch]
    assert relation(curve[variable], bound)
    assert not relation(2 * bound, bound)  # a loss that explodes does not pass
    assert (output / "train.py").read_bytes() == (repo_root / row["Script_file"]).read_bytes()
