"""Folders of speech without labels: what is taken, what is left out and why, what stops."""

import csv

import numpy as np
import pytest
import soundfile as sf

from speechbrain_merit.data import speech_folders
from speechbrain_merit.data.manifests import load_manifest
from speechbrain_merit.data.speech_quality import MIN_RANGE, dynamic_range, is_clipped
from speechbrain_merit.data.synthetic_voices import EMOTIONS, Voice, synthesise
from speechbrain_merit.errors import PreparationError

RATE = 16000


def voice(seconds=2.0, floor=-60.0, seed=0):
    """Bursts of a tone with pauses; the noise lies ``floor`` dB below the bursts."""
    rng, time = np.random.default_rng(seed), np.arange(round(seconds * RATE)) / RATE
    bursts = np.sin(2 * np.pi * 180 * time) * (np.sin(2 * np.pi * 2 * time) > 0)
    noise = 10 ** (floor / 20) / 2**0.5 * rng.standard_normal(len(time))
    return 0.2 * (bursts + noise)


def record(path, wave=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, voice() if wave is None else wave, RATE)
    return path


@pytest.fixture
def heard(monkeypatch):
    """Tones are speech here, unless a test says what nobody speaks in."""
    silent = []
    monkeypatch.setattr(speech_folders, "speaks", lambda path, section: path.name not in silent)
    return silent


def prepare(folder, **more):
    (manifest,) = speech_folders.prepare_speech_folders(
        {"read": folder}, folder.parent / "save", **more
    ).values()
    return load_manifest(manifest, replacements={"speech_root": str(folder)})


def left_out(folder):
    path = folder.parent / "save" / "skipped.csv"
    with path.open(newline="") as lines:
        return {row["file"].rsplit("/", 1)[-1]: row["reason"] for row in csv.DictReader(lines)}


def test_any_folder_of_recordings_is_taken_with_its_speakers(tmp_path, heard):
    folder = tmp_path / "speech"
    for name in ("anna/1.wav", "anna/2.flac", "ben/1.wav"):
        record(folder / name)
    rows = prepare(folder)
    assert sorted(rows) == ["read/anna/1.wav@0", "read/anna/2.flac@0", "read/ben/1.wav@0"]
    row = rows["read/ben/1.wav@0"]
    assert row == {
        **{"wav": str(folder / "ben" / "1.wav"), "section": [0.0, 2.0], "duration": 2.0},
        **{"spk_id": "read/ben", "corpus": "read"},
    }


def test_a_long_recording_becomes_sections(tmp_path, heard):
    folder = tmp_path / "speech"
    record(folder / "book.wav", voice(75.0))
    rows = prepare(folder)
    assert [row["section"] for row in rows.values()] == [[0.0, 25.0], [25.0, 25.0], [50.0, 25.0]]


def test_noisy_and_clipped_speech_is_left_out_and_listed(tmp_path, heard):
    folder = tmp_path / "speech"
    record(folder / "good.wav")
    record(folder / "noisy.wav", voice(floor=-20))
    record(folder / "clipped.wav", np.clip(voice() * 6, -0.5, 0.5))
    record(folder / "short.wav", voice(0.3))
    assert list(prepare(folder)) == ["read/good.wav@0"]
    reasons = left_out(folder)
    assert reasons["noisy.wav"] == "noise floor 21 dB below the speech; 30 are needed"
    assert reasons["clipped.wav"].startswith("clipped") and reasons["short.wav"].startswith("too")


@pytest.mark.parametrize("floor", [-50.0, -35.0, -20.0, -5.0])
@pytest.mark.parametrize("gain", [0.001, 1.0])
def test_the_range_is_that_of_noise_and_speech_at_any_level(floor, gain):
    measured = dynamic_range(gain * voice(4.0, floor), RATE)
    assert measured == pytest.approx(-floor, abs=2.0)  # of a floor one takes the lower end


def test_digital_silence_is_no_floor_and_speech_in_noise_has_one_all_the_same():
    noisy = voice(4.0, floor=-15)
    gated = np.concatenate([np.zeros(RATE), noisy, np.zeros(RATE)])
    assert dynamic_range(gated, RATE) == pytest.approx(dynamic_range(noisy, RATE), abs=0.5)
    assert dynamic_range(np.zeros(RATE), RATE) == float("inf")


def test_cut_peaks_are_told_from_loud_and_from_slow_ones():
    rng, time = np.random.default_rng(0), np.arange(RATE) / RATE
    slow = np.round(32767 * 0.99 * np.sin(2 * np.pi * 60 * time)) / 32767
    assert not is_clipped(slow) and not is_clipped(0.99 * np.sin(2 * np.pi * 440 * time))
    quiet = np.round(300 * np.sin(2 * np.pi * 60 * time)) / 32768  # flat by its few steps
    assert not is_clipped(quiet)
    loud = rng.normal(0, 0.4, RATE)
    assert is_clipped(np.clip(np.cumsum(loud) / 10, -0.5, 0.5))
    assert not is_clipped(np.zeros(0)) and not is_clipped(np.zeros(10))


def test_synthetic_clean_speech_passes_and_the_same_in_noise_does_not():
    rng = np.random.default_rng(0)
    clean = synthesise(Voice(120.0, 1.0, 0.05), EMOTIONS["neutral"], 3.0, rng)
    noisy = clean + 0.1 * clean.std() * rng.standard_normal(len(clean))
    assert dynamic_range(clean, RATE) > MIN_RANGE > dynamic_range(noisy, RATE)


LAYOUTS = {
    "LibriSpeech": (
        ["train-clean-100/19/198/19-198-0000.flac", "train-clean-100/26/495/26-495-0000.flac"],
        ["test-clean/61/70968/61-70968-0000.flac", "dev-clean/84/121123/84-121123-0000.flac"],
        {"read/19", "read/26"},
    ),
    "VCTK": (
        ["wav48/p225/p225_001_mic1.flac", "wav48/s5/s5_001_mic1.flac"],
        ["wav48/p225/p225_001_mic2.flac"],
        {"read/p225", "read/s5"},
    ),
    "VoiceBank": (
        ["clean_trainset_28spk_wav/p226_001.wav", "clean_trainset_28spk_wav/p287_002.wav"],
        ["noisy_trainset_28spk_wav/p226_001.wav", "clean_testset_wav/p232_001.wav"],
        {"read/p226", "read/p287"},
    ),
    "DNS": (
        ["datasets/clean/read_speech/book_00000_chp_0009_reader_06709_0.wav"],
        ["datasets/noise/door.wav", "datasets/clean/emotional_speech/1001_DFA_ANG_XX.wav",
         "datasets/clean/VocalSet_48kHz_mono/f1_scales.wav"],
        {"read/06709"},
    ),
    "DNS, its datasets": (
        ["clean/read_speech/book_00000_chp_0009_reader_06709_0.wav"],
        ["noise/door.wav", "impulse_responses/room.wav"],
        {"read/06709"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_of_a_published_set_the_clean_training_speech_is_taken(name, tmp_path, heard):
    taken, others, speakers = LAYOUTS[name]
    for path in taken + others:
        record(tmp_path / "set" / path)
    rows = prepare(tmp_path / "set")
    assert sorted(row["wav"] for row in rows.values()) == sorted(
        str(tmp_path / "set" / path) for path in taken
    )
    assert {row["spk_id"] for row in rows.values()} == speakers


def test_a_folder_is_no_published_set_because_of_one_name(tmp_path, heard):
    for path in ("calls/a.wav", "train-room/b.wav"):
        record(tmp_path / "set" / path)
    (tmp_path / "set" / "train-list.csv").write_bytes(b"a,b\n")
    assert len(prepare(tmp_path / "set")) == 2


def test_a_folder_in_which_nobody_speaks_is_named(tmp_path):
    folder = tmp_path / "machines"
    for index in range(3):
        record(folder / f"{index}.wav", voice(seed=index))  # tones, which the detector knows
    with pytest.raises(PreparationError, match=r"speech_folders\[read\].*no speech: in 3 of 3 of"):
        prepare(folder)
    assert not (tmp_path / "save" / "speech_read.json").exists()


def test_a_few_recordings_without_speech_do_no_harm(tmp_path, heard):
    for index in range(5):
        record(tmp_path / "speech" / f"{index}.wav")
    heard += ["1.wav", "3.wav"]
    assert len(prepare(tmp_path / "speech")) == 5


def test_real_speech_is_heard_and_its_clean_part_taken(shared_data, tmp_path):
    folder = tmp_path / "speech"
    folder.mkdir()
    for path in sorted((shared_data / "speech" / "nEMO" / "samples").glob("*.flac"))[:8]:
        (folder / path.name).symlink_to(path)
    assert len(prepare(folder)) >= 6


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda folder: folder.mkdir(), "holds no audio files"),
        (lambda folder: record(folder / "a.wav", voice(floor=-5)), "none of the 1 .* is clean"),
        (lambda folder: record(folder / "test-clean" / "1" / "a.wav"), "no audio files for train"),
    ],
)
def test_a_folder_that_gives_nothing_is_named(make, words, tmp_path, heard):
    make(tmp_path / "speech")
    with pytest.raises(PreparationError, match=rf"^speech_folders\[read\]: .*{words}"):
        prepare(tmp_path / "speech")


def test_folders_that_are_none_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"speech_folders\[x\]: there is no folder"):
        speech_folders.prepare_speech_folders({"x": tmp_path / "nowhere"}, tmp_path)
    with pytest.raises(PreparationError, match="write it as a mapping"):
        speech_folders.prepare_speech_folders("speech", tmp_path)
    with pytest.raises(PreparationError, match="name 'a b' becomes part of file names"):
        speech_folders.prepare_speech_folders({"a b": tmp_path}, tmp_path)


def test_what_was_prepared_is_kept_until_the_folder_changes(tmp_path, heard, monkeypatch):
    record(tmp_path / "speech" / "a.wav")
    prepare(tmp_path / "speech")
    inspect = speech_folders.inspect_speech_files
    monkeypatch.setattr(speech_folders, "inspect_speech_files", None)
    assert len(prepare(tmp_path / "speech")) == 1
    monkeypatch.setattr(speech_folders, "inspect_speech_files", inspect)
    record(tmp_path / "speech" / "b.wav")
    assert len(prepare(tmp_path / "speech")) == 2
