"""Runs of pipelines, as azureml-pipeline-core sees them; the run history sees them too."""

from typing import Any

from .. import job
from ..routes import API, Refusal, Request, not_found, route
from ..state import State
from .modules import ACTIVE, ROOT, find
from .pipelines import get_pipeline, store_graph

KIND = "pipeline_runs"
# The words that replace numbers: _AevaPipelineRunProvider.get_status and _AevaStepRunProvider.get_status take both.
SDK_STATUS = {"Completed": "Finished"}


@route("POST", API, ROOT + "/PipelineRuns/PipelineSubmit/{pipeline}")
def submit(state: State, request: Request, pipeline: str) -> Any:
    """Answer PublishedPipeline.submit, and the plain REST call that a pipeline's endpoint is."""
    published = get_pipeline(state, request, pipeline)
    if published["EntityStatus"] != ACTIVE:
        raise Refusal(400, "UserError", f"Pipeline {pipeline} is disabled: it cannot be submitted.")
    run = state.executor.prepare(_merged(published, request.json or {}), published)
    state.executor.start(run["id"])
    return _entity(state, run)


@route("POST", API, ROOT + "/PipelineRuns/Unsubmitted/CreationInfoWithGraph")
def create_unsubmitted(state: State, request: Request) -> Any:
    """Answer the first half of Experiment.submit(pipeline)."""
    wanted = request.json
    pipeline = {"Id": None, "Name": wanted.get("Description"), "GraphId": store_graph(state, wanted)}
    information = {"ExperimentName": request.query.get("experimentName"), **(wanted.get("CreationInfo") or wanted)}
    return _entity(state, state.executor.prepare(_merged(pipeline, information), pipeline))


@route("POST", API, ROOT + "/PipelineRuns/Submit/{run}")
def submit_created(state: State, request: Request, run: str) -> None:
    """Answer the second half of Experiment.submit(pipeline)."""
    find(state, KIND, run, "Pipeline run")
    state.executor.start(run)


def _merged(pipeline: dict[str, Any], submission: dict[str, Any]) -> dict[str, Any]:
    """Return a submission, with what was assigned at publication where it assigns nothing."""
    names = ("ParameterAssignments", "DataSetDefinitionValueAssignments")
    return {**submission, **{name: {**(pipeline.get(name) or {}), **(submission.get(name) or {})} for name in names}}


def _entity(state: State, run: dict[str, Any]) -> dict[str, Any]:
    status = SDK_STATUS.get(run["status"], run["status"])
    return {
        "Id": run["id"],
        "RunHistoryExperimentName": run["experiment"],
        "PipelineId": run["pipeline"],
        "GraphId": run["graph"],
        "EntityStatus": ACTIVE,
        "ParameterAssignments": run["submission"]["ParameterAssignments"],
        "DataSetDefinitionValueAssignments": run["submission"]["DataSetDefinitionValueAssignments"],
        "Status": {"StatusCode": status, "StatusDetail": None},
    }


@route("GET", API, ROOT + "/PipelineRuns/{run}")
def get_pipeline_run(state: State, request: Request, run: str) -> Any:
    """Answer PipelineRun.get_status and PipelineRun.get."""
    return _entity(state, find(state, KIND, run, "Pipeline run"))


@route("GET", API, ROOT + "/PipelineRuns/Pipeline/{pipeline}")
def list_pipeline_runs(state: State, request: Request, pipeline: str) -> Any:
    """Answer PipelineRun.get_pipeline_runs, newest first."""
    runs = [run for run in state.documents.all(KIND) if run["pipeline"] == pipeline]
    return [_entity(state, run) for run in runs[::-1]]


@route("DELETE", API, ROOT + "/PipelineRuns/{run}/Execution")
def cancel(state: State, request: Request, run: str) -> None:
    """Answer PipelineRun.cancel."""
    find(state, KIND, run, "Pipeline run")
    state.executor.cancel(run)


def _node(state: State, request: Request, run: str) -> Any:
    """Return the node that the body names as a path, of which there is one segment: pipelines do not nest here."""
    name = request.json[-1]
    nodes = find(state, KIND, run, "Pipeline run")["nodes"]
    if name not in nodes:
        raise not_found(f"Node {name}")
    return nodes[name]


@route("POST", API, ROOT + "/PipelineRuns/{run}/Graph/Node/StatusCode")
def get_node_status_code(state: State, request: Request, run: str) -> Any:
    """Answer StepRun.get_status."""
    status = _node(state, request, run)["status"]
    return SDK_STATUS.get(status, status)


@route("POST", API, ROOT + "/PipelineRuns/{run}/Graph/Node/Status")
def get_node_status(state: State, request: Request, run: str) -> Any:
    """Answer _AevaStepRunProvider.get_run_id."""
    node = _node(state, request, run)
    return {"StatusCode": SDK_STATUS.get(node["status"], node["status"]), "RunId": node["runId"]}


@route("POST", API, ROOT + "/PipelineRuns/{run}/Graph/Shareable/{stream}")
def get_log_address(state: State, request: Request, run: str, stream: str) -> str:
    """Answer StepRun.get_stdout_log and its likes: there is one log, of both streams."""
    return job.log(state, _node(state, request, run)["runId"]) if stream.upper() == "STDOUT" else ""
