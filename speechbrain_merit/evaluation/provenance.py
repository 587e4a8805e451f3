"""What was scored: the header of ``predictions.jsonl``, by which another evaluation is known."""

import hashlib
import json
import shlex
import sys
from pathlib import Path

import torch

from speechbrain_merit.evaluation.predictions import ids_digest
from speechbrain_merit.evaluation.rows import FORMAT
from speechbrain_merit.lobes.encoder_config import encoder_config


def header(model, test_set, batches, hparams, device, checkpoint=None):
    """The header of an evaluation.

    Arguments
    ---------
    model : Merit
        The network.
    test_set : DynamicItemDataset
        From :func:`speechbrain_merit.data.pipeline.fixed_set`.
    batches : list of sequences of int
        What is scored of it, by places in the test set.
    hparams : dict
        Of the run.
    device : str
        Where the model is.
    checkpoint : str, optional
        Name of the checkpoint.

    Returns
    -------
    dict
        Plain values:

        ``format`` of the file; ``labels``, ``attributes`` and ``tasks`` of the system; the size
        ``n_experts`` of its pool, None without experts; ``checkpoint``; ``model``, a digest of its
        settings and weights; ``settings`` of the test; number of ``rows``; ``ids``, the digest of
        their ids; ``sources``, a digest of the folders of speech and noise; ``summary``, what the
        head of the report says.
    """
    names = [test_set.data_ids[index] for batch in batches for index in batch]
    noise_sets, snrs = {}, {}  # in order of appearance
    for entry in map(test_set.data.__getitem__, names):
        noise_sets[entry["noise_set"]] = snrs[entry["asked_snr_db"]] = None
    keys = ("test_seed", "test_band_limit", "test_batch_size", "n_examples")
    sources = [str(hparams[key]) for key in ("data_folder", "noise_test_folders", "noise_folder")]
    found = {
        "format": FORMAT,
        "labels": list(hparams["labels"]),
        "attributes": list(hparams["attributes"]),
        "tasks": list(model.tasks),
        "n_experts": model.n_experts,
        "checkpoint": checkpoint,
        "model": fingerprint(model),
        "settings": {
            "noise_sets": [name for name in noise_sets if name is not None],
            "test_snrs": [snr_db for snr_db in snrs if snr_db is not None],
            **{key: hparams[key] for key in keys},
            "device": torch.device(device).type,
            "temperature": hparams.get("temperature", 1.0),
            "truth": truth_digest(test_set, names, hparams["attributes"]),
            **({"quick": True} if hparams.get("quick") else {}),
        },
        "rows": len(names),
        "ids": ids_digest(names),
        "sources": hashlib.sha256(json.dumps(sources).encode()).hexdigest(),
        "summary": summary(hparams, model),
    }
    return json.loads(json.dumps(found))  # tuples become lists, as in what is read back


def truth_digest(test_set, names, attributes):
    """A digest of what is true of each utterance: labels that were mended make another test."""
    rows = [[test_set.data[name].get(key) for key in ("emo", *attributes)] for name in names]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


def fingerprint(model):
    """A digest of a network's settings and weights: equal where it gives the same output.

    Example
    -------
    >>> from speechbrain_merit.lobes.encoders import build_encoder
    >>> from speechbrain_merit.lobes.integration import WeightedSum
    >>> from speechbrain_merit.lobes.merit import Merit
    >>> encoder = build_encoder("mini")
    >>> merit = Merit(encoder, WeightedSum(encoder.n_hidden, encoder.width))
    >>> before = fingerprint(merit)
    >>> with torch.no_grad():
    ...     _ = merit.integration.weights["ser"].add_(1e-6)
    >>> before == fingerprint(merit)
    False
    """
    settings = json.dumps(settings_of(model), sort_keys=True, default=str)
    digest = hashlib.sha256(settings.encode())
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy())
    return digest.hexdigest()


def settings_of(model):
    """The class and the settings of each part of a network, by name; those of a cascade nested."""
    parts = {"level": model.level, **dict(model.named_children())}
    return {
        name: [
            type(part).__name__,
            encoder_config(part) if name == "encoder" else part.config or settings_of(part),
        ]
        for name, part in parts.items()
    }


def summary(hparams, model):
    """What the head of the report says about the run."""
    counts = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "of these in the encoder": sum(p.numel() for p in model.encoder.parameters()),
    }
    names = ("system", "corpus", "encoder", "seed", "number_of_epochs", "test_seed")
    command = "python " + shlex.join(sys.argv)
    corpus = ",".join(Path(name.strip()).name for name in str(hparams["corpus"]).split(","))
    facts = {**{name: hparams[name] for name in names}, "corpus": corpus}
    if hparams.get("known_speakers"):
        counts["test speakers heard in training"] = hparams["known_speakers"]
    return {**facts, **counts, "command": command}
