"""Errors on demand: rules that make the next calls, the next step or the next operation fail."""

import re
import threading
from dataclasses import asdict, dataclass, fields
from typing import Any

from .routes import Refusal, Reply, Request

SENTENCES = {
    401: ("ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than current UTC time."),
    403: ("AuthorizationFailed", "The client does not have authorization to perform this action over this scope."),
    409: ("Conflict", "Another operation on this resource is in progress."),
    429: ("TooManyRequests", "The request is throttled: too many requests."),
    500: ("ServiceError", "InternalServerError"),
}


@dataclass
class Rule:
    """A fault of calls (``path``; ``status`` or ``delay``), of a step or an operation. ``times`` None is for ever."""

    method: str = ""
    path: str = ""
    status: int | None = None
    body: Any = None
    delay: float = 0
    step: str = ""
    exit: int = 1
    operation: str = ""
    times: int | None = 1

    def fits(self, request: Request, path: str) -> bool:
        if not self.path or self.method.upper() not in ("", request.method):
            return False
        return re.search(self.path, request.host + path) is not None

    def reply(self) -> Reply | None:
        """Return the error answer, or None if the call is only delayed."""
        if self.status is None:
            return None
        headers = {"Retry-After": "1"} if self.status == 429 else {}
        code, message = SENTENCES.get(
            self.status, ("EmulatedFault", f"A fault rule answers this call with {self.status}.")
        )
        if self.body is None:
            return Refusal(self.status, code, message, headers).reply()
        return Reply(self.body.encode() if isinstance(self.body, str) else self.body, self.status, headers)


class Faults:
    """The rules that are still to strike, the oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []

    def add(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Add a rule, or say what is wrong with it."""
        known = {field.name for field in fields(Rule)}
        if unknown := set(wanted) - known:
            raise Refusal(
                400, "BadRule", f"A fault has no {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}."
            )
        rule = Rule(**wanted)
        if not (rule.path or rule.step or rule.operation):
            raise Refusal(400, "BadRule", "A fault names a path, a step or an operation.")
        if rule.operation not in ("", "failed"):
            raise Refusal(400, "BadRule", "An operation may be failed, and nothing else.")
        if rule.path and rule.status is None and not rule.delay:
            raise Refusal(400, "BadRule", "A fault with a path has a status, a delay or both.")
        try:
            re.compile(rule.path)
        except re.error as error:
            raise Refusal(400, "BadRule", f"path {rule.path!r} is no regular expression: {error}") from error
        with self._lock:
            self._rules.append(rule)
        return asdict(rule)

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()

    def all(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(rule) for rule in self._rules]

    def for_call(self, request: Request, path: str) -> Rule | None:
        return self._take(lambda rule: rule.fits(request, path))

    def for_step(self, name: str) -> Rule | None:
        return self._take(lambda rule: rule.step == name)

    def for_operation(self) -> Rule | None:
        return self._take(lambda rule: rule.operation == "failed")

    def _take(self, fits: Any) -> Rule | None:
        with self._lock:
            rule = next(filter(fits, self._rules), None)
            if rule and rule.times is not None:
                rule.times -= 1
                if rule.times <= 0:
                    self._rules.remove(rule)
            return rule
