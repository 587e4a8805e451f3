"""Training mixers of which a test names only the keys that it is about."""

from types import SimpleNamespace

from speechbrain_merit.data.datasets import training_mixer

#: Noise at a random place and SNR, and nothing else.
PLAIN = {
    "train_snr_db": [-5, 15],
    "clean_share": 0.0,
    "speeds": [1.0],
    "crop_seconds": None,
    "max_noises": 1,
    "filter_share": 0.0,
    "band_limit_share": 0.0,
    "room_share": 0.5,
    "codec_share": 0.0,
    "babble_share": 0.0,
    "level_share": 0.0,
    "level_db": [-40, -12],
    "clip_share": 0.0,
}


def a_mixer(bank, rooms=None, seed=0, epoch=1, voices=None, **keys):
    """A TrainingMixer; ``keys`` are those of the YAML."""
    assert keys.keys() <= PLAIN.keys()
    run = {"seed": seed, "epoch_counter": SimpleNamespace(current=epoch)}
    return training_mixer({**PLAIN, **run, **keys}, bank, rooms, voices)
