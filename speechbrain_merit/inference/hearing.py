"""From windows of recordings to what the network makes of them, in one pass for all tasks."""

import torch
from torch.nn.utils.rnn import pad_sequence

from speechbrain_merit.audio.speech_presence import FRAME, holds_speech, speech_frames
from speechbrain_merit.inference.analysis import Heard
from speechbrain_merit.inference.timeline import cells, section
from speechbrain_merit.lobes.spectrum import FRAME_RATE, SAMPLE_RATE


@torch.inference_mode()
def hear(model, windows, tasks, temperature=1.0, over_time=True):
    """Hears every channel of some windows as one batch.

    Arguments
    ---------
    model : Merit
        The network, in evaluation mode.
    windows : list of Window
        Of the same or of different recordings.
    tasks : tuple
        ``se``, ``ser`` or both; what is not asked for is not computed.
    temperature : float
        Divides the logits.
    over_time : bool
        Whether to look for speech, and at the emotion second by second.

    Returns
    -------
    list of list of Heard
        For each window, one for each channel.

    Example
    -------
    >>> from speechbrain_merit.lobes.emotion import EmotionHead
    >>> from speechbrain_merit.lobes.encoders import build_encoder
    >>> from speechbrain_merit.lobes.integration import MixtureOfExperts
    >>> from speechbrain_merit.lobes.merit import Merit
    >>> from speechbrain_merit.audio.windows import cut
    >>> model = Merit(build_encoder("mini"), MixtureOfExperts(3, 96), None, EmotionHead(96, 4))
    >>> windows = list(cut([torch.randn(2, 64000).numpy()], seconds=20))
    >>> left, right = hear(model.eval(), windows, tasks=("ser",))[0]
    >>> left.cells.shape, left.experts["ser"].shape, left.enhanced
    ((4, 4), (200,), None)
    """
    wavs, lengths, of = stacked(windows, next(model.parameters()).device)
    output = model(wavs, lengths, tasks)
    heard = [Heard() for _ in of]
    if "se" in tasks:
        for one, wave, window in zip(heard, output.waves.float().cpu(), of):
            one.enhanced = wave[: window.wavs.shape[1]]
    if output.logits is not None:
        for one, row in zip(heard, probabilities(output.logits, temperature)):
            one.probabilities = row.numpy()
    if output.attributes is not None:
        for one, row in zip(heard, output.attributes.float().cpu()):
            one.attributes = row.numpy()
    if over_time:
        add_experts(heard, of, output)
        add_speech(heard, of, wavs.cpu(), speech_frames(wavs, lengths))
        if output.logits is not None:
            add_cells(heard, of, output, model.emotion, temperature)
    channels = iter(heard)
    return [[next(channels) for _ in window.wavs] for window in windows]


def probabilities(logits, temperature):
    """Calibrated probabilities of logits (N, classes), float32 on the CPU whatever these are.

    Example
    -------
    >>> probabilities(torch.zeros(1, 2, dtype=torch.bfloat16), temperature=2.0)
    tensor([[0.5000, 0.5000]])
    """
    return (logits.float() / temperature).softmax(dim=-1).cpu()


def add_experts(heard, windows, output):
    """The expert with the largest weight in each frame of the part that counts."""
    for task, routing in output.routing.items():
        first = routing.weights.argmax(dim=-1, keepdim=True)
        chosen = routing.experts.gather(-1, first).squeeze(-1).to(torch.uint8).cpu()
        frames = output.frames.sum(dim=1).tolist()
        for one, window, row, count in zip(heard, windows, chosen, frames):
            begin, end = (at * FRAME_RATE // SAMPLE_RATE for at in (window.begin, window.end))
            one.experts[task] = row[begin : count if window.last else end].numpy()


def add_speech(heard, windows, wavs, speech):
    """Seconds of speech in the part that counts, and whether the section of each cell has some."""
    for one, window, wave, row in zip(heard, windows, wavs, speech):
        part = row[round(window.begin / FRAME) : -(-window.end // FRAME)]
        one.speech_seconds = float(part.sum()) * FRAME / SAMPLE_RATE
        sounds = wave[: window.wavs.shape[1]], one.enhanced
        one.cell_speech = [holds_speech(row, *place, *sounds) for place in cell_sections(window)]


def add_cells(heard, windows, output, head, temperature):
    """The probabilities of each cell: its section of the frames, pooled and classified."""
    frames = output.frames.sum(dim=1).tolist()
    pieces, counts = [], []
    for window, row, count in zip(windows, output.emotion_frames, frames):
        places = cell_sections(window)
        counts.append(len(places))
        for start, end in places:
            begin = min(round(start * FRAME_RATE), count - 1)
            pieces.append(row[begin : max(begin + 1, min(round(end * FRAME_RATE), count))])
    lengths = torch.tensor([len(piece) for piece in pieces], device=output.frames.device)
    logits = head(pad_sequence(pieces, batch_first=True), lengths.float() / lengths.max())
    for one, part in zip(heard, probabilities(logits, temperature).split(counts)):
        one.cells = part.numpy()


def cell_sections(window):
    """The sections of a window's cells, in seconds from its start."""
    start = window.start / SAMPLE_RATE
    known = start + window.wavs.shape[1] / SAMPLE_RATE
    places = [section(begin / SAMPLE_RATE, start, known) for begin, _ in cells(window)]
    return [(first - start, last - start) for first, last in places]


def stacked(windows, device):
    """All channels of all windows as a batch (B, S), relative lengths (B) or None, the windows."""
    rows = [(window, torch.from_numpy(wave)) for window in windows for wave in window.wavs]
    waves = [wave for _, wave in rows]
    counts = torch.tensor([len(wave) for wave in waves])
    equal = bool((counts == counts.max()).all())
    lengths = None if equal else (counts.float() / counts.max()).to(device)
    batch = pad_sequence(waves, batch_first=True).to(device)
    return batch, lengths, [window for window, _ in rows]
