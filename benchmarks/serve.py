"""``merit serve`` under load: python benchmarks/serve.py [--model DIR] [--clients 1 8 32].

Starts the service, and lets so many clients send recordings of two to twelve seconds, each as soon
as its last was answered. Each client has its own recordings and checks every answer against what
the interface says of them, so that nobody gets another's. Prints answers a second, seconds of sound
a second, the service's processor time for a second of sound, which other work on the machine
changes little, and the time to an answer: median and 99th percentile.
"""

import argparse
import io
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import httpx
import numpy as np
import soundfile as sf
import torch
from measure import machine

from speechbrain_merit.export.loading import shipped_model
from speechbrain_merit.inference import MeritInterface

RATE = 16000
KINDS = 16  # of recordings; each client begins with another
TOLERANCE = 2e-3  # of probabilities: batches round otherwise, and answers have four digits


def recordings():
    """Seconds and FLAC of modulated noise bands, as much work as speech."""
    for seed in range(KINDS):
        rng = np.random.default_rng(seed)
        seconds = 2 + 10 * seed / KINDS
        moment = np.arange(int(seconds * RATE)) / RATE
        carrier = np.cumsum(rng.standard_normal(len(moment))) % 1 - 0.5
        file = io.BytesIO()
        sf.write(file, 0.1 * carrier * (1 + np.sin(2 * np.pi * 4 * moment)), RATE, format="FLAC")
        yield seconds, file.getvalue()


def expected(model, sounds):
    """What the interface says of each recording."""
    merit = MeritInterface.from_hparams(model)
    waves = [sf.read(io.BytesIO(content), dtype="float32")[0] for _, content in sounds]
    return [merit.analyse_batch(torch.from_numpy(wave)[None])[0].to_dict() for wave in waves]


def wrong(answer, truth):
    """Whether an answer is another recording's."""
    same = all(answer[key] == truth[key] for key in ("duration", "emotion"))
    near = all(
        abs(answer["probabilities"][name] - value) < TOLERANCE
        for name, value in (truth["probabilities"] or {}).items()
    )
    close = abs((answer["snr_db"] or 0) - (truth["snr_db"] or 0)) < 0.05
    return not (same and near and close)


def client(number, address, sounds, truths, end, taken, faults):
    """Sends recordings until the time is over."""
    with httpx.Client(timeout=600) as connection:
        turn = number
        while time.perf_counter() < end:
            (seconds, content), truth = sounds[turn % KINDS], truths[turn % KINDS]
            start = time.perf_counter()
            files = {"file": ("a.flac", content)}
            answer = connection.post(f"{address}/analyse", files=files)
            if answer.status_code != 200 or wrong(answer.json(), truth):
                faults.append(answer.text[:200])
            taken.append((time.perf_counter() - start, seconds))
            turn += 1


def processor_seconds(process):
    """What a process has used so far (Linux)."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # user, system


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a pretrained folder (default: the one that ships)")
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=30, help="of each load")
    options = parser.parse_args()
    model = str(options.model or shipped_model())
    sounds = list(recordings())
    truths = expected(model, sounds)
    print(machine(), end="\n\n")
    print(
        "| clients | answers | wrong | answers a second | sound a second (s) "
        "| processor time a second of sound (s) | p50 (s) | p99 (s) |"
    )
    print("| --- " * 8 + "|")
    command = [sys.executable, "-m", "speechbrain_merit", "serve", "--port", "0", "--model", model]
    root = Path(__file__).resolve().parents[1]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            command, cwd=root, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        address = process.stdout.readline().split()[1].removesuffix("/docs")
        for count in options.clients:
            taken, faults, start = [], [], time.perf_counter()
            used = processor_seconds(process)
            given = address, sounds, truths, start + options.seconds, taken, faults
            threads = [threading.Thread(target=client, args=(n, *given)) for n in range(count)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            whole = time.perf_counter() - start
            times, sound = [one for one, _ in taken], sum(seconds for _, seconds in taken)
            used = processor_seconds(process) - used
            print(
                f"| {count} | {len(taken)} | {len(faults)} | {len(taken) / whole:.2f} "
                f"| {sound / whole:.1f} | {used / sound:.3f} "
                f"| {np.percentile(times, 50):.2f} | {np.percentile(times, 99):.2f} |",
                flush=True,
            )
            for fault in faults[:3]:
                print(fault, file=sys.stderr)
        process.terminate()


if __name__ == "__main__":
    main()
