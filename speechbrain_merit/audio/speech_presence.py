"""Whether there is speech at all, so that silence, noise and music get no emotion.

Two must agree that a stretch of a recording holds speech. Silero VAD (MIT licence, its weights
travel in its package) hears the input at a fixed level in frames of 32 ms: frames of a probability
from ``THRESHOLD`` on must add up to ``SHORTEST_SPEECH`` seconds, or to a quarter of a stretch that
is shorter than 1.6 s. And the enhancement head must have kept something: the enhanced signal lies
at most 12 dB below what was removed. A model without that head asks the detector alone.

How often that is right, on speech at each SNR, noise and music, is printed by
``benchmarks/speech_presence.py``; the values were chosen with it, on recordings for validation.
"""

import functools
import importlib.util
import warnings
from pathlib import Path

import torch

from speechbrain_merit.lobes.level import normalise_rms
from speechbrain_merit.lobes.spectrum import SAMPLE_RATE, sample_counts

FRAME = 512  # samples, which the detector hears at once
CONTEXT = 64  # samples before a frame, which it hears too
LEVEL = 0.1  # root mean square of ordinary recordings; a gain at the input then changes nothing
THRESHOLD = 0.3  # below Silero's 0.5, which loses one utterance of eight at -5 dB
LOWEST_SNR = -12.0  # dB, enhanced against removed
SHORTEST_SPEECH = 0.4  # seconds
SHORTEST_SHARE = 0.25  # of a stretch that is too short for the above


@functools.cache
def detector():
    """The detector's network, loaded once: one frame and a state in, a probability and a state out.

    Its file is read without its package, which sets torch's number of threads to 1 where it is
    imported; and without the class around the network, which keeps the state of the wave that it
    heard last, so that two threads would hear each other's.
    """
    (package,) = importlib.util.find_spec("silero_vad").submodule_search_locations
    # for good: a filter that is taken back is taken from other threads too
    warnings.filterwarnings("ignore", "`torch.jit.load`", DeprecationWarning)
    whole = torch.jit.load(Path(package) / "data" / "silero_vad.jit", map_location="cpu")
    return whole.eval()._model


@torch.inference_mode()
def speech_probabilities(wavs):
    """The probability of speech in each frame of 32 ms: waves (B, S), float32, to (B, frames).

    Example
    -------
    >>> speech_probabilities(torch.zeros(2, 16000)).shape
    torch.Size([2, 32])
    """
    network, found = detector(), []
    state, before = wavs.new_zeros(0), wavs.new_zeros(len(wavs), CONTEXT)
    wavs = torch.nn.functional.pad(wavs, (0, -wavs.shape[1] % FRAME))
    with torch.autocast("cpu", enabled=False):  # it computes in float32, whatever is around it
        for frame in wavs.split(FRAME, dim=1):
            probability, state = network(torch.cat([before, frame], dim=1), state)
            found.append(probability)
            before = frame[:, -CONTEXT:]
    return torch.cat(found, dim=1)


def speech_frames(wavs, lengths=None):
    """Which frames of 32 ms hold speech.

    Arguments
    ---------
    wavs : torch.Tensor
        Waves (B, S) at 16 kHz.
    lengths : torch.Tensor, optional
        Relative lengths (B).

    Returns
    -------
    torch.Tensor
        (B, frames), bool, False in the padding.

    Example
    -------
    >>> bool(speech_frames(torch.randn(2, 16000)).any())
    False
    """
    wavs, lengths = wavs.detach().cpu().float(), None if lengths is None else lengths.cpu()
    wavs, _ = normalise_rms(wavs, lengths, LEVEL)
    speech = speech_probabilities(wavs) >= THRESHOLD
    counts = sample_counts(wavs, lengths).unsqueeze(1)
    return speech & (torch.arange(speech.shape[1]) * FRAME < counts)


def holds_speech(frames, start, end, noisy=None, enhanced=None):
    """Whether a stretch of a wave holds speech; see the rule above.

    Arguments
    ---------
    frames : torch.Tensor
        Which frames hold speech (frames).
    start, end : float
        The stretch, in seconds.
    noisy, enhanced : torch.Tensor, optional
        The wave (S) and its enhanced form.

    Example
    -------
    >>> frames = torch.tensor([False] * 40 + [True] * 20)
    >>> holds_speech(frames, 0, 1), holds_speech(frames, 1, 1.9)
    (False, True)
    """
    inside = frames[int(start * SAMPLE_RATE / FRAME) : int(end * SAMPLE_RATE / FRAME) + 1]
    needed = min(SHORTEST_SPEECH, SHORTEST_SHARE * (end - start))
    if float(inside.sum()) * FRAME / SAMPLE_RATE < needed:
        return False
    if enhanced is None:
        return True
    part = slice(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE))
    kept = enhanced[part].square().sum()
    removed = (noisy[part] - enhanced[part]).square().sum()
    return bool(kept >= removed * 10 ** (LOWEST_SNR / 10))
