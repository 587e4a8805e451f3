"""What is left of a run that was killed, moved, cut, or met a full disk: it goes on or says why."""

import json
import os
import random
import resource
import shutil
import signal

import pytest
import torch
from several import killed
from several import processes as started

from speechbrain_merit import writing
from speechbrain_merit.errors import MeritError, ends_in_a_line
from speechbrain_merit.evaluation.report.curves import read_curves
from speechbrain_merit.lobes.merit import Merit
from speechbrain_merit.training import checkpoints, scoring
from speechbrain_merit.training import run as recipe
from speechbrain_merit.training.brain import MeritBrain
from speechbrain_merit.training.checkpoints import UNFINISHED, Checkpointer, whole_checkpoints
from tests.training.test_ddp import BASE, apart, train
from tests.training.test_run import (  # noqa: F401 (fixtures)
    arguments,
    at_root,
    corpus,
    final_weights,
    trained,
)

# Checkpoints


def network(value=0.0):
    """A network that is its one weight."""
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(module.weight, value)
    return module


@pytest.fixture
def two(tmp_path):
    """A checkpointer with two checkpoints, 1.0 of score 5 and then 2.0 of score 7."""
    module = network(1.0)
    checkpointer = Checkpointer(tmp_path / "save", {"network": module})
    first = checkpointer.save_checkpoint({"score": 5.0, "unixtime": 1.0})
    torch.nn.init.constant_(module.weight, 2.0)
    second = checkpointer.save_checkpoint({"score": 7.0, "unixtime": 2.0})
    torch.nn.init.constant_(module.weight, 0.0)
    return checkpointer, first, second


def cut(path):
    path.write_bytes(path.read_bytes()[:-50])


def test_whole_checkpoints_are_taken_as_speechbrain_takes_them(two):
    checkpointer, first, second = two
    assert checkpointer.find_checkpoint() == checkpointer.find_checkpoint(max_key="score") == second
    assert checkpointer.find_checkpoint(min_key="score") == first
    assert {path.name for path in checkpointer.checkpoints_dir.iterdir()} == {
        first.path.name,
        second.path.name,
    }


@pytest.mark.parametrize(
    "harm, fault",
    [
        (lambda c: cut(c.paramfiles["network"]), "network.ckpt is cut short"),
        (lambda c: c.paramfiles["network"].write_bytes(b""), "network.ckpt is cut short"),
        (lambda c: c.paramfiles["network"].unlink(), "it lacks network"),
        (lambda c: (c.path / "CKPT.yaml").write_text("# yamllint disable\n"), "CKPT.yaml is cut"),
        (lambda c: (c.path / "CKPT.yaml").write_text("score: ["), "expected the node content"),
        (lambda c: (c.path / "CKPT.yaml").unlink(), "No such file"),
    ],
)
def test_a_broken_checkpoint_is_passed_over_with_a_word(two, harm, fault, caplog):
    checkpointer, first, second = two
    harm(second)
    assert checkpointer.recover_if_possible() == first
    assert checkpointer.recoverables["network"].weight.item() == 1.0
    assert checkpointer.recover_if_possible(max_key="score") == first
    said = [record.message for record in caplog.records if "passed over" in record.message]
    assert len(said) == 1 and str(second.path) in said[0] and fault in said[0]


def test_two_checkpoints_of_one_second_are_both_kept(two):
    checkpointer, first, second = two
    third = checkpointer.save_checkpoint()
    assert len({first.path, second.path, third.path}) == 3
    assert all(path.is_dir() for path in (first.path, second.path, third.path))


def test_a_full_disk_ends_with_a_word_and_leaves_the_checkpoints_as_they_were(two):
    checkpointer, _, second = two
    checkpointer.add_recoverable("large", torch.nn.Linear(300, 300))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # a file cannot grow beyond
    try:
        with pytest.raises(MeritError, match="cannot be written.*Make room, and start again"):
            checkpointer.save_checkpoint()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (checkpointer.checkpoints_dir / UNFINISHED).exists()
    del checkpointer.recoverables["large"]
    assert checkpointer.find_checkpoint() == second


@pytest.mark.parametrize("size", [2_000, 20_000])  # in the predictions; in what is made of them
def test_a_disk_that_fills_while_scoring_ends_it_with_a_word(
    size,
    trained,  # noqa: F811
    tmp_path,
    capsys,
):
    run = copy_of(trained, tmp_path / "run")
    shutil.rmtree(run / "evaluation")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        with pytest.raises(SystemExit) as stop, ends_in_a_line("evaluate.py"):
            scoring.score([str(run), "--device", "cpu"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    said = capsys.readouterr().err.splitlines()[-1]
    assert stop.value.code == 2
    assert "evaluate.py: cannot write: [Errno 27]" in said and "Make room" in said
    assert str(run / "evaluation") in said
    scoring.score([str(run), "--device", "cpu"])
    metrics = [json.loads((r / "evaluation" / "metrics.json").read_text()) for r in (run, trained)]
    assert metrics[0] == metrics[1]


# A run and its folder


def copy_of(run, folder):
    """A copy of a run in another folder, as the machine's owner might move it."""
    shutil.copytree(run, folder)
    return folder


def test_a_run_whose_checkpoint_was_cut_ends_as_one_without(
    trained,  # noqa: F811
    corpus,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    start = MeritBrain.on_stage_start

    def interrupt(brain, stage, epoch=None):
        if epoch == 2:
            raise KeyboardInterrupt
        start(brain, stage, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(MeritBrain, "on_stage_start", interrupt)
        with pytest.raises(KeyboardInterrupt):
            recipe.run(arguments(corpus, tmp_path / "run"))
    (only,) = whole_checkpoints(tmp_path / "run" / "save")
    cut(only.paramfiles["model"])
    recipe.run(arguments(corpus, tmp_path / "run"))
    said = (tmp_path / "run" / "log.txt").read_text()
    assert f"{only.path} is passed over" in said and "model.ckpt is cut short" in said
    weights, expected = final_weights(tmp_path / "run"), final_weights(trained)
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_scoring_takes_the_best_whole_checkpoint_or_says_that_there_is_none(
    trained,  # noqa: F811
    tmp_path,
):
    run = copy_of(trained, tmp_path / "run")
    found = whole_checkpoints(run / "save")
    for checkpoint in found:
        cut(checkpoint.paramfiles["model"])
    with pytest.raises(MeritError, match="holds no checkpoint with a score"):
        scoring.score([str(run)])


def test_a_moved_run_with_more_epochs_goes_on_by_the_new_schedule(
    trained,  # noqa: F811
    corpus,  # noqa: F811
    tmp_path,
    caplog,
):
    moved = copy_of(trained, tmp_path / "moved")
    more = ["--number_of_epochs", "4", "--skip_test", "True"]
    recipe.run(arguments(corpus, moved, *more))
    assert "goes on to epoch 4, where it was to end with 2" in caplog.text
    before, after = (read_curves(run / "train_log.txt") for run in (trained, moved))
    assert after[:2] == before  # among it their rates
    rates = [epoch["lr"] for epoch in after]
    # from 1e-3 down to 1e-5: over two epochs; then where four would have been
    assert rates == pytest.approx([1e-3, 1e-5, 1e-3 - 2 / 3 * 9.9e-4, 1e-5], rel=1e-3)
    assert not any(tmp_path.glob("**/" + UNFINISHED))
    assert not (tmp_path / "trained").exists()


def test_a_moved_run_as_it_was_is_scored_and_not_trained(trained, corpus, tmp_path):  # noqa: F811
    moved = copy_of(trained, tmp_path / "moved")
    recipe.run(arguments(corpus, moved))
    assert read_curves(moved / "train_log.txt") == read_curves(trained / "train_log.txt")


def of(corpus):  # noqa: F811
    """The recipe stays where it is when the recordings move."""
    return "--corpus", str(corpus / "My-Corpus")


def test_a_run_whose_data_moved_goes_on_as_one_whose_did_not(
    trained,  # noqa: F811
    corpus,  # noqa: F811
    tmp_path,
):
    stayed, moved = (copy_of(trained, tmp_path / name) for name in ("stayed", "moved"))
    elsewhere = copy_of(corpus, tmp_path / "elsewhere")
    more = ["--number_of_epochs", "3", "--skip_test", "True"]
    recipe.run(arguments(corpus, stayed, *more))
    recipe.run(arguments(elsewhere, moved, *of(corpus), *more))
    curves = [read_curves(run / "train_log.txt") for run in (stayed, moved)]
    assert curves[0] == curves[1] and len(curves[0]) == 3
    assert str(elsewhere / "speech") in (moved / "hyperparams.yaml").read_text()
    weights, expected = final_weights(moved), final_weights(stayed)
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_a_run_does_not_go_on_with_other_recordings_however_often_it_is_tried(
    trained,  # noqa: F811
    corpus,  # noqa: F811
    tmp_path,
):
    run = copy_of(trained, tmp_path / "run")
    elsewhere = copy_of(corpus, tmp_path / "elsewhere")
    next((elsewhere / "speech").glob("train_sad_*.wav")).unlink()
    save = {path.name: path.read_bytes() for path in (run / "save").glob("*.*s*")}
    for _ in range(2):
        with pytest.raises(MeritError, match="other recordings.*: train.json would change"):
            recipe.run(arguments(elsewhere, run, *of(corpus)))
    assert str(elsewhere) not in (run / "hyperparams.yaml").read_text()
    for name in ("train.json", "valid.json", "test.json", "prepare.json"):  # what would be scored
        assert (run / "save" / name).read_bytes() == save[name]
    recipe.run(arguments(corpus, run))  # those it began with are back


def test_a_run_from_before_this_record_is_held_to_its_manifests(trained, corpus, tmp_path):  # noqa: F811
    run = copy_of(trained, tmp_path / "run")
    (run / "save" / "heard.json").unlink()
    elsewhere = copy_of(corpus, tmp_path / "elsewhere")
    shutil.copy(elsewhere / "noise" / "train" / "a.wav", elsewhere / "noise" / "train" / "b.wav")
    with pytest.raises(MeritError, match="noise_train.json would change"):
        recipe.run(arguments(elsewhere, run, *of(corpus)))


@pytest.mark.parametrize(
    "change",
    [
        ["--rir_folder", "noise"],
        ["--number_of_epochs", "1"],
        ["--valid_seed", "5"],
        ["--lr", "0.002"],
    ],
)
def test_other_changes_are_refused_in_a_moved_run_too(change, trained, corpus, tmp_path):  # noqa: F811
    moved = copy_of(trained, tmp_path / "moved")
    with pytest.raises(MeritError, match=rf"other values of.*{change[0][2:]}"):
        recipe.run(arguments(corpus, moved, *change))


def test_the_seed_of_the_test_changes_no_checkpoint_and_that_of_validation_does(
    trained,  # noqa: F811
    corpus,  # noqa: F811
    tmp_path,
):
    curves = {}
    for key in ("test_seed", "valid_seed"):
        more = [f"--{key}", "5", "--skip_test", "True"]
        recipe.run(arguments(corpus, tmp_path / key, *more))
        curves[key] = read_curves(tmp_path / key / "train_log.txt")
    expected = read_curves(trained / "train_log.txt")
    assert curves["test_seed"] == expected
    # it changes the mixtures of validation, and nothing of training
    for epoch, other in zip(curves["valid_seed"], expected):
        assert epoch["valid si_sdr"] != other["valid si_sdr"]
        assert epoch["train loss"] == other["train loss"]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_an_epoch_that_was_interrupted_ends_as_without(accumulate, tmp_path):
    settings = {**BASE, "dropout": 0.3, "accumulate": accumulate, "batch_size": 4}
    whole = train(settings, tmp_path / "whole")
    # saved after steps 3 and 6; with accumulation, never between the two batches of a step
    train(settings, tmp_path / "run", stop=8, ckpt_interval_steps=3)
    resumed = train(settings, tmp_path / "run")
    assert resumed.heard[0] == whole.heard[6 if accumulate == 1 else 4]
    assert apart(resumed.weights, whole.weights) == 0
    assert resumed.log == whole.log


# Killed


#: What a moment is counted in: its function, and what is left half done when the kill comes.
EVENTS = {
    "forward": (Merit, "forward"),  # training, validation, calibration and scoring
    "save": (torch, "save"),  # checkpoint and export
    "place": (checkpoints, "into_place"),
    "remove": (shutil, "rmtree"),
    "write": (writing.os, "replace"),  # manifests, report, card
}


def watched_run(command, log, event=None, number=None):
    """A run that notes its events, and is killed in one of them."""
    torch.set_num_threads(1)
    counts = dict.fromkeys(EVENTS, 0)

    def watch(name, call):
        def watching(*given, **named):
            counts[name] += 1
            if name == event and counts[name] == number:
                half_done(name, call, given, named)
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*given, **named)

        return watching

    for name, (owner, attribute) in EVENTS.items():
        setattr(owner, attribute, watch(name, getattr(owner, attribute)))
    recipe.run(command)
    log.write_text(json.dumps(counts))


def half_done(name, call, given, named):
    """Leaves what a kill in the middle would leave."""
    if name == "save":
        call(*given, **named)
        cut(given[1])
    elif name == "remove":
        files = [path for path in sorted(given[0].rglob("*")) if path.is_file()]
        for path in files[: len(files) // 2]:
            path.unlink()


def outcome(run):
    """All that a run is for: weights, curves, scores, the exported model."""
    return {
        "weights": final_weights(run),
        "exported": torch.load(run / "pretrained" / "model.ckpt", weights_only=True),
        "curves": read_curves(run / "train_log.txt"),
        "metrics": json.loads((run / "evaluation" / "metrics.json").read_text()),
        "temperature": json.loads((run / "save" / "temperature.json").read_text())["temperature"],
    }


@pytest.fixture(scope="module")
def undisturbed(corpus, tmp_path_factory, repo_root):  # noqa: F811
    """What a run comes to that nothing disturbs, and how often each event happened in it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(repo_root)
        watch = (arguments(corpus, folder / "run"), folder / "events.json")
        started(1, watched_run, *watch)
    return outcome(folder / "run"), json.loads((folder / "events.json").read_text())


def moments():
    """Two random moments of each kind; two of the ten in every run of the tests."""
    draw = random.Random(11)
    often = {("forward", 0), ("save", 1)}  # in training, and in saving a checkpoint
    for event in EVENTS:
        for index in range(2):
            marks = () if (event, index) in often else pytest.mark.long
            share = draw.random()
            yield pytest.param(event, share, marks=marks, id=f"{event} {share:.2f}")


@pytest.mark.parametrize("event, share", list(moments()))
def test_a_killed_run_ends_as_one_that_was_not(event, share, undisturbed, corpus, tmp_path):  # noqa: F811
    expected, counts = undisturbed
    number = 1 + int(share * counts[event])
    command, log = arguments(corpus, tmp_path / "run"), tmp_path / "events.json"
    assert killed(watched_run, command, log, event, number)
    assert not killed(watched_run, command, log)
    actual = outcome(tmp_path / "run")
    for name in ("weights", "exported"):
        assert actual[name].keys() == expected[name].keys()
        assert all(torch.equal(actual[name][key], expected[name][key]) for key in expected[name])
    for name in ("curves", "metrics", "temperature"):
        assert actual[name] == expected[name]
