"""merit serve over a real socket: what it answers and refuses, and that nobody else suffers."""

import errno
import io
import json
import signal
import socket
import sys
import threading

import numpy as np
import pytest
import soundfile as sf

from speechbrain_merit.__main__ import main
from speechbrain_merit.errors import AudioError
from speechbrain_merit.inference import MeritInterface
from speechbrain_merit.live.uploads import Upload
from tests.live.service import RATE, running, small_model, until, voice

for name in ("fastapi", "uvicorn", "python_multipart"):
    pytest.importorskip(name, reason="the extra serve is not installed")
httpx = pytest.importorskip("httpx", reason="httpx is not installed")

LIMITS = ("--max_mb", "2", "--max_seconds", "30", "--queue", "3", "--patience", "2")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("model") / "small")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module")
def address(model, folder):
    with running("serve", folder, "--model", str(model), *LIMITS) as (url, _):
        yield url


def wav(wave, rate=RATE, format="WAV", subtype="FLOAT"):
    file = io.BytesIO()
    sf.write(file, wave, rate, format=format, subtype=subtype)
    return file.getvalue()


def send(address, *contents, names=None):
    names = names or [f"{index}.wav" for index in range(len(contents))]
    files = [("file", (name, content)) for name, content in zip(names, contents)]
    return httpx.post(f"{address}/analyse", files=files, timeout=120)


def refused(answer, status, *words):
    assert answer.status_code == status, answer.text
    sentence = answer.json()["detail"]
    assert all(word in sentence for word in words), sentence
    assert "Traceback" not in sentence and "tmp" not in sentence and "upload" not in sentence
    return sentence


def connect(address):
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def begin(address, length):
    """A connection on which the head of a request was sent, with the length of a body to come."""
    connection = connect(address)
    head = f"POST /analyse HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n"
    connection.sendall(f"{head}Content-Type: multipart/form-data; boundary=b\r\n\r\n".encode())
    return connection


def test_it_answers_what_merit_analyse_writes(address, model, tmp_path):
    wave = voice(9)
    path = tmp_path / "call.wav"
    path.write_bytes(wav(wave))
    assert main(["analyse", str(path), "--model", str(model), "--out", str(tmp_path / "out")]) == 0
    written = json.loads((tmp_path / "out" / "call.json").read_text(encoding="utf-8"))
    answer = send(address, path.read_bytes(), names=["call.wav"]).json()
    assert answer.keys() == written.keys() and answer["path"] == "call.wav"
    assert answer["made_by"]["model"] == written["made_by"]["model"]
    for key in answer.keys() - {"path", "enhanced_path", "made_by"}:
        assert answer[key] == written[key], key


def test_the_two_sides_of_a_call_are_heard_apart(address, model, tmp_path):
    both = np.stack([voice(4, seed=1), voice(4, seed=2)], axis=1)
    path = tmp_path / "call.wav"
    path.write_bytes(wav(both))
    options = ["--model", str(model), "--out", str(tmp_path / "out"), "--channels", "separate"]
    assert main(["analyse", str(path), *options]) == 0
    written = json.loads((tmp_path / "out" / "call.json").read_text(encoding="utf-8"))

    def sent(content, channels):
        files, data = {"file": ("call.wav", content)}, {"channels": channels}
        return httpx.post(f"{address}/analyse", files=files, data=data, timeout=120)

    answer = sent(wav(both), "separate").json()
    assert answer.keys() == written.keys() and answer["path"] == "call.wav"
    assert answer["made_by"]["channels"] == "separate"
    for number, (mine, theirs) in enumerate(zip(answer["channels"], written["channels"])):
        assert mine["channel"] == number and mine["path"] == "call.wav"
        assert mine["probabilities"] == theirs["probabilities"]
    one, two = (side["snr_db"] for side in answer["channels"])
    assert one != two and len(answer["channels"]) == 2
    wrong = sent(wav(both), "left")
    refused(wrong, 422, "channels is one of: mix, all channels together; separate")
    many = wav(np.repeat(voice(1)[:, None], 9, axis=1))
    refused(sent(many, "separate"), 422, "call.wav: 9 channels are more than the 8")
    assert sent(many, "mix").status_code == 200


def test_each_of_several_recordings_gets_its_own_answer(address, model):
    merit = MeritInterface.from_hparams(model, run_opts={"device": "cpu"})
    waves = [voice(seconds, seed) for seed, seconds in enumerate((1, 5, 2.5))]
    answers = send(address, *map(wav, waves)).json()
    assert [answer["path"] for answer in answers] == ["0.wav", "1.wav", "2.wav"]
    for wave, answer in zip(waves, answers):
        (expected,) = merit.analyse_batch(wave[None])
        assert answer["duration"] == pytest.approx(len(wave) / RATE, abs=1e-3)
        assert answer["snr_db"] == pytest.approx(expected.snr_db, abs=0.02)


def test_one_bad_recording_stops_no_other(address):
    answers = send(address, wav(voice(1)), b"dear diary", wav(voice(2))).json()
    assert [answer.get("duration") for answer in answers] == [1.0, None, 2.0]
    assert "no recording that can be read" in answers[1]["error"]


@pytest.mark.parametrize(
    "content, words",
    [
        (b"no sound at all\n" * 50, "no recording that can be read"),
        (b"", "no recording that can be read"),
        (wav(np.full(RATE, np.nan, np.float32)), "NaN"),
        (wav(voice(1))[:200], "call.wav"),
        (wav(voice(0.02)), "at least 100 ms"),
        (wav(np.zeros((19200, 40)), 192000, subtype="PCM_U8"), "40 channels at 192000 Hz"),
    ],
)
def test_what_is_no_recording_is_refused_in_a_sentence(address, content, words):
    refused(send(address, content, names=["call.wav"]), 422, words, "call.wav")


def test_a_command_that_converts_names_the_clients_file(tmp_path):
    upload = Upload(io.BytesIO(b"\0\0\0\x20ftypM4A " + bytes(99)), "my call.m4a", tmp_path)
    with pytest.raises(AudioError) as raised:
        upload.check(max_seconds=60)
    sentence = upload.sentence(raised.value)
    assert sentence.startswith("my call.m4a: ") and "upload" not in sentence
    assert "ffmpeg -i 'my call.m4a' 'my call.wav'" in sentence


def test_a_request_without_recordings_is_told_how_to_send_them(address):
    for given in ({}, {"data": {"file": "call.wav"}}, {"json": {"file": "call.wav"}}):
        refused(httpx.post(f"{address}/analyse", **given), 422, "multipart")
    head = {"content-type": "multipart/form-data; boundary=b"}
    refused(httpx.post(f"{address}/analyse", content=b"nothing", headers=head), 400)


@pytest.mark.parametrize("name", ["../../../a.wav", "/etc/passwd", "C:\\a.wav", "a\x00b.wav", ".."])
def test_a_clients_name_is_never_a_path(address, folder, name):
    answer = send(address, wav(voice(0.5)), names=[name])
    path = answer.json()["path"]
    assert answer.status_code == 200 and not set("/\\\0") & set(path) and path.strip(".")
    # nothing stays, and nothing went anywhere else
    (own,) = (folder / "tmp").iterdir()
    assert list(own.iterdir()) == [] and not list(folder.glob("**/*.wav"))


def test_a_body_of_two_gigabytes_is_refused_before_it_comes(address):
    with begin(address, 2 * 10**9) as connection:
        answer = b"".join(iter(lambda: connection.recv(4096), b""))  # until it hangs up
    assert b" 413 " in answer and b"2 MB" in answer


def test_a_body_that_does_not_tell_its_length_is_counted(address):
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    pieces = (piece for piece in [part] + 100 * [bytes(2**18)])
    head = {"content-type": "multipart/form-data; boundary=b"}
    try:
        answer = httpx.post(f"{address}/analyse", content=pieces, headers=head)
    except (httpx.WriteError, httpx.ReadError):  # it closes while the client still sends
        return
    refused(answer, 413, "2 MB")


@pytest.mark.parametrize("announced", [True, False])
def test_a_small_flac_that_unpacks_to_an_hour_is_refused(address, announced):
    content = bytearray(wav(np.zeros(3600 * RATE, np.int16), format="FLAC", subtype="PCM_16"))
    assert len(content) < 10**6
    if not announced:  # the number of samples in STREAMINFO: the last 36 bits before the MD5
        content[22:26] = bytes(4)
    refused(send(address, bytes(content)), 413, "30 s")


def test_a_full_house_answers_503_and_opens_again(address):
    waiting = [begin(address, 1000) for _ in range(3)]
    try:
        until(address, 3)
        answer = send(address, wav(voice(0.5)))
        refused(answer, 503, "All places are taken")
        assert int(answer.headers["retry-after"]) > 0
        for connection in waiting:  # and who stops sending is not waited for
            assert b" 408 " in connection.recv(4096)
    finally:
        for connection in waiting:
            connection.close()
    until(address, 0)
    assert send(address, wav(voice(0.5))).status_code == 200


def test_a_client_that_hangs_up_frees_its_place(address):
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    silence = wav(np.zeros(29 * RATE, np.int16), format="FLAC", subtype="PCM_16")
    body = (part + silence + b"\r\n") * 60 + b"--b--\r\n"
    for count in (len(body), len(body) // 2):  # while it is heard, and while it is sent
        with begin(address, len(body)) as connection:
            connection.sendall(body[:count])
            until(address, 1)
        until(address, 0)
    assert send(address, wav(voice(0.5))).status_code == 200


def test_an_upload_that_a_full_disk_cuts_is_not_left_there(tmp_path):
    class Sent(io.BytesIO):
        def read(self, *size):
            if self.tell():
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().read(10)

    with pytest.raises(OSError, match="No space"):
        Upload(Sent(bytes(100)), "call.wav", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_term_signal_ends_it_when_its_requests_are_answered(model, tmp_path):
    with running("serve", tmp_path, "--model", str(model)) as (url, process):
        answers = []
        contents = [wav(voice(15, seed)) for seed in range(4)]
        sending = threading.Thread(target=lambda: answers.append(send(url, *contents)))
        sending.start()
        until(url, 1)
        process.send_signal(signal.SIGTERM)
        sending.join(120)
        assert [one["duration"] for one in answers[0].json()] == [15.0] * 4
        assert process.wait(60) == 0


def test_an_answer_that_takes_too_long_is_given_up(model, tmp_path):
    silence = wav(np.zeros(900 * RATE, np.int16), format="FLAC", subtype="PCM_16")
    with running("serve", tmp_path, "--model", str(model), "--timeout", "1") as (url, _):
        refused(send(url, silence), 504, "longer than 1 s")
        until(url, 0)


def test_health_and_version(address, model):
    health = httpx.get(f"{address}/health").json()
    assert health == {"status": "ok", "requests": 0, "places": 3, "streams": 0}
    version = httpx.get(f"{address}/version").json()
    assert version["labels"] == ["angry", "sad", "happy", "neutral"]
    assert version["tasks"] == ["se", "ser"] and len(version["model"]) == 16


def test_its_page_asks_nobody_else(address):
    answer = httpx.get(f"{address}/docs")
    assert answer.headers["content-type"].startswith("text/html")
    for route in ("POST /analyse", "GET /health", "GET /version", "/stream"):
        assert route in answer.text
    assert (
        "http:" not in answer.text and "https:" not in answer.text and "<script" not in answer.text
    )
    api = httpx.get(f"{address}/openapi.json").json()
    assert set(api["paths"]) == {"/analyse", "/health", "/version"}
    body = api["paths"]["/analyse"]["post"]["requestBody"]["content"]
    assert list(body) == ["multipart/form-data"]


def test_what_keeps_it_from_starting_is_said_in_a_sentence(model, capsys, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", "--port", port, "--model", str(model)]) == 2
        assert f"127.0.0.1, port {port}: cannot be listened at" in capsys.readouterr().err
    assert main(["serve", "--port", "0", "--model", "nowhere"]) == 2
    assert "nowhere: no such folder" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve", "--port", "0"]) == 2
    assert "speechbrain_merit[serve]" in capsys.readouterr().err
