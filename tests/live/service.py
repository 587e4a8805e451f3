"""A service in a process of its own, on a real socket, for the tests of this folder."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from speechbrain_merit.export.folder import write_pretrained
from speechbrain_merit.lobes.emotion import EmotionHead
from speechbrain_merit.lobes.encoders import build_encoder
from speechbrain_merit.lobes.enhancement import EnhancementHead
from speechbrain_merit.lobes.integration import MixtureOfExperts
from speechbrain_merit.lobes.merit import Merit

ROOT = Path(__file__).resolve().parents[2]
RATE = 16000
LABELS = ["angry", "sad", "happy", "neutral"]


def small_model(folder):
    """A pretrained folder of a small untrained network."""
    torch.manual_seed(0)
    heads = EnhancementHead(96, hidden=32), EmotionHead(96, 4)
    model = Merit(build_encoder("mini"), MixtureOfExperts(3, 96), *heads).eval()
    return write_pretrained(folder, model, LABELS, "# small", facts={"window_seconds": 4})


def voice(seconds, seed=0, rate=RATE):
    """Tones that come and go over a little noise."""
    rng, time_ = np.random.default_rng(seed), np.arange(round(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * (180 + 40 * seed) * time_)
    wave = 0.2 * tone * np.clip(np.sin(2 * np.pi * 0.7 * time_), 0, 1)
    return (wave + 0.02 * rng.standard_normal(len(time_))).astype(np.float32)


@contextlib.contextmanager
def running(command, folder, *arguments):
    """``merit COMMAND`` on a free port; gives its address and its process, and ends it."""
    temporary = Path(folder) / "tmp"
    temporary.mkdir(exist_ok=True)
    environment = {**os.environ, "TMPDIR": str(temporary), "HF_HUB_OFFLINE": "1"}
    line = [sys.executable, "-m", "speechbrain_merit", command, "--port", "0", *arguments]
    errors = open(Path(folder) / "stderr.txt", "w+", encoding="utf-8")
    process = subprocess.Popen(
        line, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
    )
    try:
        first = process.stdout.readline()
        errors.seek(0)
        assert first.startswith("merit: http://"), errors.read()
        yield first.split()[1].removesuffix("/docs").rstrip("/"), process
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()
        errors.close()


def until(address, requests, key="requests"):
    """Waits until so many requests, or streams, are inside."""
    import httpx

    end = time.monotonic() + 120
    while httpx.get(f"{address}/health").json()[key] != requests:
        assert time.monotonic() < end, "the place was never freed"
        time.sleep(0.05)
