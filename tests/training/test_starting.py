"""``--start_from``: training from a run or a pretrained folder, sizes and weights its own."""

import shlex

import pytest
import torch

from speechbrain_merit.data.corpora import RECIPES
from speechbrain_merit.errors import SettingsError
from speechbrain_merit.export.folder import write_pretrained
from speechbrain_merit.lobes.dual_path import build_enhancement
from speechbrain_merit.lobes.emotion import EmotionHead
from speechbrain_merit.lobes.encoders import build_encoder
from speechbrain_merit.lobes.integration import MixtureOfExperts
from speechbrain_merit.lobes.merit import Merit
from speechbrain_merit.training import run as recipe
from speechbrain_merit.training.settings import load, parse
from speechbrain_merit.training.starting import start_from
from tests.tiny import tiny_merit
from tests.training.test_run import LABELS, arguments, corpus  # noqa: F401 (a fixture)


@pytest.fixture(autouse=True)
def at_root(repo_root, monkeypatch):
    """YAML paths on the command line are relative to the repository."""
    monkeypatch.chdir(repo_root)


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory):  # noqa: F811
    """A finished run whose experts and heads have sizes of their own."""
    output = tmp_path_factory.mktemp("trained") / "run"
    sizes = ["--n_experts", "2", "--expert_hidden", "24", "--enhancement_hidden", "12"]
    sizes += ["--emotion_hidden", "20", "--routing", "switch", "--level_rms", "0.5"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(RECIPES.parent)
        more = ["--number_of_epochs", "1", "--skip_test", "True", *sizes]
        recipe.run(arguments(corpus, output, *more))
    return output


def hparams_of(*more, system="merit"):
    """What a command line builds."""
    return load(*parse([f"hparams/{system}.yaml", *more])[::2])


def started(run, *more, system="merit"):
    """A network and the run's weights, after the start."""
    hparams = hparams_of("--start_from", str(run), *more, system=system)
    start_from(hparams["model"], str(run), hparams["labels"], hparams["attributes"])
    weights = torch.load(run / "pretrained" / "model.ckpt", weights_only=True)
    return hparams["model"].state_dict(), weights, hparams


def test_sizes_encoder_and_weights_are_the_folders(run):
    ours, theirs, hparams = started(run)
    assert {key: hparams[key] for key in ("n_experts", "expert_hidden", "emotion_hidden")} == {
        "n_experts": 2,
        "expert_hidden": 24,
        "emotion_hidden": 20,
    }
    assert hparams["routing"] == "switch" and hparams["model"].level.config == {"rms": 0.5}
    assert {*ours} == {*theirs}
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


def test_the_pretrained_folder_starts_as_its_run_does(run):
    ours, _, _ = started(run)
    again = hparams_of("--start_from", str(run / "pretrained"))
    start_from(again["model"], run / "pretrained", LABELS, [])
    assert all(torch.equal(v, ours[key]) for key, v in again["model"].state_dict().items())


def test_other_labels_replace_the_outputs_that_have_no_name_in_common(run):
    ours, theirs, _ = started(run, "--labels", "[neutral, bored, angry]")
    rows = ours["emotion.out.weight"]
    assert torch.equal(rows[0], theirs["emotion.out.weight"][LABELS.index("neutral")])
    assert torch.equal(rows[2], theirs["emotion.out.weight"][LABELS.index("angry")])
    assert len(rows) == 3 and not any(torch.equal(rows[1], r) for r in theirs["emotion.out.weight"])
    assert torch.equal(ours["emotion.fc.1.weight"], theirs["emotion.fc.1.weight"])


def test_a_head_that_the_folder_lacks_starts_afresh(run):
    ours, theirs, _ = started(run, "--attributes", "[arousal]")
    assert {key.split(".")[0] for key in {*ours} - {*theirs}} == {"attributes"}


def test_a_single_task_starts_from_both(run):
    ours, theirs, _ = started(run, system="ser_only")
    assert not any(key.startswith("enhancement") for key in ours)
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


def test_a_run_that_starts_from_another_goes_on_where_that_ended(run, corpus, tmp_path):  # noqa: F811
    more = ["--number_of_epochs", "1", "--start_from", str(run), "--lr", "0", "--lr_final", "0"]
    recipe.run(arguments(corpus, tmp_path, "--skip_test", "True", "--weight_decay", "0", *more))
    ours = torch.load(tmp_path / "pretrained" / "model.ckpt", weights_only=True)
    theirs = torch.load(run / "pretrained" / "model.ckpt", weights_only=True)
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


def test_a_dual_path_head_comes_with_its_sizes(tmp_path):
    encoder = build_encoder("mini")
    mixture = MixtureOfExperts(encoder.n_hidden, encoder.width)
    head = build_enhancement("dual_path", encoder.width, n_layers=1, channels=[4, 6])
    merit = Merit(encoder, mixture, head, EmotionHead(encoder.width, n_classes=4))
    folder = write_pretrained(tmp_path / "model", merit, LABELS, "# A model")
    hparams = hparams_of("--start_from", str(folder))
    start_from(hparams["model"], folder, LABELS, [])
    ours = hparams["model"].enhancement
    assert ours.config == head.config
    assert all(torch.equal(v, head.state_dict()[k]) for k, v in ours.state_dict().items())


def test_a_head_of_another_type_starts_afresh_and_the_rest_is_taken(run, caplog):
    hparams = hparams_of("--start_from", str(run), "--enhancement_head_type", "dual_path")
    model, fresh = hparams["model"], hparams["model"].enhancement.state_dict()
    fresh = {key: value.clone() for key, value in fresh.items()}
    start_from(model, run, LABELS, [])
    assert all(torch.equal(v, fresh[k]) for k, v in model.enhancement.state_dict().items())
    theirs = torch.load(run / "pretrained" / "model.ckpt", weights_only=True)
    for name in ("encoder", "integration", "emotion"):
        for key, value in getattr(model, name).state_dict().items():
            assert torch.equal(value, theirs[f"{name}.{key}"]), key
    assert "an EnhancementHead there and a DualPathHead here: that starts afresh" in caplog.text


def test_the_encoder_alone_can_be_taken(run):
    encoder = build_encoder(str(run))
    theirs = torch.load(run / "pretrained" / "model.ckpt", weights_only=True)
    assert all(torch.equal(v, theirs[f"encoder.{k}"]) for k, v in encoder.state_dict().items())
    fresh = hparams_of("--encoder", str(run), system="weighted_sum")
    assert fresh["model"].encoder.width == encoder.width


def test_the_encoder_is_the_folders_whatever_a_corpus_is_trained_with(run):
    more = ["--corpus", "MSP-Podcast", "--data_folder", "x", "--start_from", str(run)]
    _, _, overrides = parse(["hparams/merit.yaml", *more])
    assert overrides["encoder"] == str(run / "pretrained") and overrides["batch_size"] == 4
    _, _, overrides = parse(["hparams/merit.yaml", *more, "--encoder", "mini"])
    assert overrides["encoder"] == "mini"


def test_a_dense_system_stays_dense_and_a_sparse_one_sparse(run, tmp_path):
    ours, theirs, hparams = started(run, system="dense_merit")
    assert hparams["routing"] == hparams["model"].integration.config["routing"] == "dense"
    assert {*ours} == {*theirs} and all(torch.equal(v, theirs[k]) for k, v in ours.items())
    folder = write_pretrained(tmp_path / "dense", hparams["model"], LABELS, "# Dense")
    assert hparams_of("--start_from", str(folder))["routing"] == "straight_through"
    assert hparams_of("--start_from", str(folder), system="dense_merit")["routing"] == "dense"


def test_a_router_as_released_is_the_systems_instead_and_learns(tmp_path):
    folder = write_pretrained(tmp_path / "model", tiny_merit(routing="hard"), LABELS, "# Released")
    hparams = hparams_of("--start_from", str(folder))
    routers = hparams["model"].integration.routers.parameters()
    assert hparams["routing"] == "straight_through" and all(p.requires_grad for p in routers)
    assert hparams_of("--start_from", str(folder), "--routing", "hard")["routing"] == "hard"


@pytest.mark.parametrize(
    "more, system, message",
    [
        (["--n_experts", "3"], "merit", "integration of .* has other sizes .*leave out the keys"),
        (["--enhancement_hidden", "8"], "merit", "enhancement of .* has other sizes"),
        ([], "weighted_sum", "is a MixtureOfExperts, and this system's a WeightedSum"),
    ],
)
def test_what_does_not_fit_is_named(run, more, system, message):
    with pytest.raises(SettingsError, match=message):
        started(run, *more, system=system)


def test_the_command_of_the_guide_starts_from_the_model_that_ships(corpus, repo_root):  # noqa: F811
    guide = (repo_root / "docs" / "fine_tuning.md").read_text(encoding="utf-8")
    words = shlex.split(guide.split("```")[1].replace("\\\n", " "))
    assert words[:2] == ["python", "train.py"]
    places = {"my_corpus": corpus / "My-Corpus", "/path/to/recordings": corpus / "speech"}
    hparams = load(*parse([str(places.get(word, word)) for word in words[2:]])[::2])
    folder = repo_root / "pretrained" / "merit-tiny"
    start_from(hparams["model"], hparams["start_from"], hparams["labels"], hparams["attributes"])
    theirs = torch.load(folder / "model.ckpt", weights_only=True)
    ours = hparams["model"].state_dict()
    assert {*ours} == {*theirs}
    assert all(torch.equal(value, theirs[key].to(value.dtype)) for key, value in ours.items())


def test_what_does_not_fit_is_named_before_anything_is_written(run, corpus, tmp_path):  # noqa: F811
    more = ["--start_from", str(run), "--n_experts", "3"]
    with pytest.raises(SettingsError, match="integration of .* has other sizes"):
        recipe.run(arguments(corpus, tmp_path / "run", *more))
    assert not [path for path in (tmp_path / "run").rglob("*") if path.is_file()]


def test_what_is_no_model_is_named_before_anything_is_written(run, corpus, tmp_path):  # noqa: F811
    write_pretrained(tmp_path / "int8", tiny_merit(), LABELS, "# int8", precision="int8")
    (tmp_path / "unfinished" / "save").mkdir(parents=True)
    for source, message in {
        tmp_path / "int8": "int8 weights, which do not train",
        tmp_path / "unfinished": "a run that has not finished",
        tmp_path / "nowhere": "neither a finished run nor a pretrained folder",
    }.items():
        with pytest.raises(SettingsError, match=message):
            recipe.run(arguments(corpus, tmp_path / "run", "--start_from", str(source)))
    assert not (tmp_path / "run").exists()
