"""Two fixed classifiers that tell how much emotion is left in a sound: linear, on a frozen encoder.

Both stand on merit-tiny's encoder: means and deviations over time of its hidden states, and one
linear layer. ``clean`` was trained on clean speech, ``noise`` on clean and noisy speech; see
``recipes/NoisyEmo/make_probes.py``, which made ``probes.npz``. That holds a digest of the encoder:
on another one the probes would answer in silence, and wrongly.
"""

import hashlib
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax

from speechbrain_merit.data.corpora import RECIPES
from speechbrain_merit.errors import PretrainedError
from speechbrain_merit.inference import MeritInterface
from speechbrain_merit.lobes.spectrum import frame_mask

PATH = RECIPES / "NoisyEmo" / "probes.npz"
PROBES = ("clean", "noise")
LABELS = ("angry", "sad", "happy", "neutral")
BATCH = 16  # waves that are heard together, of about one length where they come sorted


@cache
def probes(path=PATH):
    """``{name: (weights (4, features), bias (4))}`` of both probes."""
    with np.load(path) as file:
        return {name: (file[f"{name}_weights"], file[f"{name}_bias"]) for name in PROBES}


def digest(encoder):
    """A short SHA-256 of an encoder's weights.

    Example
    -------
    >>> digest(torch.nn.Linear(1, 1)) == digest(torch.nn.Linear(1, 1))
    False
    """
    found = hashlib.sha256()
    for name, weight in sorted(encoder.state_dict().items()):
        found.update(name.encode() + weight.detach().cpu().numpy().tobytes())
    return found.hexdigest()[:16]


class Features:
    """The encoder of the model that ships, and what the probes see of it.

    Arguments
    ---------
    device : str
        Where it runs.
    path : str or Path, optional
        The probes that are to answer; None where new ones are made.

    Raises
    ------
    PretrainedError
        They were made on another encoder.

    Example
    -------
    >>> features = Features()
    >>> next(features([np.zeros(8000, dtype=np.float32)])).shape
    (3840,)
    """

    def __init__(self, device="cpu", path=PATH):
        self.model = MeritInterface.shipped(run_opts={"device": "cpu"}).model.eval()
        self.device, self.digest = device, digest(self.model.encoder)
        self.weights = None  # what the probes' own weights are known by
        if path is not None:
            self.weights = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
            with np.load(path) as file:
                made_on = str(file["encoder"])
            if made_on != self.digest:
                raise PretrainedError(
                    f"{path} was made on another encoder than that of the model that ships: "
                    "recipes/NoisyEmo/make_probes.py makes it anew, and what was scored with it "
                    "has to be scored again."
                )
        self.model.to(device)

    def __call__(self, waves):
        """Yields the features (2 · L · D) of each of many waves (S), in float32."""
        return pooled(lambda *batch: self.model.hear(*batch)[1:], waves, self.device)


@torch.no_grad()
def pooled(hear, waves, device="cpu"):
    """Yields means and deviations over time, (2 · L · D), of what an encoder makes of many waves.

    Arguments
    ---------
    hear : callable
        Waves (B, S) and relative lengths (B) to hidden states (L, B, T, D) and theirs.
    waves : iterable of array
        Waves (S) each.
    device : str
        Where it runs.
    """
    waves = iter(waves)
    while batch := list(islice(waves, BATCH)):
        longest = max(map(len, batch))
        wavs = torch.zeros(len(batch), longest)
        for row, wave in zip(wavs, batch):
            row[: len(wave)] = torch.as_tensor(np.asarray(wave, dtype=np.float32))
        lengths = torch.tensor([len(wave) / longest for wave in batch])
        hidden, frame_lengths = hear(wavs.to(device), lengths.to(device))
        mask = frame_mask(frame_lengths, len(batch), hidden.shape[2], hidden.device)[..., None]
        count = mask.sum(dim=1)
        mean = (hidden * mask).sum(dim=2) / count
        spread = (((hidden - mean[:, :, None]) * mask) ** 2).sum(dim=2) / count
        both = torch.cat([mean, spread.sqrt()])  # (2 L, B, D)
        yield from both.transpose(0, 1).flatten(1).float().cpu().numpy()


def answers(features):
    """What both probes say of features (N, F): ``{name: probabilities (N, 4)}``.

    Example
    -------
    >>> answers(np.zeros((1, 3840)))["clean"].sum().round(6)
    np.float64(1.0)
    """
    return {
        name: softmax(np.asarray(features, dtype=np.float64) @ weights.T + bias, axis=1)
        for name, (weights, bias) in probes().items()
    }
