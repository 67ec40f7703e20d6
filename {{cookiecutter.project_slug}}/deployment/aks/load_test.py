"""Send a scoring service its own sample many times, and print who answered, how often and how fast.

SCORING_KEY holds a key of the service, or several, of which the first is sent. An answer tells its colour in the header
x-api-version; --colour asks for one. Exits 1 if an answer is wrong.
"""

import argparse
import json
import math
import os
import re
import statistics
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from http.client import HTTPException
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")
COLOUR = "x-api-version"
SECONDS_PER_REQUEST = 30


class Answer(NamedTuple):
    """Who answered a request, after how long, and what was wrong with it, if anything."""

    colour: str
    seconds: float
    wrong: str = ""


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A key goes nowhere but where it was sent."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Service:
    """A scoring service at an address without a path, which has so many seconds for each answer."""

    def __init__(self, url: str, key: str = "", seconds: float = SECONDS_PER_REQUEST) -> None:
        self.url, self.key, self.seconds = url.rstrip("/"), key, seconds
        self.client = urllib.request.build_opener(NoRedirect)

    def get(self, path: str, colour: str | None = None) -> Any:
        """Return the JSON of a page."""
        return json.loads(self.call(path, headers_for(colour))[1])

    def call(self, path: str, headers: dict[str, str], body: bytes | None = None) -> tuple[str, bytes]:
        """Return the colour and the body of an answer with status 200; anything else is an OSError or a ValueError."""
        request = urllib.request.Request(self.url + path, body, headers)  # noqa: S310 - the caller's own address

        def answered() -> tuple[str, bytes]:
            with self.client.open(request, timeout=self.seconds) as answer:
                return answer.headers.get(COLOUR, "nobody"), answer.read()

        return within(self.seconds, answered)

    def ask(
        self,
        requests: int,
        colour: str | None = None,
        connections: int = 8,
        seconds: float | None = None,
        wrong_at_most: float = math.inf,
    ) -> list[Answer]:
        """Score the service's own sample as often as that, or until the time is over or more answers are wrong."""
        description = self.get("/swagger.json", colour)
        content = description["paths"]["/score"]["post"]["requestBody"]["content"]
        rows = content["application/json"]["schema"]["example"]["data"]
        headers = headers_for(colour) | {"content-type": "application/json"}
        if self.key:
            headers["authorization"] = f"Bearer {self.key}"
        body = json.dumps({"data": rows}).encode()
        with ThreadPoolExecutor(connections) as pool:
            asked = [pool.submit(self.score, headers, body, len(rows)) for _ in range(requests)]
            until_enough(asked, seconds, wrong_at_most)
            pool.shutdown(cancel_futures=True)
        return [one.result() for one in asked if not one.cancelled()]

    def score(self, headers: dict[str, str], body: bytes, rows: int) -> Answer:
        began, colour, wrong = time.monotonic(), "nobody", ""
        try:
            colour, answer = self.call("/score", headers, body)
            wrong = "" if is_good(json.loads(answer), rows) else f"{rows} rows got {answer[:100]!r}"
        except urllib.error.HTTPError as error:
            colour, wrong = error.headers.get(COLOUR, "nobody"), f"status {error.code}"
        except (OSError, HTTPException, ValueError) as error:
            wrong = str(error) or type(error).__name__
        return Answer(colour, time.monotonic() - began, wrong)


def within(seconds: float, work: Callable[[], T]) -> T:
    """Return what this returns, or raise TimeoutError: for a socket, time begins anew with every byte that it gets."""
    ended = Future[T]()

    def run() -> None:
        try:
            ended.set_result(work())
        except Exception as error:
            ended.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return ended.result(seconds)


def until_enough(asked: list[Future[Answer]], seconds: float | None, wrong_at_most: float) -> None:
    """Wait for all answers, or until the time is over or more of them are wrong."""
    wrong = 0
    try:
        for one in as_completed(asked, seconds):
            wrong += bool(one.result().wrong)
            if wrong > wrong_at_most:
                return
    except TimeoutError:
        return


def first_key(keys: str) -> str:
    """Return the first of the keys that a service takes. A ValueError does not show what it is about."""
    key = (keys.split() or [""])[0]
    if not re.fullmatch(r"[!-~]+", key):
        raise ValueError("it must hold a key: letters, digits and signs")
    return key


def headers_for(colour: str | None) -> dict[str, str]:
    return {COLOUR: colour} if colour else {}


def is_good(answer: Any, rows: int) -> bool:
    """Tell whether an answer has one finite number for each row."""
    found = answer.get("result") if isinstance(answer, dict) else None
    numbers = [one for one in found or [] if isinstance(one, float | int) and not isinstance(one, bool)]
    return isinstance(found, list) and len(numbers) == len(found) == rows and all(map(math.isfinite, numbers))


def shares(answers: Iterable[Answer]) -> dict[str, float]:
    """Return the share of good answers by colour, in parts of all requests."""
    answers = list(answers)
    count: dict[str, int] = defaultdict(int)
    for answer in answers:
        if not answer.wrong:
            count[answer.colour] += 1
    return {colour: number / len(answers) for colour, number in sorted(count.items())}


def report(answers: list[Answer]) -> str:
    """Return a table of who answered, and what was wrong."""
    lines = [f"{'answered by':<12} {'requests':>8} {'share':>8} {'median':>9}"]
    for colour, share in shares(answers).items():
        seconds = [answer.seconds for answer in answers if answer.colour == colour and not answer.wrong]
        lines.append(f"{colour:<12} {len(seconds):>8} {share:>8.1%} {statistics.median(seconds) * 1000:>6.1f} ms")
    wrong = [answer for answer in answers if answer.wrong]
    lines += [f"{'wrong':<12} {len(wrong):>8} {len(wrong) / max(len(answers), 1):>8.1%}"]
    lines += sorted({f"  {answer.colour}: {answer.wrong}" for answer in wrong})[:10]
    return "\n".join(lines)


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 on")
    return int(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="address of the service, such as https://scoring.example.com")
    parser.add_argument("--requests", type=positive, default=100)
    parser.add_argument("--colour", choices=("blue", "green"))
    parser.add_argument("--connections", type=positive, default=8)
    arguments = parser.parse_args()
    given = os.environ.get("SCORING_KEY", "")
    try:
        service = Service(arguments.url, first_key(given) if given else "")
    except ValueError as error:
        sys.exit(f"error: SCORING_KEY cannot be used: {error}")
    try:
        answers = service.ask(arguments.requests, arguments.colour, arguments.connections)
    except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
        sys.exit(f"error: {arguments.url}/swagger.json does not describe a scoring service: {error!r}")
    print(report(answers))
    sys.exit(any(answer.wrong for answer in answers))


if __name__ == "__main__":
    main()
