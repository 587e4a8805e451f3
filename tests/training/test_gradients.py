"""The tasks' gradients on the shared encoder: measured, and resolved where they conflict."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from speechbrain import Stage
from tiny import tiny_merit

from speechbrain_merit.errors import SettingsError
from speechbrain_merit.evaluation.report.curves import read_curves
from speechbrain_merit.training import run as recipe
from speechbrain_merit.training.brain import MeritBrain
from speechbrain_merit.training.gradients import Interference, pull, surgery, task_gradients
from speechbrain_merit.training.uncertainty import Uncertainty, build_weighting
from tests.training.test_run import arguments, corpus  # noqa: F401 (a fixture)

numbers = st.lists(st.floats(-10, 10), min_size=3, max_size=3).map(torch.tensor)


@pytest.fixture(autouse=True)
def at_root(repo_root, monkeypatch):
    """YAML paths on the command line are relative to the repository."""
    monkeypatch.chdir(repo_root)


def by_the_paper(first, second):
    """PCGrad's algorithm 1 for two tasks, step by step; the order of two does not matter."""
    changed = []
    for own, other in ((first, second), (second, first)):
        product = float(own @ other)
        changed.append(own - product / float(other @ other) * other if product < 0 else own)
    return changed[0] + changed[1]


@given(numbers, numbers)
def test_surgery_is_the_papers_algorithm(first, second):
    if min(first.norm(), second.norm()) < 1e-3:
        return
    ours = first + second + surgery(torch.stack([first, second]))
    torch.testing.assert_close(ours, by_the_paper(first, second), rtol=1e-3, atol=1e-3)


def test_a_gradient_of_zero_conflicts_with_nothing():
    assert surgery(torch.tensor([[0.0, 0.0], [1.0, -1.0]])).tolist() == [0, 0]


def losses_of(merit, wavs):
    """A loss for each task."""
    output = merit(wavs)
    return {"se": output.waves.square().mean(), "ser": -output.logits.square().mean()}


def test_the_gradients_are_those_of_each_task_alone():
    merit, wavs = tiny_merit(), torch.randn(2, 4800)
    parameters = [p for p in merit.encoder.parameters() if p.requires_grad]
    together = task_gradients(list(losses_of(merit, wavs).values()), parameters)
    for row, task in zip(together, ("se", "ser")):
        merit.zero_grad()
        losses_of(merit, wavs)[task].backward()
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        torch.testing.assert_close(row, torch.cat([g.flatten() for g in grads]))


def test_a_conflict_is_resolved_on_the_encoder_and_nowhere_else():
    merit, wavs = tiny_merit(), torch.randn(2, 4800)
    parameters = [p for p in merit.encoder.parameters() if p.requires_grad]
    plain = losses_of(merit, wavs)
    gradients = task_gradients(list(plain.values()), parameters)
    # turned so that they conflict for sure
    losses = {"se": plain["se"], "ser": -torch.sign(gradients[0] @ gradients[1]) * plain["ser"]}
    gradients = task_gradients(list(losses.values()), parameters)
    sum(losses.values()).backward(retain_graph=True)
    others = {n: p.grad.clone() for n, p in merit.named_parameters() if p.grad is not None}
    merit.zero_grad()
    term, values = Interference("pcgrad")(losses, parameters)
    (sum(losses.values()) + term).backward()
    assert term == 0 and values["gradient cosine"] < 0
    found = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
    wanted = by_the_paper(*gradients)
    used = torch.cat([torch.full((p.numel(),), p.grad is not None) for p in parameters])
    torch.testing.assert_close(found, wanted[used], rtol=1e-4, atol=1e-7)
    for name, p in merit.named_parameters():
        if p.grad is not None and not name.startswith("encoder"):
            torch.testing.assert_close(p.grad, others[name])


def test_a_pull_passes_through_accumulation():
    weight = torch.ones(3, requires_grad=True)
    for _ in range(2):
        (pull([weight], torch.tensor([1.0, 2.0, 3.0])) / 2).backward()
    assert weight.grad.tolist() == [1, 2, 3]


def test_one_task_or_a_frozen_encoder_has_no_conflict():
    loss = torch.ones(1, requires_grad=True).sum()
    assert Interference("pcgrad")({"ser": loss}, [loss]) == (0.0, {})
    assert Interference("pcgrad")({"ser": loss, "se": loss}, []) == (0.0, {})


def test_steps_that_are_due():
    assert [step for step in range(1, 8) if Interference(every=3).due(step)] == [3, 6]
    assert not any(Interference().due(step) for step in range(1, 8))
    assert all(Interference("pcgrad").due(step) for step in range(1, 8))


@pytest.mark.parametrize("key, value", [("gradients", "surgery"), ("loss_weighting", "learnt")])
def test_an_unknown_choice_is_named(key, value):
    with pytest.raises(SettingsError, match=f"{key} is '{value}': choose one of"):
        Interference(value) if key == "gradients" else build_weighting(value)


def test_uncertainty_starts_as_the_fixed_weights_and_learns_what_is_sure():
    terms = {"emotion": torch.tensor(0.02), "enhancement": torch.tensor(3.0)}
    uncertainty = Uncertainty({"emotion": 1.0, "enhancement": 0.2})
    start = uncertainty(terms)
    # cost · s beside the weighted term, s = -log weight
    assert start["emotion"].item() == pytest.approx(0.02)
    assert start["enhancement"].item() == pytest.approx(0.2 * 3.0 - np.log(0.2))
    optimizer = torch.optim.SGD(uncertainty.parameters(), 0.05)
    for _ in range(4000):
        optimizer.zero_grad()
        sum(uncertainty(terms).values()).backward()
        optimizer.step()
    # the best scale of a Laplace distribution is its mean error; of cross-entropy, twice the loss
    assert uncertainty.scales["enhancement"].exp().item() == pytest.approx(3.0, rel=1e-3)
    assert uncertainty.scales["emotion"].exp().item() == pytest.approx(0.04, rel=1e-3)


def test_a_weight_of_zero_cannot_be_learnt():
    with pytest.raises(SettingsError, match="starts at weights > 0"):
        Uncertainty({"emotion": 0.0})


def test_a_run_logs_the_cosine_and_keeps_what_it_learnt(corpus, tmp_path):  # noqa: F811
    more = ["--gradients", "pcgrad", "--loss_weighting", "uncertainty", "--skip_test", "True"]
    recipe.run(arguments(corpus, tmp_path, "--number_of_epochs", "2", *more))
    curves = read_curves(tmp_path / "train_log.txt")
    assert all(-1 <= epoch["train gradient cosine"] <= 1 for epoch in curves)
    saved = next((tmp_path / "save").glob("CKPT*/weighting.ckpt"))
    learnt = torch.load(saved, weights_only=True)
    assert {*learnt} == {"scales.emotion", "scales.attribute", "scales.enhancement"}
    assert learnt["scales.enhancement"] != pytest.approx(-np.log(0.2), abs=1e-6)


def test_the_mean_cosine_is_of_the_steps_that_were_measured():
    means = {"gradient cosine": -0.1, "gradient steps": 0.25}  # -.4 in a quarter of the steps
    brain = SimpleNamespace(progress=SimpleNamespace(means=lambda: means))
    MeritBrain.on_stage_end(brain, Stage.TRAIN, 0.0)
    assert brain.train_stats == {"gradient cosine": pytest.approx(-0.4)}


def test_small_gradients_conflict_in_half_precision_too():
    first = torch.full((4096,), 3e-6)
    second = torch.cat([torch.full((1024,), -3e-6), torch.zeros(3072)])
    wanted = surgery(torch.stack([first, second]))
    with torch.autocast("cpu", torch.float16):
        found = surgery(torch.stack([first, second]))
    assert wanted.any() and torch.allclose(found, wanted, rtol=1e-4, atol=0)


def test_small_gradients_in_half_precision_are_those_of_the_scaled_loss():
    merit, wavs = tiny_merit(), torch.randn(2, 4800)
    parameters = [p for p in merit.encoder.parameters() if p.requires_grad]

    def gradients(scale, half):
        with torch.autocast("cpu", torch.float16, enabled=half):
            output = merit(wavs)
        se, ser = (wave.float().square().mean() for wave in (output.waves, output.logits))
        return task_gradients([1e-3 * se, 1e-6 * ser], parameters, scale)

    exact = gradients(1.0, half=False)
    torch.testing.assert_close(gradients(1024.0, half=False), exact)
    lost, kept = (
        torch.nn.functional.cosine_similarity(gradients(scale, half=True), exact).min()
        for scale in (1.0, 65536.0)
    )
    assert kept > 0.99 > lost


def test_a_scale_that_is_too_large_measures_nothing():
    weight = torch.ones(1, requires_grad=True)
    losses = {"se": 3 * weight.sum(), "ser": -weight.sum()}
    assert Interference("pcgrad")(losses, [weight], float("inf")) == (0.0, {})
