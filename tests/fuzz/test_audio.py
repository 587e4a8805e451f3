"""Bytes that are no recording any more: a result or a sentence, from every reader."""

import io
import math

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given
from surfaces import EARLY, answers, damaged, early, shared

from speechbrain_merit.audio.files import AudioReader
from speechbrain_merit.audio.headers import inspect_header
from speechbrain_merit.audio.inspection import inspect_audio

FORMATS = {
    "pcm.wav": ("WAV", "PCM_16", {}),
    "float.wav": ("WAV", "FLOAT", {}),
    "ulaw.wav": ("WAV", "ULAW", {}),
    "a.flac": ("FLAC", "PCM_16", {}),
    "a.mp3": ("MP3", "MPEG_LAYER_III", {}),
    "a.ogg": ("OGG", "VORBIS", {}),
    "a.aiff": ("AIFF", "PCM_24", {}),
    "a.caf": ("CAF", "PCM_16", {}),
    "a.au": ("AU", "PCM_16", {}),
    "a.rf64": ("RF64", "PCM_16", {}),
}
MOST = 600  # seconds of sound from some kilobytes; compressed silence may last long


def recording(form, subtype):
    """The bytes of a short stereo recording."""
    rng = np.random.default_rng(0)
    wave = 0.1 * rng.standard_normal((2400, 2))
    stream = io.BytesIO()
    sf.write(stream, wave, 8000, subtype, format=form)
    return stream.getvalue()


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A folder in a folder of its own."""
    folder = tmp_path_factory.mktemp("audio") / "in"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("name", FORMATS)
@shared(len(FORMATS))
@given(marked=EARLY)
def test_a_damaged_recording_is_heard_or_named(name, room, marked):
    form, subtype, _ = FORMATS[name]
    data = recording(form, subtype)
    path = room / name
    path.write_bytes(damaged(data, early(marked, len(data))))
    with answers(room):
        reader = AudioReader(path)
        seconds = 0.0
        for block in reader.blocks():
            assert block.dtype == np.float32 and np.isfinite(block).all()
            seconds += block.shape[1] / 16000
            if seconds > MOST:
                break
    with answers(room, also=()):
        report = inspect_audio(path)
        assert report.problem or report.sections
        assert math.isfinite(report.duration) and report.duration >= 0
    with answers(room, also=()):
        assert math.isfinite(inspect_header(path).duration)
