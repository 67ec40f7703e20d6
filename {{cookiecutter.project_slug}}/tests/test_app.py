"""The service as a client meets it: a real process, real HTTP."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
import urllib3
from conftest import PACKAGE, SRC, Workspace
from test_scoring import BAD_REQUESTS

from {{ cookiecutter.package_name }} import app, model, smoke_test
from {{ cookiecutter.package_name }}.app import MAX_BODY_BYTES, App
from {{ cookiecutter.package_name }}.scoring import Service

SAMPLE_BODY = (SRC / "request.json").read_bytes()
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


def test_what_is_no_http_is_refused(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"\x00garbage\r\n\r\n")
        answer = connection.recv(1000)

    assert answer.startswith(b"HTTP/1.1 400")
    assert post(url, SAMPLE_BODY).status == 200


def test_a_model_that_fails_is_the_service_s_fault(trained: Path) -> None:
    def fail(rows: object) -> NoReturn:
        raise ZeroDivisionError

    failing = replace(model.load(trained / "candidate" / "model"), predictor=fail)

    status, answer = App(Service(failing, "failing", 1)).answer("POST", "/score", SAMPLE_BODY)

    assert (status, json.loads(answer)["error"][:16]) == (500, "the model failed")


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, trained: Path) -> None:
    monkeypatch.setattr(app, "SECONDS_FOR_BODY", 0.01)
    sent: list[app.Message] = []

    async def receive() -> app.Message:
        await asyncio.sleep(10)
        return {}

    async def send(message: app.Message) -> None:
        sent.append(message)

    service = Service(model.load(trained / "candidate" / "model"), "slow", 1)
    asyncio.run(App(service)({"method": "POST", "path": "/score"}, receive, send))

    assert sent[0]["status"] == 408


def run_app(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"{PACKAGE}.app", *arguments]
    return subprocess.run(command, cwd=SRC, capture_output=True, text=True, timeout=60, check=False)


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
    with subprocess.Popen(command, cwd=SRC, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
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
