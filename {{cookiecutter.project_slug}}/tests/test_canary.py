"""When a stage of a canary release takes answers for proof."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from deployment import key_vault, registry
from deployment.aks import canary, colours, load_test
from deployment.aks.load_test import Answer
from deployment.aks.stages import BLUE, GREEN, Colour, Ready, State, on
from environment_setup.azure_cli import AzureError

HALVES = {"blue": 0.5, "green": 0.5}


def answers(**count: int) -> list[Answer]:
    """Return so many answers of each colour; `wrong` ones are blue's."""
    wrong = [Answer("blue", 0.1, "status 500")] * count.pop("wrong", 0)
    return [Answer(colour, 0.1) for colour, number in count.items() for _ in range(number)] + wrong


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        ({"blue": 200}, {"blue": 1.0}),
        ({"blue": 198, "wrong": 2}, {"blue": 1.0}),
        ({"blue": 100, "green": 100}, HALVES),
        ({"blue": 70, "green": 130}, HALVES),
    ],
)
def test_good_answers_from_where_they_should_come_are_proof(count: dict[str, int], expected: dict[str, float]) -> None:
    assert canary.judge(answers(**count), expected) == ""


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        ({"blue": 197, "wrong": 3}, {"blue": 1.0}),
        ({"blue": 199, "green": 1}, {"blue": 1.0}),
        ({"nobody": 200}, {"blue": 1.0}),
        ({"blue": 200}, HALVES),
        ({"blue": 50, "green": 150}, HALVES),
        ({"blue": 99, "green": 100, "nobody": 1}, HALVES),
        ({"wrong": 200}, HALVES),
        ({"blue": 199}, {"blue": 1.0}),
        ({"blue": 50, "green": 50}, HALVES),
        ({"wrong": 3}, {"blue": 1.0}),
        ({}, {"blue": 1.0}),
    ],
)
def test_other_answers_are_none(count: dict[str, int], expected: dict[str, float]) -> None:
    assert "Expected" in canary.judge(answers(**count), expected)


class Service:
    """Answers each time it is asked with what comes next."""

    url = "https://scoring.example.com"

    def __init__(self, *found: list[Answer] | Exception, version: int = 7) -> None:
        self.found, self.version = list(found), version

    def get(self, *_: Any) -> Any:
        return {"version": self.version}

    def ask(self, *_: Any, **__: Any) -> list[Answer]:
        found = self.found.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "SECONDS_BETWEEN", 0)


def prove(service: Any, version: str = "") -> None:
    canary.prove(service, {"blue": 1.0}, version, "blue")


def test_a_gateway_may_take_a_while() -> None:
    service = Service(OSError("refused"), answers(green=200), answers(blue=200))

    prove(service)

    assert service.found == []


def test_it_is_asked_a_bounded_number_of_times() -> None:
    service = Service(*[answers(green=200)] * 9)

    with pytest.raises(AzureError, match=r"Expected 100% blue(.|\n)*asked 6 times"):
        prove(service)
    assert len(service.found) == 3


def test_another_version_is_no_proof() -> None:
    with pytest.raises(AzureError, match="blue has version 7, not 8"):
        prove(Service(*[answers(blue=200)] * 9), "8")


# -- a service that hangs ---

ROWS = [[1.0, 2.0]]
CONTENT = {"application/json": {"schema": {"example": {"data": ROWS}}}}
DESCRIPTION = {"paths": {"/score": {"post": {"requestBody": {"content": CONTENT}}}}, "version": 7}
SECONDS = 0.5


class Hanging(ThreadingHTTPServer):
    """Says at once what it is; scores as slowly, or answers in parts as small, as a test wants it to."""

    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HangingHandler)
        self.before_scoring: Callable[[int], float] = lambda _: 0.0
        self.drips = ""
        self.asked = 0
        self.closing, self.lock = threading.Event(), threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def handle_error(self, *_: object) -> None:
        """Callers give up."""


class HangingHandler(BaseHTTPRequestHandler):
    server: Hanging

    def do_GET(self) -> None:
        self.answer(DESCRIPTION)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        with self.server.lock:
            self.server.asked += 1
            number = self.server.asked
        self.server.closing.wait(self.server.before_scoring(number))
        self.answer({"result": [0.5]})

    def answer(self, content: Any) -> None:
        body = json.dumps(content).encode()
        head = f"HTTP/1.0 200 OK\r\nx-api-version: blue\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        fast = {"": head + body, "body": head, "head": b""}[self.server.drips]
        self.wfile.write(fast)
        for byte in (head + body)[len(fast) :]:
            self.wfile.write(bytes([byte]))
            self.server.closing.wait(SECONDS / 2)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    with Hanging() as server:
        yield server
        server.closing.set()
        server.shutdown()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "SECONDS_TO_PROVE", 3 * SECONDS)


def proven(server: Hanging) -> None:
    prove(load_test.Service(f"http://127.0.0.1:{server.server_port}", "", SECONDS), "7")


def seconds_until_refused(server: Hanging, because: str) -> float:
    began = time.monotonic()
    with pytest.raises(AzureError, match=because):
        proven(server)
    return time.monotonic() - began


def test_a_service_that_answers_at_once_is_proven(hanging: Hanging) -> None:
    proven(hanging)

    assert hanging.asked >= 200


def test_an_attempt_ends_as_soon_as_too_many_requests_hang(hanging: Hanging, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "ATTEMPTS", 2)
    hanging.before_scoring = lambda _: 60

    assert seconds_until_refused(hanging, r"Expected 100% blue of 200(.|\n)*asked 2 times") < 10 * SECONDS
    assert hanging.asked <= 2 * (3 + 8 + 8)


def test_what_answers_late_is_proof_once_it_answers_in_time(hanging: Hanging) -> None:
    hanging.before_scoring = lambda number: 60 if number <= 8 else 0

    proven(hanging)

    assert hanging.asked > 200


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("part", ["head", "body"])
def test_a_service_that_drips_is_waited_for_no_longer_than_one_that_hangs(hanging: Hanging, part: str) -> None:
    """Each byte comes in time for a socket."""
    hanging.drips = part

    assert seconds_until_refused(hanging, "does not answer") < 10 * SECONDS


@pytest.mark.usefixtures("soon")
def test_all_attempts_together_have_an_end(hanging: Hanging) -> None:
    """A service that is slow, but not too slow for a single request."""
    hanging.before_scoring = lambda _: SECONDS / 2

    assert seconds_until_refused(hanging, r"of 200 requests(.|\n)*asked [12] times") < 10 * SECONDS
    assert hanging.asked < 200


def test_a_stage_is_proven_within_minutes_though_a_service_hangs() -> None:
    assert canary.SECONDS_PER_REQUEST <= load_test.SECONDS_PER_REQUEST / 3
    assert canary.SECONDS_TO_PROVE + 3 * canary.SECONDS_PER_REQUEST < 5 * 60


def test_a_stage_gives_each_request_a_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    new, given = Colour("image-2", "2"), list[float]()
    monkeypatch.setenv("K8S_AB_HOST", "scoring.example.com")
    monkeypatch.setattr(canary, "key", lambda: "a-key")
    monkeypatch.setattr(canary, "prove", lambda service, *_: given.append(service.seconds))

    canary.check(State(None, new, on(GREEN)), None)

    assert given == [canary.SECONDS_PER_REQUEST]


# -- secrets, and what is removed ---


def test_a_vault_may_hold_two_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASE_NAME", "abc")
    held = {"value": "the-new-one the-old-one"}
    monkeypatch.setattr(key_vault, "az", lambda *words: held if "abc-AML-KV" in words else {"value": ""})

    assert canary.key() == "the-new-one"


@pytest.mark.parametrize(("blue", "removed"), [("image-2", ["blue"]), (None, ["blue"]), ("image-3", [])])
def test_blue_is_removed_unless_another_release_has_it(
    monkeypatch: pytest.MonkeyPatch, blue: str | None, removed: list[str]
) -> None:
    new, gone = Colour("image-2", "2"), list[str]()
    now = State(Colour(blue, "7") if blue else None, new, on(GREEN))
    monkeypatch.setattr(colours, "read", lambda: now)
    monkeypatch.setattr(colours, "remove", gone.append)

    canary.move("remove_blue", new)

    assert gone == removed


# -- what there is to release, and whether it may be ---

REPOSITORY = "registry.azurecr.io/scoring"
NEW = Colour(f"{REPOSITORY}@sha256:2", "2", "settings")


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return what is applied to a cluster in which green serves version 1, of which builds 12 and 15 made a release."""
    held, numbers = [State(None, Colour(f"{REPOSITORY}@sha256:1", "1", "settings"), on(GREEN))], {"sha256:1": 15}
    monkeypatch.setattr(colours, "read", lambda: held[-1])
    monkeypatch.setattr(colours, "apply", lambda _, then: held.append(then))
    monkeypatch.setattr(registry, "number", lambda _, image: numbers.get(image.partition("@")[2], 0))
    monkeypatch.setattr(registry, "mark", lambda *_: None)
    monkeypatch.setattr(canary, "check", lambda *_: None)
    return held


@pytest.mark.parametrize(
    ("build", "going_back"),
    [("15", ""), ("16", "false"), ("12", "true"), ("12", "True"), ("", ""), ("$(RELEASE_BUILD)", "$(GOING_BACK)")],
)
def test_a_later_build_is_released_and_an_older_one_on_purpose(
    applied: list[State], monkeypatch: pytest.MonkeyPatch, build: str, going_back: str
) -> None:
    monkeypatch.setenv("RELEASE_BUILD", build)
    monkeypatch.setenv("GOING_BACK", going_back)

    for name in ("stand_in", "hand_over", "blue_staging"):
        canary.move(name, NEW)

    assert applied[-1].blue == NEW


@pytest.mark.parametrize("going_back", ["", "false", "$(GOING_BACK)"])
@pytest.mark.parametrize("serves", [{}, {"settings": "others"}])
def test_an_older_build_never_replaces_a_later_one_by_chance(
    applied: list[State], monkeypatch: pytest.MonkeyPatch, going_back: str, serves: dict[str, str]
) -> None:
    monkeypatch.setenv("RELEASE_BUILD", "12")
    monkeypatch.setenv("GOING_BACK", going_back)
    green = applied[-1].green
    assert green
    applied.append(applied[-1]._replace(green=green._replace(**serves)))
    before = len(applied)

    with pytest.raises(AzureError, match=r"^Build 12 is older than build 15, which was released before it: "):
        canary.move("stand_in", NEW)
    assert len(applied) == before


def test_what_serves_already_is_no_release_of_an_older_build(
    applied: list[State], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two builds of one content: the later one has given its number to the image of both."""
    monkeypatch.setenv("RELEASE_BUILD", "12")
    green = applied[-1].green
    assert green

    canary.move("stand_in", green)

    assert len(applied) == 1


def test_an_image_of_another_repository_has_no_number(applied: list[State], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELEASE_BUILD", "12")

    canary.move("stand_in", NEW._replace(image="another.azurecr.io/scoring@sha256:2"))

    assert len(applied) == 1


def test_what_is_released_is_proven_again_rather_than_taken_for_good(
    applied: list[State], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(canary, "check", lambda *what: asked.append(what))
    green = applied[-1].green
    assert green

    for name in ("stand_in", "hand_over", "blue_staging"):
        canary.move(name, green)

    assert asked == [(applied[0], None)]


VERSIONS = {"2 2 2": True, "2 2 1": False, "1 2 2": False, "2 2 refused": False}


@pytest.mark.parametrize("seen", VERSIONS)
def test_what_serves_is_the_same_when_it_says_so_three_times(monkeypatch: pytest.MonkeyPatch, seen: str) -> None:
    monkeypatch.setenv("K8S_AB_HOST", "scoring.example.com")
    monkeypatch.setattr(colours, "read", lambda: State(None, NEW, on(GREEN)))
    versions = iter(seen.split())

    def get(*_: Any) -> dict[str, str]:
        version = next(versions)
        if version == "refused":
            raise OSError(version)
        return {"version": version}

    monkeypatch.setattr(load_test.Service, "get", get)

    assert canary.same(NEW) == VERSIONS[seen]


@pytest.mark.parametrize(
    "now",
    [
        State(),
        State(NEW, NEW, on(GREEN, BLUE)),
        State(NEW, NEW, on(BLUE)),
        State(None, NEW._replace(ready=Ready.SOME), on(GREEN)),
        State(None, NEW._replace(settings="others"), on(GREEN)),
        State(None, NEW._replace(image="another"), on(GREEN)),
    ],
    ids=["nothing", "half", "blue", "pods missing", "other settings", "another image"],
)
def test_anything_else_is_not_the_same(monkeypatch: pytest.MonkeyPatch, now: State) -> None:
    monkeypatch.setattr(colours, "read", lambda: now)
    monkeypatch.setattr(canary, "green_answers", lambda _: True)

    assert not canary.same(NEW)
