"""Strict loading of a pretrained folder: what is missing, cut off or does not fit is an error.

SpeechBrain's own transfer loads weights that fit and passes over the rest, and a label encoder
that is not there is an empty one.
"""

import re
from functools import partial
from pathlib import Path

import torch
from speechbrain.utils.fetching import FetchSource
from speechbrain.utils.parameter_transfer import Pretrainer

from speechbrain_merit.errors import PretrainedError

HPARAMS = "hyperparams.yaml"
HEARD = "heard"  # its key: who was heard in training, see training/known_speakers.py
WEIGHTS = "model.ckpt"
LABELS = "label_encoder.txt"
INTERFACE = "custom_interface.py"
CARD = "README.md"
#: Of the folder: raised when an older version of the package could not load a new one. 1, before
#: the key was there, named ``speechbrain_merit.loading``.
FORMAT = 2
#: Names shown of a list of keys: enough to see what kind of mismatch it is.
SHOWN_KEYS = 6


class StrictPretrainer(Pretrainer):
    """SpeechBrain's Pretrainer for a model and its label encoder, which accepts no misfit.

    Arguments
    ---------
    model : Merit
        Takes up the weights of ``model.ckpt``.
    label_encoder : CategoricalEncoder
        Takes up ``label_encoder.txt``.
    labels : list
        The emotions in the order of the model's outputs, which the file must agree with.
    """

    def __init__(self, model, label_encoder, labels):
        super().__init__(
            loadables={"model": model, "label_encoder": label_encoder},
            custom_hooks={
                "model": load_weights,
                "label_encoder": partial(load_labels, labels=labels),
            },
        )

    def collect_files(self, default_source=None, **kwargs):
        """Finds the two files in a folder, or on the hub."""
        names = {"model": WEIGHTS, "label_encoder": LABELS}
        if isinstance(default_source, FetchSource):
            origin, folder = default_source
            paths = {k: FetchSource(origin, f"{folder}/{name}") for k, name in names.items()}
        else:
            if Path(default_source).is_dir():
                require_files(default_source, names.values())
            paths = {key: f"{default_source}/{name}" for key, name in names.items()}
        self.add_paths(paths)
        return super().collect_files(default_source, **kwargs)


def require_files(folder, names=(HPARAMS, WEIGHTS, LABELS)):
    """Raises :class:`PretrainedError` unless all files are in a folder.

    Example
    -------
    >>> folder = getfixture("tmpdir")
    >>> require_files(folder, [])
    """
    missing = [name for name in names if not (Path(folder) / name).is_file()]
    if missing:
        inner = Path(folder) / "pretrained"  # of a run
        hint = f"Give {inner}." if inner.is_dir() else "Export it again, or copy it whole."
        raise PretrainedError(
            f"{folder} is no complete pretrained folder: {', '.join(missing)} is missing. {hint}"
        )


def check_format(folder):
    """Raises :class:`PretrainedError` for a folder that a newer version of the package has made.

    Example
    -------
    >>> folder = Path(getfixture("tmpdir"))
    >>> _ = (folder / HPARAMS).write_text("format: 99")
    >>> check_format(folder)
    Traceback (most recent call last):
    ...
    speechbrain_merit.errors.PretrainedError: ...: is of format 99, and this version knows ...
    """
    path = Path(folder) / HPARAMS
    found = re.search(r"^format: (\d+)$", path.read_text("utf-8", "replace"), re.MULTILINE)
    if found and int(found[1]) > FORMAT:
        raise PretrainedError(
            f"{path}: is of format {found[1]}, and this version knows up to {FORMAT}: install a "
            "newer speechbrain_merit."
        )


def load_weights(model, path):
    """Loads all weights of a model from a file that holds these and no others.

    Half precision is widened to float32, whatever torch builds models in by default; int8 stays
    what it is.

    Arguments
    ---------
    model : torch.nn.Module
        Is changed in place.
    path : str or Path
        A state dict, as torch saves it; read without executing anything in it.

    Raises
    ------
    PretrainedError
        The file is broken, or keys are missing, left over, or of another shape, each named.

    Example
    -------
    >>> path = getfixture("tmpdir") / "model.ckpt"
    >>> torch.save({"weight": torch.zeros(1, 2)}, path)
    >>> load_weights(torch.nn.Linear(2, 1), path)
    Traceback (most recent call last):
    ...
    speechbrain_merit.errors.PretrainedError: ...: the weights do not fit: missing: bias.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise PretrainedError(f"{path}: cannot be read: {error}") from error
    except (
        Exception
    ) as error:  # a cut or foreign file: zip, pickle and runtime errors of many kinds
        raise PretrainedError(
            f"{path}: is cut off or no file of weights ({type(error).__name__}). Copy it again."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise PretrainedError(f"{path}: holds no table of weights.")
    own = model.float().state_dict()
    shapes = [
        f"{key} is {tuple(state[key].shape)} and must be {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    problems = {
        "missing": [key for key in own if key not in state],
        "not of this model": [key for key in state if key not in own],
        "of another shape": shapes,
    }
    text = "; ".join(f"{what}: {shortened(keys)}" for what, keys in problems.items() if keys)
    if text:
        raise PretrainedError(f"{path}: the weights do not fit: {text}.")
    broken = [key for key, v in state.items() if v.is_floating_point() and not v.isfinite().all()]
    if broken:
        raise PretrainedError(f"{path}: NaN or infinite weights: {shortened(broken)}.")
    model.load_state_dict(state)


def shortened(keys):
    """A list of keys as text, long ones cut.

    Example
    -------
    >>> shortened(list("abcdefgh"))
    'a, b, c, d, e, f … (8 in all)'
    """
    text = ", ".join(keys[:SHOWN_KEYS])
    return text if len(keys) <= SHOWN_KEYS else f"{text} … ({len(keys)} in all)"


def load_labels(encoder, path, labels):
    """Loads a label encoder and compares it with the labels that the model was built for.

    Arguments
    ---------
    encoder : CategoricalEncoder
        Is changed in place.
    path : str or Path
        ``label_encoder.txt``.
    labels : list
        What it must hold, in this order.

    Raises
    ------
    PretrainedError
        The file cannot be read, or holds other labels.

    Example
    -------
    >>> from speechbrain_merit.labels import label_encoder
    >>> path = getfixture("tmpdir") / "label_encoder.txt"
    >>> label_encoder(["angry", "sad"]).save(path)
    >>> load_labels(label_encoder(["sad", "angry"]), path, ["sad", "angry"])
    Traceback (most recent call last):
    ...
    speechbrain_merit.errors.PretrainedError: ...: holds the labels ...
    """
    try:
        encoder.load(path)
    except Exception as error:  # whatever a text that is none of its own makes it raise
        raise PretrainedError(f"{path}: is no label encoder: {error}") from error
    encoder.expect_len(len(labels))
    found = [encoder.ind2lab.get(index) for index in range(len(encoder.ind2lab))]
    if found != list(labels):
        raise PretrainedError(
            f"{path}: holds the labels {', '.join(map(str, found)) or '(none)'}; "
            f"this model's are {', '.join(labels)}."
        )


def shipped_model(name="merit-tiny"):
    """The folder of a model that travels with the package.

    Raises
    ------
    PretrainedError
        It is not there.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "pretrained", package.parent / "pretrained"):  # wheel; checkout
        if (folder / name / HPARAMS).is_file():
            return folder / name
    raise PretrainedError(f"The model {name} did not come with this installation: give --model.")
