"""The audio checks and the manifests, by what a user relies on."""

import csv
import json

import numpy as np
import pytest
import soundfile as sf

from speechbrain_merit.audio.inspection import check_audio, find_audio, inspect_audio
from speechbrain_merit.data import preparation
from speechbrain_merit.data.corpora import join_manifests
from speechbrain_merit.data.manifests import load_manifest, remember, rooted, skip, write_manifest
from speechbrain_merit.data.preparation import prepare_speech, write_skipped
from speechbrain_merit.errors import PreparationError

RATE = 48000
LABELS = ["sad", "happy"]


def tone(seconds=0.5, channels=1):
    wave = 0.1 * np.sin(np.arange(round(seconds * RATE)) / 20.0)
    return wave if channels == 1 else np.stack([wave] * channels, axis=1)


def bad_file(folder, kind):
    """One file of each kind of damage."""
    path = folder / f"{kind}.wav"
    wave = tone()
    if kind == "garbage":
        path.write_bytes(b"this is not audio" * 100)
    elif kind == "zero_bytes":
        path.write_bytes(b"")
    elif kind == "empty":
        sf.write(path, wave[:0], RATE)
    elif kind == "silent":
        sf.write(path, 0 * wave, RATE)
    elif kind == "constant":
        sf.write(path, 0 * wave + 0.2, RATE)
    elif kind in ("nan", "inf"):
        wave[1000] = float(kind)
        sf.write(path, wave, RATE, subtype="FLOAT")
    elif kind == "short":
        sf.write(path, wave[: int(0.09 * RATE)], RATE)
    elif kind == "truncated":
        sf.write(path, wave, RATE)
        path.write_bytes(path.read_bytes()[:24000])
    elif kind == "truncated_flac":
        path = path.with_suffix(".flac")
        sf.write(path, np.random.default_rng(0).normal(0, 0.1, RATE), RATE)
        path.write_bytes(path.read_bytes()[:40000])
    elif kind == "truncated_mp3":
        path = path.with_suffix(".mp3")
        sf.write(path, tone(3.0), RATE)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
    return path


@pytest.mark.parametrize(
    "kind, reason",
    [
        ("garbage", "cannot be decoded"),
        ("zero_bytes", "cannot be decoded"),
        ("missing", "there is no such file"),
        ("empty", "empty"),
        ("silent", "silent"),
        ("constant", "silent"),
        ("nan", "NaN"),
        ("inf", "infinite"),
        ("short", "too short"),
        ("truncated", "truncated"),
        ("truncated_flac", "cannot be decoded|truncated"),
        ("truncated_mp3", "cannot be decoded|truncated"),
    ],
)
def test_each_kind_of_bad_file_is_found_and_named(tmp_path, kind, reason):
    _, problem = check_audio(bad_file(tmp_path, kind))
    assert problem is not None
    assert any(word in problem for word in reason.split("|")), problem


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff"])
@pytest.mark.parametrize("channels", [1, 2])
def test_good_files_pass_with_their_exact_duration(tmp_path, suffix, channels):
    path = tmp_path / f"good.{suffix}"
    sf.write(path, tone(0.75, channels), RATE)
    assert check_audio(path) == (0.75, None)


def test_low_level_and_float_beyond_full_scale_are_not_bad(tmp_path):
    for gain in (1e-3, 100.0):
        sf.write(tmp_path / "x.wav", gain * tone(), RATE, subtype="FLOAT")
        assert check_audio(tmp_path / "x.wav")[1] is None


def test_a_streamed_wav_of_unknown_length_is_not_called_truncated(tmp_path):
    path = tmp_path / "piped.wav"
    sf.write(path, tone(), RATE)
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"  # as programs write into a pipe
    path.write_bytes(content)
    assert check_audio(path)[1] is None


def test_sections_cover_a_long_file_without_gap_and_silent_ones_are_apart(tmp_path):
    rate = 1000
    wave = np.random.default_rng(0).normal(0, 0.1, 100 * rate + 7)
    wave[30 * rate : 76 * rate] = 0
    sf.write(tmp_path / "long.wav", wave, rate)
    report = inspect_audio(tmp_path / "long.wav")
    pieces = sorted(report.sections + report.silent_sections)
    assert pieces[0][0] == 0 and all(length <= 30 for _, length in pieces)
    ends = [start + length for start, length in pieces]
    assert np.allclose(ends[:-1], [start for start, _ in pieces[1:]], atol=1e-9)
    assert ends[-1] == pytest.approx(len(wave) / rate)
    assert len(report.silent_sections) == 1 and report.problem is None


def test_find_audio_ignores_case_and_follows_links_once(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("a/x.WAV", "a/b/y.Flac", "a/readme.txt", "a/._x.WAV"):
        (tmp_path / name).touch()
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a")
    assert [path.name for path in find_audio(tmp_path / "a")] == ["y.Flac", "x.WAV"]


def test_a_recording_has_its_own_name_and_not_that_of_a_link(tmp_path):
    (tmp_path / "zoe").mkdir()
    (tmp_path / "zoe" / "x.wav").touch()
    (tmp_path / "anna").symlink_to(tmp_path / "zoe")
    assert find_audio(tmp_path) == [tmp_path / "zoe" / "x.wav"]


def test_a_corpus_among_several_may_be_called_by_digits(tmp_path):
    for name in ("2024", "B"):
        row = {"wav": "{data_root}/x.wav", "duration": 1.0, "spk_id": "1"}
        write_manifest(tmp_path / f"{name}.json", {"x": row})
    join_manifests({n: tmp_path / f"{n}.json" for n in ("2024", "B")}, tmp_path / "both.json")
    roots = {"2024": "/y", "B": "/b"}
    rows = load_manifest(tmp_path / "both.json", None, {"data_root": roots})
    assert [row["wav"] for row in rows.values()] == ["/y/x.wav", "/b/x.wav"]


def make_rows(folder, count, bad=(), split="train"):
    """`count` utterances of alternating labels, those numbered in `bad` silent."""
    rows = {}
    for index in range(count):
        path = folder / f"{split}_{index:03d}.wav"
        sf.write(path, tone(0.2) * (index not in bad), RATE)
        rows[path.stem] = {"wav": path, "emo": LABELS[index % 2], "spk_id": split}
    return rows


def test_a_bad_file_is_left_out_and_listed(tmp_path):
    rows = {"train": make_rows(tmp_path, 20, bad=[3])}
    manifest = tmp_path / "save" / "train.json"
    prepare_speech("EMO", tmp_path, {"train": manifest}, rows, LABELS)
    loaded = load_manifest(manifest, LABELS, {"data_root": str(tmp_path)})
    assert set(loaded) == set(rows["train"]) - {"train_003"}
    assert all(check_audio(row["wav"]) == (row["duration"], None) for row in loaded.values())
    with open(tmp_path / "save" / "skipped.csv", newline="") as lines:
        (listed,) = csv.DictReader(lines)
    assert listed["split"] == "train" and listed["file"].endswith("train_003.wav")
    assert listed["reason"].startswith("silent")


def test_more_than_five_percent_bad_stops_before_any_manifest(tmp_path):
    rows = {"train": make_rows(tmp_path, 20), "valid": make_rows(tmp_path, 20, [1, 2], "valid")}
    paths = {split: tmp_path / "save" / f"{split}.json" for split in rows}
    with pytest.raises(ValueError, match=r"valid: 2 of 20.*skipped\.csv"):
        prepare_speech("EMO", tmp_path, paths, rows, LABELS)
    assert sorted(path.name for path in (tmp_path / "save").iterdir()) == ["skipped.csv"]
    # Repaired, the same call goes through and the list is gone.
    rows["valid"] = make_rows(tmp_path, 20, [], "valid")
    prepare_speech("EMO", tmp_path, paths, rows, LABELS)
    assert not (tmp_path / "save" / "skipped.csv").exists()


def test_an_empty_split_and_an_unheard_label_are_errors(tmp_path):
    rows = {"train": make_rows(tmp_path, 4), "valid": {}}
    paths = {split: tmp_path / f"{split}.json" for split in rows}
    with pytest.raises(ValueError, match=f"'valid' is empty.*{tmp_path}"):
        prepare_speech("EMO", tmp_path, paths, rows, LABELS)
    rows.pop("valid")
    with pytest.raises(ValueError, match="no training utterance.*angry"):
        prepare_speech("EMO", tmp_path, paths, rows, [*LABELS, "angry"])
    assert not paths["train"].exists()


@pytest.mark.parametrize("step", ["inspect_files", "write_manifest"])
def test_an_interrupted_preparation_starts_over(tmp_path, monkeypatch, step):
    rows = {"train": make_rows(tmp_path, 4), "valid": make_rows(tmp_path, 4, split="valid")}
    paths = {split: tmp_path / "save" / f"{split}.json" for split in rows}
    arguments = ("EMO", tmp_path, paths, rows, LABELS)
    real, calls = getattr(preparation, step), []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(preparation, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare_speech(*arguments)
    monkeypatch.undo()
    assert not paths["valid"].exists()
    for path in paths.values():  # even if all files are there, it was not completed
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
    prepare_speech(*arguments)
    assert all(len(load_manifest(path)) == 4 for path in paths.values())


def test_prepared_manifests_are_kept_until_something_changes(tmp_path, monkeypatch):
    rows = {"train": make_rows(tmp_path, 4)}
    paths = {"train": tmp_path / "save" / "train.json"}
    inspected = []
    real = preparation.inspect_files
    monkeypatch.setattr(
        preparation, "inspect_files", lambda *args: inspected.append(1) or real(*args)
    )

    def runs(labels=LABELS):
        inspected.clear()
        prepare_speech("EMO", tmp_path, paths, rows, labels)
        return len(inspected)

    assert runs() == 1 and runs() == 0
    assert runs(LABELS[::-1]) == 1  # other options
    sf.write(tmp_path / "train_000.wav", tone(0.3), RATE)
    assert runs(LABELS[::-1]) == 1  # another file under the same name
    paths["train"].unlink()
    assert runs(LABELS[::-1]) == 1 and runs(LABELS[::-1]) == 0


def test_two_corpora_share_a_folder(tmp_path):
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path in paths:
        write_manifest(path, {"x": {"wav": "x.wav", "duration": 1.0}})
        remember(path.stem, [path], {"k": 1})
    assert all(skip(path.stem, [path], {"k": 1}) for path in paths)
    write_skipped(tmp_path, ["a"], [("a", "1.wav", "silent")])
    write_skipped(tmp_path, ["b"], [("b", "2.wav", "NaN, or inf")])
    path = write_skipped(tmp_path, ["a"], [("a", "3.wav", "empty")])
    with path.open(newline="") as lines:
        table = [tuple(row) for row in csv.reader(lines)][1:]
    assert sorted(table) == [("a", "3.wav", "empty"), ("b", "2.wav", "NaN, or inf")]


def test_load_manifest_names_the_row_that_is_wrong(tmp_path):
    path = tmp_path / "train.json"
    good = {"wav": "a.wav", "duration": 1.0, "emo": "sad"}

    def fails_with(row, match):
        write_manifest(path, {"first": good, "second": row})
        with pytest.raises(ValueError, match=match):
            load_manifest(path, LABELS)

    fails_with({**good, "emo": "bored"}, r"train\.json.*'second'.*'bored'.*\['sad', 'happy'\]")
    fails_with({"wav": "a.wav", "duration": 1.0}, "'second'.*None")
    fails_with({**good, "duration": 0}, "'second'.*duration")
    fails_with({"duration": 1.0}, "'second'.*wav")
    path.write_text('{"same": %s, "same": %s}' % ((json.dumps(good),) * 2))
    with pytest.raises(ValueError, match="'same' stands there twice"):
        load_manifest(path)
    path.write_text('{"half": {"wav"')
    with pytest.raises(ValueError, match="prepare the data again"):
        load_manifest(path)
    with pytest.raises(FileNotFoundError, match="nowhere.json"):
        load_manifest(tmp_path / "nowhere.json")


def test_braces_in_file_names_survive_speechbrain(tmp_path):
    from speechbrain.dataio.dataset import DynamicItemDataset

    wav = tmp_path / "take{2}.wav"
    write_manifest(tmp_path / "m.json", {"x": {"wav": rooted(wav, tmp_path), "duration": 1.0}})
    data = DynamicItemDataset.from_json(tmp_path / "m.json", {"data_root": tmp_path}, [], ["wav"])
    assert data[0]["wav"] == str(wav)


@pytest.mark.parametrize("wav", ["{data_soot}/a.wav", "{0}", "a{.wav", "{data_root[x]}/a.wav"])
def test_braces_that_stand_for_nothing_are_named(tmp_path, wav):
    write_manifest(tmp_path / "m.json", {"x": {"wav": wav, "duration": 1.0}})
    with pytest.raises(PreparationError, match="m.json: what stands in braces .* prepare the data"):
        load_manifest(tmp_path / "m.json", None, {"data_root": "corpus"})


def test_empty_manifests_are_not_written(tmp_path):
    with pytest.raises(PreparationError, match="train.json"):
        write_manifest(tmp_path / "train.json", {})
    assert not (tmp_path / "train.json").exists()
