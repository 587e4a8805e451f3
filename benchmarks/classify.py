"""Trains a plain classifier and lets it answer a benchmark; its table then goes to ``--predicted``.

> python benchmarks/classify.py egemaps minimerit.yaml BENCHMARK answers.csv
> python benchmarks/classify.py whisper minimerit.yaml BENCHMARK answers.csv --encoder DIR
> python benchmarks/classify.py whisper … --heard FOLDER                    # unchanged
> python benchmarks/classify.py whisper … --heard FOLDER --matched RNNoise  # trained on its output

``egemaps``: the functionals of eGeMAPS (``pip install opensmile``) and a support vector machine;
``whisper``: means and deviations over time of the hidden states of an encoder, and a linear layer.
Both train on the speakers of the corpus who are neither tested nor validated on, clean and in noise
(``speechbrain_merit/training/probe_training.py``); validation speakers choose C.

eGeMAPS: F. Eyben et al., https://doi.org/10.1109/TAFFC.2015.2457417.
"""

import argparse
import csv
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from peers import PEERS, RATE, installed, levelled
from sklearn.calibration import CalibratedClassifierCV
from sklearn.svm import SVC
from tqdm import tqdm

from speechbrain_merit.data.corpora import RECIPES
from speechbrain_merit.data.noisyemo.listing import utterances
from speechbrain_merit.data.noisyemo.published import read_published
from speechbrain_merit.data.noisyemo.reading import Benchmark
from speechbrain_merit.data.noisyemo.settings import read_settings
from speechbrain_merit.errors import ends_in_a_line
from speechbrain_merit.lobes.encoders import build_encoder
from speechbrain_merit.training.enhanced_files import Enhanced
from speechbrain_merit.training.probe_training import fit, linear, sounds, training_noise
from speechbrain_merit.training.probes import pooled

SVM_STRENGTHS = (0.1, 0.3, 1, 3, 10, 30)  # C


def egemaps(encoder):
    """Waves (S) to eGeMAPS' 88 functionals each; ``encoder`` is not heard."""
    import opensmile

    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)

    def features(waves):
        for wave in waves:
            yield np.nan_to_num(smile.process_signal(wave, RATE).to_numpy()[0])

    return features


def whisper(encoder):
    """Waves (S) to what an encoder's hidden states are over time, (2 · L · D) each."""
    encoder = build_encoder(encoder).eval()

    def hear(wavs, lengths):
        return encoder(wavs, lengths), encoder.frame_lengths(wavs, lengths)

    return lambda waves: pooled(hear, waves)


def machine(strength):
    """A support vector machine whose answers are probabilities; emotions count alike."""
    svm = SVC(C=strength, class_weight="balanced")
    return CalibratedClassifierCV(svm, ensemble=False)


FEATURES = {"egemaps": (egemaps, machine, SVM_STRENGTHS), "whisper": (whisper, linear, None)}


def train(features, classifier, strengths, settings, enhance):
    """A classifier of the corpus's training speakers."""
    recordings, labels = training_noise(), settings.labels
    groups = {}
    for split, rows in utterances(settings, ("train", "valid")).items():
        heard, truth = [], []
        for row in tqdm(rows, split):
            waves = map(enhance, sounds(read_published(row.path).samples, row.id, recordings))
            found = list(features(waves))
            heard += found
            truth += [labels.index(row.label)] * len(found)
        groups[split] = np.array(heard), np.array(truth)
    options = {} if strengths is None else {"strengths": strengths}
    found = fit(classifier, groups["train"], groups["valid"], **options)
    n, C = len(groups["train"][1]), found.strength
    print(f"{n} sounds, C {C:g}, F1-macro {found.f1:.3f} on {len(groups['valid'][1])}")
    return found.pipeline


def main():
    """Trains, hears the benchmark, writes a row for each of its files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = {name.lower(): name for name in PEERS}
    parser.add_argument("features", choices=FEATURES)
    parser.add_argument("yaml", help="the corpus: minimerit.yaml, ravdess.yaml, …")
    parser.add_argument("benchmark")
    parser.add_argument("out", help="a CSV")
    parser.add_argument("--data_folder", help="the corpus as published")
    parser.add_argument("--encoder", default="openai/whisper-tiny.en", help="of whisper")
    parser.add_argument("--heard", type=Path, help="enhanced files of the benchmark's names")
    parser.add_argument("--matched", type=str.lower, choices=names, help="trained on its output")
    given = parser.parse_args()
    if given.matched and given.heard is None:
        parser.error("--matched goes with --heard, the files of the same enhancer")
    yaml = Path(given.yaml)
    yaml = yaml if yaml.is_file() else RECIPES / "NoisyEmo" / yaml
    settings, benchmark = read_settings(yaml, given.data_folder), Benchmark(given.benchmark)
    make, classifier, strengths = FEATURES[given.features]
    features = installed(given.features, lambda: make(given.encoder))
    matched = names.get(given.matched)
    peer = installed(matched, PEERS[matched]) if matched else None

    def enhance(wave):
        return levelled(peer, wave)[: len(wave)] if peer else wave

    read = benchmark.noisy if given.heard is None else Enhanced(benchmark, given.heard).read
    pipeline = train(features, classifier, strengths, settings, enhance)
    waves = (read(item) for item in tqdm(benchmark.items, "test"))
    chances = pipeline.predict_proba(np.array(list(features(waves))))
    with open(given.out, "w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["file", *settings.labels])
        for item, row in zip(benchmark.items, chances, strict=True):
            lines.writerow([item.file, *(row / row.sum()).round(6)])


if __name__ == "__main__":
    with ends_in_a_line("classify.py"):
        main()
