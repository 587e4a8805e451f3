"""The websocket ``/stream``: samples in, clean samples and the emotion out, while it goes on."""

import asyncio
import json

import numpy as np
from fastapi import WebSocketDisconnect
from fastapi.concurrency import run_in_threadpool

from speechbrain_merit.errors import StreamError
from speechbrain_merit.inference import MeritStream
from speechbrain_merit.live.worker import Task

PROTOCOL = """\
/stream?sample_rate=16000&channels=1&latency=0.75&format=f32le

client → binary   samples, channels interleaved; f32le (full scale 1) or s16le
client → text     finish
server → text     {"at": 0.5, "samples": 8000, "emotion": "sad", "probabilities": {"sad": 0.8, …},
                   "speech": true, "snr_db": 7.1}
server → binary   that many enhanced samples behind each such text, in the client's format and
                  rate, one channel
server → text     {"finished": true, "samples": 160000} after finish, and closes with 1000
server → text     {"error": "a sentence"} where it cannot go on, and closes:
                  1008 for what was asked or sent, 1013 where all places are taken, 1011 for a
                  fault of the service

Blocks may have any size up to 1 MB; as many samples come back as were sent. Who sends nothing for
a while is let go. What the fields mean: docs/live.md.
"""
#: How samples are sent, and what their full scale is multiplied with.
FORMATS = {"f32le": (np.dtype("<f4"), 1), "s16le": (np.dtype("<i2"), 2**15)}
ASKED_WRONG, LATER, FAULT = 1008, 1013, 1011  # of RFC 6455 and its registry


class Pushed:
    """Windows of a push on their way through the worker.

    Arguments
    ---------
    stream : MeritStream
        Whose they are.
    windows : list of Window
        At least one.
    """

    def __init__(self, stream, windows):
        self.stream, self.left, self.chunks, self.done = stream, len(windows), [], False

    def take(self, window, heard):
        """Takes what was heard of the next window."""
        self.chunks += self.stream.take(window, heard)
        self.left -= 1
        self.done = self.left == 0

    def fail(self, error):
        """Gives up."""
        self.done = True


class Connection:
    """One client's stream.

    Arguments
    ---------
    socket : starlette.websockets.WebSocket
        Not yet accepted.
    worker : Worker
        That hears.
    patience : float
        Seconds that it may send nothing.
    """

    def __init__(self, socket, worker, patience):
        self.socket, self.worker, self.patience = socket, worker, patience
        self.sent = 0

    async def run(self, places_left):
        """From the first message to the last; refuses where no place is left."""
        await self.socket.accept()
        try:
            if not places_left:
                return await self.end(LATER, "All places for streams are taken: ask again.")
            self.open()
            await self.follow()
        except (StreamError, ValueError) as error:
            await self.end(ASKED_WRONG, str(error))
        except asyncio.TimeoutError:
            await self.end(ASKED_WRONG, f"Nothing came for {self.patience:g} s.")
        except WebSocketDisconnect:  # the client has gone
            pass
        except Exception:
            await self.end(FAULT, "A fault of the service; its log says more.")
            raise

    def open(self):
        """Opens the stream that the query asks for."""
        asked = self.socket.query_params
        kind = asked.get("format", "f32le")
        if kind not in FORMATS:
            raise StreamError(f"format is {kind!r}: give f32le or s16le.")
        self.dtype, self.scale = FORMATS[kind]
        numbers = {"sample_rate": int, "channels": int, "latency": float}
        given = {}
        for name in numbers.keys() & asked.keys():
            try:
                given[name] = numbers[name](asked[name])
            except ValueError:
                raise StreamError(f"{name} is {asked[name]!r}: give a number.") from None
        self.stream = MeritStream(self.worker.merit, **given)

    async def follow(self):
        """Takes blocks and gives chunks, until the client finishes."""
        clock = asyncio.get_running_loop().time
        until = clock() + self.patience
        while True:
            message = await asyncio.wait_for(self.socket.receive(), max(0, until - clock()))
            if message["type"] == "websocket.disconnect":
                return
            if message.get("bytes") is not None:
                await self.give(self.stream.windows, self.samples(message["bytes"]))
            elif message["text"].strip() == "finish":
                await self.give(self.stream.last_windows)
                await self.socket.send_text(json.dumps({"finished": True, "samples": self.sent}))
                return await self.socket.close()
            else:
                raise StreamError("A text that is not 'finish': send samples as binary messages.")
            if message["bytes"]:  # an empty one is nothing
                until = clock() + self.patience

    def samples(self, data):
        """A block (n, channels) of the bytes of a message."""
        channels = self.stream.channels
        if len(data) % (self.dtype.itemsize * channels):
            raise StreamError(
                f"{len(data)} bytes are no whole number of samples of {self.dtype.itemsize} bytes "
                f"in {channels} channels."
            )
        samples = np.frombuffer(data, self.dtype)
        return samples.astype(self.dtype.newbyteorder("=")).reshape(-1, channels)

    async def give(self, cut, *given):
        """Hears the windows that are ready, and sends their chunks."""
        windows = await run_in_threadpool(cut, *given)
        if not windows:
            return
        task = Task(Pushed(self.stream, windows), iter(windows))
        pushed = await asyncio.wrap_future(self.worker.take(task, first=True))
        for chunk in pushed.chunks:
            about = chunk._asdict()
            wave = about.pop("enhanced").numpy()
            about = {"at": about.pop("at"), "samples": len(wave), **about}
            await self.socket.send_text(json.dumps(about))
            if self.scale != 1:
                wave = (wave * self.scale).round().clip(-self.scale, self.scale - 1)
            await self.socket.send_bytes(wave.astype(self.dtype).tobytes())
            self.sent += len(wave)

    async def end(self, code, sentence):
        """Says why it ends."""
        try:
            await self.socket.send_text(json.dumps({"error": sentence}))
            await self.socket.close(code)
        except (WebSocketDisconnect, RuntimeError):  # it has gone already
            pass
