"""Recordings as recorders, pipes and ``cat`` leave them, for tests of several rooms."""

import os
import struct

import numpy as np
import soundfile as sf

MPEG4 = b"\x00\x00\x00\x20ftypM4A \x00\x00\x00\x00M4A mp42isom" + bytes(200)
ADTS = bytes([0xFF, 0xF1, 0x50, 0x80, 0x02, 0x1F, 0xFC]) + bytes(9)  # one frame of 16 bytes
EBML = b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01" + bytes(23) + b"webm" + bytes(200)


def voice(seconds, rate=16000, seed=0):
    """Something like a voice: harmonics that come and go, and a breath of noise."""
    rng, time = np.random.default_rng(seed), np.arange(round(seconds * rate)) / rate
    tones = sum(np.sin(2 * np.pi * k * (120 + 20 * seed) * time) / k for k in range(1, 12))
    wave = 0.06 * tones * (1 + np.sin(2 * np.pi * 3 * time)) + 0.003 * rng.standard_normal(
        len(time)
    )
    return wave.astype(np.float32)


def write(path, wave, rate=16000, **options):
    """Writes samples and returns the path."""
    if path.suffix == ".opus":
        options = {"format": "OGG", "subtype": "OPUS"}
    sf.write(os.fsencode(path), wave, rate, **options)
    return path


def patch(path, *changes):
    """Writes bytes over a file's at places, each (place, bytes); returns the path."""
    content = bytearray(path.read_bytes())
    for place, new in changes:
        content[place : place + len(new)] = new
    path.write_bytes(content)
    return path


def flac_from_a_pipe(path, wave, rate=16000):
    """FLAC whose STREAMINFO tells no number of samples."""
    write(path, wave, rate)
    return patch(path, (21, bytes([path.read_bytes()[21] & 0xF0])), (22, bytes(4)))


def killed_wav(path, wave, rate=16000, riff=0, data=0, **options):
    """WAV whose sizes were never written."""
    write(path, wave, rate, **options)
    at = path.read_bytes().index(b"data") + 4
    return patch(path, (4, struct.pack("<I", riff)), (at, struct.pack("<I", data)))


def joined(path, *pieces):
    """What ``cat`` makes of files."""
    path.write_bytes(b"".join(piece.read_bytes() for piece in pieces))
    return path


def mp3_without_info(path, wave, rate=16000):
    """MP3 of a variable bit rate, without the first frame that tells its length."""
    from speechbrain_merit.audio.mpeg import frame_length

    options = {"bitrate_mode": "VARIABLE", "compression_level": 0.5}
    content = write(path, wave, rate, **options).read_bytes()
    path.write_bytes(content[frame_length(content) :])
    return path
