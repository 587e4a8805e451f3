"""CREMA-D, EmoDB, EmoTale and IEMOCAP, in the layouts in which their owners publish them."""

import csv
import inspect
import logging
import shutil
from collections import Counter

import numpy as np
import pytest
import soundfile as sf

from speechbrain_merit.data.listing import read_table
from speechbrain_merit.data.manifests import load_manifest
from speechbrain_merit.data.splits import cross_validate
from speechbrain_merit.data.synthetic import prepare_minimerit

LABELS = ["angry", "sad", "happy", "neutral"]
SPLITS = ("train", "valid", "test")
CORPORA = ["RAVDESS", "nEMO", "CREMA-D", "EmoDB", "EmoTale", "IEMOCAP", "EmotionTTS"]
FEW = ["EMOVO", "TESS", "SAVEE", "JL-Corpus"]  # speakers: all train, unless a fold is asked for
SHARED = ["ESD", "MELD"]  # speakers of the splits as published


@pytest.fixture(scope="module")
def wav(tmp_path_factory):
    """A fifth of a second of noise, for every utterance there is."""
    path = tmp_path_factory.mktemp("wav") / "x.wav"
    sf.write(path, 0.1 * np.random.default_rng(0).standard_normal(3200), 16000)
    return path


def fill(folder, names, wav):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copy(wav, folder / f"{name}.wav")


@pytest.fixture
def prepare(load_recipe, tmp_path):
    """Prepares a corpus and gives {split: rows}."""

    def run(corpus, folder, labels=LABELS, **options):
        save = tmp_path / "save"
        paths = [save / f"{split}.json" for split in SPLITS]
        snake = corpus.lower().replace("-", "_")
        getattr(load_recipe(corpus), f"prepare_{snake}")(folder, *paths, labels, **options)
        root = {"data_root": str(folder)}
        return {s: load_manifest(p, labels, root) for s, p in zip(SPLITS, paths)}

    return run


def speakers(rows):
    return [sorted({row["spk_id"] for row in rows[split].values()}) for split in SPLITS]


def sizes(rows):
    return [len(rows[split]) for split in SPLITS]


@pytest.mark.parametrize("corpus", CORPORA)
def test_folds_keep_speakers_apart_and_test_each_once(load_recipe, corpus):
    module = load_recipe(corpus)
    folds = getattr(module, "FOLDS", getattr(module, "SESSIONS", None))
    everyone = sorted(speaker for group in module.SPLITS.values() for speaker in group)
    assert len(set(everyone)) == len(everyone)
    tested = []
    for fold in range(1, 6):
        splits = cross_validate(module.SPLITS, fold, folds)
        assert sorted(s for group in splits.values() for s in group) == everyone
        assert splits["valid"] and splits["test"]
        tested += splits["test"]
    assert sorted(tested) == everyone


@pytest.mark.parametrize("corpus", CORPORA + FEW + SHARED)
def test_what_is_missing_or_unknown_is_named(prepare, corpus, tmp_path):
    with pytest.raises(FileNotFoundError, match="data_folder is not set.*http"):
        prepare(corpus, None)
    with pytest.raises(FileNotFoundError, match="there is no folder.*nowhere.*http"):
        prepare(corpus, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="data_folder: .*empty.*http"):
        prepare(corpus, tmp_path / "empty")
    with pytest.raises(ValueError, match=f"labels: {corpus} has no 'sleepy'; it has .*angry"):
        prepare(corpus, tmp_path, ["angry", "sleepy"])


@pytest.mark.parametrize(
    "corpus", [*CORPORA, *FEW, *SHARED, "MSP-Podcast", "MiniMERIT", "TEMPLATE"]
)
def test_every_preparation_takes_merge_labels(load_recipe, corpus):
    snake = corpus.lower().replace("-", "_")
    prepare = getattr(load_recipe(corpus), f"prepare_{snake}")
    assert "merge_labels" in inspect.signature(prepare).parameters


def test_minimerit_merges_labels(minimerit, tmp_path):
    paths = [tmp_path / f"{split}.json" for split in SPLITS]
    merge = {"angry": "loud", "happy": "loud"}
    prepare_minimerit(minimerit / "speech", *paths, ["loud", "sad"], merge_labels=merge)
    counts = Counter(row["emo"] for row in load_manifest(paths[2]).values())
    assert counts == {"loud": 48, "sad": 24}


# ---- CREMA-D


@pytest.fixture
def crema_d(tmp_path, wav):
    folder = tmp_path / "CREMA-D"
    emotions = ["ANG_HI", "DIS_XX", "FEA_LO", "HAP_MD", "NEU_XX", "SAD_XX"]
    names = [f"{actor}_IEO_{emotion}" for actor in range(1001, 1092) for emotion in emotions]
    names[names.index("1040_IEO_SAD_XX")] = "1040_ITH_SAD_X"  # as published
    fill(folder / "AudioWAV", [*names, "1064_IEO_DIS_MD"], wav)
    table = 'ActorID,Age,Sex,Race\r\n1001,51,"Male","One, or other"\r\n1078,21,Female,\r\n'
    (folder / "VideoDemographics.csv").write_bytes(table.encode("utf-8-sig"))
    return folder


def test_crema_d(prepare, crema_d, caplog):
    with caplog.at_level(logging.INFO):
        rows = prepare("CREMA-D", crema_d)
    assert sizes(rows) == [4 * 64, 4 * 13, 4 * 14]
    assert [(s[0], s[-1]) for s in speakers(rows)] == [
        ("1001", "1064"),
        ("1065", "1077"),
        ("1078", "1091"),
    ]
    assert rows["train"]["1040_ITH_SAD_X"]["emo"] == "sad"
    assert rows["train"]["1001_IEO_HAP_MD"]["gender"] == "male"
    assert rows["test"]["1078_IEO_ANG_HI"]["gender"] == "female"
    assert rows["test"]["1091_IEO_ANG_HI"]["gender"] == "unknown"  # not in the table
    assert "disgust 91, fearful 91" in caplog.text  # 1064_IEO_DIS_MD is none of them
    inner = prepare("CREMA-D", crema_d / "AudioWAV")
    assert sizes(inner) == sizes(rows)
    assert inner["train"]["1001_IEO_HAP_MD"]["gender"] == "male"


def test_crema_d_cloned_without_git_lfs_says_what_to_do(prepare, crema_d, tmp_path):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 72884\n"
    for path in (crema_d / "AudioWAV").glob("*.wav"):
        path.write_text(pointer)
    with pytest.raises(ValueError, match="More than 5%.*skipped.csv"):
        prepare("CREMA-D", crema_d)
    assert "run git lfs pull" in (tmp_path / "save" / "skipped.csv").read_text()


# ---- EmoDB


@pytest.fixture
def emodb(tmp_path, wav):
    folder = tmp_path / "EmoDB"
    voices = ["03", "08", "09", "10", "11", "12", "13", "14", "15", "16"]
    names = [f"{voice}a01{emotion}" for voice in voices for emotion in "WLEAFTN"]
    fill(folder / "wav", [*names, "03b02Wa", "03b02Wb"], wav)
    (folder / "lablaut").mkdir()
    return folder


def test_emodb(prepare, emodb, caplog):
    with caplog.at_level(logging.INFO):
        rows = prepare("EmoDB", emodb)
    assert speakers(rows) == [["03", "08", "09", "10", "11", "13"], ["12", "14"], ["15", "16"]]
    assert sizes(rows) == [4 * 6 + 2, 8, 8]
    german = {"W": "angry", "T": "sad", "F": "happy", "N": "neutral"}
    assert {k[5]: row["emo"] for k, row in rows["test"].items()} == german
    assert rows["test"]["15a01W"]["gender"] == "male"
    assert rows["test"]["16a01W"]["gender"] == "female"
    assert "bored 10, disgust 10, fearful 10" in caplog.text
    seven = [*LABELS, "bored", "disgust", "fearful"]
    assert sizes(prepare("EmoDB", emodb / "wav", seven)) == [7 * 6 + 2, 14, 14]


def test_emodb_by_fold_with_merged_labels(prepare, emodb):
    rows = prepare("EmoDB", emodb, fold=1, merge_labels={"bored": "sad"})
    assert speakers(rows)[1:] == [["15", "16"], ["03", "08"]]
    assert sum(row["emo"] == "sad" for row in rows["test"].values()) == 4


def test_classes_of_ones_own_and_labels_in_capital_letters(prepare, emodb):
    merge = {"Angry": "Bad", "sad": "bad", "disgust": "bad", "happy": "good"}
    rows = prepare("EmoDB", emodb, ["Bad", "good"], merge_labels=merge)
    assert sorted(row["emo"] for row in rows["test"].values()) == ["Bad"] * 6 + ["good"] * 2
    rows = prepare("EmoDB", emodb, ["Angry", "SAD"])
    assert {row["emo"] for row in rows["test"].values()} == {"Angry", "SAD"}
    with pytest.raises(ValueError, match="merge_labels: bored is to count as dull, which is none"):
        prepare("EmoDB", emodb, merge_labels={"bored": "dull"})


def test_emodb_with_foreign_double_and_bad_files(prepare, emodb, tmp_path, wav, caplog):
    shutil.copy(wav, emodb / "wav" / "03a01X.wav")
    prepare("EmoDB", emodb)
    assert "1 recordings passed over" in caplog.text and "03a01X.wav" in caplog.text
    shutil.copy(wav, emodb / "wav" / "99a01W.wav")
    with pytest.raises(ValueError, match="99a01W is by speaker 99"):
        prepare("EmoDB", emodb)
    (emodb / "wav" / "99a01W.wav").unlink()
    (emodb / "wav" / "03a01W.wav").write_bytes(wav.read_bytes()[:2000])  # truncated
    assert sizes(prepare("EmoDB", emodb)) == [25, 8, 8]
    assert "03a01W.wav,truncated" in (tmp_path / "save" / "skipped.csv").read_text()
    (emodb / "wav" / "more").mkdir()
    shutil.copy(wav, emodb / "wav" / "more" / "08a01W.wav")
    with pytest.raises(ValueError, match="08a01W.wav.*same utterance"):
        prepare("EmoDB", emodb)


# ---- EmoTale


def emotale_rows():
    voices = ["001"] + [f"{number:03d}" for number in range(3, 20)]
    danish = [f"DK_{voice}_{emotion}_1" for voice in voices for emotion in "AHSNB"]
    english = [f"EN_{voice}_{emotion}_5" for voice in voices[:12] for emotion in "AHSNB"]
    return [
        {"file": f"{name}.wav", "a1_A": "5.0", "a1_V": "1.5", "a1_cat": name[7], "a2_A": "4.0"}
        | {"a2_V": "2.5", "a2_cat": "N", "gt_emotion": name[7]}
        for name in danish + english
    ]


def write_annotations(folder, rows, encoding="utf-8", delimiter=",", end="\n"):
    with open(folder / "annotations.csv", "w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, rows[0], delimiter=delimiter, lineterminator=end)
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def emotale(tmp_path, wav):
    folder = tmp_path / "EmoTale"
    rows = emotale_rows()
    fill(folder / "wav", [row["file"][:-4] for row in rows], wav)
    write_annotations(folder, rows)
    return folder


def test_emotale(prepare, emotale, tmp_path):
    rows = prepare("EmoTale", emotale)
    assert [len(s) for s in speakers(rows)] == [11, 3, 4]
    assert sizes(rows) == [4 * 22, 4 * 4, 4 * 4]  # both languages of a speaker on one side
    row = rows["train"]["EN_001_H_5"]
    assert (row["emo"], row["language"], row["spk_id"]) == ("happy", "English", "001")
    assert (row["arousal"], row["valence"]) == (0.875, 0.25)  # (4.5 − 1) / 4, (2 − 1) / 4
    assert (row["raters"], row["agreement"]) == (2, 0.5)
    assert not (tmp_path / "save" / "unmatched.csv").exists()


@pytest.mark.parametrize(
    "form",
    [
        {"encoding": "utf-8-sig", "end": "\r\n"},
        {"encoding": "utf-16", "delimiter": "\t"},
        {"delimiter": ";", "end": "\r"},
        {"encoding": "cp1252"},
    ],
)
def test_emotale_annotations_in_any_form(prepare, emotale, form):
    rows = emotale_rows()
    rows[0]["note"] = 'rør, "ved"'
    if form.get("delimiter") == ";":
        rows[0]["a1_A"] = "5,0"  # as spreadsheets of many countries write it
    write_annotations(emotale, [{"note": "", **row} for row in rows], **form)
    assert prepare("EmoTale", emotale)["train"]["DK_001_A_1"]["arousal"] == 0.875


@pytest.mark.parametrize(
    "change, message",
    [
        ({"file": "XX_001_A_1.wav"}, "annotations.csv, line 3: 'XX_001_A_1.wav' is not named"),
        ({"file": "DK_001_A_1.wav"}, "line 3: DK_001_A_1 is there a second time, and otherwise"),
        ({"gt_emotion": "S"}, "line 3: DK_001_H_1 has the emotion 'S'"),
        ({"a2_V": "high"}, "line 3: a2_V is 'high', not a number"),
    ],
)
def test_a_wrong_row_of_emotale_is_named(prepare, emotale, change, message):
    rows = emotale_rows()
    rows[1].update(change)
    write_annotations(emotale, rows)
    with pytest.raises(ValueError, match=message):
        prepare("EmoTale", emotale)


def test_ratings_of_emotale_that_nobody_gave(prepare, emotale, caplog):
    rows = emotale_rows()
    rows[0].update(a2_A="6", a1_V="nan", a2_V="", a2_cat="NA")  # of DK_001_A_1
    write_annotations(emotale, [*rows, rows[0]])  # and the same row again
    row = prepare("EmoTale", emotale)["train"]["DK_001_A_1"]
    assert row["arousal"] == 1.0 and "valence" not in row  # the first rater's alone
    assert (row["raters"], row["agreement"]) == (1, 1.0)
    assert "EmoTale: 1 of 598 ratings lie outside 1 … 5" in caplog.text and "line 2" in caplog.text


def test_emotale_lists_what_table_and_disk_do_not_share(prepare, emotale, tmp_path):
    (emotale / "wav" / "DK_001_A_1.wav").unlink()
    write_annotations(emotale, emotale_rows()[:-1])
    rows = prepare("EmoTale", emotale)
    listed = (tmp_path / "save" / "unmatched.csv").read_text()
    assert "DK_001_A_1,in annotations.csv" in listed.replace('"', "")
    assert "EN_013_B_5.wav" in listed
    assert "DK_001_A_1" not in rows["train"]
    (emotale / "annotations.csv").unlink()
    with pytest.raises(FileNotFoundError, match="annotations.csv"):
        prepare("EmoTale", emotale)


def test_without_labels_every_utterance_is_taken_for_its_attributes(prepare, emotale):
    rows = prepare("EmoTale", emotale, labels=[])
    assert sizes(rows) == [5 * 22, 5 * 4, 5 * 4]
    assert {row["emo"] for row in rows["test"].values()} == {*LABELS, "bored"}
    assert all("arousal" in row for row in rows["train"].values())


def test_the_real_emotale(prepare, shared_data):
    rows = prepare("EmoTale", shared_data / "speech" / "EmoTale")
    assert sizes(rows) == [440, 80, 120]
    assert all(0 <= row["dominance"] <= 1 for split in SPLITS for row in rows[split].values())


# ---- IEMOCAP

TURNS = [("F000", "neu"), ("F001", "exc"), ("F002", "hap"), ("F003", "xxx")]
TURNS += [("M000", "ang"), ("M001", "sad"), ("M002", "fru"), ("M003", "oth")]


def dialogue(name, end="\n"):
    lines = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
    for turn, emotion in TURNS:
        lines.append(f"[6.2901 - 8.2357]\t{name}_{turn}\t{emotion}\t[2.5000, 5.0000, 1.0000]")
        lines += ["C-E2:\tNeutral;\t()", "A-E3:\tval 3; act 2; dom  2;\t(na\xefve)", ""]
    return end.join(lines)


@pytest.fixture
def iemocap(tmp_path, wav):
    release = tmp_path / "IEMOCAP_full_release"
    for session in range(1, 6):
        folder = release / f"Session{session}"
        labels = folder / "dialog" / "EmoEvaluation"
        (labels / "Categorical").mkdir(parents=True)
        (labels / "Categorical" / "Ses01F_impro01_e2_cat.txt").write_text("Ses01F :Neutral; ()\n")
        for number, name in enumerate(("F_impro01", "M_script01_1b")):
            name = f"Ses0{session}{name}"
            text = dialogue(name, "\r\n" if number else "\n")
            (labels / f"{name}.txt").write_bytes(text.encode("cp1252"))
            (labels / f"._{name}.txt").write_bytes(b"\x00\x05\x16\x07")  # macOS leaves these
            fill(folder / "sentences" / "wav" / name, [f"{name}_{turn}" for turn, _ in TURNS], wav)
    return release


def test_iemocap_leaves_one_session_out(prepare, iemocap, caplog):
    with caplog.at_level(logging.INFO):
        rows = prepare("IEMOCAP", iemocap)
    assert speakers(rows)[1:] == [["Ses04F", "Ses04M"], ["Ses05F", "Ses05M"]]
    assert sizes(rows) == [3 * 8, 8, 8]
    for left_out in ("excited 10", "frustrated 10", "no agreement 10", "other 10"):
        assert left_out in caplog.text
    row = rows["train"]["Ses01M_script01_1b_F000"]  # the woman, while the man wore the markers
    assert (row["spk_id"], row["gender"], row["emo"]) == ("Ses01F", "female", "neutral")
    assert (row["valence"], row["arousal"], row["dominance"]) == (0.375, 1.0, 0.0)
    merged = prepare("IEMOCAP", iemocap.parent, merge_labels={"excited": "happy"}, fold=2)
    assert speakers(merged)[1:] == [["Ses01F", "Ses01M"], ["Ses02F", "Ses02M"]]
    assert sizes(merged) == [30, 10, 10]


def test_iemocap_names_what_is_missing_or_misnamed(prepare, iemocap, tmp_path):
    turn = iemocap / "Session5" / "sentences" / "wav" / "Ses05F_impro01" / "Ses05F_impro01_M000.wav"
    turn.rename(turn.with_name("Ses05F_impro1_M000.wav"))
    with pytest.raises(ValueError, match="test: 1 of 8.*skipped.csv"):
        prepare("IEMOCAP", iemocap)
    assert (
        "Ses05F_impro01_M000.wav,cannot be decoded: there is no such file"
        in (tmp_path / "save" / "skipped.csv").read_text()
    )
    unmatched = (tmp_path / "save" / "unmatched.csv").read_text()
    assert "Ses05F_impro01_M000," in unmatched and "Ses05F_impro1_M000.wav" in unmatched
    shutil.rmtree(iemocap / "Session4")
    with pytest.raises(ValueError, match="the split 'valid' is empty"):
        prepare("IEMOCAP", iemocap)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("\tneu\t", "\tnue\t", "impro01.txt, line 3: the emotion is 'nue', none of ang"),
        ("[2.5000,", "[", "impro01.txt, line 3: not a turn such as"),
        ("[2.5000,", "[high,", "line 3: valence is 'high', not a number"),
        ("_F001", "_F000", "line 7: Ses01F_impro01_F000 is there a second time"),
        ("Ses01F_impro01_F000", "a.b/c", "line 3: not a turn"),
    ],
)
def test_a_wrong_line_of_iemocap_is_named(prepare, iemocap, old, new, message):
    path = iemocap / "Session1" / "dialog" / "EmoEvaluation" / "Ses01F_impro01.txt"
    path.write_text(dialogue("Ses01F_impro01").replace(old, new))
    with pytest.raises(ValueError, match=message):
        prepare("IEMOCAP", iemocap)


@pytest.mark.parametrize("asked", [True, False])
def test_ratings_of_iemocap_outside_its_scale_are_none(prepare, iemocap, caplog, asked):
    """Seven turns of the corpus as published have some, such as 0.5 where raters gave 1 to 5."""
    text = dialogue("Ses01F_impro01").split("[2.5000, 5.0000, 1.0000]")
    ratings = ["[0.5000, 5.5000, 0.5000]"] * 2 + ["[2.5000, 5.0000, 0.5000]"] * 3
    text = "".join(a + b for a, b in zip(text, [*ratings, *["[2.5, 5.0, 1.0]"] * 3, ""]))
    path = iemocap / "Session1" / "dialog" / "EmoEvaluation" / "Ses01F_impro01.txt"
    path.write_text(text)
    rows = prepare("IEMOCAP", iemocap, labels=LABELS if asked else [])["train"]
    row = rows["Ses01F_impro01_F000"]
    assert row["emo"] == "neutral" and not {"arousal", "valence", "dominance"} & set(row)
    row = rows["Ses01F_impro01_F002"]
    assert (row["valence"], row["arousal"]) == (0.375, 1.0) and "dominance" not in row
    assert rows["Ses01F_impro01_M001"]["dominance"] == 0.0
    assert "IEMOCAP: 9 of 240 ratings lie outside 1 … 5 and count as not given" in caplog.text
    assert "0.5 (" in caplog.text and "line 3: valence" in caplog.text


def test_a_release_of_iemocap_on_another_scale_is_refused(prepare, iemocap):
    for path in iemocap.glob("Session*/dialog/EmoEvaluation/Ses*.txt"):
        path.write_text(path.read_text("cp1252").replace("[2.5000,", "[25,"))
    with pytest.raises(ValueError, match="IEMOCAP: 80 of 240 ratings lie outside 1 … 5"):
        prepare("IEMOCAP", iemocap)


# ---- Tables of labels


def test_a_table_without_a_column_or_with_a_short_row_is_named(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("file,emotion\na.wav,sad\n\nb.wav\n")
    with pytest.raises(ValueError, match=r"labels.csv, line 4: 1 fields, but 2 columns: b.wav"):
        read_table(path, ["file"])
    with pytest.raises(ValueError, match="no column speaker; it has file, emotion"):
        read_table(path, ["file", "speaker"])
    path.write_text("\n")
    with pytest.raises(ValueError, match="labels.csv is empty"):
        read_table(path, ["file"])
    with pytest.raises(FileNotFoundError, match="nothing.csv"):
        read_table(tmp_path / "nothing.csv", ["file"])


def test_quotes_line_ends_and_marks_do_not_matter(tmp_path):
    rows = [{"line": n, "file": f"ø{n}.wav", "text": 'one, "two"; three'} for n in (2, 3)]
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252"):
        for end in ("\n", "\r\n", "\r"):
            for mark in (",", ";", "\t"):
                cells = [f'{row["file"]}{mark}"one, ""two""; three"' for row in rows]
                lines = [f"file{mark} text", *cells]
                path = tmp_path / "t.csv"
                path.write_bytes(end.join(lines).encode(encoding))
                assert read_table(path, ["file", "text"]) == rows
