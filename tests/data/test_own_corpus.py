"""One's own corpus: docs/own_corpus.md followed to the letter, and tables with mistakes."""

import csv
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from speechbrain_merit.data.manifests import load_manifest, rooted, write_manifest
from speechbrain_merit.data.preparation import write_unmatched
from speechbrain_merit.data.recordings import Recordings
from speechbrain_merit.errors import PreparationError

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


def test_a_fold_that_is_none_is_named(recipe, speech, tmp_path):
    for fold in (0, 6):
        with pytest.raises(PreparationError, match=f"fold: {fold} is none of 1 to 5"):
            prepare(recipe, speech[0], tmp_path / "save", fold=fold)


def test_splits_of_ones_own(recipe, speech, tmp_path):
    folder, rows = speech
    mine = {"anna": "train", "ben": "train", "carla": "valid", "dan": "test", "eva": "train"}
    header = [*HEADER, "split"]
    write_table(folder, [[*row, mine[row[2]]] for row in rows], header)
    found = prepare(recipe, folder, tmp_path / "save")
    assert {row["spk_id"] for row in found["test"].values()} == {"dan"}
    assert {row["spk_id"] for row in found["valid"].values()} == {"carla"}
    names = {"train": "Training", "valid": "dev", "test": "TEST"}
    write_table(folder, [[*row, names[mine[row[2]]]] for row in rows], [*HEADER, "Split"])
    assert prepare(recipe, folder, tmp_path / "save") == found
    write_table(folder, [[*row, ""] for row in rows], header)  # a column for later
    assert {row["spk_id"] for row in prepare(recipe, folder, tmp_path)["test"].values()} == {"anna"}
    write_table(folder, [[*row, "tset"] for row in rows], header)
    with pytest.raises(ValueError, match="line 2: split is 'tset': take one of train, valid, test"):
        prepare(recipe, folder, tmp_path / "misnamed")
    write_table(folder, [[*row, mine[row[2]].replace("valid", "train")] for row in rows], header)
    with pytest.raises(ValueError, match="is for valid. Training needs all of train, valid"):
        prepare(recipe, folder, tmp_path / "none")


def test_official_splits_that_share_speakers_are_taken_with_a_warning(
    recipe, speech, tmp_path, caplog
):
    """As in ESD, whose speakers are all in training, validation and test."""
    folder, rows = speech
    takes = {"0": "train", "1": "train", "2": "valid", "3": "test"}
    rows = [[*row[:1], "angry" if n % 2 else "sad", *row[2:]] for n, row in enumerate(rows)]
    write_table(folder, [[*r, takes[r[0][-11]]] for r in rows], [*HEADER, "split"])
    found = prepare(recipe, folder, tmp_path / "save", ["angry", "sad"])
    assert [len(found[split]) for split in SPLITS] == [10, 5, 5]
    everyone = {"anna", "ben", "carla", "dan", "eva"}
    assert all({r["spk_id"] for r in found[split].values()} == everyone for split in SPLITS)
    assert "5 speakers of 'train' are in 'test' too, with 5 utterances there: anna" in caplog.text
    assert "voices" in caplog.text
    by_fold = prepare(recipe, folder, tmp_path / "fold", ["angry", "sad"], fold=1)
    assert {row["spk_id"] for row in by_fold["test"].values()} == {"anna"}


def test_a_table_for_the_test_alone_makes_that_manifest_alone(recipe, speech, tmp_path):
    folder, rows = speech
    prepare(recipe, folder, tmp_path)
    write_table(folder, [[*row, "test"] for row in rows], [*HEADER, "split"])
    paths = [tmp_path / f"{split}.json" for split in SPLITS]
    recipe.prepare_template(folder, *paths, LABELS)
    assert [path.is_file() for path in paths] == [False, False, True]
    assert len(load_manifest(paths[2], LABELS)) == len(rows)


def test_a_model_that_knows_more_labels_is_tested_on_those_of_the_table(
    recipe, speech, tmp_path, caplog
):
    folder, rows = speech
    write_table(folder, [[*row, "test"] for row in rows if row[1] != "neutral"], [*HEADER, "split"])
    paths = [tmp_path / f"{split}.json" for split in SPLITS]
    with caplog.at_level("WARNING"):
        recipe.prepare_template(folder, *paths, LABELS)
    assert len(load_manifest(paths[2], LABELS)) == 15 and "has no 'neutral'" in caplog.text
    with pytest.raises(ValueError, match="has no 'bored'"):  # or is it neutral's name there?
        recipe.prepare_template(folder, *paths, ["angry", "bored"])


@pytest.mark.parametrize("name", ["NA", "unknown", "?", "#NV", "#ref!", "#NOMBRE?", "#N/D"])
def test_a_speaker_that_is_nobody_is_refused(recipe, speech, tmp_path, name):
    folder, rows = speech
    write_table(folder, [[*rows[0][:2], name], *rows[1:]])
    with pytest.raises(ValueError, match="line 2: speaker is .*nobody's name.*session"):
        prepare(recipe, folder, tmp_path / "save")


def test_too_few_speakers_are_told_and_what_to_do(recipe, speech, tmp_path):
    folder, rows = speech
    write_table(folder, [row for row in rows if row[2] in ("anna", "ben", "dan")])
    message = r"There are 3 speakers \(anna, ben, dan\), and 5 are needed.*a column `split`"
    with pytest.raises(ValueError, match=message):
        prepare(recipe, folder, tmp_path / "save")
    # five, of whom one never says what is asked for
    rows = [
        [file, "bored" if speaker == "eva" else label, speaker] for file, label, speaker in rows
    ]
    write_table(folder, rows)
    with pytest.raises(ValueError, match=r"There are 4 speakers \(anna, ben, carla, dan\)"):
        prepare(recipe, folder, tmp_path / "save")


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
        (["", "sad", "anna"], "line 3: file is empty"),
        (["anna/x.wav", "", ""], "line 3: emotion and speaker is empty"),
        (["anna/x.wav", "sad"], "line 3: 2 fields, but 3 columns"),
        (
            ["anna/take.0, loud.wav", "sad", "ben"],
            "line 3: anna/take.0, loud.wav stands in line 2 with another emotion and another spea",
        ),
        (["/elsewhere/x.wav", "sad", "anna"], "line 3: /elsewhere/x.wav is no path within"),
        (["../x.wav", "sad", "anna"], "line 3: ../x.wav is no path within"),
        ([r"C:\else\x.wav", "sad", "anna"], r"line 3: C:\\else\\x.wav is no path within"),
    ],
    ids=["no file", "no speaker", "short row", "twice", "absolute", "above", "drive"],
)
def test_a_wrong_row_is_named(recipe, speech, tmp_path, change, message):
    folder, rows = speech
    write_table(folder, [rows[0], change, *rows[2:]])
    with pytest.raises(ValueError, match=message):
        prepare(recipe, folder, tmp_path / "save")
    assert not (tmp_path / "save").exists()


def test_all_wrong_rows_are_named_at_once(recipe, speech, tmp_path):
    folder, rows = speech
    wrong = [["", "sad", "anna"], ["/else/x.wav", "sad", "anna"], [rows[0][0], "happy", "anna"]]
    write_table(folder, [*rows, *wrong])
    with pytest.raises(
        ValueError, match="line 22: file is.*; line 23: /else.*; line 24: anna/take"
    ):
        prepare(recipe, folder, tmp_path / "save")
    write_table(folder, [*rows, *wrong[:1] * 14])
    with pytest.raises(ValueError, match="line 31: file is empty; and 4 lines more"):
        prepare(recipe, folder, tmp_path / "save")


@pytest.mark.parametrize(
    "spell",
    [
        lambda folder, file: file.replace(".wav", ".WAV"),
        lambda folder, file: file.removesuffix(".wav"),
        lambda folder, file: file.replace(".wav", ".flac"),
        lambda folder, file: file.upper(),
        lambda folder, file: f"./{file}",
        lambda folder, file: file.replace("/", "\\"),
        lambda folder, file: str(folder / file),
        lambda folder, file: f"/other/computer/my_speech/{file}",
        lambda folder, file: f"D:\\data\\my_speech\\{file}",
        lambda folder, file: f"my_speech/{file}",
        lambda folder, file: unicodedata.normalize("NFD", file),
    ],
    ids="suffix none flac capitals dot backslash absolute moved windows above nfd".split(),
)
def test_a_recording_is_found_however_the_table_names_it(recipe, speech, tmp_path, spell):
    folder, rows = speech
    (folder / "carla").rename(folder / "zoë")
    rows = [[file.replace("carla", "zoë"), *more] for file, *more in rows]
    write_table(folder, rows)
    own = prepare(recipe, folder, tmp_path / "own")
    write_table(folder, [[spell(folder, file), *more] for file, *more in rows])
    assert prepare(recipe, folder, tmp_path / "save") == own
    assert not (tmp_path / "save" / "unmatched.csv").exists()


def test_the_disk_may_be_in_the_other_unicode_form(recipe, speech, tmp_path):
    folder, rows = speech
    (folder / "carla").rename(folder / unicodedata.normalize("NFD", "zoë"))
    rows = [[file.replace("carla", "zoë"), *more] for file, *more in rows]
    write_table(folder, rows)
    found = prepare(recipe, folder, tmp_path / "save")
    assert sum(map(len, found.values())) == len(rows)
    row = {k: r for split in found.values() for k, r in split.items()}["zoë-take.0, loud"]
    assert Path(row["wav"]).is_file()


def test_a_name_that_is_no_utf8_is_found(recipe, speech, tmp_path):
    folder, rows = speech
    odd = os.fsencode(folder) + b"/zo\xeb"
    try:
        os.rename(folder / "carla", odd)
    except OSError:
        pytest.skip("names on this disk have to be UTF-8")
    prepared = tmp_path / "save"
    recordings = Recordings(folder)
    path = recordings.paths[recordings.find("zoë/take.0, loud.wav")]
    assert os.fsencode(path) == odd + b"/take.0, loud.wav"
    write_manifest(prepared / "x.json", {"x": {"wav": rooted(path, folder), "duration": 1.0}})
    (back,) = load_manifest(prepared / "x.json", None, {"data_root": str(folder)}).values()
    assert os.fsencode(back["wav"]) == os.fsencode(path)
    # where the table does not name them, they are listed
    listed = write_unmatched(prepared, "MY", "labels.csv", [], recordings.paths)
    assert "zoë/take.0, loud.wav" in listed.read_text(encoding="utf-8")


def test_a_name_alone_is_found_in_the_folder_where_it_is(recipe, speech, tmp_path):
    folder, rows = speech
    for index, row in enumerate(rows):
        (folder / row[0]).rename(folder / row[2] / f"{index}.wav")
    write_table(folder, [[f"{index}.wav", *row[1:]] for index, row in enumerate(rows)])
    found = prepare(recipe, folder, tmp_path / "save")
    assert "anna-0" in found["test"] and sum(map(len, found.values())) == len(rows)
    shutil.copy(folder / "anna" / "0.wav", folder / "ben" / "0.wav")
    with pytest.raises(ValueError, match="line 2: 0.wav may be anna/0.wav, ben/0.wav: name one"):
        prepare(recipe, folder, tmp_path / "save")


def test_two_files_of_one_name_are_two_unless_the_table_is_vague(recipe, speech, tmp_path):
    folder, rows = speech
    record(folder / "anna" / "a.wav")
    record(folder / "anna" / "a.flac")
    record(folder / "anna-a.wav")
    more = [[f"anna{end}", "sad", "anna"] for end in ("/a.wav", "/a.flac", "-a.wav")]
    write_table(folder, [*rows, *more])
    found = prepare(recipe, folder, tmp_path / "save")["test"]
    wavs = {key: Path(row["wav"]).relative_to(folder) for key, row in found.items()}
    assert wavs["anna-a"] == Path("anna/a.wav") and wavs["anna-a~2"] == Path("anna/a.flac")
    assert wavs["anna-a~3"] == Path("anna-a.wav")
    write_table(folder, [*rows, ["anna/a", "sad", "anna"]])
    with pytest.raises(ValueError, match="anna/a may be anna/a.flac, anna/a.wav: name one"):
        prepare(recipe, folder, tmp_path / "save")


def test_a_row_that_is_there_twice_counts_once(recipe, speech, tmp_path, caplog):
    folder, rows = speech
    write_table(folder, rows)
    own = prepare(recipe, folder, tmp_path / "own")
    again = [rows[0], [rows[1][0].upper(), "SAD", "Anna"]]
    write_table(folder, [*rows, *again])
    assert prepare(recipe, folder, tmp_path / "save") == own
    assert "2 rows say again what others say, and count once" in caplog.text


# ---- Labels and speakers


def test_a_label_in_other_capital_letters_is_that_label(recipe, speech, tmp_path, caplog):
    folder, rows = speech
    write_table(folder, rows)
    own = prepare(recipe, folder, tmp_path / "own")
    spelled = {"angry": "Angry", "sad": "SAD", "happy": " happy ", "neutral": "neutral"}
    write_table(folder, [[row[0], spelled[row[1]], row[2]] for row in rows])
    with caplog.at_level(logging.INFO):
        assert prepare(recipe, folder, tmp_path / "save") == own
    assert "left out" not in caplog.text
    asked = ["Angry", "sad", "Happy", "neutral"]
    found = prepare(recipe, folder, tmp_path / "asked", asked)  # as they are asked for
    assert {row["emo"] for row in found["train"].values()} == set(asked)


def test_labels_that_differ_in_capital_letters_alone_can_be_told_apart(recipe, speech, tmp_path):
    folder, rows = speech
    spelled = {"angry": "Angry", "sad": "angry", "happy": "ANGRY", "neutral": "neutral"}
    write_table(folder, [[row[0], spelled[row[1]], row[2]] for row in rows])
    found = prepare(recipe, folder, tmp_path / "save", ["Angry", "angry"])["train"]
    assert {key[-7]: row["emo"] for key, row in found.items()} == {"0": "Angry", "1": "angry"}


def test_labels_are_numbers(recipe, speech, tmp_path):
    folder, rows = speech
    write_table(folder, [[row[0], str(LABELS.index(row[1])), row[2]] for row in rows])
    found = prepare(recipe, folder, tmp_path / "save", ["0", "1", "2", "3"])
    assert {row["emo"] for row in found["test"].values()} == {"0", "1", "2", "3"}
    write_table(folder, [[row[0], f"{LABELS.index(row[1])}.0", row[2]] for row in rows])
    assert prepare(recipe, folder, tmp_path / "floats", ["0", "1", "2", "3"]) == found


def test_labels_are_merged_and_what_is_left_out_looks_like(recipe, speech, tmp_path, caplog):
    folder, rows = speech
    words = {"angry": "Wut", "sad": "Trauer", "happy": "freude", "neutral": "neutrall"}
    write_table(folder, [[row[0], words[row[1]], row[2]] for row in rows])
    merge = {"wut": "angry", "Trauer": "sad", "Freude": "happy", "Ekel": "sad"}
    with caplog.at_level(logging.INFO):
        found = prepare(recipe, folder, tmp_path, ["angry", "sad", "happy"], merge_labels=merge)
    assert {row["emo"] for row in found["test"].values()} == {"angry", "sad", "happy"}
    assert "left out, not in `labels`: neutrall 5" in caplog.text
    assert "no utterance is ekel" in caplog.text
    merge["neutrall"] = "neutral"
    found = prepare(recipe, folder, tmp_path, LABELS, merge_labels=merge)
    assert {row["emo"] for row in found["test"].values()} == set(LABELS)
    caplog.clear()
    rows[0][1] = "angrry"
    write_table(folder, rows)
    prepare(recipe, folder, tmp_path / "near")
    assert (
        '1 utterances are angrry and left out. If that is angry: --merge_labels "{an' in caplog.text
    )


def test_a_speaker_in_other_capital_letters_is_that_speaker(recipe, speech, tmp_path, caplog):
    folder, rows = speech
    write_table(folder, rows)
    own = prepare(recipe, folder, tmp_path / "own")
    write_table(folder, [*rows[:3], [*rows[3][:2], "Anna "], *rows[4:]])
    assert prepare(recipe, folder, tmp_path / "save") == own
    assert "taken for one speaker: anna and Anna" in caplog.text


def test_braces_are_letters_like_others(recipe, speech, tmp_path):
    folder, rows = speech
    renamed = [[*row[:2], f"{{{row[2]}}}"] for row in rows]
    renamed = [[row[0], "{sad}" if row[1] == "sad" else row[1], row[2]] for row in renamed]
    write_table(folder, renamed)
    found = prepare(recipe, folder, tmp_path, ["angry", "{sad}"])["test"]
    assert {(row["spk_id"], row["emo"]) for row in found.values()} == {
        ("{anna}", "angry"),
        ("{anna}", "{sad}"),
    }


def test_what_is_missing_is_named(recipe, speech, tmp_path):
    folder, rows = speech
    with pytest.raises(FileNotFoundError, match="data_folder is not set.*labels.csv"):
        prepare(recipe, None, tmp_path)
    with pytest.raises(ValueError, match="no 'bored'; it has angry, happy, neutral, sad"):
        prepare(recipe, folder, tmp_path, ["angry", "bored"])
    write_table(folder, rows, ["Files", "emotion", "speaker"])
    with pytest.raises(ValueError, match="no column file; it has Files, emotion, speaker"):
        prepare(recipe, folder, tmp_path)
    write_table(folder, [])
    with pytest.raises(ValueError, match="labels.csv has no rows below its first line"):
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
    values = ["", "nan", "0,25", "NA", "1"]
    table = [[*row, "0,25", values[n % 5]] for n, row in enumerate(rows)]
    write_table(folder, table, [*HEADER, "Arousal", "valence"])
    found = prepare(recipe, folder, tmp_path / "save")
    found = {key: row for split in SPLITS for key, row in found[split].items()}
    assert all(row["arousal"] == 0.25 for row in found.values())
    valences = [found[row[0][:-4].replace("/", "-")].get("valence") for row in rows]
    assert valences == [None, None, 0.25, None, 1.0] * 4
    write_table(folder, [[*row, "5", ""] for row in rows], [*HEADER, "arousal", "valence"])
    with pytest.raises(ValueError, match="line 2: arousal is 5, not between 0 and 1"):
        prepare(recipe, folder, tmp_path / "other")
