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
import warnings

import torch

from speechbrain_merit.lobes.level import normalise_rms
from speechbrain_merit.lobes.spectrum import SAMPLE_RATE, sample_counts

FRAME = 512  # samples, which the detector hears at once
LEVEL = 0.1  # root mean square of ordinary recordings; a gain at the input then changes nothing
THRESHOLD = 0.3  # below Silero's 0.5, which loses one utterance of eight at -5 dB
LOWEST_SNR = -12.0  # dB, enhanced against removed
SHORTEST_SPEECH = 0.4  # seconds
SHORTEST_SHARE = 0.25  # of a stretch that is too short for the above


@functools.cache
def detector():
    """The detector, loaded once."""
    threads = torch.get_num_threads()
    try:
        from silero_vad import load_silero_vad
    finally:
        torch.set_num_threads(threads)  # which importing it sets to 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of how it finds and reads its file
        return load_silero_vad()


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
    with torch.inference_mode():
        speech = detector().audio_forward(wavs, SAMPLE_RATE) >= THRESHOLD
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
