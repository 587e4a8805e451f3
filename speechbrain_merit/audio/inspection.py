"""Finding and checking recordings before anything is trained on them.

A corpus is decoded once, in its preparation, so that a file that is broken, empty, silent or
holds NaN is known by name before training starts and not after an hour of it.
"""

import os
import re
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile as sf
from speechbrain.utils.parallel import get_available_cpu_count, parallel_map
from tqdm import tqdm

# Containers that libsndfile decodes and that corpora are published in.
AUDIO_SUFFIXES = frozenset(
    ".wav .wave .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .caf .w64 .rf64 .sph".split()
)

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
    """

    duration: float
    problem: str | None
    sections: list
    silent_sections: list


def find_audio(folder):
    """Lists the recordings in a folder and in all folders below it.

    Hidden files (such as the ``._x.wav`` that macOS leaves) are passed over; linked folders are
    followed, each one once.

    Arguments
    ---------
    folder : str or Path
        Where to look.

    Returns
    -------
    list of Path
        Files whose suffix, in any case, is one of `AUDIO_SUFFIXES`; sorted.

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
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}: check the path.")
    found, visited = [], set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in visited:  # a link that leads back up
            folders.clear()
            continue
        visited.add(real)
        found += [Path(parent, n) for n in names if not n.startswith(".") and _is_audio(n)]
    return sorted(found)


def _is_audio(name):
    return Path(name).suffix.lower() in AUDIO_SUFFIXES


def check_audio(path, min_duration=MIN_SECONDS):
    """Decodes a file to its end and says what, if anything, is wrong with it.

    Arguments
    ---------
    path : str or Path
        An audio file of any rate and number of channels.
    min_duration : float
        Seconds below which a file is too short to be used.

    Returns
    -------
    duration : float
        Length in seconds.
    problem : str or None
        None for a usable file, otherwise the reason: cannot be decoded, empty, truncated, NaN or
        infinite samples, too short, silent.

    Example
    -------
    >>> path = getfixture("tmpdir").join("tone.wav")
    >>> sf.write(path, np.sin(np.arange(8000) / 10.0), 16000)
    >>> check_audio(path)
    (0.5, None)
    >>> sf.write(path, np.zeros(8000), 16000)
    >>> check_audio(path)[1]
    'silent: no sample is louder than one step of 16-bit audio'
    """
    report = inspect_audio(path, min_duration)
    return report.duration, report.problem


def inspect_audio(path, min_duration=MIN_SECONDS):
    """Decodes a file piece by piece and reports its length, its sections and any problem.

    soundfile is used directly, since `audio_io` neither reads on from where it stopped (a seek in
    an MP3 is slow) nor tells that a header announces more audio than the file holds.

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
    >>> path = getfixture("tmpdir").join("long.wav")
    >>> sf.write(path, np.sin(np.arange(75 * 8000) / 10.0), 8000)
    >>> inspect_audio(path).sections
    [(0.0, 25.0), (25.0, 25.0), (50.0, 25.0)]
    """
    duration, sections, silent = 0.0, [], []
    try:
        with sf.SoundFile(str(path)) as sound:
            rate, frames = sound.samplerate, sound.frames
            duration = frames / rate
            problem = length_problem(sound, min_duration)
            if problem:
                return AudioReport(duration, problem, [], [])
            for start, stop in _section_bounds(frames, rate):
                piece = sound.read(stop - start, dtype="float32", always_2d=True)
                missing = (stop - start - len(piece)) / rate
                if len(piece) == 0 or missing > TRUNCATION_SLACK:
                    problem = f"truncated: its header announces {duration:.2f} s, decoding stops"
                    return AudioReport(duration, problem, [], [])
                if not np.isfinite(piece).all():
                    return AudioReport(duration, "holds NaN or infinite samples", [], [])
                mono = piece.mean(axis=1)  # as it is trained on: opposite channels cancel
                audible = np.ptp(mono) / 2 > SILENT_PEAK
                (sections if audible else silent).append((start / rate, (stop - start) / rate))
    except (sf.SoundFileError, RuntimeError, OSError) as error:
        return AudioReport(duration, f"cannot be decoded: {_cause(path, error)}", [], [])
    problem = None
    if not sections:
        problem = f"{SILENT}: no sample is louder than one step of 16-bit audio"
    return AudioReport(duration, problem, sections, silent)


def _cause(path, error):
    """Why a file cannot be decoded, where that is known better than the decoder knows it."""
    if not Path(path).is_file():
        return "there is no such file"
    try:
        with open(path, "rb") as file:
            start = file.read(40)
    except OSError as unreadable:
        return str(unreadable)
    if start.startswith(b"version https://git-lfs"):
        return "it only points to a file of Git LFS: run git lfs pull in the corpus's folder"
    return str(error)


def inspect_files(paths, desc="Checking audio", min_duration=MIN_SECONDS):
    """Runs `inspect_audio` over many files, with a progress bar, on all cores if it is worth it.

    Arguments
    ---------
    paths : list of Path
        The files.
    desc : str
        Text in front of the progress bar.
    min_duration : float
        Seconds below which a file is too short to be used.

    Returns
    -------
    list of AudioReport
        One for each path, in the order of `paths`.

    Example
    -------
    >>> path = getfixture("tmpdir").join("tone.wav")
    >>> sf.write(path, np.sin(np.arange(8000) / 10.0), 16000)
    >>> [report.duration for report in inspect_files([path])]
    [0.5]
    """
    paths = [str(path) for path in paths]
    if len(paths) < MIN_FILES_FOR_POOL or get_available_cpu_count() == 1:
        return [inspect_audio(path, min_duration) for path in tqdm(paths, desc=desc)]
    inspect = partial(inspect_audio, min_duration=min_duration)
    return list(parallel_map(inspect, paths, progress_bar_kwargs={"desc": desc}))


def length_problem(sound, min_duration=MIN_SECONDS):
    """Says what a header alone tells: empty, too short, or less audio than announced.

    Arguments
    ---------
    sound : soundfile.SoundFile
        A file that is open for reading.
    min_duration : float
        Seconds below which a file is too short to be used.

    Returns
    -------
    str or None
        The reason why it cannot be used.

    Example
    -------
    >>> path = str(getfixture("tmpdir").join("click.wav"))
    >>> sf.write(path, np.ones(160), 16000)
    >>> with sf.SoundFile(path) as sound:
    ...     length_problem(sound)
    'too short: 0.010 s is less than 0.1 s'
    """
    duration = sound.frames / sound.samplerate
    if sound.frames == 0:
        return "empty: it holds no samples"
    # libsndfile corrects the length of a WAV or AIFF that was cut off and notes it in its log.
    note = re.search(
        r"^(?:data|\s*SSND)\s*:\s*(\d+) \(should be (\d+)\)", sound.extra_info, re.MULTILINE
    )
    if note:
        announced, present = int(note[1]), int(note[2])
        # Programs that stream into a pipe announce the largest possible size: no promise.
        if present < announced < 2**31 - 2**16:
            missing = duration * (announced / max(present, 1) - 1)
            if missing > TRUNCATION_SLACK:
                return f"truncated: {missing:.2f} s of audio that its header announces are missing"
    if duration < min_duration:
        return f"{TOO_SHORT}: {duration:.3f} s is less than {min_duration} s"
    return None


def _section_bounds(frames, rate):
    """Equal cuts, in samples: a fixed length would leave a stump at the end."""
    count = int(np.ceil(frames / (SECTION_SECONDS * rate)))
    bounds = [round(i * frames / count) for i in range(count + 1)]
    return list(pairwise(bounds))
