"""What a call is, what an answer is, and the table that leads from one to the other."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

# The hosts that clients call, as regular expressions over the whole name.
LOGIN = r"login\.(microsoftonline\.com|microsoft\.com|windows\.net)"
ARM = r"management\.azure\.com"
API = r"[a-z0-9]+\.api\.azureml\.ms"
BLOB = r"[a-z0-9]+\.blob\.core\.windows\.net"
IMDS = r"169\.254\.169\.254"
TELEMETRY = r".*\.(visualstudio\.com|applicationinsights\.azure\.com|events\.data\.microsoft\.com)"

WORKSPACE = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+"
    r"/providers/Microsoft\.MachineLearningServices/workspaces/(?P<name>[^/?]+)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Request:
    """One call, as a handler sees it. ``path`` is decoded, its workspace written as ``{ws}``."""

    method: str
    host: str
    path: str
    query_string: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def json(self) -> Any:
        """The body, parsed."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Refusal(400, "BadArgument", f"The body of {self.method} {self.path} is not JSON: {error}") from error


@dataclass(frozen=True)
class Reply:
    """An answer: bytes as they are, anything else as JSON, None as nothing."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else json.dumps(self.body).encode()


class Refusal(Exception):  # noqa: N818 - it is an answer
    """An error answer in the shape that Azure Resource Manager and Azure ML share."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers or {}

    def reply(self) -> Reply:
        error = {"code": self.code, "message": self.message, "details": []}
        flat = {**error, "statusCode": self.status}  # read by clients of modelmanagement
        pascal = {"Code": self.code, "Message": self.message}  # read by azureml-pipeline-core
        body = {**flat, "error": error, "Error": pascal}
        return Reply(body, self.status, self.headers)


def not_found(what: str) -> Refusal:
    """Say that a thing does not exist. Clients test the status, people read the sentence."""
    return Refusal(404, "NotFound", f"{what} cannot be found.")


Handler = Callable[..., Any]
AnyHandler = TypeVar("AnyHandler", bound=Handler)


@dataclass(frozen=True)
class Route:
    """One entry of the table. ``open`` routes ask for no credentials."""

    methods: frozenset[str]
    host: re.Pattern[str]
    path: re.Pattern[str]
    handler: Handler
    open: bool


ROUTES: list[Route] = []


def route(methods: str, host: str, path: str, open: bool = False) -> Callable[[AnyHandler], AnyHandler]:  # noqa: A002
    """Register a handler. ``{name}`` in a path is one segment, ``{name...}`` the rest; both become arguments.

    ``{ws}`` is the workspace: it has been checked already, and is no argument. The rest is a regular expression.
    """
    pattern = path.replace("{ws}", r"\{ws\}")
    pattern = re.sub(r"(?<!\\)\{(\w+)\.\.\.\}", r"(?P<\1>.+)", pattern)
    pattern = re.sub(r"(?<!\\)\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)

    def register(handler: AnyHandler) -> AnyHandler:
        compiled = re.compile(f"{pattern}/?", re.IGNORECASE)
        ROUTES.append(Route(frozenset(methods.split()), re.compile(host, re.IGNORECASE), compiled, handler, open))
        return handler

    return register


class Found(NamedTuple):
    """A route that fits, and the named parts of the path."""

    route: Route
    parts: dict[str, str]


def find(request: Request) -> Found | None:
    """Return the first route that fits."""
    for candidate in ROUTES:
        if request.method not in candidate.methods or not candidate.host.fullmatch(request.host):
            continue
        if found := candidate.path.fullmatch(request.path):
            return Found(candidate, {name: value for name, value in found.groupdict().items() if value is not None})
    return None


def page(items: list[Any]) -> dict[str, Any]:
    """Return a list that has no further pages, for azureml._restclient.clientbase._call_paginated_api."""
    return {"value": items, "continuationToken": None}  # a nextLink would be followed, even if it is null
