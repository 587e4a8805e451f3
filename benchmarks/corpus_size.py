"""Start-up, memory and loading speed at the size of MSP-Podcast 2.0: 270 000 turns.

    python benchmarks/corpus_size.py    # some 4 minutes, 3 GB

The rows of the manifest point at a few hundred synthetic recordings of 3 to 11 s, over and over.
Decoding alone is what reading the files in the same order takes, without mixing and padding.
"""

import argparse
import tempfile
import time
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import soundfile as sf
import torch
from measure import MIB, machine, status_bytes
from speechbrain.dataio.batch import PaddedBatch
from torch.utils.data import DataLoader

from speechbrain_merit.audio.reading import read_audio
from speechbrain_merit.data.datasets import training_mixer
from speechbrain_merit.data.manifests import load_manifest, write_manifest
from speechbrain_merit.data.mixing import NoiseBank
from speechbrain_merit.data.pipeline import batches_by_duration, training_set
from speechbrain_merit.labels import label_encoder

LABELS = ["angry", "sad", "happy", "neutral"]
RATE = 16000
ROWS = (27_000, 270_000)
SHORTEST, LONGEST = 3.0, 11.0  # seconds, as the corpus cuts its turns
BATCH_SECONDS = 60.0
#: As hparams/merit.yaml has it.
MIXING = {
    "seed": 0,
    "epoch_counter": SimpleNamespace(current=1),
    "train_snr_db": [-5, 15],
    "clean_share": 0.1,
    "speeds": [1.0],
    "crop_seconds": None,
    "max_noises": 1,
    "filter_share": 0.0,
    "band_limit_share": 0.0,
    "room_share": 0.0,
    "codec_share": 0.0,
}


def record(folder, count):
    """Recordings of noise, as FLAC; their names and durations."""
    rng, files = np.random.default_rng(0), {}
    for index in range(count):
        seconds = rng.uniform(SHORTEST, LONGEST)
        path = folder / f"{index:04}.flac"
        sf.write(path, 0.05 * rng.standard_normal(int(seconds * RATE)), RATE)
        files[path.name] = len(range(int(seconds * RATE))) / RATE
    return files


def manifest(folder, files, rows):
    """A manifest of so many rows over the files; its path."""
    names = list(files)
    entries = {
        f"MSP-PODCAST_{index:06}": {
            "wav": "{data_root}/" + names[index % len(names)],
            "duration": files[names[index % len(names)]],
            "emo": LABELS[index % len(LABELS)],
            "spk_id": str(index % 3000),
        }
        for index in range(rows)
    }
    path = folder / f"{rows}.json"
    write_manifest(path, entries)
    return path


def start(path, folder):
    """The dataset and its batches, from the manifest on disk."""
    entries = load_manifest(path, LABELS, {"data_root": str(folder)})
    noise = {"n": {"wav": str(folder / "0000.flac"), "start": 0.0, "duration": None}}
    mixer = training_mixer(MIXING, NoiseBank(noise, RATE))
    dataset = training_set(entries, label_encoder(LABELS), mixer)
    return dataset, batches_by_duration(dataset, BATCH_SECONDS)


def rate(batches, count):
    """Utterances a second over so many batches, and what memory grew by meanwhile, in MiB."""
    batches = iter(batches)
    heard = len(next(batches))  # the first one waits for the workers to start
    begin, before, heard = time.perf_counter(), status_bytes("VmRSS"), 0
    for batch in islice(batches, count):
        heard += len(batch)
    grown = (status_bytes("VmRSS") - before) / MIB
    return heard / (time.perf_counter() - begin), grown


def decoded(dataset, sampler):
    """The same utterances in the same order, decoded and nothing else."""
    for batch in sampler:
        yield [read_audio(dataset.data[dataset.data_ids[i]]["wav"], RATE) for i in batch]


def main():
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", type=int, default=300)
    parser.add_argument("--batches", type=int, default=150)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(machine(), end="\n\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = record(folder, options.recordings)
        print("| rows | manifest (MiB) | start-up (s) | memory it adds (MiB) |")
        print("| --- | --- | --- | --- |")
        for rows in ROWS:
            path = manifest(folder, files, rows)
            before, begin = status_bytes("VmRSS"), time.perf_counter()
            dataset, sampler = start(path, folder)
            taken, added = time.perf_counter() - begin, status_bytes("VmRSS") - before
            print(
                f"| {rows} | {path.stat().st_size / MIB:.0f} | {taken:.1f} | {added / MIB:.0f} |",
                flush=True,
            )
        print("\n| reading | utterances a second | share of decoding | memory grew by (MiB) |")
        print("| --- | --- | --- | --- |")
        alone, grown = rate(decoded(dataset, sampler), options.batches)
        print(f"| decoding alone | {alone:.0f} | 1.00 | {grown:.0f} |", flush=True)
        for workers in (0, 1, 2):
            loader = DataLoader(
                dataset, batch_sampler=sampler, collate_fn=PaddedBatch, num_workers=workers
            )
            found, grown = rate(loader, options.batches)
            print(
                f"| mixed batches, {workers} workers | {found:.0f} | {found / alone:.2f} "
                f"| {grown:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
