"""Recordings as callers hold them: a path, a file object, bytes, or samples with their rate.

What is no path is put into a temporary file first, so that the one reader of the project reads it,
and it gives what the file would give.
"""

import os
import shutil
from numbers import Real
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile as sf
import torch

from speechbrain_merit.audio.reading import RATES
from speechbrain_merit.errors import AudioError
from speechbrain_merit.inference.analysis import Analysis
from speechbrain_merit.inference.jobs import FileJob

KINDS = "give a path, a file object that was opened for bytes, bytes, or (array, rate)"


class GivenJob(FileJob):
    """A recording on its way through the network, in whatever form it was given.

    Arguments
    ---------
    source : str, Path, file object, bytes or tuple
        A path; a file in a format of libsndfile, read from where it is; or (array, rate), the
        array (n) or (n, channels) of floats, full scale 1, or of int16 or int32.
    **options : dict
        Of :class:`FileJob`.

    Example
    -------
    >>> job = GivenJob((np.zeros(16000), 16000))
    >>> job.name, next(job.blocks(lambda channels, sinks: None)).shape
    ('samples', (1, 16000))
    """

    def __init__(self, source, *arguments, **options):
        self.source, self.folder = source, None
        self.name, self.given_path = known(source)
        super().__init__(self.given_path or self.name, *arguments, **options)

    def blocks(self, assembler):
        """Opens the recording; yields its samples (C, n) at 16 kHz."""
        if self.name is not None:  # no path
            self.folder = TemporaryDirectory(prefix="merit-")
            self.path = Path(self.folder.name) / "recording"
            try:
                fill(self.path, self.source, self.name)
            except AudioError:
                raise
            except (TypeError, ValueError) as error:  # a closed file, rows of different lengths
                raise AudioError(f"{self.name}: {error}; {KINDS}.") from error
        self.source = None  # as long as it takes, but not for ever
        yield from super().blocks(assembler)

    def take(self, window, heard):
        """Takes what was heard of the next window; after the last one, cleans up."""
        super().take(window, heard)
        if window.last:
            self.clean_up()

    def fail(self, error):
        """Gives up; errors name what was given, not the temporary file."""
        super().fail(error)
        if self.folder is not None and isinstance(error, AudioError):
            self.error = AudioError(str(error).replace(str(self.path), self.name))
        self.clean_up()

    def clean_up(self):
        """Removes the temporary file."""
        self.source = None
        if self.folder is not None:
            self.folder.cleanup()

    def analyses(self):
        """An Analysis for each channel; ``path`` is that of a file object that has one."""
        analyses = super().analyses()
        for analysis in analyses:
            analysis.path = self.given_path
        return analyses

    def failed(self):
        """An Analysis that says nothing but why there is none."""
        return Analysis(0.0, path=self.given_path, error=str(self.error))


def known(source):
    """What messages call a source, None for a path; and the path that an analysis tells, or None.

    Example
    -------
    >>> known("a.wav"), known(b"RIFF"), known((np.zeros(10), 8000))
    ((None, 'a.wav'), ('bytes', None), ('samples', None))
    """
    if isinstance(source, (str, os.PathLike)):
        return None, str(Path(source))
    if isinstance(source, (bytes, bytearray, memoryview)):
        return "bytes", None
    if isinstance(source, tuple) and len(source) == 2:
        return "samples", None
    if hasattr(source, "read"):
        own = getattr(source, "name", None)
        own = own if isinstance(own, str) and own else None  # a pipe's is a number
        return own or "file object", own
    return type(source).__name__, None


def fill(path, source, name):
    """Writes a source that is no path to one, or raises AudioError."""
    if isinstance(source, tuple) and len(source) == 2:
        samples, rate = source
        write_samples(path, samples, rate)
    elif hasattr(source, "read"):
        if isinstance(source.read(0), str):
            raise AudioError(f"{name}: was opened as text; {KINDS}.")
        with open(path, "wb") as file:
            shutil.copyfileobj(source, file)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        path.write_bytes(source)
    else:
        raise AudioError(f"A recording cannot be of the type {name}: {KINDS}.")


def write_samples(path, samples, rate):
    """Writes samples (n) or (n, channels) as they are."""
    if isinstance(samples, torch.Tensor):
        samples = samples.detach().cpu()
        samples = (samples.float() if samples.is_floating_point() else samples).numpy()
    samples = np.asarray(samples)
    if not isinstance(rate, Real) or rate not in RATES:
        raise AudioError(f"samples: a rate of {rate!r}; give Hz, such as 16000.")
    if samples.ndim not in (1, 2) or (
        samples.ndim == 2 and samples.shape[1] > max(samples.shape[0], 1)
    ):
        raise AudioError(
            f"samples: an array of shape {samples.shape}; (samples) or (samples, channels) is "
            "needed. Turn it: array.T."
        )
    subtypes = {np.dtype(np.int16): "PCM_16", np.dtype(np.int32): "PCM_32"}
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore"):  # found as infinite
            samples, subtype = samples.astype(np.float32), "FLOAT"
    elif samples.dtype in subtypes:
        subtype = subtypes[samples.dtype]
    else:
        raise AudioError(f"samples: of {samples.dtype}; give floats, int16 or int32.")
    try:
        sf.write(path, samples, int(rate), format="RF64", subtype=subtype)
    except (sf.SoundFileError, ValueError) as error:
        raise AudioError(f"samples: of shape {samples.shape} are no recording: {error}") from error
