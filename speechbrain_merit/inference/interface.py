"""MeritInterface: from recordings to clean speech and its emotions, with a trained model."""

import os

import torch
from tqdm import tqdm

from speechbrain_merit.errors import SettingsError
from speechbrain_merit.inference.batches import checked, unpadded
from speechbrain_merit.inference.encoding import Encoding
from speechbrain_merit.inference.given import GivenJob
from speechbrain_merit.inference.jobs import Job
from speechbrain_merit.inference.loaded import Loaded
from speechbrain_merit.inference.table import Analyses
from speechbrain_merit.lobes.spectrum import SAMPLE_RATE


class MeritInterface(Encoding, Loaded):
    """A trained model of the project, ready to use.

    Recordings up to ``window_seconds`` (10 unless the model's ``hyperparams.yaml`` says otherwise)
    are heard in one pass, longer ones in windows of that length that overlap and are joined again
    (:mod:`speechbrain_merit.audio.windows`), everywhere alike. Waves given as tensors are at
    16 kHz; files may have any rate, number of channels and format that soundfile reads.

    Any number of threads may use one interface, or each its own. It can be pickled, so that other
    processes may have it; forked ones compute with one thread each. It computes in the type that
    its weights have (``.half()``, ``.bfloat16()``), and gives float32.

    Arguments
    ---------
    See ``speechbrain.inference.interfaces.Pretrained``; use :meth:`from_hparams`.

    Example
    -------
    >>> from speechbrain_merit.export.folder import write_pretrained
    >>> from speechbrain_merit.lobes.emotion import EmotionHead
    >>> from speechbrain_merit.lobes.encoders import build_encoder
    >>> from speechbrain_merit.lobes.enhancement import EnhancementHead
    >>> from speechbrain_merit.lobes.integration import WeightedSum
    >>> from speechbrain_merit.lobes.merit import Merit
    >>> heads = EnhancementHead(96), EmotionHead(96, n_classes=2)
    >>> untrained = Merit(build_encoder("mini"), WeightedSum(3, 96), *heads)
    >>> folder = getfixture("tmpdir").join("model")
    >>> _ = write_pretrained(folder, untrained, ["sad", "happy"], "# Untrained")
    >>> merit = MeritInterface.from_hparams(source=folder, run_opts={"device": "cpu"})
    >>> merit.enhance_batch(torch.randn(2, 16000)).shape
    torch.Size([2, 16000])
    >>> out_prob, score, index, text_lab = merit.classify_batch(torch.randn(2, 16000))
    >>> out_prob.shape, len(text_lab)
    (torch.Size([2, 2]), 2)
    >>> merit.analyse_batch(torch.zeros(1, 16000))[0].emotion
    'no_speech'
    """

    def enhance_batch(self, wavs, lengths=None):
        """Clean speech of noisy speech.

        Arguments
        ---------
        wavs : torch.Tensor or array
            Waves (B, S) at 16 kHz.
        lengths : torch.Tensor or array, optional
            Relative lengths (B), or whole numbers of samples.

        Returns
        -------
        torch.Tensor
            Waves (B, S) at the level of the input, zero in the padding.

        Raises
        ------
        ValueError
            The model has no enhancement head, or a wave is shorter than 25 ms.
        """
        self.require("se")
        wavs, lengths = checked(wavs, lengths, self.device)
        if wavs.shape[1] <= self.window_seconds * SAMPLE_RATE:
            return self.one_pass(wavs, lengths, "se").waves.float()
        result = torch.zeros_like(wavs)
        jobs = [Job(wave[None]) for wave in unpadded(wavs, lengths)]
        for row, job in zip(result, self.done(jobs, ("se",), over_time=False)):
            enhanced = job.enhanced()[0]
            row[: len(enhanced)] = enhanced
        return result

    def enhance_file(self, path, output_filename=None, keep_rate=False, channels="mix"):
        """Clean speech of a recording.

        Arguments
        ---------
        path : str, Path, file object, bytes or tuple
            The recording; see :meth:`analyse_file`.
        output_filename : str or Path, optional
            Where the result is written as well; its suffix is the format.
        keep_rate : bool
            Write it at the recording's rate and length in place of 16 kHz.
        channels : str
            ``mix`` averages them into one, ``separate`` enhances each by itself.

        Returns
        -------
        torch.Tensor or None
            The wave (S) at 16 kHz, or (C, S) for separate channels; None where it was written and
            the recording is longer than ten minutes.

        Raises
        ------
        AudioError
            The recording cannot be read, or the result not written.
        """
        self.require("se")
        job = self.done(
            [GivenJob(path, output_filename, keep_rate, channels)], ("se",), over_time=False
        )[0]
        enhanced = job.enhanced()
        return enhanced if enhanced is None or channels == "separate" else enhanced[0]

    def classify_batch(self, wavs, wav_lens=None):
        """The emotion of waves; always one of the model's, also where nobody speaks.

        Arguments
        ---------
        wavs : torch.Tensor or array
            Waves (B, S) at 16 kHz.
        wav_lens : torch.Tensor or array, optional
            Relative lengths (B), or whole numbers of samples.

        Returns
        -------
        out_prob : torch.Tensor
            Calibrated probabilities (B, classes).
        score : torch.Tensor
            The highest of each (B).
        index : torch.Tensor
            Its index (B).
        text_lab : list of str
            Its label (B).

        Raises
        ------
        ValueError
            The model has no emotion head, or a wave is shorter than 25 ms.
        """
        self.require("ser")
        wavs, lengths = checked(wavs, wav_lens, self.device)
        if wavs.shape[1] > self.window_seconds * SAMPLE_RATE:
            return self.classified([Job(wave[None]) for wave in unpadded(wavs, lengths)])
        logits = self.one_pass(wavs, lengths, "ser").logits.float()
        return self.named((logits / self.hparams.temperature).softmax(dim=-1))

    def classify_file(self, path):
        """The emotion of a recording, channels mixed; see :meth:`classify_batch` (B = 1)."""
        self.require("ser")
        return self.classified([GivenJob(path, keep=False)])

    def classified(self, jobs):
        """The emotions of recordings of any length: the mean over their windows."""
        jobs = self.done(jobs, ("ser",), over_time=False)
        rows = [torch.from_numpy(job.assembler.mean("probabilities", 0)) for job in jobs]
        return self.named(torch.stack(rows).float().to(self.device))

    def named(self, out_prob):
        """What SpeechBrain's classifiers return, of probabilities (B, classes)."""
        score, index = out_prob.max(dim=-1)
        return out_prob, score, index, self.hparams.label_encoder.decode_torch(index)

    def analyse_batch(self, wavs, lengths=None):
        """Everything there is to know of waves, from one pass of the network.

        Arguments
        ---------
        wavs : torch.Tensor or array
            Waves (B, S) at 16 kHz.
        lengths : torch.Tensor or array, optional
            Relative lengths (B), or whole numbers of samples.

        Returns
        -------
        list of Analysis
            One a wave.
        """
        wavs, lengths = checked(wavs, lengths, self.device)
        jobs = [Job(wave[None]) for wave in unpadded(wavs, lengths)]
        return [job.analyses()[0] for job in self.done(jobs, self.tasks, batch_size=len(jobs))]

    def analyse_file(
        self,
        path,
        output_filename=None,
        keep_rate=False,
        channels="mix",
        batch_size=1,
        progress=False,
    ):
        """Everything there is to know of a recording of any length, from one pass over it.

        Arguments
        ---------
        path : str, Path, file object, bytes or tuple
            The recording: a path; a file object that was opened for bytes, or bytes, in a format
            that soundfile reads; or (array, rate), the array (n) or (n, channels) of floats, full
            scale 1, or of int16 or int32.
        output_filename : str or Path, optional
            Where the enhanced recording is written.
        keep_rate : bool
            Write it at the recording's rate and length in place of 16 kHz.
        channels : str
            ``mix`` averages them into one, ``separate`` analyses each by itself, as a call with
            one speaker a channel needs.
        batch_size : int
            Windows that are heard at once; more than one pays on a GPU.
        progress : bool
            Show the seconds heard so far.

        Returns
        -------
        Analysis or list of Analysis
            For separate channels, one a channel. ``enhanced`` is None where it was written and the
            recording is longer than ten minutes.

        Raises
        ------
        AudioError
            The recording cannot be read, or the result not written.
        ValueError
            An enhanced recording is asked of a model without an enhancement head.
        """
        if output_filename is not None:
            self.require("se")
        job = GivenJob(path, output_filename, keep_rate, channels)
        (job,) = self.done([job], self.tasks, batch_size, progress)
        return job.analyses() if channels == "separate" else job.analyses()[0]

    def analyse_files(self, paths, enhanced=False, channels="mix", batch_size=1, progress=False):
        """Everything there is to know of many recordings; one that fails stops no other.

        Arguments
        ---------
        paths : iterable
            Recordings, each as :meth:`analyse_file` takes them.
        enhanced : bool
            Keep the enhanced waves; those of many recordings may not fit into memory.
        channels, batch_size, progress
            See :meth:`analyse_file`; windows of several recordings go through together.

        Returns
        -------
        Analyses
            A list of Analysis in the order of the recordings, for separate channels one a channel,
            and its table: ``to_frame()``. ``error`` says why a recording failed.
        """
        if isinstance(paths, (str, os.PathLike, bytes)):
            raise SettingsError(
                f"analyse_files takes a list of recordings, not {paths!r}: give [{paths!r}], or of "
                "a folder what Path(folder).rglob('*.wav') finds."
            )
        found = Analyses()
        with tqdm(disable=not progress, unit="s", desc="heard") as bar:
            jobs = (GivenJob(path, channels=channels, keep=enhanced) for path in paths)
            for job in self.analyse_jobs(jobs, batch_size, bar.update):
                found += job.analyses() if job.error is None else [job.failed()]
        return found

    def analyse_jobs(self, jobs, batch_size=1, heard_seconds=None):
        """Analyses many recordings, their windows in batches; one that fails stops no other.

        Arguments
        ---------
        jobs : iterable of FileJob
            The recordings.
        batch_size : int
            Windows that are heard at once; more than one pays on a GPU.
        heard_seconds : callable, optional
            Told the seconds of sound in every window that is done.

        Yields
        ------
        FileJob
            When done: ``error``, or else ``analyses()``.
        """
        return self.listen(jobs, self.tasks, batch_size, True, heard_seconds)

    def forward(self, wavs, lengths=None):
        """The same as :meth:`analyse_batch`."""
        return self.analyse_batch(wavs, lengths)
