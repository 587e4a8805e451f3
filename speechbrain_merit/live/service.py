"""The service: its routes, over one worker. No state outlives a request."""

import asyncio
from contextlib import asynccontextmanager
from typing import Annotated, Literal

from fastapi import FastAPI, File, Form, HTTPException, Request, UploadFile, WebSocket
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse

from speechbrain_merit import __version__
from speechbrain_merit.errors import AudioError
from speechbrain_merit.inference.results import maker
from speechbrain_merit.live.guard import Guard
from speechbrain_merit.live.page import page
from speechbrain_merit.live.schema import (
    Channels,
    Failed,
    Health,
    Problem,
    Recording,
    Version,
)
from speechbrain_merit.live.sockets import PROTOCOL, Connection
from speechbrain_merit.live.uploads import TooLongError, Upload, own_folder
from speechbrain_merit.live.worker import Worker

ANALYSE = "/analyse"
DESCRIPTION = "Cleans the speech of recordings and names its emotion."
MODES = {
    "mix": "all channels together",
    "separate": "each by itself, such as the two sides of a call",
}
NO_MODE = "channels is one of: " + "; ".join(f"{key}, {text}" for key, text in MODES.items()) + "."
NO_FILE = "Send one or more recordings as multipart/form-data, each in a field named 'file'."
#: Answers of ``POST /analyse`` beside 200.
PROBLEMS = {
    400: "The body is no multipart/form-data.",
    408: "The client stopped sending.",
    413: "Too many bytes, or a recording that lasts too long.",
    422: "No recording in the field `file`, or one that cannot be heard.",
    503: "All places are taken; `Retry-After` says when to ask again.",
    504: "It took too long.",
    507: "The service's disk takes no more.",
}


def make_app(merit, limits):
    """The ASGI application.

    Arguments
    ---------
    merit : MeritInterface
        The model.
    limits : argparse.Namespace
        ``queue``, ``max_mb``, ``max_seconds``, ``timeout``, ``patience``, ``streams``,
        ``batch_size``.

    Returns
    -------
    fastapi.FastAPI
        Starts and ends its worker with itself.
    """
    made = {channels: maker(merit, channels, keep_rate=False) for channels in MODES}

    @asynccontextmanager
    async def lifespan(app):
        with own_folder() as app.state.folder:
            app.state.worker = Worker(merit, limits.batch_size)
            yield
            await run_in_threadpool(app.state.worker.stop)

    app = FastAPI(
        title="speechbrain_merit",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own pages load scripts from elsewhere
        redoc_url=None,
    )
    guard = {"path": ANALYSE, "places": limits.queue, "patience": limits.patience}
    app.state.guard = Guard(None, max_bytes=round(limits.max_mb * 1e6), **guard)
    app.add_middleware(lambda app_inside: entered(app.state.guard, app_inside))
    app.state.streams = 0

    @app.exception_handler(RequestValidationError)
    async def no_file(request, error):
        modes = any("channels" in problem["loc"] for problem in error.errors())
        return JSONResponse({"detail": NO_MODE if modes else NO_FILE}, 422)

    problems = {code: {"model": Problem, "description": text} for code, text in PROBLEMS.items()}

    @app.post(ANALYSE, response_model=None, responses={
        200: {"model": Recording | Channels | list[Recording | Channels | Failed]},
        **problems})  # fmt: skip
    async def analyse(
        request: Request,
        file: Annotated[list[UploadFile], File()],
        channels: Annotated[Literal["mix", "separate"], Form(description=NO_MODE)] = "mix",
    ):
        """Analyses a recording, or several; its channels together or each by itself.

        Of one, the answer is what `merit analyse` writes as JSON. Of several, it is a list in
        their order; one that cannot be heard says why in `error`, and stops no other.
        """
        state, uploads = request.app.state, []
        try:
            for sent in file:
                given = (sent.file, sent.filename, state.folder, channels)
                try:
                    uploads.append(await run_in_threadpool(Upload, *given))
                except OSError as error:
                    why = error.strerror or error
                    raise HTTPException(507, f"The upload cannot be stored: {why}.") from error
            work = [answered(state.worker, upload, limits, made[channels]) for upload in uploads]
            answers = await while_there(request, asyncio.gather(*work), limits.timeout)
        finally:
            for upload in uploads:
                upload.release()
        if len(answers) > 1:
            return JSONResponse([about for _, about in answers])
        ((status, about),) = answers
        if status != 200:
            raise HTTPException(status, about["error"])
        return JSONResponse(about)

    @app.get("/health")
    async def health() -> Health:
        """Whether the service works, and how busy it is."""
        state = app.state
        return Health(
            status="ok",
            requests=state.guard.inside,
            places=state.guard.places,
            streams=state.streams,
        )

    @app.get("/version")
    async def version() -> Version:
        """Which package and which model answer."""
        mark, tasks = made["mix"]["model"], list(merit.tasks)
        return Version(
            speechbrain_merit=__version__,
            model=mark,
            labels=list(merit.hparams.labels),
            tasks=tasks,
        )

    @app.websocket("/stream")
    async def stream(socket: WebSocket):
        left = app.state.streams < limits.streams
        app.state.streams += left
        try:
            await Connection(socket, app.state.worker, limits.patience).run(left)
        finally:
            app.state.streams -= left

    @app.get("/docs", include_in_schema=False)
    async def docs():
        return HTMLResponse(page(app.openapi(), PROTOCOL))

    return app


def entered(guard, inside):
    """A guard before an application."""
    guard.app = inside
    return guard


async def answered(worker, upload, limits, made):
    """Status and answer of one recording."""
    try:
        await run_in_threadpool(upload.check, limits.max_seconds)
        task = await run_in_threadpool(worker.opened, upload)
        await asyncio.wrap_future(worker.take(task))
        return 200, {**upload.about(), "made_by": made}
    except TooLongError as error:
        return 413, {"path": upload.name, "error": upload.sentence(error)}
    except (AudioError, OSError) as error:
        return 422, {"path": upload.name, "error": upload.sentence(error)}


async def while_there(request, work, seconds):
    """What work gives; it is cancelled when the client has gone, or time is up."""

    async def gone():
        while (await request.receive())["type"] != "http.disconnect":
            pass

    watch = asyncio.ensure_future(gone())
    try:
        done, _ = await asyncio.wait(
            [work, watch], timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
        if work in done:
            return work.result()
        if watch in done:
            raise HTTPException(499, "The client has gone.")  # nobody reads it
        raise HTTPException(504, f"It took longer than {seconds:g} s: send less at once.")
    finally:
        work.cancel()
        watch.cancel()
