"""The road of a run: arguments → YAML, corpus → preparation → data → Brain → fit → scoring."""

import ast
import shutil
import sys
from pathlib import Path

import speechbrain as sb
from speechbrain.dataio.sampler import ReproducibleRandomSampler
from speechbrain.utils.distributed import if_main_process, run_on_main
from speechbrain.utils.logger import get_logger
from torch.utils.data import DataLoader

from speechbrain_merit.data.corpora import RECIPES
from speechbrain_merit.data.datasets import datasets
from speechbrain_merit.data.pipeline import batches_by_duration
from speechbrain_merit.data.sampling import Draws
from speechbrain_merit.errors import SettingsError, ends_in_a_line
from speechbrain_merit.evaluation.run import evaluate, whole_batches
from speechbrain_merit.export.loading import LABELS
from speechbrain_merit.labels import label_encoder
from speechbrain_merit.training import processes
from speechbrain_merit.training.brain import MeritBrain
from speechbrain_merit.training.finished import (
    calibrate,
    export_trained,
    kept_temperature,
)
from speechbrain_merit.training.heads import start_heads
from speechbrain_merit.training.known_speakers import grown_from, known_speakers, speakers
from speechbrain_merit.training.same_data import prepare_alike
from speechbrain_merit.training.settings import (
    load,
    parse,
    refuse_changes,
    user_errors,
    write_hyperparams,
)
from speechbrain_merit.training.starting import start_from
from speechbrain_merit.writing import whole

logger = get_logger(__name__)


def main(script, corpus=None):
    """What a ``train.py`` does: runs its command line; what a user can mend ends it in one line.

    Arguments
    ---------
    script : str
        Its ``__file__``; the results folder receives a copy.
    corpus : str, optional
        Where the command line names none: the folder of the recipe that the script is of.
    """
    if not sys.argv[1:] or {"-h", "--help"} & set(sys.argv[1:]):
        print(help_text(script))
        sys.exit(0 if sys.argv[1:] else SettingsError.exit_code)
    with ends_in_a_line(Path(script).name):
        run(sys.argv[1:], corpus, script)


def help_text(script):
    """What a ``train.py`` says of itself, and what there is to choose from.

    SpeechBrain's own help knows neither corpora nor the keys of a YAML.
    """
    systems = sorted(f"hparams/{path.name}" for path in RECIPES.parent.glob("hparams/*.yaml"))
    corpora = sorted(path.parent.name for path in RECIPES.glob("*/corpus.yaml"))
    return f"""\
usage: {Path(script).name} YAML [--corpus NAME] [--data_folder DIR] [--KEY VALUE ...]

{ast.get_docstring(ast.parse(Path(script).read_text(encoding="utf-8")))}

YAML: {", ".join(systems)}
  Each says in comments what its keys mean. A mapping or list is written
  "{{name: folder}}", "[a, b]".
--corpus: {", ".join(corpora)};
  several with commas between; or the path of your own (docs/own_corpus.md)
--data_folder: where its recordings are
--output_folder: default results/SYSTEM/CORPUS/SEED; the same command goes on after an interrupt
Of SpeechBrain's run options: --device cpu, --precision bf16, --debug (a few batches)"""


def run(arguments, corpus=None, script=None):
    """Trains and scores a system; ``arguments`` are those of the command line of ``train.py``.

    Under ``torchrun`` each process trains on its share; the first one prepares, scores and exports.
    ``corpus`` and ``script`` are as of :func:`main`.
    """
    with processes.one_voice():
        train(arguments, corpus, script)


def train(arguments, corpus=None, script=None):
    """The run of one process."""
    with user_errors():
        hparams_file, run_opts, overrides = parse(arguments, corpus)
        run_opts = processes.start(run_opts)
        hparams = load(hparams_file, overrides)
        # before anything is written: another process could meet its own run's new file
        run_on_main(refuse_changes, [hparams_file, overrides, hparams])
        fresh = hparams["checkpointer"].find_checkpoint() is None
        if fresh and hparams.get("start_from") is not None:
            names = hparams["labels"], hparams["attributes"]
            start_from(hparams["model"], hparams["start_from"], *names)
        make_folder(hparams, script)
        run_on_main(prepare_alike, [hparams])
        run_on_main(write_hyperparams, [hparams_file, overrides, hparams["output_folder"]])
        train_set, valid_set, test_set = datasets(hparams)

    brain = MeritBrain(
        modules=hparams["modules"],
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=hparams["checkpointer"],
    )
    if fresh:
        start(brain, few(train_set, brain, hparams), hparams)
    loader = {"num_workers": hparams["num_workers"]}
    valid_batches = whole_batches(len(valid_set), hparams["test_batch_size"])
    valid_batches = processes.shard(valid_batches, processes.rank(), processes.count())
    if not any(p.requires_grad for p in brain.model.parameters()):  # an unchanged cascade
        train_set, brain.hparams.epoch_counter.limit = DataLoader([]), 1
        batches = {}
    else:
        batches = training_batches(brain, train_set, hparams)
        n, size = len(brain.train_sampler), batches.get("batch_size")
        brain.grad_accumulation_factor = accumulation(brain.grad_accumulation_factor, n, size)
    brain.fit(
        brain.hparams.epoch_counter,
        train_set,
        valid_set,
        train_loader_kwargs={**batches, **loader},
        valid_loader_kwargs={"batch_sampler": valid_batches, **loader},
    )
    brain.on_evaluate_start(max_key="score")
    calibration_set = few(valid_set, brain, hparams)
    run_on_main(calibrate, [brain.model, calibration_set, hparams, brain.device])
    hparams["temperature"], _ = kept_temperature(hparams["output_folder"]) or (1.0, None)
    if not hparams["skip_test"]:
        in_test = speakers(hparams["test_annotation"], hparams["corpus"])
        hparams["known_speakers"] = known_speakers(grown_from(hparams), in_test)
        best = scoring(hparams, run_opts)
        evaluate(brain.model, test_set, hparams, brain.device, *best, team=processes)
    export_trained(brain.model, calibration_set, hparams, brain.device)


def make_folder(hparams, script=None):
    """Makes the folder of a run, with the script that was called and the labels in it."""
    output = Path(hparams["output_folder"])
    sb.create_experiment_directory(str(output))
    if not if_main_process():
        return
    (output / Path(__file__).name).unlink()  # the caller, which SpeechBrain takes for the script
    if script is not None and Path(script).resolve().parent != output.resolve():
        shutil.copy(script, output)
    with whole(Path(hparams["save_folder"]) / LABELS) as partial:
        label_encoder(hparams["labels"]).save(partial)


def few(dataset, brain, hparams):
    """A dataset; with ``--debug``, the items of its first few batches."""
    if not brain.debug:
        return dataset
    return dataset.filtered_sorted(select_n=brain.debug_batches * hparams["test_batch_size"])


def start(brain, train_set, hparams):
    """What is done once, before the first epoch: heads, level and LayerNorms take their start."""
    if hparams.get("heads_folder") is not None:
        start_heads(brain.model, hparams["heads_folder"], hparams["labels"])
    if hparams.get("start_from") is not None:
        return  # its LayerNorms have taken up their statistics, and trained on
    if "level" in hparams:
        hparams["level"].fit(train_set, hparams["test_batch_size"], hparams["num_workers"])
    if hparams.get("classifier") is None:  # that of a cascade may be a trained one
        brain.standardise(train_set)


def training_batches(brain, train_set, hparams):
    """How the training set is cut into batches: by number, or by seconds of audio.

    Of several processes each takes every n-th utterance, or batch by seconds; SpeechBrain gives
    some of them twice, so that all have as many. n processes of ``batch_size`` hear what one of
    n · ``batch_size`` does.
    """
    draws = hparams.get("draws")
    if draws and hparams["max_batch_seconds"] is not None:
        raise SettingsError(
            "max_batch_seconds: source_shares and balanced draw utterances one by one: give "
            "batch_size, and null here."
        )
    if hparams["max_batch_seconds"] is None:
        sampler = ReproducibleRandomSampler(train_set, seed=hparams["seed"])
        if draws:
            sampler = Draws(train_set.data_ids, draws, hparams["seed"])
        batches = {"batch_size": hparams["batch_size"], "sampler": sampler}
    else:
        seconds = hparams["max_batch_seconds"], hparams["crop_seconds"]
        sampler = batches_by_duration(train_set, *seconds, hparams["seed"])
        batches = {"batch_sampler": sampler}
    if 1 < processes.count() >= len(sampler):  # SpeechBrain's sampler cannot deal out one each
        raise SettingsError(
            f"{processes.count()} processes share {len(sampler)} "
            f"{'utterances' if 'sampler' in batches else 'batches'} an epoch: start fewer, or give "
            "smaller max_batch_seconds."
        )
    brain.train_sampler = sampler  # sb.Brain tells it the epoch
    return batches


def accumulation(factor, n, batch_size=None):
    """How many batches a step takes: no more than an epoch has.

    At its end SpeechBrain drops the gradients that wait for more.

    Arguments
    ---------
    factor : int
        ``grad_accumulation_factor``.
    n : int
        Utterances of an epoch; without ``batch_size`` batches, which each epoch cuts anew.
    batch_size : int, optional
        Utterances of a batch.

    Example
    -------
    >>> accumulation(4, 80, batch_size=8), accumulation(4, 20, batch_size=8)
    (4, 3)
    """
    own = -(-n // processes.count())
    batches = own if batch_size is None else -(-own // batch_size)
    if factor > batches:
        logger.warning(
            f"grad_accumulation_factor is {factor}, but an epoch has {batches} batches: a step "
            f"takes {batches}, for with {factor} none would come."
        )
        return batches
    if batch_size is not None and batches % factor:
        logger.warning(
            f"grad_accumulation_factor {factor} does not divide the {batches} batches of an "
            f"epoch: the last {batches % factor} of each epoch are heard, and train nothing."
        )
    return factor


def scoring(hparams, run_opts):
    """The name of the best checkpoint, and how many batches are scored: with --debug a few."""
    best = hparams["checkpointer"].find_checkpoint(max_key="score")
    name = None if best is None else best.path.name
    return name, run_opts["debug_batches"] if run_opts["debug"] else None
