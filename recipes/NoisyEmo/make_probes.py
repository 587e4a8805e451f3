"""Makes ``probes.npz``: two linear classifiers on merit-tiny's frozen encoder.

> python make_probes.py --ravdess /path/to/RAVDESS --nemo /path/to/nEMO

Trained on the training speakers of RAVDESS and nEMO (WAV as published, or FLAC of the same names),
one on clean speech, the other on clean and noisy speech. How strongly their weights are held down
is chosen on the validation speakers, clean and noisy alike. Test speakers are never read.
"""

import argparse
import re
from pathlib import Path

import numpy as np
import soundfile as sf
from tqdm import tqdm

from speechbrain_merit.data.exact.filters import RATE, resample
from speechbrain_merit.training.probe_training import fit, linear, sounds, training_noise
from speechbrain_merit.training.probes import LABELS, PATH, PROBES, Features

RAVDESS = re.compile(r"03-01-(0[1345])-0[12]-0[12]-0[12]-(\d\d)\.(wav|flac)")
NEMO = re.compile(r"([A-Z]{2}\d)_(anger|sadness|happiness|neutral)_\d+\.(wav|flac)")
EMOTIONS = {"05": "angry", "04": "sad", "03": "happy", "01": "neutral"}
EMOTIONS |= {"anger": "angry", "sadness": "sad", "happiness": "happy", "neutral": "neutral"}
SPEAKERS = {
    "train": [f"{n:02d}" for n in range(1, 17)] + ["EB0", "IC0", "KD0", "KS0", "MK0", "TP0"],
    "valid": ["17", "18", "19", "20", "SM0"],
}


def utterances(ravdess, nemo):
    """Rows (split, label, path) of both corpora, sorted by path."""
    split = {speaker: name for name, group in SPEAKERS.items() for speaker in group}
    for folder, pattern, order in ((ravdess, RAVDESS, (1, 2)), (nemo, NEMO, (2, 1))):
        for path in sorted(Path(folder).rglob("*")):
            match = pattern.fullmatch(path.name)
            if match and match[order[1]] in split:
                yield split[match[order[1]]], EMOTIONS[match[order[0]]], path


def read(path):
    """The first channel of a recording at 16 kHz, (S,) int16."""
    samples, rate = sf.read(path, dtype="int16", always_2d=True)
    return resample(samples[:, 0], rate, RATE)


def weights_of(pipeline):
    """Weights and bias on features as they are, of a classifier on standardised ones."""
    scaler, model = (step for _, step in pipeline.steps)
    weights = model.coef_ / scaler.scale_
    bias = model.intercept_ - weights @ scaler.mean_
    return weights.astype(np.float32), bias.astype(np.float32)


def main():
    """Hears all utterances, trains both probes, writes them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ravdess", required=True)
    parser.add_argument("--nemo", required=True)
    given = parser.parse_args()
    rows = list(utterances(given.ravdess, given.nemo))
    recordings, hear = training_noise(), Features(path=None)
    heard, labels, splits, noisy = [], [], [], []
    for split, label, path in tqdm(rows):
        found = list(hear(sounds(read(path), path.stem, recordings)))
        heard += found
        labels += [LABELS.index(label)] * len(found)
        splits += [split] * len(found)
        noisy += [copy > 0 for copy in range(len(found))]
    heard, labels = np.array(heard), np.array(labels)
    splits, noisy = np.array(splits), np.array(noisy)
    arrays, valid = {"encoder": hear.digest}, splits == "valid"
    for name in PROBES:
        own = (splits == "train") & (~noisy if name == "clean" else True)
        chosen = valid & (~noisy if name == "clean" else True)
        found = fit(linear, (heard[own], labels[own]), (heard[chosen], labels[chosen]))
        arrays[f"{name}_weights"], arrays[f"{name}_bias"] = weights_of(found.pipeline)
        said = f"C {found.strength:g}, F1-macro {found.f1:.3f}"
        print(f"{name}: {own.sum()} sounds, {said} on {chosen.sum()}")
    np.savez(PATH, **arrays)


if __name__ == "__main__":
    main()
