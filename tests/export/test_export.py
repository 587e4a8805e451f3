"""A trained model as a folder: what it holds, that it loads anywhere, and what is refused."""

import os
import shutil

import numpy as np
import pytest
import torch
from speechbrain.inference.interfaces import foreign_class
from transformers import AutoModel, HubertConfig, Wav2Vec2Config, WavLMConfig

from speechbrain_merit.data.corpora import RECIPES
from speechbrain_merit.errors import PretrainedError
from speechbrain_merit.evaluation.calibration import fit_temperature
from speechbrain_merit.export.folder import write_pretrained
from speechbrain_merit.inference import MeritInterface
from speechbrain_merit.labels import label_encoder
from speechbrain_merit.lobes.emotion import EmotionHead
from speechbrain_merit.lobes.enhancement import EnhancementHead
from speechbrain_merit.lobes.integration import MixtureOfExperts, WeightedSum
from speechbrain_merit.lobes.level import CorpusStatistics
from speechbrain_merit.lobes.merit import Merit
from speechbrain_merit.lobes.self_supervised import SelfSupervisedHidden
from speechbrain_merit.training import run as recipe
from speechbrain_merit.training.exporting import export
from speechbrain_merit.training.finished import best_checkpoint, export_run
from tests.tiny import WIDTH, tiny_dual_path, tiny_encoder, tiny_merit
from tests.training.test_run import arguments, corpus  # noqa: F401 (a fixture)

LABELS = ["angry", "sad", "happy", "neutral"]
WAVE = torch.randn(2, 8000, generator=torch.Generator().manual_seed(0))


def load(folder):
    return MeritInterface.from_hparams(folder, run_opts={"device": "cpu"})


@pytest.fixture
def folder(tmp_path):
    """A pretrained folder of a tiny network, which a test may spoil."""
    return write_pretrained(tmp_path / "tiny", tiny_merit(), LABELS, "# tiny")


def self_supervised(config_class, norm):
    config = config_class(
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=[8] * 7,
        num_conv_pos_embedding_groups=2,
        feat_extract_norm=norm,
        do_stable_layer_norm=norm == "layer",
    )
    return SelfSupervisedHidden(AutoModel.from_config(config), normalise=norm == "layer")


def heads():
    return EnhancementHead(WIDTH, hidden=8, n_layers=1), EmotionHead(WIDTH, 4, hidden=12)


def networks():
    whisper = tiny_encoder()
    yield "whisper", tiny_merit()
    yield "dual path", tiny_merit(enhancement=tiny_dual_path())
    yield "low rank, dense", tiny_merit(routing="dense", n_experts=2, expert_rank=4)
    yield "top 2", tiny_merit(top_k=2, expert_hidden=24)
    yield "weighted sum", Merit(whisper, WeightedSum(3, WIDTH), *heads())
    yield "emotion alone", Merit(whisper, WeightedSum(3, WIDTH), None, heads()[1])
    yield "enhancement alone", Merit(whisper, WeightedSum(3, WIDTH), heads()[0], None)
    attributes = EmotionHead(WIDTH, 3)
    yield "attributes", Merit(whisper, WeightedSum(3, WIDTH), *heads(), attributes=attributes)
    level = CorpusStatistics(0.01, 0.3)
    for config, norm in (
        (WavLMConfig, "layer"),
        (HubertConfig, "group"),
        (Wav2Vec2Config, "layer"),
    ):
        encoder = self_supervised(config, norm)
        network = Merit(encoder, MixtureOfExperts(3, WIDTH), *heads(), level=level)
        yield config.model_type, network


@pytest.mark.parametrize("name", [name for name, _ in networks()])
def test_an_export_gives_bit_for_bit_what_the_model_gives(name, tmp_path, monkeypatch):
    # torch rounds WavLM's attention otherwise where a gradient might be wanted
    model = dict(networks())[name].eval().requires_grad_(False)
    facts = {"attributes": ["arousal", "valence", "dominance"]}  # as training writes it, always
    written = write_pretrained(tmp_path / "a", model, LABELS, "# card", facts=facts)
    moved = tmp_path / "elsewhere"
    shutil.move(written, moved)
    monkeypatch.setattr("transformers.PreTrainedModel.from_pretrained", None)  # no other source
    loaded = load(moved).model
    with torch.inference_mode():
        for lengths in (torch.tensor([1.0, 0.6]), None):  # with padding, and without
            ours, theirs = model(WAVE, lengths), loaded(WAVE, lengths)
            for field in ("logits", "waves", "attributes"):
                a, b = getattr(ours, field), getattr(theirs, field)
                assert (a is None and b is None) or torch.equal(a, b), field
    state = model.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in loaded.state_dict().items())


@pytest.mark.parametrize("precision, bits, size", [("fp16", 30, 0.6), ("int8", 20, 0.6)])
def test_smaller_exports_stay_close(precision, bits, size, tmp_path):
    torch.manual_seed(0)
    encoder = tiny_encoder(d_model=64, encoder_ffn_dim=256)
    heads = EnhancementHead(64), EmotionHead(64, 4)
    model = Merit(encoder, MixtureOfExperts(3, 64), *heads).eval()
    whole = write_pretrained(tmp_path / "whole", model, LABELS, "# card")
    small = write_pretrained(tmp_path / "small", model, LABELS, "# card", precision=precision)
    sizes = [(f / "model.ckpt").stat().st_size for f in (small, whole)]
    assert sizes[0] < size * sizes[1]
    loaded = load(small)
    error = loaded.enhance_batch(WAVE) - load(whole).enhance_batch(WAVE)
    assert error.square().mean() < WAVE.square().mean() * 10 ** (-bits / 10)
    assert not any(p.dtype == torch.float16 for p in loaded.model.parameters())
    if precision == "int8":
        with pytest.raises(ValueError, match="int8 weights already"):
            write_pretrained(tmp_path / "again", loaded.model, LABELS, "# card")
    else:  # the model that was exported is as it was
        assert torch.equal(load(whole).model.emotion.out.weight, model.emotion.out.weight)


def test_speechbrains_foreign_class_loads_it(folder, tmp_path):
    merit = foreign_class(
        source=str(folder),
        pymodule_file="custom_interface.py",
        classname="CustomInterface",
        savedir=str(tmp_path / "save"),
        run_opts={"device": "cpu"},
    )
    assert torch.equal(merit.enhance_batch(WAVE), load(folder).enhance_batch(WAVE))


def test_a_savedir_of_another_model_is_not_taken(folder, tmp_path):
    other = write_pretrained(tmp_path / "other", tiny_merit(), LABELS, "# other")
    for source in (folder, other):
        merit = MeritInterface.from_hparams(source, savedir=tmp_path / "save")
        assert torch.equal(merit.enhance_batch(WAVE), load(source).enhance_batch(WAVE))


@pytest.mark.parametrize("name", ["hyperparams.yaml", "model.ckpt", "label_encoder.txt"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(PretrainedError, match=name):
        load(folder)


def test_a_run_is_not_taken_for_its_pretrained_folder(folder, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(folder / "hyperparams.yaml", run)
    shutil.move(folder, run / "pretrained")
    with pytest.raises(PretrainedError, match="Give .*pretrained"):
        load(run)


def test_hyperparams_that_are_cut_off_are_named(folder):
    path = folder / "hyperparams.yaml"
    text = path.read_text(encoding="utf-8")
    places = ["temperature", "isper\n", "n_experts: 3", "model: !new", "pretrainer", "    labels"]
    for length in [0, *(text.index(place) + 3 for place in places)]:
        path.write_text(text[:length], encoding="utf-8")
        with pytest.raises(PretrainedError, match="hyperparams.yaml: cannot be used"):
            load(folder)


def test_a_file_that_is_cut_off_is_named(folder):
    data = (folder / "model.ckpt").read_bytes()
    for length in (0, 100, len(data) // 2, len(data) - 10):
        (folder / "model.ckpt").write_bytes(data[:length])
        with pytest.raises(PretrainedError, match="model.ckpt: is cut off"):
            load(folder)


def test_a_wrong_label_encoder_is_named(folder):
    path = folder / "label_encoder.txt"
    label_encoder(LABELS[::-1]).save(path)
    with pytest.raises(PretrainedError, match="label_encoder.txt: holds the labels neutral, happy"):
        load(folder)
    for text in ("", "so so"):
        path.write_text(text)
        with pytest.raises(PretrainedError, match="label_encoder.txt: is no label encoder"):
            load(folder)


def test_weights_that_do_not_fit_are_named(folder):
    state = torch.load(folder / "model.ckpt")

    def refused(change, *words):
        spoiled = dict(state)
        change(spoiled)
        torch.save(spoiled, folder / "model.ckpt")
        with pytest.raises(PretrainedError) as raised:
            load(folder)
        assert all(word in str(raised.value) for word in words), str(raised.value)

    refused(lambda s: s.pop("emotion.out.bias"), "missing: emotion.out.bias")
    refused(lambda s: s.update(more=torch.zeros(1)), "not of this model: more")
    wrong = {"emotion.out.bias": torch.zeros(7)}
    refused(lambda s: s.update(wrong), "emotion.out.bias is (7,) and must be (4,)")
    nan = {"emotion.out.bias": torch.full((4,), float("nan"))}
    refused(lambda s: s.update(nan), "NaN", "emotion.out.bias")


def test_nothing_else_is_written_over(tmp_path, monkeypatch):
    model = tiny_merit()
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError):
            write_pretrained(taken, model, LABELS, "# card", overwrite=overwrite)
    assert [p.name for p in taken.iterdir()] == ["thesis.txt"]
    first = write_pretrained(tmp_path / "a", model, LABELS, "# first")
    with pytest.raises(FileExistsError):
        write_pretrained(first, model, LABELS, "# second")
    monkeypatch.setattr(torch, "save", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_pretrained(first, model, LABELS, "# second", overwrite=True)
    writer = "inline_container.cc: unexpected pos 64 vs 0"  # torch's words for a full disk
    monkeypatch.setattr(torch, "save", lambda *a: (_ for _ in ()).throw(RuntimeError(writer)))
    with pytest.raises(OSError, match=f"{first}: cannot be written, is the disk full"):
        write_pretrained(first, model, LABELS, "# second", overwrite=True)
    assert (first / "README.md").read_text() == "# first\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "taken"]


def test_what_a_file_browser_leaves_is_no_file_of_somebody(tmp_path):
    folder = write_pretrained(tmp_path / "a", tiny_merit(), LABELS, "# first")
    for name in (".DS_Store", "._model.ckpt", "Thumbs.db"):
        (folder / name).touch()
    write_pretrained(folder, tiny_merit(), LABELS, "# second", overwrite=True)
    assert (folder / "README.md").read_text() == "# second\n"


def test_the_temperature_makes_probabilities_honest():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 3000)
    logits = 3 * (rng.normal(size=(3000, 3)) + 1.5 * np.eye(3)[truth])
    temperature = fit_temperature(logits, truth)
    scaled = np.exp(logits / temperature)
    confidence = (scaled / scaled.sum(axis=1, keepdims=True)).max(axis=1)
    assert abs(confidence.mean() - (logits.argmax(axis=1) == truth).mean()) < 0.01
    with pytest.raises(ValueError, match="calibration"):
        fit_temperature(np.zeros((0, 3)), [])


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory):  # noqa: F811
    """The folder of a finished run, with what its evaluation would leave."""
    output = tmp_path_factory.mktemp("run") / "merit"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(RECIPES.parent)
        recipe.run(arguments(corpus, output, "--number_of_epochs", "1", "--skip_test", "True"))
    (output / "evaluation").mkdir()
    (output / "evaluation" / "metrics.md").write_text("| Condition | n |\n| clean | 4 |\n")
    return output


def test_a_run_ends_with_its_pretrained_folder(run, tmp_path):
    made = run / "pretrained"
    state = torch.load(made / "model.ckpt", weights_only=True)
    best = torch.load(best_checkpoint(run) / "model.ckpt", weights_only=True)
    assert state.keys() == best.keys() and all(torch.equal(state[k], best[k]) for k in best)
    assert "not scored" in (made / "README.md").read_text(encoding="utf-8")
    facts = load(made).hparams
    assert facts.labels == LABELS and facts.temperature != 1.0
    for name in ("hyperparams.yaml", "README.md"):  # no path of this machine
        assert str(run.parents[1]) not in (made / name).read_text(encoding="utf-8")
    exported = export_run(run, tmp_path / "fp16", "fp16")
    assert load(exported).hparams.temperature == facts.temperature
    card = (exported / "README.md").read_text(encoding="utf-8")
    table = (run / "evaluation" / "metrics.md").read_text(encoding="utf-8").strip()
    assert table in card and "Intended use" in card and "Limits" in card


def test_a_note_in_that_folder_stops_no_finished_run(run, corpus, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(RECIPES.parent)
    copied = tmp_path / "merit"
    shutil.copytree(run, copied)
    (copied / "pretrained" / "note.txt").write_text("mine")
    before = (copied / "pretrained" / "hyperparams.yaml").read_text()
    recipe.run(arguments(corpus, copied, "--number_of_epochs", "2", "--skip_test", "True"))
    assert f"merit export {copied} OUT" in (copied / "log.txt").read_text()
    assert (copied / "pretrained" / "note.txt").read_text() == "mine"
    assert (copied / "pretrained" / "hyperparams.yaml").read_text() == before
    assert load(export_run(copied, tmp_path / "out")).hparams.checkpoint


def test_a_run_without_that_folder_is_exported_from_its_checkpoint(run, tmp_path, monkeypatch):
    copied = tmp_path / "run"
    shutil.copytree(run, copied)
    shutil.rmtree(copied / "pretrained")
    monkeypatch.chdir(RECIPES.parent)
    again = export_run(copied, tmp_path / "again")
    ours, theirs = load(again), load(run / "pretrained")
    assert torch.equal(ours.enhance_batch(WAVE), theirs.enhance_batch(WAVE))
    assert ours.hparams.temperature == pytest.approx(theirs.hparams.temperature, rel=1e-4)
    text = (copied / "hyperparams.yaml").read_text()
    (copied / "hyperparams.yaml").write_text(text.replace(str(run.parent.parent), "/nowhere"))
    for name in ("valid.json", "temperature.json"):  # which training has kept
        (copied / "save" / name).unlink()
    apart = load(export_run(copied, tmp_path / "apart"))
    assert apart.hparams.temperature == 1.0
    card = (tmp_path / "apart" / "README.md").read_text()
    assert "not calibrated" in card
    # what the corpus said of itself, though its folder is not to be found any more
    assert "| My-Corpus | CC BY 4.0 | ask its owners |" in card and "language:\n- da\n" in card


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match="hyperparams.yaml"):
        export_run(tmp_path, tmp_path / "out")
    (tmp_path / "hyperparams.yaml").write_text("seed: 1")
    with pytest.raises(ValueError, match="train first"):
        export_run(tmp_path, tmp_path / "out")


def test_a_run_is_exported_to_graphs_too(run, tmp_path):
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    folder = export(run, tmp_path / "graphs", onnx=True)
    assert {"emotion.onnx", "enhancement.onnx", "merit_onnx.py"} <= set(os.listdir(folder))
