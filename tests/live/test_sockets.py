"""The websocket of the service, over a real socket: a stream is what MeritStream gives."""

import json
import signal

import numpy as np
import pytest

from speechbrain_merit.inference import MeritInterface, MeritStream
from tests.live.service import running, small_model, until, voice

for name in ("fastapi", "uvicorn", "python_multipart"):
    pytest.importorskip(name, reason="the extra serve is not installed")
httpx = pytest.importorskip("httpx", reason="httpx is not installed")
client = pytest.importorskip("websockets.sync.client", reason="the extra serve is not installed")
ended = pytest.importorskip("websockets.exceptions", reason="the extra serve is not installed")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("model") / "small")


@pytest.fixture(scope="module")
def address(model, tmp_path_factory):
    limits = ("--streams", "2", "--patience", "3")
    folder = tmp_path_factory.mktemp("service")
    with running("serve", folder, "--model", str(model), *limits) as (url, _):
        yield url


def stream(address, query=""):
    return client.connect(f"{address.replace('http', 'ws')}/stream?{query}", max_size=None)


def received(socket):
    """Texts and the samples behind them, until it closes."""
    texts, waves = [], []
    try:
        for message in socket:
            if isinstance(message, str):
                texts.append(json.loads(message))
            else:
                waves.append(message)
    except ended.ConnectionClosed:
        pass
    return texts, b"".join(waves)


@pytest.mark.parametrize("query, dtype", [("", "<f4"), ("format=s16le&latency=1.5", "<i2")])
def test_a_stream_gives_what_merit_stream_gives(address, model, query, dtype):
    merit = MeritInterface.from_hparams(model, run_opts={"device": "cpu"})
    wave = voice(6)
    sent = wave if dtype == "<f4" else (wave * 2**15).astype(dtype)
    own = MeritStream(merit, latency=1.5 if "latency" in query else 0.75)
    expected = [*own.push(sent), *own.finish()]
    with stream(address, query) as socket:
        for start in range(0, len(sent), 4000):
            socket.send(sent[start : start + 4000].astype(dtype).tobytes())
        socket.send(b"")
        socket.send("finish")
        texts, waves = received(socket)
    assert texts[-1] == {"finished": True, "samples": len(wave)} and socket.close_code == 1000
    clean = np.concatenate([chunk.enhanced.numpy() for chunk in expected])
    scale, tolerance = (1, 1e-4) if dtype == "<f4" else (2**15, 1.01)
    assert np.abs(np.frombuffer(waves, dtype) - clean * scale).max() <= tolerance
    assert len(texts) == len(expected) + 1
    for text, chunk in zip(texts, expected):
        assert (text["at"], text["samples"]) == (chunk.at, len(chunk.enhanced))
        assert (text["emotion"], text["speech"]) == (chunk.emotion, chunk.speech)
        assert text["snr_db"] == pytest.approx(chunk.snr_db, abs=1e-2)


def test_chunks_come_while_the_stream_goes_on(address):
    with stream(address) as socket:
        socket.send(voice(3).tobytes())
        assert json.loads(socket.recv(timeout=60))["at"] == 0.0


@pytest.mark.parametrize(
    "query, sent, words",
    [
        ("sample_rate=3", [], "sample_rate is 3"),
        ("latency=soon", [], "latency is 'soon'"),
        ("latency=60", [], "latency is 60.0"),
        ("channels=0", [], "channels is 0"),
        ("format=mp3", [], "format is 'mp3'"),
        ("", [b"abc"], "3 bytes are no whole number"),
        ("channels=2", [bytes(4)], "2 channels"),
        ("", [np.full(100, np.nan, "<f4").tobytes()], "NaN"),
        ("", ["hello"], "not 'finish'"),
        ("", [], "Nothing came for 3 s"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence_and_closed(address, query, sent, words):
    with stream(address, query) as socket:
        for message in sent:
            socket.send(message)
        (text,), waves = received(socket)
    assert words in text["error"] and waves == b"" and socket.close_code == 1008


def test_places_for_streams_are_bounded_and_freed(address):
    until(address, 0, "streams")
    with stream(address) as one, stream(address) as two:
        until(address, 2, "streams")
        with stream(address) as third:
            (text,), _ = received(third)
        assert "taken" in text["error"] and third.close_code == 1013
        one.send(voice(1).tobytes())  # the others go on
        two.socket.close()  # and who hangs up without a word is noticed
        until(address, 1, "streams")
    until(address, 0, "streams")
    assert httpx.get(f"{address}/health").json()["requests"] == 0


def test_a_term_signal_closes_streams(model, tmp_path):
    with running("serve", tmp_path, "--model", str(model)) as (url, process):
        with stream(url) as socket:
            socket.send(voice(1).tobytes())
            until(url, 1, "streams")
            process.send_signal(signal.SIGTERM)
            received(socket)
        assert socket.close_code == 1012 and process.wait(60) == 0
