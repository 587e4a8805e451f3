"""The pool of experts: sparse equals dense, and nothing is computed that no task asked for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import agree

from speechbrain_merit.lobes.experts import Expert, ExpertPool
from speechbrain_merit.lobes.routing import Router, Routing

WIDTH, OUT = 5, 3


@st.composite
def cases(draw):
    """A pool, frames and an arbitrary routing for one task or two, as (E, k, N, tasks, seed).

    Choices are drawn from a subset of the experts, so that some experts often hear no frame.
    """
    n_experts = draw(st.integers(1, 5))
    in_use = draw(st.integers(1, n_experts))
    top_k = draw(st.integers(1, in_use))
    n_frames = draw(st.integers(1, 40))
    tasks = draw(st.sampled_from([("se",), ("ser",), ("se", "ser")]))
    return n_experts, in_use, top_k, n_frames, tasks, draw(st.integers(0, 2**16))


def build(case):
    """The pool, frames (N, W) and task → Routing with weights that take a gradient."""
    n_experts, in_use, top_k, n_frames, tasks, seed = case
    torch.manual_seed(seed)
    pool = ExpertPool(WIDTH, 7, OUT, n_experts)
    allowed = torch.randperm(n_experts)[:in_use]
    routings = {}
    for task in tasks:
        order = torch.stack([torch.randperm(in_use)[:top_k] for _ in range(n_frames)])
        weights = torch.rand(n_frames, top_k).add(0.1).requires_grad_()
        routings[task] = Routing(torch.randn(n_frames, n_experts), allowed[order], weights)
    return pool, torch.randn(n_frames, WIDTH, requires_grad=True), routings


def dense(pool, frames, routings):
    """Every expert on every frame, and a mask: what the sparse computation must equal."""
    every = torch.stack([expert(frames) for expert in pool.experts])
    outputs = {}
    for task, routing in routings.items():
        mask = torch.zeros(len(frames), len(every)).scatter(1, routing.experts, routing.weights)
        outputs[task] = torch.einsum("ne,end->nd", mask, every)
    return outputs


def gradients(outputs, parameters):
    torch.manual_seed(9)
    pulled = sum((torch.randn_like(out) * out).sum() for out in outputs.values())
    found = torch.autograd.grad(pulled, parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found)]


@given(cases())
@settings(max_examples=80, deadline=None)
def test_sparse_equals_dense_in_outputs_and_gradients(case):
    pool, frames, routings = build(case)
    parameters = [frames, *pool.parameters(), *(r.weights for r in routings.values())]
    sparse, reference = pool(frames, routings), dense(pool, frames, routings)
    assert sparse.keys() == reference.keys()
    for task in routings:
        torch.testing.assert_close(sparse[task], reference[task], rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(gradients(sparse, parameters), gradients(reference, parameters)):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@given(cases())
@settings(max_examples=50, deadline=None)
def test_each_wanted_pair_of_frame_and_expert_is_computed_once_and_no_other(case):
    pool, frames, routings = build(case)
    heard = [[] for _ in pool.experts]
    for index, expert in enumerate(pool.experts):
        expert.register_forward_pre_hook(
            lambda _, given, index=index: heard[index].extend(given[0].detach().tolist())
        )
    pool(frames, routings)
    for index in range(len(pool.experts)):
        wanted = [
            row.tolist()
            for n, row in enumerate(frames.detach())
            if any(index in r.experts[n] for r in routings.values())
        ]
        assert sorted(heard[index]) == sorted(wanted)


def test_an_expert_that_both_tasks_chose_is_computed_once_for_both():
    pool, frames, routings = build((3, 3, 1, 30, ("se", "ser"), 0))
    rows = []
    for expert in pool.experts:
        expert.register_forward_hook(lambda _, given, output: rows.append(len(output)))
    pool(frames, routings)
    agreed = int((routings["se"].experts == routings["ser"].experts).sum())
    assert 0 < agreed < 30
    assert sum(rows) == 2 * 30 - agreed


def test_a_task_alone_never_computes_the_experts_of_the_other():
    torch.manual_seed(0)
    pool, frames = ExpertPool(WIDTH, 7, OUT, 2), torch.randn(10, WIDTH)
    called = []
    for index, expert in enumerate(pool.experts):
        expert.register_forward_hook(lambda *_, index=index: called.append(index))
    for expert, task in enumerate(("se", "ser")):
        choice = torch.full((10, 1), expert)
        outputs = pool(frames, {task: Routing(torch.zeros(10, 2), choice, torch.ones(10, 1))})
        assert outputs.keys() == {task}
        assert called.pop() == expert and not called


def test_an_expert_without_frames_gets_no_gradient():
    pool, frames, _ = build((3, 3, 1, 10, ("se",), 0))
    choice = torch.tensor([[0], [2]] * 5)
    routing = Routing(torch.zeros(10, 3), choice, torch.ones(10, 1))
    pool(frames, {"se": routing})["se"].sum().backward()
    silent = [all(p.grad is None for p in expert.parameters()) for expert in pool.experts]
    assert silent == [False, True, False]


@pytest.mark.parametrize("mode", ["straight_through", "hard"])
def test_top_one_output_is_that_of_the_chosen_expert_alone(mode):
    torch.manual_seed(0)
    pool, router = ExpertPool(WIDTH, 7, OUT, 4), Router(WIDTH, 4, mode)
    frames = torch.randn(20, WIDTH)
    routing = router(frames)
    output = pool(frames, {"se": routing})["se"]
    chosen = [pool.experts[e](f) for f, e in zip(frames, routing.experts.flatten().tolist())]
    agree(output, torch.stack(chosen))


@pytest.mark.parametrize("rank", [2, 5])
def test_an_expert_of_low_rank_is_factorised_as_the_full_one_it_stands_for(rank):
    torch.manual_seed(0)
    low = Expert(12, 9, OUT, rank=5)
    full = Expert(12, 9, OUT)
    with torch.no_grad():
        full[0].weight.copy_(low[1].weight @ low[0].weight)
        full[0].bias.copy_(low[1].bias)
    full[-1].load_state_dict(low[-1].state_dict())
    frames, smaller = torch.randn(40, 12), low.factorised(rank)
    assert [tuple(p.shape) for p in smaller.parameters()][:3] == [(rank, 12), (9, rank), (9,)]
    torch.testing.assert_close(smaller(frames), full.factorised(rank)(frames))
    if rank == 5:  # all of it
        torch.testing.assert_close(smaller(frames), low(frames))
