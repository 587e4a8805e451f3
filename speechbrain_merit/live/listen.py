"""``merit listen``: a microphone, or raw samples on standard input, heard as they come."""

import os
import queue
import shutil
import signal
import sys
import threading
import time
from contextlib import contextmanager, nullcontext

import numpy as np

from speechbrain_merit.audio.files import AudioWriter
from speechbrain_merit.errors import StreamError
from speechbrain_merit.inference.command import load
from speechbrain_merit.inference.stream import MeritStream
from speechbrain_merit.lobes.spectrum import SAMPLE_RATE

FORMATS = {"s16le": np.dtype("<i2"), "f32le": np.dtype("<f4")}
BLOCK_SECONDS = 0.05
#: Blocks that wait at most: ten seconds. Standard input waits too then; a microphone cannot.
WAITING = 200
TICK = 0.1  # seconds after which a wait looks whether it was ended
CONTAINERS = {b"RIFF": "a WAV file", b"fLaC": "a FLAC file", b"OggS": "an Ogg file"}
ALL_WELL, BROKEN_OFF = 0, 1
BARS = "▁▂▃▄▅▆▇█"
HINT = "ffmpeg -i INPUT -f s16le -ar 16000 -ac 1 - | merit listen --stdin"


def listen(arguments):
    """Runs ``merit listen``.

    Arguments
    ---------
    arguments : argparse.Namespace
        ``model``, ``device``, ``latency``, ``out``, ``stdin``, ``rate``, ``channels``, ``format``,
        ``microphone``.

    Returns
    -------
    int
        0 at the end of the sound or after Ctrl-C, 1 where a block of it could not be heard.

    Raises
    ------
    StreamError
        There is no such microphone, or standard input holds no raw samples.
    PretrainedError, AudioError
        The model cannot be loaded, or ``out`` not written.
    """
    open_source = standard_input if arguments.stdin else microphone
    merit = load(arguments.model, arguments.device)  # first: a microphone does not wait
    with interrupts() as ended, open_source(arguments) as (rate, channels, blocks):
        stream = MeritStream(merit, rate, channels, arguments.latency)
        view, error, writer = View(sys.stdout), None, nullcontext()
        if arguments.out:
            writer = AudioWriter(arguments.out, 1, rate, source_rate=rate)
        with writer as file:

            def show(chunks):
                for chunk in chunks:
                    view.show(chunk, len(chunk.enhanced) / rate)
                    if file is not None:
                        file.write(chunk.enhanced.numpy()[None])

            try:
                for block in arriving(blocks, ended):
                    show(stream.push(block))
                    if view.gone:
                        break
            except StreamError as refused:
                if not stream.pushed:
                    raise
                error = refused  # what was heard before it is kept
            if stream.over != "broken":
                show(stream.finish())
    if arguments.stdin and not stream.pushed and not ended.is_set():
        print("merit: standard input held no samples", file=sys.stderr)
    view.end(arguments.out)
    if error is not None:
        print(f"merit: {error}", file=sys.stderr)
    return ALL_WELL if error is None else BROKEN_OFF


@contextmanager
def interrupts():
    """An event that the first Ctrl-C or SIGTERM sets; a second one interrupts as ever."""
    ended = threading.Event()

    def end(number, frame):
        if ended.is_set():
            raise KeyboardInterrupt
        ended.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def arriving(blocks, ended):
    """Yields the blocks of a queue until a None, or until the event is set; raises an error."""
    while not ended.is_set():
        try:
            block = blocks.get(timeout=TICK)
        except queue.Empty:
            continue
        if block is None:
            return
        if isinstance(block, Exception):
            raise block
        yield block


@contextmanager
def standard_input(arguments):
    """Rate, channels and a queue of blocks of raw samples.

    A thread reads: a read that waits for a silent program could not be interrupted.
    """
    if sys.stdin is None:
        raise StreamError(f"Standard input is closed: {HINT}")
    source = sys.stdin.buffer.raw  # a lock of the buffer's would be held when the program ends
    if source.isatty():
        raise StreamError(f"Standard input is the terminal: {HINT}")
    blocks, given_up = queue.Queue(WAITING), threading.Event()

    def hand_on(block):
        while not given_up.is_set():
            try:
                return blocks.put(block, timeout=TICK)
            except queue.Full:
                continue

    def read():
        try:
            kind, size = FORMATS[arguments.format], round(BLOCK_SECONDS * arguments.rate)
            for block in raw(source, kind, arguments.channels, size):
                hand_on(block)
            hand_on(None)
        except StreamError as error:
            hand_on(error)
        except OSError as error:
            hand_on(StreamError(f"Standard input: {error.strerror or error}"))

    threading.Thread(target=read, daemon=True).start()
    try:
        yield arguments.rate, arguments.channels, blocks
    finally:
        given_up.set()


def raw(source, kind, channels, size):
    """Yields blocks (n, channels), n up to ``size``, of a binary file as its bytes come.

    Raises
    ------
    StreamError
        They begin as a file of another kind does, or end within a sample.

    Example
    -------
    >>> import io
    >>> source = io.BytesIO(np.arange(10, dtype="<i2").tobytes())
    >>> [len(block) for block in raw(source, np.dtype("<i2"), 2, size=3)]
    [3, 2]
    """
    frame, rest, first = kind.itemsize * channels, b"", True
    while True:
        read = source.read(size * frame - len(rest))
        if read is None:  # a pipe that does not block, and holds nothing yet
            time.sleep(BLOCK_SECONDS)
            continue
        if not read:
            break
        data = rest + read
        if first and len(data) >= 4:
            if data[:4] in CONTAINERS:
                what = CONTAINERS[data[:4]]
                raise StreamError(f"Standard input is {what}, no raw samples: {HINT}")
            first = False
        whole = len(data) // frame * frame
        rest = data[whole:]
        if whole:
            block = np.frombuffer(data[:whole], kind).reshape(-1, channels)
            yield block.astype(kind.newbyteorder("="))
    if rest:
        raise StreamError(
            f"Standard input ends within a sample ({len(rest)} bytes of {frame}): are --format and "
            "--channels what it holds?"
        )


@contextmanager
def microphone(arguments):
    """Rate, channels and a queue of blocks of a microphone."""
    try:
        import sounddevice
    except ImportError as error:
        raise StreamError(
            'A microphone needs sounddevice: pip install "speechbrain_merit[live]". Or give raw '
            f"samples: {HINT}"
        ) from error
    except OSError as error:
        raise StreamError(f"{error}: install it (on Debian, libportaudio2).") from error
    chosen = arguments.microphone
    chosen = int(chosen) if chosen is not None and chosen.isdigit() else chosen
    blocks, lost = queue.Queue(WAITING), []

    def take(samples, frames, time, status):
        try:
            blocks.put_nowait(samples.copy())
        except queue.Full:
            lost.append(frames)

    try:
        rate = possible_rate(sounddevice, chosen)
        source = sounddevice.InputStream(
            samplerate=rate,
            blocksize=round(BLOCK_SECONDS * rate),
            device=chosen,
            channels=1,
            dtype="float32",
            callback=take,
        )
    except (sounddevice.PortAudioError, ValueError) as error:
        name = "" if chosen is None else f" {chosen}"
        there = str(sounddevice.query_devices()) or "none"
        raise StreamError(f"The microphone{name}: {error}. There are:\n{there}") from error
    with source:
        yield rate, 1, blocks
    if lost:
        print(
            f"merit: {sum(lost) / rate:.1f} s were lost, this machine is too slow: give a longer "
            "--latency",
            file=sys.stderr,
        )


def possible_rate(sounddevice, device):
    """16 kHz where a microphone has it, or else its own rate."""
    try:
        sounddevice.check_input_settings(device=device, channels=1, samplerate=SAMPLE_RATE)
        return SAMPLE_RATE
    except sounddevice.PortAudioError:
        return round(sounddevice.query_devices(device, "input")["default_samplerate"])


class View:
    """What the terminal shows: a line for each change, and at the end one that is written over.

    Arguments
    ---------
    out : file
        Standard output; where it is no terminal, only the changes are written.

    Example
    -------
    >>> from speechbrain_merit.inference import Chunk
    >>> view, chunk = View(sys.stdout), Chunk(None, "sad", {"sad": 0.8}, True, 12.0, 0.0)
    >>> view.show(chunk, 0.5), view.show(chunk._replace(emotion="no_speech", at=0.5), 0.5)
        0.0 s  sad
        0.5 s  no_speech
    (None, None)
    """

    def __init__(self, out):
        self.out, self.live, self.gone = out, out.isatty(), False
        self.shown, self.seconds, self.speech = None, 0.0, 0.0

    def show(self, chunk, seconds):
        """Shows a chunk of some seconds."""
        if chunk.emotion != self.shown:
            self.line(f"{chunk.at:7.1f} s  {chunk.emotion}", stays=True)
            self.shown = chunk.emotion
        self.seconds = chunk.at + seconds
        self.speech += seconds * chunk.speech
        if self.live:
            parts = [f"{self.seconds:7.1f} s"]
            for name, value in (chunk.probabilities or {}).items():
                parts.append(
                    f"{name} {BARS[min(int(value * len(BARS)), len(BARS) - 1)]} {value:.2f}"
                )
            if chunk.snr_db is not None:
                parts.append(f"SNR {chunk.snr_db:.0f} dB")
            self.line("  ".join(parts), stays=False)

    def line(self, text, stays):
        """Writes a line, over the last one that does not stay."""
        if self.live:
            text = "\r\x1b[K" + text[: shutil.get_terminal_size().columns - 1]
        try:
            print(text, end="\n" if stays else "", file=self.out, flush=True)
        except BrokenPipeError:  # as of `| head`: what was heard is kept
            self.gone = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.out.fileno())

    def end(self, path):
        """Says how much was heard, and where the result lies."""
        where = f"; {path}" if path else ""
        self.line(f"{self.seconds:.1f} s, {self.speech:.1f} s of them speech{where}", stays=True)
