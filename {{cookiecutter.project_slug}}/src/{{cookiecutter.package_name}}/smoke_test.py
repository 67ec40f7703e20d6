"""Ask a scoring service for the predictions of its own sample, and check that they are predictions."""

import argparse
import json
import logging
import math
import secrets
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError, LocationParseError, MaxRetryError

from .program import UserError, program

ATTEMPTS = 10
SECONDS_PER_ATTEMPT = 10.0
SECONDS_IN_ALL = 120.0
WORTH_RETRYING = range(500, 600)

log = logging.getLogger(__name__)


def traceparent() -> str:
    """Return the header that ties a request to its traces on the way: W3C Trace Context, version 00, not sampled."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"


def client(attempts: int) -> urllib3.PoolManager:
    """Return a client that tries again, a bounded number of times, what may be different the next time."""
    retries = urllib3.Retry(
        total=attempts - 1,
        allowed_methods=None,
        status_forcelist=WORTH_RETRYING,
        backoff_factor=0.2,
        backoff_max=5,
        respect_retry_after_header=False,
    )
    return urllib3.PoolManager(retries=retries, timeout=SECONDS_PER_ATTEMPT)


def call(http: urllib3.PoolManager, method: str, url: str, **more: Any) -> Any:
    """Return the JSON that the service answers, or raise what happened instead."""
    try:
        response = http.request(method, url, redirect=False, **more)
    except MaxRetryError as error:
        raise UserError(f"{url} did not answer, tried {ATTEMPTS} times: {error.reason}") from error
    except (HTTPError, LocationParseError) as error:
        raise UserError(f"{url} cannot be called: {error}") from error
    if response.status != 200:
        raise UserError(f"{url} answered {response.status}: {response.data[:200].decode(errors='replace')}")
    try:
        return response.json()
    except ValueError as error:
        raise UserError(f"{url} did not answer JSON: {response.data[:200]!r}") from error


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


def check(answer: Any, rows: int) -> list[float]:
    """Return the predictions of an answer: one finite number per row, or raise."""
    predictions = answer.get("result") if isinstance(answer, dict) else None
    if not isinstance(predictions, list) or len(predictions) != rows:
        raise UserError(f"{rows} rows were sent, but the answer is {answer!r:.200}")
    for prediction in predictions:
        if not is_finite(prediction):
            raise UserError(f"The prediction {prediction!r:.60} is not a finite number.")
    return predictions


def is_finite(prediction: Any) -> bool:
    """Tell whether what JSON gave is a number that a float can hold."""
    try:
        return not isinstance(prediction, bool) and isinstance(prediction, int | float) and math.isfinite(prediction)
    except OverflowError:
        return False


def within_bounds(url: str) -> list[float]:
    """Do the smoke test, and give up on a service that goes on answering a little at a time."""
    outcome: Future[list[float]] = Future()

    def work() -> None:
        try:
            outcome.set_result(smoke_test(url))
        except Exception as error:
            outcome.set_exception(error)

    Thread(target=work, daemon=True).start()
    try:
        return outcome.result(timeout=SECONDS_IN_ALL)
    except TimeoutError as error:
        raise UserError(f"{url} was not done answering after {SECONDS_IN_ALL:.0f} seconds.") from error


def smoke_test(url: str) -> list[float]:
    """Score the sample of the service at ``url``, its address without a path."""
    headers = {"content-type": "application/json", "traceparent": traceparent()}
    http = client(ATTEMPTS)
    rows = sample(call(http, "GET", f"{url}/swagger.json", headers=headers))
    log.info("POST %s/score with traceparent %s", url, headers["traceparent"])
    return check(call(http, "POST", f"{url}/score", headers=headers, body=json.dumps({"data": rows})), len(rows))


@contextmanager
def service(folder: Path) -> Iterator[str]:
    """Serve a folder on a free port, and stop serving at the end. Gives the service's address."""
    command = [sys.executable, "-m", f"{__package__}.app", "--folder", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            told = process.stdout.readline().strip()
            if " on http://" not in told:
                raise UserError(f"The service did not start: {told or 'it printed nothing'}")
            log.info("%s", told)
            Thread(target=deque, args=(process.stdout, 0), daemon=True).start()  # a full pipe would stop the service
            yield told.rpartition(" on ")[2]
        finally:
            process.terminate()


@program()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--url", help="address of a running service, such as http://127.0.0.1:8080")
    what.add_argument("--folder", type=Path, help="folder to serve on a free port while testing")
    arguments = parser.parse_args()
    if arguments.url:
        predictions = within_bounds(arguments.url.rstrip("/"))
    else:
        with service(arguments.folder) as url:
            predictions = within_bounds(url)
    log.info("Predictions: %s", ", ".join(f"{prediction:.6g}" for prediction in predictions))
    log.info("Smoke test successful.")


if __name__ == "__main__":
    main()
