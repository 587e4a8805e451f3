"""Graphs for ONNX Runtime: what they give is what the network gives, without PyTorch."""

import importlib.util
import json
import os
import subprocess
import sys
import venv

import numpy as np
import pytest
import soundfile as sf
import torch

from speechbrain_merit.__main__ import main
from speechbrain_merit.errors import PretrainedError, SettingsError
from speechbrain_merit.export import onnx_folder
from speechbrain_merit.export.folder import write_pretrained
from speechbrain_merit.export.loading import shipped_model
from speechbrain_merit.inference import MeritInterface
from speechbrain_merit.lobes.cascade import Cascade
from speechbrain_merit.lobes.emotion import EmotionHead
from speechbrain_merit.lobes.encoders import build_encoder
from speechbrain_merit.lobes.enhancement import EnhancementHead
from speechbrain_merit.lobes.integration import MixtureOfExperts
from speechbrain_merit.lobes.merit import Merit
from speechbrain_merit.training.exporting import export
from tests.export.test_export import LABELS, networks
from tests.tiny import tiny_merit

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

RATE = 16000
#: What a program without PyTorch does not have.
BLOCKED = ("torch", "torchaudio", "speechbrain", "speechbrain_merit", "transformers", "scipy",
           "soxr", "onnx")  # fmt: skip
ALONE = f"""
import runpy, sys
for name in {BLOCKED}:
    sys.modules[name] = None  # whoever imports it fails
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def mini():
    torch.manual_seed(0)
    heads = EnhancementHead(96, hidden=32), EmotionHead(96, 4)
    return Merit(build_encoder("mini"), MixtureOfExperts(3, 96), *heads)


def voice(seconds, rate=RATE, seed=0, channels=1):
    """Tones that come and go over a little noise which, as speech, has little at the highest."""
    rng, time = np.random.default_rng(seed), np.arange(int(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * 220 * time) * np.clip(np.sin(2 * np.pi * 0.7 * time), 0, 1)
    wave = 0.2 * tone + 0.02 * np.convolve(rng.standard_normal(len(time)), np.hanning(9), "same")
    wave = np.stack([wave * (1 - 0.3 * c) for c in range(channels)], axis=1)
    return np.ascontiguousarray(wave, dtype=np.float32)


def decibels(found, expected):
    return 10 * np.log10(np.square(expected).sum() / np.square(found - expected).sum())


def script(folder):
    """The module ``merit_onnx`` of a folder."""
    spec = importlib.util.spec_from_file_location("merit_onnx", folder / "merit_onnx.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load(folder):
    return MeritInterface.from_hparams(folder, run_opts={"device": "cpu"})


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A pretrained folder of a small network, and the graphs of it."""
    folder = tmp_path_factory.mktemp("pair")
    facts = {"window_seconds": 4}
    made = write_pretrained(folder / "model", mini().eval(), LABELS, "# card", "fp32", 1.7, facts)
    return made, export(made, folder / "graphs", onnx=True)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The graphs of merit-tiny."""
    return export(shipped_model(), tmp_path_factory.mktemp("tiny") / "graphs", onnx=True)


@pytest.mark.parametrize("name", [*(name for name, _ in networks()), "mini"])
def test_every_network_gives_the_same_as_graphs(name, tmp_path):
    torch.manual_seed(1)
    model = {**dict(networks()), "mini": mini()}[name].eval().requires_grad_(False)
    about = {"labels": LABELS, "temperature": 1.3, "window_seconds": 10}
    folder = onnx_folder.write_onnx(tmp_path / "graphs", model, about, "# card")
    for seconds in (0.3, 1.0, 4.321):
        wave = torch.from_numpy(voice(seconds)[:, 0])[None]
        with torch.inference_mode():
            expected = model(wave)
        if "se" in model.tasks:
            session = onnxruntime.InferenceSession(folder / "enhancement.onnx")
            (found,) = session.run(["enhanced"], {"wave": wave.numpy()})
            assert found.shape == wave.shape and decibels(found, expected.waves.numpy()) > 60
        else:
            assert not (folder / "enhancement.onnx").exists()
        if model.emotion is not None:
            session = onnxruntime.InferenceSession(folder / "emotion.onnx")
            names = [output.name for output in session.get_outputs()]
            found = dict(zip(names, session.run(None, {"wave": wave.numpy()})))
            probabilities = (expected.logits / 1.3).softmax(dim=-1).numpy()
            assert np.abs(found["probabilities"] - probabilities).max() < 1e-4
            if model.attributes is not None:
                assert np.abs(found["attributes"] - expected.attributes.numpy()).max() < 1e-4


def test_metadata_tells_all_that_a_program_has_to_know(pair):
    for name, task in (("emotion", "ser"), ("enhancement", "se")):
        session = onnxruntime.InferenceSession(pair[1] / f"{name}.onnx")
        stored = session.get_modelmeta().custom_metadata_map
        about = {key: json.loads(text) for key, text in stored.items()}
        assert about["labels"] == LABELS and about["temperature"] == 1.7 and about["task"] == task
        assert about["level"] == {"rule": "FixedRMS", "rms": 1.0}
        assert (about["sample_rate"], about["window_seconds"]) == (16000, 4)
        assert about["shortest_samples"] == 400 and about["max_seconds"] is None
        (given,) = session.get_inputs()
        assert (given.name, given.shape) == ("wave", [1, "samples"])


@pytest.mark.parametrize(
    "seconds, rate, channels", [(0.2, RATE, 1), (4, RATE, 1), (11.3, RATE, 2), (9.1, 44100, 2)]
)
def test_the_script_hears_recordings_as_the_interface_does(pair, tmp_path, seconds, rate, channels):
    path = tmp_path / "a.wav"
    sf.write(path, voice(seconds, rate, channels=channels) + 0.05, rate, subtype="FLOAT")
    merit, graphs = load(pair[0]), script(pair[1]).MeritOnnx(pair[1])
    expected, found = merit.enhance_file(path).numpy(), graphs.enhance(path)
    assert found.dtype == np.float32 and decibels(found, expected) > 60
    label, probabilities = graphs.classify(path)
    truth, _, _, (name,) = merit.classify_file(path)
    assert label == name and list(probabilities) == LABELS
    assert np.abs(np.array(list(probabilities.values())) - truth[0].numpy()).max() < 1e-4


def test_channels_that_cancel_each_other_are_one_there_too(pair, tmp_path):
    path = tmp_path / "a.wav"
    wave = voice(2)
    sf.write(path, np.concatenate([wave, -wave], axis=1), RATE, subtype="FLOAT")
    found = script(pair[1]).MeritOnnx(pair[1]).enhance(path)
    assert decibels(found, load(pair[0]).enhance_file(path).numpy()) > 60


def test_the_script_runs_where_neither_torch_nor_speechbrain_can_be_imported(pair, tmp_path):
    sf.write(tmp_path / "call.wav", voice(9, 22050), 22050, subtype="FLOAT")
    (tmp_path / "text.wav").write_text("no sound at all\n" * 100)
    command = [sys.executable, "-c", ALONE, str(pair[1] / "merit_onnx.py")]
    done = subprocess.run(
        [*command, "call.wav", "text.wav", "--out", "clean"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and done.stderr.startswith("text.wav: cannot be read")
    assert "Traceback" not in done.stderr
    (line,) = done.stdout.splitlines()
    found, merit = json.loads(line), load(pair[0])
    assert found["emotion"] == merit.classify_file(tmp_path / "call.wav")[3][0]
    clean, rate = sf.read(tmp_path / found["enhanced_path"], dtype="float32")
    expected = merit.enhance_file(tmp_path / "call.wav").numpy()
    assert rate == RATE and decibels(clean, expected) > 60


@pytest.mark.long
def test_the_script_runs_in_an_environment_of_its_three_packages(tiny, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    needed = ["numpy", "onnxruntime", "soundfile"]
    subprocess.run([python, "-m", "pip", "install", "-q", *needed], check=True)
    sf.write(tmp_path / "call.wav", voice(25), RATE, subtype="FLOAT")
    done = subprocess.run(
        [python, tiny / "merit_onnx.py", tmp_path / "call.wav", "--out", tmp_path / "clean"],
        capture_output=True,
        text=True,
        check=True,
    )
    found, merit = json.loads(done.stdout), load(shipped_model())
    truth = merit.classify_file(tmp_path / "call.wav")[0][0].numpy()
    assert np.abs(np.array(list(found["probabilities"].values())) - truth).max() < 1e-4
    clean = sf.read(found["enhanced_path"], dtype="float32")[0]
    assert decibels(clean, merit.enhance_file(tmp_path / "call.wav").numpy()) > 60


def test_samples_that_are_no_recording_are_refused_in_a_sentence(pair):
    merit = script(pair[1]).MeritOnnx(pair[1])
    nan = voice(1)
    nan[100] = np.nan
    for samples, rate, words in (
        (nan, RATE, "NaN"),
        (voice(0.05), RATE, "100 ms"),
        (voice(1), 3, "3 Hz"),
    ):
        with pytest.raises(ValueError, match=words):
            merit.classify((samples, rate))


def test_int8_is_a_third_of_the_size_and_close(tiny, tmp_path):
    made = export(shipped_model(), tmp_path / "int8", "int8", onnx=True)
    for name in ("emotion.onnx", "enhancement.onnx"):
        assert (made / name).stat().st_size < 0.4 * (tiny / name).stat().st_size
        nodes = onnx.load(made / name).graph.node
        kept = {node.name for node in nodes if node.op_type == "MatMul"}
        assert set(onnx_folder.KEPT[1:]) <= kept
    wave = voice(3), RATE
    exact, close = (script(folder).MeritOnnx(folder) for folder in (tiny, made))
    assert decibels(close.enhance(wave), exact.enhance(wave)) > 10
    one, other = (list(merit.classify(wave)[1].values()) for merit in (exact, close))
    assert np.abs(np.array(one) - other).max() < 0.1


def test_the_command_takes_a_pretrained_folder(pair, tmp_path, capsys):
    assert main(["export", str(pair[0]), str(tmp_path / "graphs"), "--onnx"]) == 0
    assert "merit_onnx.py RECORDING" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "graphs").iterdir()) == [
        *("README.md", "emotion.onnx", "enhancement.onnx", "merit_onnx.py")
    ]
    assert main(["export", str(pair[0]), str(tmp_path / "half"), "--precision", "fp16"]) == 0
    again, first = load(tmp_path / "half"), load(pair[0])
    assert again.window_seconds == 4 and again.hparams.temperature == 1.7
    wave = torch.from_numpy(voice(1)[:, 0])[None]
    assert decibels(again.enhance_batch(wave).numpy(), first.enhance_batch(wave).numpy()) > 30


def test_the_card_of_the_graphs_shows_how_they_are_used(tiny):
    card = (tiny / "README.md").read_text(encoding="utf-8")
    assert "python merit_onnx.py" in card and "MeritInterface" not in card
    assert "not for commercial use" in card


def test_what_cannot_be_exported_is_refused_in_a_sentence(pair, tmp_path, monkeypatch):
    graphs = tmp_path / "graphs"
    with pytest.raises(SettingsError, match="fp32 or int8"):
        export(pair[0], graphs, "fp16", onnx=True)
    small = export(pair[0], tmp_path / "small", "int8")
    with pytest.raises(PretrainedError, match="int8 weights already"):
        export(small, graphs, onnx=True)
    with pytest.raises(FileExistsError, match="another"):
        export(pair[0], pair[0], onnx=True)
    with pytest.raises(FileExistsError, match="no such folder as export makes"):
        export(pair[0], pair[0], onnx=True, overwrite=True)
    cascade = write_pretrained(tmp_path / "c", Cascade(tiny_merit(), tiny_merit()), LABELS, "# C")
    with pytest.raises(PretrainedError, match="A cascade is no one graph"):
        export(cascade, graphs, onnx=True)
    monkeypatch.setattr(
        onnx_folder.Graph, "forward", lambda self, wave: (wave * torch.special.bessel_j0(wave),)
    )
    with pytest.raises(PretrainedError, match="ONNX cannot hold this network"):
        export(pair[0], graphs, onnx=True)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(SettingsError, match=r"speechbrain_merit\[onnx\]"):
        export(pair[0], graphs, onnx=True)
    assert not graphs.exists()


def test_a_graph_that_holds_for_one_length_alone_is_not_written(tmp_path, monkeypatch):
    def fixed(self, wave):
        return (torch.cat([wave, torch.zeros(1, 16000)], dim=1)[:, : int(wave.shape[1])] + 1,)

    monkeypatch.setattr(onnx_folder.Graph, "forward", fixed)
    about = {"labels": LABELS, "temperature": 1.0, "window_seconds": 10}
    with pytest.raises(PretrainedError, match="at 400 samples it gives other results|fails at 400"):
        onnx_folder.write_onnx(tmp_path / "graphs", tiny_merit(), about)
    assert not list(tmp_path.iterdir())
