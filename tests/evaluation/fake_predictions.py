"""Predictions made up for tests: a header and rows of a test set of any size."""

import numpy as np

from speechbrain_merit.evaluation.enhancement import SCORE_KEYS
from speechbrain_merit.evaluation.predictions import ids_digest

LABELS = ["angry", "sad", "happy"]
ATTRIBUTES = ["arousal", "valence"]
CONDITIONS = [(None, None), ("street", -5), ("street", 5.5)]
N_EXPERTS = 3


def a_header(n, **changes):
    """The header of ``n`` utterances under every condition."""
    ids = [a_row(index, n)["id"] for index in range(n * len(CONDITIONS))]
    known = {
        "format": 1,
        "labels": LABELS,
        "attributes": ATTRIBUTES,
        "tasks": ["se", "ser"],
        "n_experts": N_EXPERTS,
        "checkpoint": "CKPT+1",
        "model": "abc",
        "settings": {"noise_sets": ["street"], "test_snrs": [-5, 5.5], "test_seed": 0},
        "rows": len(ids),
        "ids": ids_digest(ids),
        "sources": "def",
        "summary": {"system": "merit", "corpus": "Tiny", "command": "python train.py"},
    }
    return {**known, **changes}


def a_row(index, n):
    """A row with all that a row can hold; the same for the same index."""
    rng = np.random.default_rng(index)
    noise_set, snr_db = CONDITIONS[index // n]
    frames = int(rng.integers(20, 90))
    chosen = rng.integers(N_EXPERTS, size=(2, frames))
    shares = [np.bincount(own, minlength=N_EXPERTS) / frames for own in chosen]
    probabilities = rng.dirichlet(np.ones(len(LABELS))).astype(np.float32)
    scores = {key: float(rng.normal()) for key in SCORE_KEYS}
    return {
        "index": index,
        "id": f"utt{index % n}|{noise_set}|{snr_db}",
        "utterance": f"utt{index % n}",
        "speaker": f"speaker{index % 5}",
        "corpus": ("First", "Other")[index % 2],
        "label": LABELS[index % len(LABELS)],
        "noise_set": noise_set,
        "snr_db": snr_db,
        "measured_snr_db": snr_db,
        "probabilities": probabilities.tolist(),
        "attributes": {
            "truth": [None if index % 4 == 0 else float(rng.random()), float(rng.random())],
            "predicted": rng.random(2).tolist(),
        },
        "scores": {**scores, "pesq": None} if index % 7 == 0 else scores,
        "frames": frames,
        "experts": dict(
            zip(("se", "ser"), [[round(s, 6) for s in own.tolist()] for own in shares])
        ),
    }


def some_rows(n):
    """All rows of ``n`` utterances, in order."""
    return [a_row(index, n) for index in range(n * len(CONDITIONS))]
