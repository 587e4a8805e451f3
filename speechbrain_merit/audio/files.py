"""Reading recordings block by block at 16 kHz, and writing them: any format of soundfile.

Nothing here holds a whole recording, the input is opened for reading alone, and an output appears
under its name when it is finished, or not at all.
"""

import os
import uuid
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

from speechbrain_merit.audio.channels import Channels
from speechbrain_merit.audio.reading import Recording, fingerprint, native, reason
from speechbrain_merit.errors import AudioError
from speechbrain_merit.lobes.spectrum import SAMPLE_RATE

#: Shorter than this, a recording holds not even one syllable.
SHORTEST_SECONDS = 0.1
#: Some formats announce a buffer more than they hold.
SLACK_SECONDS = 0.05
#: Samples, more than resampling to 16 kHz and back to a higher rate adds.
ROUNDING = 64
#: Bytes. A WAV file cannot tell a greater length; RF64 is WAV with longer fields (EBU Tech 3306).
LARGEST_WAV = 4_000_000_000
CHANNELS = ("mix", "separate")
#: What enhanced files are written as, by suffix, where the format's default is not wanted.
SUBTYPES = {"WAV": "PCM_16", "FLAC": "PCM_16"}


class AudioReader:
    """A recording as blocks at 16 kHz.

    It is decoded twice: what is made of its channels (:mod:`speechbrain_merit.audio.channels`)
    depends on all of it.

    Arguments
    ---------
    path : str or Path
        The file.
    channels : str
        ``mix`` makes them one, ``separate`` keeps each.

    Attributes
    ----------
    rate, n_channels, n_frames : int
        Of the file; the last as it announces it, until the first block.
    warnings : list of str
        What was wrong and passed over; complete with the first block.

    Raises
    ------
    AudioError
        No file, nothing that soundfile reads, empty, or shorter than 0.1 s.

    Example
    -------
    >>> path = str(getfixture("tmpdir").join("a.wav"))
    >>> sf.write(path, np.zeros((8000, 2)), 8000)
    >>> reader = AudioReader(path, channels="separate")
    >>> sum(block.shape[1] for block in reader.blocks()), reader.kept
    (16000, 2)
    """

    def __init__(self, path, channels="mix"):
        if channels not in CHANNELS:
            raise ValueError(f"channels is {channels!r}: choose one of {', '.join(CHANNELS)}.")
        self.path, self.channels = Path(path), channels
        self.before = fingerprint(path)
        self.recording = recording = Recording(path)
        self.warnings = list(recording.warnings)
        self.rate, self.n_channels = recording.rate, recording.n_channels
        self.float = recording.subtype in ("FLOAT", "DOUBLE")
        self.kept = self.n_channels if channels == "separate" else 1
        self.n_frames = recording.count()
        self.seconds = self.n_frames / self.rate
        if self.n_frames == 0:
            raise AudioError(f"{path}: is empty.")
        if self.seconds < SHORTEST_SECONDS:
            raise AudioError(
                f"{path}: lasts {1000 * self.seconds:.0f} ms; at least "
                f"{1000 * SHORTEST_SECONDS:.0f} ms are needed."
            )

    def blocks(self):
        """Yields float32 samples (channels, n) at 16 kHz.

        Raises
        ------
        AudioError
            The file cannot be decoded, holds NaN or infinity, or changed while it was read.
        """
        found, resampler = self.look(), None
        if self.rate != SAMPLE_RATE:
            resampler = soxr.ResampleStream(self.rate, SAMPLE_RATE, self.kept, dtype="float32")
        for block in self.decoded():
            block = found.mixed(block)[:, None] if self.channels == "mix" else found.centred(block)
            if resampler is not None:
                block = resampler.resample_chunk(block)
            if len(block):
                yield np.ascontiguousarray(block.T)
        if resampler is not None:
            block = resampler.resample_chunk(np.zeros((0, self.kept), np.float32), last=True)
            if len(block):
                yield np.ascontiguousarray(block.T)
        self.check_unchanged()

    def look(self):
        """Decodes the file once, and knows its length and channels afterwards."""
        found = Channels(self.n_channels, self.rate)
        for block in self.decoded():
            found.add(block)
        self.check_unchanged()
        read = found.count
        if read == 0:
            raise AudioError(f"{self.path}: announces {self.seconds:.1f} s and holds nothing.")
        if read / self.rate < SHORTEST_SECONDS:
            raise AudioError(
                f"{self.path}: is cut off after {1000 * read / self.rate:.0f} ms; at least "
                f"{1000 * SHORTEST_SECONDS:.0f} ms are needed."
            )
        missing = (self.n_frames - read) / self.rate + self.recording.missing
        if missing > SLACK_SECONDS:
            announced = read / self.rate + missing
            self.warnings.append(
                f"cut off: {read / self.rate:.2f} s of the {announced:.2f} s it announces"
            )
        if self.channels == "mix":
            self.warnings += found.warnings()
        self.n_frames, self.seconds = read, read / self.rate
        return found

    def decoded(self):
        """Yields blocks (n, channels) of the file at its own rate."""
        read = 0
        for block in self.recording.blocks():
            finite = np.isfinite(block)
            if not finite.all():
                place = (read + int(np.argmin(finite.all(axis=1)))) / self.rate
                raise AudioError(f"{self.path}: NaN or infinite samples from {place:.2f} s on.")
            read += len(block)
            yield block

    def check_unchanged(self):
        """Raises AudioError where somebody wrote to the file."""
        if fingerprint(self.path) != self.before:
            raise AudioError(
                f"{self.path}: changed while it was read; start again when it is whole."
            )


class AudioWriter:
    """Writes blocks, at 16 kHz unless told otherwise, to a file that appears when it is finished.

    Arguments
    ---------
    path : str or Path
        Its suffix chooses the format.
    channels : int
        How many.
    rate : int
        Of the file; blocks are resampled to it.
    as_float : bool
        Store float samples where the format can, as an input of floats needs, which may exceed
        full scale.
    seconds : float
        About how long it will be: a WAV file that would get too large is written as RF64.
    source_rate : int
        Of the blocks.

    Raises
    ------
    AudioError
        The place cannot be written to, or no such format.

    Example
    -------
    >>> path = getfixture("tmpdir").join("b.wav")
    >>> with AudioWriter(path, channels=1, rate=8000) as writer:
    ...     writer.write(np.zeros((1, 16000), np.float32))
    >>> sf.info(str(path)).frames
    8000
    """

    def __init__(
        self, path, channels, rate=SAMPLE_RATE, as_float=False, seconds=0.0, source_rate=SAMPLE_RATE
    ):
        self.path, self.rate, self.clipped = Path(path), rate, 0
        form = self.path.suffix.lstrip(".").upper()
        form = {"AIF": "AIFF", "OGA": "OGG", "OPUS": "OGG"}.get(form, form)
        if form not in sf.available_formats():
            raise AudioError(f"{path}: no format is known by the suffix {self.path.suffix!r}.")
        subtype = "OPUS" if self.path.suffix.lower() == ".opus" else SUBTYPES.get(form)
        if as_float and sf.check_format(form, "FLOAT"):
            subtype = "FLOAT"
        self.bounded = subtype != "FLOAT"
        if form == "WAV" and seconds * rate * channels * (2 if self.bounded else 4) > LARGEST_WAV:
            form = "RF64"
        self.partial = self.path.with_name(f".{uuid.uuid4().hex}.part")
        self.resampler = None
        if rate != source_rate:
            self.resampler = soxr.ResampleStream(source_rate, rate, channels, dtype="float32")
        self.channels, self.written = channels, 0
        # the last samples wait: a resampler may round up, and only some formats can be shortened
        self.waiting = np.zeros((0, channels), np.float32)
        try:
            open(self.partial, "wb").close()  # says why not; libsndfile says "System error"
            self.file = sf.SoundFile(
                native(self.partial), "w", rate, channels, subtype=subtype, format=form
            )
        except (sf.SoundFileError, OSError, ValueError, TypeError) as error:
            if self.partial.exists():
                self.partial.unlink()
            raise AudioError(f"{path}: cannot be written: {reason(error)}") from error

    def write(self, block):
        """Takes samples (channels, n)."""
        block = np.ascontiguousarray(block.T)
        if self.resampler is not None:
            block = self.resampler.resample_chunk(block)
        block = np.concatenate([self.waiting, block])
        self.put(block[:-ROUNDING])
        self.waiting = block[-ROUNDING:].copy()

    def put(self, block):
        """Writes samples (n, channels) at the file's rate."""
        if self.bounded:
            self.clipped += int((np.abs(block) > 1).sum())
            block = block.clip(-1, 1)
        try:
            self.file.write(block)
        except (sf.SoundFileError, OSError) as error:
            raise AudioError(f"{self.path}: cannot be written: {reason(error)}") from error
        self.written += len(block)

    def finish(self, n_frames=None):
        """Completes the file, ``n_frames`` long if given, and puts it in its place."""
        block = self.waiting
        if self.resampler is not None:
            rest = self.resampler.resample_chunk(block[:0], last=True)
            block = np.concatenate([block, rest])
        missing = 0 if n_frames is None else n_frames - self.written - len(block)
        if missing > 0:  # a resampler may round down
            block = np.concatenate([block, np.zeros((missing, self.channels), np.float32)])
        self.put(block[: len(block) + min(missing, 0)])
        try:
            self.file.close()
            os.replace(self.partial, self.path)
        except (sf.SoundFileError, OSError) as error:
            raise AudioError(f"{self.path}: cannot be written: {reason(error)}") from error

    def discard(self):
        """Removes what was written so far."""
        self.file.close()
        self.partial.unlink(missing_ok=True)

    def __enter__(self):
        """The writer itself."""
        return self

    def __exit__(self, kind, error, traceback):
        """Completes the file, or removes it after an error."""
        if kind is None:
            self.finish()
        else:
            self.discard()
