"""The level at which a mixture is recorded, and what happens to peaks that are too loud for it.

A network brings every wave to one level; what a converter or a codec does at a level stays.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from speechbrain_merit.data.augmentation import happens

#: Share of the samples that lie above what a recording can hold, least and most: drawn between
#: their logarithms.
CUT_SHARES = (0.001, 0.05)


@dataclass(frozen=True)
class Level:
    """Brings a share of the mixtures to a level that is drawn, the clean speech with them.

    Arguments
    ---------
    share : float
        0 … 1.
    decibels : sequence
        Lowest and highest root mean square in dB below full scale, as −40 and −12.

    Example
    -------
    >>> import numpy as np, torch
    >>> from speechbrain_merit.data.mixing import Mixture
    >>> wave = torch.ones(100)
    >>> mixed, recorded = Level(1.0, (-20, -20))(Mixture(wave, wave, 0.0, 0.0), np.random)
    >>> round(float(mixed.mixture[0]), 3), recorded
    (0.1, True)
    """

    share: float = 0.0
    decibels: Sequence[float] = (-40.0, -12.0)

    def __call__(self, mixed, rng):
        """The Mixture, and whether it has the level of a recording now."""
        if not happens(self.share, rng):
            return mixed, False
        wanted = 10 ** (float(rng.uniform(*self.decibels)) / 20)
        factor = wanted / max(float(mixed.mixture.square().mean().sqrt()), 1e-8)
        return mixed._replace(mixture=factor * mixed.mixture, clean=factor * mixed.clean), True


@dataclass(frozen=True)
class Clip:
    """Cuts the peaks off a share of the mixtures, as an overdriven microphone does.

    Arguments
    ---------
    share : float
        0 … 1.

    Example
    -------
    >>> import numpy as np, torch
    >>> wave = torch.linspace(-1, 1, 1001)
    >>> bool(Clip(1.0)(wave, np.random.default_rng(0)).abs().max() < 1)
    True
    """

    share: float = 0.0

    def __call__(self, wave, rng):
        """The wave (S), or what is left of it."""
        if not happens(self.share, rng):
            return wave
        low, high = map(math.log, CUT_SHARES)
        kept = len(wave) - max(1, round(math.exp(rng.uniform(low, high)) * len(wave)))
        most = float(wave.abs().kthvalue(max(1, kept)).values)
        return wave.clamp(-most, most)
