"""Sparse MERIT on WavLM-Large, full size, random weights: inference and a training step.

    python benchmarks/wavlm_large.py    # some 6 minutes, 16 GB

Prints seconds, the share of the mixture in them, and peak memory, for 4 s and 12 s of audio.
"""

import argparse

import torch
from measure import GIB, machine, peak_bytes, seconds, status_bytes
from transformers import WavLMConfig, WavLMModel

from speechbrain_merit.lobes.emotion import EmotionHead
from speechbrain_merit.lobes.enhancement import EnhancementHead
from speechbrain_merit.lobes.integration import MixtureOfExperts
from speechbrain_merit.lobes.merit import Merit
from speechbrain_merit.lobes.self_supervised import SelfSupervisedHidden
from speechbrain_merit.lobes.spectrum import SAMPLE_RATE

DURATIONS = (4, 12)  # seconds; the paper cuts at 12

#: microsoft/wavlm-large, from its published config.json.
WAVLM_LARGE = dict(
    hidden_size=1024,
    num_hidden_layers=24,
    num_attention_heads=16,
    intermediate_size=4096,
    conv_bias=False,
    do_stable_layer_norm=True,
    feat_extract_norm="layer",
    num_buckets=320,
    max_bucket_distance=800,
)


def build():
    """The whole network with random weights."""
    torch.manual_seed(0)
    encoder = SelfSupervisedHidden(WavLMModel(WavLMConfig(**WAVLM_LARGE)), normalise=True)
    mixture = MixtureOfExperts(encoder.n_hidden, encoder.width)
    heads = EnhancementHead(encoder.width), EmotionHead(encoder.width, n_classes=4)
    return Merit(encoder, mixture, *heads)


def step(model, wavs):
    """A training step without the optimizer: both losses' place is taken by sums."""
    output = model(wavs)
    (output.logits.logsumexp(dim=-1).sum() + output.enhanced.estimate.mean()).backward()


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(machine(), end="\n\n")
    model = build()
    count = sum(p.numel() for p in model.parameters()) / 1e6
    pool = sum(p.numel() for p in model.integration.pool.parameters()) / 1e6
    print(f"{count:.0f} M parameters, {pool:.0f} M of them in the experts.\n")
    print("| what | audio (s) | whole (s) | encoder alone (s) | share of the rest | peak (GiB) |")
    print("| --- | --- | --- | --- | --- | --- |")
    for duration in DURATIONS:
        wavs = torch.randn(1, duration * SAMPLE_RATE)
        model.eval()
        with torch.no_grad():
            calls = {"whole": lambda w=wavs: model(w), "encoder": lambda w=wavs: model.encoder(w)}
            row("inference", duration, seconds(calls, options.repetitions), calls["whole"])
        model.train()
        for frozen in (True, False):
            model.encoder.freeze(frozen)
            calls = {
                "whole": lambda w=wavs: step(model, w),
                "encoder": lambda w=wavs: encoder_step(model.encoder, w),
            }
            name = f"training step, encoder {'frozen' if frozen else 'training'}"
            taken = seconds(calls, options.repetitions, model.zero_grad)
            row(name, duration, taken, calls["whole"])
            model.zero_grad()


def encoder_step(encoder, wavs):
    """What the encoder alone takes of a step."""
    hidden = encoder(wavs)
    if hidden.requires_grad:
        hidden.sum().backward()


def row(name, duration, taken, call):
    """One line of the table; the peak is the process's, weights and all."""
    start = status_bytes("VmRSS")
    peak = (start + peak_bytes(call)) / GIB
    whole, encoder = taken.values()
    print(
        f"| {name} | {duration} | {whole:.2f} | {encoder:.2f} | {1 - encoder / whole:.2f} "
        f"| {peak:.1f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
