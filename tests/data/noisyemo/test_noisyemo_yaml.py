"""The YAMLs of benchmarks: what cannot be is refused, and published names are understood."""

import pytest

from speechbrain_merit.data.noisyemo.listing import utterances
from speechbrain_merit.data.noisyemo.settings import read_settings
from speechbrain_merit.errors import PreparationError, SettingsError


@pytest.mark.parametrize(
    "text, words",
    [
        ("[]", "names no corpus"),
        ("corpus: A\nemotions: {a: b}\nfile: x", "file, which is none of"),
        ("corpus: A\nemotions: {a: b}\nfiles: '('", "no regular expression"),
        ("corpus: A\nemotions: {a: b}\nfiles: 'x'", "no groups"),
        ("corpus: A\nemotions: {a: b}", "neither by `files`"),
        ("corpus: A\nemotions: {a: b}\nrecipe: A\nsnrs: [3]", "multiples of 5"),
        ("corpus: A\nemotions: {a: b}\nrecipe: A\nnoises: [rain]", "rain, which is none"),
        ("corpus: A\nemotions: {a: b}\nrecipe: A\ndistortions: [mp3]", "mp3, which is none"),
        ("corpus: A\nemotions: {a: b}\nrecipe: A\nfolders: {pink: {folder: x}}", "named pink"),
        ("corpus: [", "cannot be read"),
        ("corpus: [A]\nemotions: {a: b}\nrecipe: A", "corpus is \\['A'\\]: give a text"),
        ("corpus: A\nemotions: [a, b]\nrecipe: A", "emotions is .*give a mapping"),
        ("corpus: A\nemotions: {a: b}\nfiles: 5", "files is 5: give a text"),
        ("corpus: A\nemotions: {a: b}\nrecipe: A\nsnrs: 5", "snrs is 5: give a list"),
        ("corpus: A\nemotions: {a: b}\nrecipe: A\ntest: 17", "test is 17: give a list"),
        ("corpus: A\nemotions: {a: b}\nrecipe: A\nutterances: all", "utterances .*a number"),
        ("corpus: A\nemotions: {a: b}\nrecipe: A\nfolders: {street: /x}", "street: '/x': give"),
    ],
)
def test_a_yaml_that_cannot_be_is_refused_with_the_key(tmp_path, text, words):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=words):
        read_settings(path, data_folder="somewhere")


@pytest.mark.parametrize(
    "name, recipe",
    [("ravdess", "RAVDESS"), ("crema_d", "CREMA-D"), ("emodb", "EmoDB"), ("nemo", "nEMO")],
)
def test_the_speakers_of_a_yaml_are_those_of_its_recipe(name, recipe, repo_root, load_recipe):
    path = repo_root / "recipes" / "NoisyEmo" / f"{name}.yaml"
    settings, splits = read_settings(path, data_folder="x"), load_recipe(recipe).SPLITS
    for split in ("valid", "test"):
        assert sorted(map(str, getattr(settings, split))) == sorted(map(str, splits[split]))


@pytest.mark.parametrize("name", ["minimerit", "ravdess", "crema_d", "emodb", "emovo", "nemo"])
def test_the_names_of_published_files_are_understood(name, repo_root, tmp_path):
    examples = {
        "minimerit": ["45_sad_00.wav", "41_sad_00.wav"],
        "ravdess": ["03-01-04-01-02-01-21.wav", "03-01-04-02-01-02-17.wav"],
        "crema_d": ["1091_IEO_SAD_HI.wav", "1070_WSI_SAD_XX.wav"],
        "emodb": ["16a01Tb.wav", "14b10Ta.wav"],
        "emovo": ["tri-f3-b1.wav", "tri-m2-d2.wav"],
        "nemo": ["WR0_sadness_12.wav", "SM0_sadness_1.wav"],
    }[name]
    path = repo_root / "recipes" / "NoisyEmo" / f"{name}.yaml"
    settings = read_settings(path, data_folder=str(tmp_path))
    settings = settings._replace(utterances=None, synthesised=False)
    for number, file in enumerate([*examples, "03-02-04-01-02-01-21.wav", "other.wav"]):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / file).touch()
    found = utterances(settings)
    assert [(row.path.name, row.label) for row in found["test"]] == [(examples[0], "sad")]
    assert [(row.path.name, row.label) for row in found["valid"]] == [(examples[1], "sad")]


def test_the_silent_file_that_crema_d_publishes_is_left_out(repo_root, tmp_path):
    path = repo_root / "recipes" / "NoisyEmo" / "crema_d.yaml"
    for name in ("1076_MTI_SAD_XX.wav", "1076_IEO_SAD_HI.wav", "1091_IEO_SAD_HI.wav"):
        (tmp_path / name).touch()
    found = utterances(read_settings(path, data_folder=str(tmp_path)))
    assert [row.id for row in found["valid"]] == ["1076_IEO_SAD_HI"]


def test_a_copy_in_flac_is_the_published_file(repo_root, tmp_path):
    path = repo_root / "recipes" / "NoisyEmo" / "ravdess.yaml"
    settings = read_settings(path, data_folder=str(tmp_path))._replace(utterances=None)
    for name in ("03-01-04-01-02-01-21.flac", "03-01-04-02-01-02-17.wav"):
        (tmp_path / name).touch()
    found = utterances(settings)
    assert [row.id for row in found["test"]] == ["03-01-04-01-02-01-21"]
    (tmp_path / "03-01-04-01-02-01-21.wav").touch()
    with pytest.raises(PreparationError, match="is there twice, .*flac and .*wav"):
        utterances(settings)


def test_iemocap_is_listed_by_its_recipe(repo_root):
    path = repo_root / "recipes" / "NoisyEmo" / "iemocap.yaml"
    settings = read_settings(path, data_folder="x")
    assert settings.recipe == "IEMOCAP" and settings.labels == ["angry", "sad", "happy", "neutral"]
    with pytest.raises(PreparationError, match="--data_folder x: .*no folder x"):
        utterances(settings)
