"""MiniMERIT: the same bytes on every run, new speakers in each split, audible emotions."""

import json
import os

import numpy as np
import pytest
import soundfile as sf
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from speechbrain_merit.audio.inspection import check_audio, find_audio
from speechbrain_merit.data import synthetic as recipe
from speechbrain_merit.data.manifests import load_manifest

LABELS = ["angry", "sad", "happy", "neutral"]
SPLITS = {"train": 640, "valid": 64, "test": 96}


@pytest.fixture(scope="module")
def rows(minimerit):
    replacements = {"data_root": str(minimerit / "speech")}
    return {
        split: load_manifest(minimerit / "save" / f"{split}.json", LABELS, replacements)
        for split in SPLITS
    }


def test_sizes_balance_and_durations(rows):
    for split, size in SPLITS.items():
        found = list(rows[split].values())
        assert len(found) == size
        counts = [sum(row["emo"] == label for row in found) for label in LABELS]
        assert counts == [size // 4] * 4
        for row in found:
            info = sf.info(row["wav"])
            assert (info.samplerate, info.channels) == (16000, 1)
            assert row["duration"] == info.frames / 16000
            assert 1.2 <= row["duration"] <= 2.0


def test_no_speaker_is_in_two_splits(rows):
    speakers = [{row["spk_id"] for row in rows[split].values()} for split in SPLITS]
    assert sum(map(len, speakers)) == len(set.union(*speakers)) == 50
    for split in SPLITS:
        assert {row["gender"] for row in rows[split].values()} == {"male", "female"}


def test_no_two_files_sound_the_same(minimerit):
    contents = [path.read_bytes() for path in find_audio(minimerit)]
    assert len(contents) == 849 and len(set(contents)) == len(contents)


def test_the_same_bytes_every_time(minimerit, tmp_path, monkeypatch):
    for index, row in list(enumerate(recipe._utterances()))[::97]:
        wave = recipe._speak(row, np.random.default_rng([recipe.SEED, 1, index]))
        recipe._write_wav(tmp_path / "again.wav", wave)
        first = minimerit / "speech" / row["file"]
        assert (tmp_path / "again.wav").read_bytes() == first.read_bytes()
    monkeypatch.setattr(recipe, "NOISE_FOLDERS", {"train": (("pink", "babble"), 2)})
    for name in ("one", "two"):
        recipe.prepare_minimerit_noise(tmp_path / name)
    first, second = (find_audio(tmp_path / name) for name in ("one", "two"))
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    assert len(first) == 4


def test_complete_data_is_reused_and_incomplete_data_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "NOISE_FOLDERS", {"train": (("pink", "hum"), 1)})
    recipe.prepare_minimerit_noise(tmp_path)
    files = find_audio(tmp_path)
    for path in files:
        os.utime(path, (0, 0))

    def made_again():
        recipe.prepare_minimerit_noise(tmp_path)
        return any(path.stat().st_mtime > 0 for path in files)

    assert not made_again()
    (tmp_path / recipe.MARKER).unlink()  # as if interrupted: the marker is written last
    assert made_again()
    files[0].unlink()
    assert made_again() and files[0].is_file()


def test_an_interrupted_synthesis_leaves_no_marker(tmp_path, monkeypatch):
    def interrupted(path, wave):
        raise KeyboardInterrupt

    monkeypatch.setattr(recipe, "_write_wav", interrupted)
    with pytest.raises(KeyboardInterrupt):
        recipe.prepare_minimerit_noise(tmp_path)
    assert not (tmp_path / recipe.MARKER).exists()


def test_a_folder_of_other_recordings_is_left_alone(tmp_path):
    (tmp_path / "Actor_01").mkdir()
    sf.write(tmp_path / "Actor_01" / "x.wav", np.ones(1600), 16000)
    paths = [tmp_path / "save" / f"{split}.json" for split in SPLITS]
    with pytest.raises(ValueError, match="x.wav.*--corpus"):
        recipe.prepare_minimerit(tmp_path, *paths, LABELS)
    assert [path.name for path in tmp_path.iterdir()] == ["Actor_01"]


def test_noise_folders_hold_what_they_promise(minimerit):
    folders = recipe.prepare_minimerit_noise(minimerit / "noise")  # there already: reused
    types = {
        name: {path.parent.name for path in find_audio(folder)}
        for name, folder in {**folders, **folders["test"]}.items()
        if name != "test"
    }
    assert types["train"] == types["valid"] == types["seen"] == {"pink", "hum", "babble"}
    assert types["unseen"] == {"impulsive", "modulated"}
    for path in find_audio(minimerit / "noise"):
        duration, problem = check_audio(path)
        assert problem is None and 4 <= duration <= 8


def test_labels_choose_the_classes(minimerit, tmp_path):
    paths = [tmp_path / f"{split}.json" for split in SPLITS]
    recipe.prepare_minimerit(minimerit / "speech", *paths, ["sad", "happy"])
    assert {row["emo"] for row in json.loads(paths[0].read_text()).values()} == {"sad", "happy"}
    with pytest.raises(ValueError, match="no 'calm'.*angry, sad, happy, neutral"):
        recipe.prepare_minimerit(minimerit / "speech", *paths, ["sad", "calm"])
    before = paths[0].read_bytes()
    recipe.prepare_minimerit(minimerit / "nowhere", *paths, LABELS, skip_prep=True)
    assert paths[0].read_bytes() == before


def log_spectrum_features(wave):
    """Mean and deviation of 32 bands' log power, level made equal, so that only timbre counts."""
    wave = wave / np.sqrt(np.mean(wave**2))
    frames = np.lib.stride_tricks.sliding_window_view(wave, 400)[::160] * np.hamming(400)
    power = np.abs(np.fft.rfft(frames, 512)) ** 2
    edges = np.unique(np.round(np.geomspace(2, 256, 33)).astype(int))
    bands = np.log(np.add.reduceat(power, edges[:-1], axis=1) + 1e-3)
    return np.concatenate([bands.mean(0), bands.std(0)])


def with_noise(wave, noise, snr_db):
    noise = np.resize(noise, len(wave))
    return wave + noise * np.sqrt(np.mean(wave**2) / np.mean(noise**2) / 10 ** (snr_db / 10))


def test_emotions_can_be_told_apart_and_noise_makes_it_hard(rows, minimerit):
    """A linear classifier is well above chance (25 %) on new speakers, not perfect; noise hurts."""
    waves = {s: [sf.read(r["wav"])[0] for r in rows[s].values()] for s in ("train", "test")}
    emotions = {s: [r["emo"] for r in rows[s].values()] for s in ("train", "test")}
    train = np.stack([log_spectrum_features(w) for w in waves["train"]])
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=2000))
    classifier.fit(train, emotions["train"])
    clean = np.stack([log_spectrum_features(w) for w in waves["test"]])
    noises = [sf.read(p)[0] for p in find_audio(minimerit / "noise" / "test_seen")]
    noisy = np.stack(
        [
            log_spectrum_features(with_noise(w, noises[i % len(noises)], 0.0))
            for i, w in enumerate(waves["test"])
        ]
    )
    accuracy = classifier.score(clean, emotions["test"])
    assert 0.7 < accuracy < 1.0
    assert classifier.score(noisy, emotions["test"]) < accuracy - 0.15


def test_emotions_differ_in_loudness_as_documented(rows):
    def level(emotion):
        waves = [sf.read(r["wav"])[0] for r in rows["train"].values() if r["emo"] == emotion]
        return np.median([10 * np.log10(np.mean(w**2)) for w in waves])

    assert level("angry") > level("neutral") + 2 > level("sad") + 4
