"""nEMO: the corpus as published, a copy of it, and what is wrong with incomplete ones."""

import logging
import shutil

import numpy as np
import pytest
import soundfile as sf

from speechbrain_merit.data.manifests import load_manifest

LABELS = ["angry", "sad", "happy", "neutral"]
SPEAKERS = ["EB0", "IC0", "KD0", "KS0", "MK0", "MP0", "SM0", "TP0", "WR0"]
EMOTIONS = ["anger", "sadness", "happiness", "neutral", "fear", "surprised"]
SPLITS = ("train", "valid", "test")


@pytest.fixture(scope="module")
def recipe(load_recipe):
    return load_recipe("nEMO")


@pytest.fixture
def lookalike(tmp_path):
    """As published, with two sentences in place of ninety: ``samples/`` at 24 kHz, a table."""
    folder = tmp_path / "nEMO"
    (folder / "samples").mkdir(parents=True)
    sf.write(tmp_path / "x.wav", 0.1 * np.random.default_rng(0).standard_normal(6000), 24000)
    for speaker in SPEAKERS:
        for emotion in EMOTIONS:
            for sentence in (1, 90):
                name = f"{speaker}_{emotion}_{sentence}.wav"
                shutil.copy(tmp_path / "x.wav", folder / "samples" / name)
    (folder / "data.tsv").write_text("file_id\temotion\n")
    return folder


def prepare(recipe, folder, save, labels=LABELS, **options):
    paths = [save / f"{split}.json" for split in SPLITS]
    recipe.prepare_nemo(folder, *paths, labels, **options)
    return {s: load_manifest(p, labels, {"data_root": str(folder)}) for s, p in zip(SPLITS, paths)}


def speakers(rows):
    return [sorted({row["spk_id"] for row in rows[split].values()}) for split in SPLITS]


def test_speakers_labels_and_what_is_left_out(recipe, lookalike, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        rows = prepare(recipe, lookalike, tmp_path / "save")
    train = ["EB0", "IC0", "KD0", "KS0", "MK0", "TP0"]
    assert speakers(rows) == [train, ["SM0"], ["MP0", "WR0"]]
    assert [len(rows[split]) for split in SPLITS] == [48, 8, 16]
    assert rows["test"]["WR0_sadness_90"]["emo"] == "sad"
    assert "fearful 18, surprised 18" in caplog.text
    six = prepare(recipe, lookalike, tmp_path / "six", [*LABELS, "fearful", "surprised"])
    assert len(six["train"]) == 72 and six["valid"]["SM0_fear_1"]["emo"] == "fearful"


def test_the_folder_may_be_the_corpus_or_its_samples(recipe, lookalike, tmp_path):
    outer = prepare(recipe, lookalike, tmp_path / "a")
    inner = prepare(recipe, lookalike / "samples", tmp_path / "b")
    assert [row["wav"] for row in outer["train"].values()] == [
        row["wav"] for row in inner["train"].values()
    ]
    assert '"{data_root}/samples/' in (tmp_path / "a" / "train.json").read_text()


def test_every_speaker_is_tested_on_in_one_fold(recipe, lookalike, tmp_path):
    tested = []
    for fold in range(1, 6):
        train, valid, test = speakers(prepare(recipe, lookalike, tmp_path / str(fold), fold=fold))
        assert sorted(train + valid + test) == SPEAKERS
        tested += test
    assert sorted(tested) == SPEAKERS
    with pytest.raises(ValueError, match="fold: 6 is none of 1 to 5"):
        prepare(recipe, lookalike, tmp_path / "x", fold=6)


def test_labels_can_be_merged_and_a_foreign_one_is_named(recipe, lookalike, tmp_path):
    rows = prepare(recipe, lookalike, tmp_path, merge_labels={"fearful": "sad"})
    assert sum(row["emo"] == "sad" for row in rows["train"].values()) == 24
    with pytest.raises(ValueError, match="'bored'.*surprised"):
        prepare(recipe, lookalike, tmp_path, ["sad", "bored"])
    with pytest.raises(ValueError, match="fearful is to count as bored"):
        prepare(recipe, lookalike, tmp_path, merge_labels={"fearful": "bored"})


def test_foreign_names_are_counted_and_a_foreign_speaker_stops(recipe, lookalike, tmp_path, caplog):
    shutil.copy(tmp_path / "x.wav", lookalike / "samples" / "SM0_joy_1.wav")
    rows = prepare(recipe, lookalike, tmp_path / "save")
    assert len(rows["valid"]) == 8
    assert "1 recordings passed over" in caplog.text and "SM0_joy_1.wav" in caplog.text
    shutil.copy(tmp_path / "x.wav", lookalike / "samples" / "XX0_anger_1.wav")
    with pytest.raises(ValueError, match="XX0_anger_1 is by speaker XX0"):
        prepare(recipe, lookalike, tmp_path / "save")


def test_a_foreign_or_missing_folder_says_where_to_get_the_corpus(recipe, tmp_path):
    with pytest.raises(FileNotFoundError, match="not set.*github.com/amu-cai/nEMO"):
        prepare(recipe, None, tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder.*nowhere"):
        prepare(recipe, tmp_path / "nowhere", tmp_path)
    with pytest.raises(FileNotFoundError, match="SM0_anger_1.wav"):
        prepare(recipe, tmp_path, tmp_path)


def test_a_bad_file_is_left_out_and_listed(recipe, lookalike, tmp_path):
    (lookalike / "samples" / "EB0_anger_1.wav").write_bytes(b"")
    sf.write(lookalike / "samples" / "IC0_anger_1.wav", np.zeros(0), 24000)
    rows = prepare(recipe, lookalike, tmp_path / "save")
    assert len(rows["train"]) == 46
    listed = (tmp_path / "save" / "skipped.csv").read_text()
    assert "EB0_anger_1.wav,cannot be decoded" in listed and "IC0_anger_1.wav,empty" in listed


def test_the_real_corpus(recipe, shared_data, tmp_path):
    rows = prepare(recipe, shared_data / "speech" / "nEMO", tmp_path)
    assert [len(rows[split]) for split in SPLITS] == [720, 120, 199]
    assert not (tmp_path / "skipped.csv").exists()
