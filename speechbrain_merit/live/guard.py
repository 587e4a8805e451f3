"""What a request may take of the service before anything looks into it: place, bytes, time.

ASGI middleware (https://asgi.readthedocs.io), for the requests that send recordings.
"""

import asyncio
import json

#: Seconds after which a client that found no place may ask again.
RETRY_AFTER = 5


class Refused(Exception):
    """A request that goes no further: status, sentence, headers."""

    def __init__(self, status, sentence, headers=()):
        super().__init__(sentence)
        self.status, self.headers = status, list(headers)


class Guard:
    """Lets so many requests in at once, and no body that is too large or too slow.

    Arguments
    ---------
    app : callable
        The ASGI application behind it.
    path : str
        Of the requests that are guarded; others pass.
    places : int
        Requests that are inside at once, received or heard; others get 503 with Retry-After.
    max_bytes : int
        Of a body; 413 beyond.
    patience : float
        Seconds to wait for the next piece of a body; 408 beyond.
    """

    def __init__(self, app, path, places, max_bytes, patience):
        self.app, self.path, self.places = app, path, places
        self.max_bytes, self.patience = max_bytes, patience
        self.inside = 0

    async def __call__(self, scope, receive, send):
        """Passes a request on, or answers it."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != self.path:
            return await self.app(scope, receive, send)
        body = Body(receive, self.max_bytes, self.patience)
        started = False

        async def noting(message):
            nonlocal started
            if body.refusal is None:  # what the application makes of it is not told
                started = True
                await send(message)

        try:
            announced = dict(scope["headers"]).get(b"content-length", b"0")
            if announced.isdigit() and int(announced) > self.max_bytes:
                raise too_large(self.max_bytes)
            if self.inside >= self.places:
                await body.skip()  # a client that is sending does not listen
                wait = [(b"retry-after", str(RETRY_AFTER).encode())]
                raise Refused(503, "All places are taken: ask again.", wait)
            self.inside += 1
            try:
                await self.app(scope, body, noting)
            finally:
                self.inside -= 1
        except Refused as refusal:
            body.refusal = refusal
        if body.refusal is not None and not started:
            await answer(send, body.refusal)


class Body:
    """The ``receive`` of a request, counted and timed until its body is there."""

    def __init__(self, receive, max_bytes, patience):
        self.receive, self.max_bytes, self.patience = receive, max_bytes, patience
        self.count, self.whole, self.refusal = 0, False, None

    async def __call__(self):
        """The next message; raises Refused for what is too large or too slow."""
        if self.whole:  # from here on: whether the client is still there
            return await self.receive()
        try:
            message = await asyncio.wait_for(self.receive(), self.patience)
        except asyncio.TimeoutError:
            sentence = f"Nothing came for {self.patience:g} s: the request was given up."
            raise self.refused(Refused(408, sentence, [(b"connection", b"close")])) from None
        self.count += len(message.get("body", b""))
        self.whole = not message.get("more_body", False)
        if self.count > self.max_bytes:
            raise self.refused(too_large(self.max_bytes))
        return message

    def refused(self, refusal):
        """Keeps a refusal, which whatever reads the body may take for something else."""
        self.refusal = refusal
        return refusal

    async def skip(self):
        """Reads to the end and keeps nothing."""
        while not self.whole:
            await self()


def too_large(max_bytes):
    """The refusal of a body."""
    sentence = f"More than the {max_bytes / 1e6:g} MB that are taken here: send less at once."
    return Refused(413, sentence, [(b"connection", b"close")])


async def answer(send, refusal):
    """Answers a request in place of the application."""
    body = json.dumps({"detail": str(refusal)}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    start = {"status": refusal.status, "headers": headers + refusal.headers}
    await send({"type": "http.response.start", **start})
    await send({"type": "http.response.body", "body": body})
