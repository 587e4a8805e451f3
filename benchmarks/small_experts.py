"""Smaller experts: parameters, memory, time, and what they cost a trained model.

    python benchmarks/small_experts.py RESULTS_DIR    # of a run of train.py; some 5 minutes
    python benchmarks/small_experts.py                # sizes and times at the paper's size alone

Low rank here is a factorisation of the trained experts, without training them again, and int8 is
weight-only, of all linear layers but the routers. F1-macro and SI-SDR gain are means over the
validation speakers and their SNRs: the test speakers are for no choice of a size.
"""

import argparse
import copy
import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from experts import FRAMES, LAYERS, WIDTH
from measure import MIB, machine, seconds

from speechbrain_merit.data.datasets import datasets
from speechbrain_merit.evaluation.emotion import emotion_scores
from speechbrain_merit.evaluation.enhancement import si_sdr
from speechbrain_merit.evaluation.run import predict, whole_batches
from speechbrain_merit.lobes.integration import MixtureOfExperts
from speechbrain_merit.lobes.quantised import quantise
from speechbrain_merit.training.settings import load_finished

PAPER_RANKS = (1024, 256)


def megabytes(module):
    """Size of a module's weights in memory, in MiB."""
    return sum(t.numel() * t.element_size() for t in module.state_dict().values()) / MIB


def paper_size(repetitions):
    """The experts of WavLM-Large: parameters, memory and time of one forward over 12 s."""
    print("| experts, paper's size | parameters (M) | memory (MiB) | forward, 12 s (s) | gain |")
    print("| --- | --- | --- | --- | --- |")
    hidden = torch.randn(LAYERS, 1, FRAMES, WIDTH)
    variants = {"full": MixtureOfExperts(LAYERS, WIDTH)}
    for rank in PAPER_RANKS:
        variants[f"rank {rank}"] = MixtureOfExperts(LAYERS, WIDTH, expert_rank=rank)
    sizes = {name: parameters(mixture.pool) for name, mixture in variants.items()}
    variants["int8"] = quantise(copy.deepcopy(variants["full"]))
    sizes["int8"] = sizes["full"]
    with torch.no_grad():
        taken = seconds(
            {name: lambda m=mixture: m(hidden) for name, mixture in variants.items()}, repetitions
        )
    for name, mixture in variants.items():
        print(
            f"| {name} | {sizes[name]:.1f} | {megabytes(mixture.pool):.0f} | {taken[name]:.2f} "
            f"| {taken['full'] / taken[name]:.2f} × |"
        )


def parameters(module):
    """Millions of parameters."""
    return sum(p.numel() for p in module.parameters()) / 1e6


def trained(folder, ranks, repetitions):
    """A trained system, its experts made smaller step by step."""
    hparams, _ = load_finished(Path(folder))
    model = hparams["model"].eval()
    valid = datasets({**hparams, "skip_test": True})[1]
    variants = {"full": model}
    for rank in ranks:
        variants[f"rank {rank}"] = copy.deepcopy(model)
        variants[f"rank {rank}"].integration.factorise(rank)
    sizes = {name: parameters(m.integration.pool) for name, m in variants.items()}
    variants["int8"], sizes["int8"] = quantise(copy.deepcopy(model)), sizes["full"]
    wave = torch.randn(1, 10 * 16000)
    with torch.no_grad():
        taken = seconds({name: lambda m=m: m(wave) for name, m in variants.items()}, repetitions)
    print(
        "\n| trained system | parameters of the experts (M) | weights of the system (MiB) "
        "| joint pass, 10 s (s) | gain | F1-macro | SI-SDR gain (dB) |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, variant in variants.items():
        f1, gain = scores(variant, valid, hparams)
        print(
            f"| {name} | {sizes[name]:.2f} | {megabytes(variant):.0f} | {taken[name]:.3f} "
            f"| {taken['full'] / taken[name]:.2f} × | {f1:.3f} | {gain:.2f} |",
            flush=True,
        )


def scores(model, valid, hparams):
    """Means over the validation conditions: F1-macro, SI-SDR gain in dB."""
    by_condition, gains = {}, []
    batches = whole_batches(len(valid), hparams["test_batch_size"])
    for row, waves, _ in predict(model, valid, batches, hparams, "cpu"):
        key, truth = (row["noise_set"], row["snr_db"]), hparams["labels"].index(row["label"])
        by_condition.setdefault(key, []).append((truth, row["probabilities"]))
        enhanced, noisy = (si_sdr(waves["clean"], waves[name]) for name in ("enhanced", "noisy"))
        gains.append(enhanced - noisy)
    f1 = [
        emotion_scores(*map(list, zip(*rows)), hparams["labels"])["f1_macro"]
        for rows in by_condition.values()
    ]
    return sum(f1) / len(f1), float(sum(gains) / len(gains))


def main():
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", nargs="?", help="output folder of a run")
    parser.add_argument("--ranks", type=int, nargs="*", default=[256, 128, 64, 32])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(machine(), end="\n\n")
    paper_size(options.repetitions)
    if options.results:
        trained(options.results, options.ranks, options.repetitions)


if __name__ == "__main__":
    main()
