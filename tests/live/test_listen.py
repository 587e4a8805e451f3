"""``merit listen``: raw samples in, a view and a clean file out; Ctrl-C, microphones, bad input."""

import io
import os
import re
import signal
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import soundfile as sf
import torch

from speechbrain_merit.__main__ import main
from speechbrain_merit.export.folder import write_pretrained
from speechbrain_merit.inference import Chunk, MeritInterface, MeritStream
from speechbrain_merit.live.listen import View
from tests.inference.test_inference import LABELS, RATE, wave
from tests.tiny import tiny_merit


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A pretrained folder of a tiny network."""
    torch.manual_seed(0)
    return write_pretrained(tmp_path_factory.mktemp("listen") / "tiny", tiny_merit(), LABELS, "# t")


def pcm(samples):
    return (samples * 2**15).astype("<i2")


def listen(model, monkeypatch, data, *more):
    """Runs the command on standard input; its exit code."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(data))))
    return main(["listen", "--model", str(model), "--device", "cpu", "--stdin", *more])


def test_what_comes_in_goes_out_clean(model, monkeypatch, tmp_path, capsys):
    x, out = pcm(wave(2.3)), tmp_path / "clean.wav"
    assert listen(model, monkeypatch, x.tobytes(), "--out", str(out)) == 0
    live = MeritStream(MeritInterface.from_hparams(model, run_opts={"device": "cpu"}))
    chunks = live.push(x) + live.finish()
    written, rate = sf.read(out, dtype="int16")
    expected = torch.cat([chunk.enhanced for chunk in chunks]).numpy()
    assert rate == RATE and np.abs(written / 2**15 - expected).max() < 2**-15
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == ["0.0", "s", chunks[0].emotion]
    assert printed[-1].startswith("2.3 s, ") and printed[-1].endswith(str(out))


def test_rate_channels_and_floats(model, monkeypatch, tmp_path):
    x = np.stack([wave(1, 1, 48000), wave(1, 2, 48000)], axis=1).astype("<f4")
    out = tmp_path / "clean.flac"
    options = ["--rate", "48000", "--channels", "2", "--format", "f32le", "--out", str(out)]
    assert listen(model, monkeypatch, x.tobytes(), *options) == 0
    info = sf.info(str(out))
    assert (info.samplerate, info.channels, info.frames) == (48000, 1, 48000)


@pytest.mark.parametrize(
    "data, more, code, message",
    [
        (b"RIFF" + bytes(5000), [], 2, "Standard input is a WAV file.*ffmpeg"),
        (b"fLaC" + bytes(5000), [], 2, "a FLAC file"),
        (bytes(2001), [], 1, "ends within a sample"),
        (np.full(8000, np.nan, "<f4").tobytes(), ["--format", "f32le"], 2, "NaN or infinite"),
        (bytes(2000), ["--latency", "11"], 2, "latency is 11.0: give seconds"),
        (bytes(2000), ["--rate", "99"], 2, "sample_rate is 99"),
        (bytes(2000), ["--out", "a.xyz"], 2, "no format is known"),
    ],
)
def test_bad_input_ends_with_a_word(model, monkeypatch, capfd, data, more, code, message, tmp_path):
    more = more if "--out" in more else [*more, "--out", str(tmp_path / "a.wav")]
    assert listen(model, monkeypatch, data, *more) == code
    captured = capfd.readouterr().err
    assert captured.startswith("merit: ") and re.search(message, captured)
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"] * (code == 1)


def test_what_was_heard_before_a_bad_block_is_kept(model, monkeypatch, tmp_path, capsys):
    x, out = wave(2).astype("<f4"), tmp_path / "a.wav"
    x[24000:] = np.inf
    assert listen(model, monkeypatch, x.tobytes(), "--format", "f32le", "--out", str(out)) == 1
    assert "at 1.50 s" in capsys.readouterr().err and sf.info(str(out)).frames == 24000


def test_no_sound_at_all_is_no_error(model, monkeypatch, capsys):
    assert listen(model, monkeypatch, b"") == 0
    assert capsys.readouterr().out.strip() == "0.0 s, 0.0 s of them speech"


@pytest.mark.parametrize(
    "options, message",
    [
        (["--rate", "8000", "--format", "f32le"], "--rate, --format: of raw samples alone"),
        (["--stdin", "--microphone", "1"], "give one of them"),
    ],
)
def test_options_that_would_be_passed_over_are_refused(options, message, capsys):
    assert main(["listen", *options]) == 2 and message in capsys.readouterr().err


def test_nothing_on_standard_input_is_said(model, monkeypatch, capsys):
    assert listen(model, monkeypatch, b"") == 0
    assert "held no samples" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["listen", "--model", str(model), "--device", "cpu", "--stdin"]) == 2
    assert "Standard input is closed" in capsys.readouterr().err


def test_what_was_heard_before_the_view_is_closed_is_kept(model, tmp_path):
    out = tmp_path / "clean.wav"
    process = subprocess.Popen(
        [sys.executable, "-m", "speechbrain_merit", "listen", "--stdin", "--model", str(model),
         "--device", "cpu", "--out", str(out)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    process.stdout.close()  # as `| head` does
    _, said = process.communicate(pcm(wave(4)).tobytes())
    assert process.returncode == 0 and b"Error" not in said, said
    assert 0 < sf.info(out).duration <= 4


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_it_with_a_whole_file(model, tmp_path, repo_root, number):
    out = tmp_path / "a.wav"
    process = subprocess.Popen(
        [sys.executable, "-m", "speechbrain_merit", "listen", "--stdin", "--model", str(model)]
        + ["--device", "cpu", "--out", str(out)],
        cwd=repo_root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(repo_root)},
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    try:
        process.stdin.write(pcm(wave(2)).tobytes())
        process.stdin.flush()  # and stays open: it waits for more
        assert process.stdout.readline()  # the first result
        process.send_signal(number)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.stdin.close(), process.stdout.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]
    assert 0.5 * RATE <= sf.info(str(out)).frames <= 2 * RATE


# Microphones


class FakeMicrophone:
    """What of sounddevice is used: so many blocks at once, and late ones when it is closed."""

    PortAudioError = type("PortAudioError", (Exception,), {})

    def __init__(self, rate, blocks=20):
        self.rate, self.blocks = rate, blocks

    def check_input_settings(self, device, channels, samplerate):
        if samplerate != self.rate:
            raise self.PortAudioError("Invalid sample rate")

    def query_devices(self, device=None, kind=None):
        return {"default_samplerate": float(self.rate)} if kind else "> 0 USB microphone"

    def InputStream(self, samplerate, blocksize, device, channels, dtype, callback):  # noqa: N802
        if device == "none":
            raise ValueError("No input device matching 'none'")
        assert samplerate == self.rate and channels == 1 and dtype == "float32"
        self.block, self.callback = np.zeros((blocksize, 1), np.float32), callback
        return self

    def __enter__(self):
        """Records."""
        size = len(self.block)
        for block in np.split(wave(self.blocks, rate=size), self.blocks):
            self.block[:, 0] = block  # PortAudio fills the same buffer again
            self.callback(self.block, size, None, None)

    def __exit__(self, *error):
        """Is still recording."""
        self.callback(self.block, len(self.block), None, None)


@pytest.fixture
def ctrl_c_after(monkeypatch):
    """Presses Ctrl-C after a number of blocks."""

    def press(count):
        push, pushed = MeritStream.push, []

        def counted(stream, block):
            pushed.append(block)
            if len(pushed) == count:
                os.kill(os.getpid(), signal.SIGINT)
            return push(stream, block)

        monkeypatch.setattr(MeritStream, "push", counted)

    return press


@pytest.mark.parametrize("rate", [16000, 44100])
def test_a_microphone_is_heard_at_a_rate_that_it_has(
    model, monkeypatch, tmp_path, rate, ctrl_c_after
):
    monkeypatch.setitem(sys.modules, "sounddevice", FakeMicrophone(rate))
    ctrl_c_after(20)
    out, size = tmp_path / "a.flac", round(rate / 20)
    command = ["listen", "--model", str(model), "--device", "cpu", "--out", str(out)]
    assert main(command) == 0
    assert sf.info(str(out)).samplerate == rate
    live = MeritStream(MeritInterface.from_hparams(model, run_opts={"device": "cpu"}), rate)
    chunks = live.windows(wave(20, rate=size))  # the whole sound, each block of its own
    expected = [c for w in chunks for c in live.take(w, live.merit.hear([w])[0])]
    expected += [c for w in live.last_windows() for c in live.take(w, live.merit.hear([w])[0])]
    written = sf.read(str(out), dtype="float32")[0]
    whole = torch.cat([chunk.enhanced for chunk in expected]).numpy()
    assert len(written) == len(whole) == 20 * size and np.abs(written - whole).max() < 2**-15


def test_a_machine_that_is_too_slow_says_what_it_lost(model, monkeypatch, capsys, ctrl_c_after):
    monkeypatch.setattr("speechbrain_merit.live.listen.WAITING", 20)
    monkeypatch.setitem(sys.modules, "sounddevice", FakeMicrophone(RATE, blocks=32))
    ctrl_c_after(20)
    assert main(["listen", "--model", str(model), "--device", "cpu"]) == 0
    assert "0.6 s were lost" in capsys.readouterr().err


def test_without_sounddevice_or_such_a_microphone_it_says_so(model, monkeypatch, capsys):
    command = ["listen", "--model", str(model), "--device", "cpu"]
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert main(command) == 2
    assert 'pip install "speechbrain_merit[live]"' in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "sounddevice", FakeMicrophone(RATE))
    assert main([*command, "--microphone", "none"]) == 2
    error = capsys.readouterr().err
    assert "No input device matching 'none'" in error and "0 USB microphone" in error


# The view


class Terminal(io.StringIO):
    """Standard output as a terminal is."""

    def isatty(self):
        return True


def test_a_terminal_shows_probabilities_and_keeps_the_changes():
    terminal = Terminal()
    view = View(terminal)
    for at, emotion in ((0.0, "sad"), (0.5, "sad"), (1.0, "happy")):
        probabilities = {"sad": 0.75, "happy": 0.25}
        view.show(Chunk(None, emotion, probabilities, True, 7.4, at), 0.5)
    view.show(Chunk(None, "no_speech", None, False, None, 1.5), 0.5)
    view.end("a.wav")
    lines = terminal.getvalue().split("\r\x1b[K")
    stay = [line.strip() for line in lines if line.endswith("\n")]
    assert stay == ["0.0 s  sad", "1.0 s  happy", "1.5 s  no_speech",
                    "2.0 s, 1.5 s of them speech; a.wav"]  # fmt: skip
    assert any("sad" in line and "0.75" in line and "SNR 7 dB" in line for line in lines)
    assert lines[-2].strip() == "2.0 s"
