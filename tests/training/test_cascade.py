"""A cascade: trained parts in one network that is trained, scored and exported as Merit is."""

import json
import shutil

import pytest
import torch

from speechbrain_merit.data.corpora import RECIPES
from speechbrain_merit.errors import SettingsError
from speechbrain_merit.evaluation.provenance import fingerprint
from speechbrain_merit.export.folder import write_pretrained
from speechbrain_merit.inference import MeritInterface
from speechbrain_merit.lobes.cascade import Cascade
from speechbrain_merit.lobes.emotion import EmotionHead
from speechbrain_merit.lobes.enhancement import EnhancementHead
from speechbrain_merit.lobes.integration import MixtureOfExperts, WeightedSum
from speechbrain_merit.lobes.merit import Merit
from speechbrain_merit.training import run as recipe
from speechbrain_merit.training import scoring
from tests.tiny import WIDTH, agree, pad, tiny_encoder, tiny_merit
from tests.training.test_run import LABELS, arguments, corpus  # noqa: F401 (a fixture)


def parts():
    """An enhancer and a classifier."""
    encoders = tiny_encoder(), tiny_encoder()
    enhancer = Merit(encoders[0], WeightedSum(3, WIDTH), EnhancementHead(WIDTH, hidden=16))
    mixture = MixtureOfExperts(3, WIDTH)
    return enhancer, Merit(encoders[1], mixture, None, EmotionHead(WIDTH, n_classes=4))


@pytest.fixture(autouse=True)
def at_root(repo_root, monkeypatch):
    """YAML paths on the command line are relative to the repository."""
    monkeypatch.chdir(repo_root)


@pytest.fixture(scope="module")
def folder(corpus, tmp_path_factory):  # noqa: F811
    """Where the runs ``se_only`` and ``ser_only`` lie, each finished."""
    folder = tmp_path_factory.mktemp("parts")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(RECIPES.parent)
        for system in ("se_only", "ser_only"):
            more = ["--number_of_epochs", "1", "--skip_test", "True"]
            recipe.run(arguments(corpus, folder / system, *more, system=system))
    return folder


def trained_cascade(corpus, folder, output, form, *more):  # noqa: F811
    """Runs a cascade of the parts in a folder; returns the weights of the two and its own."""
    given = ["--enhancer", str(folder / "se_only"), "--cascade", form, "--number_of_epochs", "1"]
    if form != "matched":
        given += ["--classifier", str(folder / "ser_only")]
    recipe.run(arguments(corpus, output, *given, *more, system="cascade"))
    names = {"enhancer": folder / "se_only", "classifier": folder / "ser_only", "": output}
    return {
        name: torch.load(path / "pretrained" / "model.ckpt", weights_only=True)
        for name, path in names.items()
    }


def changed(weights, part):
    """Names of the weights of a part that are not those it had before."""
    return [
        key
        for key, before in weights[part].items()
        if not torch.equal(before, weights[""][f"{part}.{key}"])
    ]


def test_a_cascade_gives_what_its_parts_give_one_after_the_other():
    enhancer, classifier = (part.eval() for part in parts())
    wavs, lengths = pad([torch.randn(9000), torch.randn(16000)])
    output = Cascade(enhancer, classifier, "unchanged")(wavs, lengths)
    clean = enhancer(wavs, lengths)
    torch.testing.assert_close(output.waves, clean.waves)
    torch.testing.assert_close(output.logits, classifier(clean.waves, lengths).logits)
    assert output.routing == {}


def test_an_utterance_in_a_batch_gives_what_it_gives_alone():
    cascade = Cascade(*parts()).eval()
    short, long = torch.randn(9000), torch.randn(16000)
    together, alone = cascade(*pad([short, long])), cascade(short[None])
    agree(together.waves[:1, :9000], alone.waves, 1e-4)
    agree(together.logits[:1], alone.logits, 1e-4)


@pytest.mark.parametrize(
    "form, moving",
    [("unchanged", set()), ("matched", {"classifier"}), ("together", {"enhancer", "classifier"})],
)
def test_gradients_reach_what_trains_and_nothing_else(form, moving):
    cascade = Cascade(*parts(), form).train()
    for encoder in cascade.encoders:
        encoder.freeze(False)
    output = cascade(torch.randn(2, 8000))
    loss = output.logits.square().sum() + output.waves.square().sum()
    if moving:
        loss.backward()
    reached = {name.split(".")[0] for name, p in cascade.named_parameters() if p.grad is not None}
    assert reached == moving and loss.requires_grad == bool(moving)
    assert {name for name, part in cascade.named_children() if part.training} == moving
    assert ("ser" in output.routing) == ("classifier" in moving)


def test_together_the_emotion_reaches_the_enhancer():
    cascade = Cascade(*parts(), "together").train()
    cascade(torch.randn(2, 8000), tasks=("ser",)).logits.square().sum().backward()
    assert cascade.enhancer.enhancement.leave.weight.grad.abs().max() > 0


def test_a_matched_cascade_trains_its_classifier_on_what_the_enhancer_gives(
    corpus,  # noqa: F811
    folder,
    tmp_path,
):
    weights = trained_cascade(corpus, folder, tmp_path / "run", "matched")
    assert changed(weights, "enhancer") == []
    assert "emotion.out.weight" in changed(weights, "classifier")
    rows = json.loads((tmp_path / "run" / "evaluation" / "metrics.json").read_text())
    assert all(rows[1][key] is not None for key in ("f1_macro", "pesq", "si_sdr"))


def test_an_unchanged_cascade_costs_no_training_and_scores_as_its_parts(
    corpus,  # noqa: F811
    folder,
    tmp_path,
):
    weights = trained_cascade(corpus, folder, tmp_path / "run", "unchanged")
    assert changed(weights, "enhancer") == changed(weights, "classifier") == []
    rows = json.loads((tmp_path / "run" / "evaluation" / "metrics.json").read_text())
    alone = scoring.score([str(folder / "se_only")])
    for key in ("pesq", "stoi", "si_sdr", "ssnr"):
        assert rows[1][key] == pytest.approx(alone[1][key], abs=1e-4)


def test_what_is_trained_together_is_exported_as_one_model(corpus, folder, tmp_path):  # noqa: F811
    weights = trained_cascade(corpus, folder, tmp_path / "run", "together")
    assert "enhancement.leave.weight" in changed(weights, "enhancer")
    assert "emotion.out.weight" in changed(weights, "classifier")
    again = json.loads((tmp_path / "run" / "evaluation" / "metrics.json").read_text())
    assert scoring.score([str(tmp_path / "run")]) == again  # from its checkpoint
    shutil.move(tmp_path / "run" / "pretrained", tmp_path / "moved")
    merit = MeritInterface.from_hparams(tmp_path / "moved")
    path = next((corpus / "speech").glob("test_*.wav"))
    analysis = merit.analyse_file(path)
    assert analysis.emotion in [*LABELS, "no_speech"] and len(analysis.enhanced) > 0


def test_an_exported_cascade_gives_the_same_output(tmp_path):
    cascade = Cascade(*parts()).eval()
    write_pretrained(tmp_path / "model", cascade, LABELS, "# A cascade")
    loaded = MeritInterface.from_hparams(tmp_path / "model").model
    assert fingerprint(loaded) == fingerprint(cascade)
    wavs = torch.randn(1, 8000)
    torch.testing.assert_close(loaded(wavs).logits, cascade(wavs).logits)


def test_other_experts_are_another_cascade():
    one, other = parts(), parts()
    other[0].load_state_dict(one[0].state_dict())
    other[1].load_state_dict(one[1].state_dict())
    for router in other[1].integration.routers.values():
        router.mode = "switch"
    other[1].integration.config["routing"] = "switch"
    assert fingerprint(Cascade(*one)) != fingerprint(Cascade(*other))


@pytest.mark.parametrize(
    "more, message",
    [
        ([], "--enhancer is missing"),
        (["--enhancer", "nowhere"], "nowhere is neither a finished run nor a pretrained folder"),
        (["--enhancer", "{ser_only}"], "does not enhance"),
        (["--enhancer", "{se_only}", "--classifier", "{se_only}"], "names no emotion"),
        (["--enhancer", "{se_only}", "--cascade", "together"], "--classifier is missing"),
        (["--enhancer", "{se_only}", "--cascade", "joined"], "choose one of unchanged, matched"),
        (
            ["--enhancer", "{se_only}", "--classifier", "{ser_only}", "--labels", "[sad, angry]"],
            "the labels of .* are .'angry', 'sad', 'happy', 'neutral'.",
        ),
    ],
)
def test_parts_that_do_not_fit_are_named_before_training(corpus, folder, tmp_path, more, message):  # noqa: F811
    names = {name: str(folder / name) for name in ("se_only", "ser_only")}
    more = [word.format(**names) if word.startswith("{") else word for word in more]
    with pytest.raises(SettingsError, match=message):
        recipe.run(arguments(corpus, tmp_path / "run", *more, system="cascade"))
    assert not (tmp_path / "run" / "save").exists()


@pytest.mark.parametrize("key", ["enhancer", "classifier"])
def test_a_cascade_is_no_part_of_another(corpus, folder, tmp_path, key):  # noqa: F811
    whole = write_pretrained(tmp_path / "whole", Cascade(*parts()), LABELS, "# A cascade")
    given = {"enhancer": folder / "se_only", "classifier": folder / "ser_only", key: whole}
    more = [word for k, path in given.items() for word in (f"--{k}", str(path))]
    with pytest.raises(SettingsError, match=f"^{key}: .*whole is a cascade: give one of its parts"):
        recipe.run(arguments(corpus, tmp_path / "run", *more, system="cascade"))


def test_the_shorter_limit_of_two_encoders_is_the_cascades():
    enhancer, classifier = parts()
    cascade = Cascade(enhancer, classifier)
    found = []
    for limits in ((None, None), (30, None), (None, 20), (30, 20)):
        enhancer.encoder.max_seconds, classifier.encoder.max_seconds = limits
        found.append(cascade.max_seconds)
    assert found == [None, 30, 20, 20]


@torch.no_grad()
def test_embeddings_of_a_cascade_are_those_of_the_part_that_does_the_task(tmp_path):
    enhancer, classifier = parts()
    cascade = Cascade(enhancer, classifier).eval()
    merit = MeritInterface.from_hparams(write_pretrained(tmp_path / "m", cascade, LABELS, "# C"))
    wavs = torch.randn(1, 8000)
    embedding = merit.encode_batch(wavs)[:, 0]
    torch.testing.assert_close(classifier.emotion.out(embedding), cascade(wavs).logits)
    frames = merit.encode_batch(wavs, frames=True, task="se")
    _, hidden, lengths = enhancer.hear(wavs)
    torch.testing.assert_close(frames, enhancer.integration(hidden, lengths, ("se",)).se)


def test_int8_weights_are_no_part(corpus, folder, tmp_path):  # noqa: F811
    write_pretrained(tmp_path / "int8", tiny_merit(), LABELS, "# int8", precision="int8")
    more = ["--enhancer", str(tmp_path / "int8")]
    with pytest.raises(SettingsError, match="int8 weights, which do not train"):
        recipe.run(arguments(corpus, tmp_path / "run", *more, system="cascade"))
