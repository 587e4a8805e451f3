"""The encoder of a model that this package has trained, out of its pretrained folder."""

from pathlib import Path

import torch
import yaml

from speechbrain_merit.errors import SettingsError
from speechbrain_merit.lobes.encoder_config import encoder_from_config


def folder_of(source):
    """The pretrained folder at a path, itself or that of a run, or None.

    Example
    -------
    >>> folder_of("microsoft/wavlm-large") is None
    True
    """
    for folder in (Path(str(source)).expanduser() / "pretrained", Path(str(source)).expanduser()):
        if all((folder / name).is_file() for name in ("hyperparams.yaml", "model.ckpt")):
            return folder
    return None


def plain_blocks(folder):
    """What a pretrained folder's YAML says, by key; of an object its arguments, None without any.

    Arguments
    ---------
    folder : str or Path
        The folder.
    """

    class Plain(yaml.SafeLoader):
        pass

    def plain(loader, tag, node):
        mapping = isinstance(node, yaml.MappingNode)
        return loader.construct_mapping(node, deep=True) if mapping else None

    Plain.add_multi_constructor("!", plain)
    return yaml.load((Path(folder) / "hyperparams.yaml").read_text(encoding="utf-8"), Plain)


def exported_encoder(folder):
    """The encoder of a pretrained folder, with its weights.

    Arguments
    ---------
    folder : pathlib.Path
        From :func:`folder_of`.

    Returns
    -------
    Encoder

    Raises
    ------
    SettingsError
        The folder holds no encoder of its own, or its weights do not train.
    """
    content = plain_blocks(folder)
    if not isinstance(content.get("encoder"), dict):
        raise SettingsError(f"encoder: {folder} is of a cascade, which has two: give a part of it.")
    if content.get("weights") == "int8":
        raise SettingsError(
            f"encoder: {folder} holds int8 weights, which do not train: export fp16."
        )
    encoder = encoder_from_config(**content["encoder"])
    state = torch.load(folder / "model.ckpt", map_location="cpu", weights_only=True)
    prefix = "encoder."
    own = {key.removeprefix(prefix): v for key, v in state.items() if key.startswith(prefix)}
    try:
        encoder.load_state_dict(own)
    except RuntimeError as error:
        raise SettingsError(f"encoder: the weights in {folder} do not fit: {error}") from error
    return encoder.float()
