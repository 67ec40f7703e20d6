"""Serve a model over HTTP: an ASGI application on uvicorn. POST /score; GET /, /healthz and /swagger.json."""

import argparse
import asyncio
import functools
import ipaddress
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import uvicorn
from uvicorn.supervisors import Multiprocess

from . import keys, request_log, scoring
from .keys import Keys
from .program import UserError, program
from .protocol import Protocol
from .scoring import MAX_BODY_BYTES, Answer, Service, problem

SECONDS_FOR_BODY = 30
SECONDS_TO_STAY = 300  # longer than a gateway keeps an idle connection, so that none is closed while it is used again
SECONDS_TO_START = 60  # a worker that has not answered its supervisor for so long is started anew

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

# What answers of a status say beside their body.
FOR_SCORE: dict[int, tuple[Header, ...]] = {401: ((b"www-authenticate", b"Bearer"),), 405: ((b"allow", b"POST"),)}
FOR_PAGES: dict[int, tuple[Header, ...]] = {405: ((b"allow", b"GET, HEAD"),)}

log = logging.getLogger(__name__)


class App:
    """The ASGI application. What it answers to GET never changes, so it is made once."""

    def __init__(self, service: Service, known: Keys = ()) -> None:
        self.service = service
        self.keys = known
        told = {"status": "healthy", "model": service.name, "version": service.version}
        health = orjson.dumps({**told, "image": service.build} if service.build else told)
        self.pages = {"/": health, "/healthz": health, "/swagger.json": scoring.description(service)}

    @functools.cached_property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that all requests run in. To get it is a call of the kernel in Python 3.11."""
        return asyncio.get_running_loop()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] != "/score":
            answer = self.page(scope["method"], scope["path"])
            await reply(send, answer, *FOR_PAGES.get(answer.status, ()))
            return
        began = time.perf_counter()
        headers = dict(scope["headers"])
        answer = await self.score(scope["method"], headers, receive)
        request_id = request_log.request_id(headers)
        traceparent = headers.get(b"traceparent", b"").decode("latin-1")
        request_log.write(request_log.line(self.service, answer, request_id.decode("latin-1"), traceparent, began))
        await reply(send, answer, (b"x-ms-request-id", request_id), *FOR_SCORE.get(answer.status, ()))

    def page(self, method: str, path: str) -> Answer:
        """Answer a request to anything but /score."""
        if path not in self.pages:
            return Answer(404, problem("there is /score, /, /healthz and /swagger.json"))
        return Answer(200, self.pages[path]) if method in ("GET", "HEAD") else Answer(405, problem("use GET"))

    async def score(self, method: str, headers: dict[bytes, bytes], receive: Receive) -> Answer:
        """Answer a request to /score, once its body has come."""
        if self.keys and method == "POST" and not keys.allow(self.keys, headers.get(b"authorization", b"")):
            return Answer(401, problem("a key is needed: send it as `Authorization: Bearer <key>`"))
        try:
            body = await read_in_time(receive, self.loop)
        except TimeoutError:
            return Answer(408, problem(f"the body did not arrive within {SECONDS_FOR_BODY} seconds"))
        return scoring.respond(self.service, method, body)


async def reply(send: Send, answer: Answer, *headers: Header) -> None:
    """Send an answer."""
    own = ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer.body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": answer.body})


async def read_in_time(receive: Receive, loop: asyncio.AbstractEventLoop) -> bytes | None:
    """Read a request's body, or raise TimeoutError. `asyncio.timeout` would cost a tenth of a small request."""
    task = asyncio.current_task(loop)
    assert task is not None
    expiry = loop.call_later(SECONDS_FOR_BODY, task.cancel)
    try:
        return await read_body(receive)
    except asyncio.CancelledError as error:
        if expiry.when() > loop.time():
            raise  # the server stops
        task.uncancel()
        raise TimeoutError from error
    finally:
        expiry.cancel()


async def read_body(receive: Receive) -> bytes | None:
    """Read a request to its end, so that the client listens to the answer; keep it only if it is not too large."""
    kept: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            kept.clear()
        else:
            kept.append(chunk)
        more = message.get("more_body", False)
    return b"".join(kept) if size <= MAX_BODY_BYTES else None


def port(text: str) -> int:
    """Read the number of a port."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port: 0 to 65535")
    return int(text)


def workers(text: str) -> int:
    """Read how many processes are to answer."""
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"{text} is not a number of workers: 1 to 64")
    return int(text)


def listen(host: str, port: int) -> socket.socket:
    """Open the port, or say that it is taken. Port 0 is any free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reason = f"Port {port} of {host} cannot be opened: {error.strerror}."
        raise UserError(f"{reason} Choose another; 0 is any free one.") from error


def configure(app: Any, workers: int | None = None) -> uvicorn.Config:
    """Return how uvicorn serves. Workers make the application themselves. Requests are logged by it, not here."""
    return uvicorn.Config(
        app,
        factory=workers is not None,
        workers=workers or 1,
        http=Protocol,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level="warning",
        timeout_keep_alive=SECONDS_TO_STAY,
        timeout_graceful_shutdown=10,
        timeout_worker_healthcheck=SECONDS_TO_START,
    )


@program()
def application(folder: Path) -> App:
    """Make the application anew, in a worker."""
    service = scoring.load(folder, os.environ.get("IMAGE_ID", ""))
    return App(service, keys.read(os.environ.get("SCORING_KEYS", "")))


@program()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", required=True, type=Path, help="what to serve: a folder with model/ and model.json")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s: this machine only)")
    parser.add_argument("--port", default=8080, type=port, help="port to listen on; 0: any free one (%(default)s)")
    parser.add_argument("--workers", default=1, type=workers, help="processes that answer (%(default)s)")
    arguments = parser.parse_args()

    app = application(arguments.folder)
    with listen(arguments.host, arguments.port) as opened:
        address, number = opened.getsockname()[:2]
        if not app.keys and not ipaddress.ip_address(address).is_loopback:
            raise UserError(f"{address} is open to other machines: set SCORING_KEYS to the key that clients must send.")
        shown = f"[{address}]" if ":" in address else address
        log.info("Serving %s version %d on http://%s:%d", app.service.name, app.service.version, shown, number)
        if arguments.workers == 1:
            uvicorn.Server(configure(app)).run(sockets=[opened])
        else:
            again = functools.partial(application, arguments.folder)
            Multiprocess(configure(again, arguments.workers), sockets=[opened]).run()


if __name__ == "__main__":
    main()
