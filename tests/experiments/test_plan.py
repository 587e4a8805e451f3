"""From the YAML of an experiment to its runs: what is unknown, missing or double is named."""

import pytest
import yaml

from speechbrain_merit.errors import SettingsError
from speechbrain_merit.experiments.command import run as run_command
from speechbrain_merit.experiments.command import share
from speechbrain_merit.experiments.plan import ROOT, read_plan
from speechbrain_merit.experiments.results import Results
from speechbrain_merit.experiments.schedule import Places, command_of
from speechbrain_merit.training.settings import check_keys, load, parse
from tests.experiments.made_up import CONTENT, write_plan


def test_runs_are_products_in_an_order_that_compares_early(tmp_path):
    plan = read_plan(write_plan(tmp_path))
    assert list(plan.runs)[:4] == [
        "merit_Tiny_fold1_1",
        "se_only_Tiny_fold1_1",
        "cascade_Tiny_fold1_1",
        "merit_Tiny_fold2_1",
    ]
    assert len(plan.runs) == 3 * 2 * 2
    assert plan.runs["cascade_Tiny_fold2_1"].needs == {"se_only": "se_only_Tiny_fold2_1"}


def test_what_is_left_out_is_empty(tmp_path):
    plan = read_plan(write_plan(tmp_path, **change(corpora__Tiny=None, tables__0__baselines=None)))
    assert "corpus" not in plan.runs["merit_Tiny_fold1_1"].keys
    assert Results(plan, plan.tables[0], Places(plan).kept).missing == [*plan.runs]


def test_a_reference_may_hold_what_a_name_may(tmp_path):
    systems = {"se-1.0": {"hparams": "hparams/se_only.yaml"}}
    systems["cascade"] = {"hparams": "hparams/cascade.yaml", "enhancer": "<se-1.0>"}
    runs = [{"systems": ["se-1.0", "cascade"], "seeds": [1]}]
    plan = read_plan(write_plan(tmp_path, systems=systems, runs=runs, tables=[]))
    assert plan.runs["cascade_Tiny_1"].needs == {"se-1.0": "se-1.0_Tiny_1"}


def test_a_command_names_folders_for_references(tmp_path):
    plan = read_plan(write_plan(tmp_path), shared="/corpora")
    run = plan.runs["cascade_Tiny_fold1_2"]
    command = command_of(plan, run, Places(plan).results / run.name)
    assert "--enhancer=results/experiments/trial/se_only_Tiny_fold1_2" in command
    assert "--encoder=/corpora/encoder" in command
    assert "--fold=1" in command and "--seed=2" in command
    assert f"--output_folder=results/experiments/trial/{run.name}" in command


def change(**changes):
    """A plan's content with changes deep in it."""
    content = yaml.safe_load(yaml.safe_dump(CONTENT))
    for path, value in changes.items():
        *way, last = path.split("__")
        place = content
        for step in way:
            place = place[int(step) if isinstance(place, list) else step]
        place[int(last) if isinstance(place, list) else last] = value
    return content


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"runs__0__systems": ["merti"]}, "unknown system merti; did you mean merit"),
        ({"runs__0__corpora": ["Tony"]}, "unknown corpus Tony; did you mean Tiny"),
        ({"tables__0__metrics": ["f1"]}, "unknown metric f1; did you mean f1_macro|known are"),
        ({"tables__0__baselines": ["naive"]}, "unknown system naive; known are cascade"),
        ({"tables__0__goals__0__baseline": "naive"}, "unknown system naive; known are merit"),
        ({"tables__0__goals": [{"system": "merit"}]}, "a goal lacks baseline, metric, condition"),
        ({"runs__0__seeds": []}, "an entry of runs has no seeds"),
        ({"systems__merit": {"hparams": "hparams/none.yaml"}}, "there is no such YAML"),
        ({"systems__cascade__enhancer": "<se>"}, "unknown system se; known are"),
        ({"runs": CONTENT["runs"] * 2}, "the run merit_Tiny_fold1_1 is there twice"),
        ({"runs__0__systems": ["cascade"]}, "needs se_only_Tiny_fold1_1, which runs does not"),
        ({"systems__se_only__start_from": "<cascade>"}, "need each other"),
        ({"system": "x"}, "unknown key system; did you mean systems"),
        ({"name": "a/b"}, "becomes a folder"),
        ({"systems": None}, "lacks systems"),
        ({"systems": ["merit"]}, "systems is .'merit'.: give lines"),
        ({"systems__merit": "hparams/merit.yaml"}, "systems: merit is 'hparams/merit.yaml': give"),
        ({"runs__0__seeds": 1}, "seeds of runs is 1: give a list"),
        ({"runs__0__folds": 5}, "folds of runs is 5: give a list"),
        ({"runs__0__seeds": ["one"]}, "seeds of runs are whole numbers, not 'one'"),
        ({"runs": ["merit"]}, "runs is a list of entries"),
        ({"tables": CONTENT["tables"] * 2}, "two tables have the title 'Folds'"),
        ({"tables__0__title": "Use of the experts"}, "two tables have the title"),
        ({"tables__0__corpus": None}, "an entry of tables lacks corpus"),
        ({"tables__0__metrics": "f1_macro"}, "metrics of tables is 'f1_macro': give a list"),
        ({"tables__0__claim_systems": ["merti"]}, "unknown system merti; did you mean merit"),
        ({"tables__0__claim_metrics": ["stoi"]}, "unknown metric stoi; known are f1_macro"),
        ({"tables__0__claim_systems": "merit"}, "claim_systems of tables is 'merit': give a list"),
        ({"tables__0__folds": "fix"}, "folds of tables fix; did you mean fixed"),
        ({"tables__0__folds": [1, 3]}, "unknown fold of tables 3; known are 1, 2"),
        ({"tables__0__folds": []}, "fold of tables None is no name"),
        ({"tables__0__folds": 1}, "unknown value of folds of tables 1; known are all, fixed"),
        ({"tables__0__conditions": ["unseen"]}, "a condition is 'unseen': give clean, or"),
        ({"tables__0__claims": [["unseen"]]}, "a condition is .'unseen'.: give clean, or"),
        ({"tables__0__goals__0__condition": "unseen"}, "a condition is 'unseen': give clean, or"),
        ({"tables__0__goals__0__change": "28 %"}, "change of a goal is '28 %': give a number"),
        ({"name": ".."}, "becomes a folder"),
        ({"systems__../x": {"hparams": "hparams/merit.yaml"}}, "systems: '../x' becomes a folder"),
        ({"systems__merit__hparams": ["x"]}, "there is no such YAML"),
        ({"systems__merit__fold": 3}, "systems: merit: fold: runs say which"),
        ({"keys__seed": 7}, "keys: seed: runs say which"),
        ({"runs__0__systems": [{"a": "b"}]}, "system {'a': 'b'} is no name"),
        ({"tables__0__corpus": ["Tiny"]}, "corpus .'Tiny'. is no name"),
        ({"tables__0__metrics": [{"f1_macro": 1}]}, "metric {'f1_macro': 1} is no name"),
        ({"tables__0__goals": [3]}, "a goal is 3: give lines"),
        ({"tables__0__goals__0__change": float("nan")}, "change of a goal is nan"),
        ({"tables__0__conditions": [["unseen", float("inf")]]}, "a condition is .'unseen', inf"),
        (
            {"tables": [{**CONTENT["tables"][0], "title": t} for t in ("A b", "a: B!")]},
            "two tables have the title 'A b', or one that differs",
        ),
    ],
)
def test_what_cannot_be_is_named(tmp_path, changes, message):
    with pytest.raises(SettingsError, match=message):
        read_plan(write_plan(tmp_path, **change(**changes)))


def test_a_key_that_is_there_twice_is_named(tmp_path):
    path = write_plan(tmp_path)
    path.write_text(path.read_text() + "name: another\n")
    with pytest.raises(SettingsError, match="the key name is there twice"):
        read_plan(path)


@pytest.mark.parametrize("text", ["", "[1, 2]", "a: [", "just text"])
def test_a_file_that_is_no_plan_is_named(tmp_path, text):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(SettingsError, match="x.yaml"):
        read_plan(tmp_path / "x.yaml")
    with pytest.raises(SettingsError, match="cannot be read"):
        read_plan(tmp_path / "none.yaml")
    (tmp_path / "x.yaml").write_bytes("name: \u00e9".encode("latin-1"))
    with pytest.raises(SettingsError, match="x.yaml cannot be read: save it in UTF-8"):
        read_plan(tmp_path / "x.yaml")


@pytest.mark.parametrize("jobs", [1, 2, 3, 7])
def test_jobs_share_all_runs_and_keep_together_what_needs_each_other(tmp_path, jobs):
    plan = read_plan(write_plan(tmp_path))
    shares = [share(plan, f"{job}/{jobs}") for job in range(1, jobs + 1)]
    assert sorted(name for names in shares for name in names) == sorted(plan.runs)
    for names in shares:
        assert all({*plan.runs[name].needs.values()} <= {*names} for name in names)


@pytest.mark.parametrize("only", ["0/3", "4/3", "1", "a/b", "1/0"])
def test_a_job_that_is_none_is_named(tmp_path, only):
    with pytest.raises(SettingsError, match="give I/N"):
        share(read_plan(write_plan(tmp_path)), only)


def test_the_experiments_of_the_repository_ask_for_keys_that_there_are(repo_root, monkeypatch):
    monkeypatch.chdir(repo_root)
    plans = sorted(ROOT.glob("recipes/*/experiment*.yaml"))
    assert plans
    for path in plans:
        plan = read_plan(path)
        of_each_system = {run.system: run for run in plan.runs.values()}
        assert {*of_each_system} == {*plan.systems}, "a system without a run"
        for run in of_each_system.values():
            command = command_of(plan, run, Places(plan).results / run.name)
            hparams_file, _, overrides = parse([*command[2:], "--encoder=mini"])
            check_keys(hparams_file, overrides)
            if run.hparams != "hparams/cascade.yaml":  # its parts are not there yet
                load(hparams_file, overrides)


def test_a_shared_folder_that_is_not_there_stops_before_any_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="--shared: there is no folder nowhere"):
        run_command([str(write_plan(tmp_path)), "--shared", "nowhere"])
    assert not (tmp_path / "results").exists()
