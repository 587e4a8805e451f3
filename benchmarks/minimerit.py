"""Whether MiniMERIT is hard enough to mean anything, and whether ``make train`` learns it.

    python benchmarks/minimerit.py                                  # the corpus alone
    python benchmarks/minimerit.py results/merit/MiniMERIT/*        # and finished runs on it

The corpus is measured by logistic regression on the mean and deviation of log band powers and of
their differences, levels made equal: trained on clean speech, and on clean and noisy speech (−5 to
15 dB). It meets the noise in two ways: as a run's test mixtures have it, and from each recording's
start on, which is how the first figures of the corpus were measured. A run is held against its
goals and against that regression, on the same mixtures. Accuracies on a balanced test set are UARs.
"""

import argparse
import json
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from speechbrain_merit.audio.reading import read_audio
from speechbrain_merit.data.datasets import (
    fixed_test_set,
    noise_bank,
    prepare,
    prepare_noise,
    speech,
    training_mixer,
)
from speechbrain_merit.data.mixing import mix
from speechbrain_merit.training.settings import load, parse

RATE = 16000
BANDS = 40  # from 60 Hz to 8 kHz, of equal width on a logarithmic axis where bins are fine enough
FLOOR = 1e-6  # of power: far below the speech, whose RMS is 1
NOISY_PASSES = 4  # over the training set, beside the clean one
TRAIN_SNR_DB = (-5, 15)
SNRS = (-5, 0, 5, 10)
GOALS = {("clean", None): 0.82, ("seen", -5): 0.50, ("unseen", 0): 0.50}  # F1-macro
ENHANCED = ("pesq", "stoi", "si_sdr", "ssnr")  # above the noisy input up to …
HIGHEST_SNR = 5  # dB


class FromTheStart:
    """In place of a generator: a noise is taken from its first sample on."""

    @staticmethod
    def integers(high):
        """The first place."""
        return 0


def features(wave):
    """Mean and deviation of log band powers and of their differences (4 · bands) of a wave (S)."""
    wave = np.asarray(wave, dtype=float)
    wave = wave / np.sqrt(np.mean(wave**2))
    frames = np.lib.stride_tricks.sliding_window_view(wave, 400)[::160] * np.hamming(400)
    power = np.abs(np.fft.rfft(frames, 512)) ** 2
    edges = np.unique(np.round(np.geomspace(2, 256, BANDS + 1)).astype(int))
    bands = np.log(np.add.reduceat(power, edges[:-1], axis=1) + FLOOR)
    steps = np.diff(bands, axis=0)
    return np.concatenate([bands.mean(0), bands.std(0), steps.mean(0), steps.std(0)])


def fit(rows):
    """A regression on pairs of a wave and an emotion."""
    waves, emotions = zip(*rows)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000))
    return classifier.fit(np.stack([features(wave) for wave in waves]), emotions)


def training_rows(hparams, entries, bank, clean_share, passes):
    """Pairs of a mixture and its emotion, as training mixes them."""
    counter = SimpleNamespace(current=0)
    own = {"train_snr_db": TRAIN_SNR_DB, "clean_share": clean_share}
    mixer = training_mixer({**hparams, "seed": 0, "epoch_counter": counter, **own}, bank)
    for counter.current in range(1, passes + 1):
        for name, entry in entries.items():
            yield mixer(name, entry["wav"]).mixture, entry["emo"]


def of_the_run(test_set):
    """Condition → pairs, of the mixtures that a run is scored on."""
    rows = {}
    for item in test_set:
        entry = test_set.data[item["id"]]
        key = (entry["noise_set"] or "clean", entry["asked_snr_db"])
        rows.setdefault(key, []).append((item["mixture"], entry["emo"]))
    return rows


def from_the_start(entries, banks):
    """Condition → pairs, the recordings of a noise set in turn, each from its start on."""
    speech_rows = [(read_audio(entry["wav"], RATE), entry["emo"]) for entry in entries.values()]
    rows = {("clean", None): speech_rows}
    for name, bank in banks.items():
        noises = [bank.load(key) for key in bank.names]
        for snr in SNRS:
            rows[name, snr] = [
                (mix(wave, noises[index % len(noises)], snr, FromTheStart).mixture, emotion)
                for index, (wave, emotion) in enumerate(speech_rows)
            ]
    return rows


def regression(arguments):
    """Way of mixing → training → condition → accuracy; prints the table."""
    with tempfile.TemporaryDirectory() as folder:
        hparams_file, _, overrides = parse(
            ["hparams/merit.yaml", "--output_folder", folder, *arguments]
        )
        hparams = load(hparams_file, overrides)
        prepare(hparams)
        noise = folders, manifests = prepare_noise(hparams)
        train, test = (speech(hparams, f"{split}_annotation") for split in ("train", "test"))
        bank = noise_bank(manifests["train"], folders["train"])
        banks = {n: noise_bank(m, folders["test"][n]) for n, m in manifests["test"].items()}
        hparams["test_snrs"] = SNRS
        clean = list(training_rows(hparams, train, bank, 1.0, 1))
        noisy = list(training_rows(hparams, train, bank, 0.0, NOISY_PASSES))
        classifiers = {"clean": fit(clean), "clean and noisy": fit(clean + noisy)}
        mixtures = {
            "as the run": of_the_run(fixed_test_set(hparams, noise)),
            "from its start": from_the_start(test, banks),
        }
        scores = {}
        for way, conditions in mixtures.items():
            for key, rows in conditions.items():
                waves, emotions = zip(*rows)
                table = np.stack([features(wave) for wave in waves])
                for name, classifier in classifiers.items():
                    of_way = scores.setdefault((way, name), {})
                    of_way[key] = classifier.score(table, emotions)
    print(f"Logistic regression, {len(train)} utterances in training, {len(test)} in test")
    keys = list(next(iter(scores.values())))
    print("\n| noise | trained on |", " | ".join(map(title, keys)), "|")
    print("| --- | --- |", " | ".join("---" for _ in keys), "|")
    for (way, name), values in scores.items():
        print(f"| {way} | {name} |", " | ".join(f"{values[key]:.2f}" for key in keys), "|")
    return scores["as the run", "clean and noisy"]


def title(key):
    """A condition in words."""
    return key[0] if key[1] is None else f"{key[0]} {key[1]} dB"


def judge(folder, baseline):
    """Yields (goal, figure, whether it is met) of a finished run."""
    rows = json.loads((folder / "evaluation" / "metrics.json").read_text(encoding="utf-8"))
    by_key = {(row["noise_set"] or "clean", row["snr_db"]): row for row in rows}
    for key, goal in GOALS.items():
        f1 = by_key[key]["f1_macro"]
        yield f"F1-macro, {title(key)}, at least {goal:.2f}", f"{f1:.3f}", f1 >= goal
    falls = []
    for name in sorted({key[0] for key in by_key} - {"clean"}):
        rising = sorted((key for key in by_key if key[0] == name), key=lambda key: key[1])
        rising.append(("clean", None))
        for low, high in zip(rising, rising[1:]):
            # where all is right there is no interval
            lowest = by_key[low]["f1_macro_ci"] or [by_key[low]["f1_macro"]]
            if by_key[high]["f1_macro"] < lowest[0]:
                falls.append(f"{title(low)} to {title(high)}")
    yield "F1-macro rises with the SNR, within its interval", ", ".join(falls) or "all", not falls
    for metric in ENHANCED:
        gains = {
            title(key): row[metric] - row[f"{metric}_noisy"]
            for key, row in by_key.items()
            if key[1] is not None and key[1] <= HIGHEST_SNR
        }
        worst = min(gains, key=gains.get)
        figure = f"least gain {gains[worst]:+.3f} ({worst})"
        yield f"{metric} above the noisy input, up to {HIGHEST_SNR} dB", figure, gains[worst] > 0
    leads = {title(k): by_key[k]["uar"] - v for k, v in baseline.items() if k in by_key}
    worst = min(leads, key=leads.get)
    yield (
        "UAR above the regression's",
        f"least lead {leads[worst]:+.3f} ({worst})",
        leads[worst] > 0,
    )


def main():
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", type=Path, help="results folders of finished runs")
    parser.add_argument("--data_folder", default="data/MiniMERIT")
    parser.add_argument("--noise_folder", default="data/MiniMERIT_noise")
    options = parser.parse_args()
    folders = ["--data_folder", options.data_folder, "--noise_folder", options.noise_folder]
    baseline = regression(folders)
    if options.runs:
        print("\n| goal |", " | ".join(run.name for run in options.runs), "|")
        print("| --- |", " | ".join("---" for _ in options.runs), "|")
        for verdicts in zip(*(judge(run, baseline) for run in options.runs)):
            cells = [f"{figure}, {'met' if met else 'MISSED'}" for _, figure, met in verdicts]
            print(f"| {verdicts[0][0]} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
