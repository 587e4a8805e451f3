"""``merit analyse --jobs``: the same results in the same order, shared among processes."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
import soundfile as sf
import torch

from speechbrain_merit.errors import SettingsError
from speechbrain_merit.export.folder import write_pretrained
from speechbrain_merit.inference.workers import shared
from tests.inference.test_cli import analyse, names
from tests.inference.test_inference import LABELS, RATE, wave
from tests.tiny import tiny_merit

SECONDS = 120  # far more than any of these takes


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A pretrained folder of a tiny network."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("workers") / "tiny"
    return write_pretrained(folder, tiny_merit(), LABELS, "# tiny", facts={"window_seconds": 4})


def product(tool, item, go_on):
    """A worker's function: what it has, times the item; and its share of threads."""
    go_on()
    if item is None:
        os._exit(1)
    time.sleep(0.3 if item == 1 else 0)  # the first is the last to be done
    return tool * item, torch.get_num_threads(), os.getpid()


def test_items_come_back_in_their_order_from_processes_with_their_share_of_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        found = list(shared(range(1, 7), product, int, ("7",), jobs=2))
    finally:
        torch.set_num_threads(threads)
    assert [value for value, _, _ in found] == [7, 14, 21, 28, 35, 42]
    assert {own for _, own, _ in found} == {2}
    assert 1 <= len({process for *_, process in found} - {os.getpid()}) <= 2


def test_a_process_that_ends_without_a_word_is_told():
    with pytest.raises(SettingsError, match="fewer --jobs"):
        list(shared([1, None, 2], product, int, ("7",), jobs=2))


def test_several_processes_write_what_one_writes(model, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    for index, seconds in enumerate((5.0, 1.0, 0.7, 1.2, 0.5)):
        sf.write(folder / f"{index}.wav", wave(seconds, index), RATE)
    (folder / "3a.wav").write_text("hello")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert analyse(model, tmp_path / "out", str(folder)) == 1
        alone = {name: (tmp_path / "out" / name).read_bytes() for name in names(tmp_path / "out")}
        printed = capsys.readouterr()
        (tmp_path / "out").rename(tmp_path / "alone")
        assert analyse(model, tmp_path / "out", str(folder), "--jobs", "2") == 1
    finally:
        torch.set_num_threads(threads)
    shared_out = {name: (tmp_path / "out" / name).read_bytes() for name in names(tmp_path / "out")}
    assert shared_out == alone and len(alone) == 11
    again = capsys.readouterr()
    assert again.out == printed.out and "3a.wav" in again.err
    assert analyse(model, tmp_path / "out", str(folder), "--jobs", "2", "--skip_existing") == 1
    assert "5 passed over" in capsys.readouterr().out


@pytest.mark.parametrize("whole_group", [True, False])
def test_an_interrupt_of_several_processes_leaves_finished_files_whole(
    model, tmp_path, repo_root, whole_group
):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    sf.write(folder / "a.wav", wave(1), RATE)
    for name in ("b.wav", "c.wav"):  # heard for longer than the test lasts
        sf.write(folder / name, np.tile(wave(60), 20), RATE)
    process = subprocess.Popen(
        [sys.executable, "-m", "speechbrain_merit", "analyse", str(folder), "--jobs", "2"]
        + ["--model", str(model), "--out", str(out), "--device", "cpu"],
        cwd=repo_root,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(repo_root)},
        start_new_session=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    try:
        while not (out / "a.json").exists() or len(list(out.glob(".*.part"))) < 2:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
        assert process.wait(SECONDS) == 130
        error = process.stderr.read()  # ends when no process has it any more
    finally:
        process.kill()
        process.stderr.close()
    assert "Traceback" not in error and error.strip().endswith("merit: interrupted")
    assert names(out) == ["a.json", "a_enhanced.wav", "summary.csv"]
