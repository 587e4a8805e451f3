"""MSP-Podcast: folders in the form of each release, and what is wrong with damaged ones."""

import csv
import importlib
import json
import logging
import shutil
from collections import Counter

import numpy as np
import pytest
import soundfile as sf
import yaml

from speechbrain_merit.data.corpora import prepare_corpora
from speechbrain_merit.data.manifests import load_manifest

LABELS = ["angry", "sad", "happy", "neutral"]
EIGHT = [*LABELS, "surprised", "fearful", "disgust", "contempt"]
LETTERS = dict(zip(EIGHT, "ASHNUFDC")) | {"other": "O", "no agreement": "X"}
WORDS = {
    "angry": "Angry",
    "sad": "Sad",
    "happy": "Happy",
    "surprised": "Surprise",
    "fearful": "Fear",
    "disgust": "Disgust",
    "contempt": "Contempt",
    "neutral": "Neutral",
}
SPLITS = ("train", "valid", "test")
# Split: speakers, utterances of each of the ten kinds by each speaker
SIZES = {"Train": (3, 2), "Development": (2, 1), "Test1": (2, 1), "Test2": (1, 1)}


@pytest.fixture(scope="module")
def recipe(load_recipe):
    return load_recipe("MSP-Podcast")


@pytest.fixture(scope="module")
def labels(recipe):
    """The file beside the preparation that reads the tables."""
    return importlib.import_module("msp_podcast_labels")


def utterances():
    """The corpus: one dict an utterance."""
    rows, speaker = [], 0
    for split, (speakers, repeats) in SIZES.items():
        for _ in range(speakers):
            speaker += 1
            for index in range(repeats * len(LETTERS)):
                rows.append(
                    {
                        "id": f"MSP-PODCAST_{speaker:04d}_{index:04d}",
                        "emotion": list(LETTERS)[index % len(LETTERS)],
                        "act": 1 + index % 7,
                        "val": 4.5,
                        "dom": 7,
                        # the second speaker of a split is not known by name
                        "speaker": "Unknown" if speaker % 2 == 0 else str(100 + speaker),
                        "gender": "Female" if speaker % 2 else "Male",
                        "split": split,
                    }
                )
    return rows


def write_csv(path, header, rows, encoding="utf-8", ends="\n", delimiter=","):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding=encoding, newline="") as lines:
        writer = csv.writer(lines, lineterminator=ends, delimiter=delimiter)
        writer.writerows([header, *rows])


COLUMNS = "FileName EmoClass EmoAct EmoVal EmoDom SpkrID Gender Split_Set".split()


def fields(row, split="Development"):
    """The columns of labels_consensus.csv; the middle split has two names."""
    named = split if row["split"] == "Development" else row["split"]
    values = [f"{row['id']}.wav", LETTERS[row["emotion"]], row["act"], row["val"], row["dom"]]
    return [*values, row["speaker"], row["gender"], named]


def ratings(row):
    """Five raters: three for the consensus, the others for something else."""
    word = WORDS.get(row["emotion"], "Other-Curious")
    return [word] * 3 + ["Neutral" if word != "Neutral" else "Sad", "Other"]


def detail_text(row, path):
    """The releases 1.7 to 1.12: one text a rating, with commas in it."""
    rows = [
        [
            f"{row['id']}.wav",
            f"WORKER0000{i}; {word}; Concerned,Annoyed; A:{row['act']}; V:{row['val']}; D:7;",
        ]
        for row in row
        for i, word in enumerate(ratings(row))
    ]
    write_csv(path, ["FileName", "EmoDetail"], rows)


def detail_columns(rows, path, worker):
    """The releases 1.6 and 2.0."""
    header = ["FileName", worker, "EmoClass_Major", "EmoClass_Second", "EmoAct", "EmoVal", "EmoDom"]
    table = [
        [f"{row['id']}.wav", f"W{i}", word, "Concerned,Annoyed", row["act"], row["val"], 7]
        for row in rows
        for i, word in enumerate(ratings(row))
    ]
    write_csv(path, header, table)


def partitions(rows, path, name="Development"):
    lines = [
        f"{name if row['split'] == 'Development' else row['split']}; {row['id']}.wav\n"
        for row in rows
    ]
    path.write_text("".join(lines))


def build_16(root, rows):
    """1.6: the file misspelt, no splits in it."""
    write_csv(root / "label" / "labels_concensus.csv", COLUMNS[:-1], [fields(r)[:-1] for r in rows])
    partitions(rows, root / "Partitions.txt", "Validation")
    detail_columns(rows, root / "label" / "labels_detailed.csv", "Workers")


def build_19(root, rows):
    write_csv(
        root / "labels" / "labels_concensus.csv", COLUMNS, [fields(r, "Validation") for r in rows]
    )
    partitions(rows, root / "Partitions.txt", "Validation")
    detail_text(rows, root / "labels" / "labels_detailed.csv")


def build_112(root, rows):
    """1.11, 1.12: with all that was removed from earlier releases below."""
    write_csv(root / "Labels" / "labels_consensus.csv", COLUMNS, [fields(r) for r in rows])
    detail_text(rows, root / "Labels" / "labels_detailed.csv")
    (root / "Labels" / "labels.txt").write_text("MSP-PODCAST_0001_0000.wav; N; A:1; V:1; D:1;\n")
    partitions(rows, root / "Partition.txt")
    old = root / "Previous_releases_information"
    write_csv(
        old / "previous_releases_info" / "v1.6" / "label" / "labels_concensus.csv",
        COLUMNS,
        [["MSP-PODCAST_0001_0000.wav", "H", 1, 1, 1, "1", "Male", "Test1"]],
    )
    removed = old / "files_removed_from_prev_versions" / "v1.6_removed_files"
    removed.mkdir(parents=True)
    shutil.copy(root / "Audios" / f"{rows[0]['id']}.wav", removed / "MSP-PODCAST_9999_0001.wav")


def build_20(root, rows):
    """2.0: unpacked into folders of the archives' names; Test3 has audio and no labels."""
    write_csv(
        root / "Labels" / "Labels" / "labels_consensus.csv",
        COLUMNS,
        [fields(r) for r in rows]
        + [["MSP-PODCAST_test3_0001.wav", "", "", "", "", "", "", "Test3"]],
    )
    detail_columns(rows, root / "Labels" / "Labels" / "labels_detailed.csv", "WorkerID")
    for row in rows:
        inner = root / "Audios" / "Audios" / row["split"]
        inner.mkdir(parents=True, exist_ok=True)
        (root / "Audios" / f"{row['id']}.wav").rename(inner / f"{row['id']}.wav")
    shutil.copy(inner / f"{row['id']}.wav", inner / "MSP-PODCAST_test3_0001.wav")


def build_columns(root, rows, emotions=tuple(WORDS)):
    """One column for each emotion, as for the lab's challenges."""
    header = ["FileName", *(WORDS[e] for e in emotions), "EmoAct", "EmoVal", "EmoDom"]
    table = [
        [
            r["id"],  # without .wav
            *(str(float(r["emotion"] == e)) for e in emotions),
            r["act"],
            r["val"],
            r["dom"],
            *fields(r)[5:],
        ]
        for r in rows
    ]
    write_csv(root / "Labels" / "labels_consensus.csv", [*header, *COLUMNS[5:]], table)
    detail_text(rows, root / "Labels" / "labels_detailed.csv")


BUILDERS = {
    "1.6": build_16,
    "1.9": build_19,
    "1.12": build_112,
    "2.0": build_20,
    "columns": build_columns,
}


def build(root, form="1.12", rows=None):
    """A release of a form; each recording 0.2 s."""
    rows = utterances() if rows is None else rows
    (root / "Audios").mkdir(parents=True)
    wave = 0.05 * np.random.default_rng(0).standard_normal(3200)
    sf.write(root / "one.wav", wave, 16000)
    for row in rows:
        shutil.copy(root / "one.wav", root / "Audios" / f"{row['id']}.wav")
    (root / "one.wav").unlink()
    BUILDERS[form](root, rows)
    return root


def prepare(recipe, folder, save, labels=LABELS, **options):
    paths = [save / f"{split}.json" for split in SPLITS]
    recipe.prepare_msp_podcast(folder, *paths, labels, **options)
    return {s: load_manifest(p, labels, {"data_root": str(folder)}) for s, p in zip(SPLITS, paths)}


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """A release in the form of 1.12. Read only."""
    return build(tmp_path_factory.mktemp("MSP") / "release")


@pytest.mark.parametrize("form", BUILDERS)
def test_every_release_gives_the_same_manifests(recipe, form, tmp_path):
    folder = build(tmp_path / "MSP-PODCAST-Publish", form)
    found = prepare(recipe, folder, tmp_path / "save")
    wanted = {"train": "Train", "valid": "Development", "test": "Test1"}
    for split, name in wanted.items():
        said = {r["id"]: r for r in utterances() if r["split"] == name and r["emotion"] in LABELS}
        assert found[split].keys() == said.keys()
        for key, row in found[split].items():
            own = said[key]
            assert row["emo"] == own["emotion"]
            assert row["gender"] == own["gender"].lower()
            assert row["arousal"] == pytest.approx((own["act"] - 1) / 6, abs=1e-6)
            assert (row["valence"], row["dominance"]) == (pytest.approx(3.5 / 6, abs=1e-6), 1.0)
            assert (row["raters"], row["agreement"]) == (5, 0.6)
            assert row["duration"] == 0.2 and sf.info(row["wav"]).samplerate == 16000
            if own["speaker"] != "Unknown":
                assert row["spk_id"] == own["speaker"]
    assert not (tmp_path / "save" / "skipped.csv").exists()
    assert not (tmp_path / "save" / "unmatched.csv").exists()


@pytest.mark.parametrize("emotions", [LABELS, EIGHT], ids=["four", "eight"])
def test_a_row_of_zeros_never_becomes_angry(labels, emotions, tmp_path, caplog):
    rows = utterances()
    (tmp_path / "release" / "Audios").mkdir(parents=True)
    build_columns(tmp_path / "release", rows, emotions)
    table = labels.read_consensus(tmp_path / "release" / "Labels" / "labels_consensus.csv")
    for row in rows:
        named = row["emotion"] if row["emotion"] in emotions else "no agreement"
        assert table[row["id"]]["emo"] == named
    # The first in the file, angry's, is nothing that ties or negative votes fall back on.
    header = ["FileName", "Angry", "Sad", "Split_Set"]
    path = tmp_path / "ties.csv"
    write_csv(path, header, [["a", 0.5, 0.5, "Train"], ["b", 0, 0, "Train"], ["c", 0, 1, "Train"]])
    found = labels.read_consensus(path)
    assert [found[key]["emo"] for key in "abc"] == ["no agreement", "no agreement", "sad"]


def test_eight_classes_and_the_others_counted(recipe, release, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        found = prepare(recipe, release, tmp_path / "four")
    assert {row["emo"] for row in found["test"].values()} == set(LABELS)
    # 11 utterances of each kind: 3 · 2 + 2 + 2 + 1
    assert "other 11" in caplog.text and "no agreement 11" in caplog.text
    assert "contempt 11" in caplog.text
    found = prepare(recipe, release, tmp_path / "eight", EIGHT)
    assert {row["emo"] for row in found["test"].values()} == set(EIGHT)
    assert [len(found[split]) for split in SPLITS] == [48, 16, 16]
    with pytest.raises(ValueError, match="no 'other'"):
        prepare(recipe, release, tmp_path, [*LABELS, "other"])


def test_the_test_set_is_a_choice(recipe, release, tmp_path):
    first = prepare(recipe, release, tmp_path / "1")
    other = load_manifest(tmp_path / "1" / "test2.json", LABELS)
    second = prepare(recipe, release, tmp_path / "2", test_split="Test2")
    assert second["test"].keys() == other.keys() and len(other) == 4
    assert second["train"].keys() == first["train"].keys()
    assert load_manifest(tmp_path / "2" / "test1.json").keys() == first["test"].keys()
    with pytest.raises(ValueError, match="Test3 has no labelled.*Test1, Test2"):
        prepare(recipe, release, tmp_path / "3", test_split="Test3")


def test_a_second_test_set_without_audio_does_not_stop_the_first(recipe, tmp_path):
    folder = build(tmp_path / "release")
    for row in utterances():
        if row["split"] == "Test2":
            (folder / "Audios" / f"{row['id']}.wav").unlink()
    assert len(prepare(recipe, folder, tmp_path / "save")["test"]) == 8
    assert not (tmp_path / "save" / "test2.json").exists()
    with pytest.raises(ValueError, match="test: 4 of 4"):
        prepare(recipe, folder, tmp_path / "other", test_split="Test2")


def test_speakers_in_two_splits_are_reported_and_unknown_ones_are_not(recipe, tmp_path, caplog):
    folder = build(tmp_path / "release")
    prepare(recipe, folder, tmp_path / "save")
    assert "speakers of 'train'" not in caplog.text
    rows = utterances()
    for row in rows:
        if row["speaker"] == "105":  # of Development
            row["speaker"] = "101"  # of Train
    write_csv(folder / "Labels" / "labels_consensus.csv", COLUMNS, [fields(r) for r in rows])
    with caplog.at_level(logging.INFO):
        found = prepare(recipe, folder, tmp_path / "save")
    assert "1 speakers of 'train' are in 'valid' too, with 4 utterances there: 101" in caplog.text
    unknown = {r["spk_id"] for split in SPLITS for r in found[split].values()}
    assert len([s for s in unknown if s.startswith("unknown")]) == 3
    assert "20 utterances are of unknown speakers" in caplog.text


def test_absent_and_unlisted_files_are_listed(recipe, tmp_path, caplog):
    folder = build(tmp_path / "release", rows=wide())
    (folder / "Audios" / "MSP-PODCAST_0001_0003.wav").unlink()
    shutil.copy(
        folder / "Audios" / "MSP-PODCAST_0001_0004.wav", folder / "Audios" / "MSP-PODCAST_7_7.wav"
    )
    found = prepare(recipe, folder, tmp_path / "save")
    assert "MSP-PODCAST_0001_0003" not in found["train"] and len(found["train"]) == 39
    with open(tmp_path / "save" / "unmatched.csv", newline="") as lines:
        listed = list(csv.DictReader(lines))
    assert [row["reason"].split(",")[0] for row in listed] == [
        "in labels_consensus.csv",
        "on the disk",
    ]
    assert listed[0]["file"] == "MSP-PODCAST_0001_0003"
    assert listed[1]["file"].endswith("MSP-PODCAST_7_7.wav")
    skipped = (tmp_path / "save" / "skipped.csv").read_text()
    assert "MSP-PODCAST_0001_0003.wav,cannot be decoded: there is no such file" in skipped
    for index in (4, 5):
        (folder / "Audios" / f"MSP-PODCAST_0001_{index:04d}.wav").unlink()
    with pytest.raises(ValueError, match=r"train: 3 of 40.*skipped\.csv"):
        prepare(recipe, folder, tmp_path / "other")


def wide():
    """40 utterances in train, so that one bad file is below 5 %."""
    return [
        {**row, "id": f"MSP-PODCAST_{n:04d}_{i:04d}", "split": split, "speaker": str(n)}
        for n, (split, count) in enumerate((("Train", 40), ("Development", 8), ("Test1", 8)), 1)
        for i, row in enumerate([r for r in utterances() if r["emotion"] in LABELS][:8] * 5)
        if i < count
    ]


def test_damaged_audio_is_found_without_decoding(recipe, tmp_path, monkeypatch):
    rows = [{**row, "id": f"{row['id']}_{take}"} for take in range(3) for row in wide()]
    folder = build(tmp_path / "release", rows=rows)

    def file(index):
        return folder / "Audios" / f"MSP-PODCAST_0001_{index:04d}_0.wav"

    file(0).write_bytes(file(0).read_bytes()[:4000])
    file(1).write_bytes(b"")
    sf.write(file(2), np.zeros(0), 16000)
    sf.write(file(3), np.ones(4000), 8000)
    sf.write(file(4).with_suffix(".flac"), np.sin(np.arange(64000)), 16000)
    content = file(4).with_suffix(".flac").read_bytes()
    file(4).with_suffix(".flac").write_bytes(content[: len(content) // 2])
    file(4).unlink()
    reads, real = [], sf.SoundFile.read
    monkeypatch.setattr(
        sf.SoundFile, "read", lambda sound, n: reads.append(sound.name) or real(sound, n)
    )
    prepare(recipe, folder, tmp_path / "save")
    assert len(reads) <= 1 and all(name.endswith(".flac") for name in reads)
    with open(tmp_path / "save" / "skipped.csv", newline="") as lines:
        reasons = {row["file"].rpartition("/")[2]: row["reason"] for row in csv.DictReader(lines)}
    words = ["truncated", "cannot be decoded", "empty", "8000 Hz", ""]
    assert len(reasons) == 5
    for index, word in enumerate(words):
        assert word in next(reason for name, reason in reasons.items() if file(index).stem in name)


def test_an_interrupted_preparation_goes_on_where_it_was(recipe, release, tmp_path, monkeypatch):
    from speechbrain_merit.audio import headers

    opened, real = [], headers.inspect_header

    def interrupted(path, **options):
        opened.append(path)
        if len(opened) == 30:
            raise KeyboardInterrupt
        return real(path, **options)

    monkeypatch.setattr(headers, "inspect_header", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(recipe, release, tmp_path)
    assert not (tmp_path / "valid.json").exists()
    with open(tmp_path / "inspected.jsonl", "a") as lines:
        lines.write('["half a li')  # the machine went down
    first = opened[:29]
    found = prepare(recipe, release, tmp_path)
    assert len(opened) == 30 + 44 - 29 and not set(first) & set(opened[30:])
    assert [len(found[split]) for split in SPLITS] == [24, 8, 8]
    opened.clear()
    prepare(recipe, release, tmp_path)  # nothing to do
    prepare(recipe, release, tmp_path, LABELS[::-1])  # other labels: nothing to open
    assert opened == []


@pytest.mark.parametrize(
    "how",
    [
        {"encoding": "utf-8-sig", "ends": "\r\n"},
        {"encoding": "utf-16"},
        {"encoding": "cp1252", "delimiter": ";"},
        {"ends": "\r"},
        {"delimiter": "\t"},
    ],
    ids=["bom", "utf16", "semicolons", "old mac", "tabs"],
)
def test_label_files_of_other_programs_are_read_right(labels, release, tmp_path, how):
    rows = utterances()
    own = labels.read_consensus(release / "Labels" / "labels_consensus.csv")
    note = 'say "é", or not'
    write_csv(tmp_path / "t.csv", [*COLUMNS, "Note"], [[*fields(r), note] for r in rows], **how)
    assert labels.read_consensus(tmp_path / "t.csv") == own


@pytest.mark.parametrize("name", ["{}", "Audios/{}.wav", "Audios\\Train\\{}.WAV", " {}.wav "])
def test_file_names_in_every_form(labels, tmp_path, name):
    keys = ["MSP-PODCAST_0001_0001", "MSP-PODCAST_0001_0001.2"]  # a dot is part of the id
    rows = [[name.format(key), "H", "Train"] for key in keys]
    write_csv(tmp_path / "t.csv", ["FileName", "EmoClass", "Split_Set"], rows)
    assert list(labels.read_consensus(tmp_path / "t.csv")) == keys


GOOD = ["MSP-PODCAST_1_1.wav", "H", "4", "4", "4", "7", "Male", "Train"]


@pytest.mark.parametrize(
    "column, value, message",
    [
        ("FileName", "", "line 3: there is no FileName"),
        ("FileName", "MSP-PODCAST_1_1", "line 3: MSP-PODCAST_1_1 stands in line 2 already"),
        ("EmoClass", "Q", "line 3: EmoClass is 'Q'"),
        ("EmoAct", "high", "line 3: EmoAct is 'high', not a number"),
        ("Split_Set", "Training", "line 3: the split is 'Training'"),
    ],
)
def test_a_wrong_field_is_named_with_its_row(labels, tmp_path, column, value, message):
    bad = ["MSP-PODCAST_1_2.wav", *GOOD[1:]]
    bad[COLUMNS.index(column)] = value
    write_csv(tmp_path / "t.csv", COLUMNS, [GOOD, bad])
    with pytest.raises(ValueError, match=message):
        labels.read_consensus(tmp_path / "t.csv")


def test_wrong_tables_are_named(labels, tmp_path):
    path = tmp_path / "t.csv"
    write_csv(path, COLUMNS, [GOOD, GOOD[:-2]])
    with pytest.raises(ValueError, match="line 3: 6 fields, but 8 columns"):
        labels.read_consensus(path)
    write_csv(path, ["Name", *COLUMNS[1:]], [GOOD])
    with pytest.raises(ValueError, match="no column FileName; it has Name"):
        labels.read_consensus(path)
    write_csv(path, ["FileName", "Split_Set"], [["a.wav", "Train"]])
    with pytest.raises(ValueError, match="no column EmoClass"):
        labels.read_consensus(path)
    write_csv(path, ["FileName", "EmoClass", "Angry", "Happy"], [["a.wav", "A", "0", "1"]])
    with pytest.raises(ValueError, match="line 2: EmoClass says angry, the columns say happy"):
        labels.read_consensus(path)
    path.write_text('FileName,EmoClass\na.wav,"H\n' + "b.wav,H\n" * 40000)
    with pytest.raises(ValueError, match="quote left open"):
        labels.read_consensus(path)
    (tmp_path / "Partitions.txt").write_text("Train; a.wav\nTraining; b.wav\n")
    with pytest.raises(ValueError, match=r"Partitions\.txt, line 2: the split is 'Training'"):
        labels.read_partitions(tmp_path / "Partitions.txt")


def test_utterances_without_a_split_or_an_attribute(labels, tmp_path, caplog):
    rows = [["a", "H", "nan", "Train"], ["b", "H", "", ""], ["c", "", "4,5", "Test3"]]
    write_csv(tmp_path / "t.csv", ["FileName", "EmoClass", "EmoAct", "Split_Set"], rows)
    found = labels.read_consensus(tmp_path / "t.csv")
    assert "1 utterances are in no split and left out: b" in caplog.text
    assert "arousal" not in found["a"] and found["b"]["split"] is None
    assert found["c"]["emo"] == "no label" and found["c"]["arousal"] == pytest.approx(3.5 / 6)


def test_a_rating_outside_the_scale_is_none_and_a_row_may_be_there_twice(labels, tmp_path, caplog):
    bad = ["MSP-PODCAST_1_2.wav", "H", "0", "7.5", "7", *GOOD[5:]]
    write_csv(tmp_path / "t.csv", ["Filename", *COLUMNS[1:]], [GOOD, bad, GOOD])
    found = labels.read_consensus(tmp_path / "t.csv")
    assert list(found) == ["MSP-PODCAST_1_1", "MSP-PODCAST_1_2"]
    assert {"arousal", "valence", "dominance"} & set(found["MSP-PODCAST_1_2"]) == {"dominance"}
    assert "MSP-Podcast: 2 of 6 ratings lie outside 1 … 7" in caplog.text


def test_merged_labels_are_of_both_and_agreement_stays_the_raters(recipe, release, tmp_path):
    own = prepare(recipe, release, tmp_path / "own", EIGHT)
    paths = [tmp_path / "save" / f"{split}.json" for split in SPLITS]
    merge = {"surprised": "happy", "other": "neutral"}
    recipe.prepare_msp_podcast(release, *paths, LABELS, merge_labels=merge)
    found = {split: load_manifest(path, LABELS) for split, path in zip(SPLITS, paths)}
    count = Counter(row["emo"] for row in found["train"].values())
    assert count == {"angry": 6, "sad": 6, "happy": 12, "neutral": 12}
    for key, row in found["train"].items():
        if key in own["train"]:
            assert row["agreement"] == own["train"][key]["agreement"]


def test_attributes_that_the_consensus_lacks_come_from_the_raters(recipe, tmp_path):
    folder = build(tmp_path / "release")
    table = [[*fields(r)[:2], *fields(r)[5:]] for r in utterances()]
    write_csv(folder / "Labels" / "labels_consensus.csv", [*COLUMNS[:2], *COLUMNS[5:]], table)
    row = prepare(recipe, folder, tmp_path / "save")["train"]["MSP-PODCAST_0001_0001"]
    assert row["arousal"] == pytest.approx(1 / 6, abs=1e-6) and row["dominance"] == 1.0


def test_without_labels_every_rated_utterance_is_taken(recipe, tmp_path):
    found = prepare(recipe, build(tmp_path / "release", "2.0"), tmp_path / "save", [])
    assert [len(found[split]) for split in SPLITS] == [60, 20, 20]
    assert all("arousal" in row for row in found["train"].values())
    assert {"other", "no agreement"} < {row["emo"] for row in found["train"].values()}


def test_a_folder_that_is_no_release_says_what_is_missing(recipe, tmp_path):
    with pytest.raises(FileNotFoundError, match="data_folder is not set.*lab-msp"):
        prepare(recipe, None, tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder .*nowhere.*lab-msp"):
        prepare(recipe, tmp_path / "nowhere", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="labels_consensus.csv .or labels_concensus.csv"):
        prepare(recipe, tmp_path / "empty", tmp_path)
    folder = build(tmp_path / "release")
    again = folder / "Audios" / "again"
    again.mkdir()
    shutil.copy(folder / "Audios" / "MSP-PODCAST_0001_0001.wav", again)
    with pytest.raises(ValueError, match="MSP-PODCAST_0001_0001.*same utterance"):
        prepare(recipe, folder, tmp_path / "save")
    shutil.rmtree(folder / "Audios")
    shutil.rmtree(folder / "Previous_releases_information")
    with pytest.raises(FileNotFoundError, match="holds no recordings"):
        prepare(recipe, folder, tmp_path / "save")
    recipe.prepare_msp_podcast(tmp_path / "nowhere", "a", "b", "c", LABELS, skip_prep=True)


def test_corpus_yaml_holds_the_settings_of_the_paper(repo_root):
    path = repo_root / "recipes" / "MSP-Podcast" / "corpus.yaml"
    values = yaml.safe_load(path.read_text())
    assert values["labels"] == LABELS and values["encoder"] == "microsoft/wavlm-large"
    assert values["batch_size"] * values["grad_accumulation_factor"] == 32
    assert (values["number_of_epochs"], values["crop_seconds"]) == (20, 12.0)
    assert values["lr"] == values["lr_final"] == 5e-5
    assert values["encoder_lr"] == values["encoder_lr_final"] == 2.5e-5
    assert values["max_grad_norm"] == 0 and values["train_snr_db"] == [5, 5]


def test_the_key_test_split_reaches_the_preparation(release, tmp_path):
    hparams = {f"{split}_annotation": tmp_path / f"{split}.json" for split in SPLITS}
    hparams |= {"corpus": "MSP-Podcast", "data_folder": str(release), "save_folder": tmp_path}
    prepare_corpora({**hparams, "labels": LABELS, "skip_prep": False, "test_split": "Test2"})
    assert len(load_manifest(tmp_path / "test.json")) == 4


def test_manifests_are_plain_json(recipe, release, tmp_path):
    prepare(recipe, release, tmp_path)
    text = (tmp_path / "train.json").read_text()
    assert str(release) not in text
    row = json.loads(text)["MSP-PODCAST_0001_0000"]
    assert row["wav"] == "{data_root}/Audios/MSP-PODCAST_0001_0000.wav"
