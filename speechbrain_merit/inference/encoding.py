"""What the network makes of speech before it decides: an embedding, and features of each frame."""

from typing import NamedTuple

import torch

from speechbrain_merit.inference.batches import checked, unpadded
from speechbrain_merit.inference.given import GivenJob
from speechbrain_merit.inference.hearing import stacked
from speechbrain_merit.inference.jobs import Job, run
from speechbrain_merit.lobes.cascade import Cascade
from speechbrain_merit.lobes.spectrum import FRAME_RATE, SAMPLE_RATE, frame_mask


class Encoded(NamedTuple):
    """``embedding`` (B, E) and ``frames`` (B, T, D'), float32; ``counts`` (B) of true frames."""

    embedding: torch.Tensor
    frames: torch.Tensor
    counts: torch.Tensor


@torch.inference_mode()
def encode(model, wavs, lengths, task):
    """Encodes waves (B, S) of relative lengths (B), for one task; see :class:`Encoding`.

    Example
    -------
    >>> from speechbrain_merit.lobes.emotion import EmotionHead
    >>> from speechbrain_merit.lobes.encoders import build_encoder
    >>> from speechbrain_merit.lobes.integration import WeightedSum
    >>> from speechbrain_merit.lobes.merit import Merit
    >>> head = EmotionHead(96, n_classes=4, hidden=64)
    >>> model = Merit(build_encoder("mini"), WeightedSum(3, 96), None, head).eval()
    >>> embedding, frames, counts = encode(model, torch.randn(2, 16000), None, "ser")
    >>> embedding.shape, frames.shape
    (torch.Size([2, 64]), torch.Size([2, 50, 96]))
    """
    if isinstance(model, Cascade):
        model, wavs = model.part(wavs, lengths, task)
    _, hidden, lengths = model.hear(wavs, lengths)
    frames = getattr(model.integration(hidden, lengths, (task,)), task)
    valid = frame_mask(lengths, *frames.shape[:2], device=frames.device)
    head = model.emotion if model.emotion is not None else model.attributes
    if task == "ser":
        embedding = head.fc(head.pool(frames, lengths))
    else:
        embedding = frames.float().sum(dim=1) / valid.sum(dim=1, keepdim=True)
    return Encoded(embedding.float(), frames.float(), valid.sum(dim=1))


class Encodings:
    """Puts what windows were encoded to together, for :func:`speechbrain_merit.inference.jobs.run`.

    Arguments
    ---------
    n_channels : int
        How many.
    sinks : list
        Not called.
    keep_frames : bool
        Whether frames are wanted: they grow with the recording.
    """

    def __init__(self, n_channels, sinks=(), keep_frames=False):
        self.keep_frames, self.parts = keep_frames, []
        self.total, self.weight = 0.0, 0

    def add(self, window, heard):
        """Takes what was made of the next window: (embedding, frames) of its first channel."""
        embedding, frames = heard[0]
        weight = window.end - window.begin
        self.total, self.weight = self.total + weight * embedding.double(), self.weight + weight
        if self.keep_frames:
            begin, end = (at * FRAME_RATE // SAMPLE_RATE for at in (window.begin, window.end))
            self.parts.append(frames[begin : None if window.last else end])

    def result(self):
        """The frames (T, D'), or the embedding (1, E), the mean over windows by their seconds."""
        if self.keep_frames:
            return torch.cat(self.parts)
        return (self.total / self.weight).float()[None]


class Encoding:
    """The part of the interface that encodes, as SpeechBrain's encoders do."""

    def encode_batch(self, wavs, wav_lens=None, frames=False, task=None):
        """Embeddings of utterances, or features of their frames.

        Arguments
        ---------
        wavs : torch.Tensor or array
            Waves (B, S) at 16 kHz.
        wav_lens : torch.Tensor or array, optional
            Relative lengths (B), or whole numbers of samples.
        frames : bool
            Features of each frame in place of one embedding.
        task : str, optional
            ``ser`` or ``se``: whose frames these are. The first that the model has, unless given.

        Returns
        -------
        torch.Tensor
            Embeddings (B, 1, E): for ``ser`` the hidden layer of the emotion head, of which its
            logits are a linear function (its attributes' head, where it has that alone); for
            ``se`` the mean over frames. Or frames (B, T, D'), what the experts gave, 50 a second,
            zero in the padding. The embedding of a wave that is longer than ``window_seconds`` is
            the mean over its windows, by their seconds.

        Raises
        ------
        ValueError
            The model has no head for the task, or a wave is shorter than 25 ms.
        """
        task = self.encoded_task(task)
        wavs, lengths = checked(wavs, wav_lens, self.device)
        if wavs.shape[1] > self.window_seconds * SAMPLE_RATE:
            jobs = [Job(wave[None]) for wave in unpadded(wavs, lengths)]
            rows = self.encoded(jobs, frames, task)
            return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(self.device)
        lengths = None if lengths is None else lengths.float().to(self.device)
        found = encode(self.model, wavs, lengths, task)
        return found.frames if frames else found.embedding[:, None]

    def encode_file(self, path, frames=False, task=None):
        """The same of a recording, channels mixed: (1, 1, E), or (1, T, D') with ``frames``.

        Arguments
        ---------
        path : str, Path, file object, bytes or tuple
            The recording; see :meth:`MeritInterface.analyse_file`.
        frames, task : bool, str
            See :meth:`encode_batch`.

        Raises
        ------
        AudioError
            The recording cannot be read.
        """
        task = self.encoded_task(task)
        return self.encoded([GivenJob(path, keep=False)], frames, task)[0][None].to(self.device)

    def encoded_task(self, task):
        """The task to encode for; ValueError where the model has none such."""
        task = task or ("ser" if "ser" in self.tasks else "se")
        if task not in self.tasks:
            raise ValueError(f"task is {task!r}: this model has {', '.join(self.tasks)}.")
        return task

    def encoded(self, jobs, frames, task):
        """The result of each recording, on the CPU."""

        def through(windows):
            found = encode(self.model, *stacked(windows, self.device)[:2], task)
            each = iter(zip(found.embedding.cpu(), found.frames.cpu(), found.counts.tolist()))
            return [
                [
                    (embedding, rows[:count])
                    for (embedding, rows, count), _ in zip(each, window.wavs)
                ]
                for window in windows
            ]

        def assembler(n_channels, sinks):
            return Encodings(n_channels, sinks, frames)

        results = []
        for job in run(jobs, through, assembler, self.window_seconds):
            if job.error is not None:
                raise job.error
            results.append(job.assembler.result())
        return results
