"""Score requests: bytes in, status and bytes out. No web framework here; thin shells around it speak HTTP.

A request is ``{"data": [[...], ...]}``, one list of numbers per row in the order of the model's columns. The answer
is ``{"result": [...]}``, one prediction per row; a classifier adds ``"label": [...]``.
"""

import json
import logging
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from . import model
from .model import Model
from .program import UserError

MAX_BODY_BYTES = 4 * 2**20

log = logging.getLogger(__name__)


class RequestError(Exception):
    """What a client sent cannot be scored; the message says why."""


@dataclass(frozen=True)
class Service:
    """A model, and what it is called."""

    model: Model
    name: str
    version: int
    digest: str = ""  # of its files, where scores are compared with former ones
    build: str = ""  # the tag of the image that it is in


class Answer(NamedTuple):
    """What a client gets, and how many predictions are in it."""

    status: int
    body: bytes
    predictions: int = 0


def load(folder: Path, build: str = "") -> Service:
    """Load what `fetch` wrote: model/ and model.json."""
    try:
        named = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        return Service(model.load(folder / "model"), named["name"], named["version"], build=build)
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{folder} holds no model to serve: {error!r}. `make serve` fetches one.") from error


def respond(service: Service, method: str, body: bytes | None) -> Answer:
    """Answer whatever comes to /score. A body of None was too large to keep."""
    if method != "POST":
        return Answer(405, problem("use POST"))
    if body is None:
        return Answer(413, problem(f"the body is larger than {MAX_BODY_BYTES} bytes: send fewer rows at a time"))
    try:
        return score(service, body)
    except Exception:  # a model may raise anything, and the server must go on serving
        log.exception("The model failed.")
        return Answer(500, problem("the model failed; the service's log says why"))


def score(service: Service, body: bytes) -> Answer:
    """Answer one request: 200 and predictions, or 400 and the reason."""
    try:
        predictions = predict(service.model, read_rows(body, len(service.model.columns)))
    except RequestError as error:
        return Answer(400, problem(str(error)))
    content = orjson.dumps(answer(service.model, predictions), option=orjson.OPT_SERIALIZE_NUMPY)
    return Answer(200, content, len(predictions))


def problem(reason: str) -> bytes:
    """Return the body of an answer that is an error."""
    return orjson.dumps({"error": reason})


def read_rows(body: bytes, width: int) -> npt.NDArray[np.float64]:
    """Return the rows (n, width) of a request, or raise what is wrong with it."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(f"the body is not JSON: {error}") from error
    if not isinstance(request, dict) or request.keys() != {"data"}:
        raise RequestError('the body must be an object with the one key "data"')
    # Beside the key there are numbers only, hence no other quotes.
    if body.count(b'"') > 2:
        raise RequestError("data must hold numbers only")
    return to_array(request["data"], width, holds_literals(body))


def holds_literals(body: bytes) -> bool:
    """Tell whether there is true, false or null in a body. Looking for a byte takes no time, for a word it does."""
    return (b"u" in body or b"f" in body) and any(word in body for word in (b"true", b"false", b"null"))


def to_array(rows: Any, width: int, literals: bool) -> npt.NDArray[np.float64]:
    """Return rows as an array. numpy would take literals for numbers."""
    if not isinstance(rows, list) or set(map(type, rows)) != {list}:
        raise RequestError(f"data must be a list of rows of {width} numbers")
    lengths = set(map(len, rows))
    if lengths != {width}:
        differ = "; these differ in length" if len(lengths) > 1 else ""
        raise RequestError(f"data must be a list of rows of {width} numbers{differ}")
    try:
        numbers = np.fromiter(chain.from_iterable(rows), np.float64, len(rows) * width)
    except (TypeError, ValueError) as error:
        raise RequestError("data must hold numbers only") from error
    if literals:
        raise RequestError("data must hold numbers only")
    return numbers.reshape(len(rows), width)


def predict(model: Model, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return one finite prediction per row."""
    predictions = model.predict(rows)
    if not np.isfinite(predictions).all():
        raise RequestError("the numbers are too large to predict from")
    return predictions


def answer(model: Model, predictions: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Return the body of an answer: predictions, and labels if the model has them."""
    if model.labels is None or model.threshold is None:
        return {"result": predictions}
    second = (predictions >= model.threshold).astype(int)
    return {"result": predictions, "label": np.array(model.labels)[second].tolist()}


def description(service: Service) -> bytes:
    """Describe the service for /swagger.json: OpenAPI 3.0 with the model's own shape and a request to try."""
    width = len(service.model.columns)
    row = {"type": "array", "items": {"type": "number"}, "minItems": width, "maxItems": width}
    request = {
        "type": "object",
        "required": ["data"],
        "additionalProperties": False,
        "properties": {
            "data": {
                "type": "array",
                "minItems": 1,
                "items": row,
                "description": f"Rows of numbers, in this order: {', '.join(service.model.columns)}",
            }
        },
        "example": {"data": service.model.sample},
    }
    answers: dict[str, Any] = {"result": {"type": "array", "items": {"type": "number"}}}
    if service.model.labels:
        answers["label"] = {"type": "array", "items": {"type": "string", "enum": service.model.labels}}
    result = {"type": "object", "properties": answers}
    error = {"type": "object", "properties": {"error": {"type": "string"}}}
    return orjson.dumps(
        {
            "openapi": "3.0.3",
            "info": {"title": service.name, "version": str(service.version)},
            "paths": {
                "/score": {
                    "post": {
                        "summary": "Score rows",
                        "operationId": "score",
                        "requestBody": {"required": True, "content": json_of(request)},
                        "responses": {
                            "200": {"description": "One prediction per row", "content": json_of(result)},
                            "400": {"description": "Why the request cannot be scored", "content": json_of(error)},
                        },
                    }
                }
            },
        }
    )


def json_of(schema: dict[str, Any]) -> dict[str, Any]:
    """Say in OpenAPI's words that a body is JSON of this schema."""
    return {"application/json": {"schema": schema}}
