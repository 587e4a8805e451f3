"""Weights in int8 and of low rank: near the full weights, smaller, routers untouched."""

import io

import pytest
import torch
from tiny import agree, tiny_merit
from torch import nn
from transformers import WavLMConfig, WavLMModel

from speechbrain_merit.lobes.experts import Expert, ExpertPool
from speechbrain_merit.lobes.integration import MixtureOfExperts
from speechbrain_merit.lobes.quantised import Int8Linear, quantise
from speechbrain_merit.lobes.routing import Routing
from speechbrain_merit.lobes.self_supervised import SelfSupervisedHidden


def stored(module):
    """Bytes that the state dict of a module takes in a file."""
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    return len(file.getvalue())


def test_each_weight_is_off_by_half_a_step_of_its_channel_at_most():
    torch.manual_seed(0)
    layer = nn.Linear(300, 5)
    layer.weight.data[1] *= 1000  # a loud channel costs the others nothing
    layer.weight.data[2] = 0
    small = Int8Linear.of(layer)
    restored = small.weight * small.scale.unsqueeze(1)
    steps = layer.weight.detach().abs().amax(dim=1, keepdim=True) / 127
    assert bool(((restored - layer.weight).abs() <= steps / 2 * 1.0001).all())
    assert bool((small.weight[2] == 0).all()) and bool(torch.isfinite(small.scale).all())
    frames = torch.randn(4, 300)
    agree(small(frames), nn.functional.linear(frames, restored, layer.bias))


def test_a_mixture_in_int8_hears_what_its_restored_weights_would():
    torch.manual_seed(0)
    mixture = MixtureOfExperts(n_hidden=7, width=16).eval()
    small = quantise(MixtureOfExperts(n_hidden=7, width=16).eval())
    small_state = quantise(mixture).state_dict()
    small.load_state_dict(small_state)
    restored = MixtureOfExperts(n_hidden=7, width=16).eval()
    full = {}
    for name, value in small_state.items():
        scale = small_state.get(name.replace("weight", "scale")) if value.dtype == torch.int8 else 1
        full[name] = value * scale.unsqueeze(1) if value.dtype == torch.int8 else value
    restored.load_state_dict({n: v for n, v in full.items() if not n.endswith("scale")})
    hidden, lengths = torch.randn(7, 2, 9, 16), torch.tensor([1.0, 0.6])
    with torch.no_grad():
        ours, theirs = small(hidden, lengths), restored(hidden, lengths)
    agree(ours.se, theirs.se)
    agree(ours.ser, theirs.ser)


def test_int8_keeps_routers_and_takes_a_quarter_of_the_experts_memory():
    torch.manual_seed(0)
    mixture = MixtureOfExperts(n_hidden=5, width=64)
    before = stored(mixture.pool)
    routers = {name: p.clone() for name, p in mixture.routers.state_dict().items()}
    assert stored(quantise(mixture).pool) < 0.27 * before
    for name, value in mixture.routers.state_dict().items():
        assert torch.equal(value, routers[name])


def test_the_whole_network_in_int8_stays_near_itself():
    torch.manual_seed(0)
    merit, wavs = tiny_merit(), torch.randn(2, 8000)
    with torch.no_grad():
        before = merit(wavs)
        after = quantise(merit)(wavs)
    assert all(
        type(layer) is Int8Linear for layer in merit.encoder.modules() if hasattr(layer, "scale")
    )
    agree(after.logits, before.logits, tolerance=0.05)
    agree(after.enhanced.estimate, before.enhanced.estimate, tolerance=0.05)
    assert not torch.equal(after.logits, before.logits)


def test_wavlm_runs_with_int8_weights_where_its_attention_allows():
    config = WavLMConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        conv_dim=[16] * 7,
        num_conv_pos_embedding_groups=2,
    )
    torch.manual_seed(0)
    encoder = SelfSupervisedHidden(WavLMModel(config), normalise=False).eval()
    with torch.no_grad():
        before = encoder(torch.randn(1, 8000, generator=torch.Generator().manual_seed(0)))
        after = quantise(encoder)(torch.randn(1, 8000, generator=torch.Generator().manual_seed(0)))
    assert sum(type(layer) is Int8Linear for layer in encoder.modules()) >= 5
    agree(after, before, tolerance=0.05)


def test_a_low_rank_expert_has_the_asked_size_and_learns():
    expert = Expert(100, 40, 8, rank=5)
    assert sum(p.numel() for p in expert.parameters()) == 100 * 5 + 5 * 40 + 40 + 40 * 8 + 8
    expert(torch.randn(3, 100)).sum().backward()
    assert all(float(p.grad.abs().max()) > 0 for p in expert.parameters())


@pytest.mark.parametrize("rank, tolerance", [(12, 1e-5), (6, 0.5)])
def test_a_factorised_expert_is_the_best_of_its_rank(rank, tolerance):
    torch.manual_seed(0)
    expert = Expert(12, 20, 8)
    smaller, frames = expert.factorised(rank), torch.randn(30, 12)
    agree(smaller(frames), expert(frames), tolerance=tolerance)
    product = smaller[1].weight @ smaller[0].weight
    lost = (product - expert[0].weight).square().sum()
    spectrum = torch.linalg.svdvals(expert[0].weight.detach())
    torch.testing.assert_close(lost, spectrum[rank:].square().sum(), rtol=1e-3, atol=1e-6)


def test_a_factorised_expert_is_a_low_rank_one_with_the_rest_of_the_first():
    torch.manual_seed(0)
    expert = Expert(12, 20, 8)
    smaller = expert.factorised(5)
    assert [tuple(p.shape) for p in smaller.parameters()] == [
        tuple(p.shape) for p in Expert(12, 20, 8, rank=5).parameters()
    ]
    assert all(p.requires_grad for p in smaller.parameters())  # it may be trained on
    for one, other in ((smaller[1].bias, expert[0].bias), (smaller[-1].bias, expert[-1].bias)):
        assert torch.equal(one, other)
    assert torch.equal(smaller[-1].weight, expert[-1].weight)
    # the first of its rows hold the most of the weights: their lengths are the singular values
    spectrum = torch.linalg.svdvals(expert[0].weight.detach())[:5]
    torch.testing.assert_close(smaller[1].weight.norm(dim=0), spectrum)
    torch.testing.assert_close(smaller[0].weight @ smaller[0].weight.T, torch.eye(5))


def test_a_pool_factorises_every_expert_and_keeps_their_order():
    torch.manual_seed(0)
    pool, frames = ExpertPool(12, 20, 8, n_experts=3), torch.randn(9, 12)
    chosen = torch.tensor([[0], [1], [2]] * 3)
    routing = {"ser": Routing(torch.zeros(9, 3), chosen, torch.ones(9, 1))}
    before = pool(frames, routing)["ser"]
    assert pool.factorise(12) is pool
    agree(pool(frames, routing)["ser"], before, tolerance=1e-5)
    smaller = ExpertPool(12, 20, 8, n_experts=3).factorise(4)
    assert [expert[0].weight.shape for expert in smaller.experts] == [(4, 12)] * 3


def test_half_precision_holds_what_the_weights_alone_would_not():
    layer = nn.Linear(1920, 8, bias=False)
    layer.weight.data.abs_()
    frames = torch.ones(1, 1920)
    small = Int8Linear.of(layer)
    halves = small.half()(frames.half())
    torch.testing.assert_close(halves.float(), layer(frames), rtol=0.02, atol=0.1)
