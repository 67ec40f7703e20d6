"""The load test against two local servers behind a proxy that shares requests out between them."""

import json
import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from deployment.aks import load_test
from deployment.aks.load_test import COLOUR, Service, shares

SAMPLE = [[1.0, 2.0], [3.0, 4.0]]
CONTENT = {"application/json": {"schema": {"example": {"data": SAMPLE}}}}
DESCRIPTION = {"paths": {"/score": {"post": {"requestBody": {"content": CONTENT}}}}}
GOOD = (200, {"result": [0.5, 1.5]})


class Server(ThreadingHTTPServer):
    """A server on a free port, until it is closed."""

    request_queue_size = 64

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


class Colour(Server):
    """A service that answers every request alike, to those who have the key."""

    def __init__(self) -> None:
        self.status, self.result = GOOD
        self.key = ""
        super().__init__(ColourHandler)


class ColourHandler(Handler):
    server: Colour

    def do_GET(self) -> None:
        self.answer(200, json.dumps(DESCRIPTION).encode())

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["content-length"])))
        assert sent == {"data": SAMPLE}
        allowed = not self.server.key or self.headers["authorization"] == f"Bearer {self.server.key}"
        self.answer(self.server.status if allowed else 401, json.dumps(self.server.result).encode())


class Gateway(Server):
    """What the mesh does: the header chooses a colour, otherwise weights do, and the answer tells its colour."""

    def __init__(self, **colours: Colour) -> None:
        self.colours, self.weights = colours, dict.fromkeys(colours, 1.0)
        self.random, self.lock = random.Random(7), threading.Lock()  # noqa: S311 - no secret hangs on it
        super().__init__(GatewayHandler)

    def choose(self, wanted: str | None) -> str:
        if wanted in self.colours:
            return str(wanted)
        with self.lock:
            return self.random.choices(list(self.weights), list(self.weights.values()))[0]


class GatewayHandler(Handler):
    server: Gateway

    def do_GET(self) -> None:
        self.forward(None)

    def do_POST(self) -> None:
        self.forward(self.rfile.read(int(self.headers["content-length"])))

    def forward(self, body: bytes | None) -> None:
        colour = self.server.choose(self.headers[COLOUR])
        connection = HTTPConnection("127.0.0.1", self.server.colours[colour].server_port)
        connection.request(self.command, self.path, body, dict(self.headers))
        response = connection.getresponse()
        self.answer(response.status, response.read(), x_api_version=colour)
        connection.close()


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with ExitStack() as stack:
        blue, green = (stack.enter_context(Colour()) for _ in range(2))
        yield stack.enter_context(Gateway(blue=blue, green=green))


@pytest.mark.parametrize(("blue", "green"), [(50, 50), (90, 10), (100, 0), (0, 100)])
def test_the_shares_are_those_of_the_weights(gateway: Gateway, blue: float, green: float) -> None:
    gateway.weights = {"blue": blue, "green": green}

    found = shares(Service(gateway.url).ask(300))

    assert found.get("blue", 0) == pytest.approx(blue / 100, abs=0.1)
    assert found.get("green", 0) == pytest.approx(green / 100, abs=0.1)
    assert sum(found.values()) == 1


@pytest.mark.parametrize("colour", ["blue", "green"])
def test_a_colour_that_is_asked_for_answers(gateway: Gateway, colour: str) -> None:
    assert shares(Service(gateway.url).ask(20, colour)) == {colour: 1}


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (503, {}),
        (200, {"result": [0.5]}),
        (200, {"result": [0.5, None]}),
        (200, {"result": [0.5, True]}),
        (200, {"result": [0.5, float("nan")]}),
        (200, {}),
        (200, []),
    ],
)
def test_wrong_answers_are_not_counted_as_answers(gateway: Gateway, status: int, result: object) -> None:
    blue = gateway.colours["blue"]
    blue.status, blue.result = status, result

    answers = Service(gateway.url).ask(100)

    wrong = [answer for answer in answers if answer.wrong]
    assert {answer.colour for answer in wrong} <= {"blue", "nobody"}
    assert 25 <= len(wrong) <= 75
    assert shares(answers).keys() == {"green"}


def test_the_key_goes_to_the_service_and_no_further(gateway: Gateway) -> None:
    for colour in gateway.colours.values():
        colour.key = "a-key"

    assert sum(shares(Service(gateway.url, "a-key").ask(10)).values()) == 1
    assert shares(Service(gateway.url, "another").ask(10)) == {}

    class Elsewhere(Handler):
        def do_GET(self) -> None:
            self.answer(200, json.dumps(DESCRIPTION).encode())

        def do_POST(self) -> None:
            self.answer(302, b"", location=f"{gateway.url}/score")

    with Server(Elsewhere) as redirecting:
        assert {answer.wrong for answer in Service(redirecting.url, "a-key").ask(3)} == {"status 302"}


def test_no_more_is_asked_once_too_many_answers_are_wrong(gateway: Gateway) -> None:
    gateway.colours["blue"].status = 500

    answers = Service(gateway.url).ask(300, wrong_at_most=5)

    assert 5 < sum(bool(answer.wrong) for answer in answers) <= 5 + 8 + 8
    assert len(answers) < 150


def test_a_report_of_nothing_says_so() -> None:
    assert "wrong               0     0.0%" in load_test.report([])


def test_a_service_that_is_not_there_is_told(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["load_test", "http://127.0.0.1:9", "--requests", "3"])

    with pytest.raises(SystemExit, match="does not describe a scoring service"):
        load_test.main()


def test_the_program_prints_who_answered(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["load_test", gateway.url, "--requests", "100"])

    with pytest.raises(SystemExit) as ended:
        load_test.main()

    assert ended.value.code == 0
    rows = {line.split()[0]: line.split()[1] for line in capsys.readouterr().out.splitlines()}
    assert int(rows["blue"]) + int(rows["green"]) == 100
    assert rows["wrong"] == "0"


def test_the_first_of_several_keys_is_sent(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    for colour in gateway.colours.values():
        colour.key = "a-key"
    monkeypatch.setenv("SCORING_KEY", "a-key another-key\r\n")
    monkeypatch.setattr("sys.argv", ["load_test", gateway.url, "--requests", "5"])

    with pytest.raises(SystemExit) as ended:
        load_test.main()

    assert ended.value.code == 0


@pytest.mark.parametrize("keys", [" ", "clé", "a\x00key"])
def test_what_is_no_key_is_refused_and_not_shown(keys: str) -> None:
    with pytest.raises(ValueError, match=r"^it must hold a key: letters, digits and signs$"):
        load_test.first_key(keys)


def test_the_program_fails_if_an_answer_is_wrong(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway.colours["green"].status = 500
    monkeypatch.setattr("sys.argv", ["load_test", gateway.url, "--colour", "green", "--requests", "5"])

    with pytest.raises(SystemExit) as ended:
        load_test.main()

    assert ended.value.code == 1
