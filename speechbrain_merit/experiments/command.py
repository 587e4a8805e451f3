"""``experiments.py``: makes the runs of a plan, then tables, figures and page of what is there."""

import argparse
import re
import sys
from pathlib import Path

from speechbrain_merit.errors import SettingsError, ends_in_a_line
from speechbrain_merit.experiments.plan import read_plan
from speechbrain_merit.experiments.schedule import Places, make
from speechbrain_merit.experiments.summary import summarise


def main(arguments=None, description=None):
    """Runs a command line; what a user can mend ends it in one line, a run that failed in 1."""
    with ends_in_a_line("experiments.py"):
        sys.exit(run(arguments, description))


def run(arguments=None, description=None):
    """The work of a command line; returns the exit code."""
    options = parser(description).parse_args(arguments)
    making = options.only or options.jobs is not None or options.quick == "True"
    if options.from_predictions == "True" and making:
        raise SettingsError(
            "--from_predictions True trains nothing: leave --only, --jobs and --quick out."
        )
    plan = read_plan(options.file, options.shared)
    places, failed = Places(plan), {}
    if options.from_predictions == "False":
        if not Path(plan.shared).is_dir():  # else each run would say so, one after the other
            raise SettingsError(
                f"--shared: there is no folder {plan.shared}: give the one that holds corpora, "
                "noise and encoders."
            )
        asked = quickly(plan) if options.quick == "True" else plan
        failed = make(asked, share(plan, options.only), options.jobs)
    for line in summarise(plan, places):
        print(line)
    print((places.folder / "tables.md").read_text(encoding="utf-8"))
    for name, problem in failed.items():
        print(f"{name} failed: {problem}", file=sys.stderr)
    return 1 if failed else 0


def parser(description=None):
    """The command line."""
    made = argparse.ArgumentParser(
        "experiments.py",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("file", help="the YAML of the experiment")
    made.add_argument("--shared", help="folder of corpora, noise and encoders, for <shared>")
    made.add_argument("--only", metavar="I/N", help="job I of N: its share of the runs")
    made.add_argument("--jobs", type=int, help="runs at a time; one a GPU, or one")
    made.add_argument(
        "--quick",
        choices=["True", "False"],
        default="False",
        help="leave PESQ and STOI out of what is made now: most of the time of scoring",
    )
    made.add_argument(
        "--from_predictions",
        choices=["True", "False"],
        default="False",
        help="train nothing: tables of the runs that are there",
    )
    return made


def quickly(plan):
    """A plan whose runs are scored without PESQ and STOI; finished ones stay what they are.

    Example
    -------
    >>> from speechbrain_merit.experiments.plan import Plan, Run
    >>> run = Run("merit", "c", None, 1, "", {"lr": 0.1}, {})
    >>> quickly(Plan(None, "x", "", {"a": run}, [], [])).runs["a"].keys
    {'lr': 0.1, 'quick': True}
    """
    runs = {n: run._replace(keys={**run.keys, "quick": True}) for n, run in plan.runs.items()}
    return plan._replace(runs=runs)


def share(plan, only):
    """The names of the runs of one job; a cascade stays with what it is made of.

    Example
    -------
    >>> from speechbrain_merit.experiments.plan import Plan, Run
    >>> runs = {n: Run(n, "c", None, 1, "", {}, {}) for n in "abc"}
    >>> runs["d"] = Run("d", "c", None, 1, "", {}, {"a": "a"})
    >>> share(Plan(None, "x", "", runs, [], []), "1/3")
    ['a', 'd']
    """
    if only is None:
        return list(plan.runs)
    found = re.fullmatch(r"(\d+)/(\d+)", only)
    job, jobs = map(int, found.groups()) if found else (0, 0)
    if not 1 <= job <= jobs:
        raise SettingsError(f"--only is {only}: give I/N, as 1/3 for the first of three jobs.")
    group = {}  # run → the first of those it belongs together with
    for name, run in plan.runs.items():
        members = {group.get(need, need) for need in run.needs.values()} | {name}
        head = min(members, key=list(plan.runs).index)
        group = {n: head if h in members else h for n, h in group.items()}
        group |= {member: head for member in members}
    heads = sorted({*group.values()}, key=list(plan.runs).index)
    return [name for name in plan.runs if heads.index(group[name]) % jobs == job - 1]
