"""Rooms and codecs: what they leave as it was, and what they change."""

import logging

import numpy as np
import pytest
import soundfile as sf
import torch
from mixers import a_mixer

from speechbrain_merit.data.augmentation import (
    INTERNET_CODECS,
    TELEPHONE_CODECS,
    limit_band,
    pass_codec,
)
from speechbrain_merit.data.datasets import datasets, prepare
from speechbrain_merit.data.manifests import load_manifest
from speechbrain_merit.data.mixing import NoiseBank
from speechbrain_merit.data.room_folders import prepare_rooms
from speechbrain_merit.data.rooms import RoomBank, in_room
from speechbrain_merit.training.settings import load, parse

RATE = 16000


def a_response(seconds=0.5, delay=0.02, seed=0):
    """Direct sound after a delay, then a decaying tail."""
    rng = np.random.default_rng(seed)
    tail = rng.standard_normal(round(seconds * RATE)) * np.exp(
        -np.arange(round(seconds * RATE)) / (0.1 * RATE)
    )
    tail[0] = 5.0
    return torch.tensor(np.concatenate([np.zeros(round(delay * RATE)), tail]), dtype=torch.float32)


def speech_like(seconds=1.0, seed=1):
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    wave = sum(np.sin(2 * np.pi * 180 * k * time) / k for k in range(1, 12))
    wave = 0.05 * wave * (1 + np.sin(2 * np.pi * 4 * time)) + 1e-4 * rng.standard_normal(len(time))
    return torch.tensor(wave, dtype=torch.float32)


def lag(wave, reference, most=200):
    """Samples by which a wave comes after a reference."""
    size = len(reference)
    return max(
        range(-most, most + 1),
        key=lambda k: float(
            (wave[max(0, k) : size + min(0, k)] * reference[max(0, -k) : size - max(0, k)]).sum()
        ),
    )


def test_an_impulse_gives_the_response_and_its_first_fifty_milliseconds():
    click = torch.zeros(RATE)
    click[0] = 1.0
    response = a_response()
    reverberant, early = in_room(click, response, RATE)
    arrived = response[round(0.019 * RATE) :]  # 1 ms before the direct sound is kept
    gain = float(reverberant[16] / arrived[16])
    expected = torch.nn.functional.pad(gain * arrived, (0, RATE - len(arrived)))
    assert torch.allclose(reverberant, expected, atol=1e-6)
    border = round((0.001 + 0.050) * RATE) + 1
    assert torch.allclose(early[:border], reverberant[:border], atol=1e-6)
    assert float(early[border:].abs().max()) < 1e-6 < float(reverberant[border:].abs().max())
    assert float(reverberant.square().mean()) == pytest.approx(float(click.square().mean()))


def test_speech_in_a_room_keeps_its_level_length_and_place():
    speech = torch.randn(RATE, generator=torch.Generator().manual_seed(0))
    for response in (a_response(), a_response(3.0), a_response(delay=0.3)):
        reverberant, early = in_room(speech, response, RATE)
        assert len(reverberant) == len(early) == len(speech)
        assert float(reverberant.square().mean()) == pytest.approx(
            float(speech.square().mean()), rel=1e-4
        )
        assert 0 <= lag(early, speech) <= 0.005 * RATE
    with pytest.raises(ValueError, match="silent"):
        in_room(torch.zeros(100), a_response(), RATE)
    with pytest.raises(ValueError, match="silent"):
        in_room(speech, torch.zeros(100), RATE)


@pytest.mark.parametrize("codec", [*TELEPHONE_CODECS, *INTERNET_CODECS])
@pytest.mark.parametrize("gain", [0.01, 30.0])
def test_a_codec_keeps_length_place_and_level_and_changes_the_rest(codec, gain):
    wave = gain * speech_like(0.9)[: RATE * 9 // 10 - 7]
    coded = pass_codec(wave, codec, RATE)
    assert len(coded) == len(wave) and coded.dtype == torch.float32
    assert abs(lag(coded, wave)) <= 2
    band = limit_band(wave, RATE) if codec in TELEPHONE_CODECS else wave
    error = (coded - band).square().mean() / band.square().mean()
    assert 1e-7 < float(error) < 0.3
    if codec in TELEPHONE_CODECS:
        high = torch.fft.rfft(coded).abs().square()
        above = len(high) * 4300 // (RATE // 2)
        assert float(high[above:].sum() / high.sum()) < 1e-3


def test_silence_passes_a_codec():
    assert not pass_codec(torch.zeros(1000), "gsm", RATE).any()


@pytest.fixture
def mixer(tmp_path):
    """Makes a mixer with one noise and one room; its speech is at speech.wav."""
    sf.write(tmp_path / "noise.wav", 0.1 * np.random.default_rng(0).standard_normal(RATE), RATE)
    sf.write(tmp_path / "speech.wav", speech_like().numpy(), RATE, subtype="FLOAT")
    two = np.stack([a_response().numpy(), -a_response(seed=5).numpy()], axis=1)
    sf.write(tmp_path / "room.wav", np.repeat(two, 3, axis=0) / 8, 3 * RATE, subtype="FLOAT")
    noise = {"n": {"wav": str(tmp_path / "noise.wav"), "start": 0.0, "duration": 1.0}}
    bank = NoiseBank(noise, RATE)
    rooms = RoomBank({"r": {"wav": str(tmp_path / "room.wav")}}, RATE)

    def make(rooms=rooms, **keys):
        mixer = a_mixer(bank, rooms, train_snr_db=[5, 5], **keys)
        return mixer, str(tmp_path / "speech.wav")

    return make


def test_in_a_room_the_target_is_early_and_the_snr_that_of_what_is_heard(mixer):
    mix, wav = mixer(room_share=1.0)
    mixed = mix("u", wav)
    reverberant, early = in_room(speech_like(), mix.room.bank.draw(np.random.default_rng(0)), RATE)
    assert torch.allclose(mixed.clean, early, atol=1e-5)
    noise = mixed.mixture - reverberant
    snr_db = 10 * torch.log10(reverberant.square().sum() / noise.square().sum())
    assert float(snr_db) == pytest.approx(5, abs=0.01)
    alone, wav = mixer(room_share=1.0, clean_share=1.0)
    mixed = alone("u", wav)
    assert torch.allclose(mixed.mixture, reverberant, atol=1e-5)
    assert mixed.snr_db == float("inf") and not torch.allclose(mixed.clean, mixed.mixture)


def test_shares_of_zero_change_nothing_and_shares_hold(mixer):
    plain, wav = mixer(rooms=None)
    with_rooms, _ = mixer(room_share=0.0, codec_share=0.0)
    assert torch.equal(plain("u", wav).mixture, with_rooms("u", wav).mixture)
    half, wav = mixer(room_share=0.5)
    moved = sum(not torch.allclose(half(f"u{n}", wav).clean, speech_like()) for n in range(60))
    assert 15 < moved < 45
    assert torch.equal(half("u1", wav).mixture, half("u1", wav).mixture)


def test_a_codec_changes_the_mixture_alone(mixer):
    plain, wav = mixer()
    for narrow in (0.0, 1.0):
        plain, wav = mixer(band_limit_share=narrow)
        coded, _ = mixer(band_limit_share=narrow, codec_share=1.0)
        before, after = plain("u", wav), coded("u", wav)
        assert torch.equal(before.clean, after.clean) and after.snr_db == before.snr_db
        error = (after.mixture - before.mixture).square().mean() / before.mixture.square().mean()
        assert 1e-7 < float(error) < 0.5


# ---- Preparation


def test_rooms_as_published_without_the_noises_among_them(tmp_path, caplog):
    root = tmp_path / "RIRS_NOISES"
    names = [
        "simulated_rirs/smallroom/Room001/Room001-00001.wav",
        "real_rirs_isotropic_noises/RVB2014_type1_rir_largeroom1_far_angla.wav",
        "real_rirs_isotropic_noises/RVB2014_type1_noise_largeroom1_1.wav",
        "pointsource_noises/noise-free-sound-0000.wav",
    ]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        sf.write(root / name, a_response(0.06, 0.0).numpy() / 6, RATE)
    with caplog.at_level(logging.INFO):
        manifest = prepare_rooms(root, tmp_path / "save")
    rows = load_manifest(manifest, None, {"rir_root": str(root)})
    assert sorted(rows) == sorted(names[:2])
    assert RoomBank(rows, RATE).draw(np.random.default_rng(0)).shape == (960,)
    written = manifest.stat().st_mtime_ns
    prepare_rooms(root, tmp_path / "save")
    assert manifest.stat().st_mtime_ns == written


def test_bad_folders_of_rooms_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="rir_folder: there is no folder.*openslr.org/28"):
        prepare_rooms(tmp_path / "nowhere", tmp_path / "save")
    (tmp_path / "rooms").mkdir()
    with pytest.raises(ValueError, match="holds no impulse responses"):
        prepare_rooms(tmp_path / "rooms", tmp_path / "save")
    sf.write(tmp_path / "rooms" / "a.wav", np.zeros(1000), RATE)
    with pytest.raises(ValueError, match="rooms: 1 of 1.*skipped.csv"):
        prepare_rooms(tmp_path / "rooms", tmp_path / "save")


def test_a_response_whose_first_channel_is_silent_is_named(tmp_path):
    sf.write(tmp_path / "a.wav", np.stack([np.zeros(960), np.ones(960)], axis=1) / 2, RATE)
    bank = RoomBank({"a": {"wav": str(tmp_path / "a.wav")}}, RATE)
    with pytest.raises(ValueError, match="a.wav: its first channel is silent"):
        bank.draw(np.random.default_rng(0))


def test_a_run_trains_in_rooms_and_is_validated_without(
    minimerit, repo_root, tmp_path, monkeypatch
):
    monkeypatch.chdir(repo_root)
    (tmp_path / "rooms").mkdir()
    sf.write(tmp_path / "rooms" / "a.wav", a_response(0.2).numpy() / 8, RATE)
    keys = ["--rir_folder", str(tmp_path / "rooms"), "--room_share", "1.0", "--clean_share", "1.0"]
    keys += ["--data_folder", str(minimerit / "speech"), "--noise_folder", str(minimerit / "noise")]
    keys += ["--output_folder", str(tmp_path / "run"), "--skip_test", "True"]
    hparams_file, _, overrides = parse(["hparams/ser_only.yaml", *keys])
    hparams = load(hparams_file, overrides)
    prepare(hparams)
    train, valid, _ = datasets(hparams)
    for index in range(4):  # without noise, what is left between the two is the late part
        late = train[index]["mixture"] - train[index]["clean"]
        share = late.square().sum() / train[index]["mixture"].square().sum()
        assert 0.01 < float(share) < 0.9
    in_folder = load_manifest(
        hparams["valid_annotation"], None, {"data_root": minimerit / "speech"}
    )
    item = valid[0]
    dry = sf.read(in_folder[item["id"].split("|")[0]]["wav"], dtype="float32")[0]
    assert np.allclose(item["clean"], dry)
