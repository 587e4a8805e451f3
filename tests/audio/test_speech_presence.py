"""Whether there is speech: Silero's own figures, for any caller and any number of threads."""

import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from speechbrain_merit.audio.speech_presence import (
    detector,
    speech_frames,
    speech_probabilities,
)

RATE = 16000


def waves(count=3, seconds=2.3):
    """Buzzes under slow envelopes, which the detector is of changing mind about."""
    rng = torch.Generator().manual_seed(count)
    time = torch.arange(round(seconds * RATE)) / RATE
    pitches = 90 + 120 * torch.rand(count, 1, generator=rng)
    buzz = sum(torch.sin(2 * torch.pi * pitches * h * time) / h for h in range(1, 30))
    envelope = 1 + torch.sin(2 * torch.pi * (2 + pitches / 100) * time)
    return 0.1 * buzz * envelope + 0.01 * torch.randn(buzz.shape, generator=rng)


@pytest.fixture(scope="module")
def silero():
    """The detector as its package gives it, state and all."""
    threads = torch.get_num_threads()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from silero_vad import load_silero_vad

        model = load_silero_vad()
    torch.set_num_threads(threads)  # which importing it sets to 1
    return model


@pytest.mark.parametrize("n_samples", [36800, 36864, 700])  # with and without a last part of 512
def test_probabilities_are_those_of_the_package(silero, n_samples):
    wavs = waves()[:, :n_samples]
    with torch.inference_mode():
        expected = silero.audio_forward(wavs, RATE)
    assert torch.equal(speech_probabilities(wavs), expected)
    assert expected.std() > 0.001  # it says something of these


def test_threads_hear_what_one_after_the_other_hears():
    batches = [waves(count) for count in (1, 2, 3, 4)]
    expected = [speech_probabilities(wavs) for wavs in batches]
    together = threading.Barrier(4)

    def hear(index):
        together.wait()
        return [speech_probabilities(batches[index]) for _ in range(5)]

    with ThreadPoolExecutor(4) as pool:
        for wanted, found in zip(expected, pool.map(hear, range(4))):
            assert all(torch.equal(one, wanted) for one in found)


def test_loading_it_changes_nothing_for_the_caller():
    detector.cache_clear()
    threads, filters = torch.get_num_threads(), len(warnings.filters)
    loaded = "silero_vad" in sys.modules  # by the test above
    torch.set_num_threads(3)
    try:
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(detector).result() is detector()
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    assert ("silero_vad" in sys.modules) == loaded
    assert len(warnings.filters) <= filters + 1  # the one about torch.jit.load


def test_what_the_caller_computes_in_changes_nothing():
    wavs = waves()
    expected = speech_frames(wavs)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(speech_frames(wavs), expected)
        assert torch.is_autocast_enabled("cpu")
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(speech_frames(wavs), expected)
        assert torch.equal(speech_frames(wavs.double()), expected)
    finally:
        torch.set_default_dtype(torch.float32)


def test_it_is_loaded_for_callers_in_inference_mode_and_out_of_it():
    expected = speech_frames(waves())
    for first, then in ((True, False), (False, True)):
        detector.cache_clear()
        for mode in (first, then):
            with torch.inference_mode(mode):
                assert torch.equal(speech_frames(waves()), expected)
