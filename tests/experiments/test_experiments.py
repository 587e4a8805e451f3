"""An experiment from its runs to tables: nothing is made twice, and a crash stops no other run."""

import os
import re

import pytest
import yaml

from speechbrain_merit.errors import SettingsError
from speechbrain_merit.evaluation.comparison import Change
from speechbrain_merit.evaluation.predictions import read_predictions, write_predictions
from speechbrain_merit.experiments import command, schedule
from speechbrain_merit.experiments.keeping import keep
from speechbrain_merit.experiments.plan import read_plan
from speechbrain_merit.experiments.results import KEPT
from speechbrain_merit.experiments.schedule import Places, make
from speechbrain_merit.experiments.summary import summarise
from speechbrain_merit.experiments.tables import reached
from tests.experiments.made_up import keep_all, rows_of, write_plan


@pytest.fixture(autouse=True)
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
        (places.results / name / "pretrained").mkdir(parents=True)
        if not again:
            keep_all(plan, places, but={*plan.runs} - {name})
        return None

    train.crashes = set()
    monkeypatch.setattr(schedule, "train", train)
    made_by = type("Trainings", (list,), {})
    trainings = made_by(made)
    trainings.crashes, trainings.made = train.crashes, made
    return trainings


def test_finished_runs_are_not_made_again(plan, trainings):
    keep_all(plan, Places(plan), but={"merit_Tiny_fold2_2"})
    assert make(plan, list(plan.runs)) == {}
    assert trainings.made == [("merit_Tiny_fold2_2", False)]
    assert make(plan, list(plan.runs)) == {}
    assert len(trainings.made) == 1


def test_a_part_whose_network_is_gone_is_trained_again_and_not_scored(plan, trainings):
    keep_all(plan, Places(plan), but={"cascade_Tiny_fold1_1"})
    assert make(plan, list(plan.runs)) == {}
    assert trainings.made == [("se_only_Tiny_fold1_1", True), ("cascade_Tiny_fold1_1", False)]


def test_a_crash_is_named_and_the_others_go_on(plan, trainings):
    trainings.crashes.add("se_only_Tiny_fold1_1")
    failed = make(plan, list(plan.runs), jobs=2)
    assert failed == {
        "se_only_Tiny_fold1_1": "out of memory",
        "cascade_Tiny_fold1_1": "needs se_only_Tiny_fold1_1",
    }
    assert len({name for name, _ in trainings.made}) == len(plan.runs) - 1
    trainings.crashes.clear()
    trainings.made.clear()
    assert make(plan, list(plan.runs)) == {}
    assert {name for name, _ in trainings.made} == {*failed}


def test_a_half_written_file_is_made_again_and_named(plan, trainings, caplog):
    places = Places(plan)
    keep_all(plan, places)
    file = places.kept("merit_Tiny_fold1_1") / KEPT
    file.write_bytes(file.read_bytes()[:-50])
    wanting = summarise(plan, places)
    assert len(wanting) == 1 and wanting[0].startswith("merit_Tiny_fold1_1: ")
    assert make(plan, list(plan.runs)) == {}
    assert trainings.made == [("merit_Tiny_fold1_1", False)]
    assert summarise(plan, places) == []


@pytest.mark.parametrize("changes", [{"keys": {"number_of_epochs": 2, "encoder": "x"}}])
def test_a_run_that_was_asked_for_otherwise_is_named(tmp_path, plan, trainings, changes):
    keep_all(plan, Places(plan))
    with pytest.raises(SettingsError, match="another encoder, number_of_epochs"):
        make(read_plan(write_plan(tmp_path, **changes)), list(plan.runs))
    assert trainings.made == []


def test_a_value_of_the_systems_yaml_that_changed_is_named(plan, trainings):
    keep_all(plan, Places(plan))
    asked = Places(plan).kept("merit_Tiny_fold1_1") / "run.yaml"
    content = yaml.safe_load(asked.read_text())
    content["values"]["lr"] = 1.0
    content["values"].pop("z_weight")  # a key that came later is no change
    content["keys"]["n_jobs"] = 7  # how a run is made is none either
    asked.write_text(yaml.safe_dump(content))
    with pytest.raises(SettingsError, match="made with another lr, and"):
        make(plan, list(plan.runs))


def test_a_folder_of_another_run_is_named(plan, trainings):
    keep_all(plan, Places(plan))
    first, second = (Places(plan).kept(f"merit_Tiny_fold{n}_1") / "run.yaml" for n in (1, 2))
    first.write_text(second.read_text())
    with pytest.raises(SettingsError, match="holds another run: it differs in fold"):
        make(plan, list(plan.runs))


def test_what_is_kept_names_no_place_of_this_machine(tmp_path, plan):
    name = "merit_Tiny_fold1_1"
    results = Places(plan).results / name
    (results / "evaluation").mkdir(parents=True)
    header, rows = rows_of(plan.runs[name], 0.5, 1.0)
    header["summary"] |= {"command": f"python {tmp_path}/x", "encoder": "some/where/encoder"}
    write_predictions(results / "evaluation" / "predictions.jsonl", header, rows)
    home = os.path.expanduser("~")
    text = f"# Made from {tmp_path}/x.yaml\nencoder: some/where/encoder\nhome: {home}/a\n"
    (results / "hyperparams.yaml").write_text(text)
    (results / "train_log.txt").write_text("epoch: 1 - train loss: 1\n")
    keep(results, Places(plan).kept(name), plan.runs[name], plan)
    folder = Places(plan).kept(name)
    kept = (folder / "hyperparams.yaml").read_text()
    assert "encoder: <shared>/encoder" in kept and "home: ~/a" in kept
    header, found = read_predictions(folder / KEPT)
    assert header["summary"]["encoder"] == "<shared>/encoder"
    every = kept + str(header) + (folder / "run.yaml").read_text()
    assert not re.search(r"(?<![<>\w.~])/(home|root|tmp|work|usr)\b", every)
    found = list(found)
    assert len(found) == len(rows)
    assert found[0]["scores"]["ssnr"] == pytest.approx(rows[0]["scores"]["ssnr"], abs=5e-4)


def test_tables_hold_the_scores_and_the_changes(plan, tmp_path):
    places = Places(plan)
    keep_all(plan, places)
    document = tmp_path / "RESULTS.md"
    document.write_text("# Results\n<!-- trial Folds -->\nstale\n<!-- end -->\nThe rest.\n")
    assert summarise(plan, places, document) == []
    text = document.read_text()
    assert text.startswith("# Results\n<!-- trial Folds -->\n| F1-macro | clean | unseen, −5 dB")
    assert text.endswith("<!-- end -->\nThe rest.\n") and "stale" not in text
    rows = {
        line.split(" | ")[0][2:]: line.split(" | ") for line in text.splitlines() if "|" in line
    }
    f1 = re.search(r"\| merit \| ([\d.]+) ± ([\d.]+) \|", text)
    assert float(f1[1]) == pytest.approx(0.9, abs=0.06)
    gains = [
        line for line in text.splitlines() if line.startswith("| gain in segmental SNR (dB), un")
    ]
    change = re.search(
        r"merit \| 4.0\d \| cascade \| (\S+) \| \+(\S+) % \[\+(\S+), \+(\S+)\]", gains[0]
    )
    assert float(change[2]) == pytest.approx(100 / 3, abs=2)
    assert float(change[3]) < float(change[2]) < float(change[4])
    goal = r"merit above cascade \| \+{} % \| \+3[\d.]+ % \[[^|]+\] \| {} \|\n"
    assert re.search(goal.format("28.0", "yes"), text)  # 4 dB against 3
    assert re.search(goal.format("40.0", "no"), text)
    assert rows and (places.folder / "summary.html").read_text().count("<img") >= 3
    again = document.read_bytes(), (places.folder / "tables.md").read_bytes()
    summarise(plan, places, document)
    assert (document.read_bytes(), (places.folder / "tables.md").read_bytes()) == again


def test_a_goal_is_met_where_the_interval_excludes_zero():
    asked = {"change": 10.0}
    change = Change(1.2, 1.0, 0.2, 0.1, 0.3, 0.01, None, 5)
    assert reached(change, asked) == "yes" and reached(change, {"change": 21.0}) == "no"
    assert reached(change._replace(low=-0.01), asked) == "no: the interval holds 0"


def test_what_is_not_there_is_said_and_the_rest_is_shown(plan, tmp_path):
    places = Places(plan)
    keep_all(plan, places, but={"merit_Tiny_fold2_2"})
    assert summarise(plan, places, tmp_path / "none.md") == ["merit_Tiny_fold2_2 is not there yet"]
    assert (
        "Not there yet: 1 of its runs (merit_Tiny_fold2_2)"
        in (places.folder / "tables.md").read_text()
    )


@pytest.mark.parametrize(
    "text, message",
    [
        ("<!-- trial Folds -->\n", "there is no <!-- end -->"),
        ("<!-- trial No -->", "a place for 'No'"),
    ],
)
def test_a_document_with_a_broken_mark_is_named(plan, tmp_path, text, message):
    keep_all(plan, Places(plan))
    (tmp_path / "RESULTS.md").write_text(text)
    with pytest.raises(SettingsError, match=message):
        summarise(plan, Places(plan), tmp_path / "RESULTS.md")
    assert (tmp_path / "RESULTS.md").read_text() == text


def test_the_command_makes_tables_without_training(tmp_path, plan, trainings, monkeypatch, capsys):
    monkeypatch.setattr("speechbrain_merit.experiments.summary.DOCUMENT", tmp_path / "none.md")
    keep_all(plan, Places(plan))
    assert command.run([str(plan.file), "--from_predictions", "True"]) == 0
    assert trainings.made == [] and "| F1-macro |" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command.main(["nowhere.yaml"])
    assert "nowhere.yaml cannot be read" in capsys.readouterr().err
