"""From the command line to the objects of a run: arguments, the corpus's overlay, the YAML."""

import contextlib
import difflib
import importlib
import re
from pathlib import Path

import speechbrain as sb
import yaml
from hyperpyyaml import load_hyperpyyaml, resolve_references
from speechbrain.utils.logger import get_logger

from speechbrain_merit.data.corpora import RECIPES, SPLITS, as_text, find_corpora, overlay
from speechbrain_merit.data.text_keys import from_command_line, read_yaml, stays_text
from speechbrain_merit.devices import check_device
from speechbrain_merit.errors import MeritError, SettingsError
from speechbrain_merit.training.literal import parts, settle, without_mappings
from speechbrain_merit.training.loggers import TRAIN_LOG
from speechbrain_merit.training.starting import with_start
from speechbrain_merit.training.values import check_values
from speechbrain_merit.writing import write_text

logger = get_logger(__name__)

#: Keys that say how a run works, not what it computes: a resumed run may change them.
RUNNING_KEYS = {
    "skip_prep",
    "skip_test",
    "num_workers",
    "n_jobs",
    "ckpt_interval_minutes",
    "find_unused_parameters",
    "train_logger",
    "train_loggers",
    "noise_test_folders",
    "test_snrs",
    "test_band_limit",
    "test_seed",
    "test_batch_size",
    "n_examples",
    "quick",
}
#: Where the data lie. They may have been moved: `same_data` sees to it that they are the same.
PLACES = {
    *("data_folder", "noise_folder", "noise_train_folder", "noise_valid_folder", "rir_folder"),
    "speech_folders",
}


@contextlib.contextmanager
def user_errors():
    """Turns errors of the file system and of YAML into :class:`SettingsError`, before training."""
    try:
        yield
    except MeritError:
        raise
    except (OSError, yaml.YAMLError) as error:
        raise SettingsError(str(error)) from error


def parse(arguments, corpus=None, lay_over=True):
    """Splits the command line into the YAML, SpeechBrain's run options, and one mapping of keys.

    Precedence: command line over the corpus's ``corpus.yaml`` over the system's YAML. A YAML of
    the corpus's own ``hparams/`` says all of it: ``corpus.yaml`` is not laid over that one.

    Arguments
    ---------
    arguments : list of str
        The command line.
    corpus : str, optional
        The corpus where ``--corpus`` names none: that of the recipe whose ``train.py`` was called.
    lay_over : bool
        False: the mapping holds what the command line says, and nothing of a corpus.
    """
    rest, given = take_text(arguments)
    for argument in rest[1:]:
        value = argument.partition("=")[2] if argument.startswith("--") else argument
        if "=" in value:  # SpeechBrain would make "x y" of it in silence
            raise SettingsError(f"{argument}: a value must not hold '='.")
    corpus = given.pop("corpus", corpus) if lay_over else None
    folders = [] if corpus is None else list(find_corpora(corpus).values())
    name, run_opts, words = sb.parse_arguments(rest)
    check_device(run_opts.get("device"))
    hparams_file = find_yaml(name, folders)
    given = read_yaml(words) | given
    own = hparams_file.resolve().parent in [folder / "hparams" for folder in folders[:1]]
    overrides = given if corpus is None else overlay(corpus, given, complete=own)
    if corpus is not None and not own:  # the YAML's is MiniMERIT's: no other corpus lies there
        overrides = {"data_folder": None, **overrides}
    if isinstance(overrides.get("data_folder"), dict):
        overrides["data_folder"] = as_text(overrides["data_folder"])
    check_keys(hparams_file, overrides, given)
    return hparams_file, run_opts, with_start(overrides, plain_values(hparams_file), given)


def find_yaml(name, folders):
    """A system's YAML: where its name says, or in the folder of a corpus, or in the repository.

    So that ``hparams/merit.yaml`` is found from a recipe's folder as well.
    """
    places = [Path(), *folders, RECIPES.parent]
    for place in places:
        if (place / name).is_file():
            return place / name
    known = {f"hparams/{path.name}" for place in places for path in place.glob("hparams/*.yaml")}
    raise SettingsError(f"There is no file {name}: give one of {', '.join(sorted(known))}.")


def take(arguments, option, wanted):
    """Takes an option of ours out of a command line, before the YAML sees it.

    Arguments
    ---------
    arguments : list of str
        The command line.
    option : str
        With its dashes.
    wanted : str
        What it takes, for the message where nothing follows it.

    Returns
    -------
    tuple
        Its value, None without it, and the other arguments.

    Example
    -------
    >>> take(["x.yaml", "--system", "my", "--seed", "7"], "--system", "a name")
    ('my', ['x.yaml', '--seed', '7'])
    """
    arguments = list(arguments)
    for index, argument in enumerate(arguments):
        if argument == option or argument.startswith(f"{option}="):
            value = argument.split("=", 1)[1:] or arguments[index + 1 : index + 2]
            if not value:
                raise SettingsError(f"{option} needs {wanted}.")
            del arguments[index : index + (1 if "=" in argument else 2)]
            return value[0], arguments
    return None, arguments


def take_text(arguments):
    """Takes the keys whose values stay text out of a command line: (the rest, {key: value})."""
    rest, given, waiting = [], {}, list(arguments)
    while waiting:
        argument = waiting.pop(0)
        key, equals, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or not stays_text(key):
            rest.append(argument)
            continue
        words = [value] if equals else []
        while waiting and not waiting[0].startswith("--"):
            words.append(waiting.pop(0))
        if not words:
            raise SettingsError(f"--{key} needs a value; what begins with -- follows --{key}=.")
        given[key] = from_command_line(key, " ".join(words))
    return rest, given


def check_keys(hparams_file, overrides, given=None):
    """Raises :class:`SettingsError` for a key that the YAML lacks, with the nearest that it has.

    Those of ``overrides`` that are not ``given`` on the command line are of ``corpus.yaml``.
    """
    tree = yaml.compose(Path(hparams_file).read_text(encoding="utf-8"))
    known = [key.value for key, _ in tree.value]
    for key in overrides:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f". It has: {', '.join(known)}."
            of = "" if given is None or key in given else " It stands in corpus.yaml."
            raise SettingsError(f"{hparams_file} has no key {key}{hint}{of}")


def plain_values(path):
    """The top-level keys of a YAML file with plain values; objects are None."""

    class Plain(yaml.SafeLoader):
        pass

    Plain.add_multi_constructor("!", lambda loader, tag, node: None)
    return read_yaml(Path(path).read_text(encoding="utf-8"), Plain)


def load(hparams_file, overrides):
    """Builds everything that the YAML names."""
    check_values(plain_values(hparams_file), overrides)
    file = without_mappings(hparams_file, overrides)
    return load_hyperpyyaml(file, settle(hparams_file, overrides))


def load_finished(folder, arguments=(), others=()):
    """A run's hparams, its best checkpoint's weights in the model, and SpeechBrain's run options.

    The run may have been moved since it was trained: its own files are looked for in ``folder``,
    a pathlib.Path. ``arguments`` are of the command line, over what the run was trained with, but
    for the keys ``others``, which say something of another corpus.
    """
    refuse_old(folder)
    hparams_file, run_opts, given = parse(
        [str(folder / "hyperparams.yaml"), *arguments, f"--output_folder={folder}"], lay_over=False
    )
    for key in ("labels", "attributes"):
        if key in given:
            raise SettingsError(f"--{key}: a trained model has those that it was trained on.")
    save = folder / "save"
    own = {f"{split}_annotation": str(save / f"{split}.json") for split in SPLITS}
    own |= {key: value for key, value in given.items() if key not in others}
    own |= {"save_folder": str(save), "train_log": str(folder / TRAIN_LOG)}
    hparams = load(hparams_file, own)
    hparams["checkpointer"].checkpoints_dir = save
    if hparams["checkpointer"].recover_if_possible(max_key="score") is None:
        raise SettingsError(f"{save} holds no checkpoint with a score: train first.")
    return hparams, run_opts


def refuse_changes(hparams_file, overrides, hparams):
    """Raises :class:`SettingsError` where a run would resume from one of another configuration.

    Its folder and its data may have been moved, and it may get more epochs than it had.
    """
    earlier = Path(hparams["output_folder"]) / "hyperparams.yaml"
    if not earlier.is_file() or not any(Path(hparams["save_folder"]).glob("CKPT*")):
        return
    refuse_old(earlier.parent)
    was = plain_values(earlier) or {}
    as_then = {**overrides, "output_folder": was.get("output_folder", hparams["output_folder"])}
    moved = {key for key in PLACES if was.get(key) and hparams.get(key)}
    if {*(was.get("speech_folders") or {})} != {*(hparams.get("speech_folders") or {})}:
        moved -= {"speech_folders"}  # another source is no other place
    as_then |= {key: was[key] for key in moved}
    epochs, had = hparams["number_of_epochs"], was.get("number_of_epochs")
    more = isinstance(had, int) and epochs > had
    if more:
        as_then["number_of_epochs"] = had
    new = blocks(resolved(hparams_file, as_then))
    old = blocks(earlier.read_text(encoding="utf-8"))
    changed = sorted(k for k in {*old, *new} - RUNNING_KEYS if old.get(k) != new.get(k))
    if changed:
        raise SettingsError(
            f"{hparams['output_folder']} holds a run with other values of {', '.join(changed)}. "
            "Give another --output_folder, or delete that one, to start anew."
        )
    if more:
        logger.warning(
            f"The run goes on to epoch {epochs}, where it was to end with {had}: epochs that are "
            "past keep the learning rates they had, the rest follow the new schedule."
        )


def refuse_old(folder):
    """Raises :class:`SettingsError` for a run of an older version, whose YAML names what is gone.

    Arguments
    ---------
    folder : str or Path
        Of a run.
    """
    folder = Path(folder)
    text = (folder / "hyperparams.yaml").read_text(encoding="utf-8")
    names = re.findall(r"!(?:new|apply|name):(speechbrain_merit\.[\w.]+)", text)
    gone = next((name for name in names if not is_here(name)), None)
    if gone is not None:
        raise SettingsError(
            f"{folder} is a run of an older version: {gone}, which its hyperparams.yaml names, is "
            f"no longer there. Its model still loads from {folder / 'pretrained'}; to go on or to "
            "score, train again into another --output_folder."
        )


def is_here(name):
    """Whether a dotted name of the package can be imported.

    Example
    -------
    >>> is_here("speechbrain_merit.lobes.merit.Merit"), is_here("speechbrain_merit.brain.Brain")
    (True, False)
    """
    module, _, attribute = name.rpartition(".")
    try:
        return hasattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if not error.name.startswith("speechbrain_merit"):
            raise  # a dependency is not installed
        return False


def resolved(hparams_file, overrides):
    """The text of a YAML with its references resolved and the user's values in it."""
    file = without_mappings(hparams_file, overrides)
    return resolve_references(file, settle(hparams_file, overrides)).getvalue()


def write_hyperparams(hparams_file, overrides, folder):
    """Writes what a run is made of into its folder, whole: it is read when the run resumes."""
    head = f"# Made from {Path(hparams_file).resolve()}\n# yamllint disable\n"
    write_text(Path(folder) / "hyperparams.yaml", head + resolved(hparams_file, overrides))


def blocks(text):
    """A resolved YAML file as top-level key → what its value says, however that is written."""
    return {key.value: _said(value) for key, value in yaml.compose(text).value}


def _said(node):
    said = node.value if isinstance(node, yaml.ScalarNode) else [_said(n) for n in parts(node)]
    return node.tag, said
