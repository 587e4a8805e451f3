"""What an epoch has come to so far: the sums behind its line in the log, and the state of chance.

Both are in the checkpoint, so that an epoch that goes on after an interrupt is the one that it
would have been.
"""

import functools

import torch
from speechbrain.utils.checkpoints import mark_as_loader, mark_as_saver, register_checkpoint_hooks
from speechbrain.utils.distributed import if_main_process

from speechbrain_merit.training import processes


# each process has a chance of its own, so that all of them take part in saving
@functools.partial(register_checkpoint_hooks, save_on_main_only=False)
class Progress:
    """Means over the steps of a training epoch, and the random state of every process.

    Example
    -------
    >>> progress = Progress()
    >>> progress.begin(seed=0)
    >>> progress.add({"loss": 1.0})
    >>> progress.add({"loss": 2.0, "rare": 1.0})
    >>> progress.means()
    {'loss': 1.5, 'rare': 0.5}
    """

    def __init__(self):
        self.sums, self.steps, self.chance, self.loaded = {}, 0, None, None

    def begin(self, seed):
        """Starts an epoch, or takes up the one that a checkpoint was saved in."""
        torch.manual_seed(seed)
        loaded, self.loaded = self.loaded or {"sums": {}, "steps": 0, "chance": []}, None
        self.sums, self.steps = loaded["sums"], loaded["steps"]
        # of another number of processes: the epoch's seed has to do
        known = len(loaded["chance"]) == processes.count()
        self.chance = loaded["chance"][processes.rank()] if known else None

    def before_step(self):
        """Goes on with the checkpoint's random state, once the loader has drawn from another."""
        if self.chance is not None:
            torch.set_rng_state(self.chance["cpu"])
            if "cuda" in self.chance:
                torch.cuda.set_rng_state(self.chance["cuda"])
            self.chance = None

    def add(self, values):
        """Takes the values of a step, a dict of numbers."""
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value)
        self.steps += 1

    def means(self):
        """The mean of each value over the steps; what a step did not have counts 0."""
        return {name: total / self.steps for name, total in self.sums.items()}

    @mark_as_saver
    def save(self, path):
        """Writes sums, and the random state of every process."""
        chance = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_initialized():
            chance["cuda"] = torch.cuda.get_rng_state()
        chance = processes.gather(chance)
        if if_main_process():
            torch.save({"sums": self.sums, "steps": self.steps, "chance": chance}, path)

    @mark_as_loader
    def load(self, path, end_of_epoch):
        """Reads them, where the epoch was not over."""
        if not end_of_epoch:
            self.loaded = torch.load(path, weights_only=True)
