"""The authors' released checkpoints as pretrained folders that MeritInterface loads offline.

The authors release Sparse MERIT as ``RogerTzeng/Sparse-MERIT`` on the Hugging Face hub: files at
the root, and a folder for each training run. What stands in them is in
:mod:`speechbrain_merit.released.keys`.
"""

from pathlib import Path

from transformers import WavLMConfig, WavLMModel

from speechbrain_merit.audio.reading import read_audio
from speechbrain_merit.errors import AudioError, ConvertError, UnreadableError
from speechbrain_merit.export import folder as export
from speechbrain_merit.lobes.emotion import EmotionHead
from speechbrain_merit.lobes.enhancement import EnhancementHead
from speechbrain_merit.lobes.integration import MixtureOfExperts
from speechbrain_merit.lobes.level import CorpusStatistics
from speechbrain_merit.lobes.merit import Merit
from speechbrain_merit.lobes.self_supervised import SelfSupervisedHidden
from speechbrain_merit.lobes.spectrum import SAMPLE_RATE
from speechbrain_merit.released import files, keys
from speechbrain_merit.released.report import Report, compare_with_start, expert_use
from speechbrain_merit.released.safe import read_statistics

ROUTINGS = ("hard", "dense")
WINDOW_SECONDS = 12  # the longest utterance in training; longer recordings are heard in windows

CARD = """\
# Sparse MERIT, as its authors released it

Joint speech enhancement and speech emotion recognition: weights of the run `{run}` of
`RogerTzeng/Sparse-MERIT`, converted by speechbrain_merit. The method is of J.-T. Tzeng, C. Busso
and C.-C. Lee (arXiv 2509.08470); the weights stay under their owners' terms.

- Emotions: {labels}, of MSP-Podcast.
- Input: 16 kHz, mono, at the level of the recordings in training; a gain changes the result.
- Trained on utterances up to 12 s, in noise.

What the files hold:

```
{report}
```
"""


def add_arguments(parser):
    """Adds what :func:`convert` takes to an ``argparse`` parser; its ``run`` as ``run_name``."""
    parser.add_argument("src", metavar="SRC", help="the downloaded repository, or one run folder")
    parser.add_argument("out", metavar="OUT", help="the pretrained folder to make")
    parser.add_argument(
        "--run", dest="run_name", metavar="NAME", help="the run, where SRC holds several"
    )
    parser.add_argument(
        "--routing",
        choices=ROUTINGS,
        default="hard",
        help="how the run was trained, which no file tells (default: hard, that is Sparse MERIT)",
    )
    parser.add_argument("--wave", metavar="FILE", help="report the experts' use on this recording")


def convert(src, out, run=None, routing="hard", wave=None):
    """Makes a pretrained folder of a released checkpoint.

    Arguments
    ---------
    src : str or Path
        The downloaded repository, or one of its run folders.
    out : str or Path
        The folder to make; appears whole or not at all.
    run : str, optional
        Name of the run folder, where ``src`` holds several.
    routing : str
        ``hard`` for Sparse MERIT, ``dense`` for Dense MERIT: their files look alike.
    wave : str or Path, optional
        A recording on which the use of the experts is reported.

    Returns
    -------
    Report
        What the checkpoint holds; ``str`` of it is a text.

    Raises
    ------
    ReleasedError
        Something is missing, misshaped, unreadable, or in the way; nothing was written.
    """
    if routing not in ROUTINGS:
        raise ConvertError(f"routing is {routing!r}: choose one of {', '.join(ROUTINGS)}.")
    out = Path(out)
    try:
        export.refuse_other_folders(out, overwrite=False)
        recording = None if wave is None else read_recording(wave)
        folder = files.find_run(src, run)
        mean, std = read_statistics(folder / files.STATISTICS)
        states = files.read_run(folder)
        cfg = files.read_cfg(folder, Path(src), folder.parent)
        sizes = keys.tell_sizes(states, **files.facts_of_cfg(cfg))
        weights, extra = keys.check_and_rename(states, sizes)
        model = build(sizes, routing, CorpusStatistics(mean, std))
        model.load_state_dict(weights)
        report = Report(
            run=folder.resolve().name,
            sizes=sizes,
            routing=routing,
            mean=mean,
            std=std,
            parameters={name: count_parameters(part) for name, part in model.named_children()},
            routers={
                task: compare_with_start(router.fc.weight)
                for task, router in model.integration.routers.items()
            },
            use=None if recording is None else expert_use(model, recording),
            wave=None if wave is None else Path(wave).name,
            extra=extra,
            notes=contradictions(cfg, sizes),
        )
        card = CARD.format(run=report.run, labels=", ".join(keys.LABELS), report=report)
    except FileExistsError as error:
        raise ConvertError(str(error)) from error
    facts = {"window_seconds": WINDOW_SECONDS}
    try:
        export.write_pretrained(out, model, list(keys.LABELS), card, facts=facts)
    except (OSError, RuntimeError) as error:  # torch's writer raises the latter on a full disk
        raise ConvertError(f"{out} could not be written, and is not there: {error}") from error
    return report


def build(sizes, routing, level):
    """The network of these sizes, with random weights, in evaluation mode.

    Arguments
    ---------
    sizes : speechbrain_merit.released.keys.Sizes
        From :func:`speechbrain_merit.released.keys.tell_sizes`.
    routing : str
        ``hard`` or ``dense``.
    level : CorpusStatistics
        The training set's.

    Returns
    -------
    Merit
    """
    config = WavLMConfig(
        hidden_size=sizes.width,
        num_hidden_layers=sizes.n_layers,
        num_attention_heads=sizes.heads,
        intermediate_size=sizes.feed_forward,
        conv_dim=sizes.channels,
        conv_kernel=sizes.kernels,
        conv_stride=sizes.strides,
        conv_bias=False,
        num_conv_pos_embeddings=sizes.position_kernel,
        num_conv_pos_embedding_groups=sizes.width // sizes.position_width,
        num_buckets=sizes.n_buckets,
        max_bucket_distance=sizes.max_distance,
        feat_extract_norm="layer",  # these two make the form of WavLM-Large
        do_stable_layer_norm=True,
    )
    # the waves come standardised by the corpus's statistics, and are not normalised again
    encoder = SelfSupervisedHidden(WavLMModel(config), normalise=False)
    mixture = MixtureOfExperts(
        sizes.n_hidden,
        sizes.width,
        n_experts=sizes.n_experts,
        routing=routing,
        expert_hidden=sizes.expert_hidden,
        out=sizes.out,
    )
    enhancement = EnhancementHead(sizes.out, sizes.enhancement_hidden, keys.LSTM_LAYERS)
    emotion = EmotionHead(sizes.out, len(keys.LABELS), sizes.emotion_hidden)
    return Merit(encoder, mixture, enhancement, emotion, level=level).eval()


def read_recording(path):
    """A recording as a wave (S) at 16 kHz."""
    try:
        return read_audio(str(path), SAMPLE_RATE)
    except AudioError as error:
        raise UnreadableError(str(error)) from error


def count_parameters(module):
    """How many numbers a module learns.

    Example
    -------
    >>> from torch import nn
    >>> count_parameters(nn.Linear(3, 2))
    8
    """
    return sum(parameter.numel() for parameter in module.parameters())


def contradictions(cfg, sizes):
    """A remark for each size on which a ``cfg`` and the tensors differ."""
    return tuple(
        f"{files.ENCODER_FILE} says {theirs} {cfg[theirs]}, the run's tensors say "
        f"{getattr(sizes, ours)}: the tensors count."
        for theirs, ours in files.SHOWN.items()
        if theirs in cfg and cfg[theirs] != getattr(sizes, ours)
    )
