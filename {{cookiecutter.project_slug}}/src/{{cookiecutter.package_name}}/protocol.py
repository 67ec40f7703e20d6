"""HTTP as uvicorn speaks it, with a bound on all that is not the body, and answers in one piece."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_BYTES_BESIDE_BODY = 2**16  # of the headers, of what comes between two pieces of a body, of what comes after it


class Together:
    """A transport that sends together what is written at once: uvicorn writes head and body of an answer apart.

    Each writing is a call of the kernel, and a packet.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.transport, self.loop = transport, loop
        self.held: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    def write(self, data: bytes) -> None:
        """Send this when what goes on now is done."""
        if not self.held:
            self.loop.call_soon(self.send)
        self.held.append(data)

    def send(self) -> None:
        """Send what is held, if anybody listens."""
        held, self.held = self.held, []
        if held and not self.transport.is_closing():
            self.transport.write(b"".join(held))

    def close(self) -> None:
        self.send()
        self.transport.close()


class Protocol(HttpToolsProtocol):
    """A connection. What comes together with a piece of a body is not counted: asyncio reads 256 KiB at most."""

    beside_body = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(Together(transport, self.loop))  # type: ignore[arg-type]

    def on_message_begin(self) -> None:
        self.beside_body = 0
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        self.beside_body = 0
        super().on_body(body)

    def data_received(self, data: bytes) -> None:
        self.beside_body += len(data)
        super().data_received(data)
        if self.beside_body > MAX_BYTES_BESIDE_BODY and not self.transport.is_closing():
            self.send_400_response("The headers are too large.")
