"""Compute targets: AmlCompute, there at the second look and never billed, and targets of other kinds, attached."""

from typing import Any

from ..routes import API, ARM, Reply, Request, not_found, page, route
from ..state import State
from ..storage import new_id, now

KIND, MADE = "computes", "made computes"
COMPUTES = r"(/rp/workspaces)?{ws}/computes"
NODES = ("preparing", "running", "idle", "unusable", "leaving", "preempted")
PROVISIONING_ERROR = {
    "code": "ClusterCoreQuotaReached",
    "message": "The specified subscription has a total vCPU quota of 0 and cannot accomodate a cluster of this size.",
    "details": [],
}


@route("GET", f"{ARM}|{API}", COMPUTES)
def list_computes(state: State, request: Request) -> Any:
    """Answer ComputeTarget.list."""
    return page([find(state, compute["name"]) for compute in state.documents.all(KIND)])


@route("GET", f"{ARM}|{API}", COMPUTES + "/{name}")
def get_compute(state: State, request: Request, name: str) -> Any:
    """Answer ComputeTarget._get, which takes 404 for "there is none"."""
    return find(state, name)


def find(state: State, name: str) -> Any:
    """Return a compute target. Whoever looks first sees it in the making."""
    if not (found := state.documents.get(KIND, name)):
        raise not_found(f"Compute {name}")
    if made := state.documents.get(MADE, name):
        state.documents.put(KIND, name, made)
        state.documents.remove(MADE, name)
    return found


@route("PUT", ARM, COMPUTES + "/{name}")
def put_compute(state: State, request: Request, name: str) -> Reply:
    """Answer ComputeTarget._create_compute_target, which polls the operation named in a header."""
    error = PROVISIONING_ERROR if state.faults.for_operation() else None
    made = state.documents.put(MADE, name, _compute(state, name, request.json, error))
    in_the_making = {"provisioningState": "Creating", "provisioningErrors": None}
    compute = state.documents.put(KIND, name, {**made, "properties": {**made["properties"], **in_the_making}})
    outcome = {"status": "Failed", "error": error} if error else {"status": "Succeeded"}
    return Reply(compute, 201, _operation(state, outcome))


@route("DELETE", ARM, COMPUTES + "/{name}")
def delete_compute(state: State, request: Request, name: str) -> Reply:
    """Answer ComputeTarget._delete_or_detach."""
    if not state.documents.remove(KIND, name):
        raise not_found(f"Compute {name}")
    return Reply(None, 202, _operation(state, {"status": "Succeeded"}))


@route("GET", ARM, "{ws}/operations/{operation}")
def get_operation(state: State, request: Request, operation: str) -> Any:
    """Answer ComputeTarget._get_operation_state."""
    if not (found := state.documents.get("operations", operation)):
        raise not_found(f"Operation {operation}")
    return found


def _operation(state: State, outcome: dict[str, Any]) -> dict[str, str]:
    name = new_id()
    state.documents.put("operations", name, outcome)
    own = state.workspace
    address = f"https://management.azure.com{own.scope}/operations/{name}?api-version=2018-11-19"
    return {"Azure-AsyncOperation": address}


def _compute(state: State, name: str, wanted: dict[str, Any], error: dict[str, Any] | None) -> dict[str, Any]:
    """Return a compute target with all that ComputeTarget._get and the classes' deserialize ask for."""
    asked = wanted["properties"]
    specifics = dict(asked.get("properties") or {})
    if asked["computeType"] == "AmlCompute":
        specifics = _cluster(specifics, error)
    return {
        "id": f"{state.workspace.scope}/computes/{name}",
        "name": name,
        "type": "Microsoft.MachineLearningServices/workspaces/computes",
        "location": wanted.get("location", state.workspace.region),
        "tags": wanted.get("tags"),
        **({"identity": wanted["identity"]} if wanted.get("identity") else {}),
        "properties": {
            "computeType": asked["computeType"],
            "computeLocation": asked.get("computeLocation", state.workspace.region),
            "description": asked.get("description"),
            "resourceId": asked.get("resourceId"),
            "provisioningState": "Failed" if error else "Succeeded",
            "provisioningErrors": [{"error": error}] if error else None,
            "createdOn": now(),
            "modifiedOn": now(),
            "isAttachedCompute": bool(asked.get("resourceId")),
            "properties": specifics,
        },
    }


def _cluster(asked: dict[str, Any], error: dict[str, Any] | None) -> dict[str, Any]:
    """Return the state of a cluster that has as many nodes as it keeps.

    Read by: azureml.core.compute.AmlCompute.deserialize, AmlComputeStatus.deserialize.
    """
    kept = int((asked.get("scaleSettings") or {}).get("minNodeCount") or 0)
    return {
        "subnet": None,
        "vmPriority": "Dedicated",
        **asked,
        "scaleSettings": {"nodeIdleTimeBeforeScaleDown": "PT300S", **(asked.get("scaleSettings") or {})},
        "errors": [error] if error else None,
        "allocationState": "Steady",
        "allocationStateTransitionTime": now(),
        "currentNodeCount": kept,
        "targetNodeCount": kept,
        "nodeStateCounts": {**{f"{state}NodeCount": 0 for state in NODES}, "idleNodeCount": kept},
    }
