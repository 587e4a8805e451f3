"""Headers that tell a wrong length or none: of WAV, RF64, AIFF, AU and CAF.

These note their length when they are closed. A recorder that is killed leaves a 0, a program that
writes into a pipe the largest number there is, and ``cat`` puts whole files one behind the other.
libsndfile reads some of these to their end and takes others for empty; here each gets a header of
the same content that tells the length which there is. Formats: EBU Tech 3285 and 3306 (WAV, RF64),
AIFF-C and CAF (Apple), .snd (Sun).
"""

import struct
from typing import NamedTuple

UNKNOWN = 2**31 - 2**16  # what 32 bits hold from here on may stand for a length that is not known
LARGEST = 2**32 - 1
LONGEST_FORMAT = 1024  # bytes; of a WAV's format chunk
MANY_CHUNKS = 1000  # more stand before no samples
SLACK = 1024  # bytes: behind a recording may stand tags that say nothing here

EMPTY = "its header says that it holds nothing (was its recorder killed?): read to its end"


class Found(NamedTuple):
    """A recording in a file, and what is odd about it.

    ``head`` goes before the bytes from ``start`` to ``stop``; it is empty where these have a header
    that is right. Another recording may begin at ``stop``.
    """

    start: int
    stop: int
    head: bytes = b""
    odd: str | None = None


def look(file, start, size):
    """Finds the recording that begins at ``start`` in an open file of ``size`` bytes."""
    mark = read(file, start, 12)
    if mark[:4] in (b"RIFF", b"RF64") and mark[8:] == b"WAVE":
        found = wav(file, start, size)
    elif mark[:4] == b"FORM" and mark[8:] in (b"AIFF", b"AIFC"):
        found = aiff(file, start, size)
    else:
        found = {b".snd": au, b"caff": caf}.get(mark[:4], lambda *_: None)(file, start, size)
    return found or Found(start, size)


def unread(count):
    """The warning for what stands behind a recording."""
    return f"{count} bytes behind its end, as its header tells it, are no recording: left out"


def read(file, at, count):
    """``count`` bytes from a place on."""
    file.seek(at)
    return file.read(count)


def chunks(file, at, order):
    """Yields (name, place of the content, announced length) of the chunks from a place on."""
    for _ in range(MANY_CHUNKS):
        header = read(file, at, 8)
        if len(header) < 8:
            return
        name, length = struct.unpack(order + "4sI", header)
        yield name, at + 8, length
        at += 8 + length + length % 2


def behind(file, at, size, order, start):
    """Where whole chunks end that begin at a place: the file's end, or before something else."""
    mark = read(file, start, 4)
    for name, content, length in chunks(file, at, order):
        plain = all(32 <= letter < 127 for letter in name)
        if name == mark or not plain or content + length > size:
            return content - 8
        at = content + length + length % 2
    return size if size - at < 8 else at


def following(file, start, size, samples, length, order):
    """What is found where a header tells a length that there is."""
    for at in (samples + length + length % 2, samples + length):  # not all programs pad chunks
        place = behind(file, at, size, order, start)
        if place >= size:
            return Found(start, size)
        if read(file, place, 4) == read(file, start, 4):
            return Found(start, place)
    left = size - (samples + length)
    return Found(start, size, odd=unread(left) if left > SLACK else None)


def wav(file, start, size):
    """A WAV or RF64 file."""
    form, long, length = b"", None, None
    for name, at, length in chunks(file, start + 12, "<"):
        if name == b"fmt ":
            form = read(file, at, min(length, LONGEST_FORMAT))
        elif name == b"ds64":
            long = struct.unpack("<Q", read(file, at + 8, 8).ljust(8, b"\0"))[0]
        elif name == b"data":
            break
    else:
        return None
    if length == LARGEST and long is not None:
        length = long  # an RF64 file tells it in ds64
    there = size - at
    if length > there:  # cut off, or from a pipe: libsndfile knows both, but of RF64 files
        return Found(at, size, wav_header(form, there)) if length >= 2**63 else Found(start, size)
    if length == 0 and there and behind(file, at, size, "<", start) < size:
        return Found(at, size, wav_header(form, there), EMPTY)
    found = following(file, start, size, at, length, "<")
    if found.odd and length >= UNKNOWN:  # from a pipe, and longer than 32 bits can tell
        return Found(at, size, wav_header(form, there))
    return found


def wav_header(form, length):
    """The header of a WAV file, or of an RF64 file where that cannot tell the length."""
    tail = struct.pack("<4sI", b"fmt ", len(form)) + form
    tail += struct.pack("<4sI", b"data", min(length, LARGEST))
    if length + len(tail) + 4 < LARGEST:
        return struct.pack("<4sI4s", b"RIFF", 4 + len(tail) + length, b"WAVE") + tail
    sizes = struct.pack("<4sIQQQI", b"ds64", 28, 40 + len(tail) + length, length, 0, 0)
    return struct.pack("<4sI4s", b"RF64", LARGEST, b"WAVE") + sizes + tail


def aiff(file, start, size):
    """An AIFF file: its length stands in FORM, in COMM (in frames) and in SSND."""
    frames = None
    for name, at, length in chunks(file, start + 12, ">"):
        if name == b"COMM":
            frames = at + 2 - start
        elif name == b"SSND":
            first, nothing = at + 8, length <= 8  # behind offset and size of blocks
            break
    else:
        return None
    if not nothing or frames is None:
        return following(file, start, size, at, length, ">") if length <= size - at else None
    if first >= size or behind(file, first, size, ">", start) >= size:
        return None
    head = bytearray(read(file, start, first - start))
    for place in (4, frames, len(head) - 12):
        head[place : place + 4] = b"\xff" * 4
    return Found(first, size, bytes(head), EMPTY)


def au(file, start, size):
    """An AU file, in which the largest number means that the length is not known."""
    head = read(file, start, 24)
    if len(head) < 24:
        return None
    first, length = struct.unpack_from(">II", head, 4)
    if length or not 24 <= first < size - start:
        return None
    head = read(file, start, first)
    return Found(start + first, size, head[:8] + b"\xff" * 4 + head[12:], EMPTY)


def caf(file, start, size):
    """A CAF file, in which −1 means that the length is not known."""
    at = start + 8
    for _ in range(MANY_CHUNKS):
        header = read(file, at, 12)
        name, length = struct.unpack(">4sq", header.ljust(12, b"\0"))
        if name == b"data" or len(header) < 12 or length < 0:
            break
        at += 12 + length
    first = at + 16  # behind the number of edits
    if name != b"data" or length not in (0, -1) or first >= size:
        return None
    head = bytearray(read(file, start, first - start))
    head[-12:-4] = struct.pack(">q", size - at - 12)
    return Found(first, size, bytes(head), None if length else EMPTY)
