"""Models as SDK v1 sees them. There is one registry, MLflow's: what either client registers, both find."""

from typing import Any

from ..mlflow_store import run_path
from ..routes import API, Request, not_found, page, route
from ..state import State
from ..storage import now
from .artifacts import RUNS, run_container

MODELS = "/modelmanagement/v1.0{ws}/models"
ASSETS = "/modelmanagement/v1.0{ws}/assets"
ABSENT = [
    "framework",
    "frameworkVersion",
    "experimentName",
    "sampleInputData",
    "sampleOutputData",
    "resourceRequirements",
    "parentModelId",
]


@route("POST", API, ASSETS)
def post_asset(state: State, request: Request) -> Any:
    """Answer AssetsClient.create_asset."""
    name = f"{len(state.documents.all('assets')) + 1:032x}"
    return state.documents.put("assets", name, {**request.json, "id": name, "createdTime": now()})


@route("GET", API, ASSETS + "/{asset}")
def get_asset(state: State, request: Request, asset: str) -> Any:
    """Answer AssetsClient.get_asset_by_id: where a model's files lie. MLflow's models have theirs among a run's."""
    if found := state.documents.get("assets", asset):
        return found
    name, _, number = asset.removeprefix("version-").rpartition("-")
    version = _find(state, name, number)
    run, _, path = (run_path(version.source) or "").partition("/")
    prefix = f"{RUNS}/{run_container(run)}/{path}"
    details = {"kvTags": {}, "properties": {}, "runId": run, "createdTime": now()}
    return {"id": asset, "name": name, **details, "artifacts": [{"id": None, "prefix": prefix}]}


@route("POST", API, MODELS)
def post_model(state: State, request: Request) -> Any:
    """Answer Model._register_with_asset."""
    from mlflow.entities.model_registry import ModelVersionTag  # noqa: PLC0415
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    wanted, registry = request.json, state.mlflow.registry
    try:
        registry.create_registered_model(wanted["name"])
    except MlflowException:
        registry.get_registered_model(wanted["name"])
    tags = [ModelVersionTag(name, str(value)) for name, value in (wanted.get("kvTags") or {}).items()]
    version = registry.create_model_version(
        wanted["name"], wanted.get("url") or "", wanted.get("runId"), tags, None, wanted.get("description")
    )
    state.documents.put("models", f"{version.name}:{version.version}", {**wanted, "createdTime": now()})
    return _model(state, version)


@route("GET", API, MODELS)
def list_models(state: State, request: Request) -> Any:
    """Answer ModelsClient.query: Model.list, and Model(ws, name)."""
    query = request.query
    wanted = [tag.partition("=") for tag in (query.get("tags") or query.get("tag") or "").split(",") if tag]
    condition = f"name='{query['name']}'" if query.get("name") else None
    versions = state.mlflow.registry.search_model_versions(condition, max_results=10_000)
    models = sorted((_model(state, version) for version in versions), key=lambda model: -model["version"])
    models = [
        model
        for model in models
        if query.get("runId") in (None, "", model["runId"])
        and all(model["kvTags"].get(name) == value if value else name in model["kvTags"] for name, _, value in wanted)
    ]
    if query.get("latestVersionOnly", "").lower() == "true":
        models = list({model["name"]: model for model in reversed(models)}.values())
    return page(models)


@route("GET", API, MODELS + "/{name}:{number}")
def get_model(state: State, request: Request, name: str, number: str) -> Any:
    """Answer azureml.core.Model(ws, id=...) and Model(ws, name, version=...)."""
    return find(state, name, number)


@route("PATCH", API, MODELS + "/{name}:{number}")
def patch_model(state: State, request: Request, name: str, number: str) -> Any:
    """Answer Model.update, add_tags, remove_tags, add_properties: a JSON patch."""
    from mlflow.entities.model_registry import ModelVersionTag  # noqa: PLC0415

    registry, version = state.mlflow.registry, _find(state, name, number)
    for change in request.json:
        field, _, part = change["path"].strip("/").partition("/")
        if field == "kvTags" and change["op"] == "remove":
            registry.delete_model_version_tag(name, number, part)
        elif field == "kvTags":
            for tag, value in {part: change["value"]}.items() if part else change["value"].items():
                registry.set_model_version_tag(name, number, ModelVersionTag(tag, str(value)))
        elif field == "description":
            registry.update_model_version(name, number, change.get("value"))
        else:
            _patch_details(state, version, field, part, change)
    return find(state, name, number)


def _patch_details(state: State, version: Any, field: str, part: str, change: dict[str, Any]) -> None:
    key = f"{version.name}:{version.version}"
    details = dict(state.documents.get("models", key) or {})
    value = change.get("value")
    details[field] = {**(details.get(field) or {}), part: value} if part else value
    state.documents.put("models", key, details)


def find(state: State, name: str, number: str) -> dict[str, Any]:
    """Return a version as SDK v1 sees it."""
    return _model(state, _find(state, name, number))


def _find(state: State, name: str, number: str) -> Any:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    try:
        return state.mlflow.registry.get_model_version(name, number)
    except MlflowException as error:
        raise not_found(f"Model {name}:{number}") from error


def _model(state: State, version: Any) -> dict[str, Any]:
    """Return a version of MLflow's registry with all that Model._initialize asks for."""
    name = f"{version.name}:{version.version}"
    return {
        **dict.fromkeys(ABSENT),
        "framework": "Custom",
        "mimeType": "application/x-python",
        "url": f"aml://asset/version-{version.name}-{version.version}",
        "unpack": False,
        "properties": {},
        "datasets": [],
        "createdBy": {"userName": "emulator"},
        "createdTime": now(),
        "modifiedTime": now(),
        **(state.documents.get("models", name) or {}),
        "id": name,
        "name": version.name,
        "version": int(version.version),
        "kvTags": dict(version.tags),
        "description": version.description,
        "runId": version.run_id or None,
    }
