"""Web services on ACI and AKS: made, updated, listed, deleted, and called with their keys."""

import hmac
import re
import secrets
import threading
import time
import traceback
from typing import Any

from ..routes import API, Refusal, Reply, Request, not_found, page, route
from ..serving import NotServed, asset_key
from ..state import State
from ..storage import new_id, now
from . import compute, models

KIND = "services"
KEYS = "service_keys"
OPERATIONS = "service_operations"
MANAGEMENT = "/modelmanagement/v1.0{ws}"
SERVICES = MANAGEMENT + "/services"
# where services are called; a certificate of one's own is for a name of example.com
FRONT = r"[a-z0-9-]+\.[a-z0-9]+\.azurecontainer\.io|[a-z0-9-]+\.[a-z0-9]+\.cloudapp\.azure\.com|.+\.example\.com"
NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
FAILED = {"code": "AciDeploymentFailed", "message": "A fault rule ends this operation.", "details": []}
ROOM = {"cpu": 4, "memoryInGB": 14}  # of a node, Standard_D3_v2, and about that of a container group
TOO_LARGE = "Couldn't schedule: no node has {} {}, the most is {}."

# What a service is made of besides its name, and what it is where nothing was asked for.
COMMON: dict[str, Any] = {
    "description": None,
    "kvTags": None,
    "properties": None,
    "environmentImageRequest": None,
    "appInsightsEnabled": False,
    "dataCollection": {"eventHubEnabled": False, "storageEnabled": False},
}
# azureml.core.webservice.AciWebservice._expected_payload_keys
ACI: dict[str, Any] = {
    **COMMON,
    "authEnabled": False,
    "containerResourceRequirements": None,
    "cname": None,
    "dnsNameLabel": None,
    "sslCertificate": None,
    "sslEnabled": False,
    "sslKey": None,
}
# azureml.core.webservice.AksWebservice._expected_payload_keys
AKS: dict[str, Any] = {
    **COMMON,
    "authEnabled": True,
    "aadAuthEnabled": False,
    "autoScaler": None,
    "computeName": None,
    "containerResourceRequirements": None,
    "livenessProbeRequirements": None,
    "maxConcurrentRequestsPerContainer": 1,
    "maxQueueWaitMs": 500,
    "namespace": None,
    "numReplicas": None,
    "scoringTimeoutMs": 60000,
}
FIELDS = {"ACI": ACI, "AKS": AKS}
NOT_OF_THE_SERVICE = {"name", "computeType", "location", "keys", "overwrite", "storageInitEnabled"}
FIXED = {"ACI": {"containerResourceRequirements", "dnsNameLabel"}, "AKS": {"computeName"}}


# ---- making and changing


@route("POST", API, SERVICES + "/validate(/name/{name}|/resource)?")
def validate(state: State, request: Request, name: str = "") -> Any:
    """Answer Webservice._check_for_webservice and its likes, which go on where there is no error."""
    try:
        posted = request.json
        if name and state.documents.get(KIND, name):
            raise Refusal(409, "Conflict", f"Service {name} exists already.")
        if posted.get("createRequest"):
            _described(state, posted["createRequest"])
        if posted.get("updateRequest"):
            _patched(state, find(state, posted["serviceName"]), posted["updateRequest"])
    except Refusal as refusal:
        return {"error": {"code": refusal.code, "message": refusal.message}}
    return {}


@route("POST", API, SERVICES)
def create(state: State, request: Request) -> Reply:
    """Answer Webservice._deploy_webservice, which polls the operation named in a header."""
    wanted = _described(state, request.json)
    name = wanted["name"]
    with state.lock:
        if state.documents.get(KIND, name):
            raise Refusal(409, "Conflict", f"Service {name} exists already, and the emulator overwrites none.")
        state.documents.put(KIND, name, {**wanted, "state": "Transitioning"})
        state.documents.put(KEYS, name, {"name": name, "primaryKey": new_key(), "secondaryKey": new_key()})
    return _begin(state, wanted, None)


@route("PATCH", API, SERVICES + "/{name}")
def patch(state: State, request: Request, name: str) -> Reply:
    """Answer AciWebservice.update and AksWebservice.update: a JSON patch, and an operation."""
    with state.lock:
        known = find(state, name)
        if known["state"] == "Transitioning":
            raise Refusal(409, "Conflict", f"Another operation on service {name} is in progress.")
        wanted = _patched(state, known, request.json)
        state.documents.put(KIND, name, {**known, "state": "Transitioning"})
    return _begin(state, wanted, known)


@route("DELETE", API, SERVICES + "/{name}")
def delete(state: State, request: Request, name: str) -> Reply:
    """Answer Webservice.delete."""
    if not state.documents.remove(KIND, name):
        return Reply(None, 204)
    state.documents.remove(KEYS, name)
    state.serving.stop(name)
    return Reply(None, 200)


def _described(state: State, posted: dict[str, Any]) -> dict[str, Any]:
    """Return a service as it was asked for, or refuse what cannot be one."""
    kind, name = posted.get("computeType"), posted.get("name") or ""
    if kind not in FIELDS:
        raise Refusal(400, "BadArgument", f"The emulator serves {' and '.join(FIELDS)}, not {kind!r}.")
    if not (3 <= len(name) <= 32 and NAME.fullmatch(name)):
        raise Refusal(400, "BadArgument", f"{name!r} is no name of a service.")
    if unknown := set(posted) - set(FIELDS[kind]) - NOT_OF_THE_SERVICE:
        raise Refusal(400, "BadArgument", f"A service on {kind} has no {', '.join(sorted(unknown))}.")
    asked = {field: posted[field] for field in FIELDS[kind] if posted.get(field) is not None}
    service = {"name": name, "computeType": kind, **FIELDS[kind], **asked, "createdTime": now()}
    _check(state, service)
    return service


def _patched(state: State, known: dict[str, Any], changes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a service as it is after a change, or refuse what cannot be changed."""
    kind, service = known["computeType"], dict(known)
    for change in changes:
        field, _, part = change["path"].strip("/").partition("/")
        if change["op"] not in ("add", "replace") or field not in FIELDS[kind] or field in FIXED[kind]:
            raise Refusal(400, "BadArgument", f"{change['op']} {change['path']}: a service on {kind} cannot.")
        value = change["value"]
        service[field] = {**(service[field] or {}), part: value} if part else value
    _check(state, service)
    return service


def _check(state: State, service: dict[str, Any]) -> None:
    image = service["environmentImageRequest"] or {}
    for model in image.get("modelIds") or [""]:
        models.find(state, *model.rpartition(":")[::2])
    assets = image.get("assets") or []
    if missing := [asset["id"] for asset in assets if not state.blobs.exists(asset_key(state, asset))]:
        raise Refusal(400, "BadArgument", f"Assets were never uploaded: {', '.join(missing)}.")
    if image.get("driverProgram") not in {asset["id"] for asset in assets}:
        raise Refusal(400, "BadArgument", "The driver program is none of the assets.")
    if service["computeType"] == "AKS":
        cluster = compute.find(state, service["computeName"] or "")["properties"]
        if cluster["computeType"] != "AKS" or cluster["provisioningState"] != "Succeeded":
            raise Refusal(400, "BadArgument", f"{service['computeName']} is no AKS cluster that can be used.")
    elif service["sslEnabled"] and not (service["cname"] and service["sslCertificate"] and service["sslKey"]):
        raise Refusal(400, "BadArgument", "TLS on ACI asks for a name, a certificate and its key.")


# ---- operations


def _begin(state: State, wanted: dict[str, Any], known: dict[str, Any] | None) -> Reply:
    """Start the operation that makes a service what is wanted."""
    operation = new_id()
    document = {"id": operation, "state": "Running", "operationType": "Service", "createdTime": now(), "error": None}
    state.documents.put(OPERATIONS, operation, {**document, "operationDetails": {"subOperationType": "DeployService"}})
    threading.Thread(target=_operate, args=(state, operation, wanted, known), daemon=True).start()
    return Reply(None, 202, {"Operation-Location": f"{state.workspace.api}/api/operations/{operation}"})


def _operate(state: State, operation: str, wanted: dict[str, Any], known: dict[str, Any] | None) -> None:
    name, error, lost = wanted["name"], None, False
    if rule := state.faults.for_operation("slow"):
        time.sleep(rule.delay)
    try:
        if rule := state.faults.for_operation("failed", "lost"):
            error, lost = FAILED, rule.operation == "lost"
        elif too_large := _too_large(wanted):
            error, lost = {**FAILED, "message": too_large}, True
        elif not (known and known["environmentImageRequest"] == wanted["environmentImageRequest"]):
            state.serving.replace(name, wanted["environmentImageRequest"])
        else:  # nothing that a container holds has changed
            state.serving.ensure(name, wanted["environmentImageRequest"])
    except NotServed as reason:
        error = {**FAILED, "message": str(reason)}
    except Exception as reason:
        traceback.print_exc()
        error = {**FAILED, "message": f"The emulator could not deploy this: {reason!r}"}
    ends = {**wanted, "state": "Healthy", "error": None, "updatedTime": now()}
    if error and (known is None or lost):
        state.serving.stop(name)
        ends = {**wanted, "state": "Failed", "error": error}
    elif error:
        ends = known or wanted
    with state.lock:
        if state.documents.get(KIND, name):
            state.documents.put(KIND, name, ends)
        else:  # it was deleted
            state.serving.stop(name)
        state.documents.update(OPERATIONS, operation, state="Failed" if error else "Succeeded", error=error)


def _too_large(service: dict[str, Any]) -> str | None:
    """Return why there is no room for a container. Kubernetes keeps what was asked for, and waits for a larger node."""
    asked = service["containerResourceRequirements"] or {}
    beyond = [TOO_LARGE.format(asked[of], of, most) for of, most in ROOM.items() if (asked.get(of) or 0) > most]
    return " ".join(beyond) or None


@route("GET", API, MANAGEMENT + "/operations/{operation}")
def get_operation(state: State, request: Request, operation: str) -> Any:
    """Answer Webservice._get_operation_state."""
    if not (found := state.documents.get(OPERATIONS, operation)):
        raise not_found(f"Operation {operation}")
    return found


# ---- looking


def find(state: State, name: str) -> Any:
    if not (found := state.documents.get(KIND, name)):
        raise not_found(f"Service {name}")
    return found


@route("GET", API, SERVICES)
def list_services(state: State, request: Request) -> Any:
    """Answer Webservice.list."""
    kind = request.query.get("computeType", "")
    return page([_shown(state, found) for found in state.documents.all(KIND) if kind in ("", found["computeType"])])


@route("GET", API, SERVICES + "/{name}")
def get_service(state: State, request: Request, name: str) -> Any:
    """Answer Webservice._get, which takes 404 for "there is none"."""
    return _shown(state, find(state, name))


def _shown(state: State, service: dict[str, Any]) -> dict[str, Any]:
    """Return a service as AciWebservice._initialize and AksWebservice._initialize read it. Keys are not shown."""
    ids = service["environmentImageRequest"]["modelIds"]
    own = {"location": state.workspace.region, "publicIp": None, "sslKey": None, "createdBy": {"userName": "emulator"}}
    found = [models.find(state, *model.rpartition(":")[::2]) for model in ids]
    shown = {**service, **own, "models": found, "kvTags": service["kvTags"] or {}}
    requirements = {"gpu": None, "cpuLimit": None, "memoryInGBLimit": None}
    shown["containerResourceRequirements"] = {**requirements, **(service["containerResourceRequirements"] or {})}
    if service["computeType"] == "AKS":
        scaler = dict.fromkeys(("minReplicas", "maxReplicas", "refreshPeriodInSeconds", "targetUtilization"))
        shown["autoScaler"] = {"autoscaleEnabled": False, **scaler, **(service["autoScaler"] or {})}
        shown["livenessProbeRequirements"] = None
    return {**shown, "scoringUri": None if service["state"] == "Failed" else _address(state, service) + "/score"}


def _address(state: State, service: dict[str, Any]) -> str:
    """Return where a service is called. Without a label, ACI gives a name that nobody can guess; here it is its own."""
    if service["computeType"] == "ACI":
        if service["sslEnabled"]:
            return f"https://{service['cname']}"
        return f"http://{service['dnsNameLabel'] or service['name']}.{state.workspace.region}.azurecontainer.io"
    specifics = state.documents.get(compute.KIND, service["computeName"])["properties"]["properties"]
    tls = (specifics["sslConfiguration"] or {}).get("status") in ("Auto", "Enabled")
    return f"{'https' if tls else 'http'}://{specifics['clusterFqdn']}/api/v1/service/{service['name']}"


@route("GET", API, SERVICES + "/{name}/logs")
def get_logs(state: State, request: Request, name: str) -> Any:
    """Answer Webservice.get_logs."""
    find(state, name)
    lines = state.serving.log(name).splitlines(keepends=True)
    return {"content": "".join(lines[-int(request.query.get("tail", 5000)) :])}


# ---- keys


BOTH = ("primaryKey", "secondaryKey")


def new_key() -> str:
    return secrets.token_urlsafe(24)


@route("POST", API, SERVICES + "/{name}/listkeys")
def list_keys(state: State, request: Request, name: str) -> Any:
    """Answer Webservice.get_keys."""
    find(state, name)
    keys = state.documents.get(KEYS, name)
    return {which: keys[which] for which in BOTH}


@route("POST", API, SERVICES + "/{name}/regenerateKeys")
def regenerate_keys(state: State, request: Request, name: str) -> Reply:
    """Answer Webservice.regen_key."""
    find(state, name)
    which = {"primary": "primaryKey", "secondary": "secondaryKey"}.get(str(request.json["keyType"]).lower())
    if which is None:
        raise Refusal(400, "BadArgument", f"There is no key {request.json['keyType']}.")
    state.documents.update(KEYS, name, **{which: request.json.get("keyValue") or new_key()})
    operation = new_id()
    state.documents.put(OPERATIONS, operation, {"id": operation, "state": "Succeeded", "error": None})
    return Reply(None, 202, {"Operation-Location": f"{state.workspace.api}/api/operations/{operation}"})


# ---- calls of the service itself


@route("GET POST PUT DELETE PATCH HEAD OPTIONS", FRONT, "/.*", open=True)
def call(state: State, request: Request) -> Reply:
    """Answer azureml.core.Webservice.run, and any client: as the front end of ACI or AKS, keys before the container."""
    for service in state.documents.all(KIND):
        _, _, rest = _address(state, service).partition("://")
        host, _, below = rest.partition("/")
        root = f"/{below}" if below else ""
        if host == request.host and (request.path == root or request.path.startswith(f"{root}/")):
            break
    else:
        raise not_found(f"A service at {request.host}{request.path}")
    if service["authEnabled"] and not _has_key(state, request, service["name"]):
        return Reply(b"Invalid key: set the header Authorization: Bearer <key>.", 401, {"Content-Type": "text/plain"})
    if service["state"] == "Healthy":
        state.serving.ensure(service["name"], service["environmentImageRequest"])
    return state.serving.forward(service["name"], request, request.path.removeprefix(root) or "/")


def _has_key(state: State, request: Request, name: str) -> bool:
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    keys = state.documents.get(KEYS, name)
    return kind == "Bearer" and any(hmac.compare_digest(given.encode(), keys[which].encode()) for which in BOTH)
