"""Scores another tool on a benchmark: its enhanced files, or the answers of another classifier.

Enhanced files have the names of the benchmark's, as WAV or FLAC at 16 kHz. What a tool delays is
found on its files and removed, and said; files that differ from the rest are named in
``problems.csv``. Two probes then tell how much emotion is kept.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from speechbrain_merit.data.noisyemo.reading import Benchmark
from speechbrain_merit.errors import PredictionsError, SettingsError
from speechbrain_merit.evaluation import predictions
from speechbrain_merit.evaluation.enhancement import score_utterances
from speechbrain_merit.evaluation.kept import write_kept
from speechbrain_merit.evaluation.predictions import ids_digest
from speechbrain_merit.evaluation.rows import FORMAT
from speechbrain_merit.evaluation.run import FOLDER, measured_snr, report
from speechbrain_merit.evaluation.summary import write_summary
from speechbrain_merit.training.enhanced_files import RATE, Enhanced
from speechbrain_merit.training.probes import LABELS, PROBES, Features, answers

FRAME = 320  # samples of 20 ms
#: The leaderboard's row of each probe's answers to the noisy input.
COMMITTED = {"clean": "baseline", "noise": "noisy-input-probe-noise"}


def score_enhanced(benchmark, folder, out, n_jobs=-1, emotion_only=False, quick=False):
    """Scores a folder of enhanced files.

    Arguments
    ---------
    benchmark, folder : str or Path
        The benchmark and the files that a tool made of it.
    out : str or Path
        For the results; ``evaluation/`` in it.
    n_jobs : int
        Processes that score.
    emotion_only : bool
        Leaves all scores of the enhancement out.
    quick : bool
        Leaves PESQ and STOI out, which take most of the time.

    Returns
    -------
    list
        A dict a condition.

    Raises
    ------
    AudioError
        A file is missing, cannot be read, has another rate, holds NaN, or is another recording.
    """
    benchmark, folder = Benchmark(benchmark), Path(folder)
    files = Enhanced(benchmark, folder)
    target = Path(out) / FOLDER
    known = {*benchmark.labels} <= {*LABELS}
    if emotion_only and not known:
        raise SettingsError(f"The probes know {', '.join(LABELS)} alone: leave --emotion_only out.")
    tasks = ["se"] * (not emotion_only) + ["ser"] * known
    features = Features() if known else None
    marks = {"probes": features.digest, "probe_weights": features.weights} if known else {}
    if emotion_only:
        rows = [_row(index, item, None) for index, item in enumerate(benchmark.items)]
    else:
        rows = list(_rows(benchmark, files, n_jobs, quick))
    heads = {"noisy": benchmark.noisy, "enhanced": files.read}
    for signal, read in heads.items() if features else ():
        found = committed_answers(benchmark, marks) if signal == "noisy" else None
        if found is None:
            waves = (read(item) for item in benchmark.items)
            heard = np.array(list(tqdm(features(waves), f"Probes, {signal}", len(rows))))
            found = answers(heard)
        for name, chances in found.items():
            own = [{**row, "scores": None, "probabilities": p} for row, p in _with(rows, chances)]
            header = _header(benchmark, f"probe {name} on {signal} of {folder.name}", ["ser"])
            header["settings"] |= marks
            file = target / "probes" / f"{name}_{signal}.jsonl.xz"
            predictions.write_predictions(file, header, own)
            if (name, signal) == ("noise", "enhanced"):
                rows = [{**row, "probabilities": p} for row, p in _with(rows, chances)]
    files.write_problems(target / "problems.csv")
    header = _header(benchmark, folder.name, tasks, LABELS if known else benchmark.labels)
    header["summary"]["of"] = _place(folder)
    header["settings"] |= marks | ({"quick": True} if quick else {})
    predictions.write_predictions(target / predictions.PREDICTIONS, header, rows)
    found = report(target, target / "none")
    write_summary(target, benchmark.baseline)
    if features:
        write_kept(target / "probes", PROBES)
    return found


def committed_answers(benchmark, marks):
    """What both probes say of the noisy input, by the leaderboard's rows; None without such rows.

    Rows of other samples or of other probes do not count: ``marks`` are the digests of their
    encoder and of their weights. Take the two rows away to have the noisy input heard again.
    """
    found = {}
    for probe, row in COMMITTED.items():
        path = benchmark.committed(row)
        if not path.is_file():
            return None
        header, rows = predictions.read_predictions(path)
        same = ids_digest(item.id for item in benchmark.items), benchmark.digest, marks
        theirs = {key: header["settings"].get(key) for key in marks}
        if (header["ids"], header["sources"], theirs) != same:
            return None
        found[probe] = np.array([row["probabilities"] for row in rows])
    return found


def score_predicted(benchmark, table, out):
    """Scores another classifier's answers, a CSV with a row for each file of the benchmark.

    Its columns are ``file`` and one for each label, with probabilities; or ``file`` and
    ``predicted``, a label.

    Raises
    ------
    PredictionsError
        A file is missing or there twice, or a row has no answer; the message says which.
    """
    benchmark = Benchmark(benchmark)
    found = _answers(Path(table), benchmark)
    rows = [
        {**_row(index, item, None), "probabilities": found[item.file]}
        for index, item in enumerate(benchmark.items)
    ]
    target = Path(out) / FOLDER
    header = _header(benchmark, Path(table).stem, ["ser"], benchmark.labels)
    header["summary"]["of"] = _place(table)
    predictions.write_predictions(target / predictions.PREDICTIONS, header, rows)
    scored = report(target, target / "none")
    write_summary(target, benchmark.baseline)
    return scored


def _rows(benchmark, files, n_jobs, quick):
    """Yield the row of each file with its enhancement scores."""
    rows = []

    def waves():
        for index, item in enumerate(benchmark.items):
            clean, noisy = benchmark.clean(item), benchmark.noisy(item)
            rows.append(_row(index, item, measured_snr({"clean": clean, "noisy": noisy})))
            yield clean, noisy, files.read(item)

    found = score_utterances(waves(), RATE, n_jobs, True, len(files.paths), quick)
    for index, scores in enumerate(found):
        yield {**rows[index], "scores": scores}


def _row(index, item, snr):
    """A row without answers and scores."""
    return {
        "index": index,
        "id": item.id,
        "utterance": item.utterance,
        "speaker": item.speaker,
        "corpus": None,
        "label": item.label,
        "noise_set": item.noise_set,
        "snr_db": item.snr_db,
        "measured_snr_db": snr,
        "probabilities": None,
        "attributes": None,
        "scores": None,
        "frames": item.samples // FRAME,
        "experts": None,
    }


def _with(rows, chances):
    return zip(rows, np.asarray(chances, dtype=float).round(6).tolist())


def _header(benchmark, system, tasks, labels=LABELS):
    """The header of predictions that no model of ours made."""
    settings = {
        "noise_sets": list(dict.fromkeys(i.noise_set for i in benchmark.items if i.noise_set)),
        "test_snrs": sorted({i.snr_db for i in benchmark.items if i.snr_db is not None}),
    }
    return {
        "format": FORMAT,
        "labels": list(labels),
        "attributes": [],
        "tasks": tasks,
        "n_experts": None,
        "checkpoint": None,
        "model": system,
        "settings": settings,
        "rows": len(benchmark.items),
        "ids": ids_digest(item.id for item in benchmark.items),
        "sources": benchmark.digest,
        "summary": {
            "system": system,
            "corpus": benchmark.name,
            "command": "python " + " ".join(sys.argv),
        },
    }


def _answers(table, benchmark):
    """``{file: probabilities}`` of a CSV, checked."""
    try:
        with open(table, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns, lines = reader.fieldnames or [], list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PredictionsError(f"{table} cannot be read: {error}") from error
    labels = benchmark.labels
    named = not {*labels} <= {*columns}  # probabilities say more
    if "file" not in columns or named and "predicted" not in columns:
        raise PredictionsError(
            f"{table} needs the columns file, {', '.join(labels)}, or file, predicted; it has "
            f"{', '.join(columns) or 'none'}."
        )
    found = {}
    for number, line in enumerate(lines, start=2):
        place, name = f"{table}, line {number}", (line["file"] or "").strip()
        if None in line:
            raise PredictionsError(f"{place}: more fields than columns.")
        if name in found:
            raise PredictionsError(f"{place}: {name} is there twice.")
        if named:
            if line["predicted"] not in labels:
                known = ", ".join(labels)
                raise PredictionsError(f"{place}: {line['predicted']!r} is none of {known}.")
            chances = [float(line["predicted"] == label) for label in labels]
        else:
            try:
                chances = [float(line[label]) for label in labels]
            except (TypeError, ValueError) as error:
                raise PredictionsError(f"{place}: a probability is no number.") from error
            if not (0 <= min(chances) <= max(chances) <= 1 and abs(sum(chances) - 1) <= 1e-3):
                raise PredictionsError(f"{place}: {chances} are no probabilities that sum to 1.")
        found[name] = chances
    missing = [item.file for item in benchmark.items if item.file not in found]
    if missing:
        raise PredictionsError(
            f"{table} has no row for {missing[0]} and {len(missing) - 1} others of the benchmark."
        )
    return found


def results_folder(benchmark, what, given):
    """Where results go: as given, or ``results/NoisyEmo-CORPUS/NAME``.

    Raises
    ------
    SettingsError
        Nothing is given, and there is no name, or results of another tool's of that name are there.
    """
    if given is not None:
        return Path(given)
    name = Path(what).stem
    if not name:
        raise SettingsError(f"{what} has no name: give --output_folder.")
    folder = Path("results") / Benchmark(benchmark).name / name
    file = folder / FOLDER / predictions.PREDICTIONS
    if file.is_file():
        try:
            other = predictions.read_predictions(file)[0]["summary"].get("of")
        except PredictionsError:  # of another version, or broken: they are written anew
            return folder
        if other not in (None, _place(what)):
            raise SettingsError(
                f"{folder} holds what {other} was scored as: give --output_folder for {what}."
            )
    return folder


def _place(what):
    """What was scored, by its whole path."""
    return str(Path(what).expanduser().resolve())
