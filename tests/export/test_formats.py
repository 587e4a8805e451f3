"""Exported folders are a file format: what an older version wrote loads on."""

import re
import shutil

import pytest
import torch
from tiny import tiny_merit

from speechbrain_merit.errors import PretrainedError
from speechbrain_merit.export.folder import write_pretrained
from speechbrain_merit.export.loading import FORMAT, HPARAMS
from speechbrain_merit.inference import MeritInterface

LABELS = ["angry", "sad", "happy", "neutral"]
WAVE = torch.randn(1, 16000, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def exported(tmp_path):
    torch.manual_seed(0)
    return write_pretrained(tmp_path / "new", tiny_merit(), LABELS, "# card")


def rewritten(folder, target, *changes):
    """A copy of a folder whose YAML says something else; every change has to find its place."""
    shutil.copytree(folder, target)
    text = (target / HPARAMS).read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (target / HPARAMS).write_text(text, encoding="utf-8")
    return target


def load(folder):
    return MeritInterface.from_hparams(folder, run_opts={"device": "cpu"})


def test_a_folder_of_the_first_format_loads_through_the_old_name(exported, tmp_path):
    changes = [
        ("speechbrain_merit.export.loading.", "speechbrain_merit.loading."),
        (f"format: {FORMAT}\n", ""),
    ]
    old = load(rewritten(exported, tmp_path / "old", *changes))
    with torch.inference_mode():
        for ours, theirs in zip(load(exported).model(WAVE)[2:3], old.model(WAVE)[2:3]):
            assert torch.equal(ours, theirs)


def test_the_model_that_ships_names_only_what_is_there(repo_root):
    text = (repo_root / "pretrained" / "merit-tiny" / HPARAMS).read_text(encoding="utf-8")
    names = set(re.findall(r"speechbrain_merit\.[\w.]+(?=\.\w)", text)) - {"speechbrain_merit"}
    for name in names:
        assert repo_root.joinpath(*name.split(".")).with_suffix(".py").is_file(), name
    load(repo_root / "pretrained" / "merit-tiny")


def test_a_folder_of_a_later_format_says_so_before_anything_is_built(exported, tmp_path):
    changes = [(f"format: {FORMAT}\n", "format: 99\n"), ("!new:", "!new:nowhere.")]
    with pytest.raises(PretrainedError, match="format 99.*newer speechbrain_merit"):
        load(rewritten(exported, tmp_path / "later", *changes))
