"""The road of a run: arguments → YAML, corpus → preparation → data → Brain → fit → scoring."""

import speechbrain as sb
from speechbrain.dataio.sampler import ReproducibleRandomSampler
from speechbrain.utils.distributed import run_on_main

from speechbrain_merit.data.datasets import datasets, prepare
from speechbrain_merit.data.pipeline import batches_by_duration
from speechbrain_merit.evaluation.run import evaluate, whole_batches
from speechbrain_merit.training import processes
from speechbrain_merit.training.brain import MeritBrain
from speechbrain_merit.training.finished import (
    calibrate,
    export_trained,
    kept_temperature,
)
from speechbrain_merit.training.settings import (
    load,
    parse,
    refuse_changes,
    user_errors,
    write_hyperparams,
)


def run(arguments):
    """Trains and scores a system; ``arguments`` are those of the command line of ``train.py``.

    Under ``torchrun`` each process trains on its share; the first one prepares, scores and exports.
    """
    with processes.one_voice():
        train(arguments)


def train(arguments):
    """The run of one process."""
    with user_errors():
        hparams_file, run_opts, overrides = parse(arguments)
        run_opts = processes.start(run_opts)
        hparams = load(hparams_file, overrides)
        # before anything is written: another process could meet its own run's new file
        run_on_main(refuse_changes, [hparams_file, overrides, hparams])
        sb.create_experiment_directory(hparams["output_folder"])
        run_on_main(write_hyperparams, [hparams_file, overrides, hparams["output_folder"]])
        run_on_main(prepare, [hparams])
        train_set, valid_set, test_set = datasets(hparams)

    brain = MeritBrain(
        modules=hparams["modules"],
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=hparams["checkpointer"],
    )
    if hparams["checkpointer"].find_checkpoint() is None:
        brain.standardise(train_set)
    loader = {"num_workers": hparams["num_workers"]}
    valid_batches = whole_batches(len(valid_set), hparams["test_batch_size"])
    valid_batches = processes.shard(valid_batches, processes.rank(), processes.count())
    brain.fit(
        brain.hparams.epoch_counter,
        train_set,
        valid_set,
        train_loader_kwargs={**training_batches(brain, train_set, hparams), **loader},
        valid_loader_kwargs={"batch_sampler": valid_batches, **loader},
    )
    brain.on_evaluate_start(max_key="score")
    run_on_main(calibrate, [brain.model, valid_set, hparams, brain.device])
    hparams["temperature"], _ = kept_temperature(hparams["output_folder"]) or (1.0, None)
    if not hparams["skip_test"]:
        best = scoring(hparams, run_opts)
        evaluate(brain.model, test_set, hparams, brain.device, *best, team=processes)
    export_trained(brain.model, valid_set, hparams, brain.device)


def training_batches(brain, train_set, hparams):
    """How the training set is cut into batches: by number, or by seconds of audio.

    Of several processes each takes every n-th utterance, or batch by seconds; SpeechBrain gives
    some of them twice, so that all have as many. n processes of ``batch_size`` hear what one of
    n · ``batch_size`` does.
    """
    if hparams["max_batch_seconds"] is None:
        sampler = ReproducibleRandomSampler(train_set, seed=hparams["seed"])
        batches = {"batch_size": hparams["batch_size"], "sampler": sampler}
    else:
        seconds = hparams["max_batch_seconds"], hparams["crop_seconds"]
        sampler = batches_by_duration(train_set, *seconds, hparams["seed"])
        batches = {"batch_sampler": sampler}
    brain.train_sampler = sampler  # sb.Brain tells it the epoch
    return batches


def scoring(hparams, run_opts):
    """The name of the best checkpoint, and how many batches are scored: with --debug a few."""
    best = hparams["checkpointer"].find_checkpoint(max_key="score")
    name = None if best is None else best.path.name
    return name, run_opts["debug_batches"] if run_opts["debug"] else None
