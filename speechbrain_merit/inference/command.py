"""``merit analyse``: recordings in; enhanced files, JSON, CSV, pictures and a table out."""

import csv
import io
import json
import os
import shutil
import sys
from pathlib import Path

import soundfile as sf
import torch
from tqdm import tqdm

from speechbrain_merit.audio.inspection import find_recordings
from speechbrain_merit.audio.names import readable, shortened
from speechbrain_merit.audio.reading import ENDLESS, native
from speechbrain_merit.errors import PretrainedError
from speechbrain_merit.export.loading import shipped_model
from speechbrain_merit.inference.jobs import FileJob
from speechbrain_merit.writing import write_text

SUMMARY = "summary.csv"
ENHANCED = "_enhanced.wav"
COLUMNS = ("file", "seconds", "emotion", "probability", "SNR (dB)", "speech (s)", "over time")
ESCAPED = "backslashreplace"  # names of files that are no UTF-8; JSON knows the same escapes
SEGMENTS_SHOWN = 3
LONGEST_NAME = 40


def analyse(arguments):
    """Runs ``merit analyse``.

    Arguments
    ---------
    arguments : argparse.Namespace
        ``inputs``, ``model``, ``out``, ``plot``, ``channels``, ``keep_rate``, ``device``,
        ``batch_size``.

    Returns
    -------
    int
        0, or 1 where a recording could not be analysed.

    Raises
    ------
    PretrainedError
        The model cannot be loaded.
    ValueError
        The memory of the device does not suffice.
    OSError
        The output folder cannot be made.
    """
    out = Path(arguments.out)
    paths, failures = find(arguments.inputs, out)
    out.mkdir(parents=True, exist_ok=True)
    if not os.access(out, os.W_OK):
        raise PermissionError(f"{out}: cannot be written to; give another --out.")
    rows = []
    if paths:
        model = load(arguments.model, arguments.device)
        jobs = [
            PlannedJob(path, out / name, arguments, model.tasks)
            for path, name in names(paths, arguments.inputs, out).items()
        ]
        try:
            for job in progress(model, jobs, arguments.batch_size):
                try:
                    rows += finish(job)
                except OSError as error:
                    job.error = error
                if job.error is not None:
                    failures[str(job.path)] = str(job.error)
        except torch.cuda.OutOfMemoryError as error:
            raise ValueError(
                "the device's memory does not suffice: give a smaller --batch_size, or --device cpu"
            ) from error
        finally:  # also after an interrupt: what is finished is listed
            write_summary(out / SUMMARY, rows, failures)
    else:
        write_summary(out / SUMMARY, rows, failures)
    print_table(rows, failures, out)
    return 1 if failures else 0


def load(source, device):
    """The model of ``--model``, or the one that travels with the package."""
    from speechbrain_merit.inference import MeritInterface

    source = shipped_model() if source is None else source
    if not Path(source).is_dir() and (Path(source).exists() or str(source).count("/") != 1):
        raise PretrainedError(f"{source}: no such folder, and no name on the hub (user/model).")
    try:
        return MeritInterface.from_hparams(source, run_opts={"device": device} if device else None)
    except PretrainedError:
        raise
    except Exception as error:
        where = f" on {device}" if device else ""
        hint = "" if Path(source).is_dir() else " (no such folder here, so the hub was asked)"
        raise PretrainedError(f"{source}: cannot be loaded{where}{hint}: {error}") from error


def find(inputs, out):
    """The recordings among files and folders, without those of earlier results.

    Returns
    -------
    tuple
        Paths, each once; and why, for each input and each file with sound that is not read.
    """
    paths, failures, results = {}, {}, real(out)
    for given in inputs:
        found = [Path(given)]
        if Path(given).is_dir():
            apart = real(given) in results.parents  # all in --out are results then
            found, others = find_recordings(given)
            found = [
                path
                for path in found
                if not (apart and results in real(path).parents) and not is_result(path)
            ]
            failures.update({str(path): what for path, what in others.items()})
            if not found and not others:
                failures[str(given)] = "holds no recordings"
        for path in found:
            paths.setdefault(os.path.abspath(path), path)
    return list(paths.values()), failures


def real(path):
    """A path without links; unlike ``Path.resolve``, also of a link that leads to itself."""
    return Path(os.path.realpath(path))


def is_result(path):
    """Whether an earlier call wrote a file: the JSON beside it names an enhanced one."""
    if not path.name.endswith(ENHANCED):
        return False
    about = path.with_name(path.name.removesuffix(ENHANCED) + ".json")
    try:
        return '"enhanced_path": "' in about.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False


def names(paths, inputs, out):
    """A name for the results of each recording: its own, below the folder that was given.

    No two differ in upper and lower case or in the form of Unicode alone, which are one file on
    some systems; none is longer than a file system allows with what is put behind it; and no result
    is written over a recording.

    Example
    -------
    >>> folder = Path(getfixture("tmpdir"))
    >>> found = [folder / "a.wav", folder / "a.mp3", folder / "b" / "a.wav"]
    >>> [str(name) for name in names(found, [folder], folder / "out").values()]
    ['a', 'a_mp3', 'b/a']
    """
    folders = [Path(given) for given in inputs if Path(given).is_dir()]
    recordings = {real(path) for path in paths if path.name.endswith(ENHANCED)}
    taken, result = set(), {}

    def free(name):
        over = (out / name).with_name(name.name + ENHANCED)
        return readable(str(name)).casefold() not in taken and real(over) not in recordings

    for path in paths:
        folder = next((f for f in folders if f in path.parents), path.parent)
        below = path.relative_to(folder)
        name = fitting(below.with_suffix(""))
        number = 1
        while not free(name):
            ending = path.suffix.lstrip(".") if number == 1 else f"{path.suffix[1:]}_{number}"
            name = fitting(below.with_name(f"{below.stem}_{ending}"))
            number += 1
        taken.add(readable(str(name)).casefold())
        result[path] = name
    return result


def fitting(name):
    """The same path with a last part that leaves room for the longest ending of a result."""
    return name.with_name(shortened(name.name, len(ENHANCED)))


class PlannedJob(FileJob):
    """A recording and where all of its results go: the paths that start with ``base``."""

    def __init__(self, path, base, arguments, tasks):
        self.base, self.plot = base, None
        enhanced = base.with_name(base.name + ENHANCED) if "se" in tasks else None
        super().__init__(path, enhanced, arguments.keep_rate, arguments.channels, keep=False)
        self.wants_plot = arguments.plot

    def blocks(self, assembler):
        """Opens the recording, and a picture of it if one is wanted."""
        self.base.parent.mkdir(parents=True, exist_ok=True)
        if self.wants_plot:
            from speechbrain_merit.inference.picture import Picture

            self.plot = Picture(self.path, self.channels)
            self.sinks.append(self.plot.add)
        yield from super().blocks(assembler)


def progress(model, jobs, batch_size):
    """Analyses the jobs behind a progress bar in seconds of sound."""
    total = sum(seconds(job.path) for job in jobs)
    # none where nobody watches: output to a file or another program
    with tqdm(total=round(total), unit="s", desc="heard", disable=None) as bar:
        jobs = model.analyse_jobs(jobs, batch_size, bar.update)
        try:
            yield from jobs
        finally:
            jobs.close()


def seconds(path):
    """Length of a recording as its header says, 0 where it has none."""
    try:
        info = sf.info(native(path)) if path.is_file() else None  # a pipe would wait
        return 0 if info is None or info.frames >= ENDLESS else info.duration
    except (sf.SoundFileError, OSError, TypeError):
        return 0


def finish(job):
    """Writes JSON and picture of a finished recording; returns its rows of the summary."""
    if job.error is not None:
        return []
    analyses = job.analyses()
    one = analyses[0].to_dict()
    if job.channels == "separate":
        shared = {key: one[key] for key in ("path", "duration", "sample_rate")}
        one = {**shared, "channels": [analysis.to_dict() for analysis in analyses]}
    text = json.dumps(one, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(job.base.with_name(job.base.name + ".json"), text + "\n", errors=ESCAPED)
    if job.plot is not None:
        job.plot.save(job.base.with_name(job.base.name + ".png"), analyses)
    return [row(job, analysis) for analysis in analyses]


def row(job, analysis):
    """One line of the summary."""
    probabilities = analysis.probabilities or {}
    return {
        "file": str(job.path),
        "channel": "" if analysis.channel is None else analysis.channel,
        "duration": round(analysis.duration, 3),
        "sample_rate": analysis.sample_rate,
        "emotion": analysis.emotion or "",
        "probability": rounded(probabilities.get(analysis.emotion), 4),
        "snr_db": rounded(analysis.snr_db, 2),
        "speech_seconds": round(analysis.speech_seconds, 2),
        "segments": "; ".join(f"{s.start:.1f}-{s.end:.1f} {s.emotion}" for s in analysis.segments),
        **{f"p_{name}": rounded(value, 4) for name, value in probabilities.items()},
        **{f"a_{name}": rounded(value, 4) for name, value in analysis.attributes.items()},
        "enhanced": analysis.enhanced_path or "",
        "warnings": "; ".join(analysis.warnings),
        "error": "",
    }


def rounded(value, digits):
    """A number for a table, empty where there is none."""
    return "" if value is None else round(value, digits)


def write_summary(path, rows, failures):
    """One CSV for all recordings, those that failed among them."""
    rows = rows + [{"file": name, "error": error} for name, error in failures.items()]
    first = ["file", "channel", "duration", "sample_rate", "emotion", "probability", "snr_db",
             "speech_seconds", "segments"]  # fmt: skip
    emotions = list(dict.fromkeys(key for r in rows for key in r if key[:2] in ("p_", "a_")))
    text = io.StringIO()
    fields = [*first, *emotions, "enhanced", "warnings", "error"]
    table = csv.DictWriter(text, fields, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(path, text.getvalue(), errors=ESCAPED)


def print_table(rows, failures, out):
    """What was found, in the terminal; what failed, after it."""
    cells = [COLUMNS]
    for r in rows:
        spans = r["segments"].split("; ") if r["segments"] else []
        more = f" … ({len(spans)} segments)" if len(spans) > SEGMENTS_SHOWN else ""
        channel = "" if r["channel"] == "" else f" [{r['channel']}]"
        cells.append(
            (
                shorter(r["file"]) + channel,
                f"{r['duration']:.1f}",
                r["emotion"] or "–",
                "–" if r["probability"] == "" else f"{r['probability']:.2f}",
                "–" if r["snr_db"] == "" else f"{r['snr_db']:.1f}",
                f"{r['speech_seconds']:.1f}",
                "; ".join(spans[:SEGMENTS_SHOWN]) + more,
            )
        )
    if rows:
        widths = [max(len(line[i]) for line in cells) for i in range(len(COLUMNS))]
        for line in cells:
            text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths))
            print(text.rstrip())
    if failures:
        print(f"\n{len(failures)} could not be analysed:", file=sys.stderr)
        for name, error in failures.items():
            text = error if error.startswith(name) else f"{name}: {error}"
            print(f"  {text}", file=sys.stderr)
    print(f"\n{out / SUMMARY}")


def shorter(name):
    """A path for a table, its beginning left out where it is long."""
    longest = max(LONGEST_NAME, shutil.get_terminal_size().columns // 3)
    return name if len(name) <= longest else "…" + name[-longest + 1 :]
