"""The Brain's own arithmetic: what validation adds up to, and what a batch says nothing of."""

from types import SimpleNamespace

import pytest
import torch
from tiny import tiny_merit

from speechbrain_merit.lobes.objectives import ratio
from speechbrain_merit.training.brain import MeritBrain
from speechbrain_merit.training.processes import shard, unshard

HPARAMS = SimpleNamespace(labels=["sad", "happy"], attributes=[], si_sdr_score_weight=0.02)


def batch(conditions, truth, chosen, gains):
    """What the Brain keeps of a validated batch."""
    probabilities = [[1.0 - c, float(c)] for c in chosen]
    columns = {"conditions": conditions, "truth": truth, "probabilities": probabilities}
    return {**columns, "si_sdr": gains}


def test_the_score_is_f1_averaged_over_conditions_and_the_mean_gain():
    batches = [
        batch([0.0, 5.0], truth=[0, 0], chosen=[0, 1], gains=[1.0, 3.0]),
        batch([5.0, 0.0], truth=[1, 1], chosen=[0, 1], gains=[2.0]),
    ]
    # all right at 0 dB, all wrong at 5 dB; of a clean utterance there is no gain
    scores = MeritBrain.validation_scores(SimpleNamespace(hparams=HPARAMS), batches)
    expected = {"f1_macro": 0.5, "si_sdr_gain": 2.0, "score": 0.5 + 0.02 * 2.0}
    assert scores == pytest.approx(expected)


@pytest.mark.parametrize("world", [1, 2, 3, 5])
@pytest.mark.parametrize("count", [0, 1, 4, 7])
def test_what_is_shared_out_comes_back_in_order(count, world):
    batches = [[index] for index in range(count)]
    shares = [shard(batches, rank, world) for rank in range(world)]
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert unshard(shares) == batches


def test_a_batch_of_clean_speech_alone_says_nothing_of_the_gain():
    merit = tiny_merit()
    wavs = torch.randn(2, 3200)
    enhanced = merit(wavs).enhanced
    terms = merit.enhancement.loss(enhanced, wavs, noisy=torch.tensor([False, False]))
    assert terms["si_sdr"] == 0
    terms["si_sdr"].backward()
    gradients = [p.grad for p in merit.parameters() if p.grad is not None]
    assert gradients and not any(gradient.any() for gradient in gradients)


def test_a_mean_over_processes_divides_the_joint_sum_by_the_joint_count():
    def total(values):  # another process holds a sum of 10 over 4
        return values + torch.tensor([10.0, 4.0])

    assert ratio(torch.tensor(2.0), torch.tensor(2.0), total).item() == 2.0
    assert ratio(torch.tensor(0.0), torch.tensor(0.0), total).item() == 2.5


def test_a_network_in_double_precision_loses_none_of_it_on_the_way():
    torch.manual_seed(0)
    merit = tiny_merit()
    wavs, lengths = torch.randn(2, 4800), torch.tensor([1.0, 0.6])
    single = merit(wavs, lengths)
    double = merit.double()(wavs.double(), lengths)
    nudged = merit(wavs.double() * (1 + 1e-12), lengths)  # float32 would not feel it
    for name in ("waves", "logits"):
        exact = getattr(double, name)
        assert exact.dtype == torch.float64
        assert torch.allclose(getattr(single, name).double(), exact, atol=1e-4)
        assert torch.allclose(getattr(nudged, name), exact, rtol=1e-9, atol=1e-10)
        assert not torch.equal(getattr(nudged, name), exact)
