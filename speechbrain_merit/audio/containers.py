"""What a file holds, by its bytes and not by its name, and where the recordings in it begin.

libsndfile decodes one recording a file and takes its header's word for the length. Files come
otherwise: written into a pipe or left by a recorder that was killed, so that no length was ever
noted; several recordings one behind the other, as ``cat`` joins them; or with a content that their
suffix does not say. Here a file becomes parts, each of which libsndfile reads to its end.
"""

import io
import shlex
from pathlib import Path
from typing import NamedTuple

from speechbrain_merit.audio import lengths, mpeg

#: What is no sound that libsndfile decodes: place of the mark, the mark, what it is.
OTHERS = (
    (4, b"ftyp", "MPEG-4 (m4a, mp4, 3gp, mov)"),
    (4, b"moov", "QuickTime"),
    (4, b"mdat", "QuickTime"),
    (0, b"\x1a\x45\xdf\xa3", "Matroska or WebM"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media (wma, asf)"),
    (8, b"AVI ", "AVI"),
    (0, b"FLV\x01", "Flash video"),
    (0, b"ADIF", "AAC"),
    (0, b"#!AMR", "AMR"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"wvpk", "WavPack"),
    (0, b"TTA1", "True Audio"),
    (0, b"MPCK", "Musepack"),
    (0, b"MP+", "Musepack"),
    (0, b"DSD ", "DSD"),
    (0, b"FRM8", "DSD"),
    (0, b".RMF", "RealMedia"),
    (1, b"dss", "a dictation (dss)"),
    (1, b"ds2", "a dictation (ds2)"),
    (8, b"QLCM", "Qualcomm PureVoice (qcp)"),
    (0, b"\x0b\x77", "AC-3"),
    (0, b"\x00\x00\x01\xba", "MPEG video"),
)
#: Starts of files that libsndfile decodes, for those whose suffix says nothing.
SOUNDS = (b"RIFF", b"RF64", b"fLaC", b"OggS", b"FORM", b"caff", b".snd", b"NIST_1A", b"riff.\x91",
          b"Creative Voice File", b" paf", b"fap ", *(bytes((0x64, 0xA3, n, 0)) for n in range(5)),
          *(bytes((0, n, 0xA3, 0x64)) for n in range(5)))  # fmt: skip
#: Samples without a header, by suffix: what ffmpeg has to be told of them, or the command.
RAW = {
    **dict.fromkeys((".ul", ".ulaw", ".mulaw", ".pcmu"), "-f mulaw -ar 8000"),
    **dict.fromkeys((".al", ".alaw", ".pcma"), "-f alaw -ar 8000"),
    ".sln": "-f s16le -ar 8000",  # Asterisk's
    ".gsm": "-f gsm",
    ".g722": "-f g722",
    ".g729": "-f g729",
    ".vox": "sox -t vox -r 8000",  # Dialogic's; ffmpeg has no name for it
    **dict.fromkeys((".pcm", ".raw"), "-f s16le -ar 16000"),  # of any rate and kind
}
GIT_LFS = b"version https://git-lfs"
PAGES = (b"<!doctype html", b"<html")
#: A STREAMINFO block, always the first of a FLAC file; the second form where it is the only one.
FLAC_STARTS = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")
BLOCK = 1 << 20  # bytes that are searched at once


class Part(NamedTuple):
    """One recording in a file: ``head``, then the bytes from ``start`` to ``stop``.

    ``head`` stands in place of a header whose lengths were never written.
    """

    start: int
    stop: int
    head: bytes = b""


class Contents(NamedTuple):
    """The parts of a file; None where libsndfile opens it as it is. And what is odd about it."""

    parts: list | None
    warnings: list


class View(io.RawIOBase):
    """A part of an open file, as a file of its own.

    Example
    -------
    >>> View(io.BytesIO(b"0123456789"), Part(4, 7, b"ab")).read()
    b'ab456'
    """

    def __init__(self, file, part):
        self.file, self.part, self.place = file, part, 0
        self.length = len(part.head) + part.stop - part.start

    def readable(self):
        """Yes."""
        return True

    def seekable(self):
        """Yes."""
        return True

    def tell(self):
        """The place."""
        return self.place

    def seek(self, offset, whence=io.SEEK_SET):
        """Goes to a place."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.length}[whence]
        self.place = max(0, base + offset)
        return self.place

    def readinto(self, buffer):
        """Fills ``buffer`` as far as there is something; returns the number of bytes."""
        head = self.part.head
        wanted = max(0, min(len(buffer), self.length - self.place))
        piece = head[self.place : self.place + wanted]
        if len(piece) < wanted:
            self.file.seek(self.part.start + self.place + len(piece) - len(head))
            piece += self.file.read(wanted - len(piece))
        buffer[: len(piece)] = piece
        self.place += len(piece)
        return len(piece)


def other_content(path):
    """What a file holds that is no recording libsndfile decodes, and what to do; else None."""
    start = beginning(path)
    if start.startswith(GIT_LFS):
        return "it only points to a file of Git LFS: run git lfs pull in the corpus's folder"
    if start.lstrip().lower().startswith(PAGES):
        return "it holds a web page: download the recording again"
    return other_sound(path)


def other_sound(path):
    r"""The same of sound and films alone.

    Example
    -------
    >>> path = Path(getfixture("tmpdir")) / "talk.mp3"
    >>> _ = path.write_bytes(b"\0\0\0\x20ftypM4A ")
    >>> other_sound(path).split(": ")[1]
    'convert it, such as by ffmpeg -i talk.mp3 talk.wav'
    """
    start = beginning(path)
    kind = other_mark(start)
    if kind is None and mpeg.is_adts(start):
        kind = "AAC"
    path, told = Path(path), []
    if kind is None and path.suffix.lower() in RAW and start and not holds_sound(path):
        kind, told = "samples without a header", RAW[path.suffix.lower()].split()
    if kind is None:
        return None
    tool = told if told[:1] == ["sox"] else ["ffmpeg", *told, "-i"]
    words = (*tool, path.name, converted(path).name)
    command = " ".join(shlex.quote(word) for word in words)
    return f"it holds {kind}, which is not read: convert it, such as by {command}"


def converted(path):
    """Where the command of `other_sound` puts what it makes of a file.

    Example
    -------
    >>> converted("calls/talk.m4a").name, converted("talk.wav").name
    ('talk.wav', 'talk_converted.wav')
    """
    path = Path(path)
    made = path.with_suffix(".wav")
    return path.with_name(f"{path.stem}_converted.wav") if made == path else made


def holds_sound(path):
    """Whether a file begins as those do that libsndfile decodes."""
    start = beginning(path)
    if other_mark(start) is not None:  # of those that begin with RIFF as well
        return False
    return start.startswith(SOUNDS) or mpeg.is_mp3(start)


def other_mark(start):
    """What a beginning tells of content that libsndfile does not decode, or None."""
    return next((what for at, mark, what in OTHERS if start[at:].startswith(mark)), None)


def beginning(path):
    """The first bytes of a file, without the ID3 tag that may stand before any content."""
    with open(path, "rb") as file:
        file.seek(mpeg.skip_tags(file, 0))
        return file.read(2 * mpeg.LONGEST_FRAME)


def contents(path):
    """Finds the recordings in a file.

    Arguments
    ---------
    path : str or Path
        A file; of Ogg, FLAC and MP3 without a length all of it is looked through, undecoded.

    Returns
    -------
    Contents
    """
    with open(path, "rb") as file:
        size = file.seek(0, io.SEEK_END)
        first = mpeg.skip_tags(file, 0)
        file.seek(first)
        start = file.read(2 * mpeg.LONGEST_FRAME)
        if start[:4] == b"fLaC":
            return joined(flac_starts(file), size, first)
        if start[:4] == b"OggS":
            return joined(ogg_starts(file), size, first)
        if mpeg.is_mp3(start):
            return mp3_contents(file, size)
        return header_contents(file, size)


def joined(starts, size, first):
    """Recordings that end where the next one starts."""
    if len(starts) < 2:
        return Contents(None, [])
    return Contents([Part(*pair) for pair in zip([first, *starts[1:]], [*starts[1:], size])], [])


def mp3_contents(file, size):
    """MP3: each part's length is known from its own Info frame, or from counting frames."""
    parts, stop = mpeg.recordings(file, size)
    if not parts:  # libsndfile says why
        return Contents(None, [])
    parts = [Part(*part) for part in parts]
    left = mpeg.read(file, stop, BLOCK).strip(b"\0")
    if len(left) > lengths.SLACK:
        return Contents(parts, [lengths.unread(size - stop)])
    if len(parts) == 1 and not parts[0].head:
        return Contents(None, [])
    return Contents(parts, [])


def header_contents(file, size):
    """Formats whose header tells the length, or should."""
    parts, odd, at = [], [], 0
    while at < size:
        found = lengths.look(file, at, size)
        parts.append(Part(found.start, found.stop, found.head))
        odd += [found.odd] if found.odd else []
        at = found.stop
    as_it_is = len(parts) < 2 and not any(part.head for part in parts)
    return Contents(None if as_it_is else parts, odd)


def find(file, marks, start=0):
    """Yields the places of any of ``marks``, of one length, in an open file, in order."""
    width, held = len(marks[0]), b""
    file.seek(start)
    while block := file.read(BLOCK):
        text = held + block
        offset = file.tell() - len(text)
        places = []
        for mark in marks:
            at = text.find(mark)
            while at >= 0:
                places.append(offset + at)
                at = text.find(mark, at + 1)
        yield from sorted(places)
        held = text[-width + 1 :]
        file.seek(offset + len(text))  # the caller may have read elsewhere


def flac_starts(file):
    """Where FLAC recordings start."""
    return list(find(file, FLAC_STARTS))


def ogg_starts(file):
    """Where the chained recordings of an Ogg file start: at pages that begin a stream.

    Several such pages in a row belong to one recording, of several streams.
    """
    starts, begins, at = [], False, 0
    while True:
        file.seek(at)
        page = file.read(27)
        if page[:4] != b"OggS":
            at = next(find(file, [b"OggS"], at), None)
            if at is None:
                return starts
            continue
        if len(page) < 27:
            return starts
        if page[5] & 2 and not begins:
            starts.append(at)
        begins = bool(page[5] & 2)
        at += 27 + page[26] + sum(file.read(page[26]))
