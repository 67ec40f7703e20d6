"""Artifacts: files that belong to runs and models, kept as blobs of the workspace's account."""

from typing import Any

from ..routes import API, Request, not_found, page, route
from ..state import State
from ..storage import now

ARTIFACTS = "/artifact/v2.0{ws}/artifacts"
RUN_ARTIFACTS = "/history/v1.0{ws}/experiment(s|ids)/{experiment}/runs/{run}/artifacts"
RUNS = "ExperimentRun"


def run_container(run_id: str) -> str:
    """Return the container of a run's artifacts, as its history names it."""
    return f"dcid.{run_id}"


def key(state: State, origin: str, container: str, path: str) -> str:
    return f"{state.workspace.account}/azureml/{origin}/{container}/{path.strip('/')}"


def paths(state: State, origin: str, container: str, prefix: str = "") -> list[str]:
    """Return the paths of a container's artifacts."""
    root = key(state, origin, container, "")
    return [found.removeprefix(root) for found in state.blobs.keys(root + prefix.lstrip("/"))]


def _artifact(origin: str, container: str, path: str) -> dict[str, Any]:
    place = {"origin": origin, "container": container, "path": path}
    return {"artifactId": f"{origin}/{container}/{path}", **place, "etag": "emulated", "createdTime": now()}


def _content(state: State, origin: str, container: str, path: str) -> dict[str, Any]:
    address = state.workspace.blob_url(key(state, origin, container, path))
    return {"contentUri": address, "origin": origin, "container": container, "path": path}


@route("POST", API, ARTIFACTS + "/batch/metadata/{origin}/{container}")
def create(state: State, request: Request, origin: str, container: str) -> Any:
    """Answer ArtifactsClient.create_empty_artifacts: where to upload to."""
    wanted = [entry["path"] for entry in request.json["paths"]]
    return {
        "artifacts": {path: _artifact(origin, container, path) for path in wanted},
        "artifactContentInformation": {path: _content(state, origin, container, path) for path in wanted},
        "errors": {},
    }


@route("GET", API, ARTIFACTS + "/contentinfo/{origin}/{container}(/{path...})?")
def get_content(state: State, request: Request, origin: str, container: str, path: str = "") -> Any:
    """Answer ArtifactsClient.get_file_uri."""
    path = path or request.query.get("path", "")
    if not state.blobs.exists(key(state, origin, container, path)):
        raise not_found(f"Artifact {origin}/{container}/{path}")
    return _content(state, origin, container, path)


@route("GET", API, ARTIFACTS + "/prefix/contentinfo/{origin}/{container}(/{path...})?")
def list_content(state: State, request: Request, origin: str, container: str, path: str = "") -> Any:
    """Answer ArtifactsClient.get_files_by_artifact_prefix_id."""
    prefix = path or request.query.get("path", "")
    return page([_content(state, origin, container, found) for found in paths(state, origin, container, prefix)])


@route("GET", API, ARTIFACTS + "/{origin}/{container}")
def list_artifacts(state: State, request: Request, origin: str, container: str) -> Any:
    """Answer ArtifactsClient.get_file_paths."""
    return page([_artifact(origin, container, found) for found in paths(state, origin, container)])


@route("POST", API, RUN_ARTIFACTS + "/batch/metadata")
def create_in_run(state: State, request: Request, experiment: str, run: str) -> Any:
    """Answer RunArtifactsClient._create_empty_artifacts of azureml-mlflow and azureml-core."""
    return create(state, request, RUNS, run_container(run))


@route("GET", API, RUN_ARTIFACTS + "(/path/{path...})?")
def list_in_run(state: State, request: Request, experiment: str, run: str, path: str = "") -> Any:
    """Answer RunArtifactsClient.get_file_paths."""
    container = run_container(run)
    return page([_artifact(RUNS, container, found) for found in paths(state, RUNS, container, path)])


@route("GET", API, RUN_ARTIFACTS + "/contentinfo(/{path...})?")
def get_content_in_run(state: State, request: Request, experiment: str, run: str, path: str = "") -> Any:
    """Answer RunArtifactsClient.download_artifact."""
    return get_content(state, request, RUNS, run_container(run), path)


@route("GET", API, RUN_ARTIFACTS + "/prefix/contentinfo(/{path...})?")
def list_content_in_run(state: State, request: Request, experiment: str, run: str, path: str = "") -> Any:
    """Answer RunArtifactsClient.get_files_by_artifact_prefix_id."""
    return list_content(state, request, RUNS, run_container(run), path)
