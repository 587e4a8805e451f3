"""Files whose header or name tells something else than their content: the right samples, or why."""

import errno
import os
import struct
import tracemalloc

import numpy as np
import pytest
import soundfile as sf

from speechbrain_merit.audio.containers import contents, holds_sound, other_content
from speechbrain_merit.audio.files import AudioReader
from speechbrain_merit.audio.headers import inspect_header
from speechbrain_merit.audio.inspection import find_audio, find_recordings, inspect_audio
from speechbrain_merit.audio.reading import Recording, read_audio
from speechbrain_merit.errors import AudioError
from tests.odd import (
    ADTS,
    EBML,
    MPEG4,
    flac_from_a_pipe,
    joined,
    killed_wav,
    mp3_without_info,
    patch,
    voice,
    write,
)

RATE = 16000


def check(path, wave, warnings=(), tolerance=1e-4):
    """All roads read the wave, tell its length, and say the same about the file."""
    reader = AudioReader(path)
    streamed = np.concatenate(list(reader.blocks()), axis=1)[0]
    np.testing.assert_allclose(streamed, wave, atol=tolerance)
    np.testing.assert_allclose(read_audio(path, RATE), wave, atol=tolerance)
    assert reader.n_frames == len(wave) and reader.seconds == len(wave) / RATE
    reports = inspect_audio(path), inspect_header(path)
    assert [report[:2] for report in reports] == [(len(wave) / RATE, None)] * 2
    for said in (reader.warnings, *(report.warnings for report in reports)):
        assert len(said) == len(warnings)
        assert all(expected in text for expected, text in zip(warnings, said))
    return reports[0]


def test_flac_from_a_pipe_is_read_to_its_end(tmp_path):
    path = flac_from_a_pipe(tmp_path / "a.flac", voice(61))
    assert sf.info(str(path)).frames > 2**62
    tracemalloc.start()
    report = check(path, voice(61))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [round(start, 2) for start, _ in report.sections] == [0, 20.33, 40.67]
    assert peak < 100e6  # a minute of float32 and of float64 several times, but not 10^13 sections


@pytest.mark.parametrize("riff", [0, 8, 36])
@pytest.mark.parametrize("kind", ["PCM_16", "FLOAT", "PCM_24", "ULAW"])
def test_a_wav_whose_recorder_was_killed_holds_what_is_there(tmp_path, riff, kind):
    path = killed_wav(tmp_path / "a.wav", voice(3), riff=riff, subtype=kind)
    wave = sf.read(write(tmp_path / "whole.wav", voice(3), subtype=kind), dtype="float32")[0]
    check(path, wave, ["its header says that it holds nothing"])


def test_a_wav_that_is_empty_stays_empty(tmp_path):
    path = write(tmp_path / "a.wav", voice(0))
    for extra in (b"", b"LIST" + struct.pack("<I", 4) + b"INFO"):
        path.write_bytes(path.read_bytes() + extra)
        assert inspect_audio(path).problem == inspect_header(path).problem
        assert inspect_audio(path).problem == "empty: it holds no samples"
        with pytest.raises(AudioError, match="is empty"):
            AudioReader(path)


@pytest.mark.parametrize("size", [2**32 - 1, 2**31 - 1, 2**32 - 2**15])
def test_a_wav_from_a_pipe_is_read_to_its_end(tmp_path, size):
    check(killed_wav(tmp_path / "a.wav", voice(3), riff=size, data=size), voice(3))


@pytest.mark.parametrize("size", [0, 2**32 - 1])
def test_a_wav_longer_than_its_header_can_tell_is_read_to_its_end(tmp_path, size):
    path = killed_wav(tmp_path / "a.wav", voice(1), riff=size, data=size)
    with open(path, "r+b") as file:
        file.truncate(5_000_000_044)  # a hole, which takes no room on the disk
    assert Recording(path).frames == 2_500_000_000
    last = next(Recording(path).blocks(2_499_999_000))
    assert len(last) == 1000 and not last.any()


def test_a_large_wav_with_chunks_behind_its_samples_ends_before_them(tmp_path):
    path = killed_wav(
        tmp_path / "a.wav", voice(1), riff=2_400_000_036 + 8 + 2000, data=2_400_000_000
    )
    with open(path, "r+b") as file:
        file.truncate(2_400_000_044)
        file.seek(0, 2)
        file.write(b"LIST" + struct.pack("<I", 2000) + b"\x11" * 2000)
    assert Recording(path).frames == 1_200_000_000 and contents(path).parts is None


@pytest.mark.parametrize("suffix, at", [("aiff", None), ("au", 8), ("caf", None), ("rf64", 20)])
def test_other_formats_whose_recorder_was_killed_hold_what_is_there(tmp_path, suffix, at):
    path = write(tmp_path / f"a.{suffix}", voice(3), subtype="PCM_16")
    content = path.read_bytes()
    if suffix == "aiff":
        samples = content.index(b"SSND") + 4
        patch(path, (4, bytes(4)), (22, bytes(4)), (samples, struct.pack(">I", 8)))
    elif suffix == "caf":
        patch(path, (content.index(b"data") + 4, bytes(8)))
    else:
        patch(path, (at, bytes(24 if suffix == "rf64" else 4)))
    check(path, voice(3), ["its header says that it holds nothing"])


def test_lengths_that_a_format_may_leave_open_are_no_fault(tmp_path):
    caf = write(tmp_path / "a.caf", voice(3))
    check(patch(caf, (caf.read_bytes().index(b"data") + 4, b"\xff" * 8)), voice(3))
    check(patch(write(tmp_path / "a.au", voice(3)), (8, b"\xff" * 4)), voice(3))
    check(patch(write(tmp_path / "a.rf64", voice(3)), (20, b"\xff" * 16)), voice(3))


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "opus", "flac", "wav", "aiff"])
def test_joined_files_are_heard_one_after_the_other(tmp_path, suffix):
    pieces = [
        write(tmp_path / f"{seed}.{suffix}", voice(seconds, seed=seed))
        for seed, seconds in ((1, 3.0), (2, 1.5), (3, 2.0))
    ]
    waves = [sf.read(piece, dtype="float32")[0] for piece in pieces]
    assert [len(wave) for wave in waves] == [48000, 24000, 32000]
    check(joined(tmp_path / f"all.{suffix}", *pieces), np.concatenate(waves), tolerance=1e-3)


def test_joined_mp3_may_have_tags_between_and_no_length_of_their_own(tmp_path):
    first = write(tmp_path / "1.mp3", voice(3))
    second = mp3_without_info(tmp_path / "2.mp3", voice(4, seed=2))
    third = write(tmp_path / "3.mp3", voice(2, seed=3))
    tag = tmp_path / "tag"
    tag.write_bytes(b"TAG" + b"x" * 125 + b"ID3\x04\x00\x00\x00\x00\x02\x00" + b"y" * 256)
    path = joined(tmp_path / "all.mp3", first, tag, second, tag, third)
    waves = [sf.read(piece, dtype="float32")[0] for piece in (first, third)]
    read = read_audio(path, RATE).numpy()
    np.testing.assert_allclose(read[:48000], waves[0], atol=1e-3)
    np.testing.assert_allclose(read[-32000:], waves[1], atol=1e-3)
    assert len(read) / RATE == pytest.approx(9, abs=0.2)
    assert inspect_audio(path).duration == inspect_header(path).duration == len(read) / RATE


@pytest.mark.parametrize("suffix", ["mp3", "wav", "flac"])
def test_what_cannot_be_joined_is_left_out_and_its_bytes_are_named(tmp_path, suffix):
    first = write(tmp_path / f"1.{suffix}", voice(3))
    other = write(tmp_path / f"2.{suffix}", voice(3, 8000), 8000)
    path = joined(tmp_path / f"all.{suffix}", first, other)
    wave = sf.read(first, dtype="float32")[0]
    check(path, wave, [f"{other.stat().st_size} bytes behind its end"], tolerance=1e-3)


@pytest.mark.parametrize("suffix", ["mp3", "wav"])
def test_rubbish_behind_a_recording_is_named(tmp_path, suffix):
    path = write(tmp_path / f"a.{suffix}", voice(3))
    wave = sf.read(path, dtype="float32")[0]
    path.write_bytes(path.read_bytes() + b"\x01\x02\x03\x04" * 1000)
    check(path, wave, ["4000 bytes behind its end"])


def test_tags_behind_a_recording_are_no_rubbish(tmp_path):
    for suffix in ("mp3", "wav"):
        path = write(tmp_path / f"a.{suffix}", voice(3))
        wave = sf.read(path, dtype="float32")[0]
        path.write_bytes(path.read_bytes() + b"TAG" + b" " * 125)
        check(path, wave)


@pytest.mark.parametrize("suffix", ["wav", "aiff"])
def test_a_file_that_was_cut_off_is_read_with_a_warning_and_not_trained_on(tmp_path, suffix):
    path = write(tmp_path / f"a.{suffix}", voice(4))
    path.write_bytes(path.read_bytes()[:-64000])
    reader = AudioReader(path)
    assert sum(block.shape[1] for block in reader.blocks()) == 32000
    assert reader.warnings == ["cut off: 2.00 s of the 4.00 s it announces"]
    assert inspect_audio(path).problem.startswith("truncated")


OTHERS = [
    (MPEG4, "MPEG-4"),
    (ADTS * 40, "AAC"),
    (b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10) + ADTS * 40, "AAC"),
    (EBML, "Matroska or WebM"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(200), "Windows Media"),
    (b"#!AMR\n" + bytes(200), "AMR"),
    (b"RIFF\x10\x10\x00\x00AVI LIST" + bytes(200), "AVI"),
]


@pytest.mark.parametrize("content, kind", OTHERS, ids=[kind for _, kind in OTHERS])
@pytest.mark.parametrize("name", ["talk.m4a", "a talk.mp3", "talk.wav", "talk"])
def test_what_is_not_read_is_named_with_what_to_do_whatever_its_name(tmp_path, content, kind, name):
    path = tmp_path / name
    path.write_bytes(content)
    made = {"talk.wav": "talk_converted.wav", "a talk.mp3": "'a talk.wav'"}.get(name, "talk.wav")
    for attempt in (AudioReader, lambda path: read_audio(path, RATE)):
        with pytest.raises(AudioError) as raised:
            attempt(path)
        said = str(raised.value)
        assert said.startswith(str(path)) and f"it holds {kind}" in said
        assert "ffmpeg -i " in said and said.endswith(f"{made}.")
    for report in (inspect_audio(path), inspect_header(path)):
        assert report.problem.startswith(f"cannot be decoded: it holds {kind}")


def test_pages_and_pointers_in_place_of_recordings_are_told(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"<!DOCTYPE html><html><body>Log in</body></html>")
    assert "web page" in other_content(path) and "web page" in inspect_audio(path).problem
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert "git lfs pull" in inspect_audio(path).problem


def test_a_folder_is_searched_by_content_where_a_suffix_says_nothing(tmp_path, caplog):
    wave = write(tmp_path / "take.wav", voice(1)).rename(tmp_path / "take")
    mp3 = write(tmp_path / "talk.mp3", voice(1)).rename(tmp_path / "talk.m4a")
    for name, content in {
        "call.m4a": MPEG4,
        "call.aac": ADTS * 40,
        "deep/film.webm": EBML,
        "nameless": MPEG4,
        "Makefile": b"all:\n",
        "index": b"<html>",
        "notes.txt": b"RIFF",
        "labels.csv": b"a,b",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert holds_sound(wave)
    found, others = find_recordings(tmp_path)
    assert found == sorted([wave, mp3])
    assert [str(path.relative_to(tmp_path)) for path in others] == [
        "call.aac",
        "call.m4a",
        "deep/film.webm",
        "nameless",
    ]
    with caplog.at_level("WARNING"):
        assert find_audio(tmp_path) == found
    said = caplog.text
    assert "4 files passed over" in said and "call.m4a" in said and "ffmpeg -i call.aac" in said


def test_a_folder_that_cannot_be_looked_into_is_named(tmp_path, monkeypatch):
    (tmp_path / "locked").mkdir()
    write(tmp_path / "a.wav", voice(0.2))
    look = os.scandir

    def scandir(path):
        if os.path.basename(path) == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return look(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found, others = find_recordings(tmp_path)
    assert found == [tmp_path / "a.wav"]
    assert others == {tmp_path / "locked": "cannot be read: Permission denied"}


def test_formats_of_dictation_phones_and_browsers_are_named(tmp_path):
    for name in ("call.3ga", "note.m4r", "tab.weba"):
        (tmp_path / name).write_bytes(EBML if name == "tab.weba" else MPEG4)
    starts = {"memo.dss": b"\2dss", "memo2.ds2": b"\3ds2", "board.vox": b"\x80\x08\x80"}
    starts["phone.qcp"] = b"RIFF\x10\0\0\0QLCMfmt "
    for name, start in starts.items():
        (tmp_path / name).write_bytes(start + bytes(99))
    path = tmp_path / "old.voc"
    sf.write(path, voice(0.2), 8000, format="VOC", subtype="PCM_16")
    found, others = find_recordings(tmp_path)
    assert found == [path]
    assert others[tmp_path / "board.vox"].endswith("sox -t vox -r 8000 board.vox board.wav")
    assert {path.name for path in others} == {
        "call.3ga", "note.m4r", "tab.weba", "memo.dss", "memo2.ds2", "board.vox", "phone.qcp",
    }  # fmt: skip


def test_hidden_folders_and_bins_are_passed_over(tmp_path):
    for name in ("a", ".Trash-1000/files", "$RECYCLE.BIN/S-1-5", "__MACOSX", "a/.thumbs"):
        (tmp_path / name).mkdir(parents=True)
        write(tmp_path / name / "x.wav", voice(0.2))
    assert find_audio(tmp_path) == [tmp_path / "a" / "x.wav"]
    hidden = tmp_path / ".Trash-1000"
    assert find_audio(hidden) == [hidden / "files" / "x.wav"]  # asked for by name


@pytest.mark.parametrize("rate", [1, 999, 2**31 - 1])
def test_a_rate_that_no_recording_has_is_refused(tmp_path, rate):
    path = patch(write(tmp_path / "a.wav", voice(1)), (24, struct.pack("<I", rate)))
    with pytest.raises(AudioError, match=f"{rate} Hz"):
        read_audio(path, RATE)
    assert inspect_audio(path).problem == f"cannot be decoded: it has {rate} Hz."


def test_a_length_that_is_far_from_true_takes_neither_time_nor_memory(tmp_path):
    path = write(tmp_path / "a.mp3", voice(1), bitrate_mode="CONSTANT", compression_level=0.5)
    at = path.read_bytes().index(b"Info") + 8
    patch(path, (at, b"\xff\xff\xff\x00"))  # four thousand million frames
    tracemalloc.start()
    assert inspect_audio(path).problem.startswith("truncated")
    reader = AudioReader(path)
    assert sum(block.shape[1] for block in reader.blocks()) == pytest.approx(RATE, abs=3000)
    assert reader.warnings[0].startswith("cut off")
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_one_converted_file_does_not_stand_for_two(tmp_path):
    for name in ("call.m4a", "call.wma"):
        (tmp_path / name).write_bytes(MPEG4)
    sf.write(tmp_path / "call.wav", np.zeros(800), 16000)
    found, others = find_recordings(tmp_path)
    assert [path.name for path in found] == ["call.wav"]
    assert [path.name for path in others] == ["call.m4a", "call.wma"]
    for path, what in others.items():
        made = f"call_{path.suffix[1:]}.wav"
        assert what.endswith(f"ffmpeg -i {path.name} {made}")
        sf.write(tmp_path / made, np.zeros(800), 16000)
    assert [len(each) for each in find_recordings(tmp_path)] == [3, 0]
