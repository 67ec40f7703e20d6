"""What Azure DevOps answers a job that asks about builds and their artifacts.

learn.microsoft.com/rest/api/azure/devops/build/builds/get, .../artifacts/list and .../leases/add
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from .runner import Agent, Build

TOKEN = "token of the job"  # noqa: S105 - what Job gives to scripts
RESULTS = {
    "Succeeded": "succeeded",
    "SucceededWithIssues": "partiallySucceeded",
    "Failed": "failed",
    "Canceled": "canceled",
    "Skipped": "succeeded",
}
ASKED = re.compile(r"/([^/]+)/_apis/build/builds/(\d+)(/artifacts)?")


@contextmanager
def answering(agent: Agent) -> Iterator[list[str]]:
    """Have an agent's jobs find its builds where they look for them. Yields the paths that they ask for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send(*answer(agent, self.path, self.headers.get("Authorization", "")))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send(*lease(agent, self.path, self.headers.get("Authorization", ""), body))

        def send(self, status: HTTPStatus, content: dict[str, Any]) -> None:
            self.send_response(status)
            if status == HTTPStatus.FOUND:
                self.send_header("Location", "https://login.example.com/")
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        before, where = agent.predefined, f"http://127.0.0.1:{server.server_port}/"
        agent.predefined = {**before, "System.CollectionUri": where}
        try:
            yield asked
        finally:
            agent.predefined = before
            server.shutdown()


def answer(agent: Agent, path: str, authorization: str) -> tuple[HTTPStatus, dict[str, Any]]:
    """Return status and content of an answer. Who has no token is sent to the page for logging in."""
    url = urlsplit(path)
    match = ASKED.fullmatch(url.path)
    if authorization != f"Bearer {TOKEN}":
        return HTTPStatus.FOUND, {}
    if not match or match[1] != agent.predefined["System.TeamProjectId"] or not url.query.startswith("api-version="):
        return HTTPStatus.BAD_REQUEST, {"message": f"{path} is not known here."}
    found = next((one for one in reversed(agent.builds) if one.number == match[2]), None)  # its last attempt
    if found is None:
        return HTTPStatus.NOT_FOUND, {"message": f"The requested build {match[2]} could not be found."}
    return HTTPStatus.OK, artifacts(found) if match[3] else about(found, agent)


def lease(agent: Agent, path: str, authorization: str, body: Any) -> tuple[HTTPStatus, dict[str, Any]]:
    """Keep builds for some days."""
    url = urlsplit(path)
    if authorization != f"Bearer {TOKEN}":
        return HTTPStatus.FOUND, {}
    if url.path != f"/{agent.predefined['System.TeamProjectId']}/_apis/build/retention/leases" or not url.query:
        return HTTPStatus.BAD_REQUEST, {"message": f"{path} is not known here."}
    for one in body:
        if one.keys() != {"daysValid", "definitionId", "ownerId", "protectPipeline", "runId"}:
            return HTTPStatus.BAD_REQUEST, {"message": f"{sorted(one)} make no lease."}
        agent.leases.setdefault(str(one["runId"]), []).append(one["daysValid"])
    return HTTPStatus.OK, {"count": len(body), "value": body}


def about(build: Build, agent: Agent) -> dict[str, Any]:
    files = list(agent.pipelines.values())
    definition = {"id": files.index(build.file) + 1, "name": list(agent.pipelines)[files.index(build.file)]}
    branch = agent.predefined["Build.SourceBranch"]
    ended = {"status": "completed", "result": RESULTS[build.result]}
    source = {"sourceBranch": branch, "sourceVersion": build.commit}
    return {"id": int(build.number), **ended, **source, "deleted": False, "definition": definition}


def artifacts(build: Build) -> dict[str, Any]:
    names = sorted(folder.name for folder in build.artifacts.iterdir()) if build.artifacts.exists() else []
    kept = [{"name": name, "resource": {"type": "PipelineArtifact"}} for name in names]
    return {"count": len(kept), "value": kept}
