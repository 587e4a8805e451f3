"""The lists in tests/recipes: all systems are listed, all files are there."""

import csv
import re
import shlex

import pytest

from speechbrain_merit.data.corpora import RECIPES
from speechbrain_merit.training.settings import parse

LISTS = sorted((RECIPES.parent / "tests" / "recipes").glob("*.csv"))


def rows(path):
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_files_of_a_list_are_there(path, repo_root):
    for row in rows(path):
        for key in ("Script_file", "Hparam_file", "Data_prep_file", "Readme_file"):
            assert (repo_root / row[key]).is_file(), row[key]
        assert row["Dataset"] == path.stem


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_flags_of_a_list_are_understood(path, repo_root, monkeypatch):
    monkeypatch.chdir(repo_root)
    for row in rows(path):
        flags = shlex.split(row["test_debug_flags"])
        _, run_opts, overrides = parse([row["Hparam_file"], *flags])
        assert run_opts["debug"] and overrides["corpus"] == row["Dataset"]
        assert re.fullmatch(r"file_exists=\[.+\]", row["test_debug_checks"])


def test_every_system_and_every_corpus_is_listed(repo_root):
    listed = [row for path in LISTS for row in rows(path)]
    systems = {f"hparams/{path.name}" for path in (repo_root / "hparams").glob("*.yaml")}
    assert {row["Hparam_file"] for row in listed} == systems
    assert {row["Dataset"] for row in listed} == {
        p.parent.name for p in RECIPES.glob("*/corpus.yaml")
    }
