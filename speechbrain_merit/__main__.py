"""The command line: ``merit analyse``, ``listen``, ``demo``, ``serve``, ``export``, ``convert``.

Also ``python -m speechbrain_merit …``. What is heavy is imported by the command that needs it.
"""

import argparse
import sys

from speechbrain_merit import __version__
from speechbrain_merit.errors import SettingsError
from speechbrain_merit.live import demo, serve

#: 0: all well; 1: some recordings could not be analysed; 2: it could not start, as argparse has
#: it; 130: interrupted, as shells have it.
OK, SOME_FAILED, NOT_STARTED, INTERRUPTED = 0, 1, 2, 130
#: Options of ``merit listen --stdin``, and what they are unless given.
RAW_SAMPLES = {"rate": 16000, "channels": 1, "format": "s16le"}

EXAMPLES = """\
examples:
  merit analyse interview.mp3
  merit analyse recordings/ --out results --plot
  merit analyse call.wav --channels separate        # one speaker a channel
  merit analyse talk.flac --model my_model --keep_rate
  merit listen --out clean.wav                      # a microphone
  merit export results/merit/RAVDESS/1234 my_model --precision fp16
  merit convert Sparse-MERIT released_model
"""
LISTEN = """\
Cleans speech and shows its emotion while the sound comes from a microphone, or as raw samples on
standard input. Ctrl-C ends it; --out is whole then.
"""
LISTEN_EXAMPLES = """\
examples:
  merit listen --out clean.wav
  ffmpeg -i talk.mp4 -f s16le -ar 16000 -ac 1 - | merit listen --stdin --latency 2
  arecord -f S16_LE -r 48000 -c 2 -t raw | merit listen --stdin --rate 48000 --channels 2
"""
ANALYSE = """\
Cleans the speech of recordings and names its emotion, over time and in all.

For each recording, --out receives NAME_enhanced.wav, NAME.json and, with --plot, NAME.png; and
summary.csv in all. --model is the pretrained folder of a run, or of merit export; without it,
merit-tiny is used, which travels with the package. Its training data allow no commercial use.
"""
ANALYSE_EXAMPLES = """\
examples:
  merit analyse interview.mp3
  merit analyse recordings/ more/talk.wav --out results --plot
  merit analyse recordings/ --out results --skip_existing    # what is left to do
  merit analyse call.wav --channels separate

exit codes:
  0 all recordings were analysed, 1 some were not (they are listed), 2 it could not start,
  130 interrupted (what was finished is whole)
"""

EXPORT = """\
Makes a folder of a run's best checkpoint, or of a pretrained folder, that loads offline from
anywhere. With --onnx (needs pip install "speechbrain_merit[onnx]"), it holds graphs for ONNX
Runtime and merit_onnx.py, which needs NumPy, onnxruntime and soundfile alone.
"""
EXPORT_EXAMPLES = """\
examples:
  merit export results/merit/RAVDESS/1234 my_model --precision fp16
  merit export my_model my_graphs --onnx
"""


def parser():
    """The parser of the whole command line."""
    top = argparse.ArgumentParser(
        prog="merit",
        description="Speech enhancement and emotion recognition in one pass (Sparse MERIT).",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    version = f"speechbrain_merit {__version__}"
    top.add_argument("--version", action="version", version=version)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    analyse = commands.add_parser(
        "analyse",
        aliases=["analyze"],
        help="clean recordings and name their emotions",
        description=ANALYSE,
        epilog=ANALYSE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_analyse_arguments(analyse)
    analyse.add_argument("--version", action="version", version=version)
    analyse.set_defaults(run=run_analyse)

    listen = commands.add_parser(
        "listen",
        help="hear a microphone, or raw samples on standard input",
        description=LISTEN,
        epilog=LISTEN_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_listen_arguments(listen)
    listen.set_defaults(run=run_listen)

    export = commands.add_parser(
        "export",
        help="make a pretrained folder of a finished run, or graphs that run without PyTorch",
        description=EXPORT,
        epilog=EXPORT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    export.add_argument(
        "source", metavar="RUN_OR_FOLDER", help="the folder of a run, or a pretrained folder"
    )
    export.add_argument("out", metavar="OUT", help="the folder to make")
    export.add_argument(
        "--onnx",
        action="store_true",
        help="graphs for ONNX Runtime and a script for them, in place of a pretrained folder",
    )
    export.add_argument(
        "--precision",
        choices=("fp32", "fp16", "int8"),
        default="fp32",
        help="of the weights (default: fp32, bit-equal to what was trained); no fp16 in ONNX",
    )
    export.add_argument("--overwrite", action="store_true", help="replace OUT if it is there")
    export.set_defaults(run=run_export)

    page = commands.add_parser(
        "demo",
        help="a page on this machine to try it",
        description=demo.DESCRIPTION,
        epilog=demo.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    demo.add_arguments(page)
    page.set_defaults(run=demo.demo)

    service = commands.add_parser(
        "serve",
        help="answer recordings over HTTP",
        description=serve.DESCRIPTION,
        epilog=serve.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    serve.add_arguments(service, positive)
    service.set_defaults(run=serve.serve)

    convert = commands.add_parser(
        "convert",
        help="make a pretrained folder of the authors' released checkpoints",
        description="Makes a pretrained folder of the authors' released checkpoints.",
        epilog="example:\n  merit convert Sparse-MERIT released_model",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    convert.set_defaults(run=run_convert)
    return top, convert


def add_analyse_arguments(parser):
    """The arguments of ``merit analyse``."""
    parser.add_argument("inputs", nargs="+", metavar="FILE_OR_FOLDER", help="recordings")
    parser.add_argument("--model", metavar="DIR", help="a pretrained folder, or a name on the hub")
    parser.add_argument(
        "--out", default="merit_output", metavar="DIR", help="results (default: %(default)s)"
    )
    parser.add_argument("--plot", action="store_true", help="draw a picture of each recording")
    parser.add_argument(
        "--channels",
        choices=("mix", "separate"),
        default="mix",
        help="mix all into one (default), or analyse each by itself",
    )
    parser.add_argument(
        "--keep_rate",
        action="store_true",
        help="write enhanced files at the rate of the recording in place of 16 kHz",
    )
    parser.add_argument(
        "--skip_existing",
        action="store_true",
        help="pass over recordings whose results are there, of the same model and options",
    )
    parser.add_argument(
        "--device", help="cpu, cuda, cuda:1, mps … (default: a GPU if there is one)"
    )
    parser.add_argument(
        "--batch_size",
        type=positive,
        default=1,
        metavar="N",
        help="windows that are heard at once; more than 1 pays on a GPU (default: 1)",
    )
    parser.add_argument(
        "--jobs",
        type=positive,
        default=1,
        metavar="N",
        help="processes that share recordings and cores; each holds the model (default: 1)",
    )


def add_listen_arguments(parser):
    """The arguments of ``merit listen``."""
    parser.add_argument("--model", metavar="DIR", help="a pretrained folder, or a name on the hub")
    parser.add_argument("--device", help="cpu, cuda, … (default: a GPU if there is one)")
    parser.add_argument(
        "--latency",
        type=float,
        default=0.75,
        metavar="SECONDS",
        help="from sound to result, 0.25 to 10; longer is better (default: %(default)s)",
    )
    parser.add_argument("--out", metavar="FILE", help="write the clean speech; .wav, .flac, …")
    parser.add_argument(
        "--microphone", metavar="NAME", help="a name or number (default: the system's)"
    )
    parser.add_argument("--stdin", action="store_true", help="read raw samples, as of ffmpeg")
    raw = parser.add_argument_group("raw samples")
    raw.add_argument("--rate", type=positive, metavar="HZ", help="(default: 16000)")
    raw.add_argument("--channels", type=positive, metavar="N", help="(default: 1)")
    raw.add_argument("--format", choices=("s16le", "f32le"), help="(default: s16le)")


def positive(text):
    """A whole number from 1 on, of the command line."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no whole number from 1 on")
    return int(text)


def run_analyse(arguments):
    """``merit analyse``."""
    from speechbrain_merit.inference.command import analyse

    return analyse(arguments)


def run_listen(arguments):
    """``merit listen``."""
    from speechbrain_merit.live.listen import listen

    given = [f"--{name}" for name in RAW_SAMPLES if getattr(arguments, name) is not None]
    if given and not arguments.stdin:
        raise SettingsError(f"{', '.join(given)}: of raw samples alone; give --stdin as well.")
    if arguments.stdin and arguments.microphone is not None:
        raise SettingsError("--stdin or --microphone: give one of them.")
    for name, default in RAW_SAMPLES.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, default)
    return listen(arguments)


def run_export(arguments):
    """``merit export``."""
    from speechbrain_merit.training.exporting import export

    given = {k: v for k, v in vars(arguments).items() if k not in ("command", "run")}
    folder = export(**given)
    if arguments.onnx:
        print(f"{folder}: python {folder}/merit_onnx.py RECORDING --out DIR")
    else:
        way = f"MeritInterface.from_hparams, or merit analyse --model {folder}"
        print(f"{folder}: load it with {way}")
    return OK


def run_convert(arguments):
    """``merit convert``."""
    from speechbrain_merit.released.convert import convert

    given = {k: v for k, v in vars(arguments).items() if k not in ("command", "run", "run_name")}
    print(convert(**given, run=arguments.run_name))
    out = arguments.out
    print(f"{out}: load it with MeritInterface.from_hparams, or merit analyse --model {out}")
    return OK


def main(arguments=None):
    """Runs a command line; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    top, convert = parser()
    if arguments[:1] == ["convert"]:
        from speechbrain_merit.released.convert import add_arguments

        add_arguments(convert)
    parsed = top.parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):  # a terminal need not have all letters of a file's name
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return parsed.run(parsed)
    except KeyboardInterrupt:
        print("merit: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, OSError) as error:
        print(f"merit: {error}", file=sys.stderr)
        return NOT_STARTED


if __name__ == "__main__":
    sys.exit(main())
