"""Where experiments of tests lie, and runs that are made without training."""

import pytest

from speechbrain_merit.experiments import schedule
from speechbrain_merit.experiments.plan import read_plan
from tests.experiments.made_up import keep_all, write_plan


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Results lie where the command is called."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def plan(tmp_path):
    """Of three systems, two folds, two seeds."""
    return read_plan(write_plan(tmp_path))


@pytest.fixture
def trainings(monkeypatch):
    """Runs that are made without training; the list of those that were asked for."""
    made = []

    def train(plan, name, places, slot=0, jobs=1, again=False):
        made.append((name, again))
        if name in train.crashes:
            return "out of memory"
        (places.results / name / "pretrained").mkdir(parents=True, exist_ok=True)
        if not again:
            keep_all(plan, places, but={*plan.runs} - {name})
        return None

    train.crashes = set()
    monkeypatch.setattr(schedule, "train", train)
    made_by = type("Trainings", (list,), {})
    trainings = made_by(made)
    trainings.crashes, trainings.made = train.crashes, made
    return trainings
