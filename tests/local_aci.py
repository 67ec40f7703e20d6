"""Azure Container Instances, as far as a release asks it: a container group, and the rules that Azure documents.

They stand in Microsoft's documentation (MicrosoftDocs/azure-compute-docs, articles/container-instances, and
MicrosoftDocs/SupportArticles-docs, support/azure/azure-container-instances) and in its issues. What a PUT leaves out
goes back to its default. A PUT restarts the container. Secrets are kept, and never told. Some changes ask to delete
the group first. "Succeeded" says that the container runs, and not that it answers.
"""

import json
import re

REGION = "westeurope"
NOTHING = {
    "group": None,  # as it was put, with its secrets
    "restarts": 0,
    "looks": 1,  # how many looks an operation takes
    "left": 0,  # of the present one
    "ending": "Succeeded",
    "gone": False,  # once what is left is over
    "identities": {"base-AML-ACI": "identity-of-the-group"},
    "role counts after": 0,  # so many refused pulls
    "pull fails": "",  # this image's, once the group was made
    "stutters": [],  # refusals in passing, before the next ones are taken
    "stutters when read": [],
    "refused": "",  # calls with these words lack a role
    "logs": True,  # there is a workspace for them
    "logs tell their key": 1000,  # so many times
    "key of logs": "key-of-the-logs",
    "instance": "Running",
}
RESERVED = {22, *range(1025, 1028), *range(3389, 3400), 9999, 19000, 19080, 19390, 19100, *range(20000, 30001)}
ACR_PULL = ("7f951dda-4ed3-4680-a7ca-43fe172d538d", "b93aa761-3e63-49ed-ac28-beffa264f7ac")
GROUP = "/subscriptions/s/resourceGroups/mlops-RG/providers"


class RefusedError(Exception):
    """What Azure refuses, as `az rest` shows it."""


def refuse(status: str, code: str, message: str) -> None:
    raise RefusedError(f"{status}({json.dumps({'error': {'code': code, 'message': message}})})")


def rest(state: dict, what: str, method: str, body: dict | None = None) -> object:  # noqa: PLR0911
    """Answer about Namespace/type/name."""
    kind, name, path = re.fullmatch(r"([^/]+/[^/]+)/([^/]+)(.*)", what).groups()
    match method, kind, path:
        case "get", "Microsoft.ManagedIdentity/userAssignedIdentities", "" if name in state["identities"]:
            identity = {"principalId": state["identities"][name], "clientId": "c", "tenantId": "t"}
            return {"id": f"{GROUP}/{kind}/{name}", "location": REGION, "properties": identity}
        case "get", "Microsoft.OperationalInsights/workspaces", "" if state["logs"]:
            return {"properties": {"customerId": "id-of-the-logs"}}
        case "post", "Microsoft.OperationalInsights/workspaces", "/sharedKeys":
            state["logs tell their key"] -= 1
            if state["logs tell their key"] < 0:
                refuse("Internal Server Error", "Unknown", "No key today.")
            return {"primarySharedKey": state["key of logs"], "secondarySharedKey": "another"}
        case "get", "Microsoft.ContainerInstance/containerGroups", "":
            if state["stutters when read"]:
                refuse("Too Many Requests", state["stutters when read"].pop(0), "Please retry later.")
            pass_on(state)
            return told(state, name)
        case "put", "Microsoft.ContainerInstance/containerGroups", "":
            put(state, name, body or {})
            return told(state, name)
        case "delete", "Microsoft.ContainerInstance/containerGroups", "":
            busy(state, name)
            state.update({"gone": True, "left": state["looks"]})
            return None
    return refuse("Not Found", "ResourceNotFound", f"The Resource '{kind}/{name}' was not found.")


def pass_on(state: dict) -> None:
    """Let an operation go on by one look."""
    state["left"] = max(0, state["left"] - 1)
    if not state["left"] and state["gone"]:
        state.update({"group": None, "gone": False})


def busy(state: dict, name: str) -> None:
    if state["left"]:
        told = f"The container group '{name}' is still transitioning, please retry later."
        refuse("Conflict", "ContainerGroupTransitioning", told)


def put(state: dict, name: str, body: dict) -> None:
    """Make the group anew, as far as it may be changed."""
    busy(state, name)
    if state["stutters"]:
        refuse("Conflict", state["stutters"].pop(0), "Please retry later.")
    check(state, name, body)
    if state["group"]:
        ended = state["ending"] == "Failed" or state["instance"] != "Running"
        if ended or fixed(state["group"]) != fixed(body):
            told = (
                f"The updates on container group '{name}' are invalid. If you are going to update the os type, restart "
                "policy, network profile, CPU, memory or GPU resources for a container group, you must delete it first "
                "and then create a new one."
            )
            refuse("Bad Request", "InvalidContainerGroupUpdate", told)
    state.update({"group": body, "left": state["looks"], "instance": "Running"})
    state["ending"] = "Failed" if image_of(body) == state["pull fails"] else "Succeeded"
    state["restarts"] += 1


def fixed(body: dict) -> list:
    properties = body["properties"]
    sizes = [one["properties"]["resources"]["requests"] for one in properties["containers"]]
    return [properties["osType"], properties.get("restartPolicy", "Always"), sizes]


def check(state: dict, name: str, body: dict) -> None:
    """Raise what Azure says of a group that cannot be."""
    properties = body["properties"]
    if "location" not in body or not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name):
        refuse("Bad Request", "InvalidRequest", "location or name")
    address, (container,) = properties["ipAddress"], properties["containers"]
    if not re.fullmatch(r"[a-z][a-z0-9-]{3,61}[a-z0-9]", address["dnsNameLabel"]):
        refuse("Bad Request", "InvalidDnsNameLabel", address["dnsNameLabel"])
    exposed = {one["port"] for one in address["ports"]}
    if exposed & RESERVED or not exposed <= {one["port"] for one in container["properties"]["ports"]}:
        refuse("Bad Request", "InvalidPort", str(exposed))
    if {"cpu", "memoryInGB"} - container["properties"]["resources"]["requests"].keys():
        refuse("Bad Request", "MissingResourceRequests", name)
    if properties.get("diagnostics", {}).get("logAnalytics", {}).get("workspaceKey") != state["key of logs"]:
        refuse("Bad Request", "InvalidLogAnalyticsWorkspaceKey", name)
    pull(state, name, body, container["properties"]["image"])


def pull(state: dict, name: str, body: dict, image: str) -> None:
    """Raise unless the group's own identity may pull the image."""
    server = image.partition("/")[0]
    credentials = [one for one in body["properties"].get("imageRegistryCredentials", []) if one["server"] == server]
    assigned = body.get("identity", {}).get("userAssignedIdentities", {})
    for one in credentials:
        if ("username" in one) == ("identity" in one):
            refuse("Bad Request", "AmbiguousImageResitryCredentialType", "Please set exactly one of these")
        if one.get("identity") not in assigned:
            told = f"The identity in the 'imageRegistryCredentials' of container group '{name}' not found in container "
            refuse("Bad Request", "InvalidImageRegistryIdentity", f"{told}group identity list.")
    known = [identity.rpartition("/")[2] for identity in assigned]
    may = any(set(ACR_PULL) & set(state["roles"].get(state["identities"].get(one, ""), [])) for one in known)
    repository, _, digest = image.partition("/")[2].partition("@")
    fresh = state["role counts after"] > 0
    state["role counts after"] -= fresh
    if not credentials or not may or fresh or digest not in state["repositories"].get(repository, {}).values():
        told = f"The image '{image}' in container group '{name}' is not accessible. "
        refuse("Bad Request", "InaccessibleImage", f"{told}Please check the image and registry credential.")


def told(state: dict, name: str) -> dict:
    """Return the group as Azure tells it: without secrets, with what only Azure says."""
    if state["group"] is None:
        refuse("Not Found", "ResourceNotFound", f"The Resource 'containerGroups/{name}' was not found.")
    group = json.loads(json.dumps(state["group"]))
    properties = group["properties"]
    (container,) = properties["containers"]
    for variable in container["properties"].get("environmentVariables", []):
        variable.pop("secureValue", None)
    properties["diagnostics"]["logAnalytics"].pop("workspaceKey", None)
    failed = {"name": "Failed", "type": "Warning", "count": 3, "message": "Failed to pull image: denied"}
    pulled = {"name": "Pulled", "type": "Normal", "count": 1, "message": "Successfully pulled image"}
    container["properties"]["instanceView"] = {"events": [failed if image_of(group) == state["pull fails"] else pulled]}
    properties["provisioningState"] = "Pending" if state["left"] else state["ending"]
    properties["instanceView"] = {"state": "Pending" if state["left"] else state["instance"], "events": []}
    properties.setdefault("restartPolicy", "Always")
    if not state["left"]:
        properties["ipAddress"] |= {"ip": "192.0.2.7", "fqdn": host(properties["ipAddress"]["dnsNameLabel"])}
    return {"id": f"{GROUP}/Microsoft.ContainerInstance/containerGroups/{name}", "name": name, **group}


def image_of(body: dict) -> str:
    return body["properties"]["containers"][0]["properties"]["image"]


def host(label: str) -> str:
    return f"{label}.f3c2.{REGION}.azurecontainer.io"


def logs(state: dict) -> str:
    return "A line of the container.\n##vso[task.complete result=Succeeded;]" if state["group"] else ""


def keys(state: dict) -> str:
    """Return the keys that the container has been given, which the vault may have others of by now."""
    (container,) = state["group"]["properties"]["containers"]
    variables = container["properties"].get("environmentVariables", [])
    return next((one.get("secureValue", "") for one in variables if one["name"] == "SCORING_KEYS"), "")


def runs(state: dict) -> str | None:
    """Return the image that can answer: the service in it does not start without a key."""
    if not state["group"] or state["left"] or state["ending"] == "Failed" or state["instance"] != "Running":
        return None
    return image_of(state["group"]) if keys(state) else None
