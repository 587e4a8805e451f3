"""An experiment from its runs to tables: nothing is made twice, and a crash stops no other run."""

import os
import re
import shutil

import pytest
import yaml

from speechbrain_merit.errors import SettingsError
from speechbrain_merit.evaluation.predictions import read_predictions, write_predictions
from speechbrain_merit.experiments import command, schedule
from speechbrain_merit.experiments.keeping import keep
from speechbrain_merit.experiments.plan import read_plan
from speechbrain_merit.experiments.results import KEPT
from speechbrain_merit.experiments.schedule import Places, make
from speechbrain_merit.experiments.summary import summarise
from tests.experiments.made_up import CONTENT, keep_all, rows_of, write_plan

pytestmark = pytest.mark.usefixtures("here")


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


def test_a_run_that_was_asked_for_otherwise_is_named_and_the_others_go_on(
    tmp_path, plan, trainings
):
    keep_all(plan, Places(plan), but={"se_only_Tiny_fold1_1"})
    merit = {"hparams": "hparams/merit.yaml", "lr": 0.5}
    changed = read_plan(write_plan(tmp_path, systems={**CONTENT["systems"], "merit": merit}))
    failed = make(changed, list(plan.runs))
    assert {*failed} == {name for name in plan.runs if name.startswith("merit")}
    assert all("made with another lr, and" in problem for problem in failed.values())
    # train.py would go on with what lies there, or refuse it
    assert "results/experiments/trial/merit_Tiny_fold1_1, to make" in min(failed.values())
    assert trainings.made == [("se_only_Tiny_fold1_1", False)]
    said = summarise(changed, Places(plan))  # nor do tables pass over it
    assert said == list(failed.values())
    text = (Places(plan).folder / "tables.md").read_text()
    assert "Made with other settings than the experiment has by now: 4 of its runs (merit" in text


def test_a_cascade_of_parts_that_were_made_otherwise_is_named(tmp_path, plan, trainings):
    places = Places(plan)
    keep_all(plan, places)
    for name in [name for name in plan.runs if name.startswith("se_only")]:
        shutil.rmtree(places.kept(name))
    se_only = {"hparams": "hparams/se_only.yaml", "lr": 0.5}
    changed = read_plan(write_plan(tmp_path, systems={**CONTENT["systems"], "se_only": se_only}))
    for _ in range(2):  # also when its parts are there again
        failed = make(changed, list(plan.runs))
        assert {*failed} == {name for name in plan.runs if name.startswith("cascade")}
        assert all("made with another lr of se_only, and" in text for text in failed.values())
    assert len(trainings.made) == 4


def test_a_value_of_corpus_yaml_that_changed_is_named(tmp_path, trainings):
    (tmp_path / "My-Corpus").mkdir()
    overlay = tmp_path / "My-Corpus" / "corpus.yaml"
    overlay.write_text("speeds: [0.9, 1.0]\nnumber_of_epochs: 9\n")
    plan = read_plan(write_plan(tmp_path, corpora={"Tiny": {"corpus": str(overlay.parent)}}))
    keep_all(plan, Places(plan))
    for name in plan.runs:  # one key is the experiment's own
        made_of = Places(plan).kept(name) / "hyperparams.yaml"
        made_of.write_text("speeds: [0.9, 1.0]\nnumber_of_epochs: 1\n")
    assert make(plan, list(plan.runs)) == {}
    overlay.write_text("speeds: [1.0]\nnumber_of_epochs: 8\n")
    failed = make(plan, list(plan.runs))
    assert len(failed) == len(plan.runs)
    assert all("made with another speeds, and" in problem for problem in failed.values())


@pytest.mark.parametrize("text", ["a: [1,\nb", "", "{asked}", "\u00e9"])
def test_a_broken_record_of_a_run_is_named(plan, trainings, text):
    keep_all(plan, Places(plan))
    path = Places(plan).kept("merit_Tiny_fold1_1") / "run.yaml"
    without = yaml.safe_dump({**yaml.safe_load(path.read_text()), "keys": None})
    path.write_bytes(text.replace("{asked}", without).encode("latin-1"))
    (problem,) = make(plan, list(plan.runs)).values()
    assert "run.yaml is broken: delete" in problem


def test_parts_of_parts_are_trained_again_where_networks_are_gone(tmp_path, trainings):
    systems = {
        "se_only": {"hparams": "hparams/se_only.yaml"},
        "merit": {"hparams": "hparams/merit.yaml", "start_from": "<se_only>"},
        "cascade": {"hparams": "hparams/cascade.yaml", "enhancer": "<merit>"},
    }
    plan = read_plan(write_plan(tmp_path, systems=systems))
    keep_all(plan, Places(plan), but={"cascade_Tiny_fold1_1"})
    assert make(plan, list(plan.runs)) == {}
    assert trainings.made == [
        ("se_only_Tiny_fold1_1", True),
        ("merit_Tiny_fold1_1", True),
        ("cascade_Tiny_fold1_1", False),
    ]


def test_a_part_that_is_made_anew_is_there_before_what_needs_it(tmp_path, trainings):
    # the cascade is listed first, and an older network of its part is there
    runs = [{"systems": ["cascade", "se_only"], "folds": [1], "seeds": [1]}]
    plan = read_plan(write_plan(tmp_path, runs=runs, tables=[]))
    (Places(plan).results / "se_only_Tiny_fold1_1" / "pretrained").mkdir(parents=True)
    assert make(plan, list(plan.runs), jobs=2) == {}
    assert [name for name, _ in trainings.made] == ["se_only_Tiny_fold1_1", "cascade_Tiny_fold1_1"]


@pytest.mark.parametrize("jobs", [0, -1])
def test_no_job_at_all_is_named(plan, trainings, jobs):
    with pytest.raises(SettingsError, match=f"--jobs is {jobs}: give a number of runs"):
        make(plan, list(plan.runs), jobs)


def test_a_folder_that_cannot_be_written_is_named(plan, tmp_path):
    (tmp_path / "results").write_text("a file")
    failed = make(plan, ["merit_Tiny_fold1_1"])
    assert "results/experiments/trial/merit_Tiny_fold1_1" in failed["merit_Tiny_fold1_1"]


def test_a_run_that_another_process_makes_is_left_to_it(plan, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(schedule.subprocess, "run", lambda *a, **k: pytest.fail("two in one"))
    places = Places(plan)
    places.results.mkdir(parents=True)
    with open(places.results / "merit_Tiny_fold1_1.log", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        failed = make(plan, ["merit_Tiny_fold1_1"])
    assert "another process is making it: " in failed["merit_Tiny_fold1_1"]


@pytest.mark.parametrize(
    "given, expected",
    [(None, ["0", "1", "0"]), ("2,3", ["2", "3", "2"]), ("GPU-a, GPU-b", ["GPU-a", "GPU-b"])],
)
def test_runs_stay_on_the_gpus_that_a_cluster_gave(monkeypatch, given, expected):
    monkeypatch.setattr(schedule.torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if given is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert [schedule.gpu(slot) for slot in range(len(expected))] == expected


def test_a_half_written_file_of_a_run_in_no_table_is_named(tmp_path):
    plan = read_plan(write_plan(tmp_path, tables=[]))
    keep_all(plan, Places(plan))
    file = Places(plan).kept("merit_Tiny_fold1_1") / KEPT
    file.write_bytes(file.read_bytes()[:-50])
    (said,) = summarise(plan, Places(plan))
    assert said.startswith("merit_Tiny_fold1_1: ")
    assert "| merit | task |" in (Places(plan).folder / "tables.md").read_text()


def test_a_value_of_the_systems_yaml_that_changed_is_named(plan, trainings):
    keep_all(plan, Places(plan))
    asked = Places(plan).kept("merit_Tiny_fold1_1") / "run.yaml"
    content = yaml.safe_load(asked.read_text())
    content["values"]["lr"] = 1.0
    content["values"].pop("z_weight")  # a key that came later is no change
    content["keys"]["n_jobs"] = 7  # how a run is made is none either
    asked.write_text(yaml.safe_dump(content))
    failed = make(plan, list(plan.runs))
    assert "made with another lr, and" in failed.pop("merit_Tiny_fold1_1") and not failed


def test_a_folder_of_another_run_is_named(plan, trainings):
    keep_all(plan, Places(plan))
    first, second = (Places(plan).kept(f"merit_Tiny_fold{n}_1") / "run.yaml" for n in (1, 2))
    first.write_text(second.read_text())
    failed = make(plan, list(plan.runs))
    assert "holds another run: it differs in fold" in failed["merit_Tiny_fold1_1"]


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


def test_what_is_made_quickly_stands_beside_the_rest(tmp_path, plan, trainings, monkeypatch):
    places, asked_for = Places(plan), []
    keep_all(plan, places, but={"merit_Tiny_fold2_1"})

    def train(plan, name, *others):
        asked_for.append((name, plan.runs[name].keys["quick"]))
        keep_all(plan, places, but={*plan.runs} - {name})

    monkeypatch.setattr(schedule, "train", train)
    some = str(tmp_path)
    assert command.run([str(plan.file), "--shared", some, "--quick", "True"]) == 0
    assert asked_for == [("merit_Tiny_fold2_1", True)]
    assert make(plan, list(plan.runs)) == {}  # finished, whichever way it was made
    with pytest.raises(SettingsError, match="leave --only, --jobs and --quick out"):
        command.run([str(plan.file), "--from_predictions", "True", "--quick", "True"])


def test_the_command_makes_tables_without_training(tmp_path, plan, trainings, monkeypatch, capsys):
    monkeypatch.setattr("speechbrain_merit.experiments.summary.DOCUMENT", tmp_path / "none.md")
    keep_all(plan, Places(plan))
    assert command.run([str(plan.file), "--from_predictions", "True"]) == 0
    assert trainings.made == [] and "| F1-macro |" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command.main(["nowhere.yaml"])
    assert "nowhere.yaml cannot be read" in capsys.readouterr().err
