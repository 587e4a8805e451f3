"""RAVDESS: the corpus as published, copies of it, and what is wrong with incomplete ones."""

import json
import logging
import shutil

import numpy as np
import pytest
import soundfile as sf

from speechbrain_merit.data.manifests import load_manifest

LABELS = ["angry", "sad", "happy", "neutral"]
ALL_LABELS = [*LABELS, "calm", "fearful", "disgust", "surprised"]
SPLITS = ("train", "valid", "test")


@pytest.fixture(scope="module")
def recipe(load_recipe):
    return load_recipe("RAVDESS")


@pytest.fixture(scope="module")
def lookalike(tmp_path_factory):
    """A complete corpus by name: 24 actors, 60 files of 0.2 s at 48 kHz each, actor 5's stereo."""
    folder = tmp_path_factory.mktemp("RAVDESS")
    for channels in (1, 2):
        wave = 0.05 * np.random.default_rng(0).standard_normal((9600, channels))
        sf.write(folder / f"{channels}.wav", wave, 48000)
    for actor in range(1, 25):
        inner = folder / f"Actor_{actor:02d}"
        inner.mkdir()
        source = folder / ("2.wav" if actor == 5 else "1.wav")
        for emotion in range(1, 9):
            for intensity in (1,) if emotion == 1 else (1, 2):
                for statement in (1, 2):
                    for repeat in (1, 2):
                        name = f"03-01-{emotion:02d}-{intensity:02d}-{statement:02d}-{repeat:02d}"
                        shutil.copy(source, inner / f"{name}-{actor:02d}.wav")
    return folder


def prepare(recipe, folder, save, labels=LABELS):
    paths = [save / f"{split}.json" for split in SPLITS]
    recipe.prepare_ravdess(folder, *paths, labels)
    return {s: load_manifest(p, labels, {"data_root": str(folder)}) for s, p in zip(SPLITS, paths)}


@pytest.mark.parametrize(
    "labels, sizes", [(LABELS, (448, 112, 112)), (ALL_LABELS, (960, 240, 240))]
)
def test_published_sizes_and_speakers(recipe, lookalike, tmp_path, labels, sizes):
    rows = prepare(recipe, lookalike, tmp_path, labels)
    assert tuple(len(rows[split]) for split in SPLITS) == sizes
    actors = [{int(row["spk_id"]) for row in rows[split].values()} for split in SPLITS]
    assert actors == [set(range(1, 17)), set(range(17, 21)), set(range(21, 25))]
    row = rows["train"]["03-01-05-01-01-01-05"]
    assert (row["emo"], row["spk_id"], row["gender"]) == ("angry", "05", "male")
    assert row["duration"] == 0.2 and sf.info(row["wav"]).channels == 2
    assert {row["emo"] for row in rows["test"].values()} == set(labels)


def test_corpus_inside_its_published_folder_song_files_and_double_copies(
    recipe, lookalike, tmp_path
):
    outer = tmp_path / "data"
    inner = outer / "Audio_Speech_Actors_01-24"
    shutil.copytree(lookalike, inner)
    for name in ("03-02-05-01-01-01-01.wav", "notes.wav"):
        shutil.copy(lookalike / "1.wav", inner / "Actor_01" / name)
    rows = prepare(recipe, outer, tmp_path / "save")
    assert len(rows["train"]) == 448
    assert not any(key.startswith("03-02") for key in rows["train"])
    text = (tmp_path / "save" / "train.json").read_text()
    assert "{data_root}/Audio_Speech_Actors_01-24/Actor_01/" in text
    assert str(tmp_path) not in text
    shutil.copytree(inner, outer, dirs_exist_ok=True)  # some copies hold everything twice
    assert len(prepare(recipe, outer, tmp_path / "save2")["train"]) == 448
    shutil.copy(lookalike / "1.wav", outer / "Actor_02" / "03-01-05-01-01-01-01.wav")
    with pytest.raises(ValueError, match="03-01-05-01-01-01-01.*same utterance"):
        prepare(recipe, outer, tmp_path / "save3")


def test_incomplete_actors_are_named_and_an_empty_split_stops(recipe, lookalike, tmp_path, caplog):
    folder = tmp_path / "data"
    shutil.copytree(lookalike, folder)
    (folder / "Actor_03" / "03-01-05-01-01-01-03.wav").unlink()
    shutil.rmtree(folder / "Actor_18")
    with caplog.at_level(logging.INFO):
        rows = prepare(recipe, folder, tmp_path / "save")
    assert (len(rows["train"]), len(rows["valid"])) == (447, 84)
    assert "03 (59), 18 (0)" in caplog.text
    assert "train: 447 utterances" in caplog.text and "angry 127" in caplog.text
    assert "calm 184" in caplog.text  # left out and counted
    for actor in (17, 19, 20):
        shutil.rmtree(folder / f"Actor_{actor}")
    with pytest.raises(ValueError, match="'valid' is empty"):
        prepare(recipe, folder, tmp_path / "save")


def test_a_foreign_or_missing_folder_says_where_to_get_the_corpus(recipe, tmp_path):
    with pytest.raises(FileNotFoundError, match="data_folder is not set.*zenodo"):
        recipe.prepare_ravdess(None, *[tmp_path / f"{split}.json" for split in SPLITS], LABELS)
    with pytest.raises(FileNotFoundError, match="nowhere.*zenodo.org/records/1188976"):
        prepare(recipe, tmp_path / "nowhere", tmp_path)
    with pytest.raises(FileNotFoundError, match="Actor_01.*zenodo.org/records/1188976"):
        prepare(recipe, tmp_path, tmp_path)
    (tmp_path / "Actor_01").mkdir()
    sf.write(tmp_path / "Actor_01" / "hello.wav", np.ones(100), 16000)
    with pytest.raises(FileNotFoundError, match="03-01-05-01-01-01-01.wav"):
        prepare(recipe, tmp_path, tmp_path)


def test_a_label_that_ravdess_lacks_is_named(recipe, lookalike, tmp_path):
    with pytest.raises(ValueError, match="'bored'.*neutral, calm, happy"):
        prepare(recipe, lookalike, tmp_path, ["angry", "bored"])
    with pytest.raises(ValueError, match="each one once"):
        prepare(recipe, lookalike, tmp_path, ["angry", "angry"])


def test_one_broken_file_of_many_is_left_out(recipe, lookalike, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(lookalike, folder)
    (folder / "Actor_22" / "03-01-04-01-01-01-22.wav").write_bytes(b"broken")
    rows = prepare(recipe, folder, tmp_path / "save")
    assert len(rows["test"]) == 111
    listed = (tmp_path / "save" / "skipped.csv").read_text()
    assert "03-01-04-01-01-01-22.wav,cannot be decoded" in listed
    for path in list((folder / "Actor_22").glob("*.wav"))[:20]:
        path.write_bytes(b"broken")
    with pytest.raises(ValueError, match="test: .*skipped.csv"):
        prepare(recipe, folder, tmp_path / "other")
    assert not list((tmp_path / "other").glob("t*.json"))


def test_skip_prep_touches_nothing(recipe, tmp_path):
    paths = [tmp_path / f"{split}.json" for split in SPLITS]
    recipe.prepare_ravdess(tmp_path / "nowhere", *paths, LABELS, skip_prep=True)
    assert list(tmp_path.iterdir()) == []


def test_the_real_corpus(recipe, shared_data, tmp_path):
    rows = prepare(recipe, shared_data / "speech" / "RAVDESS", tmp_path)
    assert tuple(len(rows[split]) for split in SPLITS) == (448, 112, 112)
    assert not (tmp_path / "skipped.csv").exists()
    seconds = [row["duration"] for row in rows["train"].values()]
    assert 2.5 < min(seconds) and max(seconds) < 6
    assert json.loads((tmp_path / "prepare.json").read_text())["RAVDESS"]["labels"] == LABELS
