"""``merit analyse`` on recordings as they come: the right result, or a clear word."""

import json
import os
import unicodedata

import numpy as np
import pytest
import soundfile as sf
import torch

from speechbrain_merit.audio.reading import Recording
from speechbrain_merit.errors import AudioError
from speechbrain_merit.export.folder import write_pretrained
from speechbrain_merit.export.loading import shipped_model
from tests.inference.test_cli import analyse, names, rows
from tests.inference.test_inference import LABELS
from tests.odd import ADTS, EBML, MPEG4, flac_from_a_pipe, joined, killed_wav, voice, write
from tests.tiny import tiny_merit


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A pretrained folder of a tiny network."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model") / "tiny"
    return write_pretrained(folder, tiny_merit(), LABELS, "# tiny", facts={"window_seconds": 4})


def alone(folder):
    """The one row of the summary in a folder of results."""
    (row,) = rows(folder)
    return row


def test_flac_from_a_pipe_and_a_killed_recorder_s_wav_give_what_the_whole_file_gives(
    model, tmp_path
):
    whole = write(tmp_path / "whole.wav", voice(9))
    odd = [
        flac_from_a_pipe(tmp_path / "pipe.flac", voice(9)),
        killed_wav(tmp_path / "killed.wav", voice(9)),
    ]
    out = tmp_path / "out"
    assert analyse(model, out, *map(str, [whole, *odd]), "--plot", "--keep_rate") == 0
    expected, *others = rows(out)
    assert float(expected["duration"]) == 9.0
    for row, warning in zip(others, ("", "its header says that it holds nothing")):
        same = [key for key in row if key not in ("file", "enhanced", "warnings")]
        assert {key: row[key] for key in same} == {key: expected[key] for key in same}
        assert row["warnings"].startswith(warning) and bool(row["warnings"]) == bool(warning)
        enhanced = [sf.read(one["enhanced"])[0] for one in (row, expected)]
        np.testing.assert_allclose(*enhanced, atol=1e-4)  # FLAC and WAV round to 16 bits each


def test_joined_mp3_files_are_heard_as_one_recording(model, tmp_path):
    pieces = [write(tmp_path / f"{seed}.mp3", voice(3, seed=seed)) for seed in (1, 2, 3)]
    joined(tmp_path / "all.mp3", *pieces)
    assert analyse(model, tmp_path / "out", str(tmp_path / "all.mp3")) == 0
    assert float(alone(tmp_path / "out")["duration"]) == 9.0
    assert sf.info(str(tmp_path / "out" / "all_enhanced.wav")).frames == 9 * 16000


def test_an_inverted_channel_changes_nothing_but_a_warning(model, tmp_path):
    wave = voice(5)
    write(tmp_path / "one.wav", wave, subtype="FLOAT")
    write(tmp_path / "two.wav", np.stack([wave, -wave], axis=1), subtype="FLOAT")
    assert analyse(model, tmp_path / "out", *map(str, sorted(tmp_path.glob("*.wav")))) == 0
    one, two = rows(tmp_path / "out")
    assert one["emotion"] != "" and one["warnings"] == ""
    assert "cancel each other" in two["warnings"]
    differing = {key for key in one if one[key] != two[key]}
    assert differing == {"file", "enhanced", "warnings"}


@pytest.mark.parametrize("spoil", [0.01, 0.2, 0.5, "inverted"])
def test_real_speech_is_heard_as_speech_whatever_its_offset_and_channels(
    tmp_path, shared_data, spoil
):
    model = shipped_model()
    source = sorted((shared_data / "speech" / "RAVDESS" / "Actor_01").glob("03-01-05-02-*.flac"))[0]
    wave, rate = sf.read(source, dtype="float32")
    odd = np.stack([wave, -wave], axis=1) if spoil == "inverted" else wave + spoil
    write(tmp_path / "a.wav", wave, rate, subtype="FLOAT")
    write(tmp_path / "b.wav", odd, rate, subtype="FLOAT")
    assert analyse(model, tmp_path / "out", *map(str, sorted(tmp_path.glob("*.wav")))) == 0
    plain, spoilt = rows(tmp_path / "out")
    assert plain["emotion"] == spoilt["emotion"] != "no_speech"
    assert plain["segments"] == spoilt["segments"]
    for name in ["probability", "speech_seconds"]:
        assert float(plain[name]) == pytest.approx(float(spoilt[name]), abs=1e-3)
    assert float(plain["snr_db"]) == pytest.approx(float(spoilt["snr_db"]), abs=0.05)


@pytest.mark.parametrize("offset", [0.01, 0.2, 0.5])
def test_an_offset_changes_nothing(model, tmp_path, offset):
    write(tmp_path / "a.wav", voice(5), subtype="FLOAT")
    write(tmp_path / "b.wav", voice(5) + offset, subtype="FLOAT")
    out = tmp_path / "out"
    assert analyse(model, out, str(tmp_path / "a.wav"), str(tmp_path / "b.wav")) == 0
    plain, moved = rows(out)
    assert plain["emotion"] == moved["emotion"]
    assert float(plain["snr_db"]) == pytest.approx(float(moved["snr_db"]), abs=0.02)
    assert plain["speech_seconds"] == moved["speech_seconds"]
    enhanced = [sf.read(row["enhanced"])[0] for row in (plain, moved)]
    np.testing.assert_allclose(*enhanced, atol=2e-4)


def test_what_a_folder_holds_and_is_not_read_is_listed(model, tmp_path, capsys):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    write(folder / "good.wav", voice(1))
    bad = {"call.m4a": MPEG4, "call.aac": ADTS * 40, "film.webm": EBML, "renamed.mp3": MPEG4}
    for name, content in bad.items():
        (folder / name).write_bytes(content)
    assert analyse(model, out, str(folder)) == 1
    table = {os.path.basename(row["file"]): row for row in rows(out)}
    assert set(table) == {"good.wav", *bad}
    assert table["good.wav"]["error"] == "" and table["good.wav"]["emotion"] != ""
    said = capsys.readouterr().err
    for name in bad:
        advice = f"ffmpeg -i {name} {name.partition('.')[0]}.wav"
        assert advice in table[name]["error"] and advice in said
    assert names(out) == ["good.json", "good_enhanced.wav", "summary.csv"]
    (folder / "good.wav").unlink()
    assert analyse(model, out, str(folder)) == 1  # and it does not say that there is nothing
    assert "holds no recordings" not in {row["error"] for row in rows(out)}


def test_what_was_converted_as_advised_fails_no_more(model, tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / "call.m4a").write_bytes(MPEG4)
    (folder / "line.ul").write_bytes(bytes(range(256)) * 20)
    assert analyse(model, out, str(folder)) == 1
    errors = {os.path.basename(row["file"]): row["error"] for row in rows(out)}
    assert "ffmpeg -f mulaw -ar 8000 -i line.ul line.wav" in errors["line.ul"]
    for name in ("call.wav", "line.wav"):
        write(folder / name, voice(1))
    assert analyse(model, out, str(folder)) == 0
    assert {os.path.basename(row["file"]) for row in rows(out)} == {"call.wav", "line.wav"}


@pytest.mark.parametrize(
    "content, message",
    [(b"", r"it is empty \(0 bytes\)"), (b"ID3" + bytes(200), "it is damaged, or no sound")],
)
def test_a_file_without_sound_is_not_said_to_be_missing(content, message, tmp_path):
    path = tmp_path / "call.mp3"
    path.write_bytes(content)
    with pytest.raises(AudioError, match=f"no recording that can be read: {message}"):
        Recording(path)


def test_a_long_name_gives_a_shorter_one_for_its_results(model, tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    stems = ["x" * 249 + "a", "x" * 249 + "b", "x" * 228, "é" * 125]  # 250, 250, 228, 250 bytes
    paths = [folder / f"{stem}.wav" for stem in stems]
    for path in paths:
        write(path, voice(0.5))
    for _ in range(2):  # and these results are known as such in the next call
        assert analyse(model, out, str(folder)) == 0
        table = rows(out)
        assert {row["file"] for row in table} == set(map(str, paths))
    enhanced = [row["enhanced"] for row in table]
    assert len(set(enhanced)) == 4 and len(names(out)) == 2 * 4 + 1
    for row in table:
        name = os.path.basename(row["enhanced"])
        assert len(os.fsencode(name)) <= 255 and os.path.basename(row["file"])[:50] == name[:50]
        about = json.loads(open(row["enhanced"].replace("_enhanced.wav", ".json")).read())
        assert about["path"] == row["file"]


def test_deleted_files_are_not_analysed(model, tmp_path):
    for name in ("talk", ".Trash-1000/files"):
        (tmp_path / "in" / name).mkdir(parents=True)
        write(tmp_path / "in" / name / "a.wav", voice(0.5))
    assert analyse(model, tmp_path / "out", str(tmp_path / "in")) == 0
    assert alone(tmp_path / "out")["file"] == str(tmp_path / "in" / "talk" / "a.wav")


def test_names_that_differ_in_the_form_of_unicode_alone_are_kept_apart(model, tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for form in ("NFC", "NFD"):
        write(folder / unicodedata.normalize(form, "café.wav"), voice(0.5))
    if len(list(folder.iterdir())) < 2:
        pytest.skip("one file on this system")
    assert analyse(model, out, str(folder)) == 0
    stems = {unicodedata.normalize("NFC", row["enhanced"]) for row in rows(out)}
    assert len(stems) == 2
