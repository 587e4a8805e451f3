"""A small formant synthesiser: babbled syllables of a voice in an emotion.

Glottal pulses (Rosenberg 1971, with jitter, shimmer and breath noise) are tilted and sent through
a cascade of formant resonators (Klatt 1980) that move from vowel to vowel; consonants are gaps,
noise bursts and murmurs. No words, no real voice: only what carries an emotion in speech is kept,
namely pitch, its range, tempo, loudness and spectral tilt.
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, lfilter, sosfilt

RATE = 16000  # samples a second
FRAME = 160  # samples, 10 ms: how often the formants move
FRAMES_PER_SECOND = RATE / FRAME
NYQUIST_MARGIN = 0.95  # a formant above this share of half the rate is held there

# First three formants in Hz of a man's vowels i e a o u (Peterson and Barney 1952), and schwa.
VOWELS = np.array(
    [
        [270, 2290, 3010],
        [530, 1840, 2480],
        [730, 1090, 2440],
        [570, 840, 2410],
        [300, 870, 2240],
        [500, 1500, 2500],
    ],
    dtype=float,
)
UPPER_FORMANTS = (3500.0, 4500.0)  # Hz; they hardly move in speech
BANDWIDTHS = np.array([70.0, 90.0, 130.0, 250.0, 300.0])  # Hz, of the five formants
NASAL_FORMANTS = np.array([270.0, 1000.0, 2200.0])  # Hz, murmur of m and n
FRICATIVE_BANDS = ((4500.0, 7500.0), (2300.0, 5500.0), (1500.0, 7500.0))  # Hz: s, sh, f


class Voice(NamedTuple):
    """A speaker: mean pitch in Hz, formants relative to `VOWELS`, breathiness (share of noise)."""

    pitch: float
    tract: float
    breath: float


class Emotion(NamedTuple):
    """How a voice changes, as the mean over utterances.

    Pitch in semitones above the voice's own, pitch range in semitones (standard deviation over
    syllables), tempo in syllables a second, level in dB, tilt as the corner in Hz above which the
    glottal pulses lose 6 dB an octave, open share of the glottal cycle, and factors on the breath
    and on the formants (a smile shortens the vocal tract).
    """

    pitch: float
    range: float
    tempo: float
    level: float
    tilt: float
    open_quotient: float
    breath: float
    tract: float


# Directions as in Scherer (2003), Speech Communication 40, table 2; sizes chosen so that logistic
# regression on log-mel statistics is right on about 85 % of new speakers' clean utterances, and
# on fewer than half at -5 dB.
EMOTIONS = {
    "angry": Emotion(2.5, 2.4, 6.2, 5.0, 4500.0, 0.42, 0.5, 1.0),
    "sad": Emotion(-2.2, 1.0, 3.2, -5.0, 420.0, 0.72, 2.5, 0.98),
    "happy": Emotion(5.5, 4.8, 5.2, 3.0, 1900.0, 0.60, 1.0, 1.08),
    "neutral": Emotion(0.0, 1.5, 4.5, 0.0, 1000.0, 0.60, 1.0, 1.0),
}
# Standard deviations over the utterances of one emotion: these make the emotions overlap.
PITCH_SPREAD = 1.2  # semitones
LEVEL_SPREAD = 2.5  # dB
RATIO_SPREAD = 0.12  # of range, tempo and breath, as a natural logarithm
TILT_SPREAD = 0.15  # of the tilt corner, as a natural logarithm

NEUTRAL_RMS = 0.05  # of full scale: the loudest angry peaks stay below 1
ROOM_RMS = 2e-5  # of full scale: a quiet room, so that pauses are not digital silence
JITTER, SHIMMER = 0.01, 0.06  # relative change from one glottal cycle to the next
DECLINATION = 2.0  # semitones that pitch falls by in an utterance


def synthesise(voice, emotion, seconds, rng):
    """Lets a voice babble in an emotion.

    Arguments
    ---------
    voice : Voice
        Who speaks.
    emotion : Emotion
        How, on average; the utterance's own values are drawn around it.
    seconds : float
        Length, with a little silence at both ends.
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    numpy.ndarray
        (S,) float64 samples at 16 kHz.

    Example
    -------
    >>> voice = Voice(pitch=120.0, tract=1.0, breath=0.05)
    >>> wave = synthesise(voice, EMOTIONS["sad"], 1.5, np.random.default_rng(0))
    >>> wave.shape, bool(np.abs(wave).max() < 1)
    ((24000,), True)
    """
    mood = _draw(emotion, rng)
    samples = round(seconds * RATE)
    frames = -(-samples // FRAME)
    syllables = _plan(frames, mood, rng)
    formants, voiced, rubbed = _tracks(frames, syllables, voice.tract * mood.tract, rng)
    times = np.arange(samples) / FRAME
    voiced_gain = np.interp(times, np.arange(frames), voiced)
    pitch = _pitch(samples, frames, syllables, voice, mood, rng)
    source = _glottis(pitch, voice.breath * mood.breath, mood, rng) * voiced_gain
    speech = _resonate(source, formants)
    speech /= np.sqrt(np.mean(speech**2)) + 1e-12
    for band, gain in zip(FRICATIVE_BANDS, rubbed):
        if gain.any():
            sos = butter(2, band, "bandpass", fs=RATE, output="sos")
            noise = sosfilt(sos, rng.standard_normal(samples))
            speech += np.interp(times, np.arange(frames), gain) * noise
    speech *= NEUTRAL_RMS * 10 ** (mood.level / 20) / np.sqrt(np.mean(speech**2))
    return speech + ROOM_RMS * rng.standard_normal(samples)


def _draw(emotion, rng):
    """The values of one utterance."""
    pitch, level = rng.standard_normal(2) * (PITCH_SPREAD, LEVEL_SPREAD)
    ratios = np.exp(RATIO_SPREAD * rng.standard_normal(3))
    return emotion._replace(
        pitch=emotion.pitch + pitch,
        range=emotion.range * ratios[0],
        tempo=emotion.tempo * ratios[1],
        level=emotion.level + level,
        tilt=emotion.tilt * np.exp(TILT_SPREAD * rng.standard_normal()),
        breath=emotion.breath * ratios[2],
    )


def _plan(frames, mood, rng):
    """Syllables as (first frame, first frame of the vowel, end, stress)."""
    start = round(rng.uniform(0.05, 0.12) * FRAMES_PER_SECOND)
    stop = frames - round(rng.uniform(0.05, 0.12) * FRAMES_PER_SECOND)
    count = max(2, round((stop - start) / FRAMES_PER_SECOND * mood.tempo))
    lengths = np.exp(0.25 * rng.standard_normal(count))
    lengths[-1] *= 1.4  # the last syllable of a phrase is drawn out
    edges = start + np.cumsum(np.r_[0, lengths]) / lengths.sum() * (stop - start)
    edges = np.round(edges).astype(int)
    onsets = rng.uniform(0.2, 0.4, count)
    stress = 10 ** (rng.normal(0, 2.5, count) / 20)  # 2.5 dB from syllable to syllable
    return [
        (a, a + round(onset * (b - a)), b, s)
        for a, b, onset, s in zip(edges[:-1], edges[1:], onsets, stress)
    ]


def _tracks(frames, syllables, tract, rng):
    """Per frame: formants (frames, 5) in Hz, gain of the voice, gains of the fricative bands."""
    formants = np.tile(VOWELS[-1], (frames, 1))
    voiced = np.zeros(frames)
    rubbed = np.zeros((len(FRICATIVE_BANDS), frames))
    for start, vowel, stop, stress in syllables:
        formants[start:stop] = VOWELS[rng.integers(len(VOWELS))] * rng.normal(1, 0.04, 3)
        voiced[vowel:stop] = stress
        consonant = rng.choice(["fricative", "stop", "nasal", "glide"], p=[0.3, 0.3, 0.25, 0.15])
        if consonant == "fricative":
            rubbed[rng.integers(len(rubbed)), start:vowel] = 0.35 * stress
        elif consonant == "stop":  # closed, then a burst of 20 ms
            rubbed[-1, max(vowel - 2, start) : vowel] = 0.6 * stress
        elif consonant == "nasal":
            formants[start:vowel] = NASAL_FORMANTS
            voiced[start:vowel] = 0.35 * stress
        else:
            voiced[start:vowel] = 0.6 * stress
    formants = _glide(formants, 0.025)
    upper = np.tile(UPPER_FORMANTS, (frames, 1))
    formants = np.hstack([formants, upper]) * tract
    formants = np.minimum(formants, NYQUIST_MARGIN * RATE / 2)
    return formants, _glide(voiced, 0.0125), _glide(rubbed.T, 0.0075).T


def _glide(track, seconds):
    """Smooths a track (frames, …): tongue, jaw and folds take tens of milliseconds to move."""
    return gaussian_filter1d(track, seconds * FRAMES_PER_SECOND, axis=0, mode="nearest")


def _pitch(samples, frames, syllables, voice, mood, rng):
    """Pitch in Hz of each sample: accents on syllables over a falling line."""
    semitones = np.zeros(frames)
    for start, _, stop, _ in syllables:
        accent, slope = rng.normal(0, mood.range), rng.normal(0, 0.5 * mood.range)
        semitones[start:stop] = accent + slope * np.linspace(-1, 1, stop - start)
    semitones = _glide(semitones, 0.03)
    semitones += mood.pitch - DECLINATION * np.linspace(-0.5, 0.5, frames)
    times = np.arange(samples) / FRAME
    return voice.pitch * 2 ** (np.interp(times, np.arange(frames), semitones) / 12)


def _glottis(pitch, breath, mood, rng):
    """Derivative of the glottal flow (S,), tilted, with the noise of breath in the open phase."""
    cycles = np.floor(np.cumsum(pitch / RATE)).astype(int)
    pitch = pitch * (1 + JITTER * rng.standard_normal(cycles[-1] + 2)[cycles])
    phase = np.cumsum(pitch / RATE)
    cycles = np.floor(phase).astype(int)
    phase -= cycles
    opening, closing = 0.66 * mood.open_quotient, 0.34 * mood.open_quotient
    flow = np.where(phase < opening, np.sin(np.pi * phase / opening) / opening, 0.0)
    falling = (phase >= opening) & (phase < opening + closing)
    fall = -np.sin(np.pi / 2 * (phase - opening) / closing) / closing
    loudness = 1 + SHIMMER * rng.standard_normal(cycles[-1] + 1)
    flow = np.where(falling, fall, flow) * loudness[cycles]
    pole = np.exp(-2 * np.pi * mood.tilt / RATE)
    flow = lfilter([1 - pole], [1, -pole], flow)
    rush = (0.3 + 0.7 * (phase < opening + closing)) * rng.standard_normal(len(pitch))
    return flow + breath * flow.std() * rush


def _resonate(source, formants):
    """Sends the source (S,) through the cascade of resonators, whose poles move every frame."""
    radius = np.exp(-np.pi * BANDWIDTHS / RATE)
    first = -2 * radius * np.cos(2 * np.pi * formants / RATE)
    second = np.broadcast_to(radius**2, first.shape)
    sections = np.zeros((*first.shape, 6))  # (frames, formants, b and a), gain 1 at 0 Hz
    sections[..., 0] = 1 + first + second
    sections[..., 3], sections[..., 4], sections[..., 5] = 1, first, second
    state = np.zeros((first.shape[1], 2))
    out = np.empty_like(source)
    for index, section in enumerate(sections):
        piece = slice(index * FRAME, (index + 1) * FRAME)
        out[piece], state = sosfilt(section, source[piece], zi=state)
    return out
