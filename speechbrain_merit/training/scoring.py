"""The road of scoring: a finished run or a pretrained folder → its test set → rows → report."""

import re
from pathlib import Path

import speechbrain as sb
from speechbrain.utils.distributed import run_on_main

from speechbrain_merit.data.corpora import (
    PREPARATION_KEYS,
    RECIPES,
    SPLITS,
    overlay,
    prepare_corpora,
)
from speechbrain_merit.data.datasets import fixed_test_set, prepare_noise
from speechbrain_merit.errors import SettingsError
from speechbrain_merit.evaluation.run import FOLDER, evaluate, report
from speechbrain_merit.export.loading import HPARAMS, WEIGHTS
from speechbrain_merit.inference import MeritInterface
from speechbrain_merit.training import processes
from speechbrain_merit.training.benchmark import report_benchmark, results_of, score_run
from speechbrain_merit.training.enhanced import results_folder, score_enhanced, score_predicted
from speechbrain_merit.training.finished import calibrate_finished
from speechbrain_merit.training.known_speakers import (
    grown_from,
    known_speakers,
    speakers,
    trained_on,
)
from speechbrain_merit.training.loggers import TRAIN_LOG
from speechbrain_merit.training.run import scoring
from speechbrain_merit.training.settings import (
    load,
    load_finished,
    parse,
    plain_values,
    take,
    user_errors,
)

FROM_PREDICTIONS = "--from_predictions"
#: What names a test set other than the run's own.
ELSEWHERE = ("corpus", "test_split", "fold")
#: What says how a run's own splits were made: beside its own test set, only what it has already.
OF_SPLITS = (*PREPARATION_KEYS, "whole_corpora", "speech_folders")
#: What says how a test set is made; a benchmark is one already.
OF_TEST_SETS = (*ELSEWHERE, "test_snrs", "test_seed", "test_band_limit", "noise_test_folders",
                "noise_folder")  # fmt: skip
#: The YAML whose data and noise a pretrained folder is scored on.
SYSTEM = RECIPES.parent / "hparams" / "merit.yaml"


def score(arguments):
    """Scores a run, or a pretrained folder; ``arguments`` are those of ``evaluate.py``."""
    benchmark, arguments = take(arguments, "--benchmark", "a folder of NoisyEmo")
    again, arguments = take_switch(arguments, FROM_PREDICTIONS)
    if benchmark is not None and not again:
        return score_benchmark(benchmark, arguments)
    quick, arguments = (False, arguments) if again else take_switch(arguments, "--quick")
    folder = Path(arguments[0] if arguments else "").expanduser()
    if again:
        given, rest = {}, arguments
        for key in ELSEWHERE:
            given[key], rest = take(rest, f"--{key}", "a value")
        if len(rest) != 1:
            raise SettingsError(
                f"{FROM_PREDICTIONS} True takes the folder of a run and no other option, but for "
                "the --corpus that it was scored on: it makes tables and report of what was "
                "scored, and scores nothing."
            )
        if benchmark is not None:
            refuse_without_effect([f"--{key}" for key in ELSEWHERE if given[key] is not None])
            of = results_of(folder) if (folder / WEIGHTS).is_file() else folder
            return report_benchmark(of, benchmark, folder / TRAIN_LOG)
        given = {k: v for k, v in given.items() if v is not None}
        if (folder / WEIGHTS).is_file():
            out = results_of(folder) / name_of_test_set(given)
            return report(out / FOLDER, out / TRAIN_LOG)
        refuse_other_splits(folder, given)
        return report(folder / evaluation_folder(given), folder / TRAIN_LOG)
    of = score_pretrained if (folder / WEIGHTS).is_file() else score_finished
    with processes.one_voice():
        return of(folder, arguments[1:], quick)


def take_switch(arguments, option):
    """Whether an option is on, and the arguments without it.

    Example
    -------
    >>> take_switch(["RUN", "--quick", "True"], "--quick")
    (True, ['RUN'])
    """
    value, arguments = take(arguments, option, "True or False")
    if str(value).lower() not in ("none", "true", "false"):
        raise SettingsError(f"{option} is {value}: give True or False.")
    return str(value).lower() == "true", arguments


def score_benchmark(benchmark, arguments):
    """Scores a run, enhanced files or another classifier's answers on a benchmark of NoisyEmo."""
    quick, arguments = take_switch(arguments, "--quick")
    enhanced, arguments = take(arguments, "--enhanced", "a folder of enhanced files")
    predicted, arguments = take(arguments, "--predicted", "a CSV of answers")
    if enhanced is None and predicted is None:
        if not arguments or arguments[0].startswith("-"):
            raise SettingsError(
                "--benchmark scores a RUN, --enhanced FOLDER or --predicted CSV: give one of them."
            )
        words = {word.split("=")[0] for word in arguments[1:]}
        refuse_without_effect([f"--{key}" for key in OF_TEST_SETS if f"--{key}" in words])
        with processes.one_voice():
            return score_run(Path(arguments[0]).expanduser(), benchmark, arguments[1:], quick)
    out, arguments = take(arguments, "--output_folder", "a folder")
    n_jobs, arguments = take(arguments, "--n_jobs", "a number of processes")
    emotion_only, arguments = take_switch(arguments, "--emotion_only")
    if arguments or None not in (enhanced, predicted):
        raise SettingsError(
            "--enhanced or --predicted, one of them, is scored without a RUN and takes no other "
            "option than --output_folder, --n_jobs, --quick and --emotion_only; given: "
            f"{' '.join(arguments) or 'both'}."
        )
    if not re.fullmatch(r"-1|\d+", n_jobs or "-1"):
        raise SettingsError(
            f"--n_jobs is {n_jobs}: give a number of processes, or -1 for all cores."
        )
    out = results_folder(benchmark, enhanced or predicted, out)
    if enhanced is not None:
        return score_enhanced(benchmark, enhanced, out, int(n_jobs or -1), emotion_only, quick)
    return score_predicted(benchmark, predicted, out)


def refuse_without_effect(options):
    """Raises SettingsError for options that would change nothing of what was asked for."""
    if options:
        raise SettingsError(
            f"{', '.join(options)}: without effect beside the other options; leave it out."
        )


def refuse_other_splits(folder, given):
    """Raises SettingsError where a run's own test set is asked for, split otherwise than it was."""
    if "corpus" in given or not (folder / HPARAMS).is_file():
        return
    own = plain_values(folder / HPARAMS)
    other = [k for k in OF_SPLITS if k in given and str(given[k]) != str(own.get(k))]
    if other:
        raise SettingsError(
            f"{', '.join(f'--{key}' for key in other)}: without effect on the run's own test set, "
            "which was split when it was trained; with --corpus another one is scored, in a folder "
            "of its own."
        )


def score_finished(folder, arguments, quick=False):
    """Scores the best checkpoint of the run in a folder; ``arguments`` go over its YAML.

    ``quick`` leaves out PESQ and STOI, which take most of the time.
    """
    with user_errors():
        if not (folder / "hyperparams.yaml").is_file():
            raise SettingsError(f"{folder} holds no hyperparams.yaml: give the folder of a run.")
        _, _, given = parse([str(folder / "hyperparams.yaml"), *arguments], lay_over=False)
        refuse_other_splits(folder, given)
        others = ("corpus", "data_folder", *PREPARATION_KEYS) if "corpus" in given else ()
        hparams, run_opts = load_finished(folder, arguments, others)
        run_opts = processes.start(run_opts)
        tested = another_corpus(hparams, given) if others else hparams
        if others:
            run_on_main(prepare_corpora, [tested, ("test",)])
        run_on_main(prepare_noise, [tested])
        test_set = fixed_test_set(tested, prepare_noise({**tested, "skip_prep": True}))
    elsewhere = others or "test_annotation" in given  # of its own splits, the preparation told
    heard = trained_on(folder) if elsewhere else grown_from(hparams)
    in_test = speakers(tested["test_annotation"], tested["corpus"])
    tested["known_speakers"] = known_speakers(heard, in_test)
    device = run_opts.get("device") or sb.utils.distributed.infer_device()
    model = hparams["model"].to(device)
    tested["temperature"], _ = calibrate_finished(model, hparams, device)
    tested["quick"] = quick
    return evaluate(model, test_set, tested, device, *scoring(hparams, run_opts), team=processes)


def score_pretrained(folder, arguments, quick=False):
    """Scores the model of a pretrained folder on the test split of a corpus.

    Data and noise are those of ``hparams/merit.yaml``, as the command line and the corpus change
    them; network, labels and temperature are the folder's. ``quick`` is as of `score_finished`.
    """
    with user_errors():
        merit = MeritInterface.from_hparams(folder, run_opts={"device": "cpu"})
        hparams_file, run_opts, given = parse([str(SYSTEM), *arguments])
        given |= {"labels": merit.hparams.labels, "skip_test": False}
        given["attributes"] = getattr(merit.hparams, "attributes", [])
        given.setdefault("output_folder", str(results_of(folder) / name_of_test_set(given)))
        hparams = load(hparams_file, given)
        hparams |= {"system": folder.name, "encoder": "its own", "seed": None, "quick": quick}
        hparams |= {"temperature": merit.hparams.temperature, "model": merit.model}
        run_opts = processes.start(run_opts)
        run_on_main(prepare_corpora, [hparams, ("test",)])
        run_on_main(prepare_noise, [hparams, True])
        test_set = fixed_test_set(hparams, prepare_noise({**hparams, "skip_prep": True}, True))
    device = run_opts.get("device") or sb.utils.distributed.infer_device()
    few = run_opts["debug_batches"] if run_opts["debug"] else None
    in_test = speakers(hparams["test_annotation"], hparams["corpus"])
    hparams["known_speakers"] = known_speakers(trained_on(folder), in_test)
    model = merit.model.to(device)
    return evaluate(model, test_set, hparams, device, folder.name, few, team=processes)


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
    own["whole_corpora"] = given.get("whole_corpora") or {}
    return {**hparams, **own, "skip_prep": given.get("skip_prep", False)}


def evaluation_folder(given):
    """The name of the folder in a run's for a test set: of its own corpus, or of another one."""
    return FOLDER if given.get("corpus") is None else f"{FOLDER}_{name_of_test_set(given)}"


def name_of_test_set(given):
    """The name of a test set: its corpora, and which part of them.

    Example
    -------
    >>> name_of_test_set({"corpus": "/path/to/MyCorpus, RAVDESS", "fold": 2}), name_of_test_set({})
    ('MyCorpus,RAVDESS_2', 'MiniMERIT')
    """
    names = (given.get("corpus") or "MiniMERIT").split(",")
    parts = [",".join(Path(name.strip()).name for name in names)]
    parts += [given[key] for key in ELSEWHERE[1:] if given.get(key) is not None]
    return "_".join(map(str, parts))
