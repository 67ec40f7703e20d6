"""Ask a scoring service for the predictions of its own sample, and check that they are predictions.

The environment variable SCORING_KEY holds a key of the service, or is blank.
"""

import argparse
import json
import logging
import math
import os
import secrets
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import HTTPError, LocationParseError, MaxRetryError

from .program import UserError, program

SECONDS_PER_ATTEMPT = 10.0
WORTH_RETRYING = (429, *range(500, 600))

Numbers = list[float]

log = logging.getLogger(__name__)


class Client:
    """Calls one service, and tries again, a bounded number of times, what may be different the next time."""

    def __init__(self, url: str, key: str, attempts: int) -> None:
        self.url, self.attempts = url, attempts
        # W3C Trace Context, version 00, not sampled: it ties the request to its traces on the way
        traceparent = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"
        self.headers = {"content-type": "application/json", "traceparent": traceparent}
        if key:
            self.headers["authorization"] = f"Bearer {key}"
        retries = urllib3.Retry(
            total=attempts - 1,
            allowed_methods=None,
            status_forcelist=WORTH_RETRYING,
            backoff_factor=0.2,
            backoff_max=5,
            respect_retry_after_header=False,
        )
        proxy = proxy_of(url)
        manager = partial(urllib3.ProxyManager, proxy) if proxy else urllib3.PoolManager
        self.http = manager(retries=retries, timeout=SECONDS_PER_ATTEMPT)

    def call(self, method: str, path: str, body: str | None = None) -> Any:
        """Return the JSON that the service answers, or raise what happened instead."""
        url = f"{self.url}{path}"
        try:
            response = self.http.request(method, url, redirect=False, headers=self.headers, body=body)
        except MaxRetryError as error:
            raise UserError(f"{url} did not answer, tried {self.attempts} times: {error.reason}") from error
        except (HTTPError, LocationParseError) as error:
            raise UserError(f"{url} cannot be called: {error}") from error
        if response.status != 200:
            raise UserError(f"{url} answered {response.status}: {response.data[:200]!r}".replace("##", "# "))
        try:
            return response.json()
        except ValueError as error:
            raise UserError(f"{url} did not answer JSON: {response.data[:200]!r}".replace("##", "# ")) from error


def proxy_of(url: str) -> str | None:
    """Return the proxy that the environment names for an address, if any."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


def sample(description: Any) -> list[list[float]]:
    """Return the rows that the service's own description offers as an example."""
    try:
        content = description["paths"]["/score"]["post"]["requestBody"]["content"]
        rows = list(content["application/json"]["schema"]["example"]["data"])
    except (KeyError, TypeError) as error:
        raise UserError("The service's /swagger.json has no example request.") from error
    if not rows:
        raise UserError("The example request in the service's /swagger.json has no rows.")
    return rows


def check(answer: Any, rows: int) -> Numbers:
    """Return the predictions of an answer: one finite number per row, or raise."""
    predictions = answer.get("result") if isinstance(answer, dict) else None
    if not isinstance(predictions, list) or len(predictions) != rows:
        raise UserError(f"{rows} rows were sent, but the answer is {answer!r:.200}")
    for prediction in predictions:
        if type(prediction) not in (int, float) or abs(prediction) > sys.float_info.max or math.isnan(prediction):
            raise UserError(f"The prediction {prediction!r:.60} is not a finite number.")
    return predictions


def smoke_test(url: str, key: str, attempts: int) -> Numbers:
    """Score the sample of the service at ``url``, its address without a path."""
    client = Client(url, key, attempts)
    rows = sample(client.call("GET", "/swagger.json"))
    log.info("POST %s/score with traceparent %s", url, client.headers["traceparent"])
    return check(client.call("POST", "/score", json.dumps({"data": rows})), len(rows))


def within(seconds: float, url: str, key: str, attempts: int) -> Numbers:
    """Do the smoke test, and give up on a service that goes on answering a little at a time."""
    outcome: Future[Numbers] = Future()

    def work() -> None:
        try:
            outcome.set_result(smoke_test(url, key, attempts))
        except Exception as error:
            outcome.set_exception(error)

    Thread(target=work, daemon=True).start()
    try:
        return outcome.result(timeout=seconds)
    except TimeoutError as error:
        raise UserError(f"{url} was not done answering after {seconds:g} seconds.") from error


@contextmanager
def service(folder: Path) -> Iterator[str]:
    """Serve a folder on a free port, and stop serving at the end. Gives the service's address."""
    command = [sys.executable, "-m", f"{__package__}.app", "--folder", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        rest = Thread(target=deque, args=(process.stdout, 0), daemon=True)
        try:
            told = process.stdout.readline().strip()
            if " on http://" not in told:
                raise UserError(f"The service did not start: {told or 'it printed nothing'}")
            log.info("%s", told)
            rest.start()  # a full pipe would stop the service
            yield told.rpartition(" on ")[2]
        finally:
            process.terminate()
            if rest.ident:
                rest.join()  # else it would read from what is closed


@program()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--url", help="address of a running service, such as http://127.0.0.1:8080")
    what.add_argument("--folder", type=Path, help="folder to serve on a free port while testing")
    parser.add_argument("--attempts", type=int, default=10, help="for each request (%(default)s)")
    parser.add_argument("--seconds", type=float, default=120.0, help="in all (%(default)s)")
    arguments = parser.parse_args()
    asked = os.environ.get("SCORING_KEY", ""), arguments.attempts
    if arguments.url:
        predictions = within(arguments.seconds, arguments.url.rstrip("/"), *asked)
    else:
        with service(arguments.folder) as url:
            predictions = within(arguments.seconds, url, *asked)
    log.info("Predictions: %s", ", ".join(f"{prediction:.6g}" for prediction in predictions))
    log.info("Smoke test successful.")


if __name__ == "__main__":
    main()
