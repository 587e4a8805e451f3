"""What the page shows of a recording: sound before and after, pictures, the emotion over time."""

from html import escape
from pathlib import Path

import numpy as np
import torch
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from speechbrain_merit.errors import AudioError
from speechbrain_merit.inference.jobs import KEPT_SECONDS
from speechbrain_merit.inference.picture import COLOURS, Picture
from speechbrain_merit.inference.timeline import NO_SPEECH
from speechbrain_merit.live.uploads import Upload
from speechbrain_merit.lobes.spectrum import FRAME_RATE, SAMPLE_RATE

TASKS = {"se": "enhancement", "ser": "emotion"}
SHOWN_SEGMENTS = 100  # of the table; the strip of the picture has all
LOUDEST = 0.95  # of full scale


class Watched(Upload):
    """A recording of which the page keeps what came in, and a picture.

    Arguments
    ---------
    path : str or Path
        Where the page put it; it is copied.
    folder : str or Path
        Of the page.
    """

    def __init__(self, path, folder):
        with open(path, "rb") as file:
            super().__init__(file, Path(path).name, folder)
        self.keep, self.heard = True, []

    def blocks(self, assembler):
        """Opens the recording."""
        self.picture = Picture(self.path, "mix")
        self.picture.title = self.name
        self.sinks += [self.picture.add, lambda noisy, enhanced: self.heard.append(noisy)]
        yield from super().blocks(assembler)


def analysed(merit, path, folder):
    """A recording of the page, heard; raises AudioError, with the name that its owner knows."""
    job = None
    try:
        job = Watched(path, folder)
        job.check(KEPT_SECONDS)
        merit.done([job], merit.tasks)
        return job
    except (AudioError, OSError) as error:
        raise AudioError(job.sentence(error) if job else str(error)) from error
    finally:
        if job is not None:
            job.release()


def players(job):
    """Sound before and after for two players: (rate, int16), with one gain, so that none clips.

    After is None for a model that cleans nothing.
    """
    waves = [torch.cat(job.heard, dim=1)[0], job.analyses()[0].enhanced]
    peak = max(float(wave.abs().max()) for wave in waves if wave is not None)
    gain = min(1.0, LOUDEST / max(peak, 1e-9)) * (2**15 - 1)
    return [
        None if wave is None else (SAMPLE_RATE, (wave * gain).round().numpy().astype(np.int16))
        for wave in waves
    ]


def sentence(analysis):
    """What there is to say in a line, as Markdown."""
    facts = [f"{analysis.duration:.1f} s", f"{analysis.speech_seconds:.1f} s of speech"]
    if analysis.snr_db is not None:
        facts.append(f"SNR about {analysis.snr_db:.0f} dB")
    name = "no speech" if analysis.emotion == NO_SPEECH else analysis.emotion
    warnings = "".join(f"\n\n⚠ {escape(text)}" for text in analysis.warnings)
    return f"## {escape(name or 'cleaned')}\n\n{', '.join(facts)}{warnings}"


def timeline(segments):
    """Segments as a table in Markdown.

    Example
    -------
    >>> from speechbrain_merit.inference.timeline import Segment
    >>> print(timeline([Segment(0, 2.5, "sad", 0.81)]))
    | from (s) | to (s) | emotion | score |
    | --- | --- | --- | --- |
    | 0.0 | 2.5 | sad | 0.81 |
    """
    lines = ["| from (s) | to (s) | emotion | score |", "| --- | --- | --- | --- |"]
    for segment in segments[:SHOWN_SEGMENTS]:
        score = "" if segment.score is None else f"{segment.score:.2f}"
        name = escape(segment.emotion).replace("|", "\\|")
        lines.append(f"| {segment.start:.1f} | {segment.end:.1f} | {name} | {score} |")
    more = len(segments) - SHOWN_SEGMENTS
    return "\n".join(lines) + (f"\n\n… and {more} more" if more > 0 else "")


def expert_figure(analysis):
    """Which expert each task listened to, frame by frame; None for a model without experts."""
    if not analysis.experts:
        return None
    count = 1 + max(int(chosen.max()) for chosen in analysis.experts.values())
    colours = ListedColormap([COLOURS[index % len(COLOURS)] for index in range(count)])
    rows = len(analysis.experts)
    figure = Figure(figsize=(10, 0.55 * rows + 0.8), layout="constrained")
    panels = figure.subplots(rows, 1, squeeze=False, sharex=True)[:, 0]
    norm = BoundaryNorm(np.arange(count + 1) - 0.5, count)
    for panel, (task, chosen) in zip(panels, analysis.experts.items()):
        extent = (0, len(chosen) / FRAME_RATE, 0, 1)
        image = panel.imshow(
            chosen[None], aspect="auto", cmap=colours, norm=norm, extent=extent, resample=False,
            interpolation="nearest",
        )  # fmt: skip
        panel.set(yticks=[])
        shares = np.bincount(chosen, minlength=count) / len(chosen)
        text = ", ".join(f"{index}: {share:.0%}" for index, share in enumerate(shares))
        title = f"experts of {TASKS[task]} ({text})"
        panel.set_title(title, fontsize=9, loc="left")
        panel.tick_params(labelsize=8)
    panels[-1].set_xlabel("seconds", fontsize=9)
    bar = figure.colorbar(image, ax=list(panels), ticks=range(count), aspect=8)
    bar.ax.tick_params(labelsize=8)
    return figure
