"""The paper's protocol on a look-alike of MSP-Podcast: two stages, the corpus's level, resuming."""

import numpy as np
import pytest
import soundfile as sf
import torch
import yaml
from transformers import WavLMConfig, WavLMModel

from speechbrain_merit.data.corpora import RECIPES
from speechbrain_merit.data.corpus_yaml import read_corpus_yaml
from speechbrain_merit.data.datasets import datasets, prepare
from speechbrain_merit.errors import SettingsError
from speechbrain_merit.inference import MeritInterface
from speechbrain_merit.lobes.integration import MixtureOfExperts, WeightedSum
from speechbrain_merit.lobes.level import CorpusStatistics
from speechbrain_merit.training.brain import MeritBrain
from speechbrain_merit.training.heads import start_heads
from speechbrain_merit.training.level import TrainingLevel
from speechbrain_merit.training.run import run
from speechbrain_merit.training.settings import load, load_finished, parse
from tests.recipes.test_msp_podcast import LABELS, build
from tests.training.test_run import final_weights

RECIPE = RECIPES / "MSP-Podcast"
STAGES = ("merit_paper_heads", "merit_paper")


@pytest.fixture(autouse=True)
def in_the_recipe(monkeypatch):
    """As its users call it."""
    monkeypatch.chdir(RECIPE)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A release, noise, and a tiny encoder of WavLM's form."""
    root = tmp_path_factory.mktemp("paper")
    build(root / "release")
    rng = np.random.default_rng(0)
    (root / "noise").mkdir()
    # an offset, so that the level's mean is none that could be left out
    sf.write(root / "noise" / "a.wav", 0.02 + 0.05 * rng.standard_normal(8000), 16000)
    config = WavLMConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=[8] * 7,
        num_conv_pos_embedding_groups=2,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
    )
    torch.manual_seed(0)
    WavLMModel(config).save_pretrained(root / "encoder")
    return root


def arguments(world, stage, output, *more):
    """A command line of the recipe; 24 training turns are two batches."""
    noise = str(world / "noise")
    sizes = ["--enhancement_hidden", "8"]
    sizes += ["--expert_hidden", "8"] if stage == "merit_paper" else []
    return [
        *(f"hparams/{stage}.yaml", "--data_folder", str(world / "release")),
        *("--noise_train_folder", noise, "--noise_valid_folder", noise),
        *("--noise_test_folders", f"{{hiss: {noise}}}", "--encoder", str(world / "encoder")),
        *("--output_folder", str(output), "--batch_size", "12", "--grad_accumulation_factor", "1"),
        *("--number_of_epochs", "2", "--num_workers", "0", "--device", "cpu", "--n_jobs", "0"),
        *(*sizes, "--lr", "1e-3", *more),
    ]


def train(world, stage, output, *more):
    """Trains as the recipe's train.py does."""
    run(arguments(world, stage, output, "--skip_test", "True", *more), corpus=str(RECIPE))


def heads_from(folder):
    return ("--heads_folder", str(folder / "pretrained"))


@pytest.fixture(scope="module")
def stages(world, tmp_path_factory):
    """The folders of both stages, trained."""
    first, second = (tmp_path_factory.mktemp(name) / "run" for name in STAGES)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(RECIPE)
        train(world, STAGES[0], first)
        train(world, STAGES[1], second, *heads_from(first))
    return first, second


@pytest.mark.parametrize("stage", STAGES)
def test_the_yaml_is_the_papers_protocol_and_complete(stage, world, tmp_path):
    hparams_file, _, overrides = parse([f"hparams/{stage}.yaml"], corpus=str(RECIPE))
    assert overrides == {"corpus": "MSP-Podcast"}  # corpus.yaml is not laid over it
    hparams = load(hparams_file, {**overrides, "encoder": str(world / "encoder")})
    told = yaml.compose(hparams_file.read_text(encoding="utf-8")).value
    told = {key.value: node.value for key, node in told}
    assert told["encoder"] == "microsoft/wavlm-large"
    assert hparams["train_snr_db"] == [5, 5] and hparams["valid_snrs"] == [5]
    assert hparams["test_snrs"] == [-5] and hparams["clean_share"] == 0
    assert (hparams["batch_size"], hparams["grad_accumulation_factor"]) == (4, 8)
    assert hparams["crop_seconds"] == 12 and hparams["standardise_utterances"] == 0
    assert hparams["emotion_weight"] == hparams["enhancement_weight"] == 1.0
    assert hparams["si_sdr_weight"] == hparams["label_smoothing"] == hparams["max_grad_norm"] == 0
    assert hparams["find_unused_parameters"] is True
    assert not hparams["model"].encoder.normalise  # the level is not undone
    mixture = isinstance(hparams["integration"], MixtureOfExperts)
    assert mixture is (stage == "merit_paper")
    if mixture:
        assert hparams["lr"] == hparams["lr_final"] == 5e-5
        assert hparams["encoder_lr"] == hparams["encoder_lr_final"] == 2.5e-5
        assert hparams["balance_weight"] == hparams["z_weight"] == 0
        assert (hparams["number_of_epochs"], hparams["unfreeze_epoch"]) == (20, 1)
        # where corpus.yaml and the paper's YAML speak of the same, they agree
        settings, _ = read_corpus_yaml(RECIPE)
        other = {k for k, v in settings.items() if hparams[k] != v}
        assert other == {"encoder", "unfreeze_epoch"}
    else:
        assert isinstance(hparams["integration"], WeightedSum)
        assert hparams["unfreeze_epoch"] > hparams["number_of_epochs"]


def test_stage_one_trains_heads_alone_and_stage_two_everything(world, stages):
    given = WavLMModel.from_pretrained(world / "encoder").state_dict()
    first, second = (final_weights(folder) for folder in stages)

    def changed(weights):
        names = {name.removeprefix("encoder.model."): v for name, v in weights.items()}
        return {k for k in given.keys() & names.keys() if not torch.equal(names[k], given[k])}

    assert given.keys() & {name.removeprefix("encoder.model.") for name in first}
    assert changed(first) == set()
    moved = changed(second)
    assert any("encoder.layers.1" in name for name in moved)
    assert not any("feature_extractor" in name for name in moved)  # its CNN stays frozen
    assert not any("experts" in name for name in first)


def test_stage_two_starts_with_the_heads_of_stage_one_and_a_fresh_mixture(
    world, stages, tmp_path, monkeypatch
):
    seen = {}

    def stop(brain, *_, **__):
        seen.update({k: v.clone() for k, v in brain.model.state_dict().items()})
        raise KeyboardInterrupt

    monkeypatch.setattr(MeritBrain, "fit", stop)
    with pytest.raises(KeyboardInterrupt):
        train(world, STAGES[1], tmp_path / "run", *heads_from(stages[0]))
    left = torch.load(stages[0] / "pretrained" / "model.ckpt", weights_only=True)
    heads = [name for name in seen if name.startswith(("enhancement.", "emotion."))]
    assert heads and all(torch.equal(seen[name], left[name]) for name in heads)
    command = arguments(world, STAGES[1], tmp_path / "other", *heads_from(stages[0]))
    hparams_file, _, overrides = parse(command, corpus=str(RECIPE))
    fresh = load(hparams_file, overrides)["model"].state_dict()
    rest = [name for name in seen if name not in heads]
    assert any("experts" in name for name in rest)
    assert all(torch.equal(seen[name], fresh[name]) for name in rest)
    assert not torch.equal(seen["emotion.out.weight"], fresh["emotion.out.weight"])


def test_the_level_is_that_of_the_noisy_training_waves(world, stages, tmp_path):
    command = arguments(world, STAGES[0], tmp_path / "run")
    hparams_file, _, overrides = parse(command, corpus=str(RECIPE))
    hparams = load(hparams_file, overrides)
    prepare(hparams)
    train_set, _, _ = datasets(hparams)
    samples = np.concatenate([item["mixture"].numpy() for item in train_set]).astype(float)
    hparams["level"].fit(train_set, batch_size=5)  # whatever the batches
    assert hparams["model"].level.mean == pytest.approx(samples.mean(), rel=1e-6)
    assert hparams["model"].level.std == pytest.approx(samples.std(), rel=1e-6)
    for stage in stages:
        level = MeritInterface.from_hparams(stage / "pretrained").model.level
        assert isinstance(level, CorpusStatistics)
        assert level.config == hparams["model"].level.config


def test_a_resumed_run_keeps_the_level_and_equals_an_uninterrupted_one(
    world, stages, tmp_path, monkeypatch
):
    start = MeritBrain.on_stage_start

    def interrupt(brain, stage, epoch=None):
        if epoch == 2 and stage.name == "TRAIN":
            raise KeyboardInterrupt
        start(brain, stage, epoch)

    output = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(MeritBrain, "on_stage_start", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(world, STAGES[1], output, *heads_from(stages[0]))
    with monkeypatch.context() as patch:
        patch.setattr(TrainingLevel, "fit", None)  # not measured again
        train(world, STAGES[1], output, *heads_from(stages[0]))
    weights, expected = final_weights(output), final_weights(stages[1])
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    exported = MeritInterface.from_hparams(output / "pretrained").model
    whole = MeritInterface.from_hparams(stages[1] / "pretrained").model
    assert exported.level.config == whole.level.config


def test_the_exported_folder_gives_what_the_checkpoint_gives(stages):
    wave = 0.1 * torch.randn(2, 4000, generator=torch.Generator().manual_seed(0))
    hparams, _ = load_finished(stages[1])
    exported = MeritInterface.from_hparams(stages[1] / "pretrained").model
    with torch.inference_mode():
        ours, theirs = hparams["model"].eval()(wave), exported(wave)
    assert torch.equal(ours.logits, theirs.logits) and torch.equal(ours.waves, theirs.waves)


def test_heads_that_are_not_there_or_do_not_fit_are_named(world, stages, tmp_path):
    with pytest.raises(
        SettingsError, match="heads_folder: .*nowhere.* no pretrained folder.*stage 1"
    ):
        train(world, STAGES[1], tmp_path / "a", "--heads_folder", str(tmp_path / "nowhere"))
    model = load_finished(stages[1])[0]["model"]
    with pytest.raises(
        SettingsError, match="heads_folder: .*name angry, sad, happy, neutral, not sad"
    ):
        start_heads(model, stages[0] / "pretrained", LABELS[1:])
    with pytest.raises(SettingsError, match="no enhancement head of the same form"):
        train(world, STAGES[1], tmp_path / "b", *heads_from(stages[0]), "--enhancement_layers", "1")


def test_a_trial_takes_two_batches_for_the_level_too(world, tmp_path, monkeypatch):
    taken = []
    fit = TrainingLevel.fit
    monkeypatch.setattr(TrainingLevel, "fit", lambda *a: (taken.append(len(a[1])), fit(*a)))
    more = ["--heads_folder", "null", "--debug", "--test_batch_size", "3"]
    train(world, STAGES[1], tmp_path / "run", *more)
    assert taken == [2 * 3]
    assert not list((tmp_path / "run" / "save").glob("CKPT*"))  # a trial is not resumed
    assert (tmp_path / "run" / "pretrained" / "hyperparams.yaml").is_file()
