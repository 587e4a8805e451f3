"""What an epoch has come to so far."""

import torch

from speechbrain_merit.training.progress import Progress


def test_making_one_leaves_the_random_state_as_it_is():
    before = torch.get_rng_state()
    progress = Progress()
    assert torch.equal(torch.get_rng_state(), before)
    progress.begin(seed=7)
    assert torch.equal(torch.get_rng_state(), torch.Generator().manual_seed(7).get_state())


def test_an_epoch_goes_on_where_its_checkpoint_was_saved(tmp_path):
    first = Progress()
    first.begin(seed=1)
    first.add({"loss": 1.0})
    torch.rand(3)
    first.save(tmp_path / "progress")
    drawn = torch.rand(2)
    second = Progress()
    second.load(tmp_path / "progress", end_of_epoch=False)
    second.begin(seed=1)
    torch.rand(9)  # the loader's draws
    second.before_step()
    assert torch.equal(torch.rand(2), drawn)
    second.add({"loss": 2.0})
    assert second.means() == {"loss": 1.5}
