"""Embeddings and frames: of what the heads see, whatever the batch, the length and the form."""

import numpy as np
import pytest
import soundfile as sf
import torch

from speechbrain_merit.export.folder import write_pretrained
from speechbrain_merit.inference import MeritInterface
from tests.inference.test_inference import RATE, batch, build, wave
from tests.inference.test_types import wavlm_merit
from tests.tiny import WIDTH, tiny_merit


@pytest.fixture(scope="module")
def merit(tmp_path_factory):
    """A tiny network with random weights."""
    return build(tmp_path_factory.mktemp("encoding") / "tiny", window_seconds=4)


def test_logits_are_a_linear_function_of_the_embedding(merit):
    wavs, lengths = batch(1.0, 0.6)
    embeddings = merit.encode_batch(wavs, lengths)
    assert embeddings.shape == (2, 1, WIDTH)
    logits = merit.model.emotion.out(embeddings[:, 0])
    torch.testing.assert_close(
        (logits / 2.0).softmax(dim=-1), merit.classify_batch(wavs, lengths)[0]
    )


def test_frames_are_what_the_head_pools_and_padding_is_zero(merit):
    wavs, lengths = batch(1.0, 0.6)
    frames = merit.encode_batch(wavs, lengths, frames=True)
    assert frames.shape == (2, 50, WIDTH)  # 50 a second
    assert (
        frames[0].any(dim=1).all() and not frames[1, 30:].any() and frames[1, :30].any(dim=1).all()
    )
    output = merit.model(wavs, lengths, ("ser",))
    torch.testing.assert_close(frames, output.emotion_frames)
    enhancement = merit.encode_batch(wavs, lengths, frames=True, task="se")
    assert not torch.equal(enhancement, frames)
    for row, count in enumerate((50, 30)):
        mean = enhancement[row, :count].mean(dim=0)
        torch.testing.assert_close(merit.encode_batch(wavs, lengths, task="se")[row, 0], mean)


@pytest.mark.parametrize("seconds", [(1.0, 0.6), (4.5, 0.9)])  # in one pass, and in windows
@pytest.mark.parametrize("frames", [False, True])
def test_a_wave_in_a_batch_gives_what_it_gives_alone(merit, seconds, frames):
    wavs, lengths = batch(*seconds)
    together = merit.encode_batch(wavs, lengths, frames)
    counts = (lengths * wavs.shape[1]).round().long()
    assert torch.equal(merit.encode_batch(wavs.numpy(), counts, frames), together)
    for row, s in enumerate(seconds):
        alone = merit.encode_batch(torch.from_numpy(wave(s, row))[None], frames=frames)[0]
        n = len(alone)
        assert n == (round(50 * s) if frames else 1)
        torch.testing.assert_close(together[row, :n], alone, atol=1e-5, rtol=1e-4)
        assert not together[row, n:].any()


def test_a_long_recording_has_all_its_frames_and_the_mean_of_its_windows(merit, tmp_path):
    x = wave(6.0)
    frames = merit.encode_file((x, RATE), frames=True)
    assert frames.shape == (1, 300, WIDTH)
    windows = [(x[: 4 * RATE], 3), (x[2 * RATE :], 3)]  # each counts for three seconds
    heard = [merit.encode_batch(torch.from_numpy(w)[None], frames=True)[0] for w, _ in windows]
    torch.testing.assert_close(frames[0], torch.cat([heard[0][:150], heard[1][50:]]))
    means = [merit.encode_batch(torch.from_numpy(w)[None]) for w, _ in windows]
    torch.testing.assert_close(merit.encode_file((x, RATE)), (means[0] + means[1]) / 2)


def test_files_equal_batches(merit, tmp_path):
    x = wave(1.3)
    sf.write(tmp_path / "a.wav", np.stack([x, x], axis=1), RATE, subtype="FLOAT")
    for frames in (False, True):
        file = merit.encode_file(tmp_path / "a.wav", frames=frames)
        torch.testing.assert_close(
            file, merit.encode_batch(torch.from_numpy(x)[None], frames=frames)
        )


def test_a_task_alone_computes_nothing_of_the_other(merit, monkeypatch):
    def fails(*arguments):
        raise AssertionError("is not needed")

    monkeypatch.setattr(merit.model.enhancement, "forward", fails)
    monkeypatch.setattr(merit.model.integration.routers["se"], "forward", fails)
    assert merit.encode_batch(batch(1.0)[0]).isfinite().all()


@pytest.mark.parametrize("missing, task", [("enhancement", "ser"), ("emotion", "se")])
def test_a_model_without_a_head_encodes_for_the_one_that_it_has(tmp_path, missing, task):
    network = tiny_merit()
    setattr(network, missing, None)
    labels = [] if missing == "emotion" else ["a", "b", "c", "d"]
    folder = write_pretrained(tmp_path / "one", network, labels, "# one task")
    merit = MeritInterface.from_hparams(folder, run_opts={"device": "cpu"})
    wavs = batch(1.0)[0]
    assert torch.equal(merit.encode_batch(wavs), merit.encode_batch(wavs, task=task))
    other = {"se": "ser", "ser": "se"}[task]
    with pytest.raises(ValueError, match=f"task is '{other}': this model has {task}"):
        merit.encode_batch(wavs, task=other)


def test_other_encoders_and_number_types_encode_too(tmp_path):
    folder = write_pretrained(tmp_path / "wavlm", wavlm_merit(), ["a", "b", "c", "d"], "# t",
                              facts={"attributes": ["arousal", "valence"]})  # fmt: skip
    merit = MeritInterface.from_hparams(folder, run_opts={"device": "cpu"})
    wavs = batch(1.0, 0.6)[0]
    for frames in (False, True):
        expected = merit.encode_batch(wavs, frames=frames)
        with torch.autocast("cpu", torch.bfloat16):
            half = merit.encode_batch(wavs, frames=frames)
        assert half.dtype == torch.float32 and half.shape == expected.shape
        assert (half - expected).abs().max() < 0.05 * expected.abs().max()


def test_waves_and_tasks_that_are_none_are_refused(merit):
    with pytest.raises(ValueError, match="shape"):
        merit.encode_batch(torch.zeros(RATE))
    with pytest.raises(ValueError, match="task is 'asr': this model has se, ser"):
        merit.encode_batch(torch.zeros(1, RATE), task="asr")
