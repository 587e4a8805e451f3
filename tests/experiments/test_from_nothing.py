"""The road of an experiment, from nothing to tables, with real trainings of a few utterances."""

import json

import yaml

from speechbrain_merit.evaluation.predictions import read_predictions
from speechbrain_merit.experiments import command
from tests.training.test_run import corpus  # noqa: F401 (a fixture)


def test_an_experiment_trains_what_is_missing_and_ends_in_tables(
    corpus,  # noqa: F811
    tmp_path,
    monkeypatch,
    capsys,
):
    noise = "<shared>/noise"
    content = {
        "name": "small",
        "shared": str(corpus),
        "keys": {
            "noise_train_folder": f"{noise}/train",
            "noise_valid_folder": f"{noise}/valid",
            "noise_test_folders": {"street": f"{noise}/street"},
            "number_of_epochs": 1,
            "test_snrs": [0],
            "n_examples": 0,
            "n_jobs": 0,
        },
        "corpora": {"Mine": {"corpus": "<shared>/My-Corpus", "data_folder": "<shared>/speech"}},
        "systems": {
            "se_only": {"hparams": "hparams/se_only.yaml"},
            "crash": {"hparams": "hparams/ser_only.yaml", "top_k": 9},
            "cascade": {"hparams": "hparams/cascade.yaml", "enhancer": "<se_only>"},
        },
        "runs": [{"systems": ["se_only", "crash", "cascade"], "seeds": [1]}],
        "tables": [
            {
                "title": "All",
                "systems": ["cascade", "se_only"],
                "corpus": "Mine",
                "folds": "fixed",
                "metrics": ["f1_macro", "si_sdr_gain"],
                "conditions": [["street", 0]],
            }
        ],
    }
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(content))
    assert command.run(["small.yaml"]) == 1
    said = capsys.readouterr()
    assert "crash_Mine_1 failed: " in said.err and "top_k is 9" in said.err
    assert "| cascade | 0." in said.out and "| crash" not in said.out
    kept = tmp_path / "experiments" / "small" / "runs"
    assert {path.name for path in kept.iterdir()} == {"se_only_Mine_1", "cascade_Mine_1"}
    text = "".join(path.read_text() for path in kept.glob("*/*.yaml"))
    header, rows = read_predictions(kept / "cascade_Mine_1" / "predictions.jsonl.xz")
    assert len(list(rows)) == 8
    # a name of the results folder stands for it
    assert str(corpus) not in text + json.dumps(header) and "<runs>/se_only_Mine_1" in text
