"""What pipelines are made of: data types, data sources, and modules, which are steps without their connections."""

from typing import Any

from ..routes import API, Request, not_found, route
from ..state import State
from ..storage import new_id, now

ROOT = "/pipelines/v1.0{ws}"
# The words that replace numbers: AE3PServiceCaller.entity_status_from_enum takes both.
ACTIVE = "Active"
COMPLETED = "1"


def find(state: State, kind: str, key: str, what: str) -> Any:
    """Return a document, or say that there is none."""
    if not (found := state.documents.get(kind, key)):
        raise not_found(f"{what} {key}")
    return found


@route("GET", API, ROOT + "/DataTypes")
def list_data_types(state: State, request: Request) -> Any:
    """Answer _AevaDataTypeProvider.get_all_datatypes."""
    return state.documents.all("data_types")


@route("POST", API, ROOT + "/DataTypes")
def post_data_type(state: State, request: Request) -> Any:
    """Answer _AevaDataTypeProvider.create_datatype."""
    wanted = request.json
    return state.documents.put("data_types", wanted["Id"], {**wanted, "EntityStatus": ACTIVE})


@route("GET", API, ROOT + "/Modules/Hash/{digest}")
def get_module_by_hash(state: State, request: Request, digest: str) -> Any:
    """Answer _AevaModuleProvider.find_module_by_fingerprint."""
    return get_module(state, request, find(state, "module_hashes", digest, "Module"))


@route("GET", API, ROOT + "/Modules/{module}")
def get_module(state: State, request: Request, module: str) -> Any:
    """Answer _AevaModuleProvider.download."""
    return find(state, "modules", module, "Module")


@route("POST", API, ROOT + "/Modules")
def post_module(state: State, request: Request) -> Any:
    """Answer _AevaModuleProvider.create_module. A module is found by its hash only if its upload is complete."""
    wanted, module = request.json, new_id()
    entity = {
        **wanted,
        "Id": module,
        "EntityStatus": ACTIVE,
        "UploadState": COMPLETED,
        "CreatedDate": now(),
        "LastModifiedDate": now(),
        "DataLocation": {"StorageType": "0", "StorageId": wanted.get("StorageId")},
    }
    state.documents.put("modules", module, {"Data": entity, "Interface": _interface(wanted["StructuredInterface"])})
    if digest := wanted.get("IdentifierHash"):
        state.documents.put("module_hashes", digest, module)
    return entity


def _interface(structured: dict[str, Any]) -> dict[str, Any]:
    """Return a module's interface as _AevaModuleProvider.from_module_info reads it back."""

    def parameters(kind: str) -> list[dict[str, Any]]:
        return [
            {
                **{name: entry.get(name) for name in ("Name", "DefaultValue", "IsOptional")},
                "Type": entry.get("ParameterType"),
            }
            for entry in structured.get(kind) or []
        ]

    inputs = [
        {"Name": port["Name"], "DataTypesIds": port.get("DataTypeIdsList"), "IsOptional": port.get("IsOptional")}
        for port in structured.get("Inputs") or []
    ]
    outputs = [{"Name": port["Name"], "DataTypeId": port.get("DataTypeId")} for port in structured.get("Outputs") or []]
    return {
        "Parameters": parameters("Parameters"),
        "MetadataParameters": parameters("MetadataParameters"),
        "Ports": {"Inputs": inputs, "Outputs": outputs},
        "DataPathParameters": [],
        "DataPathParameterList": [],
    }


@route("GET", API, ROOT + "/DataSources/Hash/{digest}")
def get_data_source_by_hash(state: State, request: Request, digest: str) -> Any:
    """Answer _AevaDataSourceProvider.find_datasource_by_fingerprint."""
    found = [source for source in state.documents.all("data_sources") if source.get("IdentifierHash") == digest]
    if not found:
        raise not_found(f"Data source {digest}")
    return found[0]


@route("GET", API, ROOT + "/DataSources/{source}")
def get_data_source(state: State, request: Request, source: str) -> Any:
    """Answer _AevaDataSourceProvider, once a hash has found the source: AE3PServiceCaller.get_datasource_async."""
    return find(state, "data_sources", source, "Data source")


@route("POST", API, ROOT + "/DataSources")
def post_data_source(state: State, request: Request) -> Any:
    """Answer _AevaDataSourceProvider.upload."""
    source = new_id()
    return state.documents.put("data_sources", source, {**request.json, "Id": source, "EntityStatus": ACTIVE})
