"""What an interface needs to be pickled, so that other processes may have it."""

import copy
import sys

from torch import nn
from torch.nn.utils.parametrize import is_parametrized


def empty(kind):
    """An object of a class, its state to come."""
    return kind.__new__(kind)


def importable(kind):
    """The class itself, or the first of its bases that another process finds by its name.

    SpeechBrain's ``foreign_class`` reads a class from a file, and nobody can import it.

    Example
    -------
    >>> importable(type("Own", (dict,), {"__module__": "nowhere"}))
    <class 'dict'>
    """
    return next(
        base
        for base in kind.__mro__
        if getattr(sys.modules.get(base.__module__), base.__qualname__, None) is base
    )


def folded(module):
    """The attributes of a module, which torch pickles: weight norms are weights in them.

    WavLM and its kin have one, for their positions. It is folded in a copy.

    Example
    -------
    >>> normed = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 3)))
    >>> folded(normed)["_modules"]
    {'0': Linear(in_features=2, out_features=3, bias=True)}
    """

    def normed(modules):
        return [one for part in modules.values() for one in part.modules() if is_parametrized(one)]

    state = module.__dict__
    if not normed(state["_modules"]):
        return state
    state = copy.deepcopy(state)
    for one in normed(state["_modules"]):  # not by remove_parametrizations: a copy shares its class
        weights = {name: getattr(one, name).detach() for name in one.parametrizations}
        del one.parametrizations
        one.__class__ = type(one).__base__
        for name, weight in weights.items():
            one.register_parameter(name, nn.Parameter(weight, requires_grad=False))
        one._load_state_dict_pre_hooks.clear()  # for files older than parametrizations
    return state
