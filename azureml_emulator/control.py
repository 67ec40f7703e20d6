"""The emulator's own API, for tests: what was called, what ran, and errors to order."""

from typing import Any

from .routes import Refusal, Reply, Request
from .state import State


def answer(state: State, request: Request) -> Reply:
    """Answer a call to ``/emulator/...``."""
    try:
        return Reply(_answer(state, request))
    except Refusal as refusal:
        return refusal.reply()


def _answer(state: State, request: Request) -> Any:  # noqa: PLR0911 - a table
    match request.method, request.path.rstrip("/"):
        case "GET", "/emulator/requests":
            return list(state.calls)
        case "GET", "/emulator/unknown":
            return [call for call in list(state.calls) if not call["known"]]
        case "GET", "/emulator/runs":
            return state.executor.report()
        case "GET", "/emulator/state":
            return state.documents.all(request.query.get("kind", ""))
        case "GET", "/emulator/faults":
            return state.faults.all()
        case "POST", "/emulator/faults":
            return state.faults.add(request.json)
        case "DELETE", "/emulator/faults":
            state.faults.clear()
            return state.faults.all()
    raise Refusal(
        404, "NotFound", f"The emulator has no {request.method} {request.path}; its README lists what it has."
    )
