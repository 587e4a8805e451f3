"""Recordings in the forms that callers hold, many of them, and their table."""

import gc
import io
import os
import re
import sys
import tempfile

import numpy as np
import pandas
import pytest
import soundfile as sf
import torch

from speechbrain_merit.audio import speech_presence
from speechbrain_merit.errors import AudioError, PretrainedError, SettingsError
from speechbrain_merit.export.folder import write_pretrained
from speechbrain_merit.inference import MeritInterface, hearing
from speechbrain_merit.inference.jobs import Job, run
from speechbrain_merit.inference.summary import FIRST, LAST
from speechbrain_merit.lobes.emotion import EmotionHead
from speechbrain_merit.lobes.integration import WeightedSum
from speechbrain_merit.lobes.merit import Merit
from tests.inference.test_inference import LABELS, RATE, build, wave
from tests.tiny import WIDTH, tiny_encoder


@pytest.fixture(scope="module")
def merit(tmp_path_factory):
    """A tiny network with random weights."""
    return build(tmp_path_factory.mktemp("given") / "tiny", window_seconds=4)


@pytest.fixture(autouse=True)
def temporary(tmp_path_factory, monkeypatch):
    """The folder of temporary files; empty when a test ends, whatever happened."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert os.listdir(folder) == []


@pytest.fixture
def speech(monkeypatch):
    """Everything counts as speech."""

    def frames(wavs, lengths=None):
        return torch.ones(len(wavs), -(-wavs.shape[1] // 512), dtype=torch.bool)

    monkeypatch.setattr(hearing, "speech_frames", frames)
    monkeypatch.setattr(speech_presence, "LOWEST_SNR", -1000.0)


def results(analysis):
    return {k: v for k, v in analysis.to_dict().items() if k != "path"}


@pytest.mark.parametrize("rate, channels", [(RATE, 1), (44100, 2)])
def test_a_recording_gives_the_same_in_any_form(merit, speech, tmp_path, rate, channels):
    x = np.stack([wave(5.2, seed, rate) for seed in range(channels)], axis=1)
    x[:, 0] += 0.05  # an offset, which is taken off
    path = tmp_path / "a.wav"
    sf.write(path, x, rate, subtype="FLOAT")
    expected = merit.analyse_file(path)
    data = path.read_bytes()
    forms = [data, bytearray(data), io.BytesIO(data), (x, rate), (torch.from_numpy(x), rate)]
    forms += [(x.astype(np.float64), float(rate)), str(path)]
    if channels == 1:
        forms.append((x[:, 0], rate))
    for form in forms:
        analysis = merit.analyse_file(form)
        assert torch.equal(analysis.enhanced, expected.enhanced)
        assert results(analysis) == results(expected)
        assert analysis.path == (form if isinstance(form, str) else None)
    with open(path, "rb") as file:
        assert merit.analyse_file(file).path == str(path)
    assert torch.equal(merit.enhance_file(io.BytesIO(data)), merit.enhance_file(path))
    assert torch.equal(merit.classify_file((x, rate))[0], merit.classify_file(path)[0])


def test_whole_numbers_are_divided_by_full_scale(merit, tmp_path):
    x = (wave(1) * 2**15).astype(np.int16)
    expected = merit.enhance_file((x / 2**15, RATE))
    for form in (x, torch.from_numpy(x), x.astype(np.int32) * 2**16):
        assert torch.equal(merit.enhance_file((form, RATE)), expected)


def test_bytes_may_be_of_any_format_and_a_file_is_read_from_where_it_is(merit, tmp_path):
    sf.write(tmp_path / "a.flac", wave(1), RATE)
    data = (tmp_path / "a.flac").read_bytes()
    file = io.BytesIO(b"head" + data)
    file.seek(4)
    expected = merit.enhance_file(tmp_path / "a.flac")
    assert torch.equal(merit.enhance_file(file), expected)
    assert torch.equal(merit.enhance_file(data), expected)


@pytest.mark.parametrize(
    "source, message",
    [
        (b"hello, I am no recording", "^bytes: no recording that can be read"),
        (io.BytesIO(b""), "^file object: "),
        (io.StringIO("RIFF"), "^file object: was opened as text; give a path"),
        ((wave(0.01), RATE), "^samples: lasts 10 ms"),
        ((np.zeros(0), RATE), "^samples: is empty"),
        ((np.full(RATE, np.nan), RATE), "^samples: NaN or infinite samples from 0.00 s"),
        ((np.full(RATE, 1e300), RATE), "^samples: NaN or infinite"),
        ((np.zeros((2, RATE)), RATE), r"shape \(2, 16000\).*Turn it: array.T"),
        ((np.zeros((RATE, 2, 2)), RATE), "shape"),
        ((np.zeros(RATE, np.uint8), RATE), "of uint8; give floats"),
        ((np.zeros(RATE), 0), "a rate of 0"),
        ((np.zeros(RATE), 44100.5), "a rate of 44100.5"),
        ((np.zeros(RATE), "fast"), "a rate of 'fast'"),
        ((np.zeros(RATE), None), "a rate of None"),
        (np.zeros(RATE), r"the type ndarray: give a path.*\(array, rate\)"),
        (None, "the type NoneType"),
        (float("nan"), "the type float"),
        ("missing.wav", "missing.wav: cannot be read: No such file"),
    ],
)
def test_what_is_no_recording_is_named_as_it_was_given(merit, source, message):
    for attempt in (merit.analyse_file, merit.enhance_file, merit.encode_file):
        with pytest.raises(AudioError, match=message) as raised:
            attempt(source)
        assert "merit-" not in str(raised.value)


# Many


def test_the_name_of_a_file_is_no_list_of_files(merit):
    with pytest.raises(SettingsError, match="takes a list of recordings, not 'calls/a.wav'"):
        merit.analyse_files("calls/a.wav")


@pytest.mark.parametrize("source", ["my_model", "results/merit/RAVDESS/1234/pretrained", "/nope"])
def test_a_folder_that_is_not_there_is_not_looked_for_on_the_hub(source):
    with pytest.raises(PretrainedError, match=f"{source}: no such folder, and no name on the hub"):
        MeritInterface.from_hparams(source=source)


def test_one_bad_file_stops_no_other(merit, speech, tmp_path):
    sf.write(tmp_path / "a.wav", wave(1, 1), RATE)
    sf.write(tmp_path / "b.wav", wave(5, 2), RATE)
    (tmp_path / "bad.wav").write_text("hello")
    given = [
        tmp_path / "a.wav",
        tmp_path / "bad.wav",
        None,
        (wave(1, 3), RATE),
        b"",
    ]
    given += [tmp_path / "missing.wav", str(tmp_path / "b.wav")]
    for batch_size in (1, 3):
        found = merit.analyse_files(iter(given), batch_size=batch_size)
        assert [analysis.error is None for analysis in found] == [1, 0, 0, 1, 0, 0, 1]
        names = [analysis.path and os.path.basename(analysis.path) for analysis in found]
        assert names == ["a.wav", "bad.wav", None, None, None, "missing.wav", "b.wav"]
        assert "no recording" in found[1].error and "NoneType" in found[2].error
        assert found[1].emotion is None and found[1].enhanced is None
    for index in (0, 3, 6):
        alone = merit.analyse_file(given[index])
        assert found[index].enhanced is None
        assert found[index].probabilities == pytest.approx(alone.probabilities, abs=1e-5)
    assert torch.equal(merit.analyse_files([given[0]], enhanced=True)[0].enhanced,
                       merit.analyse_file(given[0]).enhanced)  # fmt: skip


def closed():
    file = io.BytesIO(b"RIFF")
    file.close()
    return file


@pytest.mark.parametrize(
    "source, message",
    [
        (closed(), "closed file"),
        ((np.zeros(RATE), RATE, 1), "the type tuple"),
        (([[0.0, 1.0], [0.0]], RATE), "samples: .*inhomogeneous"),
        ("a\0b.wav", "null byte"),
    ],
)
def test_what_cannot_even_be_opened_stops_no_other(merit, source, message):
    found = merit.analyse_files([source, (wave(1, 3), RATE)])
    assert found[1].error is None and re.search(message, found[0].error)


def test_what_overflows_the_network_takes_nothing_of_its_batch_with_it():
    given = [Job(torch.full((1, RATE), float(index))) for index in range(3)]

    def hear(windows):
        if any(window.wavs.max() == 1 for window in windows):
            raise FloatingPointError("too loud")
        return [None] * len(windows)

    class Everything:
        add = finish = lambda *_: None

    done = list(run(given, hear, lambda channels, sinks: Everything(), 4, batch_size=3))
    assert [str(job.error) for job in done] == ["None", "wave: too loud", "None"]


def test_channels_by_themselves_are_analyses_of_their_own(merit):
    x = np.stack([wave(1, 1), wave(1, 2)], axis=1)
    found = merit.analyse_files([(x, RATE), (x, RATE)], channels="separate")
    assert [analysis.channel for analysis in found] == [0, 1, 0, 1]


def test_the_table_has_the_columns_of_the_summary(merit, speech, tmp_path):
    sf.write(tmp_path / "a.wav", wave(2, 1), RATE)
    found = merit.analyse_files([tmp_path / "a.wav", tmp_path / "missing.wav", (wave(1), RATE)])
    frame = found.to_frame()
    assert list(frame.columns) == [*FIRST, *(f"p_{label}" for label in LABELS), *LAST]
    assert len(frame) == 3 and frame["file"][0] == str(tmp_path / "a.wav")
    assert frame["emotion"][0] == found[0].emotion
    assert frame["duration"].tolist()[0] == 2.0 and pandas.isna(frame["duration"][1])
    assert frame["probability"][0] == pytest.approx(max(found[0].probabilities.values()), abs=1e-4)
    assert "No such file" in frame["error"][1] and pandas.isna(frame["error"][0])
    assert len(merit.analyse_files([]).to_frame()) == 0


def test_without_pandas_the_table_says_what_is_missing(merit, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(SettingsError, match="needs pandas: pip install"):
        merit.analyse_files([]).to_frame()


def test_what_was_given_is_not_held_longer_than_it_is_heard(merit):
    held = []

    def sources():
        for seed in range(8):
            gc.collect()
            held.append(sum(issubclass(type(thing), Big) for thing in gc.get_objects()))
            yield (Big.of(wave(0.5, seed)), RATE)

    merit.analyse_files(sources())
    assert max(held) <= 2


class Big(np.ndarray):
    """An array that can be found again."""

    @classmethod
    def of(cls, samples):
        """A copy, which Python's garbage collector follows."""
        array = samples.copy().view(cls)
        array.follow = []
        return array


def test_no_enhanced_file_of_a_model_for_the_emotion_alone(tmp_path):
    encoder = tiny_encoder()
    model = Merit(encoder, WeightedSum(3, WIDTH), None, EmotionHead(WIDTH, n_classes=4))
    merit = MeritInterface.from_hparams(write_pretrained(tmp_path / "m", model, LABELS, "# M"))
    recording = np.random.default_rng(0).standard_normal(16000).astype(np.float32) / 9, 16000
    assert merit.analyse_file(recording).enhanced is None
    with pytest.raises(ValueError, match="no enhancement head"):
        merit.analyse_file(recording, output_filename=tmp_path / "out.wav")
    assert not (tmp_path / "out.wav").exists()
