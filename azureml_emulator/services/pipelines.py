"""Published pipelines and their graphs."""

from typing import Any

from ..routes import API, Request, route
from ..state import State
from ..storage import new_id, now
from .modules import ACTIVE, ROOT, find


def store_graph(state: State, posted: dict[str, Any]) -> str:
    graph = new_id()
    wanted = {"graph": posted["Graph"], "interface": posted.get("GraphInterface") or {}}
    state.documents.put("graphs", graph, wanted)
    return graph


@route("POST", API, ROOT + "/Pipelines/Create")
def publish(state: State, request: Request) -> Any:
    """Answer _AevaPublishedPipelineProvider.create_from_graph: Pipeline.publish."""
    wanted, pipeline = request.json, new_id()
    own = state.workspace
    entity = {
        "Id": pipeline,
        "Name": wanted.get("Name"),
        "Description": wanted.get("Description"),
        "Version": wanted.get("Version"),
        "GraphId": store_graph(state, wanted),
        "TotalRunSteps": len(wanted["Graph"].get("ModuleNodes") or []),
        "ParameterAssignments": wanted.get("ParameterAssignments") or {},
        "DataSetDefinitionValueAssignments": wanted.get("DataSetDefinitionValueAssignments") or {},
        "Url": f"{own.api}/pipelines/v1.0{own.scope}/PipelineRuns/PipelineSubmit/{pipeline}",
        "EntityStatus": ACTIVE,
        "CreatedDate": now(),
        "LastModifiedDate": now(),
        "ContinueRunOnStepFailure": bool(wanted.get("ContinueRunOnStepFailure")),
        "Properties": wanted.get("Properties") or {},
    }
    return state.documents.put("pipelines", pipeline, entity)


@route("GET", API, ROOT + "/Pipelines")
def list_pipelines(state: State, request: Request) -> Any:
    """Answer PublishedPipeline.list, newest first."""
    everything = request.query.get("activeOnly", "true").lower() == "false"
    found = [entry for entry in state.documents.all("pipelines") if everything or entry["EntityStatus"] == ACTIVE]
    return found[::-1]


@route("GET", API, ROOT + "/Pipelines/{pipeline}")
def get_pipeline(state: State, request: Request, pipeline: str) -> Any:
    """Answer PublishedPipeline.get."""
    return find(state, "pipelines", pipeline, "Pipeline")


@route("PUT", API, ROOT + "/Pipelines/{pipeline}/status")
def set_status(state: State, request: Request, pipeline: str) -> None:
    """Answer PublishedPipeline.enable and disable."""
    find(state, "pipelines", pipeline, "Pipeline")
    state.documents.update("pipelines", pipeline, EntityStatus=str(request.json))


@route("GET", API, ROOT + "/Graphs/{graph}(/{part})?")
def get_graph(state: State, request: Request, graph: str, part: str = "") -> Any:
    """Answer _AevaGraphProvider.create_graph_from_run."""
    return find(state, "graphs", graph, "Graph")["interface" if part else "graph"]
