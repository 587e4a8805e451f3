"""Whether a recording of speech is clean enough to be what a network learns to give back.

Two measures, neither of which needs a model: how far the noise floor lies below the speech, and
whether the peaks are cut off.
"""

import numpy as np

from speechbrain_merit.audio.inspection import AudioReport, inspect_audio, inspect_files
from speechbrain_merit.audio.reading import Recording, read_audio

FRAME_SECONDS = 0.02
#: dB: frames that lie no further below the loudest one are speech, if they are nearer to it than
#: to the floor.
SPEECH_RANGE = 30.0
FLOOR_PERCENT = 2  # of the frames are the floor: pauses, and the closures of p, t and k
MIN_RANGE = 30.0  # dB, from the floor to the speech: below it one hears the noise
#: Cut-off peaks: so many samples in a row at the peak, so often. Loud recordings alone are judged:
#: the steps of 16 bits, or a slow wave, have flat peaks of their own.
FLAT_SAMPLES, FLAT_PEAKS, FLAT_WITHIN, LOUD = 4, 3, 1e-4, 0.3

NOISY = "noise floor"
CLIPPED = "clipped"


def dynamic_range(wave, rate):
    """How far the noise floor lies below the speech, in dB; infinite where nothing but it is left.

    Digital silence, which gates and editors leave, says nothing of the noise in the speech.

    Arguments
    ---------
    wave : np.ndarray
        Mono wave (S).
    rate : int
        In Hz.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> speech = np.concatenate([rng.normal(0, 0.1, 16000), rng.normal(0, 0.001, 4000)])
    >>> round(dynamic_range(speech, 16000))
    40
    """
    size = round(FRAME_SECONDS * rate)
    frames = wave[: len(wave) // size * size].reshape(-1, size).astype(np.float64)
    power = (frames - frames.mean(axis=1, keepdims=True)).var(axis=1)
    power = power[power > 0]
    if len(power) == 0:
        return float("inf")
    decibels = 10 * np.log10(power)
    floor, loudest = np.percentile(decibels, FLOOR_PERCENT), decibels.max()
    speech = power[decibels >= max(loudest - SPEECH_RANGE, (loudest + floor) / 2)].mean()
    return float(10 * np.log10(speech) - floor)


def is_clipped(wave):
    """Whether peaks of a wave (S) are cut off.

    Example
    -------
    >>> tone = np.sin(np.arange(16000) / 10)
    >>> is_clipped(tone), is_clipped(np.clip(tone, -0.9, 0.9))
    (False, True)
    """
    size = np.abs(wave)
    peak = size.max(initial=0.0)
    if peak < LOUD:
        return False
    flat = size >= peak * (1 - FLAT_WITHIN)
    run = flat.copy()
    for step in range(1, FLAT_SAMPLES):
        run[:-step] &= flat[step:]
        run[-step:] = False
    starts = run & ~np.concatenate([[False], run[:-1]])
    return int(starts.sum()) >= FLAT_PEAKS


def inspect_speech(path, min_duration):
    """Checks a file as `inspect_audio` does; its sections are those that are clean speech.

    Arguments
    ---------
    path : str or Path
        The recording.
    min_duration : float
        Seconds below which it is too short.

    Returns
    -------
    AudioReport
        ``problem`` says so where no section is left.
    """
    report = inspect_audio(path, min_duration)
    if report.problem is not None:
        return report
    rate, clean, why = Recording(path).rate, [], None
    for start, duration in report.sections:
        wave = read_audio(path, rate, start, duration).numpy()
        reached = dynamic_range(wave, rate)
        if is_clipped(wave):
            why = f"{CLIPPED}: its peaks are cut off"
        elif reached < MIN_RANGE:
            why = f"{NOISY} {reached:.0f} dB below the speech; {MIN_RANGE:.0f} are needed"
        else:
            clean.append((start, duration))
    return AudioReport(
        report.duration, None if clean else why, clean, report.silent_sections, report.warnings
    )


def inspect_speech_files(paths, desc, min_duration):
    """`inspect_speech` over many files, as `inspect_files` does it."""
    return inspect_files(paths, desc, min_duration, inspect=inspect_speech)
