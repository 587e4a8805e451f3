"""Recordings as published: read without loss, and brought to 16 kHz int16 by whole numbers."""

import hashlib
import re
from typing import NamedTuple

import numpy as np
import soundfile as sf

from speechbrain_merit.data.exact.filters import RATE, resample
from speechbrain_merit.data.exact.integers import divided, saturated
from speechbrain_merit.errors import AudioError

#: Containers of whole numbers
SUFFIXES = {".wav", ".flac", ".aif", ".aiff"}
#: What is read to the last bit: the bits of a sample by libsndfile's name of it
BITS = {"PCM_16": 16, "PCM_24": 24, "PCM_32": 32, "PCM_S8": 8, "PCM_U8": 8}

#: libsndfile's words for sound that a header announces and the file lacks; other fields of a header
#: that it corrects, such as bytes a second, make no sample another.
CUT = re.compile(r"^(?:data|\s*SSND)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)
ENDLESS = 1 << 62  # libsndfile's number of samples where a header does not tell it


class Published(NamedTuple):
    """A recording: (S,) int16 at 16 kHz, and the SHA-256 of its samples as they were published."""

    samples: np.ndarray
    sha256: str


def read_published(path, seconds=None):
    """Reads a recording.

    Channels are added and divided by their number; more than 16 bits are rounded to 16; another
    rate is converted by `filters.resample`. Quotients are rounded to the nearest, halves upwards.

    Arguments
    ---------
    path : str or Path
        WAV, FLAC or another file of whole numbers.
    seconds : int, optional
        No more than that of its beginning.

    Returns
    -------
    Published

    Raises
    ------
    AudioError
        The file is missing, cut, empty, silent or not of whole numbers, or has an odd rate.
    """
    wave, rate = _read(path, seconds)
    try:
        samples = resample(_mono(wave), rate)
    except ValueError as error:
        raise AudioError(f"{path}: {error}") from error
    if not samples.any():
        raise AudioError(
            f"{path} is silent as one channel of 16 bits at {RATE} Hz: it is too quiet, or its "
            "channels cancel each other. Fetch it again, or leave it out by `exclude` in the YAML."
        )
    return Published(samples, sha256(wave, rate))


def published_sha256(path, seconds=None):
    """The SHA-256 of the samples as published, as `read_published` gives it, without converting.

    Raises
    ------
    AudioError
        As `read_published`.
    """
    return sha256(*_read(path, seconds))


def _read(path, seconds):
    """The samples (S, channels) of a recording, and its rate in Hz."""
    try:
        with sf.SoundFile(path) as file:
            bits, rate, said = BITS.get(file.subtype), file.samplerate, file.frames
            if bits is None:
                raise AudioError(
                    f"{path} is {file.subtype}, not samples of whole numbers: it is no file as "
                    "published, or its corpus has no exact form."
                )
            cut = CUT.search(file.extra_info)
            if cut is not None and int(cut[1]) > int(cut[2]):
                raise AudioError(
                    f"{path} is cut: its header says more than is there. Copy it again."
                )
            if said >= ENDLESS:
                raise AudioError(
                    f"{path} does not say how long it is, as files from a pipe: it is no file as "
                    "published. Fetch it again."
                )
            count = said if seconds is None else min(said, seconds * rate)
            wave = file.read(count, dtype="int16" if bits <= 16 else "int32", always_2d=True)
    except (sf.SoundFileError, OSError) as error:
        raise AudioError(f"{path} cannot be read: {error}") from error
    if len(wave) < count:
        raise AudioError(f"{path} is cut: {len(wave)} of {count} samples are there.")
    if not wave.any():
        raise AudioError(f"{path} is silent or empty: fetch it again.")
    return wave, rate


def _mono(wave):
    """(S, channels) of 16 or 32 bits → (S,) int16."""
    total, parts = wave.sum(axis=1, dtype=np.int64), wave.shape[1]
    if wave.dtype == np.int32:
        parts <<= 16
    return saturated(divided(total, parts) if parts > 1 else total)


def sha256(samples, rate=RATE):
    """SHA-256 of an array's rate and bytes, little-endian.

    Example
    -------
    >>> sha256(np.array([1, -1], dtype=np.int16))[:16]
    'fd6cfbdfaf35a604'
    """
    samples = np.ascontiguousarray(samples, dtype=samples.dtype.newbyteorder("<"))
    return hashlib.sha256(f"{rate} {samples.shape}".encode() + samples.tobytes()).hexdigest()
