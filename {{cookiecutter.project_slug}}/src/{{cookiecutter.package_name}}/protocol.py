"""HTTP as uvicorn reads it, with a bound on all that is not the body: uvicorn would keep any number of headers."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_BYTES_BESIDE_BODY = 2**16  # of the headers, and of what comes between and after the pieces of a body


class Protocol(HttpToolsProtocol):
    """A connection. What the first piece of a request holds is not counted: asyncio reads 256 KiB at most."""

    beside_body = 0

    def on_message_begin(self) -> None:
        self.beside_body = 0
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        self.beside_body -= len(body)
        super().on_body(body)

    def data_received(self, data: bytes) -> None:
        self.beside_body += len(data)
        super().data_received(data)
        if self.beside_body > MAX_BYTES_BESIDE_BODY and not self.transport.is_closing():
            self.send_400_response("The headers are too large.")
