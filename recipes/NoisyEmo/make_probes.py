"""Makes ``probes.npz``: two linear classifiers on merit-tiny's frozen encoder.

> python make_probes.py --ravdess /path/to/RAVDESS --nemo /path/to/nEMO

Trained on the training speakers of RAVDESS and nEMO (WAV as published, or FLAC of the same names),
one on clean speech, the other on clean and noisy speech. How strongly their weights are held down
is chosen on the validation speakers, clean and noisy alike. Test speakers are never read. The noise
is of the kinds that need no recordings, drawn for training alone.
"""

import argparse
import re
from pathlib import Path

import numpy as np
import soundfile as sf
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from speechbrain_merit.data.exact import noises
from speechbrain_merit.data.exact.draws import Draws
from speechbrain_merit.data.exact.filters import RATE, resample
from speechbrain_merit.data.exact.integers import fitted
from speechbrain_merit.data.exact.mixing import mixed, piece
from speechbrain_merit.training.probes import LABELS, PATH, PROBES, Features

RAVDESS = re.compile(r"03-01-(0[1345])-0[12]-0[12]-0[12]-(\d\d)\.(wav|flac)")
NEMO = re.compile(r"([A-Z]{2}\d)_(anger|sadness|happiness|neutral)_\d+\.(wav|flac)")
EMOTIONS = {"05": "angry", "04": "sad", "03": "happy", "01": "neutral"}
EMOTIONS |= {"anger": "angry", "sadness": "sad", "happiness": "happy", "neutral": "neutral"}
SPEAKERS = {
    "train": [f"{n:02d}" for n in range(1, 17)] + ["EB0", "IC0", "KD0", "KS0", "MK0", "TP0"],
    "valid": ["17", "18", "19", "20", "SM0"],
}
SNRS = (-5, 0, 5, 10, 15, 20)
COPIES = 2  # noisy versions of each utterance
KINDS = list(noises.SYNTHESISED)
STRENGTHS = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1, 3)  # C of the regression


def utterances(ravdess, nemo):
    """Rows (split, label, path) of both corpora, sorted by path."""
    split = {speaker: name for name, group in SPEAKERS.items() for speaker in group}
    for folder, pattern, order in ((ravdess, RAVDESS, (1, 2)), (nemo, NEMO, (2, 1))):
        for path in sorted(Path(folder).rglob("*")):
            match = pattern.fullmatch(path.name)
            if match and match[order[1]] in split:
                yield split[match[order[1]]], EMOTIONS[match[order[0]]], path


def sounds(path, recordings):
    """An utterance, clean and with noise of drawn kinds and SNRs, float32."""
    samples, rate = sf.read(path, dtype="int16", always_2d=True)
    clean = resample(samples[:, 0], rate, RATE)
    yield clean / np.float32(32768)
    for copy in range(COPIES):
        draws = Draws("probe", path.stem, copy)
        noise = recordings[draws.integer(0, len(recordings))]
        snr = SNRS[draws.integer(0, len(SNRS))]
        yield fitted(mixed(clean, piece(noise, len(clean), draws), snr))[0] / np.float32(32768)


def fit(train, valid):
    """Weights and bias with the best F1-macro on the validation speakers; and that F1."""
    (x, y), (x_valid, y_valid) = train, valid
    scaler = StandardScaler().fit(x)
    best = None
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, class_weight="balanced", max_iter=2000)
        model.fit(scaler.transform(x), y)
        f1 = f1_score(y_valid, model.predict(scaler.transform(x_valid)), average="macro")
        if best is None or f1 > best[0]:
            best = f1, strength, model
    f1, strength, model = best
    weights = model.coef_ / scaler.scale_
    bias = model.intercept_ - weights @ scaler.mean_
    return weights.astype(np.float32), bias.astype(np.float32), f1, strength


def main():
    """Hears all utterances, trains both probes, writes them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ravdess", required=True)
    parser.add_argument("--nemo", required=True)
    given = parser.parse_args()
    rows = list(utterances(given.ravdess, given.nemo))
    recordings = [noises.recording(kind, f"probe {n}") for kind in KINDS for n in range(3)]
    hear = Features(path=None)
    heard, labels, splits, noisy = [], [], [], []
    for split, label, path in tqdm(rows):
        found = list(hear(sounds(path, recordings)))
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
        found = fit((heard[own], labels[own]), (heard[chosen], labels[chosen]))
        arrays[f"{name}_weights"], arrays[f"{name}_bias"], f1, strength = found
        print(f"{name}: {own.sum()} sounds, C {strength:g}, F1-macro {f1:.3f} on {chosen.sum()}")
    np.savez(PATH, **arrays)


if __name__ == "__main__":
    main()
