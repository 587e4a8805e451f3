"""From the YAML of an experiment to its runs, each checked before the first one starts."""

import difflib
import itertools
import math
import re
from pathlib import Path
from typing import NamedTuple

import yaml

from speechbrain_merit.data.corpora import RECIPES
from speechbrain_merit.data.text_keys import Numbers
from speechbrain_merit.errors import SettingsError
from speechbrain_merit.experiments.results import EXPERTS, METRICS

ROOT = RECIPES.parent
KEYS = ("name", "shared", "keys", "corpora", "systems", "runs", "tables")
NEEDED_IN_TABLES = ("title", "systems", "corpus", "metrics", "conditions")
TABLE_KEYS = (*NEEDED_IN_TABLES, "baselines", "claims", "folds", "goals")
TABLE_KEYS += ("claim_systems", "claim_metrics")  # of `systems` and `metrics`: all unless given
FOLDS = ("all", "fixed")  # of a table, or a list of some
GOAL_KEYS = ("system", "baseline", "metric", "condition", "change")
AXES = ("seed", "fold", "output_folder")  # keys that are no run's to give
NAME, LETTERS = re.compile(r"\w[\w.-]*"), "letters, digits and _ . -"
PART = re.compile(r"\w[^/\\\x00-\x1f]*")  # of a folder's name: what no system takes is left out
REFERENCE = re.compile(r"<([\w.-]+)>")


class Unique(Numbers):
    """Refuses a key that is there twice, of which YAML would take the last."""

    def construct_mapping(self, node, deep=False):
        """A mapping, each of its keys there once."""
        names = [key.value for key, _ in node.value if isinstance(key.value, str)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {twice} is there twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


class Run(NamedTuple):
    """One training and its scoring.

    ``system`` and ``corpus`` are names of the experiment's YAML, ``fold`` a number or None for the
    fixed split, ``hparams`` the system's YAML, ``keys`` what is laid over it, with references
    unresolved, and ``needs`` the runs whose folders these name, by system.
    """

    system: str
    corpus: str
    fold: int | None
    seed: int
    hparams: str
    keys: dict
    needs: dict

    @property
    def name(self):
        """Of the run's folder."""
        split = "" if self.fold is None else f"_fold{self.fold}"
        return f"{self.system}_{self.corpus}{split}_{self.seed}"


class Plan(NamedTuple):
    """An experiment: its ``name``, ``runs`` by name in the order of their worth, ``tables``.

    ``file`` is its YAML, ``shared`` what ``<shared>`` stands for, ``systems`` their names in order.
    """

    file: Path
    name: str
    shared: str
    runs: dict
    tables: list
    systems: list


def read_plan(path, shared=None):
    """Reads the YAML of an experiment.

    Arguments
    ---------
    path : str or Path
        The file. Its keys: ``name``; ``shared``, the folder of corpora, noise and encoders, which
        ``<shared>`` stands for; ``keys`` of every run; ``corpora`` and ``systems``, each a name and
        its own keys, a system's ``hparams`` among them; ``runs``, a list of products of
        ``systems``, ``corpora``, ``folds`` and ``seeds``; ``tables``. In a system's keys ``<name>``
        is the folder of another system's run on the same corpus, fold and seed.
    shared : str, optional
        In place of the file's.

    Returns
    -------
    Plan

    Raises
    ------
    SettingsError
        An unknown key, system, corpus or metric, or something missing; named.
    """
    path = Path(path)
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=Unique)
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} cannot be read: save it in UTF-8.") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is no YAML: {error}") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path} holds no keys: see recipes/RAVDESS/experiment.yaml.")
    known(path, "key", content, KEYS)
    missing = [key for key in ("name", "systems", "corpora", "runs") if not content.get(key)]
    if missing:
        raise SettingsError(f"{path} lacks {', '.join(missing)}.")
    name = str(content["name"])
    for key in ("keys", "corpora", "systems"):
        mapping(path, key, content.get(key))
    for key in ("corpora", "systems"):
        for each, own in content[key].items():
            mapping(path, f"{key}: {each}", own)
            refuse_axes(path, f"{key}: {each}", own)
            if not PART.fullmatch(str(each)):
                raise SettingsError(f"{path}: {key}: {each!r} becomes a folder: {LETTERS}")
    refuse_axes(path, "keys", content.get("keys"))
    for key in ("runs", "tables"):
        if not all(isinstance(entry, dict) for entry in a_list(path, key, content.get(key))):
            raise SettingsError(f"{path}: {key} is a list of entries of `key: value`.")
    if not NAME.fullmatch(name):
        raise SettingsError(f"{path}: name {name!r} becomes a folder: {LETTERS}")
    runs = {}
    for block in content["runs"]:
        for run in product(path, content, block):
            if run.name in runs:
                raise SettingsError(f"{path}: the run {run.name} is there twice.")
            runs[run.name] = run
    for run in runs.values():
        lacking = [need for need in run.needs.values() if need not in runs]
        if lacking:
            raise SettingsError(
                f"{path}: {run.name} needs {', '.join(lacking)}, which runs does not list."
            )
    tables = [checked_table(path, table, content) for table in content.get("tables") or []]
    titles = [str(table["title"]) for table in tables] + [EXPERTS]
    slugs = list(map(slug, titles))
    twice = next((title for title in titles if slugs.count(slug(title)) > 1), None)
    if twice is not None:
        raise SettingsError(
            f"{path}: two tables have the title {twice!r}, or one that differs in no letter or "
            "digit: give one another."
        )
    place = shared or content.get("shared") or "."
    refuse_circles(runs)
    return Plan(path, name, str(place), runs, tables, list(content["systems"]))


def product(path, content, block):
    """The runs of one entry of ``runs``."""
    known(path, "key of runs", block, ("systems", "corpora", "folds", "seeds"))
    for axis in block:
        a_list(path, f"{axis} of runs", block[axis])
    for axis in ("seeds", "folds"):
        for number in block.get(axis) or []:
            if type(number) is not int and not (number is None and axis == "folds"):
                raise SettingsError(f"{path}: {axis} of runs are whole numbers, not {number!r}.")
    for axis in ("systems", "seeds"):
        if not block.get(axis):
            raise SettingsError(f"{path}: an entry of runs has no {axis}.")
    corpora = block.get("corpora") or list(content["corpora"])
    known(path, "system", block["systems"], content["systems"])
    known(path, "corpus", corpora, content["corpora"])
    # systems innermost: what is to be compared is there early, whenever time is up
    axes = corpora, block["seeds"], block.get("folds") or [None], block["systems"]
    for corpus, seed, fold, system in itertools.product(*axes):
        keys = {**(content.get("keys") or {}), **(content["corpora"][corpus] or {})}
        keys |= content["systems"][system] or {}
        keys |= {"seed": seed} | ({} if fold is None else {"fold": fold})
        hparams = keys.pop("hparams", None)
        if not isinstance(hparams, str) or not (ROOT / hparams).is_file():
            raise SettingsError(f"{path}: {system}: hparams is {hparams}: there is no such YAML.")
        others = sorted(references(keys) - {"shared"})
        known(path, "system", others, content["systems"])
        needs = {o: Run(o, corpus, fold, seed, "", {}, {}).name for o in others}
        yield Run(system, corpus, fold, seed, hparams, keys, needs)


def references(value):
    """The names in ``<…>`` of a value, nested ones too.

    Example
    -------
    >>> sorted(references({"enhancer": "<se_only>", "folders": ["<shared>/noise"]}))
    ['se_only', 'shared']
    """
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return set().union(*map(references, value))
    return set(REFERENCE.findall(value)) if isinstance(value, str) else set()


def resolve(value, folders):
    """A value with each ``<name>`` replaced by its folder.

    Example
    -------
    >>> resolve({"noise": "<shared>/noise"}, {"shared": "/data"})
    {'noise': '/data/noise'}
    """
    if isinstance(value, dict):
        return {key: resolve(item, folders) for key, item in value.items()}
    if isinstance(value, list):
        return [resolve(item, folders) for item in value]
    if isinstance(value, str):
        return REFERENCE.sub(lambda match: str(folders[match[1]]), value)
    return value


def refuse_circles(runs):
    """Raises :class:`SettingsError` where runs (by name) need each other."""
    done, waiting = set(), dict(runs)
    while waiting:
        ready = [name for name, run in waiting.items() if done.issuperset(run.needs.values())]
        if not ready:
            raise SettingsError(f"These runs need each other: {', '.join(waiting)}.")
        done |= {waiting.pop(name).name for name in ready}


def checked_table(path, table, content):
    """An entry of ``tables``, its names known."""
    known(path, "key of tables", table, TABLE_KEYS)
    lacking = [key for key in NEEDED_IN_TABLES if not table.get(key)]
    if lacking:
        raise SettingsError(f"{path}: an entry of tables lacks {', '.join(lacking)}: {table}.")
    for key in (key for key in TABLE_KEYS if key not in ("title", "corpus", "folds")):
        a_list(path, f"{key} of tables", table.get(key))
    check_folds(path, table.get("folds", "all"), content["runs"])
    for condition in [*table["conditions"], *(table.get("claims") or [])]:
        check_condition(path, condition)
    known(path, "system", table["systems"] + (table.get("baselines") or []), content["systems"])
    known(path, "corpus", [table["corpus"]], content["corpora"])
    known(path, "metric", table["metrics"], METRICS)
    known(path, "system", table.get("claim_systems") or [], table["systems"])
    known(path, "metric", table.get("claim_metrics") or [], table["metrics"])
    for goal in table.get("goals") or []:
        if not isinstance(goal, dict):
            raise SettingsError(f"{path}: a goal is {goal!r}: give lines `key: value`.")
        known(path, "key of goals", goal, GOAL_KEYS)
        lacking = [key for key in GOAL_KEYS if key not in goal]
        if lacking:
            raise SettingsError(f"{path}: a goal lacks {', '.join(lacking)}: {goal}.")
        known(path, "system", [goal["system"], goal["baseline"]], table["systems"])
        known(path, "metric", [goal["metric"]], METRICS)
        check_condition(path, goal["condition"])
        if not is_number(goal["change"]):
            raise SettingsError(f"{path}: change of a goal is {goal['change']!r}: give a number.")
    return table


def a_list(path, what, value):
    """A list, empty where it is left out; :class:`SettingsError` for anything else."""
    if not isinstance(value, list | None):
        raise SettingsError(f"{path}: {what} is {value!r}: give a list, as [{value}].")
    return value or []


def mapping(path, what, value):
    """Raises :class:`SettingsError` for what is neither left out nor a mapping."""
    if not isinstance(value, dict | None):
        raise SettingsError(f"{path}: {what} is {value!r}: give lines `key: value`.")


def is_number(value):
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def refuse_axes(path, what, keys):
    """Raises :class:`SettingsError` for keys that ``runs`` or the experiment itself give."""
    given = sorted({*AXES} & {*(keys or {})})
    if given:
        raise SettingsError(
            f"{path}: {what}: {', '.join(given)}: runs say which seeds and folds there are, and "
            "results have folders of their own."
        )


def slug(text):
    """A name for a file.

    Example
    -------
    >>> slug("Five folds: F1, unseen")
    'five_folds_f1_unseen'
    """
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def check_folds(path, folds, runs):
    """Raises :class:`SettingsError` for neither one of `FOLDS` nor a list of the runs' folds."""
    if isinstance(folds, list):
        there = {fold for block in runs for fold in block.get("folds") or []} - {None}
        known(path, "fold of tables", folds or [None], sorted(there))
    else:
        known(path, "value of folds of tables", [folds], FOLDS)


def check_condition(path, condition):
    """Raises :class:`SettingsError` for what is neither ``clean`` nor [noise set, SNR]."""
    if condition == "clean":
        return
    pair = condition if isinstance(condition, list) and len(condition) == 2 else [None, None]
    if not (isinstance(pair[0], str) and is_number(pair[1])):
        raise SettingsError(
            f"{path}: a condition is {condition!r}: give clean, or [noise set, SNR in dB]."
        )


def known(path, what, names, among):
    """Raises :class:`SettingsError` for a name that is none of ``among``, with the nearest."""
    for name in names:
        if not isinstance(name, str | int | float) or isinstance(name, bool):
            raise SettingsError(f"{path}: {what} {name!r} is no name.")
        if name not in among:
            near = difflib.get_close_matches(str(name), list(map(str, among)), n=1)
            hint = (
                f"did you mean {near[0]}?" if near else f"known are {', '.join(map(str, among))}."
            )
            raise SettingsError(f"{path}: unknown {what} {name}; {hint}")
