"""The model card: licences and languages of the data, and results that the hub can read."""

import json

import pytest
from huggingface_hub import ModelCard

from speechbrain_merit.data.corpora import RECIPES, find_corpora
from speechbrain_merit.data.corpus_yaml import read_corpus_yaml, write_facts
from speechbrain_merit.export.model_card import Run, closes, model_card

ROWS = [
    {"noise_set": None, "snr_db": None, "f1_macro": 0.75, "uar": 0.7, "si_sdr": None},
    {"noise_set": "street", "snr_db": -5, "f1_macro": 0.5, "uar": 0.4, "si_sdr": 3.25},
]


def card(corpus, run, tasks=("se", "ser"), **more):
    hparams = {"system": "merit", "corpus": corpus, "encoder": "mini", "labels": ["sad", "happy"]}
    return model_card({**hparams, "train_snr_db": [-5, 15], **more}, run, tasks=tasks)


@pytest.fixture
def run(tmp_path):
    """The folder of a run on two corpora, one of them its user's own."""
    mine = tmp_path / "Mine"
    mine.mkdir()
    (mine / "corpus.yaml").write_text("lr: 0.1\n")
    write_facts(find_corpora(f"RAVDESS,{mine},EmoTale"), tmp_path / "run" / "save")
    (tmp_path / "run" / "evaluation").mkdir()
    (tmp_path / "run" / "evaluation" / "metrics.json").write_text(json.dumps(ROWS))
    (tmp_path / "run" / "evaluation" / "metrics.md").write_text("| Condition | n |\n")
    return tmp_path / "run"


def test_licences_and_languages_are_those_of_the_runs_corpora(run):
    text = card("RAVDESS,/gone/Mine,EmoTale", Run.left_in(run))
    assert "| RAVDESS | CC BY-NC-SA 4.0: not for commercial use | Livingstone and Russo" in text
    assert "| Mine | ask its owners | ask its owners |" in text
    assert "| EmoTale | none stated; its authors ask to be cited | Hjuler" in text
    assert "Its training data allow non-commercial use only." in text
    head = ModelCard(text).data
    assert head.language == ["en", "da"] and head.license == "cc-by-nc-sa-4.0"
    assert head.datasets == ["RAVDESS", "Mine", "EmoTale"]
    assert head.library_name == "speechbrain" and "speech-emotion-recognition" in head.tags


def test_a_corpus_that_says_nothing_is_its_owners(tmp_path):
    text = card("Mine", Run.left_in(tmp_path))
    assert "| Mine | ask its owners | ask its owners |" in text
    assert "non-commercial" not in text and "not scored" in text
    head = ModelCard(text).data
    assert head.license == "other" and head.language is None and head.eval_results is None
    assert set(head.to_dict()) == {"datasets", "library_name", "license", "tags"}


def test_results_are_read_by_the_hub_for_each_condition_and_metric(run):
    found = ModelCard(card("RAVDESS", Run.left_in(run))).data.eval_results
    values = {(r.dataset_config, r.task_type, r.metric_name): r.metric_value for r in found}
    assert values == {
        ("clean", "audio-classification", "F1-macro"): 0.75,
        ("clean", "audio-classification", "UAR"): 0.7,
        ("street, -5 dB", "audio-classification", "F1-macro"): 0.5,
        ("street, -5 dB", "audio-classification", "UAR"): 0.4,
        ("street, -5 dB", "audio-to-audio", "SI-SDR (dB)"): 3.25,  # of clean speech: infinite
    }
    assert {r.dataset_type for r in found} == {"RAVDESS"}


def test_every_recipe_whose_data_are_not_for_sale_says_so_in_the_words_of_the_card():
    for path in RECIPES.glob("*/corpus.yaml"):
        licence = read_corpus_yaml(path.parent)[1].get("licence", "")
        assert "NC" not in licence or closes(licence), path.parent.name


@pytest.mark.parametrize("key", ["start_from", "encoder"])
def test_what_a_model_started_from_counts_too(tmp_path, key):
    folder = tmp_path / "first" / "pretrained"
    folder.mkdir(parents=True)
    (folder / "label_encoder.txt").touch()
    owners = Run({"nEMO": {"licence": "not for commercial use"}})
    (folder / "README.md").write_text(card("nEMO", owners))
    text = card("Mine", Run(), **{key: str(tmp_path / "first")})
    assert "It started from `first`: what that one was trained on" in text
    assert "Its training data allow non-commercial use only." in text
    assert ModelCard(text).data.license == "cc-by-nc-sa-4.0"
    again = tmp_path / "again"  # from this one in turn
    again.mkdir()
    (again / "label_encoder.txt").touch()
    (again / "README.md").write_text(text)
    assert "non-commercial use only" in card("Mine", Run(), **{key: str(again)})
    assert "It started from `gone`" in card("Mine", Run(), start_from="/gone")


def test_speech_without_labels_is_training_data_too():
    text = card("Mine", Run(), speech_folders={"LibriSpeech": "/somewhere"})
    assert "| LibriSpeech | ask its owners | ask its owners |" in text


@pytest.mark.parametrize(
    "licence",
    ["CC BY-NC 4.0", "cc by nc-nd 4.0", "Non-commercial research only", "Not for commercial use"],
)
def test_non_commercial_terms_are_known_however_they_are_written(licence):
    text = card("Mine", Run({"Mine": {"licence": licence}}))
    assert "Its training data allow non-commercial use only." in text
    assert not closes("CC BY-SA 4.0") and not closes("MIT")


def test_the_parts_of_a_cascade_count_too(tmp_path):
    owners = Run({"nEMO": {"licence": "not for commercial use"}})
    for name, text in (("first", card("nEMO", owners)), ("second", card("Mine", Run()))):
        folder = tmp_path / name / "pretrained"
        folder.mkdir(parents=True)
        (folder / "label_encoder.txt").touch()
        (folder / "README.md").write_text(text)
    parts = {"enhancer": str(tmp_path / "first"), "classifier": str(tmp_path / "second")}
    text = card("Mine", Run(), **parts)
    assert "of the enhancer `first` and the classifier `second`, trained on Mine" in text
    assert "It started from `first`" in text and "It started from `second`" in text
    assert "non-commercial use only" in text and "mini" not in text
    fresh = card("Mine", Run(), enhancer=str(tmp_path / "second"))
    assert "a classifier on the encoder `mini`" in fresh and "non-commercial" not in fresh


def test_a_card_is_of_what_the_model_does():
    words = {
        "se": ["Cleaning speech", "merit.enhance_file(", "keeps the phase", "speech-enhancement"],
        "ser": ["Emotions: sad, happy", "analysis.emotion", "2 labels", "emotion-recognition"],
    }
    for task, other in (("se", "ser"), ("ser", "se")):
        text = card("Mine", Run(), tasks=(task,))
        assert all(word in text for word in words[task])
        assert not any(word in text for word in words[other])
    assert "output_filename" in card("Mine", Run()) and "\n\n\n" not in card("Mine", Run())
