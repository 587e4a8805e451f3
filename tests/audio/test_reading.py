"""One reader for all: the level of tones, the place of sections, and one channel of many."""

import io
import struct

import numpy as np
import pytest
import soundfile as sf
import torch

from speechbrain_merit.audio.channels import Channels
from speechbrain_merit.audio.files import AudioReader
from speechbrain_merit.audio.inspection import inspect_audio
from speechbrain_merit.audio.mpeg import skip_tags
from speechbrain_merit.audio.reading import read_audio
from speechbrain_merit.errors import AudioError
from tests.odd import joined, mp3_without_info, voice, write

RATE = 16000


def streamed(path):
    """The recording as inference reads it."""
    return torch.from_numpy(np.concatenate(list(AudioReader(path).blocks()), axis=1)[0])


ROADS = pytest.mark.parametrize("road", [lambda path: read_audio(path, RATE), streamed])


def level(wave):
    """Root mean square in dB, away from the ends."""
    return 10 * float(torch.log10(wave[1000:-1000].double().square().mean() + 1e-30))


# Resampling


@ROADS
@pytest.mark.parametrize("frequency", [6000, 6500, 7000])
def test_what_16_khz_can_hold_keeps_its_level(tmp_path, road, frequency):
    time = np.arange(48000) / 48000
    tone = 0.5 * np.sin(2 * np.pi * frequency * time)
    path = write(tmp_path / "tone.wav", tone, 48000, subtype="FLOAT")
    assert level(road(path)) == pytest.approx(level(torch.from_numpy(tone)), abs=0.2)


@ROADS
@pytest.mark.parametrize("frequency", [8200, 9000, 10000, 11000, 12000])
def test_what_16_khz_cannot_hold_does_not_come_back_as_another_tone(tmp_path, road, frequency):
    time = np.arange(48000) / 48000
    path = write(tmp_path / "tone.wav", np.sin(2 * np.pi * frequency * time), 48000)
    assert level(road(path)) < -60


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_training_hears_what_inference_hears(tmp_path, rate):
    path = write(tmp_path / "a.wav", np.stack([voice(9, rate), voice(9, rate, 1)], axis=1), rate)
    torch.testing.assert_close(read_audio(path, RATE), streamed(path), atol=1e-6, rtol=0)


def test_a_file_of_the_rate_asked_for_keeps_its_very_samples(tmp_path):
    wave = 0.1 * np.random.default_rng(0).standard_normal((4800, 2)).astype(np.float32)
    path = write(tmp_path / "a.wav", wave, RATE, subtype="FLOAT")
    assert np.array_equal(read_audio(path, RATE).numpy(), (wave[:, 0] + wave[:, 1]) / 2)
    assert np.array_equal(read_audio(path, RATE, 0.1, 0.1).numpy(), wave[1600:3200].mean(axis=1))
    assert np.array_equal(read_audio(path, RATE, channel=1).numpy(), wave[:, 1])


def test_stereo_of_48_khz_becomes_the_mean_at_16_khz(tmp_path):
    time, at = np.arange(48000) / 48000, torch.arange(RATE) / RATE
    left, right = np.sin(2 * np.pi * 1000 * time), 0.5 * np.sin(2 * np.pi * 440 * time)
    path = write(tmp_path / "a.wav", np.stack([left, right], axis=1), 48000, subtype="FLOAT")
    read = read_audio(str(path), RATE)
    assert read.shape == (RATE,) and read.dtype == torch.float32
    expected = (torch.sin(2000 * torch.pi * at) + 0.5 * torch.sin(880 * torch.pi * at)) / 2
    inside = slice(400, -400)  # away from the resampling filter's edges
    assert (read - expected)[inside].abs().max() < 1e-3


# Sections


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "opus", "aiff"])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_a_section_is_what_the_whole_has_there(tmp_path, suffix, rate):
    rate = 24000 if suffix == "opus" and rate == 44100 else rate
    options = {"mp3": {"bitrate_mode": "VARIABLE", "compression_level": 0.9}}.get(suffix, {})
    path = write(tmp_path / f"a.{suffix}", voice(6, rate), rate, **options)
    whole = read_audio(path, RATE)
    for start, duration in ((0.0, 1.0), (0.7071, 1.5), (3.3, 1.23), (5.5, None)):
        section = read_audio(path, RATE, start, duration)
        first = round(start * RATE)
        expected = whole[first:] if duration is None else whole[first:][: round(duration * RATE)]
        torch.testing.assert_close(section, expected, atol=1e-6, rtol=0)


def test_a_section_may_lie_across_two_joined_files(tmp_path):
    pieces = [write(tmp_path / f"{n}.mp3", voice(2, 44100, n), 44100) for n in (1, 2)]
    path = joined(tmp_path / "both.mp3", *pieces)
    whole = read_audio(path, RATE)
    assert len(whole) == 4 * RATE
    section = read_audio(path, RATE, 1.5, 1.0)
    torch.testing.assert_close(section, whole[24000:40000], atol=1e-6, rtol=0)


def test_a_section_behind_the_end_is_refused(tmp_path):
    path = write(tmp_path / "a.wav", voice(1))
    with pytest.raises(AudioError, match=r"a\.wav: holds nothing from 2 s on"):
        read_audio(path, RATE, start=2.0, duration=1.0)


def test_an_mp3_without_its_length_is_read_to_its_end(tmp_path):
    """Decoders guess from the first frame: of a loud start and a quiet end they lose the latter."""
    wave = np.concatenate([np.random.default_rng(0).normal(0, 0.1, 5 * RATE), voice(10) / 50])
    path = mp3_without_info(tmp_path / "a.mp3", wave)
    assert sf.info(str(path)).duration < 10  # what is told without counting
    assert inspect_audio(path).duration == pytest.approx(15, abs=0.2)
    for read in (read_audio(path, RATE), streamed(path)):
        assert len(read) / RATE == pytest.approx(15, abs=0.2)
        assert level(read[-5 * RATE :]) == pytest.approx(
            level(torch.from_numpy(wave[-5 * RATE :])), abs=1
        )


# Channels and offsets


@ROADS
@pytest.mark.parametrize("offset", [0.01, 0.05, 0.2, 0.5, -0.5])
def test_an_offset_is_taken_off(tmp_path, road, offset):
    wave = voice(9)
    plain = road(write(tmp_path / "plain.wav", wave, subtype="FLOAT"))
    assert torch.equal(plain, torch.from_numpy(wave))
    moved = road(write(tmp_path / "moved.wav", wave + offset, subtype="FLOAT"))
    torch.testing.assert_close(moved, plain - plain.mean(), atol=1e-6, rtol=0)
    assert float(plain.mean().abs()) < 1e-3 * float(plain.std())  # there was none to take off


@ROADS
@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_an_offset_leaves_no_trace_at_another_rate(tmp_path, road, rate):
    wave = voice(2, rate)
    plain = road(write(tmp_path / "plain.wav", wave, rate, subtype="FLOAT"))
    moved = road(write(tmp_path / "moved.wav", wave + 0.3, rate, subtype="FLOAT"))
    torch.testing.assert_close(moved, plain, atol=1e-4, rtol=0)


def test_noise_that_has_no_offset_keeps_its_bytes():
    """The mean of a short noise is never 0; what all parts have in common is what counts."""
    rng = np.random.default_rng(0)
    for seconds in (0.11, 0.3, 1.0, 10.0):
        for _ in range(50):
            noise = 0.1 * rng.standard_normal((round(seconds * RATE), 1)).astype(np.float32)
            assert Channels(1, RATE).add(noise).centred(noise) is noise


@ROADS
def test_an_inverted_channel_does_not_cancel_the_other(tmp_path, road):
    wave = voice(5)
    path = write(tmp_path / "a.wav", np.stack([wave, -wave], axis=1), subtype="FLOAT")
    assert torch.equal(road(path), torch.from_numpy(wave))
    reader = AudioReader(path)
    list(reader.blocks())
    for warnings in (reader.warnings, inspect_audio(path).warnings):
        assert len(warnings) == 1 and "cancel each other" in warnings[0]
    assert inspect_audio(path)[:2] == (5.0, None)


@ROADS
def test_inverted_and_of_another_level_with_noise_the_stronger_channel_is_taken(tmp_path, road):
    left, right = 0.5 * voice(5), -voice(5) + 0.01 * voice(5, seed=2)
    path = write(tmp_path / "a.wav", np.stack([left, right], axis=1), subtype="FLOAT")
    assert torch.equal(road(path), torch.from_numpy(right))


@ROADS
@pytest.mark.parametrize("share", [1.0, 0.5, 0.0, -0.3])
def test_channels_that_do_not_cancel_are_averaged(tmp_path, road, share):
    left, other = voice(5), voice(5, seed=3)
    right = share * left + (1 - abs(share)) * other
    path = write(tmp_path / "a.wav", np.stack([left, right], axis=1), subtype="FLOAT")
    torch.testing.assert_close(road(path), torch.from_numpy((left + right) / 2))
    reader = AudioReader(path)
    list(reader.blocks())
    assert reader.warnings == inspect_audio(path).warnings == []


def test_separate_channels_are_never_mixed(tmp_path):
    wave = voice(5)
    both = np.stack([wave + 0.1, -wave], axis=1)
    path = write(tmp_path / "a.wav", both, subtype="FLOAT")
    reader = AudioReader(path, channels="separate")
    read = np.concatenate(list(reader.blocks()), axis=1)
    np.testing.assert_allclose(read, [wave, -wave], atol=1e-4)
    assert reader.warnings == []


def test_nan_in_a_file_is_named(tmp_path):
    wave = voice(1)
    wave[8000] = np.nan
    path = write(tmp_path / "a.wav", wave, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"a\.wav: holds NaN"):
        read_audio(path, RATE)


def test_nothing_is_left_at_another_rate_either(tmp_path):
    path = write(tmp_path / "a.wav", voice(1, 44100), 44100)
    with pytest.raises(AudioError, match=r"holds nothing from 1\.05 s on"):
        read_audio(path, RATE, start=1.05)


@pytest.mark.parametrize("size", [0, 31])
def test_a_tag_that_claims_no_length_is_passed(size):
    tag = b"APETAGEX" + struct.pack("<III", 2000, size, 0) + bytes(12)
    file = io.BytesIO(tag * 3 + b"\xff\xfb")
    assert skip_tags(file, 0) == 3 * len(tag)
