"""What outlasts a run: its YAML, learning curves and compressed predictions, of no machine.

``experiments/NAME/runs/RUN/`` holds ``run.yaml`` (what the experiment asked for),
``hyperparams.yaml`` (all that the run was made of), ``train_log.txt`` and
``predictions.jsonl.xz``: enough to make every table again, and to see what it is of.
"""

import os
import sys
from pathlib import Path

import yaml
from speechbrain.utils.logger import get_logger

from speechbrain_merit.data.corpora import find_corpora
from speechbrain_merit.data.corpus_yaml import read_corpus_yaml
from speechbrain_merit.errors import (
    OtherRunError,
    PredictionsError,
    PreparationError,
    SettingsError,
)
from speechbrain_merit.evaluation.predictions import (
    find_predictions,
    read_predictions,
    write_predictions,
)
from speechbrain_merit.experiments.plan import ROOT, resolve
from speechbrain_merit.experiments.results import KEPT
from speechbrain_merit.training.loggers import TRAIN_LOG
from speechbrain_merit.training.settings import plain_values
from speechbrain_merit.writing import write_text

logger = get_logger(__name__)

ASKED, HYPERPARAMS = "run.yaml", "hyperparams.yaml"
#: Digits that are kept: what a score is known to is far less, and files stay small.
SCORE_DIGITS, SHARE_DIGITS = 3, 4
#: Keys that say how a run is made, not what: of another value it is the same run. What a quick one
#: lacks, tables leave out.
HOW = ("n_jobs", "num_workers", "precision", "ckpt_interval_minutes", "quick")


def asked(run, plan):
    """What ``run.yaml`` says: the run's own keys, and the plain values of its system's YAML.

    ``parts`` says the same of the runs that it needs.
    """
    values = {k: v for k, v in plain_values(ROOT / run.hparams).items() if v is not None}
    of = {"system": run.system, "corpus": run.corpus, "fold": run.fold, "seed": run.seed}
    parts = {system: asked(plan.runs[name], plan) for system, name in run.needs.items()}
    return {**of, "hparams": run.hparams, "keys": run.keys, "values": values, "parts": parts}


def check_kept(places, run, plan):
    """Raises :class:`SettingsError` where a run that is kept was asked for otherwise than now.

    It is :class:`OtherRunError` where it is another run, or none can be told from what is there.

    A key that one of the two does not have is no difference: the package has grown since.
    """
    folder = places.kept(run.name)
    path = folder / ASKED
    if not path.is_file():
        return
    try:
        then = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        then = None
    now = asked(run, plan)
    if not is_whole(then, now):
        raise OtherRunError(f"{path} is broken: delete {folder} to make the run again.")
    own = [k for k in ("system", "corpus", "fold", "seed", "hparams") if then[k] != now[k]]
    if own:
        raise OtherRunError(f"{folder} holds another run: it differs in {', '.join(own)}.")
    changed = sorted({*changes(then, now), *changes_of_corpus(folder, run, plan)} - {*HOW})
    if changed:
        raise SettingsError(
            f"{folder} was made with another {', '.join(changed)}, and its predictions are of "
            f"that. Give the experiment another name, or delete the folder, and "
            f"{places.results / run.name}, to make the run again."
        )


def is_whole(then, now):
    """Whether what a ``run.yaml`` holds is what `asked` makes; older ones have no ``parts``."""
    if not isinstance(then, dict) or {*now} - {*then} - {"parts"}:
        return False
    mappings = [then["keys"], then["values"], then.get("parts") or {}]
    mappings += (then.get("parts") or {}).values() if isinstance(mappings[-1], dict) else []
    return all(isinstance(mapping, dict) for mapping in mappings)


def changes(then, now):
    """The names of the keys in which two answers of `asked` differ, those of parts with them."""
    laid_over = {*then["keys"], *now["keys"]}
    found = [k for k in laid_over if then["keys"].get(k) != now["keys"].get(k)]
    both = ({*then["values"]} & {*now["values"]}) - laid_over
    found += [k for k in both if then["values"][k] != now["values"][k]]
    parts = then.get("parts") or {}
    for part in {*parts} & {*now["parts"]}:
        own = {*changes(parts[part], now["parts"][part])} - {*HOW}
        found += [f"{key} of {part}" for key in own]
    return found


def changes_of_corpus(folder, run, plan):
    """The keys that ``corpus.yaml`` gives another value by now than the run was made with."""
    corpus = resolve(run.keys.get("corpus", ""), {"shared": plan.shared})
    try:
        first = next(iter(find_corpora(corpus).values()))
        settings, then = read_corpus_yaml(first)[0], plain_values(folder / HYPERPARAMS)
    except (PreparationError, OSError, yaml.YAMLError):  # neither is needed to make tables
        return []
    if (ROOT / run.hparams).resolve().parent == first / "hparams":  # which says all of it
        return []
    settings = {k: v for k, v in settings.items() if k not in ("data_folder", *run.keys)}
    return [k for k, v in settings.items() if k in then and then[k] != v]


def is_finished(folder):
    """Whether a folder holds a run's predictions, all of them; says what is wrong with others."""
    if not (folder / KEPT).is_file():
        return False
    try:
        for _ in read_predictions(folder / KEPT)[1]:
            pass
    except PredictionsError as error:
        logger.warning(f"Not taken for finished: {error}")
        return False
    return (folder / ASKED).is_file()


def keep(results, folder, run, plan):
    """Keeps of a finished run what outlasts it.

    Arguments
    ---------
    results : pathlib.Path
        The folder that ``train.py`` filled.
    folder : pathlib.Path
        Where to.
    run : Run
        What was asked for.
    plan : Plan
        The experiment.
    """
    anywhere = Anywhere(plan, results)
    hyperparams = anywhere.text((results / HYPERPARAMS).read_text(encoding="utf-8"))
    write_text(folder / HYPERPARAMS, hyperparams)
    log = results / TRAIN_LOG
    if log.is_file():  # an unchanged cascade has none
        write_text(folder / TRAIN_LOG, log.read_text(encoding="utf-8"))
    header, rows = read_predictions(find_predictions(results / "evaluation"))
    summary = {
        key: anywhere.text(v) if isinstance(v, str) else v for key, v in header["summary"].items()
    }
    summary["command"] = f"python experiments.py {plan.file.name}"
    header = {**header, "summary": summary}
    write_predictions(folder / KEPT, header, map(shortened, rows))
    text = yaml.safe_dump(asked(run, plan), sort_keys=False, allow_unicode=True)
    write_text(folder / ASKED, text)


class Anywhere:
    """Takes the paths of this machine out of texts.

    Example
    -------
    >>> from speechbrain_merit.experiments.plan import Plan
    >>> plan = Plan(Path("x.yaml"), "x", "/my/data", {}, [], [])
    >>> Anywhere(plan, Path("results/x")).text("noise: /my/data/noise")
    'noise: <shared>/noise'
    """

    def __init__(self, plan, results):
        places = {plan.shared: "<shared>", str(Path(plan.shared).resolve()): "<shared>"}
        places |= {str(results.resolve().parent): "<runs>", str(results.parent): "<runs>"}
        places |= {str(ROOT): ".", str(Path.cwd()): ".", str(Path.home()): "~"}
        places |= {sys.prefix: "<python>"}
        # the longest first: what lies in it would lose its head otherwise
        # a bare name, "." or "/" may stand for something else
        known = {k: v for k, v in places.items() if os.sep in k and k.strip(f".{os.sep}")}
        self.places = dict(sorted(known.items(), key=lambda item: -len(item[0])))

    def text(self, text):
        """The same text without them."""
        for place, name in self.places.items():
            text = text.replace(place, name)
        return text


def shortened(row):
    """A row of predictions with the digits that mean something.

    Example
    -------
    >>> row = {"probabilities": [0.66666, 0.33334], "scores": {"pesq": 1.23456, "stoi": None},
    ...        "measured_snr_db": 5.00004, "experts": None, "experts_by_level": None}
    >>> shortened(row)["probabilities"], shortened(row)["scores"]
    ([0.6667, 0.3333], {'pesq': 1.235, 'stoi': None})
    """
    return {
        **row,
        "measured_snr_db": rounded(row["measured_snr_db"], SCORE_DIGITS),
        "probabilities": rounded(row["probabilities"], SHARE_DIGITS),
        "scores": rounded(row["scores"], SCORE_DIGITS),
        "experts": rounded(row["experts"], SHARE_DIGITS),
        "experts_by_level": rounded(row.get("experts_by_level"), SHARE_DIGITS),
    }


def rounded(value, digits):
    """A nested value with its numbers rounded."""
    if isinstance(value, dict):
        return {key: rounded(item, digits) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item, digits) for item in value]
    return round(value, digits) if isinstance(value, float) else value
