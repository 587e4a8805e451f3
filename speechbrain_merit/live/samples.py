"""Recordings to try things with, synthesised on the spot: a voice in an emotion, in noise."""

import numpy as np

from speechbrain_merit.data.synthetic_noises import NOISES
from speechbrain_merit.data.synthetic_voices import EMOTIONS, RATE, Voice, synthesise

#: What a button says: emotions one after the other, noise, SNR in dB.
SAMPLES = {
    "Angry, in a hum": (("angry",), "hum", 5),
    "Sad, beside knocks": (("sad",), "impulsive", 5),
    "Happy, then sad, in babble": (("happy", "sad"), "babble", 8),
    "A machine, nobody speaks": ((), "hum", 0),
}
SECONDS = 5.0  # of each emotion
SILENCE = round(SECONDS * RATE)
LOUDNESS = 0.07  # root mean square of each part: a quiet one would drown
VOICE = Voice(pitch=150.0, tract=1.0, breath=0.05)


def sample(name):
    """The samples (S) of one, float32 at 16 kHz, the same each time.

    Example
    -------
    >>> sample("Happy, then sad, in babble").shape, RATE
    ((160000,), 16000)
    """
    emotions, noise, snr_db = SAMPLES[name]
    rng = np.random.default_rng(list(SAMPLES).index(name))
    parts = [synthesise(VOICE, EMOTIONS[emotion], SECONDS, rng) for emotion in emotions]
    speech = np.concatenate([LOUDNESS * part / rms(part) for part in parts] or [np.zeros(SILENCE)])
    noise = NOISES[noise](len(speech), rng)
    gain = LOUDNESS / rms(noise) * 10 ** (-snr_db / 20)
    return (speech + gain * noise).astype(np.float32)


def rms(wave):
    """The root mean square of a wave."""
    return np.sqrt(np.mean(np.square(wave)))
