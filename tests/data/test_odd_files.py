"""Preparation of recordings as they come: what is trained on is what is there, or it is listed."""

import csv
import json
import os
import re

import numpy as np
import pytest
import torch

from speechbrain_merit.audio.headers import inspect_headers
from speechbrain_merit.data.listing import named_files
from speechbrain_merit.data.manifests import load_manifest
from speechbrain_merit.data.mixing import NoiseBank
from speechbrain_merit.data.noise_folders import prepare_noise
from speechbrain_merit.data.preparation import prepare_speech
from speechbrain_merit.data.rooms import RoomBank
from tests.odd import MPEG4, flac_from_a_pipe, joined, killed_wav, voice, write

RATE = 16000
LABELS = ["sad", "happy"]


def rows_of(paths):
    return {
        f"u{index}": {"wav": path, "emo": LABELS[index % 2], "spk_id": "1"}
        for index, path in enumerate(paths)
    }


def prepare(folder, paths, **options):
    """The manifest of a corpus with these files, loaded."""
    manifest = folder / "save" / "train.json"
    prepare_speech("EMO", folder, {"train": manifest}, {"train": rows_of(paths)}, LABELS, **options)
    return load_manifest(manifest, LABELS, {"data_root": str(folder)})


@pytest.mark.parametrize("inspect", [None, inspect_headers])
def test_odd_recordings_are_used_with_their_true_lengths(tmp_path, inspect, caplog):
    wave = voice(3)
    pieces = [write(tmp_path / f"{seed}.mp3", voice(3, seed=seed)) for seed in (1, 2, 3)]
    paths = [
        flac_from_a_pipe(tmp_path / "pipe.flac", wave),
        killed_wav(tmp_path / "killed.wav", wave),
        joined(tmp_path / "all.mp3", *pieces),
        write(tmp_path / "inverted.wav", np.stack([wave, -wave], axis=1)),
        write(tmp_path / "offset.wav", wave + 0.5),
    ]
    with caplog.at_level("WARNING"):
        rows = prepare(tmp_path, paths, inspect=inspect)
    assert [row["duration"] for row in rows.values()] == [3.0, 3.0, 9.0, 3.0, 3.0]
    assert "its header says that it holds nothing" in caplog.text and "killed.wav" in caplog.text
    if inspect is None:  # headers do not tell it
        assert "cancel each other" in caplog.text and "inverted.wav" in caplog.text


def test_what_is_not_read_is_left_out_and_listed_with_what_to_do(tmp_path):
    paths = [write(tmp_path / f"{index}.wav", voice(0.5)) for index in range(20)]
    (tmp_path / "talk.mp3").write_bytes(MPEG4)
    assert len(prepare(tmp_path, [*paths, tmp_path / "talk.mp3"])) == 20
    with open(tmp_path / "save" / "skipped.csv", newline="") as lines:
        (listed,) = csv.DictReader(lines)
    assert listed["file"] == str(tmp_path / "talk.mp3")
    assert "MPEG-4" in listed["reason"] and "ffmpeg -i talk.mp3 talk.wav" in listed["reason"]


def test_noise_whose_name_is_no_utf_8_is_prepared_and_read(tmp_path):
    folder = tmp_path / "noise"
    folder.mkdir()
    path = folder / os.fsdecode(b"caf\xe9.wav")
    try:
        path.touch()
    except OSError:
        pytest.skip("file names are UTF-8 on this system")
    write(path, voice(1))
    write(folder / os.fsdecode(b"\xe9 silent.wav"), 0 * voice(1))
    made = prepare_noise(folder, folder, {}, tmp_path / "save")
    assert "silent" in (tmp_path / "save" / "skipped.csv").read_text(encoding="utf-8")
    rows = load_manifest(made["train"], replacements={"noise_root": str(folder)})
    (name,) = NoiseBank(rows, RATE).names
    assert len(NoiseBank(rows, RATE).load(name)) == RATE
    json.loads((tmp_path / "save" / "prepare.json").read_text(encoding="utf-8"))


def test_an_impulse_response_keeps_its_mean_and_is_one_microphone_s(tmp_path):
    response = np.exp(-np.arange(3200) / 400.0)
    both = np.stack([response, -response], axis=1)
    path = write(tmp_path / "room.wav", both, subtype="FLOAT")
    read = RoomBank({"r": {"wav": str(path)}}, RATE).load("r")
    torch.testing.assert_close(read, torch.from_numpy(response).float())


def test_a_deleted_copy_is_not_the_same_utterance(tmp_path):
    for name in ("Actor_01", ".Trash-1000/files"):
        (tmp_path / name).mkdir(parents=True)
        write(tmp_path / name / "A1_sad.wav", voice(0.3))
    found = named_files("MY", [tmp_path], re.compile(r"(A\d)_(\w+)"), "A1_sad.wav", "")
    assert [path.parent.name for path, _ in found.values()] == ["Actor_01"]
