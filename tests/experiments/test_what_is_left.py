"""What finished runs are made into: tables, figures and what is said to be missing."""

import re
import shutil

import pytest
import yaml

from speechbrain_merit.errors import SettingsError
from speechbrain_merit.evaluation.comparison import Change
from speechbrain_merit.evaluation.predictions import read_predictions, write_predictions
from speechbrain_merit.experiments.figures import against_snr, style
from speechbrain_merit.experiments.plan import read_plan
from speechbrain_merit.experiments.results import EXPERTS, KEPT, Results, read_scored
from speechbrain_merit.experiments.schedule import Places
from speechbrain_merit.experiments.summary import summarise
from speechbrain_merit.experiments.tables import out_of_reach, reached
from tests.experiments.made_up import CONTENT, keep_all, rows_of, write_plan

pytestmark = pytest.mark.usefixtures("here")


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


def test_a_run_of_several_tables_is_read_once(plan, tmp_path, monkeypatch):
    tables = [{**CONTENT["tables"][0], "title": title} for title in ("One", "Other")]
    plan, read = read_plan(write_plan(tmp_path, tables=tables)), []
    keep_all(plan, Places(plan))

    def count(path):
        read.append(path)
        return read_scored(path)

    monkeypatch.setattr("speechbrain_merit.experiments.summary.read_scored", count)
    assert summarise(plan, Places(plan), tmp_path / "none.md") == []
    assert sorted(read) == sorted(Places(plan).kept(name) / KEPT for name in plan.runs)
    text = (Places(plan).folder / "tables.md").read_text()
    one, other = text.split("## One")[1].split("## Other")
    assert other.startswith(one.rstrip())


def test_experts_that_nobody_chooses_are_in_no_table_of_their_use(tmp_path):
    tables = [{**CONTENT["tables"][0], "systems": ["se_only"], "baselines": [], "goals": []}]
    plan = read_plan(write_plan(tmp_path, tables=tables))  # merit's runs are in no other table
    keep_all(plan, Places(plan))
    summarise(plan, Places(plan), tmp_path / "none.md")
    text = (Places(plan).folder / "tables.md").read_text()
    assert "| merit | task |" in text.split(f"## {EXPERTS}")[1]
    for name in (name for name in plan.runs if name.startswith("merit")):
        header, rows = read_predictions(Places(plan).kept(name) / KEPT)
        dense = {"se": [1.0, 1.0, 1.0], "ser": [1.0, 1.0, 1.0]}
        rows = [{**row, "experts": dense} for row in rows]
        write_predictions(Places(plan).kept(name) / KEPT, header, rows)
    summarise(plan, Places(plan), tmp_path / "none.md")
    text = (Places(plan).folder / "tables.md").read_text()
    assert "No finished run has experts." in text.split(f"## {EXPERTS}")[1]


def test_a_legend_hides_no_line(plan):
    keep_all(plan, Places(plan))
    table = plan.tables[0]
    results, noise_set = Results(plan, table, Places(plan).kept), table["conditions"][-1][0]
    drawn = against_snr(results, table["systems"], "f1_macro", noise_set)
    drawn.draw_without_rendering()
    (legend,) = drawn.legends
    assert legend.get_window_extent().x0 > drawn.axes[0].get_window_extent().x1
    assert {text.get_text() for text in legend.get_texts()} == {"merit", "cascade"}
