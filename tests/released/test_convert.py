"""Conversion of the authors' checkpoints: the released system's own results, or a clear no."""

import io
import os
import pickle

import numpy as np
import pytest
import released_reference as reference
import soundfile
import torch
from tiny import pad

from speechbrain_merit.__main__ import main
from speechbrain_merit.errors import ReleasedError, UnreadableError
from speechbrain_merit.export import folder as export
from speechbrain_merit.inference import MeritInterface
from speechbrain_merit.released.convert import convert
from speechbrain_merit.released.report import compare_with_start
from speechbrain_merit.released.safe import STAND_INS, read_statistics, read_tensors

STATISTICS = (0.002, 0.07)
TOLERANCE = 1e-5  # tighter than the 1e-4 that is promised: a symmetric window makes 8e-5
LABELS = ["angry", "sad", "happy", "neutral"]


def waves(*counts):
    return [reference.changing_wave(count, seed) for seed, count in enumerate(counts)]


@pytest.fixture(scope="module")
def states():
    """The five state dicts of a small run; not to be changed."""
    return reference.random_states()


@pytest.fixture
def run(tmp_path, states):
    """A run folder with these."""
    return reference.save_run(tmp_path / "run", states, STATISTICS)


def convert_states(folder, states, routing="hard", statistics=STATISTICS):
    """Saves, converts and loads a run."""
    run = reference.save_run(folder / "released" / "run", states, statistics)
    convert(run, folder / "converted", routing=routing)
    return MeritInterface.from_hparams(folder / "converted")


def agrees(interface, states, batch, **system):
    """Asserts the reference's results on a batch of waves; gives its gates for each."""
    wavs, lengths = pad(batch)
    probabilities, _, indices, labels = interface.classify_batch(wavs, lengths)
    enhanced = interface.enhance_batch(wavs, lengths)
    of_each = []
    for row, wave in enumerate(batch):
        expected, clean, gates = reference.run_system(states, STATISTICS, wave, **system)
        assert expected.max() < 0.95, "a certain answer would hide small errors"
        assert (clean - wave).abs().max() > 0.01, "nothing was taken from this wave"
        torch.testing.assert_close(probabilities[row], expected, rtol=0, atol=TOLERANCE)
        torch.testing.assert_close(enhanced[row, : len(wave)], clean, rtol=0, atol=TOLERANCE)
        assert not enhanced[row, len(wave) :].any()
        assert labels[row] == LABELS[int(expected.argmax())] == LABELS[int(indices[row])]
        of_each.append(gates)
    return of_each


# Parity


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"new_spelling": True, "n_layers": 3, "n_experts": 2, "seed": 3},
        {"width": 48, "heads": 2, "feed_forward": 40, "expert_hidden": 30, "out": 48, "hidden": 9},
    ],
    ids=["old weight norm", "new weight norm, other counts", "other widths"],
)
def test_a_converted_run_gives_what_the_released_system_gives(tmp_path, sizes):
    states = reference.random_states(**sizes)
    interface = convert_states(tmp_path, states)
    for wave in waves(24000, 6543, 500):  # the last is one frame, without any variance
        agrees(interface, states, [wave])


def test_a_batch_gives_what_the_released_system_gives_for_each(tmp_path, states):
    gates = agrees(convert_states(tmp_path, states), states, waves(20000, 6543, 13000))
    for task in zip(*gates):
        assert (torch.cat(task).mean(dim=0) > 0.02).all(), "an expert is hardly tested"


def test_twelve_seconds_are_heard_in_one_pass(tmp_path, states):
    agrees(convert_states(tmp_path, states), states, waves(12 * 16000))


def test_dense_gates_are_a_choice_that_changes_the_result(tmp_path, states):
    (wave,) = batch = waves(16000)
    dense = convert_states(tmp_path / "dense", states, routing="dense")
    agrees(dense, states, batch, routing="dense")
    hard = convert_states(tmp_path / "hard", states)
    difference = dense.classify_batch(wave[None])[0] - hard.classify_batch(wave[None])[0]
    assert difference.abs().max() > 0.01


def test_the_cfg_tells_what_no_tensor_shows(tmp_path):
    facts = dict(n_buckets=40, kernels=(10, 3, 3, 3, 2))
    states = reference.random_states(seed=2, **facts)
    run = reference.save_run(tmp_path / "repository" / "run", states, STATISTICS)
    cfg = {
        "conv_feature_layers": "[(16,10,5)] + [(16,3,2)] * 3 + [(16,2,4)]",
        "num_buckets": 40,
        "max_distance": 100,
        "encoder_layers": 24,
        "extractor_mode": "layer_norm",
        "dropout": 0.0,
    }
    torch.save({"cfg": cfg, "model": {}}, run.parent / "WavLM-Large.pt")
    # by the root and by the run folder: the same
    for name, source in (("root", run.parent), ("run", run)):
        report = convert(source, tmp_path / name)
        interface = MeritInterface.from_hparams(tmp_path / name)
        agrees(interface, states, waves(16000), strides=(5, 2, 2, 2, 4), max_distance=100)
        assert "says encoder_layers 24, the run's tensors say 2" in str(report)


def test_a_cfg_of_another_form_is_refused(tmp_path, run):
    torch.save({"cfg": {"extractor_mode": "default"}}, run.parent / "WavLM-Large.pt")
    with pytest.raises(ReleasedError, match="extractor_mode: default"):
        convert(run, tmp_path / "out")
    cfg = {"conv_feature_layers": "__import__('os').abort()"}
    torch.save({"cfg": cfg}, run.parent / "WavLM-Large.pt")
    with pytest.raises(ReleasedError, match="conv_feature_layers"):
        convert(run, tmp_path / "out")


def test_half_precision_plain_tables_and_the_old_format_of_torch_are_read(tmp_path, states, run):
    half = {key: value.half() for key, value in states["se"].items()}
    torch.save(half, run / "final_se.pt", _use_new_zipfile_serialization=False)
    convert(run, tmp_path / "out")
    rounded = {**states, "se": {key: value.float() for key, value in half.items()}}
    agrees(MeritInterface.from_hparams(tmp_path / "out"), rounded, waves(9000))


def test_numpy_scalars_beside_the_weights_are_read_as_numbers(tmp_path, states, run):
    optimizer = {"param_groups": [{"lr": np.float64(5e-5), "step": np.int64(3)}]}
    torch.save({"model": states["pool"], "optimizer": optimizer}, run / "final_pool.pt")
    assert read_tensors(run / "final_pool.pt")["optimizer"]["param_groups"][0]["lr"] == 5e-5
    convert(run, tmp_path / "out")


# Which run


def test_of_several_runs_one_must_be_named(tmp_path, states):
    others = {name: reference.random_states(seed=seed) for name, seed in (("a", 1), ("b", 6))}
    for name, other in others.items():
        reference.save_run(tmp_path / "repository" / "runs" / name, other, STATISTICS)
    with pytest.raises(ReleasedError, match="2 runs.*--run: runs/a, runs/b"):
        convert(tmp_path / "repository", tmp_path / "out")
    with pytest.raises(ReleasedError, match="no one run named c.*runs/a, runs/b"):
        convert(tmp_path / "repository", tmp_path / "out", run="c")
    for name, given in (("a", "a"), ("b", "runs/b")):
        report = convert(tmp_path / "repository", tmp_path / name, run=given)
        assert report.run == name
        agrees(MeritInterface.from_hparams(tmp_path / name), others[name], waves(8000))


def test_a_single_run_needs_no_name(tmp_path, run):
    assert convert(run.parent, tmp_path / "out").run == "run"


@pytest.mark.parametrize("source", [".", "nowhere"])
def test_a_folder_without_a_run_says_what_is_looked_for(tmp_path, source):
    with pytest.raises(ReleasedError, match="downloaded repository"):
        convert(tmp_path / source, tmp_path / "out")


# Files that are not what they should be


def spoil(run, part, change):
    content = torch.load(run / f"final_{part}.pt", weights_only=True)
    change(content["model"])
    torch.save(content, run / f"final_{part}.pt")


def refused(run, message):
    """Asserts a conversion's error, and that it leaves nothing."""
    before = sorted(run.parent.rglob("*"))
    with pytest.raises(ReleasedError, match=message) as error:
        convert(run, run.parent / "out")
    assert sorted(run.parent.rglob("*")) == before
    return str(error.value)


ODD_KEYS = [
    ("ssl", "mask_emb", "(32,)"),
    ("ssl", "post_extract_proj.weight", "(32, 16)"),
    ("ssl", "feature_extractor.conv_layers.3.0.weight", "(16, 16, 3)"),
    ("ssl", "feature_extractor.conv_layers.6.2.1.bias", "(16,)"),
    ("ssl", "encoder.pos_conv.0.weight_g", "(1, 1, 16)"),
    ("ssl", "encoder.layers.1.self_attn.grep_a", "(1, 4, 1, 1)"),
    ("ssl", "encoder.layers.1.self_attn.grep_linear.weight", "(8, 8)"),
    ("ssl", "encoder.layers.0.self_attn.relative_attention_bias.weight", "(320, 4)"),
    ("ssl", "encoder.layer_norm.weight", "(32,)"),
    ("mmoe", "layer_norms.2.weight", "(32,)"),
    ("mmoe", "experts.2.fc1.weight", "(40, 96)"),
    ("mmoe", "gates.1.fc.weight", "(3, 96)"),
    ("pool", "attention", "(24, 1)"),
    ("ser", "out.0.bias", "(4,)"),
    ("se", "lstm_enc.1.blstm.weight_ih_l1_reverse", "(80, 40)"),
    ("se", "lstm_enc.0.weight", "(20, 225)"),
]


@pytest.mark.parametrize("part, key, shape", ODD_KEYS)
def test_a_missing_or_misshaped_key_is_named_with_what_was_expected(run, part, key, shape):
    spoil(run, part, lambda state: state.update({key: torch.zeros(7, 5)}))
    message = refused(run, "The files do not hold")
    assert f"final_{part}.pt: {key} has shape (7, 5), expected {shape}" in message
    assert message.count("expected") == 1, "one odd key throws suspicion on others"
    spoil(run, part, lambda state: state.pop(key))
    message = refused(run, "The files do not hold")
    assert f"final_{part}.pt: lacks {key}, expected of shape {shape}" in message
    assert message.count("expected") == 1


def test_where_two_keys_differ_the_unusual_one_is_blamed(tmp_path):
    states = reference.random_states(width=64, kernel=128)
    run = reference.save_run(tmp_path / "run", states)
    key = "encoder.pos_conv.0.weight_g"
    spoil(run, "ssl", lambda state: state.update({key: torch.ones(1, 1, 64)}))
    message = refused(run, "The files do not hold")
    assert f"{key} has shape (1, 1, 64), expected (1, 1, 128)" in message
    assert message.count("expected") == 1


def test_a_layer_or_an_expert_that_is_missing_whole_is_named(run):
    def cut(prefix):
        return lambda state: [state.pop(k) for k in list(state) if k.startswith(prefix)]

    spoil(run, "ssl", cut("encoder.layers.1."))
    assert "final_ssl.pt: lacks encoder.layers.1.self_attn.q_proj.weight" in refused(run, "more")
    spoil(run, "mmoe", cut("experts.2."))
    assert "final_mmoe.pt: lacks experts.2.fc1.weight" in refused(run, "more")


def test_nan_among_the_weights_is_named(run):
    spoil(run, "ser", lambda state: state["fc.0.0.bias"].fill_(torch.nan))
    refused(run, "final_ser.pt: fc.0.0.bias holds NaN")


@pytest.mark.parametrize("name", ["final_mmoe.pt", "final_ser.pt", "train_norm_stat.pkl"])
def test_a_missing_or_cut_file_is_named(run, name):
    whole = (run / name).read_bytes()
    (run / name).write_bytes(whole[: len(whole) // 2])
    refused(run, name)
    (run / name).write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    refused(run, name)
    (run / name).unlink()
    refused(run, name)


def test_files_that_are_not_needed_may_be_absent(tmp_path, run):
    (run / "final_loss.pt").unlink()
    (run / "clean_train_norm_stat.pkl").unlink()
    convert(run, tmp_path / "out")


@pytest.mark.parametrize("content", [(0.1, 0.0), (0.1, -1.0), (np.nan, 1.0), (1.0,), "no", [1, 2]])
def test_statistics_that_are_none_are_refused(run, content):
    (run / "train_norm_stat.pkl").write_bytes(pickle.dumps(content))
    refused(run, "train_norm_stat.pkl")


def test_keys_that_nobody_knows_are_reported_and_those_known_as_unused_are_not(tmp_path, run):
    spoil(run, "ssl", lambda state: state.update({"final_proj.weight": torch.zeros(2, 2)}))
    report = convert(run, tmp_path / "out")
    assert report.extra == {"final_ssl.pt": ["final_proj.weight"]}
    assert "Not taken over from final_ssl.pt: final_proj.weight" in str(report)


# Pickles that would run code


class Malicious:
    """Unpickled by a reader that trusts it, creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):  # noqa: D105
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_would_run_code_runs_nothing(tmp_path, run, protocol):
    trap = tmp_path / "trap"
    content = pickle.dumps((np.float64(0.0), Malicious(trap)), protocol)
    (run / "train_norm_stat.pkl").write_bytes(content)
    assert "Nothing in it was run" in refused(run, "train_norm_stat.pkl: .* names .*mkdir")
    assert not trap.exists()
    pickle.loads(content)
    assert trap.exists(), "the trap itself does not work"


@pytest.mark.parametrize("new_format", [True, False])
@pytest.mark.parametrize("name", ["final_pool.pt", "WavLM-Large.pt"])
def test_a_file_of_weights_that_would_run_code_runs_nothing(tmp_path, run, name, new_format):
    trap = tmp_path / "trap"
    folder = run if name.startswith("final") else run.parent
    content = {"model": {}, "cfg": Malicious(trap), "optimizer": Malicious(trap)}
    torch.save(content, folder / name, _use_new_zipfile_serialization=new_format)
    assert "Nothing in it was run" in refused(run, f"{name}: .*mkdir")
    assert not trap.exists()


def test_what_stands_in_for_numpy_takes_numbers_alone():
    for code in ("O8", "U4", "M8[ns]", "V8", "f16", "i3"):
        with pytest.raises(pickle.UnpicklingError, match="no number"):
            STAND_INS["numpy.dtype"](code)
    with pytest.raises(pickle.UnpicklingError):
        STAND_INS["_codecs.encode"]("x", "zip")


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16, np.int64, ">f8"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("version", ["numpy.core", "numpy._core"])
def test_numpy_scalars_of_any_kind_protocol_and_numpy_are_read(tmp_path, kind, protocol, version):
    values = np.array([-2, 3], dtype=kind)
    buffer = io.BytesIO()
    pickler = pickle._Pickler(buffer, protocol)  # the slow one writes names as text, to be changed
    pickler.framer.start_framing = lambda: None
    pickler.dump((values[0], values[1]))
    content = buffer.getvalue()
    modern = type(values[0]).__reduce__(values[0])[0].__module__.removesuffix(".multiarray")
    old, new = modern.encode(), version.encode()
    size = bytes([len(modern) + 11]), bytes([len(version) + 11])
    content = content.replace(b"\x8c" + size[0] + old, b"\x8c" + size[1] + old).replace(old, new)
    (tmp_path / "x.pkl").write_bytes(content)
    assert read_statistics(tmp_path / "x.pkl") == (-2.0, 3.0)


def test_a_pickle_of_a_numpy_array_is_refused(tmp_path):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps((np.zeros(2), 1.0)))
    with pytest.raises(UnreadableError, match="names numpy"):
        read_statistics(tmp_path / "x.pkl")


# All or nothing


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("disk full"), RuntimeError("full")])
def test_an_interrupted_conversion_leaves_nothing(run, monkeypatch, error):
    def break_off(state, path):
        path.write_bytes(b"half")
        raise error

    before = sorted(run.parent.rglob("*"))
    monkeypatch.setattr(export.torch, "save", break_off)
    expected = KeyboardInterrupt if error is KeyboardInterrupt else ReleasedError
    with pytest.raises(expected, match=None if error is KeyboardInterrupt else "out .*full"):
        convert(run, run.parent / "out")
    assert sorted(run.parent.rglob("*")) == before


def test_a_folder_that_is_there_is_not_touched(tmp_path, run):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(ReleasedError, match="out is there already"):
        convert(run, out)
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]
    (out / "thesis.txt").unlink()
    convert(run, out)  # an empty one is filled
    assert (out / "hyperparams.yaml").is_file()


def test_a_converted_run_needs_nothing_of_its_source(tmp_path, states, run):
    convert(run, tmp_path / "out")
    for path in run.iterdir():
        path.unlink()
    moved = (tmp_path / "out").rename(tmp_path / "elsewhere")
    agrees(MeritInterface.from_hparams(moved), states, waves(8000))


# The report


def test_the_use_of_the_experts_is_that_of_the_released_gates(tmp_path, states, run):
    wave = waves(14 * 16000)[0]  # two windows
    soundfile.write(tmp_path / "wave.wav", wave.numpy(), 16000, subtype="FLOAT")
    for routing in ("hard", "dense"):
        report = convert(run, tmp_path / routing, routing=routing, wave=tmp_path / "wave.wav")
        gates = [
            reference.run_system(states, STATISTICS, window, routing=routing)[2]
            for window in wave.split(12 * 16000)
        ]
        for task, parts in zip(("se", "ser"), zip(*gates)):
            expected = torch.cat(parts).mean(dim=0)
            shares = torch.tensor(report.use.shares[task])
            torch.testing.assert_close(shares, expected, rtol=0, atol=1e-5)
        se, ser = (torch.cat(parts).argmax(dim=1) for parts in zip(*gates))
        assert report.use.agreement == pytest.approx(float((se == ser).float().mean()))
        assert f"wave.wav, {len(se)} frames" in str(report)


def test_a_recording_that_cannot_be_read_is_named_before_anything_is_written(tmp_path, run):
    (tmp_path / "x.wav").write_text("no wave")
    with pytest.raises(ReleasedError, match=r"x\.wav"):
        convert(run, tmp_path / "out", wave=tmp_path / "x.wav")
    assert not (tmp_path / "out").exists()


def test_sizes_statistics_and_routers_stand_in_report_and_card(tmp_path, run):
    report = convert(run, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    for said in ("2 layers of width 32, 4 heads", "3 experts 96 → 40 → 24", "(x − 0.002) / 0.07"):
        assert said in str(report) and said in card
    assert {task: test.verdict for task, test in report.routers.items()} == {
        "se": "as initialised",
        "ser": "as initialised",
    }


def test_routers_that_learnt_are_told_from_those_that_only_decayed(tmp_path, run):
    def change(state):
        torch.manual_seed(0)
        state["gates.0.fc.weight"] *= 0.6
        state["gates.1.fc.weight"] += 0.15 * torch.randn(3, 96)

    spoil(run, "mmoe", change)
    routers = convert(run, tmp_path / "out").routers
    assert routers["se"].verdict == "start, scaled"
    assert routers["se"].scale == pytest.approx(0.6, abs=0.02)
    assert routers["ser"].verdict == "differs"


def test_the_comparison_with_the_start_errs_as_often_as_it_says():
    torch.manual_seed(0)
    tests = [compare_with_start(torch.nn.Linear(200, 3).weight) for _ in range(200)]
    for p in ([test.p for test in tests], [test.p_scaled for test in tests]):
        share = sum(value < 0.1 for value in p) / len(p)
        assert 0.036 < share < 0.164  # three standard deviations about 0.1


def test_the_command_converts_and_says_what_it_found(run, tmp_path, capsys):
    command = ["convert", str(run.parent), str(tmp_path / "out"), "--run", "run"]
    assert main([*command, "--routing", "dense"]) == 0
    assert "3 experts 96 → 40 → 24, routing dense" in capsys.readouterr().out
    assert "routing: dense" in (tmp_path / "out" / "hyperparams.yaml").read_text()


def test_the_command_names_the_runs_to_choose_from_and_ends_in_an_error(run, tmp_path, capsys):
    reference.save_run(run.parent / "other", {"pool": {}})
    assert main(["convert", str(run.parent), str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "choose one with --run: other, run" in error and "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_another_routing_than_the_released_ones_is_refused(run, tmp_path):
    with pytest.raises(SystemExit):
        main(["convert", str(run), str(tmp_path / "out"), "--routing", "soft"])
    with pytest.raises(ReleasedError, match="soft"):
        convert(run, tmp_path / "out", routing="soft")


def test_files_longer_than_twelve_seconds_are_heard_in_windows_and_never_cut(tmp_path, states):
    interface = convert_states(tmp_path, states)
    assert interface.window_seconds == 12
    (wave,) = waves(12 * 16000 + 4000)
    enhanced = interface.enhance_batch(wave[None])[0]
    assert enhanced.shape == wave.shape
    # the start is far from any joint, and hears what the first window hears
    _, expected, _ = reference.run_system(states, STATISTICS, wave[: 12 * 16000])
    torch.testing.assert_close(enhanced[:96000], expected[:96000], rtol=0, atol=TOLERANCE)
    assert enhanced[12 * 16000 :].abs().max() > 0.001


def test_a_file_gives_what_its_wave_gives(tmp_path, states):
    interface = convert_states(tmp_path, states)
    (wave,) = waves(16000)
    soundfile.write(tmp_path / "x.wav", wave.numpy(), 16000, subtype="FLOAT")
    expected, clean, _ = reference.run_system(states, STATISTICS, wave)
    probabilities = interface.classify_file(tmp_path / "x.wav")[0][0]
    torch.testing.assert_close(probabilities, expected, rtol=0, atol=TOLERANCE)
    enhanced = interface.enhance_file(tmp_path / "x.wav")
    torch.testing.assert_close(enhanced, clean, rtol=0, atol=TOLERANCE)
