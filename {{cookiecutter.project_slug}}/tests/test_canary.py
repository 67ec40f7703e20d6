"""When a stage of a canary release takes answers for proof."""

from typing import Any

import pytest
from deployment import canary, cluster
from deployment.load_test import Answer
from deployment.stages import GREEN, Colour, State, on
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

    def ask(self, *_: Any) -> list[Answer]:
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


def test_a_vault_may_hold_two_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASE_NAME", "abc")
    monkeypatch.setattr(canary, "az", lambda *words: "the-new-one the-old-one" if "abc-AML-KV" in words else "")

    assert canary.key() == "the-new-one"


@pytest.mark.parametrize(("blue", "removed"), [("image-2", ["blue"]), (None, ["blue"]), ("image-3", [])])
def test_blue_is_removed_unless_another_release_has_it(
    monkeypatch: pytest.MonkeyPatch, blue: str | None, removed: list[str]
) -> None:
    new, gone = Colour("image-2", "2"), list[str]()
    now = State(Colour(blue, "7") if blue else None, new, on(GREEN))
    monkeypatch.setattr(cluster, "read", lambda: now)
    monkeypatch.setattr(cluster, "remove", gone.append)

    canary.remove(new)

    assert gone == removed
