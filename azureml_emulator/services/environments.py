"""Environments: definitions by name, every version of them kept. Nothing is built."""

from typing import Any

from ..routes import API, Refusal, Request, not_found, page, route
from ..state import State

KIND = "environments"
ENVIRONMENTS = "/environment/v1.0{ws}/environments"


@route("GET", API, ENVIRONMENTS)
def list_environments(state: State, request: Request) -> Any:
    """Answer EnvironmentClient._list_definitions."""
    return page([versions[-1] for versions in state.documents.all(KIND)])


@route("GET", API, ENVIRONMENTS + "/{name}(/versions/{version})?")
def get_environment(state: State, request: Request, name: str, version: str = "") -> Any:
    """Answer EnvironmentClient._get_environment_definition."""
    for found in reversed(state.documents.get(KIND, name) or []):
        if version in ("", found["version"]):
            return found
    raise not_found(f"Environment {name}" + (f", version {version}," if version else ""))


@route("PUT", API, ENVIRONMENTS + "/{name}(/versions/{version})?")
def put_environment(state: State, request: Request, name: str, version: str = "") -> Any:
    """Answer EnvironmentClient._register_environment_definition: what is known already makes no version."""
    definition = {key[:1].lower() + key[1:]: value for key, value in request.json.items() if key.lower() != "version"}
    known = state.documents.get(KIND, name) or []
    for found in known:
        if {**found, "version": None} == {**definition, "version": None}:
            return found
    return state.documents.append(
        KIND, name, lambda versions: {**definition, "version": version or str(len(versions) + 1)}
    )


def check(state: State, step: str, posted: dict[str, Any]) -> None:
    """Refuse a step whose environment was not registered. Azure would build it: here it is taken for a mistake.

    Its text is that of a registered version of the name: azureml.core.Environment._serialize_to_dict.
    """
    known = state.documents.get(KIND, str(posted.get("name"))) or []
    if not any(_packages(version) == _packages(posted) for version in known):
        raise Refusal(400, "UserError", f"Step {step} is to run in {posted.get('name')!r}, which was not registered.")


def _packages(environment: dict[str, Any]) -> Any:
    return (environment.get("python") or {}).get("condaDependencies")
