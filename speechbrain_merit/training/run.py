"""The road of a run: arguments → YAML, corpus → preparation → data → Brain → fit → scoring."""

from pathlib import Path

import speechbrain as sb
from speechbrain.dataio.sampler import ReproducibleRandomSampler
from speechbrain.utils.distributed import run_on_main

from speechbrain_merit.data.corpora import PREPARATION_KEYS, SPLITS, overlay, prepare_corpora
from speechbrain_merit.data.datasets import datasets, fixed_test_set, prepare, prepare_noise
from speechbrain_merit.data.pipeline import batches_by_duration
from speechbrain_merit.errors import SettingsError
from speechbrain_merit.evaluation.run import FOLDER, evaluate, report, whole_batches
from speechbrain_merit.training import processes
from speechbrain_merit.training.brain import MeritBrain
from speechbrain_merit.training.finished import (
    calibrate,
    calibrate_finished,
    export_trained,
    kept_temperature,
)
from speechbrain_merit.training.loggers import TRAIN_LOG
from speechbrain_merit.training.settings import (
    load,
    load_finished,
    parse,
    refuse_changes,
    take,
    user_errors,
    write_hyperparams,
)

FROM_PREDICTIONS = "--from_predictions"
#: What names a test set other than the run's own.
ELSEWHERE = ("corpus", "test_split", "fold")


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


def score(arguments):
    """Scores the best checkpoint of a run; ``arguments`` are those of ``evaluate.py``."""
    again, arguments = take(arguments, FROM_PREDICTIONS, "True or False")
    if str(again).lower() not in ("none", "true", "false"):
        raise SettingsError(f"{FROM_PREDICTIONS} is {again}: give True or False.")
    folder = Path(arguments[0] if arguments else "").expanduser()
    if str(again).lower() == "true":
        given, rest = {}, arguments
        for key in ELSEWHERE:
            given[key], rest = take(rest, f"--{key}", "a value")
        if len(rest) != 1:
            raise SettingsError(
                f"{FROM_PREDICTIONS} True takes the folder of a run and no other option, but for "
                "the --corpus that it was scored on: it makes tables and report of what was "
                "scored, and scores nothing."
            )
        return report(folder / evaluation_folder(given), folder / TRAIN_LOG)
    with processes.one_voice():
        return score_finished(folder, arguments[1:])


def score_finished(folder, arguments):
    """Scores the best checkpoint of the run in a folder; ``arguments`` go over its YAML."""
    with user_errors():
        if not (folder / "hyperparams.yaml").is_file():
            raise SettingsError(f"{folder} holds no hyperparams.yaml: give the folder of a run.")
        _, _, given = parse([str(folder / "hyperparams.yaml"), *arguments], lay_over=False)
        others = ("corpus", "data_folder", *PREPARATION_KEYS) if "corpus" in given else ()
        hparams, run_opts = load_finished(folder, arguments, others)
        run_opts = processes.start(run_opts)
        tested = another_corpus(hparams, given) if others else hparams
        if others:
            run_on_main(prepare_corpora, [tested, ("test",)])
        run_on_main(prepare_noise, [tested])
        test_set = fixed_test_set(tested, prepare_noise({**tested, "skip_prep": True}))
    device = run_opts.get("device") or sb.utils.distributed.infer_device()
    model = hparams["model"].to(device)
    tested["temperature"], _ = calibrate_finished(model, hparams, device)
    return evaluate(model, test_set, tested, device, *scoring(hparams, run_opts), team=processes)


def another_corpus(hparams, given):
    """A run's hparams for scoring on the test split of another corpus.

    What says which recordings these are comes from the command line and that corpus's
    ``corpus.yaml``; the labels are the run's: the model has no others.
    """
    labels = {"labels": hparams["labels"]}
    found = overlay(given["corpus"], {k: v for k, v in given.items() if k != "corpus"} | labels)
    own = {key: found.get(key) for key in ("corpus", "data_folder", *PREPARATION_KEYS)}
    folder = evaluation_folder(given)
    save = Path(hparams["output_folder"]) / folder / "save"
    own |= {f"{split}_annotation": str(save / f"{split}.json") for split in SPLITS}
    own |= {"save_folder": str(save), "evaluation_folder": folder}
    return {**hparams, **own, "skip_prep": given.get("skip_prep", False)}


def evaluation_folder(given):
    """The name of the folder in a run's for a test set: of its own corpus, or of another one."""
    if given.get("corpus") is None:
        return FOLDER
    names = ",".join(Path(name.strip()).name for name in given["corpus"].split(","))
    parts = [FOLDER, names, *(given[key] for key in ELSEWHERE[1:] if given.get(key) is not None)]
    return "_".join(map(str, parts))
