"""Datasets in worker processes, forked or spawned: the items that one process makes."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile as sf
import torch
from speechbrain.dataio.dataloader import make_dataloader

from speechbrain_merit.data.mixing import FixedMixer, NoiseBank
from speechbrain_merit.data.pipeline import fixed_set, training_set
from speechbrain_merit.data.rooms import RoomBank
from speechbrain_merit.labels import label_encoder
from tests.data.test_mixing import RATE, training_mixer, wave

LABELS = ["sad", "happy"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four utterances, two noises and a room."""
    folder = tmp_path_factory.mktemp("workers")
    for index in range(4):
        sf.write(folder / f"speech{index}.wav", wave(4000 + 900 * index, index).numpy(), RATE)
    for index in range(2):
        sf.write(folder / f"noise{index}.wav", wave(9000, 10 + index).numpy(), RATE)
    response = np.exp(-np.arange(1600) / 300) * wave(1600, 5).numpy()
    sf.write(folder / "room.wav", response, RATE)
    return folder


def datasets(folder):
    """A training set that meets all that a mixture may, and a set for scoring without labels."""
    entries = {
        f"u{index}": {
            "wav": str(folder / f"speech{index}.wav"),
            "duration": (4000 + 900 * index) / RATE,
            "emo": LABELS[index % 2],
            "arousal": None if index == 1 else index / 4,
        }
        for index in range(4)
    }
    noise = {
        f"n{index}": dict(wav=str(folder / f"noise{index}.wav"), start=0.0, duration=0.5)
        for index in range(2)
    }
    mixer = training_mixer(
        SimpleNamespace(entries=noise),
        train_snr_db=[-5, 15],
        clean_share=0.2,
        speeds=[0.9, 1.0, 1.1],
        crop_seconds=0.3,
        max_noises=2,
        filter_share=0.5,
        band_limit_share=0.5,
        rooms=RoomBank({"room": {"wav": str(folder / "room.wav")}}, RATE),
        room_share=0.5,
        codec_share=0.5,
    )
    encoder = label_encoder(LABELS)
    fixed = FixedMixer({"street": NoiseBank(noise, RATE)}, RATE, seed=3)
    conditions = [(None, None), ("street", 0), ("street", 10)]
    return {
        "training": training_set(entries, encoder, mixer, passes=2, attributes=["arousal"]),
        "scoring": fixed_set(entries, label_encoder([]), fixed, conditions),
    }


def items(dataset, **options):
    """All that a loader gives, by the name of the item."""
    found = {}
    for batch in make_dataloader(dataset, batch_size=3, **options):
        for row, name in enumerate(batch.id):
            found[name] = [
                torch.as_tensor(getattr(getattr(batch, key), "data", getattr(batch, key))[row])
                for key in ("mixture", "clean", "snr_db", "emotion", "attributes")
                if hasattr(batch, key)
            ]
    return found


@pytest.mark.parametrize("kind", ["training", "scoring"])
def test_spawned_workers_give_what_one_process_gives(folder, kind):
    dataset = datasets(folder)[kind]
    here = items(dataset)
    there = items(dataset, num_workers=1, multiprocessing_context="spawn")
    assert here.keys() == there.keys() and len(here) == len(dataset) > 4
    for name, values in here.items():
        assert len(values) == (5 if kind == "training" else 4)
        for ours, theirs in zip(values, there[name]):
            # filters round by the number of threads, of which a worker has one
            torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-6, equal_nan=True)


def test_what_a_bank_keeps_in_memory_does_not_travel(folder):
    import pickle

    noise = {"n": dict(wav=str(folder / "noise0.wav"), start=0.0, duration=0.5)}
    bank = NoiseBank(noise, RATE, cache_size=7)
    empty = len(pickle.dumps(bank))
    kept = bank.load("n")
    assert len(pickle.dumps(bank)) == empty < 1000
    again = pickle.loads(pickle.dumps(bank))
    assert torch.equal(again.load("n"), kept) and again.load.cache_info().maxsize == 7


def test_many_conditions_of_a_set_cost_a_name_each_and_no_copy_of_its_rows():
    rows = {
        str(name): {"wav": f"{name}.wav", "duration": 1.0, "emo": "sad", "spk_id": "1"}
        | {f"rating{i}": 0.5 for i in range(8)}
        for name in range(500)
    }
    conditions = [("street", snr_db) for snr_db in range(20)]
    tracemalloc.start()
    dataset = fixed_set(rows, label_encoder(LABELS), None, conditions)
    bytes_each = tracemalloc.get_traced_memory()[0] / len(dataset)
    tracemalloc.stop()
    assert len(dataset) == 10_000
    assert bytes_each < 400  # a copy of such a row alone has 640
    assert dataset.data["7|street|3"] == {
        **rows["7"],
        "row": rows["7"],
        "utterance": "7",
        "noise_set": "street",
        "asked_snr_db": 3,
    }
