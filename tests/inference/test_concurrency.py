"""Threads and processes around an interface: what one after the other gives, and never a hang.

What may end the interpreter, or wait for ever, runs in one of its own: :func:`alone`.
"""

import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest
import soundfile as sf
import torch
from speechbrain.inference.interfaces import foreign_class

from speechbrain_merit.errors import AudioError
from speechbrain_merit.export.folder import write_pretrained
from speechbrain_merit.inference import MeritInterface
from tests.inference.test_inference import LABELS, RATE, wave
from tests.inference.test_types import wavlm_merit
from tests.tiny import tiny_merit

SECONDS = (0.6, 1.3, 4.6)  # in one pass, and in windows of 4 s
ROUNDS = 2
TIMEOUT = 240  # seconds, far more than any of these takes: only a hang ends it
NETWORKS = {"whisper": tiny_merit, "wavlm": wavlm_merit}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder with a pretrained folder of each network, and four recordings."""
    folder = tmp_path_factory.mktemp("concurrency")
    for name, build in NETWORKS.items():
        torch.manual_seed(0)
        write_pretrained(folder / name, build(), LABELS, "# tiny", facts={"window_seconds": 4})
    write_pretrained(folder / "int8", wavlm_merit(), LABELS, "# tiny", "int8")
    (folder / "broken.flac").write_text("hello")
    for index, seconds in enumerate(SECONDS):
        sf.write(folder / f"{index}.wav", wave(seconds, index), RATE)
    return folder


def load(folder):
    return MeritInterface.from_hparams(folder, run_opts={"device": "cpu"})


def results(merit, path):
    """All that an interface gives for a recording, in values that compare to the last bit."""
    analysis = merit.analyse_file(path)
    tensors = [analysis.enhanced, merit.enhance_file(path), merit.classify_file(path)[0]]
    return analysis.to_dict(), [tensor.numpy().tobytes() for tensor in tensors]


def alone(function, *arguments, **environment):
    """Calls a function of this file by its name, in a Python of its own, and shows its end."""
    command = [sys.executable, __file__, function, *map(str, arguments)]
    root = str(Path(__file__).parents[2])
    ended = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": root, **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert ended.returncode == 0, f"{ended.returncode}: {ended.stderr[-3000:]}"


def in_threads(folder, network, own):
    """Four threads hear all recordings, in orders of their own, more than once."""
    paths = sorted(Path(folder).glob("*.wav"))
    shared = load(Path(folder) / network)
    expected = {path: results(shared, path) for path in paths}
    assert len({repr(result) for result in expected.values()}) == len(paths)
    start, broken = threading.Barrier(4), Path(folder) / "broken.flac"

    def hear(number):
        merit = load(Path(folder) / network) if own else shared
        start.wait()
        for path in ROUNDS * (paths[number % 3 :] + paths[: number % 3]):
            assert results(merit, path) == expected[path]
            with pytest.raises(AudioError, match="broken.flac"):  # its own error, and no other's
                merit.analyse_file(broken)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(hear, range(4)))


def shared_and_own(folder):
    """One interface for all threads, and one for each."""
    in_threads(folder, "whisper", own=False)
    in_threads(folder, "whisper", own=True)
    in_threads(folder, "wavlm", own=False)


def test_threads_give_what_one_after_the_other_gives(folders):
    alone("shared_and_own", folders)


def in_children(folder):
    """A parent that has computed in two threads forks.

    Not while another thread of it computes: a lock that this one holds is never freed in a child.
    """
    global merit
    paths = sorted(Path(folder).glob("*.wav"))
    torch.set_num_threads(2)
    merit = load(Path(folder) / "whisper")
    expected = [merit.analyse_file(path) for path in paths]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        heard = pool.map_async(analysed, paths).get(timeout=TIMEOUT / 4)
    for ours, (enhanced, about) in zip(expected, heard):
        torch.testing.assert_close(torch.from_numpy(enhanced), ours.enhanced)
        assert about["emotion"] == ours.emotion
        assert about["joints"] == ours.to_dict()["joints"]
    assert torch.get_num_threads() == 2  # the parent goes on as it was


def analysed(path):
    """In a forked child: with the interface that it inherits."""
    analysis = merit.analyse_file(path)
    assert torch.get_num_threads() == 1
    return analysis.enhanced.numpy(), analysis.to_dict()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_children_of_a_parent_that_has_run_do_not_hang(folders):
    alone("in_children", folders, OMP_NUM_THREADS="2", OMP_WAIT_POLICY="PASSIVE")


def test_an_interface_goes_to_a_spawned_process(folders):
    merit, path = load(folders / "whisper"), folders / "1.wav"
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        there = pool.submit(results, merit, path).result(timeout=TIMEOUT)
    here = results(merit, path)
    assert there[0]["segments"] == here[0]["segments"]
    enhanced = [torch.frombuffer(bytearray(r[1][0]), dtype=torch.float32) for r in (here, there)]
    torch.testing.assert_close(*enhanced)


@pytest.mark.parametrize("network", [*NETWORKS, "int8"])
def test_an_interface_pickles_and_gives_the_same(folders, network):
    path, merit = folders / "2.wav", load(folders / network)
    for again in (pickle.loads(pickle.dumps(merit)), copy.deepcopy(merit)):
        assert results(again, path) == results(merit, path)
        assert again.device == "cpu" and not again.model.training


def test_an_interface_that_speechbrain_read_from_the_folder_pickles_too(folders):
    merit = foreign_class(
        source=str(folders / "whisper"),
        pymodule_file="custom_interface.py",
        classname="CustomInterface",
        run_opts={"device": "cpu"},
    )
    again = pickle.loads(pickle.dumps(merit))
    assert results(again, folders / "0.wav") == results(merit, folders / "0.wav")


def test_a_subclass_stays_what_it_is(folders):
    merit = Subclass.from_hparams(folders / "whisper", run_opts={"device": "cpu"})
    assert type(pickle.loads(pickle.dumps(merit))) is Subclass


class Subclass(MeritInterface):
    """A user's own, in a module that can be imported."""


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
