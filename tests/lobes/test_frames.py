"""The normalised frames: a product over them is that of their concatenation, gradients too."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from speechbrain_merit.lobes.frames import NormalisedFrames, project
from speechbrain_merit.lobes.integration import MixtureOfExperts


def build(n_hidden, n_frames, width, seed, frozen=False):
    """Hidden states (L, M, D), LayerNorms that do something, and a choice of frames."""
    generator = torch.Generator().manual_seed(seed)
    hidden = 3 * torch.randn(n_hidden, n_frames, width, generator=generator) + 1
    norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(n_hidden))
    for norm in norms:
        norm.weight.data.uniform_(-2, 2, generator=generator)
        norm.bias.data.normal_(generator=generator)
    keep = 1 + int(torch.randint(n_frames, (1,), generator=generator))
    rows = torch.randperm(n_frames, generator=generator)[:keep]
    return hidden.requires_grad_(not frozen), norms, rows


def gradients(output, parameters):
    weights = torch.linspace(-1, 1, output.numel()).view(output.shape)
    found = torch.autograd.grad((weights * output).sum(), parameters)
    return [output, *found]


@given(
    n_hidden=st.integers(1, 12),
    n_frames=st.integers(1, 20),
    width=st.integers(8, 12),  # narrower, a frame may hardly vary, and rounding rules
    frozen=st.booleans(),
    bias=st.booleans(),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=80, deadline=None)
def test_a_product_over_the_frames_is_that_of_their_concatenation(
    n_hidden, n_frames, width, frozen, bias, seed
):
    hidden, norms, rows = build(n_hidden, n_frames, width, seed, frozen)
    torch.manual_seed(seed)
    layer = nn.Linear(n_hidden * width, 3, bias=bias)
    frames = NormalisedFrames(hidden, norms, rows)
    parameters = [*layer.parameters(), *norms.parameters(), *([] if frozen else [hidden])]
    ours = gradients(project(layer, frames), parameters)
    whole = gradients(layer(frames.tensor()), parameters)
    for one, other in zip(ours, whole):
        torch.testing.assert_close(
            one, other, rtol=1e-5, atol=1e-5 * (1 + float(other.detach().abs().max()))
        )


def test_a_choice_of_a_choice_is_what_indexing_the_frames_gives():
    hidden, norms, _ = build(2, 9, 4, seed=1)
    frames = NormalisedFrames(hidden, norms, torch.tensor([8, 3, 5, 0]))
    picked = frames[torch.tensor([2, 0])]
    assert len(picked) == 2
    torch.testing.assert_close(picked.tensor(), frames.tensor()[[2, 0]], rtol=0, atol=0)


def test_only_what_needs_a_gradient_gets_one():
    hidden, norms, rows = build(3, 6, 4, seed=2, frozen=True)
    layer = nn.Linear(12, 2).requires_grad_(False)
    project(layer, NormalisedFrames(hidden, norms, rows)).sum().backward()
    assert hidden.grad is None and layer.weight.grad is None
    assert all(float(norm.bias.grad.abs().max()) > 0 for norm in norms)


@pytest.mark.parametrize("trained", ["norms", "gamma", "beta", "weight", "norms and weight"])
@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("n_hidden, out", [(3, 2), (5, 64), (6, 65), (11, 130)])
def test_what_alone_is_trained_gets_its_gradient(trained, frozen, n_hidden, out):
    """Of an expert that stays as it is, say, where the LayerNorms learn; in groups and pieces."""
    hidden, norms, rows = build(n_hidden, 20, 8, seed=4, frozen=frozen)
    torch.manual_seed(0)
    layer = nn.Linear(8 * n_hidden, out)
    wanted = {
        "gamma": [norm.weight for norm in norms],
        "beta": [norm.bias for norm in norms],
        "norms": [*norms.parameters()],
        "weight": [layer.weight],
        "norms and weight": [*norms.parameters(), layer.weight],
    }[trained]
    for parameter in (*norms.parameters(), *layer.parameters()):
        parameter.requires_grad_(any(parameter is one for one in wanted))
    wanted = [*wanted, *([] if frozen else [hidden])]
    frames = NormalisedFrames(hidden, norms, rows)
    ours = gradients(project(layer, frames), wanted)
    for one, other in zip(ours, gradients(layer(frames.tensor()), wanted)):
        scale = float(other.detach().abs().max())
        assert scale > 0
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5 * (1 + scale))


def test_all_frames_are_meant_unless_rows_are_given():
    hidden, norms, _ = build(4, 9, 8, seed=5)
    layer = nn.Linear(32, 3)
    every = NormalisedFrames(hidden, norms)
    assert len(every) == 9 and len(NormalisedFrames(hidden, norms, torch.arange(2))) == 2
    listed = NormalisedFrames(hidden, norms, torch.arange(9))
    parameters = [*layer.parameters(), *norms.parameters(), hidden]
    for one, other in zip(
        gradients(project(layer, every), parameters), gradients(project(layer, listed), parameters)
    ):
        torch.testing.assert_close(one, other)
    chosen = every[torch.tensor([4, 1])]
    assert torch.equal(chosen.tensor(), listed.tensor()[[4, 1]])


def test_bfloat16_is_chosen_by_autocast_and_stays_near():
    hidden, norms, rows = build(6, 30, 16, seed=3)
    layer = nn.Linear(96, 8)
    frames = NormalisedFrames(hidden, norms, rows)
    exact = project(layer, frames)
    with torch.autocast("cpu", torch.bfloat16):
        rough = project(layer, frames)
        router = project(layer, frames, torch.float32)
    assert rough.dtype == torch.bfloat16 and router.dtype == torch.float32
    torch.testing.assert_close(router, exact, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(rough.float(), exact, rtol=0.02, atol=0.05)
    rough.float().square().sum().backward()
    assert layer.weight.grad.dtype == torch.float32


@pytest.mark.parametrize("frozen", [True, False])
def test_training_keeps_no_concatenation(frozen):
    torch.manual_seed(0)
    mixture = MixtureOfExperts(n_hidden=7, width=64, expert_hidden=8, out=8)
    hidden = torch.randn(7, 2, 50, 64, requires_grad=not frozen)
    known = {t.untyped_storage().data_ptr() for t in (hidden, *mixture.parameters())}
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = mixture(hidden)
    assert output.se.requires_grad
    assert sum(size for place, size in kept.items() if place not in known) < hidden.nbytes / 2
