"""The thread that hears all: several requests in one pass, in turns, and one that fails alone."""

import numpy as np
import pytest
import torch

from speechbrain_merit.errors import AudioError
from speechbrain_merit.inference import MeritInterface
from speechbrain_merit.inference.jobs import Job
from speechbrain_merit.live.worker import Worker
from tests.live.service import small_model, voice


@pytest.fixture(scope="module")
def merit(tmp_path_factory):
    folder = small_model(tmp_path_factory.mktemp("model") / "small")
    return MeritInterface.from_hparams(folder, run_opts={"device": "cpu"})


@pytest.fixture
def worker(merit):
    worker = Worker(merit, batch_size=4)
    yield worker
    worker.stop()


def take(worker, *waves):
    """Promises for waves that are queued at one moment."""
    tasks = [worker.opened(Job(torch.from_numpy(wave)[None])) for wave in waves]
    with worker.changed:
        return [worker.take(task) for task in tasks]


def test_windows_of_several_requests_are_heard_in_one_pass_and_each_gets_its_own(worker, merit):
    waves = [voice(3 + 0.3 * seed, seed) for seed in range(4)]
    for wave, promise in zip(waves, take(worker, *waves)):
        (found,), (expected,) = promise.result(60).analyses(), merit.analyse_batch(wave[None])
        assert found.snr_db == pytest.approx(expected.snr_db, abs=1e-3)
        assert found.emotion == expected.emotion
        assert torch.allclose(found.enhanced, expected.enhanced, atol=1e-5)
    assert (worker.passes, worker.windows) == (1, 4)


def test_a_short_window_is_not_padded_to_a_long_one(worker):
    for promise in take(worker, voice(0.5), voice(4), voice(0.6)):
        promise.result(60)
    assert (worker.passes, worker.windows) == (2, 3)


def test_a_short_recording_does_not_wait_for_a_long_one_before_it(worker):
    ended = []
    promises = take(worker, voice(16), voice(16, 1), voice(16, 2), voice(16, 3), voice(1, 4))
    for name, promise in zip("abcde", promises):
        promise.add_done_callback(lambda _, name=name: ended.append(name))
    for promise in promises:
        promise.result(120)
    assert ended[0] == "e"


def test_a_request_that_fails_takes_no_other_with_it(worker, monkeypatch):
    hear = worker.merit.hear

    def fragile(windows):
        if any(np.abs(window.wavs).max() > 100 for window in windows):
            raise FloatingPointError("infinite")
        return hear(windows)

    monkeypatch.setattr(MeritInterface, "hear", lambda merit, windows: fragile(windows))
    good, bad, other = take(worker, voice(2), 1000 * voice(2), voice(2, 1))
    assert good.result(60).analyses()[0].duration == 2.0
    assert other.result(60).analyses()[0].duration == 2.0
    with pytest.raises(AudioError, match="infinite"):
        bad.result(60)


def test_a_fault_of_the_program_does_not_end_the_thread(worker, monkeypatch):
    monkeypatch.setattr(MeritInterface, "hear", lambda *given: 1 / 0)
    (broken,) = take(worker, voice(1))
    with pytest.raises(ZeroDivisionError):
        broken.result(60)
    monkeypatch.undo()
    (whole,) = take(worker, voice(1))
    assert whole.result(60).analyses()[0].duration == 1.0


def test_what_nobody_waits_for_is_given_up(worker):
    with worker.changed:
        gone, kept = take(worker, voice(16), voice(4))
        assert gone.cancel()
    kept.result(60)
    worker.stop()
    assert worker.windows == 1


def test_it_ends_when_all_is_done(merit):
    worker = Worker(merit)
    promises = take(worker, voice(9), voice(1))
    worker.stop()
    assert all(promise.done() for promise in promises)
