"""``merit demo``: a page on this machine, and for it alone."""

import os
import signal
import socket
import tempfile
import threading
from pathlib import Path

from speechbrain_merit.errors import SettingsError

ADDRESS = "127.0.0.1"
DESCRIPTION = """\
A page to try it: record or drop a file, hear it before and after, look at spectrograms, emotions
and experts; and a live tab for the microphone. Everything stays on this machine: the page listens
at 127.0.0.1 alone, loads nothing from elsewhere, and reports nothing. Needs
pip install "speechbrain_merit[demo]".
"""
EXAMPLES = """\
examples:
  merit demo
  merit demo --model my_model --port 0
"""
#: Read by Gradio when it is imported.
SILENT = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SHARE": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
LARGEST_FILE = "500mb"
PATIENCE = 60  # seconds that a microphone may send nothing


def add_arguments(parser):
    """The arguments of ``merit demo``."""
    parser.add_argument(
        "--port", type=int, default=7860, help="0 takes a free one (default: %(default)s)"
    )
    parser.add_argument("--model", metavar="DIR", help="a pretrained folder (default: merit-tiny)")
    parser.add_argument("--device", help="cpu, cuda, … (default: a GPU if there is one)")
    parser.add_argument(
        "--latency",
        type=float,
        default=0.75,
        metavar="SECONDS",
        help="of the live tab, 0.25 to 10 (default: %(default)s)",
    )


def demo(arguments):
    """Runs ``merit demo`` until Ctrl-C.

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
        The packages of the extra are missing, or the port is taken.
    PretrainedError
        The model cannot be loaded.
    """
    os.environ.update(SILENT)
    for name in ("SIGTERM", "SIGHUP"):  # a terminal that is closed: as Ctrl-C, so that all goes
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="merit-", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder  # what was dropped goes when the page ends
        try:
            import gradio as gr
            from fastapi import WebSocket
            from fastapi.routing import APIWebSocketRoute

            from speechbrain_merit.live.demo_page import make_page
            from speechbrain_merit.live.sockets import Connection
            from speechbrain_merit.live.worker import Worker
        except ImportError as error:
            raise SettingsError(
                f"merit demo needs the packages of an extra ({error.name} is missing): "
                'pip install "speechbrain_merit[demo]"'
            ) from error
        from speechbrain_merit.inference.command import load

        port = free_port(arguments.port)
        merit = load(arguments.model, arguments.device)
        page, worker = make_page(merit, folder, arguments.latency), Worker(merit)
        script = Path(__file__).with_name("live.js").read_text(encoding="utf-8")
        app, _, _ = page.launch(
            server_name=ADDRESS,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            ssr_mode=False,
            run_history=False,
            footer_links=[],
            max_file_size=LARGEST_FILE,
            theme=gr.themes.Default(  # fonts that every machine has
                font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
            ),
            head=f"<script>{script}</script>",
        )

        async def stream(client: WebSocket):
            await Connection(client, worker, PATIENCE).run(places_left=True)

        app.router.routes.insert(0, APIWebSocketRoute("/stream", stream))  # before Gradio's own
        print(f"merit: http://{ADDRESS}:{port}", flush=True)
        try:
            threading.Event().wait()
        finally:
            page.close(verbose=False)


def free_port(port):
    """The port, or a free one for 0; raises SettingsError where it is taken."""
    try:
        with socket.create_server((ADDRESS, port)) as found:
            return found.getsockname()[1]
    except (OSError, OverflowError) as error:
        raise SettingsError(
            f"port {port}: cannot be listened at ({error}): give another --port, or 0."
        ) from error
