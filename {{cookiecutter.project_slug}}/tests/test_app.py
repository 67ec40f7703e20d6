"""The service as a client meets it: a real process, real HTTP."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
import urllib3
from conftest import PACKAGE, SRC, Workspace
from test_scoring import BAD_REQUESTS

from {{ cookiecutter.package_name }} import app, model, scoring, smoke_test
from {{ cookiecutter.package_name }}.app import MAX_BODY_BYTES, App
from {{ cookiecutter.package_name }}.keys import read as read_keys
from {{ cookiecutter.package_name }}.scoring import Service

SAMPLE_BODY = (SRC / "request.json").read_bytes()
ALL = "0.0.0.0"  # noqa: S104
http = urllib3.PoolManager(retries=False, timeout=10)


@pytest.fixture(scope="module")
def url(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the champion for all tests of this file."""
    folder = tmp_path_factory.mktemp("served") / "src"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.syspath_prepend(SRC)
        workspace = Workspace(trained, monkeypatch)
        workspace.call("fetch", "--output", str(folder))
        monkeypatch.chdir(SRC)
        with smoke_test.service(folder) as address:
            yield address


def post(url: str, body: bytes | str) -> urllib3.BaseHTTPResponse:
    return http.request("POST", f"{url}/score", body=body)


def test_listens_on_this_machine_only(url: str) -> None:
    assert url.startswith("http://127.0.0.1:")


@pytest.mark.parametrize(("image", "told"), [("", {}), ("7-2", {"image": "7-2"})], ids=["unknown", "known"])
def test_says_its_image(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], served: Path, image: str, told: app.Message
) -> None:
    monkeypatch.setenv("IMAGE_ID", image)
    serving = app.application(served)

    page = json.loads(serving.page("GET", "/healthz").body)
    ask(serving, "POST", "/score", [])

    assert {name: page[name] for name in page.keys() - {"status", "model", "version"}} == told
    assert json.loads(capfd.readouterr().out)["build"] == image


def test_scores(url: str) -> None:
    response = post(url, SAMPLE_BODY)

    assert response.status == 200
    assert response.headers["content-type"] == "application/json"
    assert len(response.json()["result"]) == len(json.loads(SAMPLE_BODY)["data"])


@pytest.mark.parametrize("path", ["/", "/healthz"])
def test_says_what_it_serves(url: str, path: str) -> None:
    response = http.request("GET", url + path)

    assert response.status == 200
    assert response.json()["status"] == "healthy"
    assert response.json()["version"] == 1


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/score", 405),
        ("PUT", "/score", 405),
        ("POST", "/", 405),
        ("HEAD", "/", 200),
        ("GET", "/none", 404),
        ("GET", "/swagger.json", 200),
    ],
)
def test_method_and_path_are_checked(url: str, method: str, path: str, status: int) -> None:
    response = http.request(method, url + path)

    assert response.status == status
    assert ("allow" in response.headers) == (status == 405)


def test_goes_on_serving_after_every_bad_request(url: str) -> None:
    statuses = [post(url, body).status for body, _ in BAD_REQUESTS.values()]
    statuses += [post(url, b"x" * size).status for size in (MAX_BODY_BYTES, MAX_BODY_BYTES + 1, 10_000_000)]

    assert statuses == [400] * len(BAD_REQUESTS) + [400, 413, 413]
    assert post(url, SAMPLE_BODY).status == 200


def connect(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def head(body: bytes, *headers: str) -> bytes:
    lines = ["POST /score HTTP/1.1", "host: localhost", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode()


def test_an_answer_comes_in_one_piece(url: str) -> None:
    with connect(url) as connection:
        for _ in range(200):
            connection.sendall(head(SAMPLE_BODY) + SAMPLE_BODY)
            _, _, body = connection.recv(100_000).partition(b"\r\n\r\n")
            assert json.loads(body)["result"]


def test_a_body_in_many_pieces_is_read(url: str) -> None:
    row = json.loads(SAMPLE_BODY)["data"][0]
    pieces = json.JSONEncoder().iterencode({"data": [row] * 3000})

    response = http.request("POST", f"{url}/score", body=(piece.encode() for piece in pieces))

    assert response.status == 200
    assert len(response.json()["result"]) == 3000


def test_who_asks_before_sending_a_body_is_told_to_go_on(url: str) -> None:
    with connect(url) as connection:
        connection.sendall(head(SAMPLE_BODY, "expect: 100-continue"))
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(SAMPLE_BODY)
        assert connection.recv(100_000).startswith(b"HTTP/1.1 200 ")


def test_what_is_no_http_is_refused(url: str) -> None:
    with connect(url) as connection:
        connection.sendall(b"\x00garbage\r\n\r\n")
        answer = connection.recv(1000)

    assert answer.startswith(b"HTTP/1.1 400")
    assert post(url, SAMPLE_BODY).status == 200


@pytest.mark.parametrize(
    "endless",
    [
        b"POST /score HTTP/1.1\r\n" + b"".join(b"x-%d: %s\r\n" % (number, b"y" * 1000) for number in range(1000)),
        b"POST /score HTTP/1.1\r\nx: " + b"y" * 1_000_000,
        b"POST /score HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: " + b"y" * 1_000_000,
    ],
    ids=["many headers", "a long header", "a long trailer"],
)
def test_headers_without_end_are_refused(url: str, endless: bytes) -> None:
    with connect(url) as connection:
        with suppress(OSError):  # the service does not listen to the end
            connection.sendall(endless)
        with suppress(ConnectionResetError):
            assert connection.recv(1000).startswith(b"HTTP/1.1 400")

    assert post(url, SAMPLE_BODY).status == 200


def test_a_connection_may_rest_longer_than_gateways_keep_it(served: Path) -> None:
    assert app.configure(App(scoring.load(served))).timeout_keep_alive > 240


def test_a_model_that_fails_is_the_service_s_fault(trained: Path) -> None:
    def fail(rows: object) -> NoReturn:
        raise ZeroDivisionError

    failing = replace(model.load(trained / "candidate" / "model"), predictor=fail)

    answer = scoring.respond(Service(failing, "failing", 1), "POST", SAMPLE_BODY)

    assert (answer.status, json.loads(answer.body)["error"][:16]) == (500, "the model failed")


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, trained: Path) -> None:
    monkeypatch.setattr(app, "SECONDS_FOR_BODY", 0.01)
    sent: list[app.Message] = []

    async def receive() -> app.Message:
        await asyncio.sleep(10)
        return {}

    async def send(message: app.Message) -> None:
        sent.append(message)

    service = Service(model.load(trained / "candidate" / "model"), "slow", 1)
    asyncio.run(App(service)({"method": "POST", "path": "/score", "headers": []}, receive, send))

    assert sent[0]["status"] == 408


@contextmanager
def started(folder: Path, *arguments: str, keys: str = "") -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Serve a folder. Gives the process, which goes on printing, and its address."""
    command = [sys.executable, "-m", f"{PACKAGE}.app", "--folder", str(folder), "--port", "0", *arguments]
    variables = {**os.environ, "SCORING_KEYS": keys}
    with subprocess.Popen(command, cwd=SRC, env=variables, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip().rpartition(" ")[2]
        finally:
            process.terminate()


@pytest.mark.parametrize(
    ("keys", "sent", "status"),
    [
        ("", None, 200),
        ("first", "Bearer first", 200),
        ("first second", "Bearer first", 200),
        ("first second", "bearer second", 200),
        ("first second", "Bearer third", 401),
        ("first second", "Bearer first second", 401),
        ("first", "Basic first", 401),
        ("first", "first", 401),
        ("first", "Bearer ", 401),
        ("first", "Bearer \xff", 401),
        ("first", None, 401),
    ],
)
def test_scoring_needs_one_of_the_keys(trained: Path, keys: str, sent: str | None, status: int) -> None:
    served = App(Service(model.load(trained / "candidate" / "model"), "kept", 1), read_keys(keys))
    headers = [] if sent is None else [(b"authorization", sent.encode("latin-1"))]

    assert ask(served, "POST", "/score", headers)[0]["status"] == status
    assert ask(served, "GET", "/healthz", [])[0]["status"] == 200


def ask(served: App, method: str, path: str, headers: list[app.Header]) -> list[app.Message]:
    """Return what the application sends for a request with the sample as its body."""
    sent: list[app.Message] = []

    async def receive() -> app.Message:
        return {"body": SAMPLE_BODY}

    async def send(message: app.Message) -> None:
        sent.append(message)

    asyncio.run(served({"method": method, "path": path, "headers": headers}, receive, send))
    return sent


@pytest.mark.parametrize(
    ("keys", "reason"),
    [("a b c", "holds 3 keys"), ("@Microsoft.KeyVault(SecretUri=x)", "Key Vault Secrets User")],
)
def test_keys_that_cannot_be_meant_are_told(served: Path, keys: str, reason: str) -> None:
    ended = run_app("--folder", str(served), "--port", "0", SCORING_KEYS=keys)

    assert ended.returncode == 1
    assert reason in ended.stderr


def test_other_machines_are_not_served_without_keys(served: Path) -> None:
    ended = run_app("--folder", str(served), "--port", "0", "--host", ALL)

    assert ended.returncode == 1
    assert "set SCORING_KEYS" in ended.stderr


def test_other_machines_are_served_with_keys(served: Path) -> None:
    with started(served, "--host", ALL, keys="secret") as (_, address):
        port = address.rpartition(":")[2]
        assert post(f"http://127.0.0.1:{port}", SAMPLE_BODY).status == 401


HOSTILE = {
    "quotes": b'"}, {"x": "',
    "not_utf8": b"\xff\xfe\xed\xa0\x80",
    "a_tab": b"a\tb",
    "huge": b"x" * 30_000,
    "format": b"%s {0} ${x}",
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_each_request_is_one_line_of_json_whatever_its_headers_hold(served: Path, value: bytes) -> None:
    with started(served) as (process, address):
        assert process.stdout is not None
        with connect(address) as connection:
            named = b"x-request-id: " + value + b"\r\ntraceparent: " + value + b"\r\n\r\n"
            connection.sendall(head(SAMPLE_BODY, "connection: close").removesuffix(b"\r\n") + named + SAMPLE_BODY)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        line = json.loads(process.stdout.readline())

    assert answer.startswith(b"HTTP/1.1 200")
    assert b"x-ms-request-id: " + value[:100] + b"\r\n" in answer
    assert line["request_id"] == line["traceparent"] == value[:100].decode("latin-1")
    assert (line["predictions"], line["status"], line["version"]) == (len(json.loads(SAMPLE_BODY)["data"]), 200, 1)


def test_a_log_that_nobody_reads_costs_no_answer(served: Path) -> None:
    with started(served) as (process, address):
        assert process.stdout is not None
        process.stdout.close()

        assert [post(address, SAMPLE_BODY).status for _ in range(3)] == [200] * 3


def test_a_request_without_a_name_gets_one(url: str) -> None:
    names = {post(url, body).headers["x-ms-request-id"] for body in (SAMPLE_BODY, SAMPLE_BODY, b"{")}

    assert len(names) == 3
    assert all(len(name) == 32 for name in names)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the workers")
def test_a_killed_worker_comes_back(served: Path) -> None:
    with started(served, "--workers", "2") as (process, address):
        assert post(address, SAMPLE_BODY).status == 200
        before = wait_for_workers(process.pid, besides=set())
        os.kill(min(before), signal.SIGKILL)
        after = wait_for_workers(process.pid, besides={min(before)})
        assert [post(address, SAMPLE_BODY).status for _ in range(5)] == [200] * 5

    assert len(after - before) == 1


def wait_for_workers(pid: int, besides: set[int]) -> set[int]:
    """Return the two workers of the service, once it has two that are not those, and both listen."""
    for _ in range(600):
        children = set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split()))
        found = {child for child in children - besides if listens(child)}
        if len(found) == 2:
            return found
        time.sleep(0.1)
    raise AssertionError("there are no two workers")


def listens(pid: int) -> bool:
    """Tell whether a process waits for events, which the process that looks after workers does not."""
    with suppress(OSError):
        return any("eventpoll" in str(opened.readlink()) for opened in Path(f"/proc/{pid}/fd").iterdir())
    return False


def run_app(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"{PACKAGE}.app", *arguments]
    environment = {**os.environ, **variables}
    return subprocess.run(command, cwd=SRC, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_port_in_use_is_told(url: str, served: Path) -> None:
    port = url.rpartition(":")[2]

    ended = run_app("--folder", str(served), "--port", port)

    assert ended.returncode == 1
    assert f"Port {port} of 127.0.0.1 cannot be opened" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("port", ["-1", "99999", "http"])
def test_what_is_no_port_is_told(tmp_path: Path, port: str) -> None:
    ended = run_app("--folder", str(tmp_path), "--port", port)

    assert ended.returncode == 2
    assert f"{port} is not a port" in ended.stderr


def test_ctrl_c_ends_the_service_quietly(served: Path) -> None:
    command = [sys.executable, "-m", f"{PACKAGE}.app", "--folder", str(served), "--port", "0"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs may have it ignored
    with subprocess.Popen(command, cwd=SRC, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        signal.signal(signal.SIGINT, before)
        assert process.stdout is not None
        address = process.stdout.readline().strip().rpartition(" ")[2]
        assert http.request("GET", address).status == 200
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)

    assert process.returncode == 130
    assert told == ""


def test_a_folder_without_model_is_told(tmp_path: Path) -> None:
    ended = run_app("--folder", str(tmp_path), "--port", "0")

    assert ended.returncode == 1
    assert "holds no model to serve" in ended.stderr
