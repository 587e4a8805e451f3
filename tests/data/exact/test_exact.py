"""Sound in whole numbers: what is computed is what was meant, whatever the library."""

import hashlib
import io

import numpy as np
import pytest
import soundfile as sf

from speechbrain_merit.data.exact import g721 as adpcm
from speechbrain_merit.data.exact import noises, rooms
from speechbrain_merit.data.exact.convolution import convolve
from speechbrain_merit.data.exact.distortions import DISTORTIONS
from speechbrain_merit.data.exact.draws import Draws
from speechbrain_merit.data.exact.filters import above, below, resample
from speechbrain_merit.data.exact.g711 import a_law, mu_law
from speechbrain_merit.data.exact.gsm import gsm
from speechbrain_merit.data.exact.integers import divided, energy, fitted, gain
from speechbrain_merit.data.exact.mixing import mixed, piece

EVERY = np.arange(-32768, 32768).astype(np.int16)


def spoken(seconds, rate=8000):
    """Something like speech: swelling tones between pauses, int16."""
    time = np.arange(int(seconds * rate)) / rate
    swell = np.maximum(0, np.sin(2 * np.pi * 2 * time))
    tones = sum(np.sin(2 * np.pi * f * time) / f for f in (130, 390, 1170, 2600))
    return np.rint(2e6 * swell * tones).clip(-32768, 32767).astype(np.int16)


def through_libsndfile(samples, container, subtype):
    """What another implementation makes of samples at 8 kHz."""
    memory = io.BytesIO()
    sf.write(memory, samples, 8000, format=container, subtype=subtype)
    memory.seek(0)
    return sf.read(memory, dtype="int16")[0][: len(samples)]


def test_draws_are_the_digests_of_name_and_counter():
    key = hashlib.sha256(b"a\x1f1").digest()
    blocks = [hashlib.sha256(key + bytes([n, 0, 0, 0, 0, 0, 0, 0])).digest() for n in range(3)]
    draws = Draws("a", 1)
    assert draws.bytes(40) == (blocks[0] + blocks[1])[:40]
    assert draws.bytes(32) == blocks[2]  # what was left of the second is not used


def test_draws_are_even_and_within_their_range():
    found = np.bincount(Draws("even").integers(3, 8, 50000), minlength=8)
    assert found[:3].sum() == 0 and len(found) == 8
    assert abs(found[3:] - 10000).max() < 400  # four standard deviations
    white = Draws("white").white(100000)
    assert abs(white.std() / 37837 - 1) < 0.01 and abs(white.mean()) < 500


@pytest.mark.parametrize("numerator, denominator, nearest", [(5, 2, 3), (-5, 2, -2), (7, 3, 2)])
def test_quotients_are_rounded_halves_upwards(numerator, denominator, nearest):
    assert divided(numerator, denominator) == nearest


@pytest.mark.parametrize("db", [-5, 0, 5, 10, 20])
def test_the_factor_sets_the_ratio_of_energies(db):
    factor = gain(12345678, 987654, db, 24) / 2**24
    assert factor == pytest.approx((12345678 / 987654 / 10 ** (db / 10)) ** 0.5, rel=1e-6)


def test_what_is_too_loud_is_scaled_as_a_whole_and_says_by_how_much():
    samples, factor = fitted(np.array([60000, -30000, 7]))
    assert samples.max() <= 32767 and factor < 32768
    assert samples.tolist() == pytest.approx(
        [60000 * factor / 32768, -30000 * factor / 32768, 7 * factor / 32768], abs=0.5
    )


def test_a_convolution_by_fft_gives_the_exact_integers():
    rng = np.random.default_rng(0)
    samples, taps = rng.integers(-32768, 32768, 3000), rng.integers(-(2**17), 2**17, 500)
    assert (convolve(samples, taps) == np.convolve(samples, taps)).all()


def test_a_convolution_whose_bound_is_too_large_is_cut_and_stays_exact():
    rng = np.random.default_rng(1)
    samples, taps = rng.integers(-(2**20), 2**20, 300), rng.integers(-(2**20), 2**20, 90)
    assert (convolve(samples, taps) == np.convolve(samples, taps)).all()


@pytest.mark.parametrize("rate", [48000, 44100, 32000, 24000, 22050, 8000])
def test_a_tone_comes_out_at_16_khz_in_time_and_level(rate):
    wave = np.rint(16000 * np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)).astype(np.int16)
    out = resample(wave, rate)
    wanted = 16000 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    assert len(out) == 16000
    assert abs(out - wanted)[200:-200].max() < 4  # −72 dB


def test_what_16_khz_cannot_hold_is_gone():
    wave = np.rint(16000 * np.sin(2 * np.pi * 9000 * np.arange(48000) / 48000)).astype(np.int16)
    assert abs(resample(wave, 48000))[100:-100].max() <= 2


def test_a_rate_that_the_filter_has_no_steps_for_is_refused():
    with pytest.raises(ValueError, match="11025 Hz to 16000 Hz"):
        resample(EVERY, 11025)


def test_low_and_high_parts_add_up():
    sound = spoken(1, 16000)
    assert (below(sound, 1000) + above(sound, 1000) == sound).all()
    assert energy(below(sound, 300)) < energy(sound)


def test_mu_law_is_that_of_libsndfile():
    assert (mu_law(EVERY) == through_libsndfile(EVERY, "AU", "ULAW")).all()


def test_a_law_is_that_of_libsndfile_but_at_the_ends_of_negative_steps():
    differs = EVERY[a_law(EVERY) != through_libsndfile(EVERY, "AU", "ALAW")]
    # A negative number on the edge of two steps: the standard's tables count from −1, not from 0
    assert (differs < 0).all() and (differs % 16 == 0).all() and len(differs) < 128


def test_gsm_is_that_of_libgsm_bit_by_bit():
    rng = np.random.default_rng(0)
    for wave in (spoken(1), spoken(0.5) // 200, rng.integers(-32768, 32768, 1600)):
        wave = wave.astype(np.int16)
        assert (gsm(wave) == through_libsndfile(wave, "WAV", "GSM610")).all()


def test_g721_is_that_of_libsndfile_once_products_are_rounded_as_there(monkeypatch):
    """There, FMULT leaves out the + 48 of the standard; all else is the same bit by bit."""

    def product(factor, value):
        sign, exponent, mantissa = value
        magnitude = (factor >> 2 if factor >= 0 else -(factor >> 2)) & 8191
        bits = magnitude.bit_length()
        own = magnitude << 6 >> bits if magnitude else 32
        shift = bits + exponent - 19
        size = mantissa * own >> 4
        size = size << shift & 32767 if shift >= 0 else size >> -shift
        return -size if sign ^ (factor < 0) else size

    monkeypatch.setattr(adpcm, "_product", product)
    noise = np.random.default_rng(0).integers(-8000, 8000, 1600).astype(np.int16)
    for wave in (spoken(1), noise):
        assert (adpcm.g721(wave) == through_libsndfile(wave, "AU", "G721_32")).all()


def test_g721_as_in_the_standard_is_close_to_what_went_in():
    wave = spoken(1)
    error = adpcm.g721(wave).astype(int) - wave
    assert 10 * np.log10(energy(wave) / energy(error)) > 15


@pytest.mark.parametrize("snr", [-5, 0, 20])
def test_a_mixture_has_the_snr_that_was_asked_for(snr):
    speech = spoken(1, 16000)
    noise = piece(noises.full_scale(noises.pink(Draws("n"), 32000)), len(speech), Draws("m"))
    added = mixed(speech, noise, snr) - speech
    assert 10 * np.log10(energy(speech) / energy(added)) == pytest.approx(snr, abs=0.01)


def test_a_recording_of_silence_alone_is_refused():
    with pytest.raises(ValueError, match="silence"):
        piece(np.zeros(100, dtype=np.int16), 10, Draws("m"))


@pytest.mark.parametrize("kind", list(noises.SYNTHESISED))
def test_own_noise_sounds_as_it_is_named(kind):
    sound = noises.SYNTHESISED[kind](Draws("noise", kind, 0), 64000).astype(float)
    power = np.abs(np.fft.rfft(sound)) ** 2
    octaves = [power[4 * 62 * 2**n : 8 * 62 * 2**n].mean() for n in range(7)]
    fall = -10 * np.log10(np.array(octaves[1:]) / octaves[:-1])
    frames = (sound.reshape(-1, 320) ** 2).mean(axis=1)
    if kind == "pink":
        assert abs(fall - 3).max() < 1  # dB an octave
    elif kind == "hum":
        assert octaves[1] > 30 * octaves[6]
    elif kind == "modulated":
        assert np.percentile(frames, 90) > 4 * np.percentile(frames, 10)
    else:  # knocks stand far above what is between them
        assert frames.max() > 100 * np.median(frames)


def test_babble_holds_every_voice_equally_loud():
    loud, quiet = (Draws("voice", n).white(9000) >> shift for n, shift in ((0, 3), (1, 8)))
    total = noises.babble([loud, quiet], Draws("b"), 32000)
    alone = noises.babble([loud], Draws("b"), 32000)
    assert energy(total) == pytest.approx(2 * energy(alone), rel=0.25)


def test_the_tail_of_a_room_is_as_loud_as_its_severity_says():
    for severity, (_, db) in enumerate(rooms.SEVERITIES, start=1):
        for index in range(3):
            response = rooms.response(severity, index)
            ratio = response[0] ** 2 / energy(response[1:])
            assert 10 * np.log10(ratio) == pytest.approx(db, abs=0.1)
            assert not response[1 : rooms.GAP].any()


@pytest.mark.parametrize("name", [name for name in DISTORTIONS if name != "room"])
def test_a_distortion_grows_with_its_severity_and_keeps_the_length(name):
    speech = spoken(2, 16000)
    ratios = []
    for severity in (1, 2, 3):
        worse = DISTORTIONS[name](speech, severity, Draws(name, severity))
        assert len(worse) == len(speech)
        # Over many draws, so that none is lucky
        more = [DISTORTIONS[name](speech, severity, Draws(name, n)) for n in range(3)]
        ratios.append(sum(energy(one - speech) for one in (worse, *more)))
    assert ratios[0] > 0
    # The codecs are of different kinds: GSM does not follow the wave
    assert ratios == sorted(ratios) or name == "codec" and ratios[2] == max(ratios)
