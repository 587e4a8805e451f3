"""Published noise sets: each part its own recordings, and nobody who speaks."""

import logging
import shutil

import numpy as np
import pytest
import soundfile as sf

from speechbrain_merit.data import noise_folders as recipe
from speechbrain_merit.data.manifests import load_manifest

PARTS = ("train", "valid", "test")


@pytest.fixture(scope="module")
def wav(tmp_path_factory):
    path = tmp_path_factory.mktemp("wav") / "x.wav"
    sf.write(path, 0.1 * np.random.default_rng(0).standard_normal(1600), 8000)
    return path


def fill(root, names, wav):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(wav, root / f"{name}.wav")


def musan(root, wav):
    noises = [f"noise/free-sound/noise-free-sound-{number:04d}" for number in range(60)]
    others = ["music/fma/music-fma-0000", "speech/librivox/speech-librivox-0000"]
    fill(root, noises + others, wav)
    (root / "noise" / "free-sound" / "LICENSE").write_text("noise-free-sound-0000 …")


def esc50(root, wav):
    kinds = {0: "dog", 20: "crying_baby", 26: "laughing", 40: "helicopter"}
    names = [f"{fold}-100032-A-{target}" for fold in range(1, 6) for target in kinds]
    fill(root, [f"audio/{name}" for name in names], wav)
    (root / "meta").mkdir()
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    lines += [f"1-100032-A-{t}.wav,1,{t},{kind},True,100032,A" for t, kind in kinds.items()]
    (root / "meta" / "esc50.csv").write_text("\n".join(lines))


def demand(root, wav):
    places = "DKITCHEN DWASHING DLIVING OMEETING TBUS TCAR NPARK".split()
    fill(root, [f"{place}/ch{c:02d}" for place in places for c in (1, 2, 16)], wav)


def wham(root, wav):
    fill(root, ["tr/a", "tr/b", "cv/c", "tt/d"], wav)
    (root / "metadata").mkdir()


def dns(root, wav):
    clips = [f"door_Freesound_validated_{n}_{take}" for n in range(30) for take in range(3)]
    speech = ["read_speech/book_1", "impulse_responses/room"]
    fill(root / "datasets", [f"noise/{name}" for name in clips] + speech, wav)


def fsd50k(root, wav):
    dev = {
        1: "Bark,Dog,Animal",
        2: "Speech,Human_voice",
        3: "Rain,Water",
        4: "Laughter,Human_voice",
    }
    tables = root / "FSD50K.ground_truth"
    tables.mkdir(parents=True)
    split = {1: "train", 2: "train", 3: "val", 4: "val"}
    lines = [f'{name},"{labels}","/m/0",{split[name]}' for name, labels in dev.items()]
    (tables / "dev.csv").write_text("\n".join(["fname,labels,mids,split", *lines]))
    (tables / "eval.csv").write_text('fname,labels,mids\n5,"Train,Vehicle","/m/0"\n')
    fill(root, [f"FSD50K.dev_audio/{name}" for name in dev] + ["FSD50K.eval_audio/5"], wav)


SETS = {
    "MUSAN": musan,
    "ESC-50": esc50,
    "DEMAND": demand,
    "WHAM!": wham,
    "DNS-Challenge": dns,
    "FSD50K": fsd50k,
}


@pytest.fixture
def prepare(tmp_path, wav):
    """Builds a set, prepares it for all parts, and gives {part: rows}."""

    def run(name):
        root = tmp_path / "set"
        SETS[name](root, wav)
        made = recipe.prepare_noise(root, root, {"own": root}, tmp_path / "save")
        paths = (made["train"], made["valid"], made["test"]["own"])
        return {part: load_manifest(path) for part, path in zip(PARTS, paths)}

    return run


def files(rows):
    return {row["wav"].removeprefix("{noise_root}/").removesuffix(".wav") for row in rows.values()}


def kinds(rows):
    return {row["noise_type"] for row in rows.values()}


@pytest.mark.parametrize("name", SETS)
def test_no_recording_is_in_two_parts(prepare, caplog, name):
    with caplog.at_level(logging.INFO):
        rows = prepare(name)
    taken = [files(rows[part]) for part in PARTS]
    assert all(taken) and sum(map(len, taken)) == len(set.union(*taken))
    assert f"is {name}" in caplog.text and "same recordings" not in caplog.text


def test_musan_is_its_noise_alone(prepare):
    rows = prepare("MUSAN")
    taken = [files(rows[part]) for part in PARTS]
    assert len(set.union(*taken)) == 60
    assert all(name.startswith("noise/") for part in taken for name in part)
    assert len(taken[0]) > 40


def test_esc50_goes_by_its_folds_and_leaves_voices_out(prepare):
    rows = prepare("ESC-50")
    folds = [{name.split("/")[1][0] for name in files(rows[part])} for part in PARTS]
    assert folds == [{"1", "2", "3"}, {"4"}, {"5"}]
    assert all(kinds(rows[part]) == {"dog", "helicopter"} for part in PARTS)


def test_demand_goes_by_place_one_channel_each_without_the_meeting(prepare):
    rows = prepare("DEMAND")
    assert files(rows["train"]) == {"DKITCHEN/ch01", "TCAR/ch01"}
    assert files(rows["valid"]) == {"DWASHING/ch01", "NPARK/ch01"}
    assert files(rows["test"]) == {"DLIVING/ch01", "TBUS/ch01"}
    assert kinds(rows["test"]) == {"DLIVING", "TBUS"}


def test_wham_goes_by_its_folders(prepare):
    rows = prepare("WHAM!")
    assert [files(rows[part]) for part in PARTS] == [{"tr/a", "tr/b"}, {"cv/c"}, {"tt/d"}]


def test_clips_of_one_source_of_dns_stay_together_without_speech(prepare):
    rows = prepare("DNS-Challenge")
    taken = [files(rows[part]) for part in PARTS]
    assert len(set.union(*taken)) == 90
    sources = [{name.rpartition("_")[0] for name in part} for part in taken]
    assert sum(map(len, sources)) == len(set.union(*sources)) == 30
    assert all("datasets/noise/" in name for part in taken for name in part)


def test_fsd50k_goes_by_its_tables_without_voices(prepare):
    rows = prepare("FSD50K")
    assert [files(rows[part]) for part in PARTS] == [
        {"FSD50K.dev_audio/1"},
        {"FSD50K.dev_audio/3"},
        {"FSD50K.eval_audio/5"},
    ]
    assert [kinds(rows[part]) for part in PARTS] == [{"Bark"}, {"Rain"}, {"Train"}]


def test_a_folder_inside_a_set_is_taken_whole(tmp_path, wav):
    musan(tmp_path / "musan", wav)
    folder = tmp_path / "musan" / "noise"
    made = recipe.prepare_noise(tmp_path / "musan", folder, {}, tmp_path / "save")
    assert len(load_manifest(made["valid"])) == 60


def test_a_part_that_is_not_there_is_named(tmp_path, wav):
    wham(tmp_path / "wham_noise", wav)
    (tmp_path / "wham_noise" / "cv" / "c.wav").unlink()
    with pytest.raises(ValueError, match="noise_valid_folder: .*as WHAM!.*valid holds no audio"):
        recipe.prepare_noise(*[tmp_path / "wham_noise"] * 2, {}, tmp_path / "save")
    demand(tmp_path / "demand", wav)
    shutil.rmtree(tmp_path / "demand" / "DLIVING")
    shutil.rmtree(tmp_path / "demand" / "TBUS")
    with pytest.raises(ValueError, match=r"noise_test_folders\[x\]: .*as DEMAND.*test holds no"):
        recipe.prepare_noise(*[tmp_path / "demand"] * 2, {"x": tmp_path / "demand"}, tmp_path / "s")


def test_listed_recordings_that_are_missing_are_named(tmp_path, wav):
    fsd50k(tmp_path / "fsd", wav)
    (tmp_path / "fsd" / "FSD50K.dev_audio" / "3.wav").unlink()
    with pytest.raises(ValueError, match="valid: 1 of 1.*skipped.csv"):
        recipe.prepare_noise(*[tmp_path / "fsd"] * 2, {}, tmp_path / "save")
    assert (
        "3.wav,cannot be decoded: there is no such file"
        in (tmp_path / "save" / "skipped.csv").read_text()
    )
