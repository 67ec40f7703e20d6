"""Serve a model in Azure ML's inference server, which calls init() once in each worker and run() for each request.

The server imports this file by its path, so imports name the package. deployment/inference.yml has its settings.
"""

import gc
import logging
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from azureml_inference_server_http.api.aml_request import rawhttp
from azureml_inference_server_http.server.config import config
from flask import Request, Response, g

from {{ cookiecutter.package_name }} import model, request_log, scoring
from {{ cookiecutter.package_name }}.program import UserError
from {{ cookiecutter.package_name }}.scoring import MAX_BODY_BYTES, Service

DESCRIPTIONS = ("swagger.json", "swagger3.json", "swagger3.1.json")  # one for each ?version= that the server knows

service: Service
traces = logging.getLogger(f"{__name__}.traces")


def init() -> None:
    """Load the model, and tell the server what this service is like."""
    global service  # noqa: PLW0603
    service = load(os.environ)
    describe(service)
    set_up_logging()
    gc.freeze()  # what is there now stays: looking for garbage in it costs a part of each request


def load(environment: Mapping[str, str]) -> Service:
    """Load the model from where Azure ML puts it. Its name and version are what `ml_service.deploy` says."""
    for name in ("AZUREML_MODEL_DIR", "MODEL_NAME", "MODEL_VERSION"):
        if not environment.get(name):
            raise UserError(f"The environment variable {name} is missing: `ml_service.deploy` sets it.")
    folder = Path(environment["AZUREML_MODEL_DIR"])
    schemas = list(folder.rglob("schema.json"))
    if len(schemas) != 1:
        raise UserError(f"{folder} holds {len(schemas)} files schema.json: a model has one. Deploy one model.")
    return Service(model.load(schemas[0].parent), environment["MODEL_NAME"], int(environment["MODEL_VERSION"]))


def describe(service: Service) -> None:
    """Give the server this model's /swagger.json. It looks into the app's folder, which may be read-only."""
    folder = Path(tempfile.mkdtemp())
    for name in DESCRIPTIONS:
        (folder / name).write_bytes(scoring.description(service))
    config.app_root = str(folder)


def set_up_logging() -> None:
    """Leave one line a request: ours. What Application Insights gets from print() it gets from `traces`, too."""
    logging.getLogger("azmlinfsrv").setLevel(logging.ERROR)
    if gunicorn := sys.modules.get("gunicorn.glogging"):
        gunicorn.Logger.access_log_enabled = False  # a level comes too late: the line would be composed all the same
    printed = logging.getLogger("azmlinfsrv.print")
    printed.setLevel(logging.INFO)
    traces.handlers = printed.handlers
    traces.setLevel(logging.INFO)
    traces.propagate = False


@rawhttp  # type: ignore[untyped-decorator]
def run(request: Request) -> Response:
    """Answer one request."""
    began = time.perf_counter()
    answer = scoring.respond(service, request.method, read_body(request))
    # As Application Insights has them: `Client Request Id`, or else `Request Id`.
    request_id = g.client_request_id or g.request_id
    line = request_log.line(service, answer, request_id, request.headers.get("traceparent", ""), began)
    request_log.write(line)
    if traces.handlers:
        traces.info(line.decode().rstrip())
    response = Response(answer.body, answer.status, content_type="application/json")
    if answer.status == 405:
        response.allow.add("POST")
    return response


def read_body(request: Request) -> bytes | None:
    """Read a request to its end, so that the client listens to the answer; keep it only if it is not too large."""
    if request.content_length and request.content_length <= MAX_BODY_BYTES:
        return request.get_data(cache=False)
    kept = bytearray()
    while chunk := request.stream.read(65536):  # too large, or of a length that nobody knows
        if len(kept) <= MAX_BODY_BYTES:
            kept += chunk
    return bytes(kept) if len(kept) <= MAX_BODY_BYTES else None
