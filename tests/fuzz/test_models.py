"""Pretrained folders and predictions, damaged: loaded or named."""

import shutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from surfaces import DAMAGES, answers, damaged, shared
from tiny import tiny_merit

from speechbrain_merit.evaluation.predictions import (
    ids_digest,
    read_predictions,
    write_predictions,
)
from speechbrain_merit.evaluation.rows import FORMAT
from speechbrain_merit.export.folder import write_pretrained
from speechbrain_merit.inference import MeritInterface

LABELS = ["angry", "sad", "happy", "neutral"]
FILES = ("model.ckpt", "label_encoder.txt", "hyperparams.yaml")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    torch.manual_seed(0)
    return write_pretrained(
        tmp_path_factory.mktemp("models") / "whole", tiny_merit(), LABELS, "# x"
    )


@pytest.mark.parametrize("file", FILES)
@shared(len(FILES))
@given(damages=DAMAGES)
def test_a_damaged_model_is_loaded_or_named(exported, tmp_path_factory, file, damages):
    folder = tmp_path_factory.mktemp("damaged") / "model"
    shutil.copytree(exported, folder)
    (folder / file).write_bytes(damaged((exported / file).read_bytes(), damages))
    try:
        with answers(folder, also=()):
            merit = MeritInterface.from_hparams(folder, run_opts={"device": "cpu"})
            assert list(merit.hparams.labels)
    finally:
        shutil.rmtree(folder.parent)


@pytest.fixture(scope="module")
def predictions(tmp_path_factory):
    """The bytes of a file of two rows, and a folder in a folder of its own."""
    folder = tmp_path_factory.mktemp("predictions") / "in"
    folder.mkdir()
    ids = ["a|None|None", "b|None|None"]
    header = {
        "format": FORMAT,
        "labels": ["sad", "happy"],
        "attributes": [],
        "tasks": ["ser"],
        "n_experts": None,
        "checkpoint": None,
        "model": "",
        "settings": {},
        "rows": len(ids),
        "sources": "",
        "ids": ids_digest(ids),
        "summary": {},
    }
    rows = [
        {
            "index": index,
            "id": name,
            "utterance": name[0],
            "speaker": "s",
            "corpus": None,
            "label": "sad",
            "noise_set": None,
            "snr_db": None,
            "measured_snr_db": None,
            "probabilities": [0.75, 0.25],
            "attributes": None,
            "scores": None,
            "frames": 50,
            "experts": None,
        }
        for index, name in enumerate(ids)
    ]
    path = write_predictions(folder / "predictions.jsonl", header, rows)
    assert len(list(read_predictions(path)[1])) == 2  # whole, before it is damaged
    return path


@given(damages=DAMAGES, ending=st.sampled_from(["", ".gz", ".xz"]))
def test_damaged_predictions_are_read_or_named(predictions, damages, ending):
    path = predictions.with_name("other.jsonl" + ending)
    path.write_bytes(damaged(predictions.read_bytes(), damages))
    with answers(path.parent, also=()):
        header, rows = read_predictions(path)
        assert len(list(rows)) == header["rows"]
