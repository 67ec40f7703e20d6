"""The line of JSON that is logged for each request to /score.

docs/operations.md says what its keys are. Headers are whatever a client sends, so they are cut and written by orjson.
"""

import contextlib
import os
import random
import time
from collections.abc import Mapping

import orjson

from .scoring import Answer, Service

MAX_CHARACTERS = 100
STANDARD_OUTPUT = 1
IDS = (b"x-ms-client-request-id", b"x-ms-request-id", b"x-request-id")


def request_id(headers: Mapping[bytes, bytes]) -> bytes:
    """Return what the client calls its request, or a new name."""
    for name in IDS:
        if given := headers.get(name):
            return given[:MAX_CHARACTERS]
    return b"%032x" % random.getrandbits(128)


def line(service: Service, answer: Answer, request_id: str, traceparent: str, began: float) -> bytes:
    """Return the line of a request that began at this moment of `time.perf_counter`."""
    return orjson.dumps(
        {
            "request_id": request_id[:MAX_CHARACTERS],
            "traceparent": traceparent[:MAX_CHARACTERS],
            "predictions": answer.predictions,
            "duration_ms": round((time.perf_counter() - began) * 1000, 3),
            "status": answer.status,
            "model": service.name,
            "version": service.version,
            "build": service.build,
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )


def write(line: bytes) -> None:
    """Write a line in one piece: workers share the output. A log that nobody reads any more must cost no answer."""
    with contextlib.suppress(OSError):
        os.write(STANDARD_OUTPUT, line)
