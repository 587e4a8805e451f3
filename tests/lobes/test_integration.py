"""Integrations: mixtures of experts and weighted sums over all layers, blind to padding."""

import pytest
import torch
from tiny import agree, tiny_merit, with_garbage

from speechbrain_merit.lobes.integration import TASKS, MixtureOfExperts, WeightedSum
from speechbrain_merit.lobes.routing import MODES
from speechbrain_merit.training.losses import emotion_loss

LAYERS, WIDTH = 3, 8
COUNTS = (12, 7, 1)  # true frames of each utterance of a batch
LENGTHS = torch.tensor(COUNTS) / max(COUNTS)


def mixture(mode="straight_through", **rest):
    torch.manual_seed(0)
    return MixtureOfExperts(LAYERS, WIDTH, routing=mode, **rest)


def weighted_sum():
    module = WeightedSum(LAYERS, WIDTH)
    for weight in module.weights.values():
        torch.nn.init.normal_(weight, generator=torch.Generator().manual_seed(1))
    return module


INTEGRATIONS = {
    **{mode: lambda mode=mode: mixture(mode) for mode in MODES},
    "two experts a frame": lambda: mixture(top_k=2, out=5),
    "weighted sum": weighted_sum,
}
every = pytest.mark.parametrize("build", INTEGRATIONS.values(), ids=INTEGRATIONS.keys())


def hidden_states(seed=0):
    """Hidden states (L, B, T, D) of an encoder, zero in the padding."""
    hidden = torch.randn(LAYERS, 3, 12, WIDTH, generator=torch.Generator().manual_seed(seed))
    inside = torch.arange(12) < torch.tensor(COUNTS)[:, None]
    return hidden * inside[None, :, :, None]


# Padding


@every
def test_an_utterance_in_a_batch_gives_what_it_gives_alone(build):
    module, hidden = build(), hidden_states()
    together = module(hidden, LENGTHS)
    for row, count in enumerate(COUNTS):
        alone = module(hidden[:, row : row + 1, :count])
        for task in TASKS:
            batched = getattr(together, task)[row]
            agree(batched[:count], getattr(alone, task)[0])
            assert not batched[count:].any()
            if together.routing:
                for ours, single in zip(together.routing[task], alone.routing[task]):
                    torch.testing.assert_close(ours[row, :count], single[0])


@every
def test_what_lies_in_the_padding_changes_nothing(build):
    module, hidden = build(), hidden_states()
    dirty = torch.stack([with_garbage(state, COUNTS) for state in hidden])
    for task in TASKS:
        clean = getattr(module(hidden, LENGTHS), task)
        agree(getattr(module(dirty, LENGTHS), task), clean)


@every
def test_no_gradient_comes_back_from_the_padding(build):
    hidden = hidden_states().requires_grad_()
    integrated = build()(hidden, LENGTHS)
    (integrated.se.exp().sum() + integrated.ser.exp().sum()).backward()
    inside = torch.arange(12) < torch.tensor(COUNTS)[:, None]
    assert hidden.grad[:, inside].any() and not hidden.grad[:, ~inside].any()


# What each integration computes


def test_a_mixture_normalises_each_layer_then_concatenates():
    module, hidden = mixture("dense"), hidden_states()[:, :1]
    module.layer_norms[1].weight.data.fill_(3.0)  # each layer has a norm of its own
    frames = []
    for layer, norm in zip(hidden[:, 0], module.layer_norms):
        centred = layer - layer.mean(dim=-1, keepdim=True)
        frames.append(centred / (layer.var(dim=-1, correction=0, keepdim=True) + 1e-5).sqrt())
        frames[-1] = frames[-1] * norm.weight
    frames = torch.cat(frames, dim=-1)
    for task in TASKS:
        weights = module.routers[task].fc(frames).softmax(dim=-1)
        outputs = torch.stack([expert(frames) for expert in module.pool.experts], dim=-1)
        expected = (outputs * weights[:, None]).sum(dim=-1)
        agree(getattr(module(hidden), task)[0], expected)


def test_a_weighted_sum_weighs_the_normalised_layers_for_each_task():
    module, hidden = weighted_sum(), hidden_states()[:, :1]
    states = torch.nn.functional.layer_norm(hidden, (WIDTH,))[:, 0]
    integrated = module(hidden)
    for task in TASKS:
        shares = module.weights[task].exp() / module.weights[task].exp().sum()
        agree(getattr(integrated, task)[0], sum(s * state for s, state in zip(shares, states)))
    assert integrated.routing == {}


def test_the_tasks_share_experts_but_not_routers():
    module = mixture()
    integrated = module(hidden_states(), LENGTHS)
    assert not torch.equal(integrated.routing["se"].logits, integrated.routing["ser"].logits)
    same = integrated.routing["se"].experts == integrated.routing["ser"].experts
    same = same.squeeze(-1)
    inside = torch.arange(12) < torch.tensor(COUNTS)[:, None]
    assert (same & inside).any() and (~same & inside).any()
    assert torch.equal(integrated.se[same], integrated.ser[same])


@every
def test_a_task_alone_gives_what_it_gives_beside_the_other(build):
    module, hidden = build(), hidden_states()
    both = module(hidden, LENGTHS)
    for task, other in (TASKS, TASKS[::-1]):
        alone = module(hidden, LENGTHS, tasks=(task,))
        assert getattr(alone, other) is None
        assert other not in alone.routing
        agree(getattr(alone, task), getattr(both, task))


# Training


def task_losses(merit, wavs, lengths):
    """Losses of the two tasks alone, without balance and z."""
    output = merit(wavs, lengths)
    return {
        "se": merit.enhancement.loss(output.enhanced, 0.5 * wavs, lengths)["enhancement"],
        "ser": emotion_loss(output.logits, torch.tensor([0, 2])),
    }


def test_task_losses_alone_train_the_routers():
    torch.manual_seed(0)
    merit = tiny_merit().train()
    routers = merit.integration.routers
    before = {task: routers[task].fc.weight.detach().clone() for task in TASKS}
    optimizer = torch.optim.AdamW(merit.parameters(), lr=1e-3, weight_decay=0.0)
    losses = task_losses(merit, torch.randn(2, 4800), torch.tensor([1.0, 0.6]))
    sum(losses.values()).backward()
    optimizer.step()
    for task in TASKS:
        assert routers[task].fc.weight.grad.abs().max() > 0
        assert not torch.equal(routers[task].fc.weight, before[task])


@pytest.mark.parametrize("task, other", [TASKS, TASKS[::-1]])
def test_the_loss_of_a_task_reaches_its_own_router_alone(task, other):
    torch.manual_seed(0)
    merit = tiny_merit()
    task_losses(merit, torch.randn(2, 4800), None)[task].backward()
    routers = merit.integration.routers
    assert routers[task].fc.weight.grad.abs().max() > 0
    grad = routers[other].fc.weight.grad
    assert grad is None or not grad.any()


# Standardising


def skewed(seed):
    """Hidden states whose features differ in mean and spread, as in pretrained encoders."""
    torch.manual_seed(100)
    mean, spread = 5 * torch.randn(LAYERS, 1, 1, WIDTH), torch.rand(LAYERS, 1, 1, WIDTH) + 0.2
    torch.manual_seed(seed)
    return mean + spread * torch.randn(LAYERS, 3, 12, WIDTH)


@pytest.mark.parametrize("build", [mixture, weighted_sum])
def test_standardise_gives_every_feature_mean_zero_and_variance_one(build):
    module = build()
    batches = [(skewed(0), LENGTHS), (skewed(1), None), (skewed(2), LENGTHS)]
    module.standardise(batches)
    inside = torch.arange(12) < torch.tensor(COUNTS)[:, None]
    for layer, norm in enumerate(module.layer_norms):
        frames = torch.cat(
            [
                norm(h[layer][inside] if n is not None else h[layer].flatten(0, 1))
                for h, n in batches
            ]
        )
        torch.testing.assert_close(frames.mean(dim=0), torch.zeros(WIDTH), rtol=0, atol=1e-4)
        variance = frames.var(dim=0, correction=0)
        torch.testing.assert_close(variance, torch.ones(WIDTH), rtol=1e-3, atol=0)
        assert norm.weight.requires_grad and norm.bias.requires_grad  # it trains on from there


def test_standardise_does_not_count_padding():
    module, padded = mixture(), mixture()
    module.standardise([(skewed(0), LENGTHS)])
    dirty = torch.stack([with_garbage(state, COUNTS) for state in skewed(0)])
    padded.standardise([(dirty, LENGTHS)])
    for norm, other in zip(module.layer_norms, padded.layer_norms):
        assert torch.equal(norm.weight, other.weight) and torch.equal(norm.bias, other.bias)


def test_standardise_leaves_a_constant_feature_finite():
    module = mixture()
    hidden = torch.randn(LAYERS, 1, 6, WIDTH).expand(-1, 3, -1, -1)[:, :, :1].expand(-1, -1, 6, -1)
    module.standardise([(hidden, None)])
    for norm, state in zip(module.layer_norms, hidden):
        torch.testing.assert_close(norm(state), torch.zeros_like(state), rtol=0, atol=1e-2)
