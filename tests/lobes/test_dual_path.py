"""The convolutional enhancement head: what a batch, padding and its settings may change."""

import pytest
import torch
from tiny import WIDTH, agree, pad, tiny_dual_path, tiny_merit, with_garbage

from speechbrain_merit.errors import SettingsError
from speechbrain_merit.lobes.dual_path import DualPathBlock, DualPathHead, build_enhancement
from speechbrain_merit.lobes.enhancement import EnhancementHead
from speechbrain_merit.lobes.spectral_losses import EXTRA
from speechbrain_merit.lobes.spectrum import stft

SAMPLES = (8000, 5317, 3201)
FRAMES = (25, 16, 10)


def waves(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [0.1 * (i + 1) * torch.randn(n, generator=generator) for i, n in enumerate(SAMPLES)]


def lively(head):
    """The head with weights so large that its gain is far from a half."""
    for weight in head.leave.parameters():
        weight.data.mul_(10)
    return head


@pytest.fixture(params=["training", "evaluation"])
def head(request):
    torch.manual_seed(0)
    return lively(DualPathHead(3, channels=(4, 6, 8))).train(request.param == "training")


def test_an_utterance_in_a_batch_gives_what_it_gives_alone(head):
    singles = waves()
    batch, lengths = pad(singles)
    frames = torch.randn(3, 25, 3)
    noisy = with_garbage(batch, SAMPLES), lengths
    together = head(*noisy, with_garbage(frames, FRAMES), torch.tensor(FRAMES) / 25)
    for row, wave in enumerate(singles):
        alone = head(wave[None], None, frames[row : row + 1, : FRAMES[row]])
        n_spectral = len(wave) // 160 + 1
        agree(together.waves[row, : len(wave)], alone.waves[0])
        assert not together.waves[row, len(wave) :].any()
        agree(together.estimate[row, :n_spectral], alone.estimate[0])
        assert round(float(together.lengths[row]) * 51) == n_spectral


def test_the_gradients_of_its_loss_do_not_depend_on_padding(head):
    batch, lengths = pad(waves())
    clean, frames = pad(waves(seed=1))[0], torch.randn(3, 25, 3)
    of_frames, gradients = torch.tensor(FRAMES) / 25, []
    for more in (0, 3200):  # more of padding behind the longest
        share, frames_more = 8000 / (8000 + more), more // 320
        noisy, target = (torch.nn.functional.pad(w, (0, more)) for w in (batch, clean))
        heard = torch.nn.functional.pad(frames, (0, 0, 0, frames_more))
        given = (noisy, lengths * share, heard, of_frames * 25 / (25 + frames_more))
        terms = head.loss(head(*given), target, lengths * share, extra=tuple(EXTRA))
        head.zero_grad()
        (terms.pop("si_sdr") * 0.02 + sum(terms.values())).backward()
        gradients.append({name: p.grad.clone() for name, p in head.named_parameters()})
    for name, gradient in gradients[0].items():
        assert gradient.any(), name  # every weight is trained
        agree(gradients[1][name], gradient, 1e-3)


def test_the_gain_is_of_the_linear_magnitude_and_the_phase_stays():
    torch.manual_seed(0)
    head = lively(DualPathHead(3, channels=(4, 6, 8)))
    wave, frames = torch.randn(1, 8000), torch.randn(1, 25, 3)
    spectrum = stft(wave, None, head.window)
    gain = head.gain(spectrum.abs().log1p(), frames)
    assert 0 <= gain.min() < 0.2 and 0.8 < gain.max() <= 1
    enhanced = head(wave, None, frames)
    agree(enhanced.estimate.expm1(), gain * spectrum.abs())
    head.leave.weight.data.zero_()
    head.leave.bias.data.fill_(torch.logit(torch.tensor(0.25)))
    agree(head(wave, None, frames).waves, 0.25 * wave)


def test_frames_far_away_reach_a_gain_through_the_recurrent_layers_alone():
    torch.manual_seed(0)
    noisy, frames = torch.rand(1, 51, 201), torch.randn(1, 25, 3)
    other = noisy.clone()
    other[:, 40:] += 1.0
    for n_blocks, reached in ((0, False), (1, True)):
        head = lively(DualPathHead(3, channels=(4, 6, 8), n_blocks=n_blocks))
        with torch.no_grad():
            changed = head.gain(other, frames) != head.gain(noisy, frames)
        assert bool(changed[:, :30].any()) == reached and changed[:, 40:].any()


def test_a_block_runs_along_bins_in_each_frame_and_along_time_in_each_bin():
    torch.manual_seed(0)
    block, states = DualPathBlock(4), torch.randn(1, 6, 5, 4)
    rows = states[0] + block.norm_bins(block.along_bins(states[0])[0])
    columns = rows.transpose(0, 1)
    counts = torch.full((5,), 6)
    expected = columns + block.norm_time(block.along_time(columns, counts))
    agree(block(states, torch.tensor([6]))[0], expected.transpose(0, 1))


def test_the_whole_network_keeps_its_promises_with_it():
    torch.manual_seed(0)
    merit = tiny_merit(enhancement=tiny_dual_path())
    batch, lengths = pad(waves())
    with torch.no_grad():
        before, after = merit(batch, lengths), merit(10 * batch, lengths)
    agree(after.waves / 10, before.waves, 1e-4)
    batch[0] = 0  # silence
    output = merit(batch, lengths)
    assert not output.waves[0].any() and output.waves[1].any()
    (output.waves.sum() + output.enhanced.estimate.sum()).backward()
    assert all(torch.isfinite(p.grad).all() for p in merit.parameters() if p.grad is not None)


def test_a_yaml_chooses_the_head():
    bsse = build_enhancement("blstm", WIDTH, hidden=8, n_layers=3)
    assert type(bsse) is EnhancementHead and bsse.config["n_layers"] == 3
    small = build_enhancement("dual_path", WIDTH, n_layers=1, channels=[2, 4])
    assert type(small) is DualPathHead and len(small.blocks) == 1
    assert small(torch.randn(1, 800), None, torch.randn(1, 2, WIDTH)).waves.shape == (1, 800)
    assert sum(p.numel() for p in DualPathHead(384).parameters()) < 450_000


@pytest.mark.parametrize(
    "kind, channels, words",
    [
        ("lstm", [4, 4], "enhancement_head_type is 'lstm': it takes blstm or dual_path"),
        ("dual_path", [], "enhancement_channels is \\[\\]"),
        ("dual_path", [4, 5], "the last of them even"),
        ("dual_path", [0, 4], "whole numbers from 1 to 4096"),
        ("dual_path", [4, 20240104], "whole numbers from 1 to 4096"),
    ],
)
def test_a_head_that_cannot_be_is_named(kind, channels, words):
    with pytest.raises(SettingsError, match=words):
        build_enhancement(kind, WIDTH, channels=channels)
