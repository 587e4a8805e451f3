"""Routers: what is chosen, under which weight, and by which road gradients reach them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import agree

from speechbrain_merit.lobes.experts import ExpertPool
from speechbrain_merit.lobes.routing import MODES, UNTRAINED, Router, Routing, route
from speechbrain_merit.training.losses import load_balance_loss, router_z_loss

WIDTH, N_EXPERTS = 6, 3


def make(mode, top_k=1, n_experts=N_EXPERTS, **rest):
    torch.manual_seed(1)
    return Router(WIDTH, n_experts, mode, top_k, **rest)


def frames(n=20, seed=0):
    return torch.randn(n, WIDTH, generator=torch.Generator().manual_seed(seed))


def routing_of(logits, k=1):
    """A routing over (1, N, E) logits whose choices are the k largest, and its frame mask."""
    logits = torch.as_tensor(logits, dtype=torch.float32)[None]
    experts = logits.topk(k, dim=-1).indices
    valid = torch.ones(logits.shape[:2], dtype=torch.bool)
    return Routing(logits, experts, torch.ones(experts.shape)), valid


# Choices and weights


@pytest.mark.parametrize("mode", ["straight_through", "switch", "hard", "random"])
@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_the_most_probable_experts_are_chosen(mode, top_k):
    router, heard = make(mode, top_k), frames()
    routing = router(heard)
    expected = (heard @ router.fc.weight.T + router.fc.bias).argsort(dim=-1, descending=True)
    assert torch.equal(routing.experts, expected[:, :top_k])


@pytest.mark.parametrize("mode", ["straight_through", "hard", "random"])
@pytest.mark.parametrize("top_k", [1, 2])
def test_chosen_experts_are_averaged_exactly(mode, top_k):
    weights = make(mode, top_k)(frames()).weights
    # not 0.9999999: with one expert the forward pass is one-hot to the last bit
    assert torch.equal(weights, torch.full((20, top_k), 1 / top_k))


@pytest.mark.parametrize("top_k", [1, 2])
def test_switch_scales_by_the_probability(top_k):
    router, heard = make("switch", top_k), frames()
    probabilities = router.fc(heard).softmax(dim=-1)
    assert torch.equal(router(heard).weights, probabilities.topk(top_k).values)


def test_dense_weighs_every_expert_by_its_probability_and_uniform_alike():
    heard = frames()
    dense, uniform = make("dense"), make("uniform")
    for routing in (dense(heard), uniform(heard)):
        assert torch.equal(routing.experts, torch.arange(N_EXPERTS).expand(20, N_EXPERTS))
    assert torch.equal(dense(heard).weights, dense.fc(heard).softmax(dim=-1))
    assert torch.equal(uniform(heard).weights, torch.full((20, N_EXPERTS), 1 / N_EXPERTS))


@pytest.mark.parametrize("mode", MODES)
def test_jitter_disturbs_training_alone(mode):
    router, heard = make(mode, jitter=0.5), frames()
    clean = router.fc(heard)
    assert torch.equal(router.eval()(heard).logits, clean)
    jittered = router.train()(heard).logits
    assert not torch.equal(jittered, clean)
    assert (jittered - clean).abs().max() <= 0.5 * (heard.abs() @ router.fc.weight.abs().T).max()


def test_jitter_is_drawn_evenly_around_one_for_each_task():
    torch.manual_seed(0)
    routers = {task: Router(1, 3, jitter=0.2) for task in ("se", "ser")}
    for router in routers.values():
        router.fc.weight.data.fill_(1.0)
        router.fc.bias.data.zero_()
    ones = torch.ones(2000, 1)
    factors = {
        task: routing.logits[:, 0].detach() for task, routing in route(routers, ones).items()
    }
    for factor in factors.values():
        assert 0.8 <= factor.min() < 0.81 and 1.19 < factor.max() <= 1.2
        assert float(factor.mean()) == pytest.approx(1, abs=0.02)
    assert not torch.equal(factors["se"], factors["ser"])


def test_decisions_are_made_in_float32_under_autocast():
    router, heard = make("straight_through"), frames(200)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        routing = router(heard)
    assert routing.logits.dtype == torch.float32
    assert torch.equal(routing.experts, router(heard).experts)


@pytest.mark.parametrize("top_k", [0, 4])
def test_more_experts_than_there_are_cannot_be_chosen(top_k):
    with pytest.raises(ValueError, match=f"top_k is {top_k}.*n_experts=3"):
        make("straight_through", top_k)


def test_an_unknown_mode_is_an_error_that_lists_the_known():
    with pytest.raises(ValueError, match="'soft'.*straight_through.*uniform"):
        make("soft")


# Gradients


def outputs_of(router, heard, seed=2):
    """Constant output of each expert (E, D') and what the pool would make of it (N, D')."""
    values = torch.randn(N_EXPERTS, 4, generator=torch.Generator().manual_seed(seed))
    routing = router(heard)
    return values, (routing.weights.unsqueeze(-1) * values[routing.experts]).sum(dim=1), routing


def test_straight_through_gradient_is_the_one_derived_by_hand():
    router, heard = make("straight_through"), frames(7)
    pull = torch.randn(7, 4)  # d loss / d out
    values, out, routing = outputs_of(router, heard)
    (pull * out).sum().backward()
    # out = (1 + p_e - stopgrad(p_e)) f_e and d p_e / d z_j = p_e (δ_ej - p_j)
    p = routing.logits.detach().softmax(dim=-1)
    e = routing.experts
    p_e, f_e = p.gather(1, e), values[e.squeeze(1)]
    delta = torch.nn.functional.one_hot(e.squeeze(1), N_EXPERTS)
    by_logits = (pull * f_e).sum(dim=-1, keepdim=True) * p_e * (delta - p)
    agree(router.fc.weight.grad, by_logits.T @ heard)
    agree(router.fc.bias.grad, by_logits.sum(dim=0))


def test_straight_through_does_not_move_what_an_unchosen_expert_would_say():
    """No unchosen expert's output is needed: it takes part in no gradient of the router."""
    gradients = []
    for unchosen in (0.0, 1e6):
        router, heard = make("straight_through"), frames(1)
        routing = router(heard)
        values = torch.full((N_EXPERTS, 4), unchosen)
        values[routing.experts.item()] = torch.arange(4.0)
        (routing.weights.unsqueeze(-1) * values[routing.experts]).sum().backward()
        gradients.append(router.fc.weight.grad)
    assert torch.equal(*gradients)
    assert gradients[0].abs().max() > 0


def test_a_router_learns_to_avoid_an_expert_that_harms():
    router, heard = make("straight_through"), frames(1)
    optimizer = torch.optim.SGD(router.parameters(), lr=0.1)
    first = router(heard)
    chosen = first.experts.item()
    values = torch.zeros(N_EXPERTS, 1)
    values[chosen] = 1.0  # this expert alone has a loss
    (first.weights * values[first.experts].squeeze(-1)).sum().backward()
    optimizer.step()
    after = router(heard).logits.softmax(dim=-1)[0, chosen]
    assert after < first.logits.softmax(dim=-1)[0, chosen]


@pytest.mark.parametrize("mode", ["switch", "dense"])
def test_soft_modes_pass_the_gradient_of_their_probabilities(mode):
    router, heard = make(mode), frames(7)
    pull = torch.randn(7, 4)
    values, out, routing = outputs_of(router, heard)
    (pull * out).sum().backward()
    p = routing.logits.detach().softmax(dim=-1)
    by_p = pull @ values.T  # d loss / d p of each expert
    if mode == "switch":
        by_p = by_p * torch.nn.functional.one_hot(routing.experts.squeeze(1), N_EXPERTS)
    by_logits = p * (by_p - (by_p * p).sum(dim=-1, keepdim=True))
    agree(router.fc.weight.grad, by_logits.T @ heard)


@pytest.mark.parametrize("mode", UNTRAINED)
def test_untrained_routers_get_no_gradient_and_stay_as_they_were(mode):
    router, heard = make(mode), frames()
    before = router.fc.weight.clone()
    pool = ExpertPool(WIDTH, 8, 4, N_EXPERTS)
    routing = router(heard)
    loss = pool(heard, {"ser": routing})["ser"].square().sum() + routing.logits.square().sum()
    loss.backward()
    torch.optim.AdamW([*router.parameters(), *pool.parameters()], lr=0.1).step()
    assert router.fc.weight.grad is None and router.fc.bias.grad is None
    assert torch.equal(router.fc.weight, before)


# Balance and z terms


@pytest.mark.parametrize("n_experts", [1, 2, 3, 5])
def test_balance_loss_is_one_at_uniform_use(n_experts):
    confident = 20 * torch.eye(n_experts).repeat(4, 1)
    assert load_balance_loss(*routing_of(confident)).item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("n_experts", [1, 2, 3, 5])
def test_balance_loss_is_the_number_of_experts_when_one_takes_all(n_experts):
    collapsed = torch.zeros(12, n_experts)
    collapsed[:, 0] = 50
    assert load_balance_loss(*routing_of(collapsed)).item() == pytest.approx(n_experts, abs=1e-4)


@given(st.lists(st.integers(0, 6), min_size=2, max_size=5).filter(any))
@settings(max_examples=50, deadline=None)
def test_balance_loss_of_sure_routers_is_least_at_uniform_use(uses):
    logits = 50 * torch.eye(len(uses)).repeat_interleave(torch.tensor(uses), dim=0)
    share = torch.tensor(uses) / sum(uses)
    loss = load_balance_loss(*routing_of(logits)).item()
    assert loss == pytest.approx(len(uses) * share.square().sum().item(), abs=1e-4)
    if len(set(uses)) > 1:
        assert loss > 1 + 1e-4


def test_balance_gradient_moves_probability_from_the_overused_expert():
    routing, valid = routing_of([[1.0, 0.0, 0.0]] * 5)
    logits = routing.logits.requires_grad_()
    load_balance_loss(routing._replace(logits=logits), valid).backward()
    descent = -logits.grad[0]
    assert (descent[:, 0] < 0).all() and (descent[:, 1:] > 0).all()


def test_balance_loss_of_two_choices_a_frame_counts_both():
    # both experts of every frame are used alike, the third never
    routing, valid = routing_of([[20.0, 20.0, 0.0]] * 4, k=2)
    assert load_balance_loss(routing, valid).item() == pytest.approx(3 * (0.25 + 0.25), abs=1e-4)


def test_z_loss_is_the_mean_squared_log_sum_exp():
    logits = torch.tensor([[0.0, 0.0], [3.0, 3.0]])
    two = torch.tensor(2.0).log()
    expected = (two**2 + (3 + two) ** 2) / 2
    assert router_z_loss(*routing_of(logits)).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("loss", [load_balance_loss, router_z_loss])
def test_padding_counts_in_neither_term(loss):
    torch.manual_seed(0)
    routing, valid = routing_of(torch.randn(10, 3))
    valid[:, 6:] = False
    short = Routing(*(value[:, :6] for value in routing))
    assert loss(routing, valid).item() == pytest.approx(loss(short, valid[:, :6]).item(), rel=1e-6)
    logits = routing.logits.requires_grad_()
    loss(routing._replace(logits=logits), valid).backward()
    assert not logits.grad[:, 6:].any() and logits.grad[:, :6].any()
