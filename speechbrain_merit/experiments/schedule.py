"""Makes the runs of a plan: those that are not there yet, each when what it needs is there."""

import os
import subprocess
import sys
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

import torch
import yaml

from speechbrain_merit.evaluation.parallel import processes
from speechbrain_merit.experiments.keeping import check_kept, is_finished, keep
from speechbrain_merit.experiments.plan import ROOT, resolve

LOG_LINES = 3  # of a run that failed, in what is said about it


class Places:
    """Where an experiment's things lie: ``kept`` is committed, ``results`` is not.

    Arguments
    ---------
    plan : Plan
        The experiment.
    """

    def __init__(self, plan):
        self.folder = Path("experiments") / plan.name
        self.results = Path("results", "experiments", plan.name)

    def kept(self, name):
        """The folder of what outlasts a run."""
        return self.folder / "runs" / name


def make(plan, names, jobs=None):
    """Makes runs of a plan, several at a time, and keeps what they are to leave.

    Arguments
    ---------
    plan : Plan
        The experiment.
    names : list of str
        Of the runs that are wanted; what they need is made as well.
    jobs : int, optional
        Runs at a time: as many as there are GPUs unless given, and 1 without any.

    Returns
    -------
    dict
        Run → why it could not be made; empty where all are there.
    """
    places, gpus = Places(plan), torch.cuda.device_count()
    for name in names:
        check_kept(places.kept(name), plan.runs[name])
    finished = {name for name in plan.runs if is_finished(places.kept(name))}
    waiting = [name for name in names if name not in finished]
    # of what is finished, the network may be gone, and is trained again where it is needed
    parts = {need for name in waiting for need in plan.runs[name].needs.values()}
    trained = {name for name in parts if (places.results / name / "pretrained").is_dir()}
    waiting = [n for n in plan.runs if n in {*waiting, *(parts - trained)}]
    print(f"{plan.name}: {len(waiting)} of {len(names)} runs are to be made.", flush=True)
    failed, running = {}, {}
    jobs = jobs or max(1, gpus)
    free = list(range(jobs))
    with ThreadPoolExecutor(len(free)) as pool:
        while waiting or running:
            for name in list(waiting):
                needs = plan.runs[name].needs.values()
                lost = [need for need in needs if need in failed]
                if lost:
                    failed[name] = f"needs {', '.join(lost)}"
                    waiting.remove(name)
                elif free and trained.issuperset(needs):
                    slot = free.pop(0)
                    again = name in finished
                    future = pool.submit(train, plan, name, places, slot, jobs, again)
                    running[future] = name, slot
                    waiting.remove(name)
            if not running:
                continue
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name, slot = running.pop(future)
                free.append(slot)
                problem = future.result()
                if problem is None:
                    trained.add(name)
                else:
                    failed[name] = problem
                    print(f"{name} failed", flush=True)
    return failed


def train(plan, name, places, slot=0, jobs=1, again=False):
    """Makes one run in a process of its own; returns why it failed, or None.

    Arguments
    ---------
    plan, name, places
        As of :func:`make`.
    slot : int
        The GPU, where there are any.
    jobs : int
        Runs that share this machine's cores.
    again : bool
        The network alone is wanted: it is not scored, and nothing is kept.
    """
    run, results = plan.runs[name], places.results / name
    command = command_of(plan, run, results) + (["--skip_test", "True"] if again else [])
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if torch.cuda.is_available():
        environment["CUDA_VISIBLE_DEVICES"] = str(slot)
    elif jobs > 1:
        environment.setdefault("OMP_NUM_THREADS", str(max(1, processes(-1) // jobs)))
    results.mkdir(parents=True, exist_ok=True)
    log = results.parent / f"{name}.log"
    print(f"{name} starts: {log}", flush=True)
    with open(log, "a", encoding="utf-8") as file:
        ended = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
    if ended.returncode != 0:
        lines = log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n").split("\n")
        return " / ".join([line for line in lines if line.strip()][-LOG_LINES:])
    if not again:
        try:
            keep(results, places.kept(name), run, plan)
        except Exception as error:  # whatever it is, the other runs go on
            return f"its results cannot be kept: {error}"
    print(f"{name} is finished", flush=True)
    return None


def command_of(plan, run, results):
    """The command line of a run."""
    others = {system: results.parent / name for system, name in run.needs.items()}
    keys = resolve(run.keys, {"shared": plan.shared, **others})
    keys["output_folder"] = str(results)
    words = [f"--{key}={word(value)}" for key, value in keys.items()]
    return [sys.executable, str(ROOT / "train.py"), str(ROOT / run.hparams), *words]


def word(value):
    """A value as an argument.

    Example
    -------
    >>> word({"seen": "noise/a"}), word(None), word(True), word([-5, 5])
    ('{seen: noise/a}', 'null', 'True', '[-5, 5]')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value)
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
