"""Losses: their values, that padding counts in none, and which parameters each one reaches."""

import numpy as np
import pytest
import torch
from tiny import agree, tiny_merit, with_garbage

from speechbrain_merit.evaluation import enhancement as metrics
from speechbrain_merit.labels import class_weights
from speechbrain_merit.lobes.objectives import log_spectral_l1, si_sdr
from speechbrain_merit.lobes.routing import Routing
from speechbrain_merit.training import losses

# Values


def test_class_weights_are_n_over_classes_times_count():
    assert class_weights([10, 30, 20]).tolist() == pytest.approx([2.0, 2 / 3, 1.0])
    # in the mean over the corpus every class counts as much as in a balanced one
    counts = torch.tensor([10, 30, 20])
    assert (class_weights(counts) * counts).tolist() == pytest.approx([20.0] * 3)


def test_a_class_without_utterances_is_an_error():
    with pytest.raises(ValueError, match="no training utterance.*3.0, 0.0"):
        class_weights([3, 0])


def test_emotion_loss_is_the_weighted_mean_of_negative_log_probabilities():
    torch.manual_seed(0)
    logits, target = torch.randn(6, 3), torch.tensor([0, 0, 0, 1, 2, 2])
    weight = class_weights([3, 1, 2])
    nll = -logits.log_softmax(dim=-1)[torch.arange(6), target]
    expected = (weight[target] * nll).sum() / weight[target].sum()
    agree(losses.emotion_loss(logits, target, weight), expected)
    torchs = torch.nn.CrossEntropyLoss(weight, label_smoothing=0.1)(logits, target)
    agree(losses.emotion_loss(logits, target, weight, label_smoothing=0.1), torchs)


def test_enhancement_loss_is_the_mean_over_true_frames():
    torch.manual_seed(0)
    estimate, clean, counts = torch.randn(3, 10, 7), torch.randn(3, 10, 7), (10, 6, 1)
    lengths = torch.tensor(counts) / 10
    true = torch.cat([(e - c)[:n] for e, c, n in zip(estimate, clean, counts)])
    expected = true.abs().mean()
    agree(log_spectral_l1(with_garbage(estimate, counts), clean, lengths), expected)
    agree(log_spectral_l1(estimate, clean), (estimate - clean).abs().mean())


def test_no_gradient_of_the_enhancement_loss_comes_from_padding():
    estimate = torch.randn(2, 10, 7, requires_grad=True)
    log_spectral_l1(estimate, torch.zeros(2, 10, 7), torch.tensor([1.0, 0.4])).backward()
    assert estimate.grad[1, :4].all() and not estimate.grad[1, 4:].any()


def test_attribute_loss_is_one_less_concordance_over_what_was_rated():
    rng = np.random.default_rng(0)
    truth, predicted = rng.random((6, 3)), rng.random((6, 3))
    truth[:4, 0] = np.nan  # two ratings are left,
    truth[1:, 1] = np.nan  # one, which says nothing,
    truth[2, 2] = np.nan  # and five
    expected = []
    for column in (0, 2):
        rated = np.isfinite(truth[:, column])
        x, y = truth[rated, column], predicted[rated, column]
        spread = x.var() + y.var() + (x.mean() - y.mean()) ** 2
        expected.append(1 - 2 * ((x - x.mean()) * (y - y.mean())).mean() / spread)
    loss = losses.attribute_loss(torch.tensor(predicted), torch.tensor(truth))
    assert float(loss) == pytest.approx(np.mean(expected))
    assert float(losses.attribute_loss(torch.rand(6, 3), torch.full((6, 3), torch.nan))) == 0


@pytest.mark.parametrize("top_k", [1, 2])
def test_balance_is_switchs_over_true_frames(top_k):
    rng = np.random.default_rng(0)
    logits, frames = rng.normal(size=(2, 7, 3)), rng.random((2, 7)) < 0.6
    chosen = np.argsort(-logits, axis=-1)[..., :top_k]
    use, mass = np.zeros(3), np.zeros(3)
    for row, experts in zip(logits[frames], chosen[frames]):
        use[experts] += 1 / top_k
        mass += np.exp(row) / np.exp(row).sum()
    expected = 3 * (use / frames.sum() * mass / frames.sum()).sum()
    routing = Routing(*map(torch.tensor, (logits, chosen, np.ones_like(chosen, float))))
    balance = losses.load_balance_loss(routing, torch.tensor(frames))
    assert float(balance) == pytest.approx(expected)
    z = np.log(np.exp(logits[frames]).sum(axis=-1))
    assert float(losses.router_z_loss(routing, torch.tensor(frames))) == pytest.approx(
        (z**2).mean()
    )


def speech_and_orthogonal_noise(n=4000):
    torch.manual_seed(0)
    waves = torch.randn(2, 3, n).double()
    clean, noise = waves - waves.mean(dim=-1, keepdim=True)
    power = clean.square().sum(-1, keepdim=True)
    noise = noise - (noise * clean).sum(-1, keepdim=True) / power * clean
    noise = noise * clean.norm(dim=-1, keepdim=True) / noise.norm(dim=-1, keepdim=True)
    return clean.float(), noise.float()


@pytest.mark.parametrize("decibels", [-10.0, 0.0, 5.0, 30.0])
@pytest.mark.parametrize("scale", [0.01, 1.0, -50.0])
def test_si_sdr_of_orthogonal_noise_is_its_snr_at_any_scale(decibels, scale):
    clean, noise = speech_and_orthogonal_noise()
    estimate = scale * (clean + 10 ** (-decibels / 20) * noise)
    assert si_sdr(estimate, clean).tolist() == pytest.approx([decibels] * 3, abs=0.01)


def test_si_sdr_is_that_of_the_metrics_and_ignores_zero_padding():
    clean, noise = speech_and_orthogonal_noise()
    estimate = 2 * clean + clean.roll(1, dims=-1) + noise
    values = si_sdr(estimate, clean)
    reported = [metrics.si_sdr(c, e) for c, e in zip(clean.numpy(), estimate.numpy())]
    assert values.tolist() == pytest.approx(reported, abs=1e-3)
    padded = [torch.nn.functional.pad(wave, (0, 500)) for wave in (estimate, clean)]
    assert si_sdr(*padded).tolist() == pytest.approx(values.tolist(), abs=1e-4)


@pytest.mark.parametrize("offsets", [(0.0, 0.0), (0.3, 0.0), (0.0, -0.3), (2.0, -5.0)])
def test_loss_and_report_have_one_si_sdr_for_waves_with_dc_and_padding(offsets):
    clean, noise = speech_and_orthogonal_noise(4000)
    estimate = 0.7 * clean + clean.roll(1, dims=-1) + 0.5 * noise + offsets[0]
    clean = clean + offsets[1]
    counts = [4000, 2400, 1000]
    reported = [
        metrics.si_sdr(c[:count].numpy(), e[:count].numpy())
        for c, e, count in zip(clean, estimate, counts)
    ]
    lengths = torch.tensor(counts) / 4000
    padded = [with_garbage(wave, counts) for wave in (estimate, clean)]
    assert si_sdr(*padded, lengths).tolist() == pytest.approx(reported, abs=1e-3)
    # a constant is no distortion
    bare = si_sdr(estimate - offsets[0], clean - offsets[1], lengths)
    assert bare.tolist() == pytest.approx(reported, abs=1e-3)


def test_si_sdr_of_a_perfect_or_silent_estimate_is_finite_with_its_gradient():
    clean, _ = speech_and_orthogonal_noise()
    for estimate in (clean.clone(), torch.zeros_like(clean)):
        estimate.requires_grad_()
        values = si_sdr(estimate, clean)
        values.sum().backward()
        assert torch.isfinite(values).all() and torch.isfinite(estimate.grad).all()


# Reach


def groups(merit):
    mixture = merit.integration
    return {
        "encoder": merit.encoder,
        "layer norms": mixture.layer_norms,
        "se router": mixture.routers["se"],
        "ser router": mixture.routers["ser"],
        "experts": mixture.pool,
        "enhancement head": merit.enhancement,
        "emotion head": merit.emotion,
    }


def term(name, merit, output, wavs, lengths):
    if name == "emotion":
        return losses.emotion_loss(output.logits, torch.tensor([1, 2]))
    if name == "enhancement":
        return merit.enhancement.loss(output.enhanced, 0.5 * wavs, lengths)["enhancement"]
    if name == "si_sdr":
        return merit.enhancement.loss(output.enhanced, wavs, lengths)["si_sdr"]
    task, kind = name.split()
    loss = losses.load_balance_loss if kind == "balance" else losses.router_z_loss
    return loss(output.routing[task], output.frames)


SHARED = {"encoder", "layer norms"}
REACH = {
    "emotion": SHARED | {"ser router", "experts", "emotion head"},
    "enhancement": SHARED | {"se router", "experts", "enhancement head"},
    "si_sdr": SHARED | {"se router", "experts", "enhancement head"},
    "se balance": SHARED | {"se router"},
    "ser balance": SHARED | {"ser router"},
    "se z": SHARED | {"se router"},
    "ser z": SHARED | {"ser router"},
}


@pytest.mark.parametrize("name", REACH)
def test_a_term_reaches_the_parameters_that_it_should_and_no_others(name):
    torch.manual_seed(0)
    merit = tiny_merit()
    wavs, lengths = torch.randn(2, 4800), torch.tensor([1.0, 0.6])
    wavs[1, 2880:] = 0
    term(name, merit, merit(wavs, lengths), wavs, lengths).backward()
    reached = {
        group
        for group, module in groups(merit).items()
        if any(p.grad is not None and p.grad.any() for p in module.parameters())
    }
    assert reached == REACH[name]


@pytest.mark.parametrize("name", REACH)
def test_a_term_is_the_mean_over_utterances_whatever_the_padding(name):
    torch.manual_seed(0)
    merit = tiny_merit()
    wavs, lengths = torch.randn(2, 4800), torch.tensor([1.0, 0.6])
    wavs[1, 2880:] = 0
    longer = torch.nn.functional.pad(wavs, (0, 3200))
    values = [
        term(name, merit, merit(w, n), w, n)
        for w, n in ((wavs, lengths), (longer, lengths * 4800 / 8000))
    ]
    assert values[1].item() == pytest.approx(values[0].item(), rel=1e-5)
