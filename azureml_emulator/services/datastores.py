"""Datastores: names for blob containers. The workspace has one by default."""

from typing import Any

from ..routes import API, Refusal, Request, not_found, page, route
from ..state import State

KIND = "datastores"
DEFAULT = "workspaceblobstore"
DATASTORES = "/datastore/v1.0{ws}/datastores"


@route("GET", API, "/datastore/v1.0{ws}/default")
def get_default(state: State, request: Request) -> Any:
    """Answer DatastoreClient.get_default."""
    return _datastore(state, DEFAULT, {})


@route("GET", API, DATASTORES)
def list_datastores(state: State, request: Request) -> Any:
    """Answer DatastoreClient.list."""
    return page([_datastore(state, DEFAULT, {}), *state.documents.all(KIND)])


@route("GET", API, DATASTORES + "/{name}")
def get_datastore(state: State, request: Request, name: str) -> Any:
    """Answer DatastoreClient.get, and rslex where it resolves a path on a datastore."""
    return find(state, name)


@route("POST", API, DATASTORES)
def post_datastore(state: State, request: Request) -> Any:
    """Answer DatastoreClient._register."""
    wanted = request.json
    if wanted.get("dataStoreType") != "AzureBlob":
        raise Refusal(400, "UserError", f"The emulator has no datastores of type {wanted.get('dataStoreType')}.")
    section = {key: value for key, value in (wanted.get("azureStorageSection") or {}).items() if value is not None}
    return state.documents.put(KIND, wanted["name"], _datastore(state, wanted["name"], section))


def find(state: State, name: str) -> Any:
    """Return a datastore, or say that there is none."""
    if name == DEFAULT:
        return _datastore(state, DEFAULT, {})
    if not (found := state.documents.get(KIND, name)):
        raise not_found(f"Datastore {name}")
    return found


def container(state: State, name: str) -> str:
    """Return the key under which a datastore's blobs lie."""
    section = find(state, name)["azureStorageSection"]
    return f"{section['accountName']}/{section['containerName']}"


def _datastore(state: State, name: str, section: dict[str, Any]) -> dict[str, Any]:
    key = "ZW11bGF0ZWQ="
    defaults = {
        "accountName": state.workspace.account,
        "containerName": state.workspace.default_container,
        "endpoint": "core.windows.net",
        "protocol": "https",
        "credentialType": "AccountKey",
        "credential": key,
        "accountKey": key,
        "isSas": False,
        "blobCacheTimeout": 0,
    }
    known = {"name": name, "dataStoreType": "AzureBlob", "hasBeenValidated": True, "tags": {}}
    return {**known, "azureStorageSection": {**defaults, **section}}
