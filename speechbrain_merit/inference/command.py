"""``merit analyse``: recordings in; enhanced files, JSON, CSV, pictures and a table out."""

import os
from pathlib import Path

import soundfile as sf
import torch
from tqdm import tqdm

from speechbrain_merit.audio.inspection import find_recordings
from speechbrain_merit.audio.names import readable, shortened
from speechbrain_merit.audio.reading import ENDLESS, native
from speechbrain_merit.errors import MeritError, PretrainedError
from speechbrain_merit.export.loading import shipped_model
from speechbrain_merit.inference.jobs import FileJob
from speechbrain_merit.inference.results import (
    ENHANCED,
    JSON,
    PICTURE,
    described,
    finished,
    made_of,
    maker,
    owner,
    place,
    same,
    whose,
    write,
)
from speechbrain_merit.inference.summary import (
    SUMMARY,
    earlier,
    failed,
    merged,
    print_table,
    rows,
    write_summary,
)
from speechbrain_merit.inference.workers import shared

#: What a recording's results depend on, of the command line.
OPTIONS = ("channels", "keep_rate", "plot", "batch_size")


def analyse(arguments):
    """Runs ``merit analyse``.

    Arguments
    ---------
    arguments : argparse.Namespace
        ``inputs``, ``model``, ``out``, ``plot``, ``channels``, ``keep_rate``, ``device``,
        ``batch_size``, ``jobs``, ``skip_existing``.

    Returns
    -------
    int
        0, or 1 where a recording could not be analysed.

    Raises
    ------
    PretrainedError
        The model cannot be loaded.
    SettingsError
        What is there as ``summary.csv`` is none.
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
    earlier(out / SUMMARY)  # what is no summary is not written over
    there, lines = [], []  # of results that are there already, and of new ones
    try:
        if paths:
            for path, found, error in heard(paths, arguments, there):
                lines += found
                if error is not None:
                    failures[path] = error
    except torch.cuda.OutOfMemoryError as error:
        raise ValueError(
            "the device's memory does not suffice: give a smaller --batch_size, or --device cpu"
        ) from error
    finally:  # also after an interrupt: what is finished is listed
        found = [*there, *lines, *failed(failures)]
        write_summary(out / SUMMARY, merged(earlier(out / SUMMARY), found, arguments.inputs))
    print_table(lines, failures, len({line["file"] for line in there}), out)
    return 1 if failures else 0


def load(source, device):
    """The model of ``--model``, or the one that travels with the package."""
    from speechbrain_merit.inference import MeritInterface

    source = shipped_model() if source is None else source
    try:
        return MeritInterface.from_hparams(source, run_opts={"device": device} if device else None)
    except MeritError:
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
        if os.path.isdir(given):  # Path's own would end the call for a name that is too long
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


def names(paths, inputs, out, endings=(ENHANCED,)):
    """A name for the results of each recording: its own, below the folder that was given.

    No two differ in upper and lower case or in the form of Unicode alone, which are one file on
    some systems; none is longer than a file system allows with what is put behind it; and no result
    is written over a recording, over another recording's results of an earlier call, or over a
    file of somebody's own that ends on one of ``endings``.

    Example
    -------
    >>> folder = Path(getfixture("tmpdir"))
    >>> found = [folder / "a.wav", folder / "a.mp3", folder / "b" / "a.wav"]
    >>> [str(name) for name in names(found, [folder], folder / "out").values()]
    ['a', 'a_mp3', 'b/a']
    """
    folders = [Path(given) for given in inputs if os.path.isdir(given)]
    recordings = {real(path) for path in paths if path.name.endswith(ENHANCED)}
    taken, result = set(), {}

    def free(name, path):
        if (
            readable(str(name)).casefold() in taken
            or real(place(out / name, ENHANCED)) in recordings
        ):
            return False
        before = owner(out / name)
        if before is None and not place(out / name, JSON).exists():
            return not any(place(out / name, ending).exists() for ending in endings)
        return before is None or same(before, path)

    for path in paths:
        folder = next((f for f in folders if f in path.parents), path.parent)
        below = path.relative_to(folder)
        name = fitting(below.with_suffix(""))
        number = 1
        while not free(name, path):
            ending = path.suffix.lstrip(".") if number == 1 else f"{path.suffix[1:]}_{number}"
            name = fitting(below.with_name(f"{below.stem}_{ending}"))
            number += 1
        taken.add(readable(str(name)).casefold())
        result[path] = name
    return result


def fitting(name):
    """The same path with a last part that leaves room for the longest ending of a result."""
    return name.with_name(shortened(name.name, len(ENHANCED)))


def heard(paths, arguments, there):
    """Analyses recordings one by one, behind a progress bar in seconds of sound.

    Each is planned when its turn comes and forgotten when it is done: what is in memory does not
    grow with their number. The rows of those that are passed over go to ``there``.

    Yields
    ------
    tuple
        The path, its rows, and why it failed or None.
    """
    out, model = Path(arguments.out), load(arguments.model, arguments.device)
    endings = [ENHANCED] * ("se" in model.tasks) + [PICTURE] * arguments.plot
    own = names(paths, arguments.inputs, out, endings)
    bases = {path: out / name for path, name in own.items()}
    made = maker(model, arguments.channels, arguments.keep_rate)
    if arguments.skip_existing:
        for path, base in list(bases.items()):
            about = finished(base, path, made, endings)
            if about is not None:
                there += rows(path, about)
                del bases[path]
    wanted = {key: getattr(arguments, key) for key in OPTIONS}
    plans = ((path, base, wanted, made) for path, base in bases.items())
    total, jobs = round(sum(seconds(path) for path in bases)), min(arguments.jobs, len(bases))
    # no bar where nobody watches: output to a file or another program
    with tqdm(total=total, unit="s", desc="heard", disable=None) as bar:
        if jobs > 1:
            del model  # each process loads its own
            source = arguments.model, arguments.device
            done = (result for part in shared(plans, one, load, source, jobs) for result in part)
        else:
            done = analysed(model, plans, arguments.batch_size, bar.update)
        try:
            for path, found, error, sound in done:
                if jobs > 1:
                    bar.update(sound)
                yield path, found, error
        finally:
            done.close()


def one(model, plan, go_on):
    """In a process among several: the results of one plan (list)."""
    return list(analysed(model, [plan], plan[2]["batch_size"], go_on))


def analysed(model, plans, batch_size, heard_seconds):
    """Analyses recordings and writes their results.

    Arguments
    ---------
    model : MeritInterface
        The model.
    plans : iterable of tuple
        Of each recording its path, the base of its results, the options and the maker.
    batch_size : int
        Windows that are heard at once.
    heard_seconds : callable
        Told the seconds of sound in every window that is done.

    Yields
    ------
    tuple
        The path, its rows, why it failed or None, and its seconds as its header says.
    """
    jobs = (PlannedJob(*plan, model.tasks) for plan in plans)
    done = model.analyse_jobs(jobs, batch_size, heard_seconds)
    try:
        for job in done:
            found = []
            try:
                found = finish(job)
            except OSError as error:
                job.error = error
            error = None if job.error is None else str(job.error)
            yield str(job.path), found, error, seconds(job.path)
    finally:
        done.close()


class PlannedJob(FileJob):
    """A recording and where all of its results go: the paths that start with ``base``."""

    def __init__(self, path, base, options, made, tasks):
        self.base, self.made, self.plot = base, made, None
        enhanced = place(base, ENHANCED) if "se" in tasks else None
        super().__init__(path, enhanced, options["keep_rate"], options["channels"], keep=False)
        self.wants_plot = options["plot"]

    def blocks(self, assembler):
        """Opens the recording, and a picture of it if one is wanted."""
        self.base.parent.mkdir(parents=True, exist_ok=True)
        if self.wants_plot:
            from speechbrain_merit.inference.picture import Picture

            self.plot = Picture(self.path, self.channels)
            self.sinks.append(self.plot.add)
        yield from super().blocks(assembler)


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
    about = described(analyses, job.channels)
    about["made_by"] = {**job.made, **made_of(job.reader.before), **whose(job.path)}
    write(job.base, about)
    if job.plot is not None:
        job.plot.save(place(job.base, PICTURE), analyses)
    return rows(job.path, about)
