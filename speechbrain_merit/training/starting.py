"""Trained networks to start from: ``--start_from``, and the parts of a cascade."""

from pathlib import Path

import torch
from speechbrain.utils.logger import get_logger

from speechbrain_merit.errors import SettingsError
from speechbrain_merit.export.loading import HPARAMS
from speechbrain_merit.inference import MeritInterface
from speechbrain_merit.lobes.cascade import Cascade
from speechbrain_merit.lobes.exported_encoder import plain_blocks

logger = get_logger(__name__)

#: Key of a system's YAML → the block of a pretrained folder's YAML, and its argument there.
SIZES = {
    "n_experts": ("integration", "n_experts"),
    "routing": ("integration", "routing"),
    "top_k": ("integration", "top_k"),
    "router_jitter": ("integration", "jitter"),
    "expert_hidden": ("integration", "expert_hidden"),
    "expert_out": ("integration", "out"),
    "expert_rank": ("integration", "expert_rank"),
    "enhancement_hidden": ("enhancement", "hidden"),
    "enhancement_layers": ("enhancement", "n_layers"),
    "enhancement_channels": ("enhancement", "channels"),
    "emotion_hidden": ("emotion", "hidden"),
    "dropout": ("emotion", "dropout"),
    "level_rms": ("level", "rms"),
}


#: Of these, what a weight's shape does not depend on: a corpus.yaml may say otherwise.
FREE = {"routing", "top_k", "router_jitter", "dropout", "level_rms"}


def pretrained_folder(source, key):
    """The pretrained folder at a path: itself, or the one of a finished run.

    Arguments
    ---------
    source : str or Path
        The folder that was given.
    key : str
        By which key, for the message.

    Raises
    ------
    SettingsError
        There is none.
    """
    source = Path(source).expanduser()
    for folder in (source / "pretrained", source):
        if (folder / "label_encoder.txt").is_file() and (folder / HPARAMS).is_file():
            return folder
    unfinished = (source / "save").is_dir()
    raise SettingsError(
        f"{key}: {source} is "
        + (
            "a run that has not finished: its folder pretrained is not there yet."
            if unfinished
            else "neither a finished run nor a pretrained folder."
        )
    )


def trained(source, key):
    """The network of a finished run or pretrained folder, on the CPU, ready to train on.

    Returns
    -------
    MeritInterface
        Its ``model`` and ``hparams``.

    Raises
    ------
    SettingsError
        There is none, or its weights are int8.
    """
    folder = pretrained_folder(source, key)
    merit = MeritInterface.from_hparams(folder, run_opts={"device": "cpu"}, freeze_params=False)
    if getattr(merit.hparams, "weights", None) == "int8":
        raise SettingsError(f"{key}: {folder} holds int8 weights, which do not train: export fp16.")
    return merit


def enhancer_part(source):
    """The enhancer of a cascade, from a finished run or pretrained folder."""
    if source is None:
        raise SettingsError("--enhancer is missing: a finished run of hparams/se_only.yaml, say.")
    model = trained(source, "enhancer").model
    refuse_cascade("enhancer", source, model)
    if "se" not in model.tasks:
        raise SettingsError(f"enhancer: {source} does not enhance.")
    return model


def classifier_part(source, labels, attributes, form, otherwise):
    """The classifier of a cascade, from a run or folder, or a fresh one where ``matched``.

    Arguments
    ---------
    source : str or None
        The folder.
    labels, attributes : list of str
        What it has to name, in this order.
    form : str
        Of the cascade.
    otherwise : Merit
        The fresh one.
    """
    if source is None:
        if form in ("unchanged", "together"):
            raise SettingsError(
                f"--classifier is missing: a {form} cascade takes a trained one, a finished run of "
                "hparams/ser_only.yaml, say."
            )
        return otherwise
    merit = trained(source, "classifier")
    refuse_cascade("classifier", source, merit.model)
    if "ser" not in merit.model.tasks:
        raise SettingsError(f"classifier: {source} names no emotion.")
    refuse_other_names("classifier", source, merit.hparams, labels, attributes)
    return merit.model


def refuse_cascade(key, source, model):
    """Raises :class:`SettingsError` for a cascade, where one network is wanted."""
    if isinstance(model, Cascade):
        raise SettingsError(f"{key}: {source} is a cascade: give one of its parts.")


def refuse_other_names(key, source, hparams, labels, attributes):
    """Raises :class:`SettingsError` unless a network names the same emotions and attributes."""
    theirs = list(hparams.labels), list(getattr(hparams, "attributes", None) or [])
    for what, found, wanted in zip(("labels", "attributes"), theirs, (labels, attributes)):
        if found != list(wanted):
            raise SettingsError(
                f"{key}: the {what} of {source} are {found}, not {list(wanted)}: give "
                f'--{what} "{found}", or another {key}.'
            )


def with_start(overrides, keys, given):
    """Overrides with what ``start_from`` says of encoder and sizes, where they do not say it.

    Arguments
    ---------
    overrides : dict
        Of the command line and the corpus.
    keys : dict
        Those that the system's YAML has, with their plain values.
    given : iterable of str
        Those of the command line. What has to fit, a ``corpus.yaml`` cannot say.
    """
    source = overrides.get("start_from")
    if source is None:
        return overrides
    folder = pretrained_folder(source, "start_from")
    blocks = plain_blocks(folder)
    found = {"encoder": str(folder)}
    for key, (block, argument) in SIZES.items():
        if argument in (blocks.get(block) or {}):
            found[key] = blocks[block][argument]
    if (found.get("routing") == "dense") != (keys.get("routing") == "dense"):
        found.pop("routing", None)  # whether all experts are heard is what the system is
    if found.get("routing") == "hard":
        del found["routing"]  # as released: no gradient reaches its routers
    if "enhancement_channels" in found:
        found |= {"enhancement_head_type": "dual_path"}
        found |= {"enhancement_layers": blocks["enhancement"]["n_blocks"]}
    found = {key: value for key, value in found.items() if key in keys}
    said = {k: v for k, v in overrides.items() if k in given or k in FREE or k not in found}
    return found | said


def start_from(model, source, labels, attributes):
    """Gives a network the weights of a trained one; what has no counterpart stays fresh.

    An output that both have by name keeps its weights, so that other labels, or the same in another
    order, replace only what they have to.

    Arguments
    ---------
    model : Merit
        Is changed in place.
    source : str or Path
        A finished run or a pretrained folder.
    labels, attributes : list of str
        Names of the outputs of the heads.

    Raises
    ------
    SettingsError
        The encoder or the mixture is of another form, or a head of other sizes; named.
    """
    merit = trained(source, "start_from")
    other = merit.model
    if type(other) is not type(model):
        raise SettingsError(f"start_from: {source} is a cascade: start from one of its parts.")
    if type(other.level) is not type(model.level) or other.level.config != model.level.config:
        logger.warning(
            f"start_from: {source} heard its waves at another level ({other.level.config}): the "
            "first epochs adapt to this system's."
        )
    for name in ("encoder", "integration"):
        refuse_misfit(name, getattr(model, name), getattr(other, name), source)
        getattr(model, name).load_state_dict(getattr(other, name).state_dict())
    theirs = {
        "emotion": list(merit.hparams.labels),
        "attributes": list(getattr(merit.hparams, "attributes", None) or []),
    }
    for name, names in {"enhancement": None, "emotion": labels, "attributes": attributes}.items():
        head, given = getattr(model, name), getattr(other, name)
        if head is None or given is None:
            if head is not None:
                logger.info(f"start_from: {source} has no {name} head: that starts afresh.")
            continue
        if type(head) is not type(given):
            logger.info(
                f"start_from: the {name} head is an {type(given).__name__} there and "
                f"a {type(head).__name__} here: that starts afresh."
            )
            continue
        state = given.state_dict()
        if names is not None and list(names) != theirs[name]:
            state |= matched_outputs(head, state, list(names), theirs[name])
            logger.info(f"start_from: {name}: afresh are {sorted({*names} - {*theirs[name]})}.")
        refuse_misfit(name, head, state, source)
        head.load_state_dict(state)


def matched_outputs(head, state, names, theirs):
    """The last layer of a head whose outputs have other names: known ones keep their weights."""
    rows = {name: theirs.index(name) for name in names if name in theirs}
    result = {}
    for key, fresh in head.out.state_dict().items():
        fresh = fresh.clone()
        for place, name in enumerate(names):
            if name in rows and fresh.shape[1:] == state[f"out.{key}"].shape[1:]:
                fresh[place] = state[f"out.{key}"][rows[name]]
        result[f"out.{key}"] = fresh
    return result


def refuse_misfit(name, module, given, source):
    """Raises :class:`SettingsError` unless a module can take the weights of another one."""
    state = given.state_dict() if isinstance(given, torch.nn.Module) else given
    if isinstance(given, torch.nn.Module) and type(given) is not type(module):
        raise SettingsError(
            f"start_from: the {name} of {source} is a {type(given).__name__}, and this system's a "
            f"{type(module).__name__}: start the system that it is of, or give --encoder {source} "
            "to take the encoder alone."
        )
    own = module.state_dict()
    wrong = [k for k in {*own, *state} if k not in own or k not in state]
    wrong += [k for k in own if k in state and own[k].shape != state[k].shape]
    if wrong:
        key = sorted(wrong)[0]
        ours, theirs = (tuple(s[key].shape) if key in s else "missing" for s in (own, state))
        raise SettingsError(
            f"start_from: the {name} of {source} has other sizes ({key}: {theirs}, here {ours}): "
            "leave out the keys that give them, and they are the folder's."
        )
