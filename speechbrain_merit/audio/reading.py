"""Recordings as they come: the one place through which training, scoring and inference read.

A recording is read to its end, whatever its header says of its length, and so are several that were
joined in one file. What is made one channel follows :mod:`speechbrain_merit.audio.channels`.
"""

import math
import os
import re
import stat
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
import torch

from speechbrain_merit.audio.channels import Channels
from speechbrain_merit.audio.containers import View, contents, other_content
from speechbrain_merit.audio.lengths import UNKNOWN, unread
from speechbrain_merit.errors import AudioError

BLOCK_SECONDS = 4.0
#: libsndfile's number of frames where the header does not know it.
ENDLESS = 2**62
#: What libsndfile says of an MP3 without a frame of sound.
NO_SUCH_FILE = "File does not exist"
#: Hz; other rates are those of damaged headers, and soxr would take minutes over them.
RATES = range(1000, 1_000_001)
#: Seconds that are decoded before the place that is asked for: a frame of MP3 holds sound of later
#: ones, by at most 511 bytes (ISO 11172-3), and libsndfile's first frames after a leap lack it.
RUN_UP = {"MP3": 1.0}
#: Seconds around a section that are resampled with it: more than the filter reaches.
MARGIN = 0.1


class Stream(sf.SoundFile):
    """Reads on from where it is.

    soundfile seeks after each read, which no FLAC file of unknown length can, and asks the header
    how much is left.
    """

    def seekable(self):
        """Not by itself."""
        return False


class Recording:
    """A file with a recording, or several joined, read block by block at its own rate.

    Arguments
    ---------
    path : str or Path
        Any format of libsndfile, whatever its name.

    Attributes
    ----------
    rate, n_channels : int
        Of the file.
    frames : int or None
        As its header tells; None where it does not.
    missing : float
        Seconds that the header announces and the file lacks.
    format, subtype : str
        As soundfile names them.
    warnings : list of str
        What is odd about the file and was settled.

    Raises
    ------
    AudioError
        There is no such file, or nothing in it that can be read; says what to do where known.

    Example
    -------
    >>> path = str(getfixture("tmpdir").join("a.wav"))
    >>> sf.write(path, np.zeros((8000, 2)), 8000)
    >>> recording = Recording(path)
    >>> recording.rate, recording.frames, sum(len(block) for block in recording.blocks(2000, 5000))
    (8000, 8000, 3000)
    """

    def __init__(self, path):
        self.path = Path(path)
        size, _, _ = fingerprint(path)
        if size == 0:
            raise AudioError(f"{path}: no recording that can be read: it is empty (0 bytes).")
        try:
            other = other_content(path)
            if other is not None:
                raise AudioError(f"{path}: no recording that can be read: {other}.")
            parts, self.warnings = contents(path)
            self.parts = [None] if parts is None else parts
            self.open_parts()
            if self.rate not in RATES:
                raise AudioError(f"{path}: no recording that can be read: it has {self.rate} Hz.")
        except (sf.SoundFileError, OSError, TypeError) as error:  # the last for raw samples
            why = reason(error)
            if why.startswith(NO_SUCH_FILE):  # of a file that is there
                why = "it is damaged, or no sound"
            raise AudioError(f"{path}: no recording that can be read: {why}") from error

    def open_parts(self):
        """Looks at the header of each part; leaves out those that do not go with the first."""
        self.lengths = []
        for number, part in enumerate(self.parts):
            try:
                with self.opened(part) as sound:
                    facts = (sound.samplerate, sound.channels)
                    if number == 0:
                        self.rate, self.n_channels = facts
                        self.format, self.subtype = sound.format, sound.subtype
                        self.missing = missing_seconds(sound)
                    fits = facts == (self.rate, self.n_channels)
                    length = sound.frames if sound.frames < ENDLESS else None
            except sf.SoundFileError:
                if number == 0:
                    raise
                fits = False
            if not fits:
                size = os.path.getsize(self.path)
                self.warnings.append(unread(size - part.start))
                break
            self.lengths.append(length)
        self.frames = None if None in self.lengths else sum(self.lengths)

    @contextmanager
    def opened(self, part):
        """A part of the file as soundfile has it; None is the whole file."""
        if part is None:
            with Stream(native(self.path)) as sound:
                yield sound
        else:
            with open(self.path, "rb") as file, Stream(View(file, part)) as sound:
                yield sound

    def blocks(self, start=0, stop=None):
        """Yields samples (n, channels) in float32.

        Arguments
        ---------
        start, stop : int
            Frames; None is the end.

        Raises
        ------
        AudioError
            The file cannot be decoded so far.
        """
        at, size = 0, round(BLOCK_SECONDS * self.rate)
        try:
            for part, length in zip(self.parts, self.lengths):
                if length is not None and at + length <= start:
                    at += length
                    continue
                with self.opened(part) as sound:
                    run_up = round(RUN_UP.get(self.format, 0) * self.rate)
                    if length is not None and start - run_up > at:
                        sound.seek(start - run_up - at)
                        at = start - run_up
                    while stop is None or at < stop:
                        block = sound.read(size, dtype="float32", always_2d=True)
                        if not len(block):
                            break
                        wanted = block[max(0, start - at) : None if stop is None else stop - at]
                        at += len(block)
                        if len(wanted):
                            yield wanted
        except (sf.SoundFileError, OSError) as error:
            raise AudioError(
                f"{self.path}: cannot be decoded after {at / self.rate:.1f} s: {reason(error)}"
            ) from error

    def samples(self, start=0, stop=None):
        """The same in one piece (n, channels)."""
        blocks = list(self.blocks(start, stop))
        return np.concatenate(blocks) if blocks else np.zeros((0, self.n_channels), np.float32)

    def count(self):
        """The number of frames; decodes the file where its header does not tell it."""
        if self.frames is None:
            self.frames = sum(len(block) for block in self.blocks())
        return self.frames


def read_audio(path, sample_rate, start=0.0, duration=None, channel=None):
    """Reads a recording, or a section of it, as one channel in float32.

    Samples of a file at ``sample_rate`` are not touched unless an offset is taken off them or
    channels are made one. Others
    are resampled by soxr, and a section is what the whole file would have there.

    Arguments
    ---------
    path : str or Path
        Any format of libsndfile, whatever its name.
    sample_rate : int
        Rate of the result in Hz.
    start, duration : float
        The section, in seconds; ``duration`` None reads to the end.
    channel : int, optional
        Take this channel as it is: the mean of an impulse response belongs to its room.

    Returns
    -------
    torch.Tensor
        (S).

    Raises
    ------
    AudioError
        It cannot be read, ends before ``start``, or holds NaN or infinite samples.

    Example
    -------
    >>> path = str(getfixture("tmpdir").join("a.wav"))
    >>> sf.write(path, np.zeros((48000, 2)), 48000)
    >>> read_audio(path, 16000, start=0.25, duration=0.5).shape
    torch.Size([8000])
    """
    recording = Recording(path)
    rate = recording.rate
    first = round(start * sample_rate)
    count = None if duration is None else round(duration * sample_rate)
    if rate == sample_rate:
        begin, end = first, None if count is None else first + count
    else:
        # begin where samples of both rates fall together, so that none moves
        common = math.gcd(rate, sample_rate)
        begin = max(0, math.floor((first / sample_rate - MARGIN) * common)) * (rate // common)
        end = None if count is None else math.ceil(((first + count) / sample_rate + MARGIN) * rate)
    samples = recording.samples(begin, end)
    nothing = AudioError(f"{path}: holds nothing from {start:g} s on.")
    if not len(samples):
        raise nothing
    if not np.isfinite(samples).all():
        raise AudioError(f"{path}: holds NaN or infinite samples.")
    if channel is None:
        wave = Channels(recording.n_channels, rate).add(samples).mixed(samples)
    else:
        wave = samples[:, channel]
    if rate != sample_rate:
        skipped = first - begin * sample_rate // rate
        wave = soxr.resample(wave, rate, sample_rate)[skipped:][:count]
        if not len(wave):
            raise nothing
    return torch.from_numpy(np.ascontiguousarray(wave))


def missing_seconds(sound):
    """Seconds of audio that a file's header announces and the file does not hold.

    libsndfile corrects the length of a WAV or AIFF that was cut off, and notes it in its log.
    """
    note = re.search(
        r"^(?:data|\s*SSND)\s*:\s*(\d+) \(should be (\d+)\)", sound.extra_info, re.MULTILINE
    )
    if note is None:
        return 0.0
    announced, present = int(note[1]), int(note[2])
    # Programs that stream into a pipe announce the largest possible size: no promise.
    if not present < announced < UNKNOWN:
        return 0.0
    return sound.frames / sound.samplerate * (announced / max(present, 1) - 1)


def fingerprint(path):
    """What changes when someone writes to a file; raises AudioError where there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:  # ValueError: of a name with a zero byte
        raise AudioError(f"{path}: cannot be read: {reason(error)}") from error
    if not stat.S_ISREG(status.st_mode):
        raise AudioError(f"{path}: is no file.")
    return status.st_size, status.st_mtime_ns, status.st_ino


def native(path):
    """A path as soundfile takes it: names of files need not be UTF-8, where these are bytes."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def reason(error):
    """The last part of an error's message, without the path that soundfile repeats."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).rsplit(": ", 1)[-1].strip() or type(error).__name__
