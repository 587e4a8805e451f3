"""Speed and memory of a pretrained model: python benchmarks/inference.py [--hour] [--jobs N].

Prints the real-time factor (seconds of processor time for a second of sound) of joint analysis, of
the emotion alone and of enhancement alone on one core; the time to the first result of a fresh
process, beside what importing speechbrain and transformers alone takes; and, with --hour, time and
largest memory of ``merit analyse`` on ten minutes and on an hour; and, with --jobs, recordings an
hour of one process with one thread and of N, by the clock, so that nothing else should run.
Processor time elsewhere, so that what else runs on the machine changes little.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 60
REPEATS = 5
RECORDINGS = 60  # that several processes share
BASELINE = "import speechbrain, transformers"
FIRST = """
import torch
from speechbrain_merit.inference import MeritInterface
merit = MeritInterface.from_hparams({model!r}, run_opts={{"device": "cpu"}})
merit.analyse_batch(0.1 * torch.randn(1, 48000))
"""


def speech_like(seconds, rate=16000):
    """Modulated noise bands: as much work as speech of that length."""
    import numpy as np

    rng = np.random.default_rng(0)
    time_ = np.arange(seconds * rate) / rate
    carrier = np.cumsum(rng.standard_normal(len(time_))) % 1 - 0.5
    return (0.1 * carrier * (1 + np.sin(2 * np.pi * 4 * time_))).astype(np.float32)


def real_time_factors(model):
    """Prints the real-time factors on one core."""
    import torch

    from speechbrain_merit.inference import MeritInterface

    torch.set_num_threads(1)
    merit = MeritInterface.from_hparams(model, run_opts={"device": "cpu"})
    wavs = torch.from_numpy(speech_like(SECONDS))[None]
    tasks = {
        "joint analysis": merit.analyse_batch,
        "emotion alone": merit.classify_batch,
        "enhancement alone": merit.enhance_batch,
    }
    for name, work in tasks.items():
        work(wavs)  # warms up
        best = min(timed(work, wavs) for _ in range(REPEATS))
        print(f"{name:20}{best / SECONDS:.4f} s of processor time a second of sound", flush=True)


def timed(work, *arguments):
    """Processor seconds of a call."""
    start = time.process_time()
    work(*arguments)
    return time.process_time() - start


def fresh(code):
    """Processor seconds and largest memory in MB of a fresh Python that runs some code."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    command = code if isinstance(code, list) else [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{command} failed"
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def first_result(model):
    """Prints the time to the first result."""
    alone = min(fresh(BASELINE)[0] for _ in range(REPEATS))
    whole = min(fresh(FIRST.format(model=str(model)))[0] for _ in range(REPEATS))
    print(f"first result        {whole - alone:.2f} s after the {alone:.2f} s of {BASELINE}")


def long_recordings(model):
    """Prints time and memory of ten minutes and of an hour."""
    import soundfile as sf

    minute = speech_like(60)
    for minutes in (10, 60):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "long.wav"
            with sf.SoundFile(path, "w", 16000, 1) as file:
                for _ in range(minutes):
                    file.write(minute)
            start = time.perf_counter()
            seconds, memory = fresh(
                [*(sys.executable, "-m", "speechbrain_merit", "analyse", str(path)),
                 *("--model", str(model), "--out", folder, "--device", "cpu")]
            )  # fmt: skip
            wall = time.perf_counter() - start
        print(
            f"{minutes:3} minutes         {seconds:.0f} s of processor time, {wall:.0f} s by the "
            f"clock, at most {memory:.0f} MB",
            flush=True,
        )


def several_processes(model, jobs):
    """Prints recordings of ten seconds an hour, of one process and of several."""
    import soundfile as sf

    sound, rates = speech_like(10), []
    with tempfile.TemporaryDirectory() as folder:
        for index in range(RECORDINGS):
            sf.write(Path(folder) / f"{index}.wav", sound, 16000)
        for count in (1, jobs):
            # in each one thread; the first recording, and those of the start, are not counted
            environment = {**os.environ, "OMP_NUM_THREADS": str(count), "HF_HUB_OFFLINE": "1"}
            taken = []
            for part in (count, RECORDINGS):
                paths = [str(Path(folder) / f"{index}.wav") for index in range(part)]
                start = time.perf_counter()
                subprocess.run(
                    [*(sys.executable, "-m", "speechbrain_merit", "analyse", *paths),
                     *("--model", str(model), "--out", f"{folder}/{count}_{part}"),
                     *("--device", "cpu", "--jobs", str(count))],
                    cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=True,
                )  # fmt: skip
                taken.append(time.perf_counter() - start)
            rates.append(3600 * (RECORDINGS - count) / (taken[1] - taken[0]))
            print(
                f"{count} processes         {rates[-1]:.0f} recordings of 10 s an hour", flush=True
            )
    print(f"gain                {rates[1] / rates[0]:.2f} ×")


def main():
    """Measures what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a pretrained folder (default: the one that ships)")
    parser.add_argument("--hour", action="store_true", help="long recordings too")
    parser.add_argument("--jobs", type=int, help="several processes too")
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    os.environ["HF_HUB_OFFLINE"] = "1"
    from speechbrain_merit.export.loading import shipped_model

    model = Path(arguments.model or shipped_model()).resolve()
    first_result(model)
    real_time_factors(model)
    if arguments.hour:
        long_recordings(model)
    if arguments.jobs:
        several_processes(model, arguments.jobs)


if __name__ == "__main__":
    main()
