"""How much each term of the loss counts: as the YAML says, or learnt from how sure each task is.

A. Kendall, Y. Gal and R. Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene
Geometry and Semantics", CVPR 2018 (arXiv 1705.07115).
"""

import math

import torch
from torch import nn

from speechbrain_merit.errors import SettingsError

#: What a term's log-scale s costs, where the term counts exp(−s): L1 is the negative
#: log-likelihood of a Laplace distribution of scale exp(s), cross-entropy about that of a softmax
#: whose logits are divided by exp(s). Minus SI-SDR has no lower bound, hence no likelihood: its
#: weight stays the YAML's.
COSTS = {"emotion": 0.5, "attribute": 0.5, "enhancement": 1.0}


class Uncertainty(nn.Module):
    """Learnt weights of the terms: term → exp(−s) · term + cost · s, an s each.

    Arguments
    ---------
    weights : dict
        Term → the weight it starts at; above 0.

    Example
    -------
    >>> uncertainty = Uncertainty({"emotion": 1.0, "enhancement": 0.2})
    >>> uncertainty({"emotion": torch.tensor(2.0), "si_sdr": torch.tensor(-5.0)})
    {'emotion': tensor(2., grad_fn=<AddBackward0>)}
    """

    def __init__(self, weights):
        super().__init__()
        if not all(weight > 0 for weight in weights.values()):
            raise SettingsError(
                f"loss_weighting: uncertainty starts at weights > 0, not {weights}."
            )
        starts = {name: torch.tensor(-math.log(weight)) for name, weight in weights.items()}
        self.scales = nn.ParameterDict({name: nn.Parameter(s) for name, s in starts.items()})

    def forward(self, terms):
        """The weighted terms, of those there is an s for."""
        known = {name: self.scales[name] for name in terms if name in self.scales}
        return {name: (-s).exp() * terms[name] + COSTS[name] * s for name, s in known.items()}


def build_weighting(choice, **weights):
    """What ``loss_weighting`` names: of ``fixed`` a module without any weights of its own.

    Example
    -------
    >>> build_weighting("fixed", emotion=1.0)({"emotion": torch.tensor(2.0)})
    {}
    """
    if choice not in ("fixed", "uncertainty"):
        raise SettingsError(f"loss_weighting is {choice!r}: choose one of fixed, uncertainty.")
    return Uncertainty(weights if choice == "uncertainty" else {})
