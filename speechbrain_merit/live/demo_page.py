"""The page of ``merit demo``: a recording before and after, and what a microphone hears."""

import gradio as gr
import numpy as np

from speechbrain_merit.errors import MeritError
from speechbrain_merit.live.samples import RATE, SAMPLES, sample
from speechbrain_merit.live.shown import (
    analysed,
    expert_figure,
    players,
    sentence,
    timeline,
)

INTRODUCTION = """\
# speechbrain_merit
Clean speech and its emotion. Everything is computed on this machine, and nothing leaves it.
"""
#: The live tab; live.js fills it. Gradio's own microphone drops blocks where answers are slow.
LIVE = """\
<div id="merit-live" data-latency="{latency}">
<button id="merit-button" onclick="meritLive()" style="padding:.5em 1.5em;border:1px solid #888;
border-radius:.4em;cursor:pointer">Start</button>
<h2 id="merit-now" style="font-size:2em;margin:.5em 0 0">The microphone is off.</h2>
<div id="merit-facts">&nbsp;</div>
<div id="merit-bars" style="margin:1em 0;min-height:6em"></div>
<div id="merit-strip" style="display:flex;height:1.5em"></div>
<div id="merit-players" hidden style="margin-top:1em">
<div>Before</div><audio id="merit-before" controls></audio>
<div>After</div><audio id="merit-after" controls></audio></div>
</div>
"""
NOTHING = (None, None, None, None, None, "")


def make_page(merit, folder, latency):
    """The page.

    Arguments
    ---------
    merit : MeritInterface
        The model.
    folder : str or Path
        Where recordings lie while they are heard.
    latency : float
        Seconds, of the live tab.

    Returns
    -------
    gradio.Blocks
    """
    with gr.Blocks(title="speechbrain_merit", analytics_enabled=False) as page:
        gr.Markdown(INTRODUCTION)
        with gr.Tab("A recording"):
            recording_tab(merit, folder)
        if set(merit.tasks) >= {"se", "ser"}:
            with gr.Tab("Live"):
                gr.HTML(LIVE.format(latency=latency))
    return page


def recording_tab(merit, folder):
    """A file or a recording of the moment goes in; sound, pictures and the label come out."""
    with gr.Row():
        with gr.Column(scale=3):
            given = gr.Audio(
                sources=["upload", "microphone"],
                type="filepath",
                label="Drop a file, or record",
                editable=False,
                buttons=[],
            )
        with gr.Column(scale=2):
            gr.Markdown("Or try a synthetic voice:")
            buttons = [gr.Button(name, size="sm") for name in SAMPLES]
    told = gr.Markdown(elem_id="told")
    with gr.Row():
        with gr.Column(scale=3):
            shared = {"interactive": False, "buttons": ["download"]}
            before = gr.Audio(label="Before", elem_id="before", **shared)
            after = gr.Audio(label="After", elem_id="after", **shared)
        with gr.Column(scale=2):
            label = gr.Label(label="Emotion", elem_id="emotion")
    segments = gr.Markdown(elem_id="timeline")
    # without labels, which would lie over them
    picture = gr.Plot(show_label=False, elem_id="picture")
    experts = gr.Plot(show_label=False, elem_id="experts")

    def hear(path):
        if path is None:
            return ("", *NOTHING)
        try:
            job = analysed(merit, path, folder)
        except MeritError as error:
            return (f"## This cannot be heard\n\n{plain_markdown(error)}", *NOTHING)
        analysis = job.analyses()[0]
        figures = job.picture.figure([analysis]), expert_figure(analysis)
        sounds, table = players(job), timeline(analysis.segments)
        return (sentence(analysis), *sounds, analysis.probabilities, *figures, table)

    outputs = [told, before, after, label, picture, experts, segments]
    for event in (given.upload, given.stop_recording, given.clear):
        event(hear, given, outputs, api_visibility="private")
    for name, button in zip(SAMPLES, buttons):
        shown = button.click(
            lambda name=name: (RATE, whole_numbers(sample(name))),
            None,
            given,
            api_visibility="private",
        )
        shown.then(hear, given, outputs, api_visibility="private")


def whole_numbers(wave):
    """Samples as int16: the page would bring floats to full scale.

    Example
    -------
    >>> whole_numbers(np.array([0.5, 2.0])).tolist()
    [16384, 32767]
    """
    return (wave * 2**15).round().clip(-(2**15), 2**15 - 1).astype(np.int16)


def plain_markdown(text):
    """A text in which Markdown and HTML mean nothing.

    Example
    -------
    >>> plain_markdown("a*b <i>")
    'a&#42;b &#60;i&#62;'
    """
    return "".join(
        letter if letter.isalnum() or letter in " .,:;()'-/\n" else f"&#{ord(letter)};"
        for letter in str(text)
    )
