"""The HTTP side: a loopback proxy that answers calls to Azure itself, TLS included, and forwards nothing."""

import re
import ssl
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

from .certificates import Authority
from .routes import WORKSPACE, Reply, Request

Answer = Callable[[Request, str], Reply]
LOOPBACK = ("127.0.0.1", "localhost")
IDLE_SECONDS = 300


class Server(ThreadingHTTPServer):
    """Listens on loopback only. ``answer`` is given each request and the path as it was sent."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, authority: Authority, answer: Answer, control: Answer) -> None:
        self.authority, self.answer, self.control = authority, answer, control
        super().__init__(("127.0.0.1", port), Connection)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away, or does not trust us, is no error of ours."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


class Connection(BaseHTTPRequestHandler):
    """One connection of a client, kept alive; after CONNECT it speaks for the host that was asked for."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE_SECONDS
    host = ""

    def do_CONNECT(self) -> None:
        self.host = self.path.rpartition(":")[0].lower()
        self.send_response(200, "Connection established")
        self.end_headers()
        context = cast(Server, self.server).authority.context(self.host)
        try:
            self.connection: ssl.SSLSocket = context.wrap_socket(self.connection, server_side=True)
        except OSError as error:
            self.log_error("%s: the client does not want our certificate: %s", self.host, error)
            self.close_connection = True
            return
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb")
        self.close_connection = False

    def serve(self) -> None:
        server = cast(Server, self.server)
        target = urlsplit(self.path)
        host = self.host or (target.hostname or "")
        own = not host or (host in LOOPBACK and target.port == server.server_port)
        path = re.sub("//+", "/", unquote(target.path))
        query = {name: values[0] for name, values in parse_qs(target.query, keep_blank_values=True).items()}
        body = self.read_body()
        normal = path if own else WORKSPACE.sub("{ws}", path, count=1)
        request = Request(self.command, host, normal, target.query, query, cast(Mapping[str, str], self.headers), body)
        self.send(server.control(request, path) if own else server.answer(request, path))

    do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = serve  # noqa: N815

    def read_body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return b"".join(chunks)

    def send(self, reply: Reply) -> None:
        content = reply.content()
        headers = dict(reply.headers)
        kind = "application/octet-stream" if isinstance(reply.body, bytes) else "application/json; charset=utf-8"
        headers.setdefault("Content-Type", kind)
        if reply.status != 204:
            headers.setdefault("Content-Length", str(len(content)))
        self.send_response(reply.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD" and reply.status != 204:
            self.wfile.write(content)
        self.wfile.flush()

    def version_string(self) -> str:
        return "azureml-emulator"

    def log_request(self, *_: Any) -> None:
        """Calls are kept in the emulator's own list."""
