"""One's own corpus: docs/own_corpus.md followed to the letter, and tables with mistakes."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from speechbrain_merit.data.manifests import load_manifest

LABELS = ["angry", "sad", "happy", "neutral"]
SPLITS = ("train", "valid", "test")
HEADER = ["file", "emotion", "speaker"]


@pytest.fixture(scope="module")
def recipe(load_recipe):
    return load_recipe("TEMPLATE")


def blocks(page, language):
    """The code blocks of a language in a page, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)


def record(path, seconds=0.4, rate=16000):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    time = np.arange(round(seconds * rate)) / rate
    wave = 0.1 * np.sin(2 * np.pi * 200 * time) + 0.01 * rng.standard_normal(len(time))
    sf.write(path, wave, rate)


def write_table(folder, rows, header=HEADER, **how):
    with (folder / "labels.csv").open("w", encoding=how.get("encoding", "utf-8"), newline="") as f:
        csv.writer(f, delimiter=how.get("delimiter", ",")).writerows([header, *rows])


@pytest.fixture
def speech(tmp_path):
    """Five speakers, each emotion once, with a dot, a comma and a blank in file names."""
    rows = [
        [f"{name}/take.{index}, loud.wav", label, name]
        for name in ("anna", "ben", "carla", "dan", "eva")
        for index, label in enumerate(LABELS)
    ]
    for file, *_ in rows:
        record(tmp_path / "my_speech" / file)
    write_table(tmp_path / "my_speech", rows)
    return tmp_path / "my_speech", rows


def prepare(recipe, folder, save, labels=LABELS, **options):
    paths = [save / f"{split}.json" for split in SPLITS]
    recipe.prepare_template(folder, *paths, labels, **options)
    return {s: load_manifest(p, labels, {"data_root": str(folder)}) for s, p in zip(SPLITS, paths)}


def test_the_page_leads_to_a_trained_system(repo_root, speech, tmp_path, minimerit):
    page = (repo_root / "docs" / "own_corpus.md").read_text(encoding="utf-8")
    folder, rows = speech
    (table,) = blocks(page, "csv")
    shown = list(csv.reader(table.splitlines()))
    for file, *_ in shown[1:]:
        record(folder / file)
    (folder / "labels.csv").write_text(table)
    with (folder / "labels.csv").open("a", newline="") as lines:
        csv.writer(lines).writerows(rows)

    for name in ("train.py", "hparams", "recipes"):
        (tmp_path / name).symlink_to(repo_root / name)
    (tmp_path / "data").mkdir()  # the same noise as the run would make, without the wait
    (tmp_path / "data" / "MiniMERIT_noise").symlink_to(minimerit / "noise")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for commands in blocks(page, "bash"):
        done = subprocess.run(
            ["bash", "-e", "-c", commands],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]

    (values,) = blocks(page, "yaml")
    assert values in (tmp_path / "MyCorpus" / "corpus.yaml").read_text().replace("  #", "\n  #")
    run = tmp_path / "results" / "merit" / "MyCorpus" / "1234"
    found = {split: json.loads((run / "save" / f"{split}.json").read_text()) for split in SPLITS}
    assert sum(map(len, found.values())) == len(rows) + len(shown) - 1
    speakers = [{row["spk_id"] for row in found[split].values()} for split in SPLITS]
    assert sum(map(len, speakers)) == len(set.union(*speakers)) == 5
    scores = json.loads((run / "evaluation" / "metrics.json").read_text())
    assert len(scores) == 9 and scores[0]["n"] == len(found["test"])
    assert (run / "evaluation" / "report.html").is_file()
    assert (run / "pretrained" / "README.md").is_file() and list(run.glob("save/CKPT*"))


def test_the_road_takes_under_sixty_lines(repo_root):
    page = (repo_root / "docs" / "own_corpus.md").read_text(encoding="utf-8")
    template = (repo_root / "recipes" / "TEMPLATE" / "template_prepare.py").read_text()
    code = [*blocks(page, "bash"), *blocks(page, "yaml"), template]
    assert len([line for block in code for line in block.splitlines() if line.strip()]) < 60


def test_splits_are_by_speaker_and_folds_test_each_of_them_once(recipe, speech, tmp_path):
    folder, rows = speech
    found = prepare(recipe, folder, tmp_path / "save")
    assert [len(found[split]) for split in SPLITS] == [12, 4, 4]
    row = found["test"]["anna-take.0, loud"]
    assert (row["emo"], row["spk_id"], row["duration"]) == ("angry", "anna", 0.4)
    assert Path(row["wav"]).is_file()
    tested = [prepare(recipe, folder, tmp_path / f"{f}", fold=f)["test"] for f in range(1, 6)]
    assert sorted(key for test in tested for key in test) == sorted(
        key for split in SPLITS for key in found[split]
    )


def test_splits_of_ones_own(recipe, speech, tmp_path):
    folder, rows = speech
    mine = {"anna": "train", "ben": "train", "carla": "valid", "dan": "test", "eva": "train"}
    header = [*HEADER, "split"]
    write_table(folder, [[*row, mine[row[2]]] for row in rows], header)
    found = prepare(recipe, folder, tmp_path / "save")
    assert {row["spk_id"] for row in found["test"].values()} == {"dan"}
    assert {row["spk_id"] for row in found["valid"].values()} == {"carla"}
    torn = [[*row, "test" if "2" in row[0] else "train"] for row in rows]
    write_table(folder, torn, header)
    with pytest.raises(ValueError, match="line 4: split is 'test'.* for all recordings of anna"):
        prepare(recipe, folder, tmp_path / "torn")
    write_table(folder, [[*row, "tset"] for row in rows], header)
    with pytest.raises(ValueError, match="line 2: split is 'tset': take one of train, valid, test"):
        prepare(recipe, folder, tmp_path / "misnamed")


@pytest.mark.parametrize(
    "how",
    [{"encoding": "utf-8-sig"}, {"encoding": "utf-16", "delimiter": "\t"}, {"delimiter": ";"}],
    ids=["bom", "utf16 tabs", "semicolons"],
)
def test_exports_of_any_spreadsheet(recipe, speech, tmp_path, how):
    folder, rows = speech
    own = prepare(recipe, folder, tmp_path / "own")
    write_table(folder, [[row[0].replace("/", "\\"), *row[1:]] for row in rows], **how)
    assert prepare(recipe, folder, tmp_path / "other") == own


@pytest.mark.parametrize(
    "change, message",
    [
        (["", "sad", "anna"], "line 3: file, emotion or speaker is empty"),
        (["anna/x.wav", "sad", ""], "line 3: file, emotion or speaker is empty"),
        (["anna/x.wav", "sad"], "line 3: 2 fields, but 3 columns"),
        (["anna/take.0, loud.wav", "sad", "anna"], "line 3: anna/take.0, loud.wav is no path"),
        (["./anna/take.0, loud.flac", "sad", "anna"], "line 3: .*is there twice"),
        (["/elsewhere/x.wav", "sad", "anna"], "line 3: /elsewhere/x.wav is no path within"),
    ],
    ids=["no file", "no speaker", "short row", "twice", "one id", "absolute"],
)
def test_a_wrong_row_is_named(recipe, speech, tmp_path, change, message):
    folder, rows = speech
    write_table(folder, [rows[0], change, *rows[2:]])
    with pytest.raises(ValueError, match=message):
        prepare(recipe, folder, tmp_path / "save")


def test_what_is_missing_is_named(recipe, speech, tmp_path):
    folder, rows = speech
    with pytest.raises(FileNotFoundError, match="data_folder is not set.*labels.csv"):
        prepare(recipe, None, tmp_path)
    with pytest.raises(ValueError, match="no 'bored'; it has angry, happy, neutral, sad"):
        prepare(recipe, folder, tmp_path, ["angry", "bored"])
    write_table(folder, rows, ["File", "emotion", "speaker"])
    with pytest.raises(ValueError, match="no column file; it has File, emotion, speaker"):
        prepare(recipe, folder, tmp_path)
    (folder / "labels.csv").unlink()
    with pytest.raises(FileNotFoundError, match="labels.csv"):
        prepare(recipe, folder, tmp_path)


def test_bad_recordings_are_found_before_training(recipe, speech, tmp_path):
    folder, rows = speech
    more = [
        [f"anna/{index}.wav", LABELS[index % 4], speaker]
        for index in range(84)
        for speaker in ["carla"]
    ]  # of train
    for file, *_ in more:
        record(folder / file, rate=[8000, 44100][int(Path(file).stem) % 2])  # any rate will do
    write_table(folder, [*rows, *more])
    for index, damage in enumerate([b"", None, "cut", "silence"]):
        path = folder / "anna" / f"{index}.wav"
        if damage is None:
            path.unlink()
        elif damage == "cut":
            path.write_bytes(path.read_bytes()[:2000])
        elif damage == "silence":
            sf.write(path, np.zeros(8000), 16000)
        else:
            path.write_bytes(damage)
    record(folder / "anna" / "unlisted.wav")
    found = prepare(recipe, folder, tmp_path / "save")
    assert len(found["train"]) == 12 + 84 - 4
    with open(tmp_path / "save" / "skipped.csv", newline="") as lines:
        reasons = [row["reason"].split(":")[0] for row in csv.DictReader(lines)]
    assert sorted(reasons) == ["cannot be decoded", "cannot be decoded", "silent", "truncated"]
    with open(tmp_path / "save" / "unmatched.csv", newline="") as lines:
        listed = {row["file"]: row["reason"] for row in csv.DictReader(lines)}
    assert listed.pop("anna/1.wav") == "in labels.csv, not on the disk"
    ((file, reason),) = listed.items()
    assert file.endswith("unlisted.wav") and reason == "on the disk, not in labels.csv"


def test_attributes_of_a_table(recipe, speech, tmp_path):
    folder, rows = speech
    write_table(folder, [[*row, "0,25", ""] for row in rows], [*HEADER, "arousal", "valence"])
    row = prepare(recipe, folder, tmp_path / "save")["train"]["ben-take.0, loud"]
    assert row["arousal"] == 0.25 and "valence" not in row
    write_table(folder, [[*row, "5", ""] for row in rows], [*HEADER, "arousal", "valence"])
    with pytest.raises(ValueError, match="line 2: arousal is 5, not between 0 and 1"):
        prepare(recipe, folder, tmp_path / "other")
