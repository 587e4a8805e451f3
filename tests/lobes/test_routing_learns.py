"""A router that starts collapsed is led out of it by the balance loss, in a small training."""

import pytest
import torch

from speechbrain_merit.lobes.integration import TASKS, MixtureOfExperts
from speechbrain_merit.training.losses import load_balance_loss

WIDTH, N_EXPERTS, STEPS = 8, 3, 60


def collapsed_mixture(seed):
    """A mixture whose routers both give expert 0 a probability of about 0.9."""
    torch.manual_seed(seed)
    mixture = MixtureOfExperts(1, WIDTH, N_EXPERTS, expert_hidden=16, out=2)
    for router in mixture.routers.values():
        router.fc.weight.data.mul_(0.5)
        router.fc.bias.data = torch.tensor([18.0, 1.0, 1.0]).log()
    return mixture


def least_used_share(mixture, hidden):
    """Share of the least-used expert over both tasks' choices, and the mean top probability."""
    routing = mixture(hidden).routing
    chosen = torch.cat([routing[task].experts.flatten() for task in TASKS])
    top = torch.stack([routing[task].logits.softmax(-1)[..., 0].mean() for task in TASKS]).mean()
    return chosen.bincount(minlength=N_EXPERTS).min().item() / len(chosen), top.item()


def train(seed, balance_weight):
    """Two regressions whose targets are linear in another way in each of three regions."""
    mixture = collapsed_mixture(seed)
    generator = torch.Generator().manual_seed(100 + seed)
    hidden = torch.randn(1, 4, 100, WIDTH, generator=generator)
    regions = hidden[0, :, :, :3].argmax(dim=-1)
    maps = torch.randn(2, 3, WIDTH, 2, generator=generator)
    targets = {
        task: torch.einsum("btd,btdo->bto", hidden[0], m[regions]) for task, m in zip(TASKS, maps)
    }
    valid = torch.ones(4, 100, dtype=torch.bool)
    optimizer = torch.optim.Adam(mixture.parameters(), lr=0.01)
    for _ in range(STEPS):
        integrated = mixture(hidden)
        loss = 0.0
        for task in TASKS:
            loss = loss + (getattr(integrated, task) - targets[task]).square().mean()
            balance = load_balance_loss(integrated.routing[task], valid)
            loss = loss + balance_weight * balance
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return least_used_share(mixture, hidden)[0]


@pytest.mark.parametrize("seed", range(5))
def test_balance_loss_brings_the_least_used_expert_back(seed):
    share, top = least_used_share(collapsed_mixture(seed), torch.randn(1, 4, 100, WIDTH))
    assert 0.85 < top < 0.95 and share < 0.02, "the start is not collapsed"
    assert train(seed, balance_weight=0.3) > train(seed, balance_weight=0.0)
