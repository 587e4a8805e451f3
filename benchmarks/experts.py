"""Sparse against dense at the paper's size: time, memory, share of the bound and of the machine.

    python benchmarks/experts.py                    # all of it; some 12 minutes, 12 GB
    python benchmarks/experts.py --only float32     # or bfloat16, memory

The dense reference is the released computation: every expert on every frame, and a mask. Both have
the same weights and the same routing. Random hidden states route about uniformly; the bound of the
gain, E / (distinct experts per frame), is taken from the choices that were made.
"""

import argparse
from functools import partial

import torch
from measure import MIB, machine, peak_bytes, saved_bytes, seconds
from torch import nn

from speechbrain_merit.lobes.integration import TASKS, MixtureOfExperts

LAYERS, WIDTH, FRAMES = 25, 1024, 600  # WavLM-Large, 12 s at 50 frames a second


class DenseMasked(nn.Module):
    """The dense computation over the weights of a MixtureOfExperts."""

    def __init__(self, mixture):
        super().__init__()
        self.mixture = mixture

    def forward(self, hidden, tasks=TASKS):
        """All experts on all frames; each task's mask picks from what came out."""
        mixture = self.mixture
        frames = torch.cat([n(h) for n, h in zip(mixture.layer_norms, hidden)], dim=-1)
        every = torch.stack([dense_expert(e, frames) for e in mixture.pool.experts], dim=-2)
        outputs = {}
        for task in tasks:
            router = mixture.routers[task]
            p = nn.functional.linear(frames.float(), router.fc.weight.float(), router.fc.bias)
            p = p.softmax(dim=-1)
            chosen = p.argmax(dim=-1, keepdim=True)
            weight = 1 + p - p.detach()  # straight-through
            mask = torch.zeros_like(p).scatter(-1, chosen, weight.gather(-1, chosen))
            outputs[task] = (mask.to(every.dtype).unsqueeze(-1) * every).sum(dim=-2)
        return outputs


def dense_expert(expert, frames):
    """An expert's layers, one by one, over a frame that is there as a tensor."""
    for layer in expert:
        frames = layer(frames)
    return frames


def build(n_experts, batch, dtype=torch.float32):
    """The mixture, the dense reference, and hidden states (L, B, T, D)."""
    torch.manual_seed(0)
    mixture = MixtureOfExperts(LAYERS, WIDTH, n_experts=n_experts).to(dtype)
    for router in mixture.routers.values():
        router.float()
    return mixture, DenseMasked(mixture), torch.randn(LAYERS, batch, FRAMES, WIDTH, dtype=dtype)


@torch.no_grad()
def distinct(mixture, hidden):
    """Mean number of experts per frame that any task chose."""
    routing = mixture(hidden).routing
    chosen = torch.cat([r.experts for r in routing.values()], dim=-1)
    return float(nn.functional.one_hot(chosen).amax(dim=-2).sum(dim=-1).float().mean())


def gemm_rate(rows):
    """Floating-point operations a second of one plain float32 product of the experts' size."""
    frames, weight = torch.randn(rows, LAYERS * WIDTH), torch.randn(4 * WIDTH, LAYERS * WIDTH)
    taken = seconds({"gemm": lambda: frames @ weight.T}, 3)["gemm"]
    return 2 * rows * weight.numel() / taken


def step(model, hidden, amp=False):
    """Forward and backward."""
    with torch.autocast("cpu", torch.bfloat16, enabled=amp):
        outputs = model(hidden)
    outputs = [outputs.se, outputs.ser] if hasattr(outputs, "se") else outputs.values()
    sum(output.float().sum() for output in outputs).backward()


def forward(model, hidden, amp=False, tasks=TASKS):
    """Forward alone, as in inference."""
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=amp):
        return model(hidden, tasks=tasks)


def compare_float32(n_experts, batch, repetitions):
    """Ratios of the dense to the sparse computation, printed as rows."""
    mixture, dense, hidden = build(n_experts, batch)
    bound = n_experts / distinct(mixture, hidden)
    prepare = mixture.zero_grad
    name = f"E = {n_experts}, B = {batch}"
    pair = {"dense": dense, "sparse": mixture}
    taken = seconds({k: partial(forward, m, hidden) for k, m in pair.items()}, repetitions)
    row(name, "forward, both tasks", taken, bound)
    rows = batch * FRAMES * n_experts / bound / n_experts  # that an expert hears
    flops = 2 * batch * FRAMES * n_experts / bound * (LAYERS * WIDTH + WIDTH) * 4 * WIDTH
    share = flops / taken["sparse"] / gemm_rate(round(rows))
    print(f"|  | share of the machine's own product rate | | | | | {share:.2f} |", flush=True)
    if n_experts == 3:
        one = {k: partial(forward, m, hidden, tasks=("ser",)) for k, m in pair.items()}
        row(name, "forward, one task", seconds(one, repetitions), n_experts)
    training = {k: partial(step, m, hidden) for k, m in pair.items()}
    if n_experts == 3:
        taken = seconds(training, repetitions, prepare)
        row(name, "forward + backward, encoder frozen", taken, bound)
        hidden.requires_grad_()
        taken = seconds(training, repetitions, lambda: (prepare(), setattr(hidden, "grad", None)))
        row(name, "forward + backward, encoder training", taken, bound)


def row(name, what, taken, bound):
    """One line of the table."""
    dense, sparse = taken.values()
    ratio = dense / sparse
    print(
        f"| {name} | {what} | {dense:.2f} | {sparse:.2f} | {ratio:.2f} × | {bound:.2f} × "
        f"| {ratio / bound:.2f} |",
        flush=True,
    )


def compare_bfloat16(repetitions):
    """The sparse computation in bfloat16 against itself in float32, B = 4."""
    mixture, _, hidden = build(3, 4)
    variants = {"float32": False, "bfloat16": True}
    for what, function in (("forward", forward), ("forward + backward", step)):
        taken = seconds(
            {k: partial(function, mixture, hidden, amp) for k, amp in variants.items()},
            repetitions,
            mixture.zero_grad,
        )
        print_pair(f"autocast, B = 4, {what}", *taken.values())
    held, _, held_hidden = build(3, 1, torch.bfloat16)
    mixture, _, hidden = build(3, 1)
    taken = seconds(
        {
            "float32": partial(forward, mixture, hidden),
            "bfloat16": partial(forward, held, held_hidden),
        },
        repetitions,
    )
    print_pair("weights held in bfloat16, B = 1, forward", *taken.values())


def print_pair(what, float32, bfloat16):
    """One line of the bfloat16 table."""
    print(
        f"| {what} | {float32:.2f} | {bfloat16:.2f} | {float32 / bfloat16:.2f} × |",
        flush=True,
    )


def compare_memory():
    """What a training step keeps for backward, and its peak, dense and sparse."""
    for batch in (1, 4):
        mixture, dense, hidden = build(3, batch)
        exclude = [hidden, *mixture.parameters()]
        saved, peak = {}, {}
        for name, model in (("dense", dense), ("sparse", mixture)):
            saved[name] = saved_bytes(partial(model, hidden), exclude) / MIB
            mixture.zero_grad()
            step(model, hidden)  # so that the gradients are there before the peak is taken
            peak[name] = peak_bytes(partial(step, model, hidden)) / MIB
        for what, found in (("kept for backward", saved), ("peak above the start", peak)):
            print(
                f"| B = {batch} | {what} | {found['dense']:.0f} | {found['sparse']:.0f} "
                f"| {found['sparse'] / found['dense']:.2f} × |",
                flush=True,
            )


def main():
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("float32", "bfloat16", "memory"))
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(machine(), end="\n\n")
    if options.only in (None, "float32"):
        print("| case | what | dense (s) | sparse (s) | gain | bound | share |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for n_experts, batch in ((3, 1), (3, 4), (8, 1)):
            compare_float32(n_experts, batch, options.repetitions)
    if options.only in (None, "bfloat16"):
        print("\n| case | float32 (s) | bfloat16 (s) | gain |\n| --- | --- | --- | --- |")
        compare_bfloat16(options.repetitions)
    if options.only in (None, "memory"):
        print("\n| case | what | dense (MiB) | sparse (MiB) | ratio |")
        print("| --- | --- | --- | --- | --- |")
        compare_memory()


if __name__ == "__main__":
    main()
