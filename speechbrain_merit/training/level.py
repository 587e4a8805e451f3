"""The level of the paper: mean and deviation of the training set's mixtures, kept with the run."""

import json
from pathlib import Path

from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from torch.utils.data import DataLoader

from speechbrain_merit.lobes.level import CorpusStatistics
from speechbrain_merit.lobes.spectrum import frame_mask


@register_checkpoint_hooks
class TrainingLevel:
    """Gives a model the level of its training set, and keeps it in the run's checkpoints.

    As a key ``level`` of a system's YAML, and a recoverable of its checkpointer, it is fitted
    before the first epoch; a run that is resumed, scored or exported has it from its checkpoint.

    Arguments
    ---------
    model : Merit
        Its ``level`` is replaced.

    Example
    -------
    >>> from types import SimpleNamespace
    >>> import torch
    >>> model = SimpleNamespace(level=None)
    >>> waves = [{"mixture": torch.tensor([1.0, 3.0])}, {"mixture": torch.tensor([5.0])}]
    >>> TrainingLevel(model).fit(waves)
    >>> model.level.mean, round(model.level.std, 3)
    (3.0, 1.633)
    """

    def __init__(self, model):
        self.model = model

    def fit(self, dataset, batch_size=1, num_workers=0):
        """Takes mean and deviation of all samples of a dataset's mixtures, padding left out.

        Arguments
        ---------
        dataset : torch.utils.data.Dataset
            Gives a dict with ``mixture`` (S).
        batch_size : int
            Mixtures that are read at once.
        num_workers : int
            Processes that read.
        """
        loader = DataLoader(dataset, batch_size, collate_fn=PaddedBatch, num_workers=num_workers)
        count, total, square = 0, 0.0, 0.0
        for batch in loader:
            wavs, lengths = batch.mixture
            samples = wavs[frame_mask(lengths, *wavs.shape, device=wavs.device)].double()
            count += samples.numel()
            total += float(samples.sum())
            square += float(samples.square().sum())
        mean = total / count
        self.model.level = CorpusStatistics(mean, max(square / count - mean**2, 0.0) ** 0.5)

    @mark_as_saver
    def save(self, path):
        """Writes the level into a checkpoint."""
        Path(path).write_text(json.dumps(self.model.level.config), encoding="utf-8")

    @mark_as_loader
    def load(self, path, end_of_epoch):
        """Reads the level of a checkpoint."""
        del end_of_epoch  # it is the same in all epochs
        self.model.level = CorpusStatistics(**json.loads(Path(path).read_text(encoding="utf-8")))
