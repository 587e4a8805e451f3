"""The command line: what it writes, what it lists, and how it ends."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
import soundfile as sf
import torch
from hypothesis import given
from hypothesis import strategies as st

from speechbrain_merit import __version__
from speechbrain_merit.__main__ import main
from speechbrain_merit.errors import PretrainedError
from speechbrain_merit.export.folder import write_pretrained
from speechbrain_merit.inference import command as analyse_command
from speechbrain_merit.inference import jobs, results
from speechbrain_merit.inference.analysis import Analysis
from speechbrain_merit.inference.timeline import Segment
from tests.inference.test_inference import LABELS, RATE, wave
from tests.tiny import tiny_merit


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A pretrained folder of a tiny network."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model") / "tiny"
    return write_pretrained(folder, tiny_merit(), LABELS, "# tiny", facts={"window_seconds": 4})


@pytest.fixture
def recordings(tmp_path):
    """A folder with recordings, good and bad."""
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    sf.write(folder / "a.wav", wave(1), RATE)
    sf.write(folder / "a.flac", wave(1.5, rate=8000), 8000)
    sf.write(folder / "deep" / "b.wav", np.stack([wave(5, 1), wave(5, 2)], axis=1), RATE)
    (folder / "broken.wav").write_text("hello")
    return folder


def analyse(model, out, *more):
    return main(["analyse", "--model", str(model), "--out", str(out), "--device", "cpu", *more])


def rows(out):
    with open(out / "summary.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_it_goes_on_past_a_bad_file(model, recordings, tmp_path, capsys):
    before = {path: path.read_bytes() for path in recordings.rglob("*.*")}
    out = tmp_path / "out"
    assert analyse(model, out, str(recordings), "--plot") == 1
    stems = ["a", "a_wav", "deep/b"]
    ends = [".json", ".png", "_enhanced.wav"]
    assert names(out) == sorted([s + e for s in stems for e in ends] + ["summary.csv"])
    printed = capsys.readouterr()
    assert "broken.wav" in printed.err and "1 could not be analysed" in printed.err
    table = {row["file"]: row for row in rows(out)}
    assert len(table) == 4 and "no recording" in table[str(recordings / "broken.wav")]["error"]
    for path, stem in ((recordings / "a.flac", "a"), (recordings / "deep" / "b.wav", "deep/b")):
        result = json.loads((out / f"{stem}.json").read_text(encoding="utf-8"))
        row = table[str(path)]
        assert result["path"] == str(path) and result["emotion"] == row["emotion"]
        assert result["duration"] == pytest.approx(sf.info(str(path)).duration)
        assert float(row["duration"]) == result["duration"]
        assert sf.info(row["enhanced"]).samplerate == RATE
        assert result["segments"][-1]["end"] == pytest.approx(result["duration"], abs=1e-3)
        assert path.name in printed.out
    for stem in stems:
        assert (out / f"{stem}.png").read_bytes()[:4] == b"\x89PNG"
    assert {path: path.read_bytes() for path in before} == before


def test_channels_and_rates(model, recordings, tmp_path):
    out = tmp_path / "out"
    files = [str(recordings / "a.flac"), str(recordings / "deep" / "b.wav")]
    assert analyse(model, out, *files, "--channels", "separate", "--keep_rate", "--plot") == 0
    both = json.loads((out / "b.json").read_text(encoding="utf-8"))["channels"]
    assert [channel["channel"] for channel in both] == [0, 1]
    assert [row["channel"] for row in rows(out)] == ["0", "0", "1"]
    assert sf.info(str(out / "b_enhanced.wav")).channels == 2
    info = sf.info(str(out / "a_enhanced.wav"))
    assert (info.samplerate, info.frames) == (8000, 12000)


def test_results_are_no_input_of_the_next_call(model, recordings):
    out = recordings / "results"
    (recordings / "broken.wav").unlink()
    for _ in range(2):
        assert analyse(model, out, str(recordings)) == 0
        assert len(rows(out)) == 3


@pytest.mark.parametrize("place", [".", "..", "another"])
def test_results_beside_the_recordings_are_no_input_either(model, recordings, place):
    (recordings / "broken.wav").unlink()
    for number in range(2):
        out = recordings / (f"results {number}" if place == "another" else place)
        assert analyse(model, out, str(recordings)) == 0
        assert len(rows(out)) == 3


def test_no_result_is_written_over_a_recording(model, tmp_path):
    files = {tmp_path / "a.wav": None, tmp_path / "a_enhanced.wav": None}
    for seed, path in enumerate(files):
        sf.write(path, wave(0.5, seed), RATE)
        files[path] = path.read_bytes()
    for _ in range(2):
        assert analyse(model, tmp_path, str(tmp_path)) == 0
        assert {row["file"] for row in rows(tmp_path)} == set(map(str, files))
        assert {path: path.read_bytes() for path in files} == files


def test_names_that_differ_in_case_alone_are_kept_apart(model, tmp_path):
    for name in ("x/a.wav", "y/A.wav"):
        (tmp_path / name).parent.mkdir()
        sf.write(tmp_path / name, wave(0.5), RATE)
    out = tmp_path / "out"
    folders = [str(tmp_path / "x"), str(tmp_path / "y"), os.path.relpath(tmp_path / "x")]
    assert analyse(model, out, *folders) == 0
    assert [name for name in names(out) if name.endswith(".json")] == ["A_wav.json", "a.json"]
    assert len(rows(out)) == 2  # a recording that is given twice is analysed once


@pytest.mark.filterwarnings("error:Glyph")
def test_a_recording_may_have_any_name(model, tmp_path, monkeypatch):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    paths = [folder / "日本 $x^2$, взят.2024.wav", folder / os.fsdecode(b"caf\xe9.wav")]
    for path in paths:
        try:
            path.touch()
        except OSError:
            pytest.skip("file names are UTF-8 on this system")
        sf.write(os.fsencode(path), wave(0.5), RATE)
    stdout = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", stdout)
    assert analyse(model, out, str(folder), "--plot") == 0
    stdout.flush()
    assert b"caf\\udce9.wav" in stdout.buffer.getvalue()
    for path in paths:
        assert {out / (path.stem + end) for end in (".png", "_enhanced.wav")} <= set(out.iterdir())
        about = json.loads((out / (path.stem + ".json")).read_text(encoding="utf-8"))
        assert about["path"] == str(path)
    assert {row["file"] for row in rows(out)} >= {str(paths[0])}


def test_what_is_no_recording_stops_no_other(model, tmp_path):
    raw, pipe, cut = (tmp_path / name for name in ("x.raw", "pipe.wav", "cut.mp3"))
    raw.write_bytes(bytes(64000))
    os.mkfifo(pipe)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "loop.wav").symlink_to("loop.wav")
    sf.write(cut, wave(2, rate=48000), 48000)
    data = cut.read_bytes()
    length = next(n for n in range(400, len(data), 20) if 0 < samples(cut, data[:n]) < 1200)
    cut.write_bytes(data[:length])
    sf.write(tmp_path / "whole.wav", wave(1), RATE)
    out = tmp_path / "out"
    files = [str(path) for path in (raw, pipe, cut, tmp_path / "linked", tmp_path / "whole.wav")]
    assert analyse(model, out, *files, "--batch_size", "2") == 1
    errors = {row["file"]: row["error"] for row in rows(out)}
    assert "samples without a header" in errors[str(raw)]
    assert "is no file" in errors[str(pipe)] and "is cut off after" in errors[str(cut)]
    assert "symbolic links" in errors[str(tmp_path / "linked" / "loop.wav")]
    assert not errors[files[-1]] and names(out) == [
        "summary.csv",
        "whole.json",
        "whole_enhanced.wav",
    ]


def samples(path, data):
    path.write_bytes(data)
    try:
        return len(sf.read(path)[0])
    except sf.SoundFileError:
        return 0


def test_batches_give_the_same(model, recordings, tmp_path):
    outs = [tmp_path / "1", tmp_path / "3"]
    for out in outs:
        assert analyse(model, out, str(recordings), "--batch_size", out.name) == 1
    for name in names(outs[0]):
        if name.endswith(".wav"):
            a, b = (sf.read(str(out / name))[0] for out in outs)
            assert np.abs(a - b).max() <= 2 / 2**15


def test_a_model_without_enhancement(recordings, tmp_path):
    network = tiny_merit()
    network.enhancement = None
    model = write_pretrained(tmp_path / "ser", network, LABELS, "# emotion alone")
    out = tmp_path / "out"
    assert analyse(model, out, str(recordings / "a.wav"), "--plot") == 0
    assert names(out) == ["a.json", "a.png", "summary.csv"]


@pytest.mark.parametrize("spoil", ["nothing there", "weights", "hyperparams"])
def test_a_model_that_cannot_be_used_stops_it(spoil, recordings, tmp_path, capsys):
    folder = tmp_path / "model"
    if spoil != "nothing there":
        write_pretrained(folder, tiny_merit(), LABELS, "# tiny")
    if spoil == "weights":
        (folder / "model.ckpt").write_bytes(b"PK")
    if spoil == "hyperparams":
        (folder / "hyperparams.yaml").write_text("labels: [a")
    assert analyse(folder, tmp_path / "out", str(recordings)) == 2
    assert capsys.readouterr().err.startswith(f"merit: {folder}")


def test_without_a_model_the_one_that_ships_is_taken(model, recordings, tmp_path, monkeypatch):
    monkeypatch.setattr(analyse_command, "shipped_model", lambda: model)
    arguments = ["analyse", str(recordings / "a.wav"), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--device", "cpu"]) == 0

    def absent():
        raise PretrainedError("The model did not come with this installation: give --model.")

    monkeypatch.setattr(analyse_command, "shipped_model", absent)
    assert main(arguments) == 2


def test_inputs_with_nothing_to_read(model, tmp_path, capsys):
    empty, out = tmp_path / "empty", tmp_path / "out"
    empty.mkdir()
    assert analyse(model, out, str(empty), str(tmp_path / "missing.wav")) == 1
    errors = {row["file"]: row["error"] for row in rows(out)}
    assert errors[str(empty)] == "holds no recordings"
    assert "No such file" in errors[str(tmp_path / "missing.wav")]


def test_an_output_folder_that_cannot_be_made(model, recordings, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert analyse(model, tmp_path / "file", str(recordings)) == 2
    assert "file" in capsys.readouterr().err


def test_too_little_memory_is_said(model, recordings, tmp_path, monkeypatch, capsys):
    def full(*arguments):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(jobs, "deliver", full)
    assert analyse(model, tmp_path / "out", str(recordings), "--batch_size", "2") == 2
    assert "smaller --batch_size" in capsys.readouterr().err
    assert names(tmp_path / "out") == ["summary.csv"]


def test_help_and_version(capsys):
    for arguments in (["--help"], ["analyse", "--help"], ["export", "--help"], ["convert", "-h"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0 and "example" in capsys.readouterr().out
    for arguments in (["--version"], ["analyse", "--version"]):
        with pytest.raises(SystemExit):
            main(arguments)
        assert __version__ in capsys.readouterr().out
    for arguments in ([], ["analyse"], ["analyse", "a.wav", "--batch_size", "0"], ["sing"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2


def test_export_says_what_is_wrong(tmp_path, capsys):
    assert main(["export", str(tmp_path), str(tmp_path / "out")]) == 2
    assert "hyperparams.yaml" in capsys.readouterr().err


def test_an_interrupt_leaves_finished_files_whole(model, tmp_path, repo_root):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    sf.write(folder / "a.wav", wave(1), RATE)
    sf.write(folder / "b.wav", np.tile(wave(60), 10), RATE)  # heard for longer than the test lasts
    command = [sys.executable, "-m", "speechbrain_merit", "analyse", str(folder)]
    process = subprocess.Popen(
        [*command, "--model", str(model), "--out", str(out), "--device", "cpu"],
        cwd=repo_root,
        stderr=subprocess.PIPE,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        # a shell's background job would inherit that Ctrl-C is ignored
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    try:
        # the second recording's, once the first one's results are there
        while not (out / "a.json").exists() or not list(out.glob(".*.part")):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    finally:
        process.kill()
        process.stderr.close()
    assert names(out) == ["a.json", "a_enhanced.wav", "summary.csv"]
    assert sf.info(str(out / "a_enhanced.wav")).frames == RATE
    assert [row["file"] for row in rows(out)] == [str(folder / "a.wav")]


def test_the_json_of_an_hour_opens_in_an_editor(tmp_path):
    rng = np.random.default_rng(0)
    analysis = Analysis(
        duration=3600.0,
        emotion="sad",
        probabilities=dict.fromkeys(LABELS, 0.25),
        segments=[Segment(t, t + 2, "sad", 0.9) for t in range(0, 3600, 2)],
        experts={task: rng.integers(0, 3, 180_000).astype(np.uint8) for task in ("se", "ser")},
        path='a "b"\n.wav',
        joints=[8.5 * n for n in range(400)],
    )
    about = {**analysis.to_dict(), "made_by": {"model": "x"}}
    results.write(tmp_path / "a", about)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == about
    lines = text.splitlines()
    assert len(lines) < len(analysis.segments) + 40
    runs = [line for line in lines if line.lstrip().startswith(('"se": [[', '"ser": [['))]
    assert len(runs) == 2 and sum(len(line) for line in lines if line not in runs) < 150_000
    assert results.owner(tmp_path / "a") == about["path"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_a_json_holds_what_it_was_given(value):
    assert json.loads(results.laid_out(value)) == value
