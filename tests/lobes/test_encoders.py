"""Encoders: transformers' own hidden states, at 50 Hz, with padding that changes nothing."""

import copy
import json
import shutil

import pytest
import released_reference as reference
import torch
from safetensors.torch import load_file, save_file
from tiny import agree, pad, with_garbage
from transformers import (
    BertConfig,
    HubertConfig,
    HubertModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)

from speechbrain_merit.export.folder import write_pretrained
from speechbrain_merit.lobes.emotion import EmotionHead
from speechbrain_merit.lobes.encoder_config import encoder_config, encoder_from_config
from speechbrain_merit.lobes.encoders import SelfSupervisedHidden, build_encoder
from speechbrain_merit.lobes.integration import WeightedSum
from speechbrain_merit.lobes.level import CorpusStatistics
from speechbrain_merit.lobes.merit import Merit
from speechbrain_merit.lobes.self_supervised import layer_states
from speechbrain_merit.released import convert, keys

CLASSES = {
    "wavlm": (WavLMConfig, WavLMModel),
    "hubert": (HubertConfig, HubertModel),
    "wav2vec2": (Wav2Vec2Config, Wav2Vec2Model),
}
SELF_SUPERVISED = [f"{family}-{norm}" for family in CLASSES for norm in ("layer", "group")]
WHISPER = ["whisper", "real-whisper"]
PRETRAINED = [*SELF_SUPERVISED, *WHISPER]
EVERY = ["mini", *PRETRAINED]
# Lengths of a batch: neither hops nor strides divide them all, and the mel frames of one are odd.
SAMPLES = (16000, 9800, 6543)


def make_self_supervised(name, folder, **more):
    """Saves a small random model of a family in the form of its base or its large variant."""
    family, norm = name.split("-")
    config_class, model_class = CLASSES[family]
    torch.manual_seed(0)
    model = model_class(
        config_class(
            hidden_size=32,
            num_hidden_layers=3,
            num_attention_heads=2,
            intermediate_size=48,
            conv_dim=[16] * 7,
            conv_bias=norm == "layer",
            feat_extract_norm=norm,
            do_stable_layer_norm=norm == "layer",
            num_conv_pos_embeddings=16,
            num_conv_pos_embedding_groups=2,
            initializer_range=0.3,
            layerdrop=0.5,
            **more,
        )
    )
    model.save_pretrained(folder)
    return folder


def make_whisper(folder):
    """Saves a small random Whisper with its decoder, and 128 mel bands as in large-v3."""
    torch.manual_seed(0)
    config = WhisperConfig(
        d_model=32,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=48,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=48,
        num_mel_bins=128,
        vocab_size=60,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        dropout=0.1,
        init_std=0.3,
    )
    WhisperModel(config).save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=128).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """What ``--encoder`` is given for each encoder that needs nothing from outside."""
    root = tmp_path_factory.mktemp("encoders")
    made = {name: make_self_supervised(name, root / name) for name in SELF_SUPERVISED}
    for name, folder in made.items():
        normalise = name.endswith("layer")
        Wav2Vec2FeatureExtractor(do_normalize=normalise).save_pretrained(folder)
    return {"mini": "mini", "whisper": str(make_whisper(root / "whisper")), **made}


@pytest.fixture
def source(sources, request):
    """The ``--encoder`` of the name that the test is parametrised with."""
    if request.param == "real-whisper":
        shared = request.getfixturevalue("shared_data").parent
        return str(shared / "models" / "whisper-tiny.en-encoder")
    return str(sources[request.param])


@pytest.fixture
def encoder(source):
    """The encoder, frozen, in evaluation mode."""
    torch.manual_seed(0)
    return build_encoder(source).eval()


def every(names):
    return pytest.mark.parametrize("source", names, indirect=True)


def waves(counts=SAMPLES, seed=0):
    """Noise of different levels and offsets, so that each utterance has its own statistics."""
    torch.manual_seed(seed)
    return [0.1 * (i + 1) * torch.randn(count) + 0.02 * i for i, count in enumerate(counts)]


def fading_wave(n_samples):
    """Noise that fades by 100 dB, past Whisper's floor of 80, at the level our encoder gives."""
    wave = waves((n_samples,))[0] * torch.logspace(0, -5, n_samples)
    return wave * 0.1 / wave.square().mean().sqrt()


def transformer_layers(encoder):
    model = encoder.model
    return model.layers if hasattr(model, "layers") else model.encoder.layers


# Shapes


@every(EVERY)
@pytest.mark.parametrize("seconds", [1, 3])
def test_every_layer_at_fifty_frames_a_second(encoder, seconds):
    hidden = encoder(torch.randn(2, seconds * 16000))
    n_layers = len(transformer_layers(encoder))
    assert encoder.n_hidden == n_layers + 1
    n_frames = hidden.shape[2]
    assert hidden.shape == (n_layers + 1, 2, n_frames, encoder.width)
    # a convolution without padding over the wave loses a frame at the edge
    edge = 1 if isinstance(encoder, SelfSupervisedHidden) else 0
    assert n_frames == 50 * seconds - edge


@every(EVERY)
def test_frame_lengths_count_the_frames_of_each_utterance_alone(encoder):
    singles = waves()
    batch, lengths = pad(singles)
    n_frames = encoder(batch, lengths).shape[2]
    counts = encoder.frame_lengths(batch, lengths) * n_frames
    alone = [encoder(wave[None]).shape[2] for wave in singles]
    assert counts.round().int().tolist() == alone
    assert encoder.frame_lengths(batch, None) is None


# Padding


@every(EVERY)
def test_an_utterance_in_a_batch_gives_what_it_gives_alone(encoder):
    singles = waves()
    hidden = encoder(*pad(singles))
    for row, wave in enumerate(singles):
        alone = encoder(wave[None])[:, 0]
        n_frames = alone.shape[1]
        for layer in range(encoder.n_hidden):
            agree(hidden[layer, row, :n_frames], alone[layer])
        assert not hidden[:, row, n_frames:].any()


@every(EVERY)
def test_what_lies_in_the_padding_is_never_heard(encoder):
    batch, lengths = pad(waves())
    agree(encoder(with_garbage(batch, SAMPLES), lengths), encoder(batch, lengths))


@every(EVERY)
def test_a_batch_of_equal_lengths_gives_the_same_with_and_without_lengths(encoder):
    batch = torch.stack(waves((8000, 8000)))
    agree(encoder(batch, torch.ones(2)), encoder(batch))


@every(EVERY)
def test_padding_beyond_the_longest_utterance_changes_nothing(encoder):
    wave = waves((8000,))[0][None]
    longer = torch.nn.functional.pad(wave, (0, 4000))
    alone = encoder(wave)
    padded = encoder(longer, torch.tensor([8000 / 12000]))
    agree(padded[:, :, : alone.shape[2]], alone)
    assert not padded[:, :, alone.shape[2] :].any()


# Agreement with transformers


@every(SELF_SUPERVISED)
def test_hidden_states_are_those_of_transformers(encoder, source):
    wave = 10 * waves((7000,))[0]  # theirs adds 1e-7 to the variance, which loud waves never feel
    model = CLASSES[encoder.model.config.model_type][1].from_pretrained(source).eval()
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(source)
    heard = extractor(wave.numpy(), sampling_rate=16000, return_tensors="pt").input_values
    with torch.no_grad():
        theirs = model(heard, output_hidden_states=True)
        ours = encoder(wave[None])
        for layer in range(encoder.n_hidden - 1):
            agree(ours[layer], theirs.hidden_states[layer])
        last = ours[-1]
        if model.config.do_stable_layer_norm:  # theirs is normalised once more at the end
            last = model.encoder.layer_norm(last)
        agree(last, theirs.last_hidden_state)


# WavLM-Large to the letter


@pytest.fixture(scope="module")
def large_form():
    """A small WavLM in the form of the large one, and the same weights in Microsoft's names."""
    states = reference.random_states(n_layers=4, width=64, seed=0)
    sizes = keys.tell_sizes(states)
    model = convert.build(sizes, "hard", CorpusStatistics(0.0, 1.0))
    model.load_state_dict(keys.check_and_rename(states, sizes)[0])
    return model.encoder.eval(), states["ssl"]


def test_hidden_states_of_the_large_wavlm_are_those_of_the_paper(large_form):
    encoder, ssl = large_form
    singles = [30 * wave for wave in waves((32000, 9000))]  # 99 frames: offsets beyond 80 as well
    batch, lengths = pad(singles)
    with torch.no_grad():
        together = encoder(batch, lengths)
        for row, wave in enumerate(singles):
            expected = reference.hidden_states(ssl, wave)
            alone = encoder(wave[None])[:, 0]
            for layer in range(encoder.n_hidden):
                agree(alone[layer], expected[layer])
                agree(together[layer, row, : len(expected[layer])], expected[layer])


def test_no_final_layer_norm_and_the_positions_before_the_first_layer(large_form):
    encoder, _ = large_form
    wave = waves((8000,))[0][None]
    with torch.no_grad():
        before = encoder(wave)
        whole = encoder.model(wave).last_hidden_state
        agree(encoder.model.encoder.layer_norm(before[-1]), whole)
        assert (before[-1] - whole).abs().max() > 0.1, "the norm does nothing here"
        projected = encoder.model.feature_projection(
            encoder.model.feature_extractor(wave).transpose(1, 2)
        )[0]
        agree(before[0], projected + encoder.model.encoder.pos_conv_embed(projected))


@pytest.mark.parametrize("by_name", [True, False])
@pytest.mark.parametrize("in_tuple", [True, False])
def test_hidden_states_are_found_however_transformers_calls_its_layers(by_name, in_tuple):
    class Layer(torch.nn.Module):
        def forward(self, hidden_states):
            return (hidden_states + 1, None) if in_tuple else hidden_states + 1

    class Transformer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.ModuleList([Layer(), Layer()])

        def forward(self, states, attention_mask=None):
            for layer in self.layers:
                states = layer(hidden_states=states) if by_name else layer(states)
                states = states[0] if in_tuple else states
            return 100 * states  # a final normalisation that nobody wants

    states = layer_states(Transformer(), torch.zeros(1, 5, 2), None)
    assert [float(state.mean()) for state in states] == [0, 1, 2]


# Numbers that are none


@pytest.mark.parametrize("number", [0, 2, 4])
@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_the_first_hidden_state_that_is_not_finite_is_named(large_form, number, value):
    encoder = copy.deepcopy(large_form[0])
    encoder.model.encoder.pos_conv_embed.conv.bias.data[3] = value if number == 0 else 0
    if number:
        layer = encoder.model.encoder.layers[number - 1]
        layer.feed_forward.output_dense.bias.data[3] = value
    message = rf"Hidden state {number} of the encoder .*4 leaves the last.*precision: fp32"
    with pytest.raises(FloatingPointError, match=message):
        encoder(waves((8000,))[0][None])


def test_what_half_precision_overflows_full_precision_bears(large_form):
    encoder = copy.deepcopy(large_form[0])
    feed = encoder.model.encoder.layers[1].feed_forward
    feed.output_dense.weight.data *= 1e5
    wave = waves((8000,))[0][None]
    assert encoder(wave).abs().max() > torch.finfo(torch.float16).max
    with torch.autocast("cpu", torch.bfloat16):
        encoder(wave)
    with torch.autocast("cpu", torch.float16):
        with pytest.raises(FloatingPointError, match="Hidden state 2 .*precision: fp32, or bf16"):
            encoder(wave)


@every(["mini", "wavlm-layer", "wavlm-group"])
def test_a_wave_with_nan_is_told_from_an_overflow(encoder):
    batch, lengths = pad(waves((8000, 5000)))
    batch[1, 100] = torch.nan
    with pytest.raises(FloatingPointError, match="Hidden state 0 .*The wave itself does"):
        encoder(batch, lengths)


@every(["wavlm-layer"])
def test_loud_hidden_states_are_no_alarm(encoder):
    encoder.model.encoder.layers[0].feed_forward.output_dense.bias.data += 1e15
    assert encoder(waves((8000,))[0][None]).abs().max() > 1e14


@every(WHISPER)
def test_whisper_states_are_those_of_transformers_on_thirty_seconds(encoder, source):
    wave = fading_wave(30 * 16000)
    extractor = WhisperFeatureExtractor.from_pretrained(source)
    heard = extractor(wave.numpy(), sampling_rate=16000, return_tensors="pt").input_features
    inputs = []
    hooks = [
        layer.register_forward_hook(lambda _, given, output: inputs.append(given[0]))
        for layer in encoder.model.layers
    ]
    with torch.no_grad():
        theirs = encoder.model(heard).last_hidden_state
        for hook in hooks:
            hook.remove()
        ours = encoder(wave[None])
        # two logarithms of two Fourier transforms come before: 1e-4 instead of 1e-5
        agree(torch.stack(inputs), ours[:-1], 1e-4)
        agree(encoder.model.layer_norm(ours[-1]), theirs, 1e-4)


def test_whisper_log_mel_of_a_short_wave_is_its_own_without_padding_to_thirty_seconds(sources):
    encoder = build_encoder(sources["whisper"])
    wave = fading_wave(16000)
    extractor = WhisperFeatureExtractor.from_pretrained(sources["whisper"])
    theirs = extractor(wave.numpy(), sampling_rate=16000, padding=False, return_tensors="pt")
    agree(encoder.log_mel(wave[None], None)[0], theirs.input_features, 1e-4)


def test_the_half_precision_encoder_folder_loads_completely_in_float32(shared_data):
    folder = shared_data.parent / "models" / "whisper-tiny.en-encoder"
    stored = load_file(folder / "model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16}
    loaded = build_encoder(str(folder)).model.state_dict()
    stored = {name.split("encoder.", 1)[-1]: value for name, value in stored.items()}
    assert loaded.keys() == stored.keys()
    for name, value in loaded.items():
        assert value.dtype == torch.float32
        assert torch.equal(value, stored[name].float()), name


def test_a_whole_whisper_gives_its_encoder(sources):
    whole = WhisperModel.from_pretrained(sources["whisper"]).encoder.state_dict()
    loaded = build_encoder(sources["whisper"]).model.state_dict()
    assert loaded.keys() == whole.keys()
    for name, value in loaded.items():
        assert torch.equal(value, whole[name]), name


@pytest.mark.parametrize("norm", ["layer", "group"])
@pytest.mark.parametrize("told", [True, False, None])
def test_a_wave_is_normalised_as_the_model_was_trained(sources, tmp_path, norm, told):
    folder = tmp_path / "model"
    shutil.copytree(sources[f"hubert-{norm}"], folder)
    (folder / "preprocessor_config.json").unlink()
    if told is not None:
        Wav2Vec2FeatureExtractor(do_normalize=told).save_pretrained(folder)
    wave = waves((6000,))[0][None] * 3 + 0.2
    normal = (wave - wave.mean()) / wave.std(correction=0)
    model = HubertModel.from_pretrained(folder).eval()
    # without the file: the large models, of layer norm, hear unit variance, the base models do not
    heard = normal if (norm == "layer" if told is None else told) else wave
    with torch.no_grad():
        theirs = model(heard, output_hidden_states=True).hidden_states
    agree(build_encoder(str(folder))(wave)[1], theirs[1])


# Level


@every(["mini", *WHISPER, "wavlm-layer", "hubert-layer", "wav2vec2-layer"])
@pytest.mark.parametrize("gain", [0.1, 10.0])
def test_input_gain_changes_nothing(encoder, gain):
    batch, lengths = pad(waves((8000, 5000)))
    agree(encoder(gain * batch, lengths), encoder(batch, lengths), 1e-4)


# Freezing


@every(PRETRAINED)
def test_frozen_stays_frozen_in_training(encoder):
    encoder.train()
    batch, lengths = pad(waves((8000, 5000)))
    first, second = encoder(batch, lengths), encoder(batch, lengths)
    assert torch.equal(first, second), "dropout is at work in a frozen encoder"
    assert not first.requires_grad
    assert not any(p.requires_grad for p in encoder.parameters())
    assert encoder.frozen


@every(PRETRAINED)
def test_unfrozen_trains_the_transformer_but_not_the_convolutions(encoder):
    encoder.freeze(False)
    encoder.train()
    batch, lengths = pad(waves((8000, 5000)))
    hidden = encoder(batch, lengths)
    assert hidden.shape[0] == encoder.n_hidden, "a layer was dropped"
    hidden.mul(torch.randn_like(hidden)).sum().backward()
    for module in encoder.front():
        assert all(p.grad is None for p in module.parameters())
    for layer in transformer_layers(encoder):
        for name, weight in layer.named_parameters():
            if name.endswith("weight"):
                assert weight.grad.abs().max() > 0, name
    if getattr(encoder.model.config, "dropout", 0.1) > 0:  # the real Whisper has none
        assert not torch.equal(hidden, encoder(batch, lengths)), "dropout is not at work"


@every(PRETRAINED)
def test_freezing_again_is_as_before(encoder):
    batch, lengths = pad(waves((8000, 5000)))
    before = encoder(batch, lengths)
    encoder.freeze(False)
    encoder.train()
    encoder.freeze()
    assert torch.equal(encoder(batch, lengths), before)


def test_mini_is_never_frozen_and_trains_its_convolutions_too():
    encoder = build_encoder("mini", freeze=True)
    encoder.freeze()
    assert not encoder.frozen
    hidden = encoder.train()(torch.randn(2, 8000))
    hidden.mul(torch.randn_like(hidden)).sum().backward()
    for convolution in (encoder.model.conv1, encoder.model.conv2):
        assert all(p.grad.abs().max() > 0 for p in convolution.parameters())


# The small encoder from random weights


def test_mini_hears_no_band_s_mean():
    """What is steady over an utterance, a microphone or the colour of a hum, moves means alone."""
    encoder = build_encoder("mini").eval()
    wave = 100 * waves((16000,))[0][None]  # loud: no band of any frame is at the floor
    bands = encoder.log_mel(wave, None)[0]
    assert bands.mean(dim=1).abs().max() < 1e-5
    assert bands.std() > 0.1, "there is nothing left"
    agree(encoder.log_mel(10 * wave, None)[0], bands, 1e-4)


def test_the_mini_of_older_models_still_loads():
    """Exported folders from before hold a small Whisper's configuration under mini."""
    old = {"model_type": "whisper", "d_model": 96, "encoder_layers": 2, "num_mel_bins": 80}
    old |= {"encoder_attention_heads": 4, "encoder_ffn_dim": 192, "max_source_positions": 1500}
    for config in (old, {**old, "activation_function": "gelu"}):
        encoder = encoder_from_config(config, trained=False)
        assert (encoder.width, encoder.n_hidden, encoder.max_seconds) == (96, 3, 30)
        assert encoder(torch.randn(1, 8000)).shape == (3, 1, 25, 96)


def test_mini_comes_back_from_its_configuration():
    encoder = build_encoder("mini").eval()
    again = encoder_from_config(**encoder_config(encoder)).eval()
    again.load_state_dict(encoder.state_dict())
    wave = torch.randn(1, 8000)
    assert torch.equal(again(wave), encoder(wave)) and not again.trained


@pytest.mark.parametrize(
    "more",
    [
        {"mask_time_prob": 0.0, "mask_feature_prob": 0.0},
        {"adapter_attn_dim": 4},
        {"add_adapter": True, "num_adapter_layers": 1, "output_hidden_size": 24},
    ],
)
def test_what_decides_on_weights_comes_back_from_the_configuration(tmp_path, more):
    folder = make_self_supervised("wav2vec2-layer", tmp_path / "model", **more)
    encoder = build_encoder(str(folder)).eval()
    again = encoder_from_config(**encoder_config(encoder)).eval()
    again.load_state_dict(encoder.state_dict())
    wave = torch.randn(1, 8000)
    assert torch.equal(again(wave), encoder(wave))


def test_the_level_of_an_exported_encoder_can_be_left_to_the_network(tmp_path):
    made = make_self_supervised("wav2vec2-layer", tmp_path / "model")
    encoder = build_encoder(str(made), normalise=True)
    merit = Merit(encoder, WeightedSum(4, 32), None, EmotionHead(32, n_classes=2))
    folder = write_pretrained(tmp_path / "pretrained", merit, ["sad", "happy"], "# A model")
    assert build_encoder(str(folder)).normalise
    assert not build_encoder(str(folder), normalise=False).normalise


# Errors


def test_an_unknown_name_is_an_error_that_names_the_key():
    with pytest.raises(ValueError, match="^encoder: .*'no-such/encoder'"):
        build_encoder("no-such/encoder")


@pytest.mark.parametrize("name", ["hubert-layer", "whisper"])
def test_a_folder_without_weights_is_an_error(sources, tmp_path, name):
    shutil.copy(f"{sources[name]}/config.json", tmp_path)
    with pytest.raises(ValueError, match="^encoder: .*weights"):
        build_encoder(str(tmp_path))


def test_a_model_of_another_kind_is_an_error_that_names_the_kinds(tmp_path):
    BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="^encoder: .* bert .*whisper, wavlm, hubert, wav2vec2"):
        build_encoder(str(tmp_path))


def test_a_folder_that_holds_no_model_is_an_error(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 8}))
    with pytest.raises(ValueError, match="^encoder: "):
        build_encoder(str(tmp_path))


@pytest.mark.parametrize(
    "name, weight",
    [
        ("wavlm-layer", "encoder.layers.1.attention.q_proj.weight"),
        ("wav2vec2-group", "feature_projection.projection.weight"),
        ("whisper", "encoder.layers.0.fc1.weight"),
    ],
)
def test_a_missing_weight_is_an_error_that_names_it(sources, tmp_path, name, weight):
    folder = tmp_path / "model"
    shutil.copytree(sources[name], folder)
    stored = load_file(folder / "model.safetensors")
    del stored[weight]
    save_file(stored, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=f"^encoder: .*{weight.removeprefix('encoder.')}"):
        build_encoder(str(folder))


def test_a_model_without_the_embedding_of_pretraining_loads(sources, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(sources["hubert-layer"], folder)
    stored = load_file(folder / "model.safetensors")
    del stored["masked_spec_embed"]
    save_file(stored, folder / "model.safetensors", {"format": "pt"})
    wave = torch.randn(1, 6000)
    agree(build_encoder(str(folder))(wave), build_encoder(str(sources["hubert-layer"]))(wave))


@pytest.mark.parametrize("name", ["hubert-layer", "whisper"])
def test_a_truncated_file_of_weights_is_an_error_that_names_the_key(sources, tmp_path, name):
    folder = tmp_path / "model"
    shutil.copytree(sources[name], folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match="^encoder: .*cannot be loaded"):
        build_encoder(str(folder))


@every(["whisper"])
def test_more_than_thirty_seconds_are_an_error_for_whisper(encoder):
    with pytest.raises(ValueError, match="at most 30 s .* 30.1 s"):
        encoder(torch.zeros(1, 30 * 16000 + 1600))


@every(EVERY)
def test_an_utterance_shorter_than_a_frame_is_an_error(encoder):
    assert encoder(torch.randn(1, 400)).shape[2] == 1  # 25 ms is the shortest
    with pytest.raises(ValueError, match="399 samples"):
        encoder(torch.randn(2, 8000), torch.tensor([1.0, 399 / 8000]))
