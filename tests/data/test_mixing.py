"""Mixing: the asked SNR, an untouched target, and the same bytes on every run."""

import hashlib
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile as sf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mixers import a_mixer
from scipy.stats import kstest

from speechbrain_merit.data.augmentation import change_speed, crop, random_filter
from speechbrain_merit.data.mixing import (
    FixedMixer,
    Noise,
    NoiseBank,
    cut_gaps,
    generator,
    mix,
    read_audio,
)
from speechbrain_merit.data.pipeline import fixed_set
from speechbrain_merit.labels import label_encoder

RATE = 16000


def wave(n, seed=0, level=0.1):
    return level * torch.randn(n, generator=torch.Generator().manual_seed(seed))


def measured_snr(mixture, clean):
    speech, noise = clean.double(), mixture.double() - clean.double()
    return float(10 * torch.log10(speech.square().mean() / noise.square().mean()))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Three utterances and three noises (one of 44.1 kHz, stereo, with a gap), and a manifest."""
    folder = tmp_path_factory.mktemp("recordings")
    for index in range(3):
        speech = wave(8000 + 1000 * index, seed=index).numpy()
        sf.write(folder / f"speech{index}.wav", speech, RATE)
    entries = {}
    for index, (rate, channels) in enumerate([(RATE, 1), (44100, 2), (RATE, 1)]):
        noise = wave(channels * rate * (index + 1), seed=10 + index).view(-1, channels).numpy()
        noise[rate // 4 : rate // 2] = 0
        path = folder / f"noise{index}.wav"
        sf.write(path, noise, rate)
        entries[f"noise{index}"] = dict(wav=str(path), start=0.1, duration=0.8, noise_type="n")
    return SimpleNamespace(folder=folder, entries=entries)


def training_mixer(recordings, **keys):
    return a_mixer(NoiseBank(recordings.entries, RATE), **keys)


def fixed_mixer(recordings, seed=0):
    return FixedMixer({"test": NoiseBank(recordings.entries, RATE)}, RATE, seed)


# Ratio and target


@given(
    n_speech=st.integers(400, 20000),
    n_noise=st.integers(160, 30000),
    snr_db=st.floats(-20, 40),
    levels=st.tuples(st.floats(-4, 0), st.floats(-4, 0)),
    gap=st.floats(0, 0.9),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=100, deadline=None)
def test_the_measured_snr_is_the_asked_one(n_speech, n_noise, snr_db, levels, gap, seed):
    speech, noise = (
        wave(n, seed + i, 10**level)
        for i, (n, level) in enumerate(zip((n_speech, n_noise), levels))
    )
    noise[: int(gap * n_noise)] = 0
    before = speech.clone()
    mixture = mix(speech, cut_gaps(noise, RATE), snr_db, generator(seed))
    assert measured_snr(mixture.mixture, mixture.clean) == pytest.approx(snr_db, abs=0.01)
    assert mixture.snr_db == snr_db
    assert torch.equal(mixture.clean, before) and torch.equal(speech, before)
    assert mixture.mixture.dtype == torch.float32 and mixture.mixture.shape == speech.shape


def test_what_is_added_is_the_noise_at_one_gain_looped_from_one_place():
    speech, noise = wave(1000), wave(300, seed=1)
    mixture = mix(speech, noise, 5.0, generator(0))
    looped = (mixture.mixture - speech) / mixture.gain
    found = [
        place
        for place in range(300)
        if torch.allclose(looped, noise.roll(-place).repeat(4)[:1000], atol=1e-5)
    ]
    assert len(found) == 1


def test_the_place_is_drawn_over_the_whole_noise():
    speech, noise = torch.ones(1), torch.arange(1.0, 101.0)
    mixtures = [mix(speech, noise, 0.0, generator(i)) for i in range(2000)]
    places = {round(1 / mixture.gain) for mixture in mixtures}  # one sample of noise, its own value
    assert places == set(range(1, 101))


def test_mixtures_are_never_clipped():
    speech = wave(8000, level=0.3).clamp(-0.99, 0.99)
    mixture = mix(speech, wave(8000, seed=1), -20.0, generator(0))
    assert mixture.mixture.abs().max() > 5
    assert measured_snr(mixture.mixture, speech) == pytest.approx(-20, abs=0.01)


@pytest.mark.parametrize("silent", ["speech", "noise"])
def test_silence_cannot_be_mixed(silent):
    waves = {"speech": wave(1000), "noise": wave(1000)}
    waves[silent] = torch.zeros(1000)
    with pytest.raises(ValueError, match=f"The {silent} is silent"):
        mix(waves["speech"], cut_gaps(waves["noise"], RATE), 5.0, generator(0))


# Gaps


def test_gaps_are_cut_and_all_else_stays():
    noise = wave(16000, seed=3)
    noise[3200:6400] = 0  # 20 whole frames
    noise[8000:8100] = 0  # less than a frame: no gap
    cut = cut_gaps(noise, RATE)
    assert torch.equal(cut, torch.cat([noise[:3200], noise[6400:]]))


def test_after_the_cut_no_frame_is_silent(recordings):
    bank = NoiseBank(recordings.entries, RATE)
    for name in bank.names:
        noise = bank.load(name)
        assert all(frame.any() for frame in noise.split(160))
        assert len(noise) < 0.75 * RATE  # of 0.8 s, 0.25 s are a gap


def test_a_bank_draws_every_recording_and_keeps_few(recordings):
    bank = NoiseBank(recordings.entries, RATE, cache_size=2)
    drawn = [len(bank.draw(generator(i))) for i in range(60)]
    assert set(drawn) == {len(bank.load(name)) for name in bank.names}
    assert bank.load.cache_info().currsize == 2


# Seeds


DIGEST = """
import hashlib, json, sys
sys.path.insert(0, "tests")
from mixers import a_mixer
from speechbrain_merit.data.mixing import FixedMixer, NoiseBank
folder, entries = sys.argv[1], json.loads(sys.argv[2])
bank = NoiseBank(entries, 16000)
keys = {"clean_share": 0.2, "speeds": [0.9, 1.0, 1.1], "crop_seconds": 0.4}
train = a_mixer(bank, seed=7, epoch=3, **keys)
fixed = FixedMixer({"test": bank}, 16000, 7)
digest = hashlib.sha256()
for i in range(3):
    wav = f"{folder}/speech{i}.wav"
    for mixed in (train(f"u{i}", wav), fixed(f"u{i}", wav, "test", -5), fixed(f"u{i}", wav)):
        digest.update(mixed.mixture.numpy().tobytes() + mixed.clean.numpy().tobytes())
        digest.update(repr((mixed.gain, mixed.snr_db)).encode())
print(digest.hexdigest())
"""


def test_every_process_mixes_the_same_bytes(recordings, repo_root):
    digests = set()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", DIGEST, str(recordings.folder), json.dumps(recordings.entries)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=repo_root,
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout.strip())
    assert len(digests) == 1 and len(digests.pop()) == len(hashlib.sha256().hexdigest())


def test_each_epoch_seed_and_utterance_draws_a_noise_of_its_own(recordings):
    path = str(recordings.folder / "speech0.wav")

    def mixed(utterance="u", **rest):
        return training_mixer(recordings, **rest)(utterance, path)

    first, again = mixed(), mixed()
    assert torch.equal(first.mixture, again.mixture) and first.snr_db == again.snr_db
    for other in (mixed(epoch=2), mixed(seed=1), mixed("v")):
        assert other.snr_db != first.snr_db
        noise, others = ((m.mixture - m.clean) / m.gain for m in (first, other))
        assert not torch.allclose(noise, others, atol=1e-3)


def test_a_resumed_training_hears_what_an_uninterrupted_one_does(recordings):
    path = str(recordings.folder / "speech0.wav")
    running = training_mixer(recordings, epoch=1)
    running("u", path), running("v", path)
    running.epoch_counter.current = 2
    resumed = training_mixer(recordings, epoch=2)
    assert torch.equal(running("u", path).mixture, resumed("u", path).mixture)


def test_a_test_mixture_depends_on_seed_utterance_and_condition_alone(recordings):
    path = str(recordings.folder / "speech0.wav")
    mixer = fixed_mixer(recordings)
    first = mixer("u", path, "test", 5)
    mixer("v", path, "test", 0)
    assert torch.equal(mixer("u", path, "test", 5.0).mixture, first.mixture)
    others = [mixer("v", path, "test", 5), fixed_mixer(recordings, 1)("u", path, "test", 5)]
    for other in others:
        noise, theirs = ((m.mixture - m.clean) / m.gain for m in (first, other))
        assert not torch.allclose(noise, theirs, atol=1e-3)


@pytest.mark.parametrize("noise_set", ["test", "test, 4 kHz"])
def test_at_every_snr_an_utterance_meets_the_same_noise_at_another_gain(recordings, noise_set):
    mixer = fixed_mixer(recordings)
    for index in range(3):
        path = str(recordings.folder / f"speech{index}.wav")
        loud, soft = (mixer(f"u{index}", path, noise_set, snr) for snr in (-5, 10.0))
        assert torch.equal(loud.clean, soft.clean)
        assert loud.gain / soft.gain == pytest.approx(10 ** (15 / 20))
        noise, same = ((m.mixture - m.clean).double() / m.gain for m in (loud, soft))
        assert float((noise - same).abs().max()) < 1e-5 * float(noise.abs().max())
        for mixed, asked in ((loud, -5), (soft, 10)):
            assert measured_snr(mixed.mixture, mixed.clean) == pytest.approx(asked, abs=0.01)


def test_the_set_of_validation_and_test_pairs_its_conditions(recordings):
    entries = {"u": {"wav": str(recordings.folder / "speech0.wav"), "duration": 0.5}}
    conditions = [("test", -5), ("test", 5)]  # as valid_snrs and test_snrs ask for
    dataset = fixed_set(entries, label_encoder([]), fixed_mixer(recordings), conditions)
    loud, soft = ((item["mixture"] - item["clean"]).double() for item in dataset)
    assert float((loud - 10**0.5 * soft).abs().max()) < 1e-5 * float(loud.abs().max())


def test_a_test_target_is_the_file_bit_for_bit(recordings):
    path = recordings.folder / "speech1.wav"
    stored = torch.from_numpy(sf.read(path, dtype="float32")[0])
    mixer = fixed_mixer(recordings)
    noisy, clean = mixer("u", str(path), "test", -5), mixer("u", str(path))
    assert torch.equal(noisy.clean, stored)
    assert measured_snr(noisy.mixture, stored) == pytest.approx(-5, abs=0.01)
    assert torch.equal(clean.mixture, stored) and torch.equal(clean.clean, stored)
    assert (clean.gain, clean.snr_db) == (0.0, float("inf"))


# Training


def test_training_snrs_are_uniform_and_the_clean_share_is_kept(recordings):
    path = str(recordings.folder / "speech0.wav")
    mixer = training_mixer(recordings, train_snr_db=[-5, 15], clean_share=0.25)
    mixed = [mixer(f"u{i}", path) for i in range(600)]
    snrs = np.array([m.snr_db for m in mixed])
    clean = np.isinf(snrs)
    assert clean.mean() == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / 600))
    assert kstest(snrs[~clean], "uniform", args=(-5, 20)).pvalue > 0.01
    assert all(torch.equal(m.mixture, m.clean) for m in mixed if m.gain == 0)
    for m in mixed[:40]:
        if m.gain:
            assert measured_snr(m.mixture, m.clean) == pytest.approx(m.snr_db, abs=0.01)


def test_training_takes_sections_at_one_of_the_speeds(recordings):
    path = str(recordings.folder / "speech0.wav")  # 0.5 s
    whole = training_mixer(recordings, speeds=[0.8, 1.0, 1.25])
    lengths = [len(whole(f"u{i}", path).clean) for i in range(30)]
    assert set(lengths) == {10000, 8000, 6400}
    crops = training_mixer(recordings, crop_seconds=0.2)
    sections = [crops(f"u{i}", path).clean for i in range(10)]
    stored = read_audio(path, RATE).unfold(0, 3200, 1)
    starts = {int((stored == section).all(dim=1).nonzero().item()) for section in sections}
    assert len(starts) > 5


@given(
    n=st.integers(1, 400),
    size=st.integers(1, 100),
    sound=st.lists(st.integers(0, 399), min_size=1, max_size=3),
    seed=st.integers(0, 1000),
)
@settings(max_examples=300, deadline=None)
def test_a_section_is_never_silent_where_the_file_has_sound(n, size, sound, seed):
    whole = torch.zeros(n)
    whole[[place % n for place in sound]] = 1e-3
    section = crop(whole, size, generator(seed))
    assert len(section) == min(n, size)
    assert section.any()


def test_sections_start_anywhere():
    whole = torch.arange(1.0, 12.0)
    starts = {crop(whole, 4, generator(i))[0].item() for i in range(200)}
    assert starts == set(range(1, 9))


@pytest.mark.parametrize("factor", [0.9, 1.1, 1.25])
def test_faster_speech_is_shorter_and_higher(factor):
    tone = torch.sin(2 * torch.pi * 500 * torch.arange(16000) / RATE)
    faster = change_speed(tone, factor)
    assert abs(len(faster) - 16000 / factor) <= 1
    peak = torch.fft.rfft(faster, RATE).abs().argmax().item()  # bins of 1 Hz
    assert peak == pytest.approx(500 * factor, abs=1)
    assert torch.equal(change_speed(tone, 1.0), tone)


# Telephone band


def energy_above(wave, hertz):
    """Share of a wave's energy above a frequency."""
    power = torch.fft.rfft(wave.double()).abs().square()
    return float(power[round(hertz * len(wave) / RATE) :].sum() / power.sum())


def test_a_narrow_noise_set_is_the_same_mixture_within_the_telephone_band(recordings):
    mixer, speech = fixed_mixer(recordings), str(recordings.folder / "speech0.wav")
    wide, narrow = mixer("u", speech, "test", 3), mixer("u", speech, "test, 4 kHz", 3)
    assert energy_above(wide.mixture, 4100) > 0.3
    assert energy_above(narrow.mixture, 4100) < 1e-3 and energy_above(narrow.clean, 4100) < 1e-3
    assert measured_snr(narrow.mixture, narrow.clean) == pytest.approx(3, abs=0.01)
    low = torch.fft.rfft(wide.clean)[: round(3500 * len(wide.clean) / RATE)]
    same = torch.fft.rfft(narrow.clean)[: len(low)]
    assert float((same - low).abs().mean() / low.abs().mean()) < 0.05


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_of_training_is_limited_to_the_telephone_band(recordings, share):
    mixer = training_mixer(recordings, band_limit_share=share)
    mixed = mixer("u", str(recordings.folder / "speech0.wav"))
    assert (energy_above(mixed.mixture, 4100) < 1e-3) == (share == 1.0)
    assert (energy_above(mixed.clean, 4100) < 1e-3) == (share == 1.0)
    assert measured_snr(mixed.mixture, mixed.clean) == pytest.approx(mixed.snr_db, abs=0.01)


# Filters and several noises


def test_a_random_filter_is_stable_and_changes_the_colour_alone():
    impulse = torch.zeros(4000)
    impulse[0] = 1
    responses = [random_filter(impulse, generator(i)) for i in range(200)]
    assert all(float(r[200:].abs().max()) < 1e-3 for r in responses)  # rings out within 13 ms
    assert len({round(float(r[1]), 6) for r in responses}) == 200
    speech = wave(4000)
    expected = torch.nn.functional.conv1d(
        speech.view(1, 1, -1), responses[0][:400].flip(0).view(1, 1, -1), padding=399
    ).flatten()[:4000]
    torch.testing.assert_close(random_filter(speech, generator(0)), expected, atol=1e-5, rtol=0)


def test_filters_reach_speech_and_noise_and_the_target_is_what_was_mixed(recordings):
    speech = str(recordings.folder / "speech0.wav")
    plain = training_mixer(recordings)("u", speech)
    mixed = training_mixer(recordings, filter_share=1.0)("u", speech)
    assert not torch.allclose(mixed.clean, plain.clean, atol=1e-3)
    assert measured_snr(mixed.mixture, mixed.clean) == pytest.approx(mixed.snr_db, abs=0.01)


def test_up_to_two_recordings_make_the_noise_at_the_same_level(tmp_path):
    """Tones of two frequencies: what was added tells which recordings it came from."""
    entries = {}
    for hertz, level in ((1000, 0.5), (3000, 0.005)):
        path = tmp_path / f"{hertz}.wav"
        sf.write(path, level * np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE), RATE)
        entries[str(hertz)] = dict(wav=str(path), start=0.0, duration=1.0, noise_type="n")
    sf.write(tmp_path / "speech.wav", wave(RATE).numpy(), RATE)
    bank = NoiseBank(entries, RATE)
    mixer = a_mixer(bank, train_snr_db=[0, 0], max_noises=2)
    ratios = set()
    for index in range(40):
        mixed = mixer(f"u{index}", str(tmp_path / "speech.wav"))
        power = torch.fft.rfft((mixed.mixture - mixed.clean).double()).abs().square()
        low, high = float(power[990:1010].sum()), float(power[2990:3010].sum())
        ratios.add(round(low / (low + high), 2))
    assert ratios == {0.0, 0.5, 1.0}


def test_one_recording_at_a_time_is_the_noise_unless_more_are_asked_for():
    class Bank:
        sample_rate, drawn = RATE, 0

        def draw(self, rng):
            self.drawn += 1
            return wave(2000, seed=self.drawn)

    for more, expected in (({}, 50), ({"max_noises": 3}, 70)):
        bank = Bank()
        noise = Noise(bank, [0, 0], **more)
        for n in range(50):
            noise(wave(1000), wave(1000), generator(n), narrow=False)
        assert bank.drawn == 50 if expected == 50 else bank.drawn > expected
