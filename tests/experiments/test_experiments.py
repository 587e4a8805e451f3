"""An experiment from its runs to tables: nothing is made twice, and a crash stops no other run."""

import os
import re
import shutil

import pytest
import yaml

from speechbrain_merit.errors import SettingsError
from speechbrain_merit.evaluation.comparison import Change
from speechbrain_merit.evaluation.predictions import read_predictions, write_predictions
from speechbrain_merit.experiments import command, schedule
from speechbrain_merit.experiments.figures import against_snr, style
from speechbrain_merit.experiments.keeping import keep
from speechbrain_merit.experiments.plan import read_plan
from speechbrain_merit.experiments.results import KEPT, Results
from speechbrain_merit.experiments.schedule import Places, make
from speechbrain_merit.experiments.summary import summarise
from speechbrain_merit.experiments.tables import out_of_reach, reached
from tests.experiments.made_up import CONTENT, keep_all, rows_of, write_plan


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


def test_a_condition_that_no_run_was_scored_under_is_named(plan, tmp_path):
    tables = yaml.safe_load(yaml.safe_dump(CONTENT["tables"]))
    tables[0]["claims"] = [["unsen", -5], "clean"]
    places = Places(plan)
    keep_all(plan, places)
    (said,) = summarise(read_plan(write_plan(tmp_path, tables=tables)), places)
    assert said == "Folds: no run that is there was scored under unsen, −5 dB"
    assert "| F1-macro, clean | merit |" in (places.folder / "tables.md").read_text()


def test_a_table_says_where_no_p_can_be_small():
    change = Change(1.2, 1.0, 0.2, 0.1, 0.3, 0.03125, None, 5, 6)
    assert out_of_reach([change]) == ""
    text = out_of_reach([change, change, change._replace(p=None)])
    assert "Of 6 speakers no p is below 0.031, and of 2 comparisons none below 0.062" in text


def test_two_baselines_compared_either_way_are_one_test(plan, tmp_path):
    places = Places(plan)
    keep_all(plan, places)
    tables = yaml.safe_load(yaml.safe_dump(CONTENT["tables"]))
    tables[0] |= {"metrics": ["ssnr_gain"], "systems": ["merit", "cascade"], "goals": []}
    corrected = []
    for baselines in (["cascade"], ["cascade", "merit"]):
        tables[0]["baselines"] = baselines
        summarise(read_plan(write_plan(tmp_path, tables=tables)), places)
        text = (places.folder / "tables.md").read_text()
        rows = [line.split(" | ") for line in text.splitlines() if " | cascade | " in line]
        corrected.append([row[-2] for row in rows if len(row) == 9])
    assert corrected == [corrected[0], corrected[0] * 2]


def test_claims_are_made_of_the_systems_and_metrics_that_are_named(plan, tmp_path):
    places = Places(plan)
    keep_all(plan, places)
    tables = yaml.safe_load(yaml.safe_dump(CONTENT["tables"]))
    tables[0] |= {"claim_systems": ["merit"], "claim_metrics": ["ssnr_gain"], "goals": []}
    summarise(read_plan(write_plan(tmp_path, tables=tables)), places)
    lines = (places.folder / "tables.md").read_text().splitlines()
    claims = [line for line in lines if " | cascade | " in line and line.count("|") == 10]
    assert [line.split(" | ")[:2] for line in claims] == [
        ["| gain in segmental SNR (dB), unseen, −5 dB", "merit"]
    ]
    assert any(line.startswith("| F1-macro | clean |") for line in lines)  # scores stay


def test_a_table_of_some_folds_holds_no_others(plan, tmp_path):
    places = Places(plan)
    keep_all(plan, places, but={"merit_Tiny_fold2_2", "cascade_Tiny_fold1_1"})
    tables = yaml.safe_load(yaml.safe_dump(CONTENT["tables"]))
    tables[0]["folds"] = [1]
    summarise(read_plan(write_plan(tmp_path, tables=tables)), places)
    text = (places.folder / "tables.md").read_text()
    assert "Not there yet: 1 of its runs (cascade_Tiny_fold1_1)" in text
    assert "speakers)" not in text  # all of them heard the same six
    results = Results(plan, tables[0], places.kept)
    assert {system: results.n_speakers(system) for system in results.systems} == {
        "merit": 6,
        "se_only": 6,
        "cascade": 6,
    }


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


def test_a_run_that_heard_other_mixtures_is_named(plan):
    places = Places(plan)
    keep_all(plan, places)
    path = places.kept("se_only_Tiny_fold2_1") / KEPT
    header, rows = read_predictions(path)
    rows = list(rows)
    rows[-1]["scores"]["ssnr_noisy"] += 0.1
    write_predictions(path, header, rows)
    (said,) = summarise(plan, places)
    assert said.startswith("se_only_Tiny_fold2_1: ") and rows[-1]["id"] in said
    assert "speech or noise have changed under their names" in said


@pytest.mark.parametrize("shares", [[1.0], [1.0, 1.0]], ids=["single", "dense"])
def test_experts_that_nobody_chooses_tell_nothing_of_what_they_hear(plan, shares):
    places = Places(plan)
    keep_all(plan, places)
    path = places.kept("merit_Tiny_fold1_1") / KEPT
    header, rows = read_predictions(path)
    rows = [{**row, "experts": {"se": shares, "ser": shares}} for row in rows]
    write_predictions(path, {**header, "n_experts": len(shares)}, rows)
    uses = Results(plan, CONTENT["tables"][0], places.kept).uses
    assert not uses["merit_Tiny_fold1_1"] and uses["merit_Tiny_fold2_1"]


def test_speakers_without_a_metric_are_not_counted(plan, tmp_path):
    places = Places(plan)
    keep_all(plan, places)
    for name in ("merit_Tiny_fold2_1", "cascade_Tiny_fold1_2", "cascade_Tiny_fold2_2"):
        header, rows = read_predictions(places.kept(name) / KEPT)
        rows = [{**row, "scores": {**row["scores"], "pesq": None}} for row in rows]
        write_predictions(places.kept(name) / KEPT, header, rows)
    tables = yaml.safe_load(yaml.safe_dump(CONTENT["tables"]))
    tables[0]["metrics"] = ["ssnr_gain", "pesq"]
    tables[0]["goals"] = []
    summarise(read_plan(write_plan(tmp_path, tables=tables)), places)
    text = (places.folder / "tables.md").read_text()
    assert text.count("| merit (6 of 12 speakers) |") == 1
    assert text.index("| PESQ |") < text.index("| merit (6 of 12 speakers) |")
    assert "cascade (" not in text  # one seed has no PESQ at all, and is left out


def test_lines_of_a_figure_are_told_apart():
    assert len({tuple(style(index).values()) for index in range(24)}) == 24


def test_a_file_that_is_passed_over_leaves_nothing_behind(plan, tmp_path):
    places = Places(plan)
    keep_all(plan, places)
    first = places.kept("merit_Tiny_fold1_1") / KEPT  # of other labels, and half-written
    header, rows = rows_of(plan.runs["merit_Tiny_fold1_1"], 0.5, 1.0)
    header["labels"], header["rows"] = [*header["labels"], "more"], header["rows"] + 1
    rows = [{**row, "probabilities": [*row["probabilities"], 0.0]} for row in rows]
    write_predictions(first, header, rows)
    (said,) = summarise(plan, places)
    assert "half-written" in said


def test_a_goal_is_met_where_the_interval_excludes_zero():
    asked = {"change": 10.0}
    change = Change(1.2, 1.0, 0.2, 0.1, 0.3, 0.01, None, 5)
    assert reached(change, asked) == "yes" and reached(change, {"change": 21.0}) == "no"
    assert reached(change._replace(low=-0.01), asked) == "no: the interval holds 0"


def test_what_is_not_there_is_said_and_the_rest_is_shown(plan, tmp_path):
    places = Places(plan)
    keep_all(plan, places, but={"merit_Tiny_fold2_2"})
    assert summarise(plan, places, tmp_path / "none.md") == ["merit_Tiny_fold2_2 is not there yet"]
    text = (places.folder / "tables.md").read_text()
    assert "Not there yet: 1 of its runs (merit_Tiny_fold2_2)" in text
    # other speakers than those of the systems beside it
    assert "| merit (6 of 12 speakers) | 0." in text and "| cascade | 0." in text
    table = plan.tables[0]
    results, noise_set = Results(plan, table, places.kept), table["conditions"][-1][0]
    drawn = against_snr(results, table["systems"], "f1_macro", noise_set)
    texts = [line.get_label() for line in drawn.axes[0].get_lines()]
    assert "merit (6 of 12 speakers)" in texts and "cascade" in texts


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


def test_what_another_run_left_in_a_folder_is_in_no_table(plan, tmp_path):
    keep_all(plan, Places(plan))
    ours, theirs = (Places(plan).kept(f"{s}_Tiny_fold1_1") for s in ("cascade", "merit"))
    shutil.rmtree(ours)
    shutil.copytree(theirs, ours)
    said = summarise(plan, Places(plan), tmp_path / "none.md")
    assert any("holds another run: it differs in system" in line for line in said)
    text = (Places(plan).folder / "tables.md").read_text()
    assert "cascade (6 of 12 speakers)" in text


def test_mixtures_of_other_draws_are_not_paired(plan):
    keep_all(plan, Places(plan))
    path = Places(plan).kept("merit_Tiny_fold2_2") / KEPT
    header, rows = read_predictions(path)
    write_predictions(path, {**header, "settings": {"test_seed": 7}}, list(rows))
    results = Results(plan, plan.tables[0], Places(plan).kept)
    (problem,) = results.problems.values()
    assert "another test_seed" in problem


def test_the_command_makes_tables_without_training(tmp_path, plan, trainings, monkeypatch, capsys):
    monkeypatch.setattr("speechbrain_merit.experiments.summary.DOCUMENT", tmp_path / "none.md")
    keep_all(plan, Places(plan))
    assert command.run([str(plan.file), "--from_predictions", "True"]) == 0
    assert trainings.made == [] and "| F1-macro |" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command.main(["nowhere.yaml"])
    assert "nowhere.yaml cannot be read" in capsys.readouterr().err
