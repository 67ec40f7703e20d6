"""The smoke test against services that fail in the ways services fail."""

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import SRC

from {{ cookiecutter.package_name }} import smoke_test
from {{ cookiecutter.package_name }}.program import UserError

SAMPLE = [[1.0, 2.0], [3.0, 4.0]]
SCHEMA = {"example": {"data": SAMPLE}}
POST = {"requestBody": {"content": {"application/json": {"schema": SCHEMA}}}}
DESCRIPTION = {"paths": {"/score": {"post": POST}}}


class Stub(ThreadingHTTPServer):
    """A service that answers POST with what a test tells it to, one answer after another; None closes the line."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes] | None] = []
        self.traceparents: list[str] = []
        self.keys: list[str] = []
        self.seconds_before_answer = 0.0
        self.retry_after = ""
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Stub

    def do_GET(self) -> None:
        self.answer(200, json.dumps(DESCRIPTION).encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.traceparents.append(self.headers["traceparent"])
        given = self.server.answers.pop(0)
        if given is None:
            self.connection.close()
        else:
            self.answer(*given)

    def answer(self, status: int, body: bytes) -> None:
        self.server.keys.append(self.headers["authorization"])
        time.sleep(self.server.seconds_before_answer)
        self.send_response(status)
        if self.server.retry_after:
            self.send_header("retry-after", self.server.retry_after)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Keep quiet."""


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


GOOD = (200, b'{"result": [1.5, 2]}')


def test_a_good_answer_passes(stub: Stub) -> None:
    stub.answers = [GOOD]

    assert smoke_test.smoke_test(stub.url, "", 3) == [1.5, 2]


@pytest.mark.parametrize("failure", [(429, b""), (500, b""), (503, b"busy"), (599, b""), None])
def test_what_may_pass_is_tried_again_with_the_same_traceparent(stub: Stub, failure: tuple[int, bytes] | None) -> None:
    stub.answers = [failure, failure, GOOD]

    smoke_test.smoke_test(stub.url, "", 3)

    assert len(stub.traceparents) == 3
    assert len(set(stub.traceparents)) == 1
    assert re.fullmatch("00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-00", stub.traceparents[0])


def test_gives_up_after_a_bounded_number_of_tries(stub: Stub) -> None:
    stub.answers = [(500, b"")] * 9

    with pytest.raises(UserError, match="tried 3 times"):
        smoke_test.smoke_test(stub.url, "", 3)
    assert len(stub.traceparents) == 3


def test_a_silent_service_is_not_waited_for_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke_test, "SECONDS_PER_ATTEMPT", 0.1)

    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(UserError, match=r"tried 2 times: .*timed"):
        smoke_test.smoke_test(f"http://127.0.0.1:{silent.getsockname()[1]}", "", 2)


def test_a_service_that_answers_a_little_at_a_time_is_given_up(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["smoke_test", "--url", stub.url, "--seconds", "0.3"])
    stub.seconds_before_answer = 2

    with pytest.raises(SystemExit, match=r"was not done answering after 0\.3 seconds"):
        smoke_test.main()


def test_the_key_comes_from_the_environment_and_attempts_from_the_command_line(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCORING_KEY", "a-key")
    monkeypatch.setattr("sys.argv", ["smoke_test", "--url", stub.url, "--attempts", "2"])
    stub.answers = [(500, b"")] * 9

    with pytest.raises(SystemExit, match="tried 2 times"):
        smoke_test.main()
    assert stub.keys == ["Bearer a-key"] * 3


def test_a_wait_that_the_service_asks_for_is_not_longer_than_ours(stub: Stub) -> None:
    stub.retry_after = "30"
    stub.answers = [(503, b""), GOOD]
    began = time.monotonic()

    assert smoke_test.smoke_test(stub.url, "", 3) == [1.5, 2]
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(("url", "proxy"), [("https://a.example", "http://p:1"), ("https://b.example/c", None)])
def test_the_environment_s_proxy_is_used(monkeypatch: pytest.MonkeyPatch, url: str, proxy: str | None) -> None:
    monkeypatch.setenv("https_proxy", "http://p:1")
    monkeypatch.setenv("no_proxy", "b.example")

    assert smoke_test.proxy_of(url) == proxy


def test_a_redirect_is_told(stub: Stub) -> None:
    stub.answers = [(307, b"")]

    with pytest.raises(UserError, match="answered 307"):
        smoke_test.smoke_test(stub.url, "", 3)


def test_a_client_error_is_not_tried_again(stub: Stub) -> None:
    stub.answers = [(400, b'{"error": "no"}'), GOOD]

    with pytest.raises(UserError, match="answered 400"):
        smoke_test.smoke_test(stub.url, "", 3)
    assert len(stub.traceparents) == 1


@pytest.mark.parametrize(
    "body",
    [
        b'{"result": [1.5]}',
        b'{"result": [1.5, NaN]}',
        b'{"result": [1.5, Infinity]}',
        b'{"result": [1.5, null]}',
        b'{"result": [1.5, "2"]}',
        b'{"result": [1.5, true]}',
        b'{"result": [1.5, 1' + b"0" * 400 + b"]}",
        b'{"result": 1.5}',
        b'{"other": [1, 2]}',
        b"[1, 2]",
        b"hello",
    ],
)
def test_an_answer_that_is_not_one_finite_number_per_row_fails(stub: Stub, body: bytes) -> None:
    stub.answers = [(200, body)]

    with pytest.raises(UserError):
        smoke_test.smoke_test(stub.url, "", 3)


def test_a_service_that_is_not_there_is_told(stub: Stub) -> None:
    url = stub.url
    stub.server_close()

    with pytest.raises(UserError, match="did not answer, tried 3 times"):
        smoke_test.smoke_test(url, "", 3)


def test_a_folder_is_served_scored_and_the_service_stopped(
    served: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.chdir(SRC)
    monkeypatch.setattr("sys.argv", ["smoke_test", "--folder", str(served)])
    read = threading.Event()

    def read_slowly(lines: Iterator[str], _: int) -> None:
        list(lines)
        time.sleep(0.3)
        read.set()

    monkeypatch.setattr(smoke_test, "deque", read_slowly)

    smoke_test.main()

    assert "Smoke test successful." in caplog.text
    assert read.is_set(), "what the service prints is read to its end before it is closed"
