"""Babble, level and clipping: who is heard, how loud, and that a share of 0 changes nothing."""

import numpy as np
import pytest
import soundfile as sf
import torch
from mixers import a_mixer

from speechbrain_merit.data.augmentation import Band, Codec, Crop, Filter, Speed, pass_codec
from speechbrain_merit.data.babble import VOICES, Babble, VoiceBank
from speechbrain_merit.data.levels import CUT_SHARES, Clip, Level
from speechbrain_merit.data.mixing import Mixture, NoiseBank, generator
from speechbrain_merit.errors import PreparationError

RATE = 16000
SPEAKERS = 7


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    """Two utterances of each of seven speakers, each a constant of its own: one can tell who."""
    folder, entries = tmp_path_factory.mktemp("voices"), {}
    for speaker in range(SPEAKERS):
        for take in range(2):
            path = folder / f"{speaker}_{take}.wav"
            time = np.arange(RATE // 2) / RATE
            wave = 0.1 * np.sin(2 * np.pi * (200 + 200 * speaker) * time)
            sf.write(path, wave, RATE, "FLOAT")
            entries[f"{speaker}_{take}"] = {"wav": str(path), "spk_id": str(speaker)}
    return entries


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    path = tmp_path_factory.mktemp("noise") / "noise.wav"
    sf.write(path, 0.1 * np.random.default_rng(0).standard_normal(RATE), RATE, "FLOAT")
    return NoiseBank({"n": {"wav": str(path), "start": 0.0, "duration": 1.0}}, RATE)


def heard(babble):
    """The speakers in babble, by their tones."""
    spectrum = np.abs(np.fft.rfft(babble.numpy()))
    power = [spectrum[round(hz * len(babble) / RATE)] for hz in 200 + 200 * np.arange(SPEAKERS)]
    return {speaker for speaker, value in enumerate(power) if value > max(power) / 4}


def test_silence_in_voices_leaves_no_hole_in_the_babble(tmp_path):
    rows = {}
    for index in range(5):
        wave = np.zeros(2 * RATE)
        wave[: RATE // 8] = 0.1 * np.random.default_rng(index).standard_normal(RATE // 8)
        sf.write(tmp_path / f"{index}.wav", wave, RATE)
        rows[f"u{index}"] = {"wav": str(tmp_path / f"{index}.wav"), "spk_id": index}
    bank = VoiceBank(rows, RATE)
    for seed in range(20):
        assert bank.draw("u0", RATE // 4, generator(seed)).square().mean() > 1


def test_babble_is_of_four_to_eight_other_voices_at_one_level(voices):
    bank, counts = VoiceBank(voices, RATE), set()
    for index in range(40):
        own = index % SPEAKERS
        babble = bank.draw(f"{own}_{index % 2}", RATE // 2, generator(index))
        speakers = heard(babble)
        assert own not in speakers
        assert babble.square().mean() == pytest.approx(len(speakers), rel=0.2)
        counts.add(len(speakers))
    assert counts == set(range(VOICES[0], SPEAKERS))  # six others are all there are


def test_a_mixers_babble_is_not_of_the_speaker_and_keeps_the_snr(voices, noise):
    bank = VoiceBank(voices, RATE)
    mixer = a_mixer(noise, voices=bank, babble_share=1.0, train_snr_db=[3, 3])
    for use in range(5):
        mixed = mixer(f"2_0|{use}", voices["2_0"]["wav"])
        added = mixed.mixture - mixed.clean
        assert 2 not in heard(added) and len(heard(added)) >= VOICES[0]
        snr = 10 * torch.log10(mixed.clean.square().mean() / added.square().mean())
        assert float(snr) == pytest.approx(3.0, abs=1e-3)


def test_a_share_of_the_noisy_utterances_has_babble(voices, noise):
    bank = VoiceBank(voices, RATE)
    babble = Babble(bank, 0.25)
    hits = sum(babble("0_0", 100, generator(index)) is not None for index in range(400))
    assert hits == pytest.approx(100, abs=25)


def test_sections_and_rows_without_a_speaker_make_babble_too(voices):
    rows = {
        name: {"wav": row["wav"], "section": [0.1, 0.2]}
        for name, row in list(voices.items())[: VOICES[0] + 1]
    }
    bank = VoiceBank(rows, RATE)
    assert bank.draw(next(iter(rows)), 8000, generator(0)).shape == (8000,)


def test_too_few_speakers_are_named(voices):
    few = {name: row for name, row in voices.items() if int(row["spk_id"]) < VOICES[0]}
    with pytest.raises(PreparationError, match="^babble_share: the training has 4 speakers"):
        VoiceBank(few, RATE)


def test_levels_are_drawn_between_the_two_and_the_clean_speech_goes_along(voices, noise):
    levels = []
    plain = a_mixer(noise)
    mixer = a_mixer(noise, level_share=1.0, level_db=[-40, -12])
    for use in range(60):
        mixed, same = (m(f"0_0|{use}", voices["0_0"]["wav"]) for m in (mixer, plain))
        levels.append(20 * float(torch.log10(mixed.mixture.square().mean().sqrt())))
        factor = mixed.clean.norm() / same.clean.norm()
        assert torch.allclose(mixed.mixture, factor * same.mixture, rtol=1e-4, atol=1e-6)
        assert mixed.snr_db == same.snr_db
    assert -40 <= min(levels) < -36 and -16 < max(levels) <= -12


def test_silence_has_no_level_to_bring_it_to():
    mixed = Mixture(torch.zeros(100), torch.zeros(100), 0.0, 0.0)
    assert not Level(1.0)(mixed, generator(0))[0].mixture.any()


def test_clipping_cuts_a_drawn_share_of_the_samples_at_any_level():
    wave = torch.randn(20000, generator=torch.Generator().manual_seed(0))
    cut = []
    for seed in range(60):
        clipped = Clip(1.0)(wave, generator(seed))
        same = Clip(1.0)(1000 * wave, generator(seed))
        assert torch.allclose(same, 1000 * clipped)
        at = clipped.abs() >= clipped.abs().max()
        assert torch.equal(clipped[~at], wave[~at])
        cut.append(float(at.float().mean()))
    assert CUT_SHARES[0] * 0.9 <= min(cut) < 0.002 and 0.03 < max(cut) <= CUT_SHARES[1] * 1.1
    assert torch.equal(Clip(0.0)(wave, None), wave)


def test_the_clean_target_is_not_clipped(voices, noise):
    plain, mixer = a_mixer(noise), a_mixer(noise, clip_share=1.0)
    mixed, same = (m("0_0|0", voices["0_0"]["wav"]) for m in (mixer, plain))
    assert torch.equal(mixed.clean, same.clean)
    assert mixed.mixture.abs().max() < same.mixture.abs().max()


def test_a_codec_hears_a_recording_at_its_level_and_clips_above_full_scale():
    tone = torch.sin(torch.arange(RATE) / 20.0)
    error = {}
    for level in (0.5, 0.0005):
        coded = pass_codec(level * tone, "ulaw", RATE, full_scale=1.0)
        error[level] = float((coded / level - tone).square().mean())
    assert error[0.0005] > 10 * error[0.5]  # the steps of the codec
    loud = pass_codec(3 * tone, "ulaw", RATE, full_scale=1.0)
    assert loud.abs().max() < 1.3
    quiet = pass_codec(0.0005 * tone, "ulaw", RATE)  # without a level: as loud as it can hold
    assert float((quiet / 0.0005 - tone).square().mean()) == pytest.approx(error[0.5], rel=3)


def test_without_a_level_a_codec_clips_nothing_and_has_room_above_the_peak(monkeypatch):
    sent, write = [], sf.write

    def record(file, wave, *parts, **options):
        sent.append(wave)
        write(file, wave, *parts, **options)

    monkeypatch.setattr(sf, "write", record)
    tone = torch.sin(torch.arange(RATE) / 10.0)
    pass_codec(5 * tone, "opus", RATE)
    assert float(sent[0].max()) == pytest.approx(0.9, abs=1e-3)  # neither louder nor turned round
    assert float(sent[0][0]) == 0 and sent[0][1] > 0


def test_what_is_not_asked_for_changes_nothing_and_draws_nothing():
    wave = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Filter()(wave, None), wave) and torch.equal(Crop()(wave, None), wave)
    assert torch.equal(Codec(RATE)(wave, None, narrow=False), wave)
    limited, narrow = Band(RATE)(wave, None)
    assert torch.equal(limited, wave) and not narrow
    assert torch.equal(Speed()(wave, generator(0)), wave)


def test_recorded_mixtures_alone_meet_the_codec_at_their_level(monkeypatch):
    given = []
    monkeypatch.setattr(
        "speechbrain_merit.data.augmentation.pass_codec",
        lambda *parts, **options: given.append(options) or parts[0],
    )
    codec = Codec(RATE, 1.0)
    codec(torch.ones(10), generator(0), narrow=False, recorded=True)
    codec(torch.ones(10), generator(0), narrow=False)
    assert given == [{"full_scale": 1.0}, {}]
