"""merit-tiny, the model that travels with the package: whole, abstaining, and worth having."""

import numpy as np
import pytest
import soundfile as sf
import torch

from speechbrain_merit.data.mixing import generator, mix
from speechbrain_merit.evaluation.enhancement import si_sdr
from speechbrain_merit.export.loading import shipped_model
from speechbrain_merit.inference import MeritInterface

LABELS = ["angry", "sad", "happy", "neutral"]
CODES = {"01": "neutral", "03": "happy", "04": "sad", "05": "angry"}  # of RAVDESS's file names


@pytest.fixture(scope="module")
def merit():
    return MeritInterface.from_hparams(shipped_model(), run_opts={"device": "cpu"})


def test_it_is_whole(merit):
    folder = shipped_model()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert size <= 40e6 and set(merit.hparams.labels) == set(LABELS)
    assert merit.tasks == ("se", "ser") and merit.hparams.temperature != 1.0
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "not for commercial use" in card and "dB" in card and "python train.py" in card


def test_it_names_no_emotion_where_nobody_speaks(merit):
    rng = np.random.default_rng(0)
    time = np.arange(5 * 16000) / 16000
    chord = sum(np.sin(2 * np.pi * 220 * ratio * time) for ratio in (1, 1.25, 1.5))
    kinds = [np.zeros(len(time)), 0.1 * rng.standard_normal(len(time)), 0.05 * chord]
    for wave in kinds:
        analysis = merit.analyse_batch(torch.from_numpy(wave.astype(np.float32))[None])[0]
        assert analysis.emotion == "no_speech"
        assert merit.classify_batch(torch.from_numpy(wave).float()[None])[3][0] in LABELS


def test_it_hears_emotions_and_cleans_speech_of_speakers_it_does_not_know(merit, shared_data):
    noises = sorted((shared_data / "noise" / "esc10").rglob("*.flac"))
    gains, right = [], []
    for actor in range(21, 25):
        folder = shared_data / "speech" / "RAVDESS" / f"Actor_{actor}"
        for code, emotion in CODES.items():
            (path, *_) = sorted(folder.glob(f"03-01-{code}-*.flac"))
            rng = generator(path.name)
            clean, noise = (
                torch.from_numpy(sf.read(p, dtype="float32")[0])
                for p in (path, noises[rng.integers(len(noises))])
            )
            mixture = mix(clean, noise, 5.0, rng).mixture
            analysis = merit.analyse_batch(mixture[None])[0]
            estimates = analysis.enhanced.numpy(), mixture.numpy()
            after, before = (si_sdr(clean.numpy(), estimate) for estimate in estimates)
            gains.append(after - before)
            right.append(analysis.emotion == emotion)
    assert np.mean(gains) > 5 and np.mean(right) > 0.6
