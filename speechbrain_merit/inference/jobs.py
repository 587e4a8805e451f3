"""Recordings on their way through the network: windows in batches, results to where they belong.

A job that fails takes no other with it, and leaves no half-written file.
"""

import traceback
from pathlib import Path

import torch

from speechbrain_merit.audio.files import AudioReader, AudioWriter
from speechbrain_merit.audio.windows import cut
from speechbrain_merit.errors import AudioError
from speechbrain_merit.lobes.spectrum import SAMPLE_RATE

#: Longest recording in seconds whose enhanced wave is kept although it was written to a file:
#: what was asked for as a file need not fit into memory.
KEPT_SECONDS = 600


class Job:
    """A recording that is in memory.

    Arguments
    ---------
    wavs : torch.Tensor
        Channels (C, S) at 16 kHz.

    Attributes
    ----------
    assembler : Assembler
        What was heard so far.
    error : Exception or None
        Why it failed.
    done : bool
        Whether it is finished, well or not.
    """

    def __init__(self, wavs):
        self.wavs, self.sinks, self.pieces = wavs, [], None
        self.error, self.done = None, False
        self.keep_enhanced()

    def keep_enhanced(self):
        """Keeps the enhanced wave in memory."""
        # the job itself, bound here, would live until Python looks for cycles
        self.pieces = pieces = []
        self.sinks.append(lambda noisy, enhanced: enhanced is None or pieces.append(enhanced))

    def blocks(self, assembler):
        """Opens the recording; yields its samples (C, n).

        Arguments
        ---------
        assembler : callable
            From the number of channels and the sinks to an Assembler.
        """
        self.assembler = assembler(len(self.wavs), sinks=self.sinks)
        yield self.wavs.cpu().numpy()

    def take(self, window, heard):
        """Takes what was heard of the next window."""
        self.assembler.add(window, heard)
        self.done = window.last

    def fail(self, error):
        """Gives up; what the error's traceback holds of the recording goes at once."""
        self.error, self.done = error, True
        while error is not None:
            traceback.clear_frames(error.__traceback__)
            error = error.__cause__

    def enhanced(self):
        """The enhanced channels (C, S), or None where they were not kept."""
        return torch.cat(self.pieces, dim=1) if self.pieces else None

    def analyses(self):
        """An Analysis for each channel."""
        analyses, enhanced = self.assembler.finish(), self.enhanced()
        for channel, analysis in enumerate(analyses):
            analysis.enhanced = None if enhanced is None else enhanced[channel]
        return analyses


class FileJob(Job):
    """A recording in a file, and the file that its enhanced form goes to.

    Arguments
    ---------
    path : str or Path
        The recording.
    output : str or Path, optional
        The enhanced file; none is written unless given.
    keep_rate : bool
        Write at the rate and length of the recording in place of 16 kHz.
    channels : str
        ``mix`` or ``separate``.
    keep : bool, optional
        Keep the enhanced wave in memory: unless given, where none is written or the recording is
        no longer than ten minutes.
    """

    def __init__(self, path, output=None, keep_rate=False, channels="mix", keep=None):
        self.path, self.output, self.writer = Path(path), output, None
        self.keep_rate, self.channels, self.keep = keep_rate, channels, keep
        self.sinks, self.pieces, self.error, self.done = [], None, None, False

    def blocks(self, assembler):
        """Opens the files; yields the samples (C, n) of the recording at 16 kHz."""
        self.reader = reader = AudioReader(self.path, self.channels)
        if self.output is not None:
            if Path(self.output).exists() and Path(self.output).samefile(self.path):
                raise AudioError(f"{self.output}: is the recording itself; give another name.")
            rate = reader.rate if self.keep_rate else SAMPLE_RATE
            writer = AudioWriter(self.output, reader.kept, rate, reader.float, reader.seconds)
            self.sinks.append(lambda noisy, enhanced: writer.write(enhanced.numpy()))
            self.writer = writer
        short = self.output is None or reader.seconds <= KEPT_SECONDS
        if short if self.keep is None else self.keep:
            self.keep_enhanced()
        self.assembler = assembler(reader.kept, sinks=self.sinks)
        yield from reader.blocks()

    def take(self, window, heard):
        """Takes what was heard of the next window; after the last one, completes the output."""
        super().take(window, heard)
        if window.last and self.writer is not None:
            self.writer.finish(self.reader.n_frames if self.keep_rate else None)
            if self.writer.clipped:
                self.reader.warnings.append(
                    f"{self.writer.clipped} enhanced samples exceeded full scale and were cut"
                )

    def fail(self, error):
        """Gives up; removes what was written so far."""
        super().fail(error)
        if self.writer is not None:
            self.writer.discard()

    def analyses(self):
        """An Analysis for each channel."""
        analyses = super().analyses()
        for channel, analysis in enumerate(analyses):
            analysis.path, analysis.sample_rate = str(self.path), self.reader.rate
            analysis.duration = self.reader.seconds
            analysis.enhanced_path = None if self.output is None else str(self.output)
            analysis.channel = None if self.channels == "mix" else channel
            analysis.warnings = list(self.reader.warnings)
        return analyses


def run(jobs, hear, assembler, window_seconds, batch_size=1, heard_seconds=None):
    """Sends recordings through the network, their windows in batches.

    Arguments
    ---------
    jobs : iterable of Job
        Taken one after another.
    hear : callable
        From a list of Window to a list of Heard of each one's channels.
    assembler : callable
        From a number of channels and ``sinks`` to an Assembler.
    window_seconds : int
        Length of a window.
    batch_size : int
        Channels of windows that are heard at once, of one recording or several.
    heard_seconds : callable, optional
        Told the seconds of every window that is done.

    Yields
    ------
    Job
        In the order they came, when done; ``error`` says whether well.
    """
    waiting, batch = [], []
    try:
        for job in jobs:
            waiting.append(job)
            try:
                for window in cut(job.blocks(assembler), window_seconds):
                    batch.append((job, window))
                    if sum(len(window.wavs) for _, window in batch) >= batch_size:
                        deliver(batch, hear, heard_seconds)
                        batch = []
            except (AudioError, OSError) as error:
                job.fail(error)
            while waiting and waiting[0].done:
                yield waiting.pop(0)
        deliver(batch, hear, heard_seconds)
        while waiting:
            yield waiting.pop(0)
    finally:  # an interrupt: what is not done leaves nothing behind
        for job in waiting:
            if not job.done:
                job.fail(AudioError("interrupted"))


def deliver(batch, hear, heard_seconds):
    """Hears a batch of (job, window) and hands each its result."""
    batch = [(job, window) for job, window in batch if not job.done]
    if not batch:
        return
    try:
        results = hear([window for _, window in batch])
    except FloatingPointError as error:  # of the network, on samples that no recording has
        if len(batch) > 1:  # it does not say whose
            for alone in batch:
                deliver([alone], hear, heard_seconds)
            return
        ((job, _),) = batch
        job.fail(AudioError(f"{getattr(job, 'path', 'wave')}: {error}"))
        return
    for (job, window), heard in zip(batch, results):
        try:
            if not job.done:
                job.take(window, heard)
        except (AudioError, OSError) as error:
            job.fail(error)
        if heard_seconds is not None:
            heard_seconds((window.end - window.begin) / SAMPLE_RATE)
