"""Further terms of the enhancement loss: their values, padding, silence, and who asks for them."""

import pytest
import torch
from tiny import agree, pad, tiny_dual_path, tiny_merit, with_garbage

from speechbrain_merit.lobes.spectral_losses import COMPLEX_SHARE, EXTRA, frames_within

NAMES = list(EXTRA)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_zero_for_clean_speech_and_grows_with_the_noise(name):
    torch.manual_seed(0)
    clean, noise = torch.randn(2, 3, 8000)
    values = [float(EXTRA[name](clean + gain * noise, clean)) for gain in (0.0, 0.1, 0.3, 1.0)]
    assert values[0] == pytest.approx(0, abs=1e-6)
    assert values == sorted(values) and values[1] > 0


@pytest.mark.parametrize("name", NAMES)
def test_padding_counts_in_none_of_it(name):
    torch.manual_seed(0)
    counts = (6000, 3517, 2000)
    singles = [[torch.randn(n) for n in counts] for _ in range(2)]
    (estimate, lengths), (clean, _) = (pad(waves) for waves in singles)
    value = EXTRA[name](estimate, clean, lengths)
    loud = [with_garbage(waves, counts) for waves in (estimate, clean)]
    agree(EXTRA[name](*loud, lengths), value)
    longer = [torch.nn.functional.pad(waves, (0, 2000)) for waves in (estimate, clean)]
    agree(EXTRA[name](*longer, lengths * 6000 / 8000), value)


@pytest.mark.parametrize("name", NAMES)
def test_silence_and_what_is_shorter_than_a_window_give_finite_values_and_gradients(name):
    for n_samples in (4000, 300, 100):
        estimate = torch.zeros(2, n_samples, requires_grad=True)
        value = EXTRA[name](estimate, torch.zeros(2, n_samples))
        value.backward()
        assert value.abs() < 1e-6 and torch.isfinite(estimate.grad).all()


def test_the_complex_part_alone_hears_a_wrong_phase():
    clean = torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))
    assert EXTRA["multi_resolution"](-clean, clean) == pytest.approx(0, abs=1e-6)
    spectrum, _ = frames_within(clean, None, 400, 160)
    expected = COMPLEX_SHARE * (2 * spectrum.abs() ** 0.3).square().mean()
    agree(EXTRA["compressed"](-clean, clean), expected, 1e-3)


@pytest.mark.parametrize("dual_path", [False, True])
def test_every_head_gives_the_terms_that_are_asked_for_and_no_others(dual_path):
    torch.manual_seed(0)
    merit = tiny_merit(enhancement=tiny_dual_path() if dual_path else None)
    wavs = torch.randn(2, 4800)
    enhanced = merit(wavs).enhanced
    assert set(merit.enhancement.loss(enhanced, wavs)) == {"enhancement", "si_sdr"}
    terms = merit.enhancement.loss(enhanced, wavs, extra=["compressed"])
    assert set(terms) == {"enhancement", "si_sdr", "compressed"}
    agree(terms["compressed"], EXTRA["compressed"](enhanced.waves, wavs))
