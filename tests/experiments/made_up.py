"""Experiments made up for tests: a plan, and predictions of its runs with known answers."""

import numpy as np
import yaml

from speechbrain_merit.evaluation.enhancement import SCORE_KEYS
from speechbrain_merit.evaluation.predictions import ids_digest, write_predictions
from speechbrain_merit.experiments.keeping import ASKED, asked
from speechbrain_merit.experiments.results import KEPT
from speechbrain_merit.writing import write_text

LABELS = ["angry", "sad", "happy", "neutral"]
CONDITIONS = [(None, None), ("unseen", -5), ("unseen", 5)]
CONTENT = {
    "name": "trial",
    "shared": "some/where",
    "keys": {"number_of_epochs": 1, "encoder": "<shared>/encoder"},
    "corpora": {"Tiny": {"corpus": "MiniMERIT"}},
    "systems": {
        "merit": {"hparams": "hparams/merit.yaml"},
        "se_only": {"hparams": "hparams/se_only.yaml"},
        "cascade": {"hparams": "hparams/cascade.yaml", "enhancer": "<se_only>"},
    },
    "runs": [{"systems": ["merit", "se_only", "cascade"], "folds": [1, 2], "seeds": [1, 2]}],
    "tables": [
        {
            "title": "Folds",
            "systems": ["merit", "se_only", "cascade"],
            "baselines": ["cascade"],
            "corpus": "Tiny",
            "metrics": ["f1_macro", "ssnr_gain"],
            "conditions": ["clean", ["unseen", -5], ["unseen", 5]],
            "claims": [["unseen", -5]],
            "goals": [
                {
                    "system": "merit",
                    "baseline": "cascade",
                    "metric": "ssnr_gain",
                    "condition": ["unseen", -5],
                    "change": asked,
                }
                for asked in (28, 40)
            ],
        }
    ],
}


def write_plan(folder, **changes):
    """The YAML of an experiment; returns its path."""
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump({**CONTENT, **changes}, sort_keys=False))
    return path


def rows_of(run, right, gain, n_speakers=6, each=8):
    """A header and rows of a run's fold, right in a share of its answers."""
    rows = []
    own = np.random.default_rng([run.fold, run.seed, len(run.system)])
    tasks = ["se"] if run.system.startswith("se_") else ["se", "ser"]
    experts = run.system == "merit"
    for noise_set, snr_db in CONDITIONS:
        for speaker in range(n_speakers):
            for number in range(each):
                label = number % 4
                answer = label if own.random() < right else (label + 1) % 4
                shares = np.full(4, 0.1)
                shares[answer] = 0.7
                scores = {key: 1.0 + own.normal(0, 0.05) for key in SCORE_KEYS}
                scores["ssnr_noisy"] = 0.0 if noise_set else None
                scores["ssnr"] = gain + own.normal(0, 0.1)
                utterance = f"fold{run.fold}_{speaker}_{number}"
                use = [0.5, 0.25, 0.25]
                rows.append(
                    {
                        "index": len(rows),
                        "id": f"{utterance}|{noise_set}|{snr_db}",
                        "utterance": utterance,
                        "speaker": f"fold{run.fold}_{speaker}",
                        "corpus": None,
                        "label": LABELS[label],
                        "noise_set": noise_set,
                        "snr_db": snr_db,
                        "measured_snr_db": snr_db,
                        "probabilities": shares.tolist() if "ser" in tasks else None,
                        "attributes": None,
                        "scores": scores,
                        "frames": 40,
                        "experts": {"se": use, "ser": use[::-1]} if experts else None,
                        "experts_by_level": None,
                    }
                )
    header = {
        "format": 1,
        "labels": LABELS,
        "attributes": [],
        "tasks": tasks,
        "n_experts": 3 if experts else None,
        "checkpoint": "CKPT",
        "model": "abc",
        "settings": {},
        "rows": len(rows),
        "ids": ids_digest([row["id"] for row in rows]),
        "sources": "def",
        "summary": {"system": run.system, "command": "python train.py"},
    }
    return header, rows


RIGHT = {"merit": 0.9, "se_only": 0.5, "cascade": 0.6}
GAINS = {"merit": 4.0, "se_only": 3.0, "cascade": 3.0}


def keep_all(plan, places, but=()):
    """Keeps made-up predictions of every run, but of some."""
    for name, run in plan.runs.items():
        if name in but:
            continue
        header, rows = rows_of(run, RIGHT[run.system], GAINS[run.system])
        write_predictions(places.kept(name) / KEPT, header, rows)
        write_text(places.kept(name) / ASKED, yaml.safe_dump(asked(run, plan)))
        log = "epoch: 1 - train loss: 2.0, train gradient cosine: -0.2 - valid loss: 1.0\n"
        write_text(places.kept(name) / "train_log.txt", log)
