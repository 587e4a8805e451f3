"""Scores a run or a pretrained folder on a benchmark of NoisyEmo."""

from pathlib import Path

import speechbrain as sb

from speechbrain_merit.data.corpora import RECIPES
from speechbrain_merit.data.noisyemo.dataset import benchmark_set
from speechbrain_merit.data.noisyemo.reading import Benchmark
from speechbrain_merit.errors import SettingsError
from speechbrain_merit.evaluation.run import evaluate, report
from speechbrain_merit.evaluation.summary import write_summary
from speechbrain_merit.export.loading import HPARAMS, WEIGHTS
from speechbrain_merit.inference import MeritInterface
from speechbrain_merit.training import processes
from speechbrain_merit.training.finished import calibrate_finished
from speechbrain_merit.training.known_speakers import known_speakers, trained_on
from speechbrain_merit.training.run import scoring
from speechbrain_merit.training.settings import load, load_finished, parse, user_errors

#: The YAML whose settings of scoring a pretrained folder takes.
SYSTEM = RECIPES.parent / "hparams" / "merit.yaml"


def report_benchmark(folder, benchmark, train_log):
    """Writes tables, report and summary again of what a run was scored on a benchmark."""
    benchmark = Benchmark(benchmark)
    own = folder / f"evaluation_{benchmark.name}"
    rows = report(own, train_log)
    write_summary(own, benchmark.baseline)
    return rows


def score_run(folder, benchmark, arguments, quick=False):
    """Scores the best checkpoint of a run, or the model of a pretrained folder, on a benchmark.

    Arguments
    ---------
    folder : Path
        Of a run, or a pretrained folder.
    benchmark : str or Path
        As ``noisyemo.py`` built it.
    arguments : list of str
        Options of scoring: ``--test_batch_size``, ``--num_workers``, ``--n_jobs``, ``--device`` ….
    quick : bool
        Leave out PESQ and STOI, which take most of the time.

    Returns
    -------
    list
        A dict a condition.
    """
    with user_errors():
        benchmark = Benchmark(benchmark)
        start = start_pretrained if (folder / WEIGHTS).is_file() else start_finished
        model, hparams, device, name, few = start(folder, arguments)
        in_test = {(benchmark.corpus, item.speaker) for item in benchmark.items}
        hparams["known_speakers"] = known_speakers(trained_on(folder), in_test)
        hparams |= {
            "corpus": benchmark.name,
            "data_folder": benchmark.digest,  # of the samples: where they lie is nothing to rows
            "noise_test_folders": {},
            "noise_folder": "",
            "test_band_limit": False,
            "evaluation_folder": f"evaluation_{benchmark.name}",
            "quick": quick,
        }
        test_set = benchmark_set(benchmark, hparams["labels"], hparams["attributes"])
    rows = evaluate(model, test_set, hparams, device, name, few, team=processes)
    if rows:  # of several processes, the first has them
        folder = f"{hparams['output_folder']}/{hparams['evaluation_folder']}"
        write_summary(folder, benchmark.baseline)
    return rows


def start_finished(folder, arguments):
    """The best checkpoint of a run: model, hparams, device, name, number of batches."""
    if not (folder / "hyperparams.yaml").is_file():
        raise SettingsError(f"{folder} holds no hyperparams.yaml: give the folder of a run.")
    hparams, run_opts = load_finished(folder, arguments)
    run_opts = processes.start(run_opts)
    device = run_opts.get("device") or sb.utils.distributed.infer_device()
    model = hparams["model"].to(device)
    hparams["temperature"], _ = calibrate_finished(model, hparams, device)
    return model, hparams, device, *scoring(hparams, run_opts)


def results_of(folder):
    """Where scores of a pretrained folder go: that of a run has them in the run, beside itself.

    Example
    -------
    >>> results_of(Path("pretrained/merit-tiny")).as_posix()
    'results/merit-tiny'
    """
    if (folder.parent / HPARAMS).is_file():
        return folder.parent / f"{folder.name}_results"
    return Path("results", folder.resolve().name)


def start_pretrained(folder, arguments):
    """The model of a pretrained folder, in the same form."""
    merit = MeritInterface.from_hparams(folder, run_opts={"device": "cpu"})
    hparams_file, run_opts, given = parse([str(SYSTEM), *arguments])
    given |= {"labels": merit.hparams.labels, "skip_test": False}
    given["attributes"] = getattr(merit.hparams, "attributes", [])
    given.setdefault("output_folder", str(results_of(folder)))
    hparams = load(hparams_file, given)
    hparams |= {"system": folder.name, "encoder": "its own", "seed": None}
    hparams |= {"temperature": merit.hparams.temperature}
    run_opts = processes.start(run_opts)
    device = run_opts.get("device") or sb.utils.distributed.infer_device()
    few = run_opts["debug_batches"] if run_opts["debug"] else None
    return merit.model.to(device), hparams, device, folder.name, few
