"""Levels: what the network hears is at one level, and what it gives at the input's."""

import pytest
import torch
from tiny import agree, pad, tiny_merit, with_garbage

from speechbrain_merit.lobes.level import CorpusStatistics, FixedRMS

LEVELS = [FixedRMS(0.3), CorpusStatistics(0.02, 0.2)]


def batch():
    torch.manual_seed(0)
    return pad([0.1 * torch.randn(4000) + 0.01, torch.randn(2500)])


@pytest.mark.parametrize("level", LEVELS)
def test_what_goes_in_comes_back_and_padding_stays_silent(level):
    wavs, lengths = batch()
    inside, factor = level(with_garbage(wavs, [4000, 2500]), lengths)
    assert factor.shape == (2, 1)
    assert not inside[1, 2500:].any()
    agree(level.restore(inside, factor, lengths), wavs)


def test_fixed_rms_is_reached_over_the_true_length():
    inside, factor = FixedRMS(0.3)(*batch())
    for row, count in enumerate((4000, 2500)):
        assert float(inside[row, :count].square().mean().sqrt()) == pytest.approx(0.3, rel=1e-5)
        agree(inside[row], batch()[0][row] * factor[row])


def test_corpus_statistics_are_one_line_for_all_waves():
    wavs = batch()[0]
    inside, factor = CorpusStatistics(0.02, 0.2)(wavs)
    agree(inside, (wavs - 0.02) / 0.2)
    agree(factor, torch.full((2, 1), 5.0))


@pytest.mark.parametrize("mean, std", [(0.0, 0.0), (0.0, -1.0), (float("nan"), 1.0), (0.0, 1e400)])
def test_statistics_that_are_none_are_an_error(mean, std):
    with pytest.raises(ValueError, match="finite mean and a positive std"):
        CorpusStatistics(mean, std)


def test_a_network_hears_by_its_level_and_answers_at_the_level_of_its_input():
    merit, (wavs, lengths) = tiny_merit(), batch()
    merit.level = CorpusStatistics(0.02, 0.2)
    with torch.no_grad():
        output = merit(wavs, lengths)
        restored = merit.level.restore(output.enhanced.waves, output.factor, lengths)
        agree(output.waves, restored)
        # a mask of ones gives the input itself
        merit.enhancement.leave.weight.zero_()
        merit.enhancement.leave.bias.fill_(100.0)
        whole = merit(wavs, lengths).waves
    agree(whole, wavs, 1e-4)
    assert not output.waves[1, 2500:].any()


@pytest.mark.parametrize("level", [FixedRMS(0.3), CorpusStatistics(0.02, 0.2)])
def test_the_clean_wave_comes_to_the_level_of_its_mixture(level):
    wavs, lengths = batch()
    inside, factor = level(wavs, lengths)
    agree(level.applied(wavs, factor, lengths), inside)


def test_unless_given_the_level_is_the_fixed_rms_of_the_yaml():
    level = tiny_merit().level
    assert isinstance(level, FixedRMS) and level.rms == 1.0
