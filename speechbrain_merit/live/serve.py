"""``merit serve``: the service on a port, from start to an end in which no request is lost."""

import signal
import socket

from speechbrain_merit.errors import SettingsError

DESCRIPTION = """\
Answers recordings over HTTP: POST /analyse (multipart field "file", once or repeated) gives the
JSON of merit analyse; GET /health, GET /version; a websocket /stream; all described at /docs.
It has no state: several machines are several of it behind a balancer. Needs
pip install "speechbrain_merit[serve]".
"""
EXAMPLES = """\
examples:
  merit serve
  merit serve --host 0.0.0.0 --port 8000 --model my_model --queue 64
  curl -F file=@call.wav http://127.0.0.1:8000/analyse
"""


def add_arguments(parser, positive):
    """The arguments of ``merit serve``; ``positive`` reads a whole number from 1 on."""
    parser.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=8000, help="0 takes a free one (default: %(default)s)"
    )
    parser.add_argument("--model", metavar="DIR", help="a pretrained folder (default: merit-tiny)")
    parser.add_argument("--device", help="cpu, cuda, … (default: a GPU if there is one)")
    given = {"type": positive, "metavar": "N"}
    parser.add_argument(
        "--batch_size", default=8, help="windows heard in one pass (default: %(default)s)", **given
    )
    parser.add_argument(
        "--queue",
        default=32,
        help="requests inside at once, others are answered 503 (default: %(default)s)",
        **given,
    )
    parser.add_argument(
        "--max_mb", default=200, help="megabytes of a request (default: %(default)s)", **given
    )
    parser.add_argument(
        "--max_seconds", default=3600, help="of a recording (default: %(default)s)", **given
    )
    parser.add_argument(
        "--timeout", default=600, help="seconds an answer may take (default: %(default)s)", **given
    )
    parser.add_argument(
        "--patience", default=30, help="seconds a client may pause (default: %(default)s)", **given
    )
    parser.add_argument(
        "--streams", default=4, help="open at once, beside requests (default: %(default)s)", **given
    )


def serve(arguments):
    """Runs ``merit serve`` until SIGTERM or Ctrl-C; requests that are inside are answered first.

    Arguments
    ---------
    arguments : argparse.Namespace
        As :func:`add_arguments` makes it.

    Returns
    -------
    int
        0.

    Raises
    ------
    SettingsError
        The packages of the extra are missing, or the address cannot be had.
    PretrainedError
        The model cannot be loaded.
    """
    try:
        import uvicorn

        from speechbrain_merit.live.service import make_app
    except ImportError as error:
        raise SettingsError(
            f"merit serve needs the packages of an extra ({error.name} is missing): "
            'pip install "speechbrain_merit[serve]"'
        ) from error
    from speechbrain_merit.inference.command import load

    listening = listen(arguments.host, arguments.port)
    merit = load(arguments.model, arguments.device)
    config = uvicorn.Config(
        make_app(merit, arguments),
        log_level="warning",
        timeout_graceful_shutdown=arguments.timeout,
        ws_max_size=2**20,  # bytes of a block of a stream
    )
    # uvicorn hands the signal on when all is answered: that is no failure
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    host, port = listening.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    print(f"merit: http://{host}:{port}/docs", flush=True)
    uvicorn.Server(config).run(sockets=[listening])
    return 0


def listen(host, port):
    """A socket at an address."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise SettingsError(f"{host}, port {port}: cannot be listened at: {error}") from error
