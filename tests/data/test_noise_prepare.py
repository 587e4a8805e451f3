"""Noise folders become manifests: what is cut, what is left out, what stops."""

import json
import logging
import subprocess
import sys

import numpy as np
import pytest
import soundfile as sf

from speechbrain_merit.data import noise_folders as recipe
from speechbrain_merit.data.manifests import load_manifest

RATE = 8000


def record(path, seconds=1.0, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (round(seconds * RATE), channels)
    sf.write(path, 0.1 * np.random.default_rng(0).standard_normal(shape), RATE)
    return path


@pytest.fixture
def folders(tmp_path):
    for name in ("train", "valid", "unseen"):
        record(tmp_path / name / "cafe" / "a.wav")
    return tmp_path


def prepare(root, tests=None, **kwargs):
    tests = {"unseen": root / "unseen"} if tests is None else tests
    return recipe.prepare_noise(root / "train", root / "valid", tests, root / "save", **kwargs)


def test_manifests_of_all_sets_and_types_of_noise(folders):
    record(folders / "train" / "Rain.FLAC", channels=2)
    record(folders / "train" / "deep" / "er" / "b.ogg")
    record(folders / "other" / "x.wav")
    tests = {"unseen": folders / "unseen", "other_1": folders / "other"}
    made = prepare(folders, tests)
    assert set(made) == {"train", "valid", "test"} and set(made["test"]) == set(tests)
    rows = load_manifest(made["train"], None, {"noise_root": str(folders / "train")})
    assert sorted(row["noise_type"] for row in rows.values()) == ["Rain", "cafe", "er"]
    for row in rows.values():
        assert row["start"] == 0 and row["duration"] == sf.info(row["wav"]).duration
    (row,) = load_manifest(made["test"]["other_1"]).values()
    assert row["wav"] == "{noise_root}/x.wav"


def test_long_recordings_are_cut_without_losing_a_sample(folders):
    path = record(folders / "train" / "cafe" / "long.wav", 75.0)
    made = prepare(folders)
    rows = [r for r in load_manifest(made["train"]).values() if r["wav"].endswith("long.wav")]
    rows.sort(key=lambda row: row["start"])
    assert len(rows) == 3 and max(row["duration"] for row in rows) <= 30
    whole, _ = sf.read(path)
    parts = []
    for row in rows:
        start, count = round(row["start"] * RATE), round(row["duration"] * RATE)
        parts.append(sf.read(path, start=start, frames=count)[0])
    assert np.array_equal(np.concatenate(parts), whole)


def test_short_and_silent_recordings_are_left_out_and_listed(folders):
    record(folders / "train" / "click.wav", 0.09)
    sf.write(folders / "train" / "nothing.wav", np.zeros(RATE), RATE)
    wave = np.random.default_rng(0).normal(0, 0.1, 60 * RATE)
    wave[30 * RATE :] = 0
    sf.write(folders / "train" / "half.wav", wave, RATE)
    made = prepare(folders)  # far more than 5 %, but none is broken
    rows = load_manifest(made["train"])
    assert sorted(rows) == ["cafe/a.wav@0", "half.wav@0"]
    listed = (folders / "save" / "skipped.csv").read_text().splitlines()
    assert listed[0] == "split,file,reason" and len(listed) == 4
    for name, reason in [("click", "too short"), ("nothing", "silent"), ("half", "silent from 30")]:
        (line,) = [x for x in listed if f"{name}.wav" in x]
        assert line.startswith("noise_train,") and reason in line


def test_broken_files_stop_above_five_percent_only(folders):
    for index in range(19):
        record(folders / "train" / f"{index}.wav", 0.2)
    bad = np.full(RATE, np.nan)
    sf.write(folders / "train" / "bad.wav", bad, RATE, subtype="FLOAT")  # 1 of 21
    made = prepare(folders)
    assert len(load_manifest(made["train"])) == 20
    for path in made["test"].values():
        path.unlink()
    (folders / "train" / "worse.wav").write_bytes(b"no audio")  # 2 of 22
    before = made["train"].read_bytes()
    with pytest.raises(ValueError, match=r"train: 2 of 22.*skipped\.csv"):
        prepare(folders)
    assert made["train"].read_bytes() == before and not made["test"]["unseen"].exists()


def test_a_folder_with_nothing_usable_is_an_error_that_names_the_key(folders):
    (folders / "empty").mkdir()
    with pytest.raises(ValueError, match=r"noise_test_folders\[x\].*empty holds no audio"):
        prepare(folders, {"x": folders / "empty"})
    sf.write(folders / "empty" / "a.wav", np.zeros(RATE), RATE)
    with pytest.raises(ValueError, match=r"noise_test_folders\[x\].*none of the 1"):
        prepare(folders, {"x": folders / "empty"})
    assert not list((folders / "save").glob("*.json"))
    with pytest.raises(FileNotFoundError, match=r"noise_test_folders\[x\].*nowhere"):
        prepare(folders, {"x": folders / "nowhere"})
    with pytest.raises(ValueError, match="noise_train_folder is not set"):
        recipe.prepare_noise(None, folders / "valid", {}, folders / "save")


@pytest.mark.parametrize("name", ["a b", "../x", "", "a/b", "é", "-x", 'a"'])
def test_a_name_unfit_for_file_names_is_an_error(folders, name):
    with pytest.raises(ValueError, match="letters, digits"):
        prepare(folders, {name: folders / "unseen"})


def test_made_again_only_if_something_changed(folders, monkeypatch):
    real, runs = recipe.inspect_files, []
    monkeypatch.setattr(recipe, "inspect_files", lambda *args: runs.append(1) or real(*args))
    first = prepare(folders)
    assert len(runs) == 3
    assert prepare(folders) == first and len(runs) == 3
    record(folders / "valid" / "cafe" / "new.wav")
    prepare(folders)
    assert len(runs) == 6 and len(load_manifest(first["valid"])) == 2


def test_skip_prep_names_the_manifests_and_touches_nothing(folders):
    made = prepare(folders, skip_prep=True)
    assert made["test"]["unseen"] == folders / "save" / "noise_test_unseen.json"
    assert not (folders / "save").exists()


def test_training_noise_among_test_noise_is_warned_of(folders, caplog):
    with caplog.at_level(logging.WARNING):
        prepare(folders, {"same": folders / "train" / "cafe"})
    assert "noise_test_folders[same]" in caplog.text


def test_validation_noise_among_test_noise_is_warned_of(folders, caplog):
    with caplog.at_level(logging.WARNING):
        prepare(folders, {"same": folders / "valid", "other": folders / "unseen"})
    assert "noise_test_folders[same]" in caplog.text and "noise_valid_folder" in caplog.text
    assert "[other]" not in caplog.text and "noise_train_folder" not in caplog.text


def test_an_interruption_leaves_no_manifest(folders, monkeypatch):
    real, calls = recipe.inspect_files, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(recipe, "inspect_files", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(folders)
    assert not (folders / "save").exists()


def test_by_hand(repo_root, folders):
    script = repo_root / "recipes" / "Noise" / "noise_prepare.py"
    command = [sys.executable, script, "--save_folder", folders / "save"]
    command += ["--train", folders / "train", "--valid", folders / "valid"]
    done = subprocess.run([*command, "--test", f"x={folders / 'unseen'}"], cwd=folders, check=False)
    assert done.returncode == 0
    assert len(json.loads((folders / "save" / "noise_test_x.json").read_text())) == 1
    failed = subprocess.run(
        [*command, "--test", "x=nowhere"],
        cwd=folders,
        capture_output=True,
        text=True,
        check=False,
    )
    assert failed.returncode == 1 and "nowhere" in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize(
    "words, said",
    [
        (["--test", "x=unseen", "--test", "x=valid", "--save_folder", "save"], "two folders have"),
        (["--save_folder", "file/save"], "file"),
    ],
)
def test_what_cannot_be_by_hand_is_named(repo_root, folders, words, said):
    (folders / "file").write_text("")
    script = repo_root / "recipes" / "Noise" / "noise_prepare.py"
    command = [sys.executable, script, "--train", "train", "--valid", "valid", *words]
    failed = subprocess.run(command, cwd=folders, capture_output=True, text=True, check=False)
    assert failed.returncode in (1, 2) and said in failed.stderr
    assert "Traceback" not in failed.stderr


def test_real_noise(shared_data, tmp_path):
    noise = shared_data / "noise"
    made = recipe.prepare_noise(
        noise / "ambient" / "train",
        noise / "ambient" / "valid",
        {"seen": noise / "ambient" / "test_seen", "unseen": noise / "esc10"},
        tmp_path,
    )
    unseen = {row["noise_type"] for row in load_manifest(made["test"]["unseen"]).values()}
    assert unseen == {"chainsaw", "fire_crackling", "helicopter", "sea_waves"}
    assert not (tmp_path / "skipped.csv").exists()
