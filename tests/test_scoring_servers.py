"""One table of requests, good and bad, against the server of a project, with what its image installs."""

import json
import os
import re
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import bake, run

from benchmarks.client import Connection, request
from benchmarks.measure import memory
from benchmarks.score import container, processes, started

pytestmark = pytest.mark.slow

MODEL = """
import sys
from pathlib import Path
from {package} import parameters, sample, train
model = train.fit(sample.sample().head(2000), parameters.read().training)
train.save(model, train.read_request(), Path(sys.argv[1]) / "model")
"""
LIMIT = 4 * 2**20


class Served(NamedTuple):
    """A project, the model that it serves, and the Python for that."""

    project: Path
    folder: Path
    python: Path

    def rows(self):
        return json.loads((self.folder / "model" / "schema.json").read_text("utf-8"))["sample"]

    def good(self):
        return json.dumps({"data": self.rows()}).encode()


@pytest.fixture(scope="module", params=["diabetes", "safe_driver"])
def served(request, cookies_session, environment, tmp_path_factory):
    return with_model(bake(cookies_session, {"example": request.param}), environment, tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def default_model(cookies_session, environment, tmp_path_factory):
    return with_model(bake(cookies_session, {}), environment, tmp_path_factory.mktemp("served"))


def with_model(project, environment, folder):
    """Fit a model of the project, and write it as `fetch` does."""
    code = MODEL.format(package=project.package().name)
    run(environment(project), "-c", code, folder, cwd=project.path / "src", PYTHONPATH=str(project.path / "src"))
    (folder / "model.json").write_text(json.dumps({"name": "tested", "version": 7}), encoding="utf-8")
    return Served(project.path, folder, environment(project, "score"))


@pytest.fixture(scope="module")
def server(served, tmp_path_factory):
    """Start the server of a project. Gives its port and its log."""
    log = tmp_path_factory.mktemp("logs") / "log"
    command, variables = container(served.python, served.project, served.folder)
    with started(command, log, **variables) as server:
        yield server.port, log


def body(change):
    """Return a function that gives the request with the sample's rows after a change."""
    return lambda rows: json.dumps({"data": change(rows)}).encode()


def first(value):
    """Put a value in the place of the first number."""
    return body(lambda rows: [[value, *rows[0][1:]], *rows[1:]])


def chunked(size):
    """Return a body of one chunk, as it is sent."""
    return b"%x\r\n%s\r\n0\r\n\r\n" % (size, b" " * size)


# What comes to /score: method, body, status, reason.
REQUESTS = {
    "ok": ("POST", body(lambda rows: rows), 200, "result"),
    "one_row": ("POST", body(lambda rows: rows[:1]), 200, "result"),
    "many_rows": ("POST", body(lambda rows: rows * 500), 200, "result"),
    "integers": ("POST", body(lambda rows: [[0 for _ in rows[0]]]), 200, "result"),
    "blanks_around": ("POST", lambda rows: b" \n" + body(list)(rows) + b"\n", 200, "result"),
    "not_json": ("POST", b"{", 400, "not JSON"),
    "empty": ("POST", b"", 400, "not JSON"),
    "not_utf8": ("POST", b"\xff\xfe", 400, "not JSON"),
    "nan": ("POST", first(float("nan")), 400, "not JSON"),
    "infinity": ("POST", first(float("inf")), 400, "not JSON"),
    "huge_integer": ("POST", first(10**400), 400, "not JSON"),
    "nested_deeply": ("POST", b"[" * 100_000, 400, "not JSON"),
    "a_list": ("POST", lambda rows: json.dumps(rows).encode(), 400, "the one key"),
    "a_number": ("POST", b"1", 400, "the one key"),
    "missing_key": ("POST", b"{}", 400, "the one key"),
    "another_key": ("POST", lambda rows: json.dumps({"data": rows, "more": 1}).encode(), 400, "the one key"),
    "no_rows": ("POST", body(lambda rows: []), 400, "list of rows"),
    "empty_row": ("POST", body(lambda rows: [[]]), 400, "list of rows"),
    "data_is_null": ("POST", body(lambda rows: None), 400, "list of rows"),
    "data_is_an_object": ("POST", body(lambda rows: {}), 400, "list of rows"),
    "one_row_flat": ("POST", body(lambda rows: rows[0]), 400, "list of rows"),
    "too_deep": ("POST", body(lambda rows: [rows]), 400, "list of rows"),
    "short_row": ("POST", body(lambda rows: [rows[0][1:]]), 400, "list of rows"),
    "long_row": ("POST", body(lambda rows: [[*rows[0], 1.0]]), 400, "list of rows"),
    "ragged": ("POST", body(lambda rows: [rows[0], rows[1][1:]]), 400, "differ in length"),
    "text": ("POST", first("a"), 400, "numbers only"),
    "number_as_text": ("POST", first("1"), 400, "numbers only"),
    "null": ("POST", first(None), 400, "numbers only"),
    "boolean": ("POST", first(True), 400, "numbers only"),
    "an_object": ("POST", first({}), 400, "numbers only"),
    "a_list_for_a_number": ("POST", first([1]), 400, "numbers only"),
    "as_large_as_allowed": ("POST", b" " * LIMIT, 400, "not JSON"),
    "too_large": ("POST", b" " * (LIMIT + 1), 413, "larger than"),
    "far_too_large": ("POST", b" " * 10_000_000, 413, "larger than"),
    "get": ("GET", b"", 405, "use POST"),
    "options": ("OPTIONS", b"", 405, "use POST"),
}

# What else comes: method, path, status.
PAGES = {
    "health": ("GET", "/", 200),
    "health_by_name": ("GET", "/healthz", 200),
    "description": ("GET", "/swagger.json", 200),
    "description_of_a_version": ("GET", "/swagger.json?version=3", 200),
    "put": ("PUT", "/score", 405),
    "delete": ("DELETE", "/score", 405),
    "post_to_health": ("POST", "/", 405),
    "unknown_path": ("GET", "/none", 404),
}


def of(rows, given):
    return given(rows) if callable(given) else given


@pytest.mark.parametrize("sent", [*REQUESTS])
def test_a_request_gets_its_status_and_the_reason(served, server, sent):
    method, given, status, reason = REQUESTS[sent]

    answer = Connection(server[0]).ask(request(method, "/score", of(served.rows(), given)))

    assert answer.status == status
    assert reason in answer.body.decode()
    assert re.search(rb"(?i)content-type: application/json\r", answer.head + b"\r")
    assert bool(re.search(rb"(?i)\nallow: POST\r", answer.head + b"\r")) == (status == 405)


@pytest.mark.parametrize("sent", [*PAGES])
def test_a_page_gets_its_status(server, sent):
    method, path, status = PAGES[sent]

    assert Connection(server[0]).ask(request(method, path)).status == status


def test_any_content_type_will_do(served, server):
    for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded", ""):
        asked = request("POST", "/score", served.good(), f"content-type: {kind}")
        assert Connection(server[0]).ask(asked).status == 200


@pytest.mark.parametrize(("size", "status"), [(10, 400), (LIMIT + 1, 413)])
def test_a_body_in_chunks_is_read_as_any_other(server, size, status):
    asked = b"POST /score HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + chunked(size)

    assert Connection(server[0]).ask(asked).status == status


def test_the_server_describes_its_model(served, server):
    described = json.loads(Connection(server[0]).ask(request("GET", "/swagger.json")).body)

    schema = described["paths"]["/score"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert described["info"] == {"title": "tested", "version": "7"}
    assert schema["properties"]["data"]["items"]["minItems"] == len(served.rows()[0])
    assert schema["example"] == {"data": served.rows()}


def test_what_is_no_http_is_refused(server):
    connection = Connection(server[0])
    connection.send(b"\x00garbage\r\n\r\n")

    assert connection.socket.recv(1000).startswith(b"HTTP/1.1 400")


def test_a_connection_stays_open_for_the_next_request_after_a_bad_one(served, server):
    connection, answers = Connection(server[0]), []
    for sent in (served.good(), b"{", b" " * (LIMIT + 1), served.good()):
        answers.append(connection.ask(request("POST", "/score", sent)).status)
        assert connection.socket is not None
    assert answers == [200, 400, 413, 200]


HOSTILE = {
    "nothing": b"",
    "quotes": b'"}, {"x": "\\',
    "not_utf8": b"\xff\xfe\xed\xa0\x80",
    "a_tab": b"a\tb",
    "formats": b"%s {0} ${x}",
    "as_long_as_allowed": b"x" * 100,
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_a_request_is_one_line_of_json_in_the_log(served, server, value):
    port, log = server
    name = b"x-request-id: " + value + b"\r\ntraceparent: " + value + b"\r\n" if value else b""
    asked = request("POST", "/score", served.good()).replace(b"\r\n\r\n", b"\r\n" + name + b"\r\n", 1)
    before = log.stat().st_size

    answer = Connection(port).ask(asked)

    (line,) = log.read_bytes()[before:].splitlines()
    found = json.loads(line)
    assert answer.status == 200
    assert found.pop("duration_ms") > 0
    given = re.search(rb"(?i)\nx-ms-request-id: ([^\r]*)", answer.head)[1].decode("latin-1")
    assert found == {
        "request_id": given,
        "traceparent": value.decode("latin-1"),
        "predictions": len(served.rows()),
        "status": 200,
        "model": "tested",
        "version": 7,
        "build": "",
    }
    assert given == value.decode("latin-1") if value else len(given) >= 32


@pytest.mark.parametrize("size", [101, 30_000])
def test_long_headers_are_cut_in_the_log(served, server, size):
    port, log = server
    before = log.stat().st_size

    headers = [f"{name}: {'x' * size}" for name in ("x-request-id", "traceparent")]
    assert Connection(port).ask(request("POST", "/score", served.good(), *headers)).status == 200

    line = json.loads(log.read_bytes()[before:])
    assert (line["request_id"], line["traceparent"]) == ("x" * 100, "x" * 100)


class Load:
    """Clients that ask as fast as they can, each over a connection of its own; one request of a hundred is bad."""

    def __init__(self, port, good, answer, connections=16):
        self.port, self.good, self.answer = port, request("POST", "/score", good), answer
        self.bad = [request("POST", "/score", body) for body in (b"{", b"[]", b'{"data": [["1"]]}', b" " * (LIMIT + 1))]
        self.counts = {"good": 0, "bad": 0}
        self.wrong, self.broken = [], []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.ask) for _ in range(connections)]

    @contextmanager
    def running(self):
        for thread in self.threads:
            thread.start()
        yield self
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def ask(self):
        connection, number = Connection(self.port), 0
        while not self.stop.is_set():
            number += 1
            bad = number % 100 == 0
            try:
                answer = connection.ask(self.bad[number // 100 % len(self.bad)] if bad else self.good)
            except OSError as error:
                self.broken.append(error)
                connection.close()
                continue
            self.counts["bad" if bad else "good"] += 1
            if not self.is_right(bad, answer):
                self.wrong.append(answer)

    def is_right(self, bad, answer):
        if bad:
            return answer.status in (400, 413) and json.loads(answer.body)["error"]
        return answer.status == 200 and answer.body == self.answer


def least_held(server, seconds=15):
    """Return the least memory held in these seconds: what is left when no large body is on its way."""
    end, samples = time.monotonic() + seconds, []
    while time.monotonic() < end:
        samples.append(sum(map(memory, processes(server.group))))
        time.sleep(0.2)
    return min(samples)


@pytest.fixture
def own(default_model, tmp_path, request):
    """Start the project's own server with these arguments."""
    command, variables = container(default_model.python, default_model.project, default_model.folder)
    with started([*command, *getattr(request, "param", [])], tmp_path / "log", **variables) as server:
        yield server


@pytest.mark.prove
def test_a_minute_of_load_loses_no_good_request_and_takes_no_memory(own, default_model, tmp_path):
    good = default_model.good()
    expected = Connection(own.port).ask(request("POST", "/score", good)).body

    with Load(own.port, good, expected).running() as load:
        time.sleep(5)
        warm = least_held(own)
        time.sleep(30)
        after = least_held(own)
    lines = [json.loads(line) for line in (tmp_path / "log").read_bytes().splitlines()[1:]]

    print(f"{load.counts}, {warm:.1f} MB at first, {after:.1f} MB after a minute")
    assert (load.wrong, load.broken) == ([], [])
    assert load.counts["good"] > 10_000
    assert load.counts["bad"] > 100
    assert after < warm + 2
    assert len(lines) == sum(load.counts.values()) + 1
    assert sum(line["status"] != 200 for line in lines) == load.counts["bad"]


@pytest.mark.prove
@pytest.mark.parametrize("own", [["--workers", "2"]], indirect=True)
def test_a_killed_worker_comes_back_while_requests_go_on(own, default_model):
    good = default_model.good()
    expected = Connection(own.port).ask(request("POST", "/score", good)).body
    before = workers(own)

    with Load(own.port, good, expected).running() as load:
        time.sleep(3)
        os.kill(min(before), signal.SIGKILL)
        killed, answered = time.monotonic(), load.counts["good"]
        while len(workers(own) - {min(before)}) < 2:
            assert time.monotonic() < killed + 60
            time.sleep(0.1)
        back, meanwhile = time.monotonic() - killed, load.counts["good"] - answered
        broken = len(load.broken)
        time.sleep(5)

    print(f"{load.counts}; back after {back:.1f} s; {meanwhile} answered meanwhile; {broken} connections broke")
    assert load.wrong == []
    assert broken <= len(load.threads)
    assert len(load.broken) == broken
    assert meanwhile > 0


def workers(server):
    """Return the processes that answer: those that the supervisor has started."""
    return {pid for pid in processes(server.group) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()}
