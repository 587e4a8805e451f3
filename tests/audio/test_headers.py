"""Headers alone: what they tell agrees with what decoding tells, and is noted."""

import json

import numpy as np
import pytest
import soundfile as sf

from speechbrain_merit.audio import headers
from speechbrain_merit.audio.headers import inspect_header, inspect_headers
from speechbrain_merit.audio.inspection import inspect_audio

RATE = 16000


def tone(path, seconds=0.75):
    sf.write(path, 0.1 * np.sin(np.arange(round(seconds * RATE)) / 20.0), RATE)
    return path


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff"])
def test_durations_are_those_of_decoding(tmp_path, suffix):
    path = tone(tmp_path / f"a.{suffix}")
    assert inspect_header(path)[:2] == inspect_audio(path)[:2] == (0.75, None)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "aiff"])
def test_a_file_that_was_cut_off_is_found(tmp_path, suffix):
    path = tone(tmp_path / f"a.{suffix}", 3.0)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert inspect_audio(path).problem and inspect_header(path).problem


def test_only_what_has_changed_is_opened_again(tmp_path, monkeypatch):
    paths = [tone(tmp_path / f"{index}.wav") for index in range(4)]
    journal = tmp_path / "save" / "inspected.jsonl"
    first = inspect_headers(paths, journal=journal)
    opened = []
    monkeypatch.setattr(
        headers, "inspect_header", lambda path, **_: opened.append(path) or inspect_header(path)
    )
    assert inspect_headers(paths, journal=journal) == first and opened == []
    tone(paths[2], 0.5)
    assert inspect_headers(paths, journal=journal)[2].duration == 0.5
    assert opened == [str(paths[2])]
    paths[3].unlink()
    assert "no such file" in inspect_headers(paths, journal=journal)[3].problem
    inspect_headers(paths[:1], journal=journal, min_rate=44100)  # asked for more than before
    assert opened == [str(path) for path in (paths[2], paths[3], paths[0])]
    rows = [json.loads(line) for line in journal.read_text().splitlines() if line]
    assert len(rows) == 4 + 3
