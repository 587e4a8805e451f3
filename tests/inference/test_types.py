"""Number types, devices and lengths as callers have them: the right result, or a clear word."""

import copy

import numpy as np
import pytest
import soundfile as sf
import torch
from transformers import WavLMConfig, WavLMModel

from speechbrain_merit.errors import SettingsError
from speechbrain_merit.export.folder import write_pretrained
from speechbrain_merit.inference import MeritInterface
from speechbrain_merit.inference.batches import relative, unpadded
from speechbrain_merit.lobes.emotion import EmotionHead
from speechbrain_merit.lobes.encoders import build_encoder
from speechbrain_merit.lobes.enhancement import EnhancementHead
from speechbrain_merit.lobes.integration import WeightedSum
from speechbrain_merit.lobes.merit import Merit
from speechbrain_merit.lobes.self_supervised import SelfSupervisedHidden
from tests.inference.test_inference import LABELS, RATE, batch, wave
from tests.tiny import WIDTH, tiny_dual_path, tiny_merit

HALVES = {"half": torch.float16, "bfloat16": torch.bfloat16}
#: How far half precision may lie from float32: of the loudest sample, and of a probability.
WAVE, PROBABILITY = 0.02, 0.02


def wavlm_merit():
    """A tiny network of WavLM's form, a weighted sum of its layers, and a head for attributes."""
    config = WavLMConfig(
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=[16] * 7,
        num_conv_pos_embedding_groups=2,
    )
    encoder = SelfSupervisedHidden(WavLMModel(config), normalise=True)
    heads = EnhancementHead(WIDTH, hidden=16), EmotionHead(WIDTH, n_classes=4)
    return Merit(encoder, WeightedSum(3, WIDTH), *heads, attributes=EmotionHead(WIDTH, 2)).eval()


def mini_merit():
    """The small encoder that is trained from scratch, and the same heads."""
    heads = EnhancementHead(96, hidden=16), EmotionHead(96, n_classes=4)
    return Merit(build_encoder("mini"), WeightedSum(3, 96), *heads).eval()


BUILD = {
    "whisper": tiny_merit,
    "dual-path": lambda: tiny_merit(enhancement=tiny_dual_path()),
    "whisper-int8": tiny_merit,
    "mini": mini_merit,
    "wavlm": wavlm_merit,
}


@pytest.fixture(scope="module", params=BUILD)
def folder(request, tmp_path_factory):
    """A pretrained folder of each form that computes in a way of its own."""
    torch.manual_seed(0)
    precision = "int8" if request.param.endswith("int8") else "fp32"
    facts = {"attributes": ["arousal", "valence"]} if request.param == "wavlm" else {}
    path, model = tmp_path_factory.mktemp("types") / "model", BUILD[request.param]()
    return write_pretrained(path, model, LABELS, "# tiny", precision, 2.0, facts)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A recording of five seconds."""
    path = tmp_path_factory.mktemp("recording") / "a.wav"
    sf.write(path, wave(5), RATE)
    return path


def load(folder):
    return MeritInterface.from_hparams(folder, run_opts={"device": "cpu"})


def results(merit, path):
    """Waves, and numbers in 0 … 1, of every road through an interface."""
    wavs, lengths = batch(1.0, 0.6)[0], torch.tensor([RATE, round(0.6 * RATE)])
    analysis = merit.analyse_file(path)
    (silence,) = merit.analyse_batch(torch.zeros(1, RATE))
    assert silence.probabilities is None
    assert len(analysis.segments) >= 1 and analysis.experts.keys() <= {"se", "ser"}
    waves = [analysis.enhanced, merit.enhance_file(path), merit.enhance_batch(wavs, lengths)]
    waves += [one.enhanced for one in merit.analyse_batch(wavs, lengths)]
    numbers = [merit.classify_file(path)[0], merit.classify_batch(wavs, lengths)[0]]
    assert all(values.dtype == torch.float32 for values in waves + numbers)
    return waves, numbers


def assert_close(found, expected, wave_limit, number_limit):
    for ours, theirs in zip(found[0], expected[0]):
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() <= wave_limit * theirs.abs().max()
    for ours, theirs in zip(found[1], expected[1]):
        assert (ours - theirs).abs().max() <= number_limit


@pytest.mark.parametrize("dtype", HALVES.values(), ids=HALVES)
def test_autocast_changes_no_more_than_its_rounding(folder, path, dtype):
    merit = load(folder)
    expected = results(merit, path)
    with torch.autocast("cpu", dtype):
        found = results(merit, path)
    assert_close(found, expected, WAVE, PROBABILITY)


@pytest.mark.parametrize("name", HALVES)
def test_an_interface_in_half_precision_computes_in_it(folder, path, name):
    merit = load(folder)
    expected = results(merit, path)
    half = getattr(copy.deepcopy(merit), name)()
    heard = []
    half.model.enhancement.leave.register_forward_hook(lambda *a: heard.append(a[2].dtype))
    assert_close(results(half, path), expected, WAVE, PROBABILITY)
    assert set(heard) == {HALVES[name]}


def test_an_interface_in_double_precision_gives_the_same(folder, path):
    merit = load(folder)
    expected = results(merit, path)
    assert_close(results(merit.double(), path), expected, 1e-4, 1e-4)


@pytest.mark.parametrize("default", [torch.float64, torch.float16])
@pytest.mark.parametrize("when", ["before loading", "after loading"])
def test_torch_default_type_changes_nothing(folder, path, when, default):
    merit = load(folder)
    expected = results(merit, path)
    torch.set_default_dtype(default)
    try:
        merit = load(folder) if when == "before loading" else merit
        found = results(merit, path)
    finally:
        torch.set_default_dtype(torch.float32)
    assert_close(found, expected, 1e-4, 1e-4)


@pytest.fixture(scope="module")
def merit(tmp_path_factory):
    """A tiny interface."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("tiny") / "model"
    return load(write_pretrained(path, tiny_merit(), LABELS, "# t", facts={"window_seconds": 4}))


def test_where_the_network_goes_the_interface_says_it_is(merit):
    assert merit.device == "cpu"
    merit = copy.deepcopy(merit)
    assert merit.to("meta").device == "meta"
    other = copy.deepcopy(merit)
    other.model.to_empty(device="cpu")
    assert other.device == "cpu" and merit.device == "meta"


def test_a_device_that_is_set_takes_the_network_along(merit):
    merit = copy.deepcopy(merit)
    merit.device = "meta"
    assert merit.device == "meta"
    assert {value.device.type for value in merit.parameters()} == {"meta"}


def test_it_is_loaded_onto_the_device_that_is_asked_for():
    merit = MeritInterface.shipped(run_opts={"device": "meta"})
    assert merit.device == "meta"
    assert {value.device.type for value in merit.parameters()} == {"meta"}


@pytest.mark.parametrize("device", ["gpu", "0", f"cuda:{torch.cuda.device_count()}"])
def test_a_device_that_is_not_here_is_named(device):
    with pytest.raises(SettingsError, match=f"device: {device} is .* give cpu"):
        MeritInterface.shipped(run_opts={"device": device})


@pytest.mark.parametrize("seconds", [(1.0, 0.6), (4.5, 0.9)])  # in one pass, and in windows
def test_lengths_may_be_samples_and_arrays(merit, seconds):
    wavs, given = batch(*seconds)
    counts = [round(s * RATE) for s in seconds]
    expected = merit.enhance_batch(wavs, given), merit.classify_batch(wavs, given)[0]
    assert [analysis.duration for analysis in merit.analyse_batch(wavs, given)] == list(seconds)
    for lengths in (torch.tensor(counts), given.numpy()):
        assert torch.equal(merit.enhance_batch(wavs.numpy(), lengths), expected[0])
        assert torch.equal(merit.classify_batch(wavs, lengths)[0], expected[1])
        assert [a.duration for a in merit.analyse_batch(wavs, lengths)] == list(seconds)
    for lengths in (
        torch.tensor(counts, dtype=torch.int32),
        np.array(counts),
        counts,
        given.numpy().astype(np.float64),
        given.tolist(),
    ):
        torch.testing.assert_close(relative(lengths, *wavs.shape).float(), given)


def test_samples_of_an_hour_are_counted_to_the_last(merit):
    hour = 3600 * RATE
    for count in (hour - 1, hour // 3 + 1, 12345677):
        lengths = relative([hour, count], 2, hour)
        assert [len(w) for w in unpadded(torch.zeros(1).expand(2, hour), lengths)] == [hour, count]


@pytest.mark.parametrize(
    "lengths",
    [
        torch.tensor([16000.0, 9600.0]),  # samples as floats: 0.6 and 9600 cannot both be meant
        np.array([1.2, 0.6]),
        torch.tensor([1.0, 0.0]),
        torch.tensor([1.0, -0.5]),
        torch.tensor([1.0, float("nan")]),
        torch.tensor([16000, 16001]),
        torch.tensor([16000, 0]),
        torch.tensor([True, True]),
        torch.tensor([1.0, 0.6j]),
    ],
)
def test_lengths_that_can_mean_nothing_are_refused(merit, lengths):
    wavs, _ = batch(1.0, 0.6)
    for attempt in (merit.enhance_batch, merit.classify_batch, merit.analyse_batch):
        with pytest.raises(ValueError, match="relative ones.*numbers of samples.*16000"):
            attempt(wavs, lengths)
