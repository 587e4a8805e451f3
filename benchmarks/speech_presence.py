"""How often speech is heard as speech, and silence, noise and music are not.

    python benchmarks/speech_presence.py --data ../shared/data [--model DIR]

Speech of the validation speakers (RAVDESS 17-20, nEMO SM0), clean and in the noise for validation;
sections of four seconds of the noise for validation and of ESC-10, which holds no speech; chords
and melodies that are synthesised here; digital silence and white noise. Prints the share of each
that an analysis does not call ``no_speech``. The test speakers are not looked at.
"""

import argparse
import os
import random
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import soundfile as sf
import torch

from speechbrain_merit.export.loading import shipped_model
from speechbrain_merit.inference import MeritInterface

RATE = 16000
SECTION = 4 * RATE
SNRS = (None, 10, 5, 0, -5)
UTTERANCES = 40  # of each corpus
PIECES = 40  # of music


def read(path):
    """A recording at 16 kHz."""
    wave, rate = sf.read(str(path), dtype="float32", always_2d=True)
    assert rate == RATE, path
    return wave.mean(axis=1)


def mixed(speech, noise, snr_db):
    """Speech with noise at an SNR, or alone."""
    if snr_db is None:
        return speech
    noise = np.resize(noise, len(speech))
    gain = np.sqrt((speech**2).mean() / (noise**2).mean() / 10 ** (snr_db / 10))
    return speech + gain * noise


def sections(paths):
    """Sections of four seconds that are not silent."""
    for path in paths:
        wave = read(path)
        for start in range(0, len(wave) - SECTION // 2, SECTION):
            section = wave[start : start + SECTION]
            if np.abs(section).max() > 1e-4:
                yield section


def music(seed):
    """Chords or a melody of harmonic tones, four seconds."""
    rng = np.random.default_rng(seed)
    wave, chords, decay = np.zeros(SECTION), seed % 2, rng.choice([0.5, 3.0, 8.0])
    start = 0
    while start < SECTION:
        length = int(RATE * rng.choice([0.25, 0.5, 1.0]))
        time = np.arange(min(length, SECTION - start)) / RATE
        for _ in range(3 if chords else 1):
            pitch = 110 * 2 ** (rng.choice([0, 2, 4, 5, 7, 9, 11, 12, 14, 16]) / 12)
            for harmonic in range(1, 9):
                tone = np.sin(2 * np.pi * pitch * harmonic * time) / harmonic
                wave[start : start + len(time)] += tone * np.exp(-decay * time)
        start += length
    return (0.1 * wave / np.abs(wave).max()).astype(np.float32)


def kinds(data):
    """Yields (name, waves) of each kind of sound."""
    rng = random.Random(0)
    noise = sorted((data / "noise" / "ambient" / "valid").glob("*.flac"))
    noises = [read(path) for path in noise]
    ravdess = [
        path
        for actor in range(17, 21)
        for path in sorted((data / "speech" / "RAVDESS" / f"Actor_{actor}").glob("*.flac"))
    ]
    nemo = sorted((data / "speech" / "nEMO" / "samples").glob("SM0_*.flac"))
    for name, paths in (("RAVDESS", ravdess), ("nEMO", nemo)):
        waves = [read(path) for path in rng.sample(paths, UTTERANCES)]
        for snr in SNRS:
            at = "clean" if snr is None else f"{snr} dB"
            yield f"speech, {name}, {at}", [mixed(w, rng.choice(noises), snr) for w in waves]
    yield "noise for validation", list(sections(noise))
    yield "ESC-10", list(sections(sorted((data / "noise" / "esc10").rglob("*.flac"))))
    yield "music", [music(seed) for seed in range(PIECES)]
    white = np.random.default_rng(0).standard_normal(SECTION).astype(np.float32)
    yield "white noise", [0.1 * white, 1e-4 * white]
    yield "silence", [np.zeros(SECTION, np.float32)]


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with speech/ and noise/")
    parser.add_argument("--model", help="a pretrained folder (default: the one that ships)")
    arguments = parser.parse_args()
    merit = MeritInterface.from_hparams(arguments.model or shipped_model())
    print("| sound | n | heard as speech |\n| --- | --- | --- |")
    for name, waves in kinds(arguments.data):
        heard = [
            merit.analyse_batch(torch.from_numpy(wave)[None])[0].emotion != "no_speech"
            for wave in waves
        ]
        print(f"| {name} | {len(heard)} | {np.mean(heard):.3f} |", flush=True)


if __name__ == "__main__":
    main()
