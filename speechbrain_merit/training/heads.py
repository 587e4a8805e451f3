"""Heads of another model to start from: the second of two stages that are runs of their own."""

from pathlib import Path

from speechbrain_merit.errors import SettingsError
from speechbrain_merit.export.loading import HPARAMS
from speechbrain_merit.inference import MeritInterface

HEADS = ("enhancement", "emotion", "attributes")


def start_heads(model, source, labels):
    """Gives a model's heads the weights of another model's; the rest of it stays fresh.

    Arguments
    ---------
    model : Merit
        Is changed in place.
    source : str or Path
        A pretrained folder: what a run leaves as ``pretrained``.
    labels : list of str
        The emotions in the order of the model's outputs; the other model's have to be the same.

    Raises
    ------
    SettingsError
        There is no such folder, or its heads are not of this form.
    """
    source = Path(source)
    if not (source / HPARAMS).is_file():
        raise SettingsError(
            f"heads_folder: {source} is no pretrained folder. It is what the run of stage 1 "
            "leaves: train that first, give its folder as --heads_folder, or null for heads that "
            "start afresh."
        )
    other = MeritInterface.from_hparams(source, run_opts={"device": "cpu"})
    if list(other.hparams.labels) != list(labels):
        theirs = ", ".join(other.hparams.labels)
        raise SettingsError(
            f"heads_folder: the heads of {source} name {theirs}, not {', '.join(labels)}."
        )
    for name in HEADS:
        head, given = getattr(model, name), getattr(other.model, name)
        if head is None:
            continue
        if given is None or shapes(given) != shapes(head):
            raise SettingsError(
                f"heads_folder: {source} has no {name} head of the same form: train stage 1 with "
                "the same encoder and sizes, and give its pretrained folder as training left it."
            )
        head.load_state_dict(given.state_dict())


def shapes(module):
    """The shape of each weight of a module."""
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}
