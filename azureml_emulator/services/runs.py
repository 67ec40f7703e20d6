"""Run history: experiments, and runs with tags and properties."""

from typing import Any

from .. import odata, tokens
from ..routes import API, Request, not_found, page, route
from ..state import State
from ..storage import new_id, now
from . import artifacts

KIND = "runs"
HISTORY = "/history/v1.0{ws}"
EXPERIMENT = HISTORY + "/experiment(s|ids)/{experiment}"
RUN = EXPERIMENT + "/runs/{run}"
TOKEN_LIFETIME = 24 * 3600


def create(state: State, experiment: str, run_id: str, name: str, **details: Any) -> Any:
    """Add a run to the history."""
    run = {
        "runId": run_id,
        "rootRunId": run_id,
        "parentRunId": None,
        "name": name,
        "displayName": name,
        "experimentId": state.mlflow.ensure_experiment(experiment),
        "experimentName": experiment,
        "runNumber": len(state.documents.all(KIND)) + 1,
        "runUuid": new_id(),
        "status": "NotStarted",
        "createdUtc": now(),
        "startTimeUtc": None,
        "endTimeUtc": None,
        "createdBy": {"userName": "emulator"},
        "dataContainerId": artifacts.run_container(run_id),
        "tags": {},
        "properties": {},
        "target": None,
        "error": None,
        "inputDatasets": [],
        "outputDatasets": [],
        "hidden": False,
        **details,
    }
    return state.documents.put(KIND, run_id, run)


def change(state: State, run_id: str, **changes: Any) -> Any:
    """Change a run; tags and properties are added to those there are."""
    with state.lock:
        known = find(state, run_id)
        for name in ("tags", "properties"):
            if name in changes:
                changes[name] = {**known[name], **(changes[name] or {})}
        return state.documents.update(KIND, run_id, **changes)


def find(state: State, run_id: str) -> Any:
    if not (found := state.documents.get(KIND, run_id)):
        raise not_found(f"Run {run_id}")
    return found


# ---- experiments


def _experiment(state: State, name: str) -> dict[str, Any]:
    known = {"experimentId": state.mlflow.ensure_experiment(name), "name": name}
    return {**known, "description": None, "createdUtc": now(), "tags": {}, "archivedTime": None}


@route("GET", API, HISTORY + "/experiments/{experiment}")
def get_experiment(state: State, request: Request, experiment: str) -> Any:
    """Answer WorkspaceClient.get_experiment."""
    if state.mlflow.experiment_id(experiment) is None:
        raise not_found(f"Experiment {experiment}")
    return _experiment(state, experiment)


@route("GET", API, HISTORY + "/experimentids/{experiment}")
def get_experiment_by_id(state: State, request: Request, experiment: str) -> Any:
    """Answer WorkspaceClient.get_experiment_by_id."""
    if not (name := state.mlflow.experiment_name(experiment)):
        raise not_found(f"Experiment {experiment}")
    return _experiment(state, name)


@route("POST", API, HISTORY + "/experiments/{experiment}")
def post_experiment(state: State, request: Request, experiment: str) -> Any:
    """Answer WorkspaceClient.get_or_create_experiment."""
    return _experiment(state, experiment)


# ---- runs


@route("GET", API, RUN)
def get_run(state: State, request: Request, experiment: str, run: str) -> Any:
    """Answer RunClient.get_run."""
    return find(state, run)


@route("GET", API, "/history/v1.0(/private)?{ws}/runs/{run}")
def get_workspace_run(state: State, request: Request, run: str) -> Any:
    """Answer Run.get(workspace, run_id)."""
    return find(state, run)


@route("PATCH", API, RUN)
def patch_run(state: State, request: Request, experiment: str, run: str) -> Any:
    """Answer RunClient.patch_run and create_child_run."""
    changes = {name: value for name, value in request.json.items() if value is not None and name != "runId"}
    if state.documents.get(KIND, run):
        return change(state, run, **changes)
    parent = state.documents.get(KIND, changes.get("parentRunId", ""))
    if not parent:
        raise not_found(f"Run {run}")
    return create(state, parent["experimentName"], run, **{"name": run, "rootRunId": parent["rootRunId"], **changes})


@route("DELETE", API, RUN + "/tags")
def delete_tags(state: State, request: Request, experiment: str, run: str) -> Any:
    """Answer RunClient.delete_run_tags."""
    kept = {name: value for name, value in find(state, run)["tags"].items() if name not in request.json}
    return state.documents.update(KIND, run, tags=kept)


@route("GET", API, RUN + "/details")
def get_details(state: State, request: Request, experiment: str, run: str) -> Any:
    """Answer RunClient.get_runstatus: Run.get_details."""
    found = find(state, run)
    wanted = [
        "runId",
        "target",
        "status",
        "startTimeUtc",
        "endTimeUtc",
        "error",
        "properties",
        "inputDatasets",
        "outputDatasets",
    ]
    container = artifacts.run_container(run)
    logs = {
        path: state.workspace.blob_url(artifacts.key(state, artifacts.RUNS, container, path))
        for path in artifacts.paths(state, artifacts.RUNS, container)
        if path.startswith(("user_logs/", "logs/"))
    }
    return {**{name: found[name] for name in wanted}, "warnings": [], "runDefinition": None, "logFiles": logs}


@route("GET", API, RUN + "/children")
def list_children(state: State, request: Request, experiment: str, run: str) -> Any:
    """Answer RunClient.get_child_runs: Run.get_children, PipelineRun.get_steps."""
    return page([found for found in reversed(state.documents.all(KIND)) if found["parentRunId"] == run])


@route("POST", API, EXPERIMENT + "/runs:query")
def query_runs(state: State, request: Request, experiment: str) -> Any:
    """Answer ExperimentClient.get_runs: Experiment.get_runs, newest first."""
    expression = (request.json or {}).get("filter")
    runs = [run for run in state.documents.all(KIND) if experiment in (run["experimentName"], run["experimentId"])]
    return page([run for run in reversed(runs) if not expression or odata.matches(run, expression)])


@route("POST", API, RUN + "/events")
def post_event(state: State, request: Request, experiment: str, run: str) -> None:
    """Answer RunClient.post_event. The executor, not the step, decides how a run ends."""


@route("GET POST", API, RUN + "/token")
def give_token(state: State, request: Request, experiment: str, run: str) -> dict[str, str]:
    """Answer azureml.mlflow._common._authentication.AzureMLTokenAuthentication, which refreshes a job's token."""
    return {"token": run_token(state, run), "expiryTimeUtc": "2099-01-01T00:00:00Z"}


def run_token(state: State, run_id: str) -> str:
    """Return the token that a job has instead of a person's."""
    claims = {"aud": "https://ml.azure.com", "appid": "azureml-run", "runId": run_id}
    return tokens.issue(state.workspace.tenant, run_id, TOKEN_LIFETIME, **claims)
