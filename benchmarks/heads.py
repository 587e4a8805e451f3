"""Which enhancement head, and which loss, learns most in the same processor time.

    python benchmarks/heads.py --minutes 6 --corpus RAVDESS,nEMO \
        --data_folder "{RAVDESS: …, nEMO: …}" --noise_train_folder … \
        --noise_valid_folder … --noise_test_folders "{unseen: …}"

What follows ``--minutes`` are keys of ``hparams/se_only.yaml``. Each way trains the enhancement
alone, on the frozen encoder of merit-tiny, for so many minutes of processor time on one thread; its
rate falls linearly over them. Scored is every third item of validation, at its SNRs: means over
all, and the time that a second of sound takes. Test speakers are not heard.
"""

import argparse
import os
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import speechbrain as sb
import torch
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.sampler import ReproducibleRandomSampler
from torch.utils.data import DataLoader

from speechbrain_merit.data.datasets import datasets, prepare
from speechbrain_merit.evaluation.enhancement import score_utterances
from speechbrain_merit.export.loading import shipped_model
from speechbrain_merit.training.brain import MeritBrain
from speechbrain_merit.training.run import start
from speechbrain_merit.training.settings import load, parse, user_errors

ROOT = Path(__file__).resolve().parents[1]
RATE = 16000
EVERY = 3  # of the validation set's items
SMALL = {"enhancement_head_type": "dual_path"}
L1 = {"enhancement_weight": 1.0, "si_sdr_weight": 0.02}
WAYS = {
    "BSSE-SE's BLSTM": {"enhancement_weight": 1.0, "si_sdr_weight": 0.05},
    "dual path": SMALL | L1,
    "dual path, + compressed": SMALL | L1 | {"compressed_weight": 1.0},
    "dual path, + multi-resolution": SMALL | L1 | {"multi_resolution_weight": 0.1},
    "dual path, one block": SMALL | L1 | {"enhancement_layers": 1},
}
COLUMNS = {"pesq": "{:.2f}", "stoi": "{:.3f}", "si_sdr": "{:.1f}"}


def trained(hparams, seconds):
    """A brain that trained for so many seconds of processor time, its validation set and steps."""
    train_set, valid_set, _ = datasets(hparams)
    brain = MeritBrain(
        modules=hparams["modules"],
        hparams=hparams,
        run_opts={"device": "cpu", "precision": hparams["precision"]},
        checkpointer=hparams["checkpointer"],
    )
    start(brain, train_set, hparams)
    brain.on_fit_start()
    sampler = ReproducibleRandomSampler(train_set, seed=hparams["seed"])
    options = {"batch_size": hparams["batch_size"], "collate_fn": PaddedBatch}
    begun, steps = time.process_time(), 0
    for epoch in count(1):
        hparams["epoch_counter"].current = epoch  # new noise in every pass
        sampler.set_epoch(epoch)
        brain.on_stage_start(sb.Stage.TRAIN, epoch)
        brain.modules.train()
        for batch in DataLoader(train_set, sampler=sampler, **options):
            left = 1 - (time.process_time() - begun) / seconds
            if left <= 0:
                return brain.model.eval(), valid_set, steps
            for optimizer in brain.optimizers_dict.values():
                for group in optimizer.param_groups:
                    group["lr"] = hparams["lr"] * left
            brain.step = steps = steps + 1
            brain.fit_batch(batch)


@torch.inference_mode()
def validated(model, valid_set):
    """Mean scores of noisy validation utterances, and seconds of processor time a second."""
    waves, taken, heard = [], 0.0, 0
    for index in range(0, len(valid_set), EVERY):
        batch = PaddedBatch([valid_set[index]])
        if torch.isfinite(batch.snr_db).all():
            begun = time.process_time()
            enhanced = model(*batch.mixture, tasks=("se",)).waves
            taken += time.process_time() - begun
            heard += enhanced.shape[1] / RATE
            found = batch.clean.data, batch.mixture.data, enhanced
            waves.append(tuple(wave[0].numpy() for wave in found))
    scores = list(score_utterances(iter(waves), RATE, 1, False, len(waves)))
    keys = [key + noisy for noisy in ("", "_noisy") for key in COLUMNS]
    means = {key: np.mean([s[key] for s in scores if s[key] is not None]) for key in keys}
    return means, taken / heard


def main():
    """Trains every way in turn and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=6)
    parser.add_argument("--only", help="a part of a way's name")
    options, keys = parser.parse_known_args()
    torch.set_num_threads(1)
    system = str(ROOT / "hparams" / "se_only.yaml")
    print("| head | M parameters | steps | PESQ | STOI | SI-SDR (dB) | real-time factor |")
    print("|---|---|---|---|---|---|---|")
    shown = False
    for name, way in WAYS.items():
        if options.only and options.only not in name:
            continue
        with tempfile.TemporaryDirectory() as folder, user_errors():
            hparams_file, _, given = parse([system, *keys])
            fixed = {"encoder": str(shipped_model()), "unfreeze_epoch": sys.maxsize, "lr": 0.001}
            fixed |= {"output_folder": folder, "skip_test": True, "seed": 1234}
            hparams = load(hparams_file, {**way, **given, **fixed})
            prepare(hparams)
            model, valid_set, steps = trained(hparams, 60 * options.minutes)
        means, factor = validated(model, valid_set)
        if not shown:
            shown = True
            cells = [form.format(means[key + "_noisy"]) for key, form in COLUMNS.items()]
            print(f"| noisy | | | {' | '.join(cells)} | |")
        size = sum(p.numel() for p in model.enhancement.parameters()) / 1e6
        cells = [form.format(means[key]) for key, form in COLUMNS.items()]
        print(f"| {name} | {size:.2f} | {steps} | {' | '.join(cells)} | {factor:.3f} |", flush=True)


if __name__ == "__main__":
    main()
