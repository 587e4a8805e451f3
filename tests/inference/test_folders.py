"""A second call of ``merit analyse``: rows that stay, results that are not made again."""

import csv
import gc
import json
import os
import shutil
import tracemalloc

import numpy as np
import pytest
import soundfile as sf
import torch

from speechbrain_merit.export.folder import write_pretrained
from speechbrain_merit.inference import MeritInterface, jobs, results
from speechbrain_merit.inference import command as analyse_command
from speechbrain_merit.inference.analysis import Analysis
from speechbrain_merit.inference.jobs import Job
from speechbrain_merit.inference.picture import Picture
from speechbrain_merit.inference.summary import columns, earlier, merged, write_summary
from tests.inference.test_cli import analyse, names, rows
from tests.inference.test_inference import LABELS, RATE, wave
from tests.tiny import tiny_merit


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Pretrained folders of two tiny networks with other weights."""
    folder = tmp_path_factory.mktemp("models")
    for seed in range(2):
        torch.manual_seed(seed)
        write_pretrained(folder / str(seed), tiny_merit(), LABELS, "# tiny")
    return folder


@pytest.fixture
def recordings(tmp_path):
    """A folder with three recordings, one of them stereo."""
    folder = tmp_path / "in"
    folder.mkdir()
    sf.write(folder / "a.wav", wave(0.5, 1), RATE)
    sf.write(folder / "b.wav", np.stack([wave(0.6, 2), wave(0.6, 3)], axis=1), RATE)
    sf.write(folder / "c.flac", wave(0.7, 4, rate=8000), 8000)
    return folder


@pytest.fixture
def heard(monkeypatch):
    """The names of the recordings that went through the network, in this call."""
    found, deliver = [], jobs.deliver

    def watched(batch, *rest):
        found.extend(job.path.name for job, _ in batch)
        return deliver(batch, *rest)

    monkeypatch.setattr(jobs, "deliver", watched)
    return found


def table(out):
    return {(row["file"], row["channel"]): row for row in rows(out)}


# Rows


def test_a_call_for_one_file_leaves_the_rows_of_the_others(models, recordings, tmp_path):
    out = tmp_path / "out"
    assert analyse(models / "0", out, str(recordings)) == 0
    before = (out / "summary.csv").read_bytes()
    assert analyse(models / "0", out, str(recordings / "b.wav")) == 0
    assert (out / "summary.csv").read_bytes() == before
    assert analyse(models / "0", out, str(recordings / "b.wav"), "--channels", "separate") == 0
    found = table(out)
    files = [str(recordings / name) for name in ("a.wav", "b.wav", "b.wav", "c.flac")]
    assert [key for key in found] == list(zip(files, ("", "0", "1", "")))
    sf.write(recordings / "d.wav", wave(0.5, 5), RATE)
    assert analyse(models / "0", out, os.path.relpath(recordings / "d.wav")) == 0
    assert [row["file"] for row in rows(out)][:4] == files and len(rows(out)) == 5


def test_an_error_is_past_when_its_recording_is_mended_or_gone(models, recordings, tmp_path):
    out, empty = tmp_path / "out", tmp_path / "empty"
    empty.mkdir()
    for name in ("mended.wav", "gone.wav", "elsewhere.wav"):
        (recordings / name).write_text("hello")
    shutil.move(recordings / "elsewhere.wav", tmp_path / "elsewhere.wav")
    given = [str(recordings), str(empty)]
    assert analyse(models / "0", out, *given, str(tmp_path / "elsewhere.wav")) == 1
    assert sum(bool(row["error"]) for row in rows(out)) == 4
    sf.write(recordings / "mended.wav", wave(0.5), RATE)
    sf.write(empty / "e.wav", wave(0.5), RATE)
    (recordings / "gone.wav").unlink()
    assert analyse(models / "0", out, *given) == 0
    errors = {row["file"]: row["error"] for row in rows(out)}
    assert [name for name, error in errors.items() if error] == [str(tmp_path / "elsewhere.wav")]
    assert len(errors) == 6 and str(recordings / "gone.wav") not in errors


def test_what_is_no_summary_is_not_written_over(models, recordings, tmp_path, capsys, heard):
    out = tmp_path / "out"
    out.mkdir()
    for text in (b"name;score\nme;3\n", b"\xff\xfe\x00", b"file,note\na.wav,mine\n"):
        (out / "summary.csv").write_bytes(text)
        assert analyse(models / "0", out, str(recordings)) == 2
        assert (out / "summary.csv").read_bytes() == text and not heard
        assert "is no summary of merit analyse" in capsys.readouterr().err
    (out / "summary.csv").write_bytes(b"")
    assert analyse(models / "0", out, str(recordings)) == 0


def test_a_summary_that_was_edited_keeps_its_own_columns(models, recordings, tmp_path):
    out = tmp_path / "out"
    assert analyse(models / "0", out, str(recordings)) == 0
    edited = [{**row, "note": f"mine, {index}"} for index, row in enumerate(rows(out))]
    with open(out / "summary.csv", "w", newline="", encoding="utf-8-sig") as file:  # as Excel
        writer = csv.DictWriter(file, edited[0], lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(edited)
    assert analyse(models / "0", out, str(recordings / "b.wav")) == 0
    assert [row["note"] for row in rows(out)] == ["mine, 0", "", "mine, 2"]
    assert rows(out)[0] == edited[0]


def test_a_summary_that_was_saved_with_semicolons_and_decimal_commas_is_one(tmp_path):
    path = tmp_path / "summary.csv"
    row = {"file": "März, 1.wav", "duration": "1.5", "p_sad": "0.25", "error": "", "note": "1,5"}
    write_summary(path, [row])
    with open(path, "w", newline="", encoding="utf-8-sig") as file:  # as Excel in German
        writer = csv.DictWriter(file, columns([row]), restval="", delimiter=";")
        writer.writeheader()
        writer.writerow({**row, "duration": "1,5", "p_sad": "0,25"})
    (again,) = earlier(path)
    assert {key: again[key] for key in row} == row


def test_rows_of_a_day_can_be_read_again(tmp_path):
    long = "; ".join(f"{index}.0-{index + 2}.0 neutral" for index in range(0, 86400, 2))
    limit = csv.field_size_limit()
    row = {"file": "day.wav", "segments": long, "enhanced": "", "error": "", "p_sad": 0.25}
    write_summary(tmp_path / "summary.csv", [row])
    (again,) = earlier(tmp_path / "summary.csv")
    assert again["segments"] == long and again["p_sad"] == "0.25"
    assert csv.field_size_limit() == limit


def test_names_that_are_no_utf8_are_the_same_recording_in_the_table(tmp_path):
    name = os.fsdecode(b"caf\xe9.wav")
    write_summary(tmp_path / "summary.csv", [{"file": name, "enhanced": "", "error": ""}])
    old = earlier(tmp_path / "summary.csv")
    assert old[0]["file"] == "caf\\udce9.wav"
    assert len(merged(old, [{"file": name, "error": "", "enhanced": ""}])) == 1


def test_a_row_whose_enhanced_file_is_another_s_by_now_goes():
    old = [{"file": "/gone/a.wav", "enhanced": "out/a_enhanced.wav", "error": ""}]
    new = [{"file": "/here/a.wav", "enhanced": "out/a_enhanced.wav", "error": ""}]
    assert merged(old, new) == new


# Names


def test_results_of_another_recording_are_not_written_over(models, tmp_path):
    out, folders = tmp_path / "out", [tmp_path / "x", tmp_path / "y"]
    for seed, folder in enumerate(folders):
        folder.mkdir()
        sf.write(folder / "a.wav", wave(0.5, seed), RATE)
    assert analyse(models / "0", out, str(folders[0])) == 0
    first = {name: (out / name).read_bytes() for name in ("a.json", "a_enhanced.wav")}
    for given in (str(folders[1]), os.path.relpath(folders[1] / "a.wav")):
        assert analyse(models / "0", out, given) == 0
        assert {name: (out / name).read_bytes() for name in first} == first
        other = json.loads((out / "a_wav.json").read_text(encoding="utf-8"))
        assert os.path.abspath(other["path"]) == str(folders[1] / "a.wav")
        assert len(names(out)) == 5 and len(rows(out)) == 2


def test_a_json_of_one_s_own_beside_a_recording_stays(models, tmp_path):
    sf.write(tmp_path / "a.wav", wave(0.5), RATE)
    (tmp_path / "a.json").write_text('{"speaker": "me"}')
    assert analyse(models / "0", tmp_path, str(tmp_path)) == 0
    assert (tmp_path / "a.json").read_text() == '{"speaker": "me"}'
    assert "a_wav.json" in names(tmp_path)


# Results that are there


def again(models, out, *more):
    return analyse(models / "0", out, *more, "--skip_existing")


def test_results_that_are_there_are_passed_over(models, recordings, tmp_path, heard, capsys):
    out = tmp_path / "out"
    assert analyse(models / "0", out, str(recordings), "--plot") == 0
    before = {name: (out / name).read_bytes() for name in names(out)}
    heard.clear(), capsys.readouterr()
    assert again(models, out, str(recordings), "--plot") == 0
    assert not heard and "3 passed over" in capsys.readouterr().out
    assert {name: (out / name).read_bytes() for name in names(out)} == before
    sf.write(recordings / "d.wav", wave(0.5, 5), RATE)
    assert again(models, out, str(recordings)) == 0
    assert heard == ["d.wav"] and len(rows(out)) == 4
    heard.clear()
    assert analyse(models / "0", out, str(recordings)) == 0  # unless that is asked for
    assert len(heard) == 4


def test_a_call_that_was_killed_before_its_summary_is_made_whole(
    models, recordings, tmp_path, heard
):
    out = tmp_path / "out"
    assert analyse(models / "0", out, str(recordings), "--channels", "separate") == 0
    before = (out / "summary.csv").read_bytes()
    (out / "summary.csv").unlink()
    heard.clear()
    assert again(models, out, str(recordings), "--channels", "separate") == 0
    assert not heard and (out / "summary.csv").read_bytes() == before


def touch(recordings, out):
    status = os.stat(recordings / "a.wav")
    os.utime(recordings / "a.wav", ns=(status.st_atime_ns, status.st_mtime_ns - 10**9))  # older


def grow(recordings, out):
    status = os.stat(recordings / "a.wav")
    sf.write(recordings / "a.wav", wave(0.8, 1), RATE)
    os.utime(recordings / "a.wav", ns=(status.st_atime_ns, status.st_mtime_ns))


def cut_json(recordings, out):
    data = (out / "a.json").read_bytes()
    (out / "a.json").write_bytes(data[: len(data) // 2])


def empty_json(recordings, out):
    (out / "a.json").write_bytes(b"")  # as a crash of the machine may leave it


def lose_enhanced(recordings, out):
    (out / "a_enhanced.wav").unlink()


def older_json(recordings, out):
    about = json.loads((out / "a.json").read_text(encoding="utf-8"))
    del about["made_by"]  # as an earlier version of the package wrote it
    (out / "a.json").write_text(json.dumps(about, indent=1), encoding="utf-8")


@pytest.mark.parametrize("change", [touch, grow, cut_json, empty_json, lose_enhanced, older_json])
def test_what_is_not_whole_or_not_of_this_recording_is_made_again(
    models, recordings, tmp_path, heard, change
):
    out = tmp_path / "out"
    assert analyse(models / "0", out, str(recordings)) == 0
    change(recordings, out)
    heard.clear()
    assert again(models, out, str(recordings)) == 0
    assert heard == ["a.wav"]
    seconds = sf.info(str(recordings / "a.wav")).duration
    assert json.loads((out / "a.json").read_text(encoding="utf-8"))["duration"] == seconds
    assert sf.info(str(out / "a_enhanced.wav")).duration == seconds
    heard.clear()
    assert again(models, out, str(recordings)) == 0 and not heard


@pytest.mark.parametrize("other", ["model", "channels", "rate", "plot", "version", "place"])
def test_what_was_made_otherwise_is_made_again(
    models, recordings, tmp_path, heard, other, monkeypatch
):
    out, model, more = tmp_path / "out", models / "0", []
    assert analyse(model, out, str(recordings)) == 0
    if other == "version":
        monkeypatch.setattr(results, "__version__", "99")
    if other == "place":
        shutil.move(out, tmp_path / "moved")
        out = tmp_path / "moved"
    model = models / "1" if other == "model" else model
    more = {"channels": ["--channels", "separate"], "rate": ["--keep_rate"], "plot": ["--plot"]}
    heard.clear()
    more = more.get(other, [])
    assert analyse(model, out, str(recordings), *more, "--skip_existing") == 0
    assert sorted(heard) == ["a.wav", "b.wav", "c.flac"]
    assert all(os.path.samefile(os.path.dirname(row["enhanced"]), out) for row in rows(out))


def test_recordings_of_one_name_in_two_working_folders_stay_apart(
    models, tmp_path, heard, monkeypatch
):
    out = tmp_path / "out"
    for index, folder in enumerate(("one", "two")):
        (tmp_path / folder).mkdir()
        sf.write(tmp_path / folder / "call.wav", wave(0.5 + 0.1 * index, index), RATE)
        monkeypatch.chdir(tmp_path / folder)
        assert analyse(models / "0", out, "call.wav") == 0
    seconds = {name: json.loads((out / name).read_text())["duration"] for name in names(out)
               if name.endswith(".json")}  # fmt: skip
    assert seconds == {"call.json": 0.5, "call_wav.json": 0.6}
    assert sorted(float(row["duration"]) for row in rows(out)) == [0.5, 0.6]
    before = {name: (out / name).read_bytes() for name in names(out) if name[-4:] != ".csv"}
    heard.clear()
    monkeypatch.chdir(tmp_path / "one")  # and each is known again
    assert again(models, out, "call.wav") == 0
    monkeypatch.chdir(tmp_path)
    assert again(models, out, "two") == 0 and not heard
    assert {name: (out / name).read_bytes() for name in before} == before
    assert len(names(out)) == len(before) + 1
    assert sorted(float(row["duration"]) for row in rows(out)) == [0.5, 0.6]


@pytest.mark.parametrize("ending", ["_enhanced.wav", ".png"])
def test_a_file_of_somebodys_own_is_not_written_over(models, recordings, ending):
    own = recordings / f"a{ending}"
    own.write_bytes(b"mine")
    assert analyse(models / "0", recordings, str(recordings / "a.wav"), "--plot") == 0
    assert own.read_bytes() == b"mine" and (recordings / f"a_wav{ending}").is_file()


def test_a_carriage_return_in_a_name_stays_in_its_field(tmp_path):
    lines = [{"file": "a\rb.wav", "error": "empty", "enhanced": ""}]
    for _ in range(2):
        write_summary(tmp_path / "summary.csv", lines)
        lines = merged(earlier(tmp_path / "summary.csv"), lines)
    assert [(line["file"], line["error"]) for line in lines] == [("a\rb.wav", "empty")]


# Memory


@pytest.mark.parametrize("broken", [False, True])
def test_memory_does_not_grow_with_the_number_of_recordings(models, tmp_path, monkeypatch, broken):
    folder, held = tmp_path / "in", []
    folder.mkdir()
    for index in range(60):
        samples = wave(0.5, index)
        samples[-1] = np.nan if broken else 0
        sf.write(folder / f"{index:02}.wav", samples, RATE, subtype="FLOAT")
    monkeypatch.setattr(Picture, "save", lambda picture, path, analyses: path.touch())
    finish = analyse_command.finish

    def watched(job):
        held.append(tracemalloc.get_traced_memory()[0])
        assert broken or job.plot.channels[0][0].power.nbytes > 50_000  # what must not stay
        return finish(job)

    monkeypatch.setattr(analyse_command, "finish", watched)
    gc.collect(), gc.disable()  # what is kept is kept by the program, or by cycles
    tracemalloc.start()
    try:
        assert analyse(models / "0", tmp_path / "out", str(folder), "--plot") == broken
    finally:
        tracemalloc.stop()
        gc.enable()
    growth = (held[-1] - held[19]) / 40
    assert growth < 12_000, f"{growth:.0f} bytes a recording"


def test_what_a_picture_takes_is_given_back(tmp_path):
    sf.write(tmp_path / "a.wav", wave(12), RATE)
    samples = torch.from_numpy(wave(12))[None]

    def draw():
        picture = Picture(tmp_path / "a.wav", "mix")
        picture.add(samples, samples)
        picture.save(tmp_path / "a.png", [Analysis(12.0, "sad", {"sad": 1.0})])

    draw()  # fonts are read once
    gc.collect(), gc.disable()
    tracemalloc.start()
    try:
        draw()
        taken = tracemalloc.get_traced_memory()[0]
        gc.collect()
        left = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        gc.enable()
    assert taken - left < 2_000_000 < 2 * picture_bytes(), (taken, left)


def picture_bytes():
    """What the spectra before and after take in a picture of full width."""
    return 2 * 201 * 1000 * 8


def test_no_job_outlives_its_results(models, tmp_path):
    merit = MeritInterface.from_hparams(models / "0", run_opts={"device": "cpu"})
    sf.write(tmp_path / "a.wav", wave(1), RATE)
    gc.collect(), gc.disable()
    try:
        merit.analyse_file(tmp_path / "a.wav", tmp_path / "b.wav")
        merit.enhance_file(tmp_path / "a.wav")
        merit.classify_file(tmp_path / "a.wav")
        merit.analyse_batch(torch.from_numpy(wave(1))[None])
        left = [thing for thing in gc.get_objects() if issubclass(type(thing), Job)]
    finally:
        gc.enable()
    assert not left
