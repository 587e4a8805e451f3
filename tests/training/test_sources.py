"""Speech without labels, shares and balance in a run: what trains on what, what is refused."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile as sf
import torch

from speechbrain_merit.data import speech_folders
from speechbrain_merit.data.datasets import datasets, prepare
from speechbrain_merit.data.manifests import load_manifest, write_manifest
from speechbrain_merit.data.sampling import plan
from speechbrain_merit.data.sources import check_sources, source_names
from speechbrain_merit.errors import PreparationError, SettingsError
from speechbrain_merit.evaluation.report.curves import read_curves
from speechbrain_merit.labels import NO_LABEL, class_weights
from speechbrain_merit.lobes.cascade import Cascade
from speechbrain_merit.lobes.objectives import alone
from speechbrain_merit.training import losses
from speechbrain_merit.training import run as recipe
from speechbrain_merit.training.brain import MeritBrain
from speechbrain_merit.training.losses import attribute_loss
from speechbrain_merit.training.progress import Progress
from speechbrain_merit.training.run import training_batches
from speechbrain_merit.training.settings import load, parse
from speechbrain_merit.training.uncertainty import Uncertainty
from tests.tiny import agree, tiny_merit
from tests.training.test_run import LABELS, RATE, arguments, at_root, corpus  # noqa: F401


@pytest.fixture(scope="module")
def read_speech(tmp_path_factory):
    """Twelve recordings of nobody's emotion."""
    folder = tmp_path_factory.mktemp("read") / "speech"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(12):
        time = np.arange(RATE) / RATE
        wave = 0.1 * np.sin(2 * np.pi * (120 + 10 * index) * time) * (time % 0.4 < 0.3)
        sf.write(folder / f"{index}.wav", wave + 1e-4 * rng.standard_normal(RATE), RATE)
    return folder


@pytest.fixture(autouse=True)
def heard(monkeypatch):
    """The detector of speech takes these tones for none."""
    monkeypatch.setattr(speech_folders, "speaks", lambda path, section: True)


def hparams_of(corpus, output, *more, system="merit"):  # noqa: F811
    hparams_file, _, overrides = parse(arguments(corpus, output, *more, system=system))
    return load(hparams_file, overrides)


def with_speech(folder, *more):
    return ["--speech_folders", f"{{read: {folder}}}", *more]


def test_utterances_without_a_label_leave_the_emotion_loss_as_it_is():
    torch.manual_seed(0)
    logits, weight = torch.randn(6, 3, requires_grad=True), class_weights([3, 1, 2])
    target = torch.tensor([0, NO_LABEL, 2, NO_LABEL, 1, NO_LABEL])
    for smoothing in (0.0, 0.1):
        loss = losses.emotion_loss(logits, target, weight, smoothing)
        alone = losses.emotion_loss(logits[[0, 2, 4]], target[[0, 2, 4]], weight, smoothing)
        agree(loss, alone)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert gradient[[0, 2, 4]].any(dim=1).all() and not gradient[[1, 3, 5]].any()
    loss = losses.emotion_loss(logits, torch.full((6,), NO_LABEL), weight, 0.1)
    loss.backward()
    assert loss == 0 and not logits.grad.any()


def test_the_training_set_holds_all_sources_and_the_others_the_corpus_alone(
    corpus,  # noqa: F811
    read_speech,
    tmp_path,
):
    hparams = hparams_of(corpus, tmp_path / "run", *with_speech(read_speech))
    prepare(hparams)
    train, valid, test = datasets(hparams)
    assert (len(train), len(valid), len(test)) == (8 + 12, 4 * 2, 4 * 2)
    emotions = [train[index]["emotion"].item() for index in range(20)]
    assert sorted(emotions) == [NO_LABEL] * 12 + sorted([0, 1, 2, 3] * 2)
    assert hparams["class_weights"].tolist() == [1.0] * 4  # of the labelled utterances
    assert hparams["draws"] is None


def test_shares_and_balance_come_to_the_batches_and_class_weights(corpus, read_speech, tmp_path):  # noqa: F811
    more = with_speech(read_speech, "--source_shares", "{My-Corpus: 1, read: 3}")
    hparams = hparams_of(corpus, tmp_path / "run", *more, "--passes_per_epoch", "2")
    prepare(hparams)
    path = tmp_path / "run" / "save" / "train.json"
    rows = load_manifest(path)  # more angry utterances than others
    rows["again"] = next(row for row in rows.values() if row["emo"] == "angry")
    write_manifest(path, rows)
    for balanced, expected in ((False, [0.75, 1.125, 1.125, 1.125]), (True, [1.0] * 4)):
        hparams["balanced"] = balanced
        train = datasets(hparams)[0]
        assert hparams["class_weights"].tolist() == pytest.approx(expected, rel=0.13)
        brain = SimpleNamespace()
        sampler = training_batches(brain, train, hparams)["sampler"]
        brain.train_sampler.set_epoch(1)
        drawn = [train.data[train.data_ids[index]]["row"].get("emo") for index in sampler]
        assert (len(drawn), drawn.count(None)) == (4 * 18, 3 * 18)  # nine utterances, two passes
    with pytest.raises(SettingsError, match="^max_batch_seconds: .*one by one"):
        training_batches(brain, train, {**hparams, "max_batch_seconds": 10})


def test_a_run_trains_validates_and_scores_with_them(corpus, read_speech, tmp_path):  # noqa: F811
    more = with_speech(read_speech, "--source_shares", "{My-Corpus: 1, read: 2}")
    recipe.run(arguments(corpus, tmp_path / "run", *more, "--balanced", "True"))
    curves = read_curves(tmp_path / "run" / "train_log.txt")
    assert [epoch["epoch"] for epoch in curves] == [1, 2]
    for epoch in curves:
        assert 0 < epoch["train emotion"] < 3 and 0 <= epoch["valid f1_macro"] <= 1
    assert (tmp_path / "run" / "evaluation" / "report.html").is_file()
    assert (tmp_path / "run" / "save" / "speech_read.json").is_file()


@pytest.mark.parametrize("form, words", [("matched", "trains none"), ("together", None)])
def test_a_cascade_takes_speech_where_its_enhancer_trains(form, words, read_speech):
    keys = {"corpus": "RAVDESS", "data_folder": "/a", "speech_folders": {"read": read_speech}}
    keys["model"] = Cascade(tiny_merit(), tiny_merit(), form)
    if words is None:
        return check_sources(keys)
    with pytest.raises(PreparationError, match=f"^speech_folders: .*{words}"):
        check_sources(keys)


def test_a_corpus_of_which_all_is_for_validation_has_no_share(tmp_path):
    keys = {"corpus": "RAVDESS,EMOVO", "data_folder": {"RAVDESS": "/a", "EMOVO": "/b"}}
    keys |= {"model": tiny_merit(), "speech_folders": {"read": "/c"}}
    shares = {"RAVDESS": 2, "read": 1}
    check_sources({**keys, "source_shares": shares, "whole_corpora": {"EMOVO": "valid"}})
    rows = {"a": {"corpus": "RAVDESS", "emo": "sad"}, "b": {"corpus": "read", "section": [0, 1]}}
    plan(rows, source_names(rows, keys), shares)  # as what is drawn has it
    for whole, given, words in (
        ("valid", {**shares, "EMOVO": 1}, "EMOVO does not train, all of it is for valid"),
        ("train", shares, "EMOVO has none: give one for each of RAVDESS, EMOVO, read"),
    ):
        with pytest.raises(PreparationError, match=f"^source_shares: {words}"):
            check_sources({**keys, "source_shares": given, "whole_corpora": {"EMOVO": whole}})


def test_speech_that_is_too_long_for_the_encoder_when_slow_is_named_before_training(
    corpus,  # noqa: F811
    read_speech,
    tmp_path,
):
    more = with_speech(read_speech, "--speeds", "[0.8, 1.0]")
    hparams = hparams_of(corpus, tmp_path / "run", *more)
    prepare(hparams)
    hparams["encoder_module"].max_seconds = 1.15  # the corpus's are shorter than 0.9
    words = "@0 in speech_folders lasts 1.0 s, at a speed of 0.8 more, and the encoder hears"
    with pytest.raises(PreparationError, match=words):
        datasets(hparams)
    datasets({**hparams, "crop_seconds": 0.5})


def test_a_batch_without_labels_counts_neither_in_the_log_nor_in_a_learnt_weight(
    corpus,  # noqa: F811
    read_speech,
    tmp_path,
    monkeypatch,
):
    taken, add = [], Progress.add

    def record(progress, values):
        taken.append({name: float(value) for name, value in values.items()})
        add(progress, values)

    monkeypatch.setattr(Progress, "add", record)
    more = with_speech(read_speech, "--source_shares", "{My-Corpus: 1, read: 9}", "--lr", "0")
    more += ["--lr_final", "0", "--number_of_epochs", "1", "--skip_test", "True"]
    more += ["--loss_weighting", "uncertainty", "--batch_size", "4"]
    recipe.run(arguments(corpus, tmp_path / "run", *more))
    said = [step["emotion"] for step in taken if "emotion" in step]
    assert 0 < len(said) < len(taken) and all(value > 0.5 for value in said)
    (epoch,) = read_curves(tmp_path / "run" / "train_log.txt")
    assert epoch["train emotion"] == pytest.approx(sum(said) / len(said), rel=1e-3)
    weighting = Uncertainty({"emotion": 2.0, "attribute": 1.0, "enhancement": 0.2})
    brain = SimpleNamespace(modules=torch.nn.ModuleDict({"weighting": weighting}))
    terms = {"emotion": torch.tensor(0.0), "enhancement": torch.tensor(0.5)}
    sum(MeritBrain.weighted(brain, terms, silent=["emotion"]).values()).backward()
    assert weighting.scales["emotion"].grad == 0 != weighting.scales["enhancement"].grad


def test_a_run_goes_on_with_the_same_speech_wherever_it_lies_and_with_no_other(
    corpus,  # noqa: F811
    read_speech,
    tmp_path,
):
    def run(folder, epochs, name="read"):
        more = ["--speech_folders", f"{{{name}: {folder}}}", "--skip_test", "True"]
        recipe.run(arguments(corpus, tmp_path / "run", *more, "--number_of_epochs", str(epochs)))

    run(read_speech, 1)
    moved = shutil.copytree(read_speech, tmp_path / "moved")
    run(moved, 2)
    assert len(read_curves(tmp_path / "run" / "train_log.txt")) == 2
    with pytest.raises(SettingsError, match="other values of speech_folders"):
        run(moved, 3, name="others")
    (moved / "3.wav").unlink()
    for _ in range(2):
        with pytest.raises(SettingsError, match="other recordings.*: speech_read.json would"):
            run(moved, 3)


@pytest.mark.parametrize(
    "system, more, words",
    [
        ("ser_only", ["--speech_folders", "{read: READ}"], "trains the enhancement alone, and"),
        ("merit", ["--speech_folders", "{My-Corpus: READ}"], "My-Corpus is the corpus too"),
        ("merit", ["--speech_folders", "{read: OWN}"], "holds recordings of the corpus My-Corpus"),
        ("merit", ["--speech_folders", "{read: OWN/..}"], "holds recordings of the corpus"),
        ("merit", ["--source_shares", "{red: 1}"], "there is no red; the training has My-Corpus"),
        ("merit", ["--speech_folders", "{a: nowhere}"], r"speech_folders\[a\]: there is no folder"),
    ],
)
def test_what_cannot_be_is_named_before_training(
    system,
    more,
    words,
    corpus,  # noqa: F811
    read_speech,
    tmp_path,
):
    places = {"READ": str(read_speech), "OWN": str(corpus / "speech")}
    for name, folder in places.items():
        more = [value.replace(name, folder) for value in more]
    with pytest.raises((PreparationError, SettingsError), match=words):
        recipe.run(arguments(corpus, tmp_path / "run", *more, system=system))
    assert not any((tmp_path / "run" / "save").glob("CKPT*"))


@pytest.mark.parametrize(
    "ratings, known",
    [
        ([[np.nan, 0.5], [0.3, np.nan]], False),  # one each says nothing of either
        ([[np.nan, 0.5], [np.nan, 0.3]], True),
        ([[np.nan, np.nan], [np.nan, np.nan]], False),
    ],
)
def test_a_learnt_weight_waits_for_batches_that_say_something_whatever_the_corpora(ratings, known):
    emotion = torch.full((2, 1), NO_LABEL)
    batch = SimpleNamespace(
        attributes=SimpleNamespace(data=torch.tensor(ratings)),
        emotion=SimpleNamespace(data=emotion),
    )
    brain = SimpleNamespace(hparams=SimpleNamespace())
    terms = {"emotion": torch.tensor(0.0), "attribute": torch.tensor(0.0)}
    assert MeritBrain.said(brain, batch, terms, alone) == {"emotion": False, "attribute": known}
    loss = attribute_loss(torch.zeros(2, 2), batch.attributes.data)
    assert (loss != 0) == known
    emotion[0] = 1
    assert MeritBrain.said(brain, batch, terms, alone)["emotion"]
