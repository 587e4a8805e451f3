"""Checking recordings by their headers alone: for corpora too large to decode before training.

`inspection` decodes every file once. For hundreds of hours that reads all of the corpus off the
disk; headers tell duration, rate, and whether a WAV was cut off. Where one does not tell the length
(see `reading`), that file is read to its end. What headers cannot tell is silence, and samples that
are NaN. Findings are noted as they come, so that an interrupted preparation goes
on where it was, and one with other labels has next to nothing to do.
"""

import json
import os
from functools import partial
from pathlib import Path

from speechbrain.utils.parallel import get_available_cpu_count, parallel_map
from tqdm import tqdm

from speechbrain_merit.audio.inspection import (
    MIN_FILES_FOR_POOL,
    MIN_SECONDS,
    AudioReport,
    decoding_problem,
    length_problem,
    say_what_is_odd,
)
from speechbrain_merit.audio.reading import Recording
from speechbrain_merit.errors import AudioError

FLUSH_EVERY = 1000  # findings: what an interruption costs at most, less than a second of work
CHUNK = 64  # files given to a process at once
LAST_PIECE = 160  # samples that are decoded at the end of a compressed file


def inspect_header(path, min_rate=0, min_duration=MIN_SECONDS):
    """Reads the header of a file and says what, if anything, it shows to be wrong.

    Of any format but WAV, the last samples are decoded too: whether such a file was cut off does
    not show in its header.

    Arguments
    ---------
    path : str or Path
        An audio file.
    min_rate : int
        Sampling rate in Hz below which a file lacks part of the band.
    min_duration : float
        Seconds below which a file is too short to be used.

    Returns
    -------
    AudioReport
        Without sections.

    Example
    -------
    >>> import numpy as np, soundfile as sf
    >>> path = getfixture("tmpdir").join("tone.wav")
    >>> sf.write(path, np.sin(np.arange(8000) / 10.0), 8000)
    >>> inspect_header(path).duration, inspect_header(path, min_rate=16000).problem
    (1.0, 'its rate is 8000 Hz, less than 16000 Hz')
    """
    duration = 0.0
    try:
        recording = Recording(path)
        frames = recording.count()
        duration = frames / recording.rate
        problem = length_problem(recording, min_duration)
        if problem is None and recording.rate < min_rate:
            problem = f"its rate is {recording.rate} Hz, less than {min_rate} Hz"
        if problem is None and recording.format != "WAV":
            piece = min(LAST_PIECE, frames)
            if len(recording.samples(frames - piece, frames)) < piece:
                problem = f"truncated: its header announces {duration:.2f} s"
    except (AudioError, OSError) as error:
        return AudioReport(duration, decoding_problem(path, error), [], [], [])
    return AudioReport(duration, problem, [], [], recording.warnings)


def inspect_headers(paths, desc="Reading headers", journal=None, min_rate=0):
    """Runs `inspect_header` over many files, on all cores, and goes on where it was interrupted.

    Arguments
    ---------
    paths : list of Path
        The files.
    desc : str
        Text in front of the progress bar.
    journal : str or Path, optional
        Where findings are noted; a file that is still as it was noted (same size and time of
        change) is not opened again.
    min_rate : int
        As in `inspect_header`.

    Returns
    -------
    list of AudioReport
        One for each path, in the order of `paths`.

    Example
    -------
    >>> import numpy as np, soundfile as sf
    >>> folder = Path(getfixture("tmpdir"))
    >>> sf.write(folder / "tone.wav", np.sin(np.arange(8000) / 10.0), 16000)
    >>> paths = [folder / "tone.wav", folder / "gone.wav"]
    >>> [r.problem for r in inspect_headers(paths, journal=folder / "inspected.jsonl")]
    [None, 'cannot be decoded: there is no such file']
    """
    paths = [str(path) for path in paths]
    states = {path: _state(path) for path in paths}
    known = {} if journal is None else _read_journal(journal, states, min_rate)
    todo = [path for path in states if path not in known]
    look = partial(inspect_header, min_rate=min_rate)
    if len(todo) < MIN_FILES_FOR_POOL or get_available_cpu_count() == 1:
        found = map(look, tqdm(todo, desc=desc))
    else:
        bar = {"desc": desc, "total": len(todo)}
        found = parallel_map(look, todo, chunk_size=CHUNK, progress_bar_kwargs=bar)
    notes = []
    try:
        for path, report in zip(todo, found):
            known[path] = report
            note = [report.duration, report.problem, report.warnings]
            notes.append([path, *states[path], min_rate, *note])
            if len(notes) == FLUSH_EVERY:
                _append(journal, notes)
    finally:  # also where the user interrupts
        _append(journal, notes)
    reports = [known[path] for path in paths]
    say_what_is_odd(paths, reports, desc)
    return reports


def _state(path):
    """Size in bytes and time of change in ns; -1 where there is no file."""
    try:
        info = os.stat(path)
    except OSError:
        return -1, -1
    return info.st_size, info.st_mtime_ns


def _read_journal(journal, states, min_rate):
    """The findings on those of the files that have not changed since."""
    known = {}
    try:
        lines = Path(journal).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return known
    for line in lines:
        try:
            path, size, changed, rate, duration, problem, odd = json.loads(line)
        except ValueError:  # the end of a line is missing: the machine went down
            continue
        if states.get(path) == (size, changed) and rate == min_rate:
            known[path] = AudioReport(duration, problem, [], [], odd)
    return known


def _append(journal, notes):
    """Writes notes to the journal and empties them."""
    if journal is not None and notes:
        Path(journal).parent.mkdir(parents=True, exist_ok=True)
        with open(journal, "a", encoding="utf-8") as lines:
            # Empty lines do no harm: one goes first, in case the last line has no end.
            lines.write("\n" + "".join(json.dumps(note) + "\n" for note in notes))
    notes.clear()
