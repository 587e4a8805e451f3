"""Finding and checking recordings before anything is trained on them.

A corpus is decoded once, in its preparation, so that a file that is broken, empty, silent or
holds NaN is known by name before training starts and not after an hour of it.
"""

import os
import shlex
from collections import Counter
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from speechbrain.utils.logger import get_logger
from speechbrain.utils.parallel import get_available_cpu_count, parallel_map
from tqdm import tqdm

from speechbrain_merit.audio.channels import Channels
from speechbrain_merit.audio.containers import (
    RAW,
    converted,
    holds_sound,
    other_content,
    other_sound,
)
from speechbrain_merit.audio.names import some
from speechbrain_merit.audio.reading import Recording
from speechbrain_merit.errors import AudioError

logger = get_logger(__name__)

# Containers that libsndfile decodes and that corpora are published in.
AUDIO_SUFFIXES = frozenset(
    ".wav .wave .bwf .rf64 .w64 .flac .ogg .oga .opus .mp3 .mp2 .mpga .aif .aiff .aifc .au .snd "
    ".caf .sph".split()
)
# What else sound is kept in, and no suffix at all: these files are opened to see what they hold.
OTHER_SUFFIXES = frozenset(
    " .m4a .m4b .m4r .mp4 .m4v .mov .3gp .3ga .3g2 .aac .adts .webm .weba .mka .mkv .avi .flv .wma "
    ".asf .amr .awb .ape .wv .tta .mpc .dsf .ac3 .eac3 .rm .mpg .mpeg .ogv .spx .dss .ds2 .qcp "
    ".nist .voc .paf .sf .ircam".split(" ")
) | (RAW.keys() - {".raw"})  # cameras call their pictures so too
# Where systems keep what was deleted, or a copy of what is elsewhere.
NO_PLACES = frozenset(["$recycle.bin", "system volume information", "__macosx", "@eadir"])

MIN_SECONDS = 0.1  # shorter than this, a recording holds not even one syllable or noise event
SECTION_SECONDS = 30.0  # longest piece that is read at once, and longest noise section
SILENT_PEAK = 2.0**-15  # one step of 16-bit audio: what dither leaves of digital silence
TRUNCATION_SLACK = 0.05  # seconds; some writers announce one buffer more than they write

# Reasons start with these words, so that a caller can tell a broken file from an unusable one.
SILENT = "silent"
TOO_SHORT = "too short"

# A pool of processes costs more than it gains below this many files.
MIN_FILES_FOR_POOL = 128


class AudioReport(NamedTuple):
    """What `inspect_audio` found in one file.

    Arguments
    ---------
    duration : float
        Length in seconds (0 if the file cannot be opened).
    problem : str or None
        Why the file cannot be used, or None.
    sections : list of tuple
        (start, duration) in seconds of each piece of at most `SECTION_SECONDS` that is not silent.
    silent_sections : list of tuple
        The same for the silent pieces.
    warnings : list of str
        What is odd about a file that can be used all the same.
    """

    duration: float
    problem: str | None
    sections: list
    silent_sections: list
    warnings: list


def find_audio(folder):
    """Lists the recordings in a folder and in all folders below it.

    Hidden files and folders (such as the ``._x.wav`` that macOS leaves, or ``.Trash-1000``) are
    passed over; linked folders are followed, each one once. What holds sound in a format that is
    not read is passed over with a warning.

    Arguments
    ---------
    folder : str or Path
        Where to look.

    Returns
    -------
    list of Path
        Sorted.

    Raises
    ------
    FileNotFoundError
        If `folder` is not a folder.

    Example
    -------
    >>> folder = getfixture("tmpdir").mkdir("cafe")
    >>> for name in ("b.WAV", "a.flac", "notes.txt", "._b.WAV"):
    ...     _ = folder.join(name).write("")
    >>> [path.name for path in find_audio(folder)]
    ['a.flac', 'b.WAV']
    """
    found, others = find_recordings(folder)
    if others:
        first, what = next(iter(others.items()))
        count = f"{folder}: {len(others)} files passed over ({some(others)})"
        logger.warning(f"{count}. {some([first])}: {what}.")
    return found


def find_recordings(folder):
    """The same, and what is passed over.

    Returns
    -------
    found : list of Path
        Files whose suffix, in any case, is one of `AUDIO_SUFFIXES`, and those of another one or
        none that hold what libsndfile decodes.
    others : dict
        ``{path: what it holds and what to do}`` of files with sound that is not read, but for
        those that were converted beside them.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}: check the path.")
    found, others, visited = [], {}, set()

    def unreadable(error):
        others[Path(error.filename)] = f"cannot be read: {error.strerror}"

    for parent, folders, names in os.walk(folder, onerror=unreadable, followlinks=True):
        real = os.path.realpath(parent)
        if real in visited:  # a link that leads back up
            folders.clear()
            continue
        visited.add(real)
        folders[:] = [n for n in folders if not n.startswith(".") and n.lower() not in NO_PLACES]
        # links last: what they lead to has its own name, whatever order a disk has
        folders.sort(key=lambda name: (os.path.islink(os.path.join(parent, name)), name))
        for name in (name for name in names if not name.startswith(".")):
            suffix = os.path.splitext(name)[1].lower()
            if suffix in AUDIO_SUFFIXES:
                found.append(Path(parent, name))
            elif suffix in OTHER_SUFFIXES:
                _judge(Path(parent, name), found, others)
    return sorted(found), dict(sorted(_unconverted(others, {*found})))


def _unconverted(others, here):
    """Of files that are not read, those without the file that a conversion would make of them."""
    sharing = Counter(map(converted, others))
    for path, what in others.items():
        made = converted(path)
        if sharing[made] > 1 and made in here:  # call.wav is of call.m4a or of call.wma
            own = path.with_name(f"{path.stem}_{path.suffix[1:]}.wav")
            what, made = what.replace(shlex.quote(made.name), shlex.quote(own.name)), own
        if made not in here:
            yield path, what


def _judge(path, found, others):
    """Puts a file whose suffix says little where its content belongs."""
    try:
        if not path.is_file():
            return
        if holds_sound(path):
            found.append(path)
        elif what := other_content(path) if path.suffix else other_sound(path):
            others[path] = what
    except OSError as error:
        others[path] = f"cannot be read: {error.strerror}"


def inspect_audio(path, min_duration=MIN_SECONDS):
    """Decodes a file piece by piece and reports its length, its sections and any problem.

    Arguments
    ---------
    path : str or Path
        An audio file of any rate and number of channels.
    min_duration : float
        Seconds below which a file is too short to be used.

    Returns
    -------
    AudioReport
        See there. The sections are of equal length to within one sample and cover the file.

    Example
    -------
    >>> import soundfile as sf
    >>> path = getfixture("tmpdir").join("long.wav")
    >>> sf.write(path, np.sin(np.arange(75 * 8000) / 10.0), 8000)
    >>> inspect_audio(path).sections
    [(0.0, 25.0), (25.0, 25.0), (50.0, 25.0)]
    """
    duration, sections, silent = 0.0, [], []
    try:
        recording = Recording(path)
        rate, frames = recording.rate, recording.count()
        duration, odd = frames / rate, list(recording.warnings)
        problem = length_problem(recording, min_duration)
        if problem:
            return AudioReport(duration, problem, [], [], odd)
        for start, stop, piece in _pieces(recording, _section_bounds(frames, rate)):
            missing = (stop - start - len(piece)) / rate
            if len(piece) == 0 or missing > TRUNCATION_SLACK:
                problem = f"truncated: its header announces {duration:.2f} s, decoding stops"
                return AudioReport(duration, problem, [], [], odd)
            if not np.isfinite(piece).all():
                return AudioReport(duration, "holds NaN or infinite samples", [], [], odd)
            channels = Channels(recording.n_channels, rate).add(piece)
            odd += [warning for warning in channels.warnings() if warning not in odd]
            audible = np.ptp(channels.mixed(piece)) / 2 > SILENT_PEAK  # as it is trained on
            (sections if audible else silent).append((start / rate, (stop - start) / rate))
    except (AudioError, OSError) as error:
        return AudioReport(duration, decoding_problem(path, error), [], [], [])
    problem = None
    if not sections:
        problem = f"{SILENT}: no sample is louder than one step of 16-bit audio"
    return AudioReport(duration, problem, sections, silent, odd)


def check_audio(path, min_duration=MIN_SECONDS):
    """The duration and the problem that `inspect_audio` finds, without the sections."""
    return inspect_audio(path, min_duration)[:2]


def decoding_problem(path, error):
    """The reason in a report of why a file cannot be decoded, without its path."""
    if not Path(path).is_file():
        return "cannot be decoded: there is no such file"
    what = str(error).removeprefix(f"{path}: ").removeprefix("no recording that can be read: ")
    return "cannot be decoded: " + what.removeprefix("cannot be decoded ")


def _pieces(recording, bounds):
    """Yields (start, stop, samples) of consecutive sections, from one pass over the file."""
    blocks, held = recording.blocks(), np.zeros((0, recording.n_channels), np.float32)
    for start, stop in bounds:
        held = [held]
        while sum(map(len, held)) < stop - start:
            block = next(blocks, None)
            if block is None:
                break
            held.append(block)
        held = np.concatenate(held)
        yield start, stop, held[: stop - start]
        held = held[stop - start :]


def inspect_files(paths, desc="Checking audio", min_duration=MIN_SECONDS, inspect=inspect_audio):
    """Runs `inspect_audio` over many files, with a progress bar, on all cores if it is worth it.

    Arguments
    ---------
    paths : list of Path
        The files.
    desc : str
        Text in front of the progress bar.
    min_duration : float
        Seconds below which a file is too short to be used.
    inspect : callable
        What checks one file; a function of a module, since it travels to other processes.

    Returns
    -------
    list of AudioReport
        One for each path, in the order of `paths`.

    Example
    -------
    >>> import soundfile as sf
    >>> path = getfixture("tmpdir").join("tone.wav")
    >>> sf.write(path, np.sin(np.arange(8000) / 10.0), 16000)
    >>> [report.duration for report in inspect_files([path])]
    [0.5]
    """
    paths = [str(path) for path in paths]
    if len(paths) < MIN_FILES_FOR_POOL or get_available_cpu_count() == 1:
        reports = [inspect(path, min_duration) for path in tqdm(paths, desc=desc)]
    else:
        inspect = partial(inspect, min_duration=min_duration)
        reports = list(parallel_map(inspect, paths, progress_bar_kwargs={"desc": desc}))
    say_what_is_odd(paths, reports, desc)
    return reports


def say_what_is_odd(paths, reports, desc):
    """Logs each kind of warning once, with the first files it is of."""
    kinds = {}
    for path, report in zip(paths, reports):
        for warning in report.warnings if report.problem is None else ():
            kinds.setdefault(warning, []).append(path)
    for warning, files in kinds.items():
        logger.warning(f"{desc}: {len(files)} used all the same: {warning}: {some(files)}.")


def length_problem(recording, min_duration=MIN_SECONDS):
    """Says what a length alone tells: empty, too short, or less audio than announced.

    Arguments
    ---------
    recording : Recording
        The file.
    min_duration : float
        Seconds below which a file is too short to be used.

    Returns
    -------
    str or None
        The reason why it cannot be used.

    Example
    -------
    >>> import soundfile as sf
    >>> path = str(getfixture("tmpdir").join("click.wav"))
    >>> sf.write(path, np.ones(160), 16000)
    >>> length_problem(Recording(path))
    'too short: 0.010 s is less than 0.1 s'
    """
    duration = recording.count() / recording.rate
    if duration == 0:
        return "empty: it holds no samples"
    if recording.missing > TRUNCATION_SLACK:
        lost = f"{recording.missing:.2f} s of audio that its header announces are missing"
        return f"truncated: {lost}"
    if duration < min_duration:
        return f"{TOO_SHORT}: {duration:.3f} s is less than {min_duration} s"
    return None


def _section_bounds(frames, rate):
    """Yields equal cuts, in samples: a fixed length would leave a stump at the end."""
    count = int(np.ceil(frames / (SECTION_SECONDS * rate)))
    yield from pairwise(round(i * frames / count) for i in range(count + 1))
