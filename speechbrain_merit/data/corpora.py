"""Corpora: from ``--corpus`` to the manifests of one corpus, or of several that are joined.

With several (``--corpus RAVDESS,nEMO``), training settings are those of the first one's
``corpus.yaml``; what the others would set differently is said in a warning. What says what a label
means (`LABEL_KEYS`) has to agree in all that set it, or be given on the command line.
"""

import importlib.util
import inspect
import re
import sys
from pathlib import Path

import yaml
from speechbrain.utils.logger import get_logger

from speechbrain_merit.data.corpus_yaml import read_corpus_yaml, write_facts
from speechbrain_merit.data.few_speakers import settle_few_speakers
from speechbrain_merit.data.manifests import load_manifest, write_manifest
from speechbrain_merit.data.text_keys import LABEL_KEYS, expanded, folders_by_name
from speechbrain_merit.data.whole import check_whole, take_whole
from speechbrain_merit.errors import PreparationError

logger = get_logger(__name__)

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
SPLITS = ("train", "valid", "test")
#: Keys that a preparation takes if its corpus has a use for them; null or empty: not passed on.
PREPARATION_KEYS = ("merge_labels", "fold", "test_split")


def find_corpora(corpus):
    """The folders of one corpus or several.

    Arguments
    ---------
    corpus : str
        Names of folders of ``recipes/``, or paths of folders from elsewhere, with commas between.

    Returns
    -------
    dict
        ``{name: Path}``, in the order given; the name is that of the folder.

    Raises
    ------
    PreparationError
        One is not there or holds no ``corpus.yaml``, or two have one name.

    Example
    -------
    >>> find_corpora("RAVDESS,nEMO")["nEMO"].name
    'nEMO'
    """
    folders = {}
    for name in expanded("corpus", corpus).split(","):
        folder = next((f for f in (Path(name), RECIPES / name) if name and _is_corpus(f)), None)
        if folder is None:
            known = sorted(path.parent.name for path in RECIPES.glob("*/corpus.yaml"))
            raise PreparationError(
                f"--corpus {corpus}: {name!r} is neither a corpus of {RECIPES.name}/ "
                f"({', '.join(known)}) nor a folder with a corpus.yaml."
            )
        folder = folder.resolve()
        if folder.name in folders:
            raise PreparationError(f"--corpus {corpus}: {folder.name} is there twice.")
        folders[folder.name] = folder
    return folders


def _is_corpus(folder):
    return (folder / "corpus.yaml").is_file()


def overlay(corpus, given, complete=False):
    """What corpora and the command line lay over a system's YAML.

    Arguments
    ---------
    corpus : str
        As in `find_corpora`.
    given : dict
        The keys of the command line; they take precedence.
    complete : bool
        The system's YAML is the first corpus's own: nothing of its ``corpus.yaml`` is laid over it.

    Returns
    -------
    dict
        Key to value.

    Raises
    ------
    PreparationError
        A corpus is not found, or two disagree on what a label means.

    Example
    -------
    >>> overlay("MiniMERIT", {"seed": 7})
    {'data_folder': 'data/MiniMERIT', 'corpus': 'MiniMERIT', 'seed': 7}
    """
    folders = find_corpora(corpus)
    overlays = {name: read_corpus_yaml(folder)[0] for name, folder in folders.items()}
    first, *others = overlays
    merged = {} if complete else dict(overlays[first])
    merged["corpus"] = ",".join(
        name if folder.parent == RECIPES else str(folder) for name, folder in folders.items()
    )
    if others:
        own = {name: o["data_folder"] for name, o in overlays.items() if "data_folder" in o}
        merged["data_folder"] = own
        merged.update(_agreed_labels(overlays, given))
        if isinstance(given.get("data_folder"), dict):
            given = {**given, "data_folder": {**own, **given["data_folder"]}}
    merged.update(given)
    for name in others:
        settings = overlays[name].items()
        unused = [k for k, v in settings if k not in ("data_folder", *given) and merged.get(k) != v]
        if unused:
            logger.warning(
                f"{name}/corpus.yaml has other values of {', '.join(unused)}: those of the first "
                f"corpus, {first}, or the system's are used."
            )
    return merged


def _agreed_labels(overlays, given):
    """The keys that say what a label means, from whichever corpora set them."""
    agreed = {}
    for key in LABEL_KEYS:
        values = {name: settings[key] for name, settings in overlays.items() if key in settings}
        if key not in given and any(v != next(iter(values.values())) for v in values.values()):
            said = "; ".join(f"{name}: {value}" for name, value in values.items())
            raise PreparationError(
                f"{key} differs between the corpora ({said}): give --{key} for all of them."
            )
        if values:
            agreed[key] = next(iter(values.values()))
    return agreed


def data_root(hparams):
    """What ``{data_root}`` stands for in the manifests.

    Arguments
    ---------
    hparams : dict
        ``corpus`` and ``data_folder``: a folder or, for several corpora, ``{name: folder}`` or the
        text of it.

    Returns
    -------
    str or dict
        The folder or, for several corpora, ``{name: folder}``.

    Raises
    ------
    PreparationError
        Several corpora without a folder for each, or one with a mapping.

    Example
    -------
    >>> data_root({"corpus": "RAVDESS,nEMO", "data_folder": "{RAVDESS: /a, nEMO: /b}"})
    {'RAVDESS': '/a', 'nEMO': '/b'}
    """
    corpus, folder = hparams["corpus"], hparams["data_folder"]
    # By the text alone: a finished run can be scored where the recipes are not.
    names = [Path(name.strip()).name for name in corpus.split(",")]
    if isinstance(folder, str):
        folder = folders_by_name(folder) or folder
    if len(names) == 1:
        if isinstance(folder, dict):
            raise PreparationError(f"data_folder is {folder}: {corpus} takes one folder.")
        return folder
    example = ", ".join(f"{name}: folder" for name in names)
    if not isinstance(folder, dict) or set(folder) != set(names) or not all(folder.values()):
        raise PreparationError(
            f'data_folder is {folder!r}: {corpus} takes --data_folder "{{{example}}}".'
        )
    return {name: str(folder[name]) for name in names}


def as_text(folders):
    """A mapping of folders as one line of YAML.

    ``data_folder`` is a plain value in every system's YAML, and HyperPyYAML cannot lay a mapping
    over a plain value.

    Example
    -------
    >>> as_text({"RAVDESS": "/a", "nEMO": "/b"})
    '{RAVDESS: /a, nEMO: /b}'
    """
    form = {"default_flow_style": True, "width": float("inf"), "sort_keys": False}
    line = yaml.safe_dump(folders, allow_unicode=True, **form).strip()
    if folders_by_name(line) != folders:  # some letters are ends of lines to YAML
        line = yaml.safe_dump(folders, allow_unicode=False, **form).strip()
    return line


def prepare_corpora(hparams, needed=SPLITS):
    """Writes the manifests of the corpus, or of all of them into one, and ``corpora.json``.

    Each of several is prepared into a folder of its own below ``save_folder``. Joined, ids and
    speakers begin with the name of their corpus, and rows have it as ``corpus``.

    Arguments
    ---------
    hparams : dict
        ``corpus``, ``data_folder``, ``save_folder``, ``train_annotation`` and the like, ``labels``,
        ``skip_prep``, ``whole_corpora`` and `PREPARATION_KEYS`.
    needed : tuple of str
        The splits that are used; to score a trained system, ``test`` alone.

    Raises
    ------
    PreparationError
        A preparation is missing, does not take a key that is set, or fails, the corpus has
        nothing for a split that is needed, or ``whole_corpora`` cannot be followed.
    FileNotFoundError
        A folder or file of a corpus is missing.
    """
    manifests = {split: hparams[f"{split}_annotation"] for split in SPLITS}
    folders, roots = find_corpora(hparams["corpus"]), data_root(hparams)
    whole = hparams.get("whole_corpora") or {}
    check_whole(whole, list(folders), SPLITS)
    write_facts(folders, hparams["save_folder"])
    if len(folders) == 1:
        ((name, folder),) = folders.items()
        prepare_one(name, folder, roots, manifests, hparams, needed)
        return
    if hparams["skip_prep"]:
        return
    save = Path(hparams["save_folder"])
    parts = {name: {split: save / name / f"{split}.json" for split in SPLITS} for name in folders}
    for name, folder in folders.items():
        prepare_one(name, folder, roots[name], parts[name], hparams, needed, beside=True)
        if name in whole:
            take_whole(parts[name], whole[name])
    for split in needed:
        # a corpus of few speakers trains alone
        found = {name: own[split] for name, own in parts.items() if own[split].is_file()}
        if not found and whole:
            raise PreparationError(f"whole_corpora: {whole} leaves nothing for {split}.")
        if not found:
            raise PreparationError(
                f"{' and '.join(folders)} have so few speakers that all of them train, and none is "
                f"left for {split}: add a corpus of more speakers."
            )
        join_manifests(found, manifests[split])


def prepare_one(name, folder, data_folder, manifests, hparams, needed=SPLITS, beside=False):
    """Runs the preparation of one corpus; raises if it leaves no manifest of a split it should.

    ``beside`` others, a corpus of few speakers may be for training alone.
    """
    snake = re.sub(r"\W", "_", name.lower())
    module = recipe_module(folder / f"{snake}_prepare.py")
    prepare = getattr(module, f"prepare_{snake}", None)
    if prepare is None:
        raise PreparationError(
            f"{module.__file__} has no function prepare_{snake}: it is called as the folder is, in "
            "small letters and with _ for all that is no letter or digit."
        )
    options = {key: hparams[key] for key in PREPARATION_KEYS if hparams.get(key) not in (None, {})}
    for key in options:
        if key not in inspect.signature(prepare).parameters:
            raise PreparationError(
                f"{key} is set, but {prepare.__name__} takes none: leave it out for {name}."
            )
    prepare(
        data_folder=data_folder,
        **{f"save_json_{split}": path for split, path in manifests.items()},
        labels=hparams["labels"],
        skip_prep=hparams["skip_prep"],
        **options,
    )
    if hparams["skip_prep"]:
        return
    if getattr(module, "FEW_SPEAKERS", False) and options.get("fold") is None:
        settle_few_speakers(name, manifests, needed, beside)
        return
    missing = [split for split in needed if not Path(manifests[split]).is_file()]
    if missing:
        raise PreparationError(
            f"{name} names recordings for the test alone, none for {' or '.join(missing)}: it can "
            "be scored on (evaluate.py RUN --corpus …), not trained on."
        )


def join_manifests(parts, path):
    """Writes the rows of several corpora into one manifest.

    Arguments
    ---------
    parts : dict
        ``{corpus: manifest}``.
    path : str or Path
        The manifest to write.

    Example
    -------
    >>> folder = Path(getfixture("tmpdir"))
    >>> row = {"wav": "{data_root}/x.wav", "duration": 1.0, "spk_id": "1"}
    >>> for name in ("A", "B"):
    ...     write_manifest(folder / f"{name}.json", {"x": row})
    >>> path = folder / "both.json"
    >>> join_manifests({"A": folder / "A.json", "B": folder / "B.json"}, path)
    >>> rows = load_manifest(path, replacements={"data_root": {"A": "/a", "B": "/b"}})
    >>> {key: (row["wav"], row["spk_id"], row["corpus"]) for key, row in rows.items()}
    {'A_x': ('/a/x.wav', 'A_1', 'A'), 'B_x': ('/b/x.wav', 'B_1', 'B')}
    """
    joined = {}
    for name, part in parts.items():
        if "]" in name:  # ends an index in SpeechBrain's placeholders
            raise PreparationError(f"{name}: a corpus among several cannot have ] in its name.")
        for key, row in load_manifest(part).items():
            row = {
                field: value.replace("{data_root}", f"{{data_root[{name}]}}", 1)
                if isinstance(value, str) and value.startswith("{data_root}")
                else value
                for field, value in row.items()
            }
            if row.get("spk_id") is not None:
                row["spk_id"] = f"{name}_{row['spk_id']}"
            if f"{name}_{key}" in joined:  # A_b of one and b of another, A_
                raise PreparationError(f"Two utterances are named {name}_{key}: rename a corpus.")
            joined[f"{name}_{key}"] = {**row, "corpus": name}
    write_manifest(path, joined)


def recipe_module(path):
    """Imports a preparation by its path: recipes are no package."""
    if not path.is_file():
        raise PreparationError(
            f"{path} is missing: a corpus folder holds it beside its corpus.yaml."
        )
    known = sys.modules.get(path.stem)
    if known is None or known.__file__ != str(path):  # another corpus of that name
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except SyntaxError as error:
            raise PreparationError(
                f"{error.filename}, line {error.lineno}, is no Python: {error.msg}."
            ) from error
        sys.modules[path.stem] = module
    return sys.modules[path.stem]
