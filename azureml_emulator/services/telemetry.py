"""Telemetry: taken, and forgotten."""

from typing import Any

from ..routes import TELEMETRY, Request, not_found, route
from ..state import State


@route("POST GET", TELEMETRY, "/.*", open=True)
def take(state: State, request: Request) -> dict[str, Any]:
    """Answer azureml.telemetry and applicationinsights.channel.SenderBase.send."""
    return {"itemsReceived": 1, "itemsAccepted": 1, "errors": []}


@route("GET POST", r".*\.mlflow-telemetry\.io", "/.*", open=True)
def want_none(state: State, request: Request) -> None:
    """Answer mlflow.telemetry.client, which sends nothing where it finds no configuration."""
    raise not_found("The configuration of telemetry")
