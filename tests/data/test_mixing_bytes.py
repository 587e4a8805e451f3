"""Training mixtures stay what they are: a trained system can be trained again from its seed.

Each setting of the mixer makes six mixtures of the same synthetic recordings. Where nothing is
resampled, filtered or convolved, their bytes are pinned. Other libraries and processors round the
rest differently in its last bits, so that there sums of the samples under random weights are: any
other draw, order or filter changes them in the first or second digit.
"""

import hashlib

import numpy as np
import pytest
import soundfile as sf
from mixers import a_mixer

from speechbrain_merit.data import augmentation
from speechbrain_merit.data.mixing import NoiseBank
from speechbrain_merit.data.rooms import RoomBank

RATE = 16000
SETTINGS = {
    "plain": {},
    "crop": {"crop_seconds": 0.5},
    "speed": {"speeds": [0.9, 1.1]},
    "filter": {"filter_share": 0.7},
    "noises": {"max_noises": 3},
    "band": {"band_limit_share": 0.7},
    "room": {"room_share": 0.7},
    "codec": {"band_limit_share": 0.5, "codec_share": 0.7},
    "all": {
        "crop_seconds": 0.8,
        "speeds": [0.9, 1.0, 1.1],
        "filter_share": 0.5,
        "max_noises": 2,
        "band_limit_share": 0.5,
        "room_share": 0.5,
    },
}
#: SHA-256 of the six mixtures and targets, its first 16 digits. torch's float32 root, which brings
#: several noises to one level, is MKL's, and not rounded alike on all processors (nor in its mode
#: MKL_CBWR=COMPATIBLE): one of the two digests that were met, the second of them the exact root's.
BYTES = {
    "plain": {"797d9dbea664bcf5"},
    "crop": {"ec033b06c3e6f9e4"},
    "noises": {"5e147fb5a26f2f8d", "aa85bf8f3220c990"},
}
#: Samples in all, weighted sums of the mixtures and of the targets, sum of the noises' gains.
SUMS = {
    "plain": (144000, -0.319502, -0.194004, 4.323037),
    "crop": (48000, 0.302252, 0.301765, 5.754286),
    "speed": (135762, 0.462578, 0.528294, 5.314941),
    "filter": (144000, 0.070043, -0.140931, 2.583716),
    "noises": (144000, 0.159572, -0.194004, 1.777391),
    "band": (144000, -0.525745, -0.261117, 4.007594),
    "room": (144000, -0.879283, -0.505669, 4.019479),
    "codec": (144000, -0.698241, -0.239484, 4.016073),
    "all": (76800, -0.124113, -0.094825, 1.514974),
}


@pytest.fixture(scope="module")
def banks(tmp_path_factory):
    """Speech, two noises and a room, all of 16 kHz: the file, and the banks."""
    folder, rng = tmp_path_factory.mktemp("pinned"), np.random.default_rng(0)
    lengths = {"speech": 1.5, "noise_a": 2.0, "noise_b": 0.7, "room": 0.3}
    for name, seconds in lengths.items():
        wave = 0.1 * rng.standard_normal(round(seconds * RATE))
        if name == "room":
            wave *= np.exp(-np.arange(len(wave)) / 800)
            wave[20] = 1.0
        sf.write(folder / f"{name}.wav", wave, RATE, "FLOAT")
    noises = {
        name: {"wav": str(folder / f"{name}.wav"), "start": 0.0, "duration": lengths[name]}
        for name in ("noise_a", "noise_b")
    }
    rooms = RoomBank({"room": {"wav": str(folder / "room.wav")}}, RATE)
    return str(folder / "speech.wav"), NoiseBank(noises, RATE), rooms


def mixtures(name, banks):
    """Three utterances in two epochs."""
    speech, noises, rooms = banks
    keys = {"clean_share": 0.1, **SETTINGS[name]}
    for epoch in (1, 2):
        mixer = a_mixer(noises, rooms if "room_share" in keys else None, 7, epoch, **keys)
        yield from (mixer(utterance, speech) for utterance in "abc")


@pytest.mark.parametrize("name", BYTES)
def test_training_mixtures_keep_their_bytes(banks, name):
    digest = hashlib.sha256()
    for mixed in mixtures(name, banks):
        digest.update(mixed.mixture.numpy().tobytes() + mixed.clean.numpy().tobytes())
    assert digest.hexdigest()[:16] in BYTES[name]


@pytest.mark.parametrize("name", SUMS)
def test_training_mixtures_keep_their_draws(banks, name, monkeypatch):
    codecs = []  # what they make of a wave changes with the version of libsndfile
    monkeypatch.setattr(
        augmentation, "pass_codec", lambda wave, codec, rate: (codecs.append(codec), wave)[1]
    )
    made = list(mixtures(name, banks))
    sums = np.zeros(2)
    for index, mixed in enumerate(made):
        weights = np.random.default_rng(1000 + index).standard_normal(len(mixed.clean))
        sums += [weights @ w.double().numpy() / len(w) ** 0.5 for w in (mixed.mixture, mixed.clean)]
    of_mixtures, of_targets = sums
    assert sum(len(mixed.clean) for mixed in made) == SUMS[name][0]
    found = (of_mixtures, of_targets, sum(mixed.gain for mixed in made))
    assert found == pytest.approx(SUMS[name][1:], abs=1e-4)
    assert codecs == (["vorbis", "vorbis", "gsm", "gsm"] if name == "codec" else [])
