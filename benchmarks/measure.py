"""What the benchmarks share: interleaved timing, saved and peak memory, the machine's name."""

import gc
import platform
import statistics
import time
from pathlib import Path

import torch

GIB, MIB = 2**30, 2**20


def seconds(variants, repetitions, prepare=lambda: None):
    """Median seconds of each of the functions, called in turns so that all meet the same machine.

    Arguments
    ---------
    variants : dict
        Name → function without arguments.
    repetitions : int
        Timed calls of each, after one that is not timed.
    prepare : callable
        Called before each call, not timed.
    """
    taken = {name: [] for name in variants}
    for repetition in range(repetitions + 1):
        for name, function in variants.items():
            prepare()
            start = time.perf_counter()
            function()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if repetition:
                taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in taken.items()}


def saved_bytes(function, exclude):
    """Bytes that a forward pass keeps for backward, each storage once.

    Arguments
    ---------
    function : callable
        The forward pass.
    exclude : iterable
        Tensors whose storages do not count: parameters, given inputs.
    """
    known = {tensor.untyped_storage().data_ptr() for tensor in exclude}
    found = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = function()
    del result
    return sum(found.values())


def peak_bytes(function):
    """Bytes of resident memory that a call adds at its peak (Linux)."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = status_bytes("VmRSS")
    function()
    return status_bytes("VmHWM") - before


def status_bytes(key):
    """A memory figure of this process from Linux's /proc."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {key}")


def machine():
    """The processor, what it can do in bfloat16, threads and versions, in a line."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    fields = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    flags = [flag for flag in ("avx512_bf16", "amx_bf16") if flag in fields.get("flags", "")]
    return (
        f"{fields.get('model name', platform.processor() or platform.machine())} "
        f"({', '.join(flags) or 'no bfloat16 instructions'}), {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}"
    )
