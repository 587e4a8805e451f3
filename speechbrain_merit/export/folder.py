"""A trained model as a pretrained folder that loads offline from anywhere.

The folder holds ``hyperparams.yaml`` (inference only, every size explicit, the encoder's config
inline), ``model.ckpt``, ``label_encoder.txt``, ``custom_interface.py`` and the model card
``README.md``. The weights are a ``.ckpt`` as in every pretrained folder of SpeechBrain; they are a
plain table of tensors and load without executing anything.
"""

import copy
import errno
import inspect
import shutil
import uuid
from pathlib import Path

import torch
import yaml

from speechbrain_merit import __version__
from speechbrain_merit.export.loading import CARD, FORMAT, HPARAMS, INTERFACE, LABELS, WEIGHTS
from speechbrain_merit.labels import label_encoder
from speechbrain_merit.lobes.encoder_config import encoder_config
from speechbrain_merit.lobes.hidden import Encoder
from speechbrain_merit.lobes.merit import Merit
from speechbrain_merit.lobes.quantised import Int8Linear, quantise
from speechbrain_merit.lobes.spectrum import SAMPLE_RATE

PRECISIONS = ("fp32", "fp16", "int8")
OWN = (HPARAMS, WEIGHTS, LABELS, INTERFACE, CARD)
DEBRIS = ("__pycache__", ".DS_Store", "Thumbs.db", "desktop.ini")  # left by who looks at a folder
QUANTISER = "speechbrain_merit.lobes.quantised.quantise"
ENCODER_FACTORY = "speechbrain_merit.lobes.encoder_config.encoder_from_config"

YAML_HEAD = """\
# A trained model of speechbrain_merit, for inference:
#   from speechbrain_merit.inference import MeritInterface
#   merit = MeritInterface.from_hparams(source="this folder")
#   merit.analyse_file("recording.wav")

"""

#: Its block in the YAML, where ``attributes`` are their names.
HEAD_OF_ATTRIBUTES = "attributes_head"

INTERFACE_TEXT = '''\
"""What SpeechBrain's foreign_class loads; needs ``pip install speechbrain_merit``."""

from speechbrain_merit.inference import MeritInterface


class CustomInterface(MeritInterface):
    """Enhances, classifies and analyses recordings; see MeritInterface."""
'''


def write_pretrained(
    folder, model, labels, card, precision="fp32", temperature=1.0, facts=None, overwrite=False
):
    """Writes a pretrained folder, all of it or nothing.

    Arguments
    ---------
    folder : str or Path
        Where to; made with its parents.
    model : Merit
        Trained; stays as it is.
    labels : list of str
        The emotions in the order of the model's outputs.
    card : str
        The model card, Markdown.
    precision : str
        ``fp32``; ``fp16``, stored at half the size and computed in float32; ``int8``, matrices
        stored and held at a quarter.
    temperature : float
        Divides the logits before the softmax, so that probabilities mean what they say.
    facts : dict, optional
        Further plain keys of ``hyperparams.yaml``.
    overwrite : bool
        Replace a pretrained folder that is there already.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FileExistsError
        ``folder`` is there and not empty; with ``overwrite``, it is no pretrained folder.
    ValueError
        Unknown precision, or a module whose arguments cannot be told.
    OSError
        The folder cannot be written.

    Example
    -------
    >>> from speechbrain_merit.lobes.emotion import EmotionHead
    >>> from speechbrain_merit.lobes.encoders import build_encoder
    >>> from speechbrain_merit.lobes.integration import WeightedSum
    >>> from speechbrain_merit.lobes.merit import Merit
    >>> encoder = build_encoder("mini")
    >>> merit = Merit(encoder, WeightedSum(3, 96), None, EmotionHead(96, n_classes=2))
    >>> folder = getfixture("tmpdir").join("model")
    >>> written = write_pretrained(folder, merit, ["sad", "happy"], "# A model")
    >>> sorted(path.name for path in written.iterdir())
    ['README.md', 'custom_interface.py', 'hyperparams.yaml', 'label_encoder.txt', 'model.ckpt']
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}: choose one of {', '.join(PRECISIONS)}.")
    folder = Path(folder)
    refuse_other_folders(folder, overwrite)
    if any(isinstance(module, Int8Linear) for module in model.modules()):
        raise ValueError("This model has int8 weights already: export what it was made of.")
    facts = {"labels": list(labels), "temperature": float(temperature), **(facts or {})}
    wrapper = QUANTISER if precision == "int8" else None
    text = hyperparams(model, {**facts, "weights": precision}, wrapper)
    if precision == "int8":
        model = quantise(copy.deepcopy(model).cpu().eval())

    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.parent / f".{uuid.uuid4().hex}.part"
    partial.mkdir()
    try:
        try:
            torch.save(stored(model.state_dict(), precision), partial / WEIGHTS)
        except RuntimeError as error:  # what torch's writer makes of a full disk
            said = f"{folder}: cannot be written, is the disk full? {error}"
            raise OSError(errno.ENOSPC, said) from error
        (partial / HPARAMS).write_text(text, encoding="utf-8")
        label_encoder(list(labels)).save(partial / LABELS)
        (partial / INTERFACE).write_text(INTERFACE_TEXT, encoding="utf-8")
        (partial / CARD).write_text(card.rstrip() + "\n", encoding="utf-8")
        replace_folder(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def refuse_other_folders(folder, overwrite, own=OWN, mark=HPARAMS):
    """Raises FileExistsError unless a folder may be written: of its own files, ``mark`` is one."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not overwrite:
        raise FileExistsError(f"{folder} is there already: give another folder, or delete it.")
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    strange = {name for name in names - {*own, *DEBRIS} if not name.startswith("._")}
    if not (folder / mark).is_file() or strange:
        raise FileExistsError(
            f"{folder} is there already and is no such folder as export makes: give another one."
        )


def replace_folder(new, folder):
    """Puts a finished folder in the place of another; what was there goes last."""
    old = None
    if folder.exists():
        old = new.with_suffix(".old")
        folder.rename(old)
    new.rename(folder)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def stored(state, precision):
    """A state dict on the CPU at the precision it is stored in.

    Beside int8 matrices, the rest is stored in half precision; their scales stay as they are.

    Example
    -------
    >>> stored({"weight": torch.ones(1)}, "fp16")["weight"].dtype
    torch.float16
    """
    return {
        key: value.detach().cpu().half()
        if precision != "fp32" and value.is_floating_point() and not key.endswith(".scale")
        else value.detach().cpu()
        for key, value in state.items()
    }


def hyperparams(model, facts, wrapper=None):
    """The text of an inference-only ``hyperparams.yaml``.

    Arguments
    ---------
    model : Merit
        Each of its parts becomes a block with all of its arguments.
    facts : dict
        Plain keys; ``labels`` among them.
    wrapper : str, optional
        A function that the finished model goes through before its weights are loaded.
    """
    blocks = []
    tag, arguments = described(model, blocks)
    built = "network" if wrapper else "model"
    blocks.append(block(built, tag, arguments))
    if wrapper:
        blocks.append(f"model: !apply:{wrapper} [!ref <network>]\n")
    plain = {
        "speechbrain_merit": __version__,
        "format": FORMAT,
        "sample_rate": SAMPLE_RATE,
        **facts,
    }
    head = "".join(f"{key}: {value_text(value)}\n" for key, value in plain.items())
    tail = (
        "modules:\n    model: !ref <model>\n",
        "label_encoder: !new:speechbrain.dataio.encoder.CategoricalEncoder\n",
        "pretrainer: !new:speechbrain_merit.export.loading.StrictPretrainer\n"
        "    model: !ref <model>\n"
        "    label_encoder: !ref <label_encoder>\n"
        "    labels: !ref <labels>\n",
    )
    return YAML_HEAD + "\n".join([head, *blocks, *tail])


def described(lobe, blocks, within=""):
    """The YAML tag of a lobe and its arguments: its own ``config``, and its parts by reference.

    Parts are added to ``blocks``; those of a network ``within`` another one have its name in front.
    """
    if isinstance(lobe, Encoder):
        return f"!apply:{ENCODER_FACTORY}", encoder_config(lobe)
    cls, arguments = type(lobe), dict(lobe.config)
    for name in inspect.signature(cls.__init__).parameters:
        part = getattr(lobe, name, None)
        if name in arguments or name == "self" or not hasattr(lobe, name):
            continue
        if part is not None:
            place = within + (HEAD_OF_ATTRIBUTES if name == "attributes" else name)
            inner = f"{place}_" if isinstance(part, Merit) else ""
            blocks.append(block(place, *described(part, blocks, inner)))
            part = Reference(place)
        arguments[name] = part
    return f"!new:{cls.__module__}.{cls.__qualname__}", arguments


class Reference(str):
    """The name of another block of the YAML."""


def block(name, tag, arguments):
    """A top-level object of a HyperPyYAML file."""
    lines = [f"{name}: {tag}"]
    for key, value in arguments.items():
        if isinstance(value, dict):
            lines.append(f"    {key}:")
            lines += [f"        {k}: {value_text(v)}" for k, v in value.items()]
        else:
            lines.append(f"    {key}: {value_text(value)}")
    return "\n".join(lines) + "\n"


def value_text(value):
    """A plain value, or a reference, on one line of YAML.

    Example
    -------
    >>> value_text([1, "sad"]), value_text(Reference("encoder")), value_text(None)
    ('[1, sad]', '!ref <encoder>', 'null')
    """
    if isinstance(value, Reference):
        return f"!ref <{value}>"
    if isinstance(value, (tuple, set)):
        value = list(value)
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
