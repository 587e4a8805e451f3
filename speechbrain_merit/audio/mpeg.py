"""MP3 files, frame by frame: how many recordings lie in one, and how long each is.

An encoder notes the number of frames and bytes in a first frame of its own ("Xing", or "Info" for a
constant bit rate). Where several files were joined, a decoder believes the first one's and stops;
where there is none, it guesses from the bit rate of the first frame, and either ends early or
announces too much. Layer III alone: nobody joins or streams the others.
"""

import struct

#: Bit rates in kbit/s by their index in a frame's header: MPEG-1, and MPEG-2 with 2.5.
KBITS = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
#: Sampling rates by version (3 is MPEG-1, 2 MPEG-2, 0 MPEG-2.5) and index.
RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
#: Bytes of side information between header and Info tag, by (MPEG-1, mono).
SIDE = {(True, False): 32, (True, True): 17, (False, False): 17, (False, True): 9}
ROOMY = {True: 5, False: 8}  # indices of 64 kbit/s: a frame that holds an Info tag at any rate
LONGEST_FRAME = 1441  # bytes
FRAMES_KNOWN, BYTES_KNOWN = 1, 2  # flags of an Info tag
BLOCK = 1 << 16  # bytes that are searched at once


def frame_length(header):
    """Bytes of the Layer III frame that starts with this header, 0 for anything else.

    Example
    -------
    >>> frame_length(bytes([0xFF, 0xFB, 0x90, 0xC4])), frame_length(b"RIFF")
    (417, 0)
    """
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return 0
    version, bits, rate = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or bits in (0, 15) or rate == 3:
        return 0
    first = version == 3
    padding = header[2] >> 1 & 1
    return (144 if first else 72) * KBITS[first][bits] * 1000 // RATES[version][rate] + padding


def alike(header, other):
    """Whether two frames can stand in one recording: version, layer and rate are the same."""
    return header[1] & 0xFE == other[1] & 0xFE and header[2] & 0x0C == other[2] & 0x0C


def is_mp3(start):
    """Whether bytes begin with a frame, followed by one alike if there are so many bytes."""
    length = frame_length(start)
    following = start[length : length + 4]
    return length > 0 and (
        len(following) < 4 or (frame_length(following) > 0 and alike(start, following))
    )


def is_adts(start):
    """Whether bytes begin with a frame of AAC; these look like MPEG frames of a layer 0."""
    if len(start) < 7 or start[0] != 0xFF or start[1] & 0xF6 != 0xF0:
        return False
    length = (start[3] & 3) << 11 | start[4] << 3 | start[5] >> 5
    following = start[length : length + 2]
    return length >= 7 and (len(following) < 2 or following == start[:2])


def side_bytes(header):
    """Where the Info tag of a frame with this header stands."""
    return 4 + SIDE[(header[1] >> 3 & 3 == 3, header[3] >> 6 == 3)]


def info(frame):
    """Flags, frames and bytes of the Info tag in a frame; None without one."""
    at = side_bytes(frame)
    if frame[at : at + 4] not in (b"Xing", b"Info") or len(frame) < at + 16:
        return None
    (flags,) = struct.unpack_from(">I", frame, at + 4)
    at += 8
    frames = size = None
    if flags & FRAMES_KNOWN:
        (frames,) = struct.unpack_from(">I", frame, at)
        at += 4
    if flags & BYTES_KNOWN:
        (size,) = struct.unpack_from(">I", frame, at)
    return flags, frames, size


def info_frame(header, frames, size):
    """A frame as encoders write it first, for a recording of so many frames and bytes.

    Example
    -------
    >>> made = info_frame(bytes([0xFF, 0xFB, 0x90, 0xC4]), 100, 41700)
    >>> info(made)[1:], len(made) == frame_length(made)
    ((100, 41908), True)
    """
    first = header[1] >> 3 & 3 == 3
    # without check sum, which would stand before the side information, and without padding
    header = bytes([0xFF, header[1] | 1, ROOMY[first] << 4 | header[2] & 0x0C, header[3]])
    frame = bytearray(frame_length(header))
    frame[:4], at = header, side_bytes(header)
    tag = struct.pack(">III", FRAMES_KNOWN | BYTES_KNOWN, frames, size + len(frame))
    frame[at : at + 16] = b"Info" + tag
    return bytes(frame)


def read(file, at, count):
    """``count`` bytes from a place on."""
    file.seek(at)
    return file.read(count)


def skip_tags(file, at):
    """The place behind the tags (ID3, APE) that start at ``at``."""
    while True:
        start = read(file, at, 32)
        if start[:3] == b"ID3" and len(start) >= 10:
            footer = 10 if start[5] & 0x10 else 0
            a, b, c, d = start[6:10]
            at += 10 + (a << 21 | b << 14 | c << 7 | d) + footer
        elif start[:3] == b"TAG":
            at += 128
        elif start[:8] == b"APETAGEX" and len(start) == 32:
            has_header = start[23] & 0x80
            size = struct.unpack_from("<I", start, 12)[0] + (32 if has_header else 0)
            at += max(len(start), size)  # one that says it is nothing would be met for ever
        else:
            return at


def recordings(file, size):
    """The recordings in an MP3 file.

    Arguments
    ---------
    file : file object
        Open for reading.
    size : int
        Of the file, in bytes.

    Returns
    -------
    parts : list of tuple
        (start, stop, head) of each: its bytes, and an Info frame to put before them, empty where
        they bring their own.
    stop : int
        The place behind the last one and its tags.
    """
    parts, at = [], skip_tags(file, 0)
    while at < size:
        frame = read(file, at, 2 * LONGEST_FRAME)
        if not is_mp3(frame):
            found = next_frame(file, at)
            if found is None:
                break
            at = found
            continue
        tag, head = info(frame), b""
        if tag and tag[1] and tag[2] and tag[2] >= frame_length(frame):
            stop = min(at + tag[2], size)
        else:
            begin = at + frame_length(frame) if tag else at
            stop, count = walk(file, begin, size)
            if stop == begin:  # an Info frame and nothing behind it
                break
            head = info_frame(frame, count, stop - begin)
            at = begin
        parts.append((at, stop, head))
        at = skip_tags(file, stop)
    return parts, min(at, size)


def walk(file, at, size):
    """Goes on while whole frames follow; returns the place behind the last one, and their number.

    Stops before a frame with an Info tag: there another recording begins.
    """
    count = 0
    while True:
        header = read(file, at, 4 + max(SIDE.values()) + 16)
        length = frame_length(header)
        if not length or at + length > size or info(header):
            return at, count
        at, count = at + length, count + 1


def next_frame(file, start):
    """The next place behind ``start`` where a frame is followed by one alike, or None."""
    at = start
    while len(block := read(file, at, BLOCK)) >= 4:
        place = block.find(b"\xff")
        while place >= 0:
            if at + place > start and frame_length(block[place : place + 4]):
                found = read(file, at + place, 2 * LONGEST_FRAME)
                if len(found) >= frame_length(found) + 4 and is_mp3(found):
                    return at + place
            place = block.find(b"\xff", place + 1)
        at += len(block) - 3
    return None
