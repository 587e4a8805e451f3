"""The files of a released repository: where a run lies, and what is read from it."""

import ast
import re
from pathlib import Path

import torch

from speechbrain_merit.errors import ReleasedError
from speechbrain_merit.released.safe import read_tensors

FILES = {part: f"final_{part}.pt" for part in ("ssl", "mmoe", "pool", "ser", "se")}
STATISTICS = "train_norm_stat.pkl"
ENCODER_FILE = "WavLM-Large.pt"  # of the root; its cfg says what no tensor shows


def find_run(source, run=None):
    """The folder of a run: ``source`` itself, or the one below it of this name.

    Raises
    ------
    ReleasedError
        There is none, or there are several and no name was given.
    """
    source = Path(source)
    if not source.is_dir():
        raise ReleasedError(f"There is no folder {source}: give the downloaded repository.")
    names = set(FILES.values())
    if run is None and any((source / name).is_file() for name in names):
        return source
    found = sorted({path.parent for path in source.rglob("final_*.pt") if path.name in names})
    if not found:
        raise ReleasedError(
            f"{source} holds no run folder: none with {', '.join(FILES.values())}. "
            "Give the downloaded repository, or one of its run folders."
        )
    runs = {folder.relative_to(source).as_posix(): folder for folder in found}
    listed = ", ".join(runs)
    if run is None and len(runs) > 1:
        raise ReleasedError(f"{source} holds {len(runs)} runs; choose one with --run: {listed}.")
    wanted = runs if run is None else [name for name in runs if run in (name, runs[name].name)]
    if len(wanted) != 1:
        raise ReleasedError(f"{source} holds no one run named {run}; there are: {listed}.")
    return runs[next(iter(wanted))]


def read_run(folder):
    """The tensors of a run: part → key → tensor.

    Raises
    ------
    ReleasedError
        A file is missing, or is no table of tensors.
    """
    missing = [name for name in (*FILES.values(), STATISTICS) if not (folder / name).is_file()]
    if missing:
        raise ReleasedError(f"{folder} is no complete run folder: it lacks {', '.join(missing)}.")
    states = {}
    for part, name in FILES.items():
        state = read_tensors(folder / name)
        state = state.get("model", state) if isinstance(state, dict) else None
        if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
            raise ReleasedError(f"{folder / name} holds no table of weights under 'model'.")
        states[part] = state
    return states


def read_cfg(*folders):
    """WavLM's ``cfg`` from the first of the folders that has one; empty where none has."""
    for folder in folders:
        if (folder / ENCODER_FILE).is_file():
            content = read_tensors(folder / ENCODER_FILE)
            cfg = content.get("cfg") if isinstance(content, dict) else None
            return cfg if isinstance(cfg, dict) else {}
    return {}


#: What a ``cfg`` must say, where it says anything: the form of the large WavLM.
FORM = {
    "extractor_mode": "layer_norm",
    "layer_norm_first": True,
    "conv_bias": False,
    "activation_fn": "gelu",
    "relative_position_embedding": True,
    "gru_rel_pos": True,
}
#: What a ``cfg`` says and tensors show; the tensors count.
SHOWN = {
    "encoder_layers": "n_layers",
    "encoder_embed_dim": "width",
    "encoder_ffn_embed_dim": "feed_forward",
    "encoder_attention_heads": "heads",
    "conv_pos": "position_kernel",
}


def facts_of_cfg(cfg):
    """What a ``cfg`` tells :func:`tell_sizes` that no tensor shows.

    Raises
    ------
    ReleasedError
        It describes a WavLM of another form than the large one, or makes no sense.

    Example
    -------
    >>> facts_of_cfg({"conv_feature_layers": "[(8,10,5)] + [(8,2,2)] * 2", "num_buckets": 64})
    {'n_buckets': 64, 'kernels': (10, 2, 2), 'strides': (5, 2, 2)}
    """
    other = [f"{key}: {cfg[key]}" for key, value in FORM.items() if cfg.get(key, value) != value]
    if other:
        raise ReleasedError(
            f"{ENCODER_FILE}: its cfg says {', '.join(other)}; "
            "only the form of WavLM-Large is known."
        )
    names = {"num_buckets": "n_buckets", "max_distance": "max_distance"}
    facts = {ours: int(cfg[theirs]) for theirs, ours in names.items() if theirs in cfg}
    if "conv_feature_layers" in cfg:
        try:
            layers = convolutions(cfg["conv_feature_layers"])
            _, facts["kernels"], facts["strides"] = zip(*layers, strict=True)
        except (ValueError, SyntaxError, TypeError) as error:
            raise ReleasedError(
                f"{ENCODER_FILE}: its cfg's conv_feature_layers is no list of (channels, kernel, "
                f"stride): {cfg['conv_feature_layers']!r}."
            ) from error
    return facts


def convolutions(text):
    """The list that a ``cfg`` holds as Python text: (channels, kernel, stride) a convolution.

    Example
    -------
    >>> convolutions("[(512,10,5)] + [(512,2,2)] * 2")
    [(512, 10, 5), (512, 2, 2), (512, 2, 2)]
    """
    if not isinstance(text, str):
        return list(text)
    term = r"(\[[^\[\]]*\])\s*(?:\*\s*(\d{1,2}))?\s*"
    if not re.fullmatch(rf"\s*{term}(?:\+\s*{term})*", text):
        raise ValueError("neither lists nor their sum")
    layers = []
    for part, times in re.findall(term, text):
        layers += list(ast.literal_eval(part)) * int(times or 1)
    return layers
