"""A client that costs little: one connection, kept open as long as the server likes, requests made beforehand."""

import re
import socket
from typing import NamedTuple

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
CLOSES = re.compile(rb"connection: *close", re.IGNORECASE)


class Answer(NamedTuple):
    status: int
    head: bytes
    body: bytes


def request(method: str, path: str, body: bytes = b"", *headers: str) -> bytes:
    """Return the bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class Connection:
    """A connection to a server, opened again when the server has closed it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.socket: socket.socket | None = None

    def ask(self, request: bytes) -> Answer:
        """Send a request and return the answer."""
        self.send(request)
        return self.read()

    def send(self, request: bytes) -> None:
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=30)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(request)

    def read(self) -> Answer:
        """Return the answer to what was sent."""
        received = self.receive(b"")
        while b"\r\n\r\n" not in received:
            received = self.receive(received)
        head, _, body = received.partition(b"\r\n\r\n")
        length = int(LENGTH.search(head)[1])
        while len(body) < length:
            body = self.receive(body)
        if CLOSES.search(head):
            self.close()
        return Answer(int(head[9:12]), head, body)

    def receive(self, before: bytes) -> bytes:
        """Return what came before and what comes next."""
        chunk = self.socket.recv(65536)
        if not chunk:
            raise ConnectionError(f"the server closed the connection after {before[:100]!r}")
        return before + chunk

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None
