"""Serve a model over HTTP: an ASGI application on uvicorn. POST /score; GET /, /healthz and /swagger.json."""

import argparse
import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import uvicorn

from . import scoring
from .program import UserError, program
from .scoring import MAX_BODY_BYTES, Service, problem

SECONDS_FOR_BODY = 30

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Answer = tuple[int, bytes]

log = logging.getLogger(__name__)


class App:
    """The ASGI application. What it answers to GET never changes, so it is made once."""

    def __init__(self, service: Service) -> None:
        self.service = service
        health = orjson.dumps({"status": "healthy", "model": service.name, "version": service.version})
        self.pages = {"/": health, "/healthz": health, "/swagger.json": scoring.description(service)}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(SECONDS_FOR_BODY):
                body = await read_body(receive)
        except TimeoutError:
            status, answer = 408, problem(f"the body did not arrive within {SECONDS_FOR_BODY} seconds")
        else:
            status, answer = self.answer(scope["method"], scope["path"], body)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        if status == 405:
            headers.append((b"allow", b"POST" if scope["path"] == "/score" else b"GET, HEAD"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def answer(self, method: str, path: str, body: bytes | None) -> Answer:
        """Answer a request. A body of None was too large to keep."""
        if path == "/score":
            if method != "POST":
                return 405, problem("use POST")
            if body is None:
                return 413, problem(f"the body is larger than {MAX_BODY_BYTES} bytes: send fewer rows at a time")
            return self.score(body)
        if path not in self.pages:
            return 404, problem("there is /score, /, /healthz and /swagger.json")
        return (200, self.pages[path]) if method in ("GET", "HEAD") else (405, problem("use GET"))

    def score(self, body: bytes) -> Answer:
        try:
            return scoring.score(self.service, body)
        except Exception:  # a model may raise anything, and the server must go on serving
            log.exception("The model failed.")
            return 500, problem("the model failed; the service's log says why")


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


def listen(host: str, port: int) -> socket.socket:
    """Open the port, or say that it is taken. Port 0 is any free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reason = f"Port {port} of {host} cannot be opened: {error.strerror}."
        raise UserError(f"{reason} Choose another; 0 is any free one.") from error


@program()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", required=True, type=Path, help="what to serve: a folder with model/ and model.json")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s: this machine only)")
    parser.add_argument("--port", default=8080, type=port, help="port to listen on; 0: any free one (%(default)s)")
    arguments = parser.parse_args()

    service = scoring.load(arguments.folder)
    with listen(arguments.host, arguments.port) as opened:
        address, number = opened.getsockname()[:2]
        shown = f"[{address}]" if ":" in address else address
        log.info("Serving %s version %d on http://%s:%d", service.name, service.version, shown, number)
        config = uvicorn.Config(
            App(service), lifespan="off", access_log=False, log_level="warning", timeout_graceful_shutdown=10
        )
        uvicorn.Server(config).run(sockets=[opened])


if __name__ == "__main__":
    main()
