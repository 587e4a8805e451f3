"""Graphs for ONNX Runtime beside PyTorch: speed, agreement, and what int8 costs.

    python benchmarks/onnx_speed.py [--model DIR] [--data ../shared/data]

Prints seconds of processor time for a second of sound on one core, of windows of ten seconds; and
with --data (a folder with speech/RAVDESS and noise/ambient/valid), F1-macro and SI-SDR gain on
RAVDESS's validation speakers at -5 and 5 dB. The test speakers are not looked at.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import soundfile as sf
import torch
from measure import machine

from speechbrain_merit.data.mixing import generator, mix
from speechbrain_merit.evaluation.emotion import emotion_scores
from speechbrain_merit.evaluation.enhancement import si_sdr
from speechbrain_merit.export.loading import shipped_model
from speechbrain_merit.inference import MeritInterface
from speechbrain_merit.training.exporting import export

RATE, SECONDS = 16000, 10
CODES = {"01": "neutral", "03": "happy", "04": "sad", "05": "angry"}  # of RAVDESS's file names
SPEAKERS = range(17, 21)
SNRS = (-5.0, 5.0)


class Torch:
    """The interface, called as MeritOnnx is."""

    def __init__(self, folder):
        self.merit = MeritInterface.from_hparams(folder, run_opts={"device": "cpu"})
        self.labels = self.merit.hparams.labels

    def classify(self, sound):
        """Label and probabilities."""
        rows, _, _, (label,) = self.merit.classify_batch(sound[0][None])
        return label, dict(zip(self.labels, rows[0].tolist()))

    def enhance(self, sound):
        """The clean wave."""
        return self.merit.enhance_batch(sound[0][None])[0].numpy()


def variants(model, folder):
    """Name → what classifies and enhances."""
    found = {"PyTorch": Torch(model)}
    for precision in ("fp32", "int8"):
        made = export(model, folder / precision, precision, onnx=True)
        sys.path.insert(0, str(made))
        sys.modules.pop("merit_onnx", None)
        from merit_onnx import MeritOnnx

        found[f"ONNX Runtime, {precision}"] = MeritOnnx(made, threads=1)
    return found, {p: size(folder / p) for p in ("fp32", "int8")}


def size(folder):
    """Megabytes of the graphs of a folder."""
    return sum(path.stat().st_size for path in folder.glob("*.onnx")) / 1e6


def speeds(found, repetitions):
    """Prints processor seconds a second of sound, measured in turns."""
    noise = np.random.default_rng(0).standard_normal(SECONDS * RATE).astype(np.float32)
    sound = (0.1 * noise, RATE)
    taken = {}
    for repetition in range(repetitions + 1):
        for name, system in found.items():
            for task in ("classify", "enhance"):
                start = time.process_time()
                getattr(system, task)(sound)
                if repetition:  # the first warms up
                    taken.setdefault((name, task), []).append(time.process_time() - start)
    print("| system | emotion | share | enhancement | share |\n| --- | --- | --- | --- | --- |")
    for name in found:
        cells = []
        for task in ("classify", "enhance"):
            seconds = statistics.median(taken[name, task]) / SECONDS
            first = statistics.median(taken["PyTorch", task]) / SECONDS
            cells.append(f"{seconds:.4f} | {seconds / first:.2f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def mixtures(data):
    """Label, clean and noisy wave of each utterance at each SNR."""
    noises = sorted((data / "noise" / "ambient" / "valid").glob("*.flac"))
    for snr in SNRS:
        for actor in SPEAKERS:
            folder = data / "speech" / "RAVDESS" / f"Actor_{actor}"
            for path in sorted(folder.glob("03-01-0[1345]-*.flac")):
                rng = generator(f"{path.name} {snr}")
                noise = noises[rng.integers(len(noises))]
                clean, noise = (
                    torch.from_numpy(sf.read(p, dtype="float32")[0]) for p in (path, noise)
                )
                mixture = mix(clean, noise, snr, rng).mixture
                yield snr, CODES[path.name.split("-")[2]], clean.numpy(), mixture.numpy()


def scores(found, data):
    """Prints F1-macro, SI-SDR gain and agreement with PyTorch."""
    rows = {name: {snr: [] for snr in SNRS} for name in found}
    gains, apart, decibels = ({name: [] for name in found} for _ in range(3))
    for snr, label, clean, noisy in mixtures(data):
        first = None
        for name, system in found.items():
            probabilities = list(system.classify((noisy, RATE))[1].values())
            wave = system.enhance((noisy, RATE))
            first = first or (probabilities, wave)
            rows[name][snr].append((system.labels.index(label), probabilities))
            gains[name].append(si_sdr(clean, wave) - si_sdr(clean, noisy))
            apart[name].append(np.abs(np.subtract(probabilities, first[0])).max())
            error = max(float(np.square(wave - first[1]).sum()), 1e-30)
            decibels[name].append(10 * np.log10(np.square(first[1]).sum() / error))
    print("\n| system | F1-macro | SI-SDR gain (dB) | probabilities apart, at most "
          "| waves agree to, at least (dB) |\n| --- | --- | --- | --- | --- |")  # fmt: skip
    for name, system in found.items():
        f1 = [
            emotion_scores(*map(list, zip(*part)), system.labels)["f1_macro"]
            for part in rows[name].values()
        ]
        same = name == "PyTorch"
        print(
            f"| {name} | {np.mean(f1):.3f} | {np.mean(gains[name]):.2f} "
            + ("| – | – |" if same else f"| {max(apart[name]):.1e} | {min(decibels[name]):.0f} |")
        )


def main():
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a pretrained folder (default: the one that ships)")
    parser.add_argument("--data", type=Path, help="folder with speech/ and noise/")
    parser.add_argument("--repetitions", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(machine(), end="\n\n")
    with tempfile.TemporaryDirectory() as folder:
        found, sizes = variants(options.model or shipped_model(), Path(folder))
        print(f"Graphs of {sizes['fp32']:.0f} MB in fp32, {sizes['int8']:.0f} MB in int8.\n")
        speeds(found, options.repetitions)
        if options.data:
            scores(found, options.data)


if __name__ == "__main__":
    main()
