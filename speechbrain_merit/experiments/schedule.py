"""Makes the runs of a plan: those that are not there yet, each when what it needs is there."""

import os
import subprocess
import sys
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

import torch
import yaml

from speechbrain_merit.errors import SettingsError
from speechbrain_merit.evaluation.parallel import processes
from speechbrain_merit.experiments.keeping import check_kept, is_finished, keep
from speechbrain_merit.experiments.plan import ROOT, resolve

try:
    import fcntl
except ImportError:  # of Windows there is none
    fcntl = None

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
        Run → why it could not be made, or is not what is asked for by now; empty where all are
        there.
    """
    places, failed, running = Places(plan), {}, {}
    jobs = max(1, torch.cuda.device_count()) if jobs is None else jobs
    if jobs < 1:
        raise SettingsError(f"--jobs is {jobs}: give a number of runs, 1 or more.")
    for name in names:
        try:
            check_kept(places, plan.runs[name], plan)
        except SettingsError as error:  # the finished run stays, and the others go on
            failed[name] = str(error)
    finished = {name for name in plan.runs if is_finished(places.kept(name))}
    waiting = {name for name in names if name not in finished and name not in failed}
    trained = {n for n in plan.runs if (places.results / n / "pretrained").is_dir()} - waiting
    # of what is finished, the network may be gone, and is trained again where it is needed
    sought = list(waiting)
    while sought:
        needs = {*plan.runs[sought.pop()].needs.values()} - waiting - trained - {*failed}
        waiting |= needs
        sought += needs
    waiting = [name for name in plan.runs if name in waiting]
    print(f"{plan.name}: {len(waiting)} of {len(names)} runs are to be made.", flush=True)
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
                try:
                    problem = future.result()
                except OSError as error:  # the folder or the log cannot be written
                    problem = str(error)
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
        environment["CUDA_VISIBLE_DEVICES"] = gpu(slot)
    elif jobs > 1:
        environment.setdefault("OMP_NUM_THREADS", str(max(1, processes(-1) // jobs)))
    results.mkdir(parents=True, exist_ok=True)
    log = results.parent / f"{name}.log"
    with open(log, "a", encoding="utf-8") as file:
        if not locked(file):
            return f"another process is making it: {log}"
        print(f"{name} starts: {log}", flush=True)
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


def locked(file):
    """Takes a run's log for this process and the training that writes it, until both are over."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def gpu(slot):
    """The GPU of a slot, of those that this process may use: a cluster may have given some."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    mine = given.split(",") if given else list(map(str, range(torch.cuda.device_count())))
    return mine[slot % len(mine)].strip()


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
