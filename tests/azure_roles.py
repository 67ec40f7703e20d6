"""Roles, as Azure asks for them: what a call of `az` needs, and whether the roles that the emitted guide gives suffice.

A stand-in for `az` calls ``refusal``, or runs this file before it answers:

    python azure_roles.py docs/infrastructure.md "to train and deploy" acr show --name a-registry

It ends with 1 and Azure's sentence where Azure would refuse. Stages are named as in the guide's section *Roles*.
Actions are those that the Azure CLI 2.91 asks for (azure-cli, src/azure-cli/azure/cli/command_modules), by their names
in MicrosoftDocs/azure-docs, articles/role-based-access-control/permissions.
"""

import re
import sys
from pathlib import Path
from typing import NamedTuple

CREATE, CREATE_IN_A_GROUP, DEPLOY = (
    "to create and remove",
    "to create and remove in a resource group that is there already, instead",
    "to train and deploy",
)

# Scopes: a subscription, a resource group, or the type of a resource in it. STATE: the account of Terraform's state, in
# a group of its own. ANYWHERE: lists that hold what the caller may read, and are never refused.
SUBSCRIPTION, GROUP, STATE, ANYWHERE = "subscription", "group", "state", "anywhere"


class Role(NamedTuple):
    """A built-in role: what it allows, and of that what not; and which data it lets read or write."""

    actions: tuple[str, ...]
    but_not: tuple[str, ...] = ()
    data: tuple[str, ...] = ()


# MicrosoftDocs/azure-docs, articles/role-based-access-control/built-in-roles: as far as calls need them.
BUILT_IN = {
    "Reader": Role(("*/read",)),
    "Contributor": Role(
        ("*",),
        (
            "Microsoft.Authorization/*/Delete",
            "Microsoft.Authorization/*/Write",
            "Microsoft.Authorization/elevateAccess/Action",
            "Microsoft.Blueprint/blueprintAssignments/write",
            "Microsoft.Blueprint/blueprintAssignments/delete",
            "Microsoft.Compute/galleries/share/action",
            "Microsoft.Purview/consents/write",
            "Microsoft.Purview/consents/delete",
            "Microsoft.Resources/deploymentStacks/manageDenySetting/action",
        ),
    ),
    "AcrPull": Role(("Microsoft.ContainerRegistry/registries/pull/read",)),
    "AcrPush": Role(
        ("Microsoft.ContainerRegistry/registries/pull/read", "Microsoft.ContainerRegistry/registries/push/write")
    ),
    # "Grants read/write access to container groups provided by Azure Container Instances", on which alone calls rely.
    "Azure Container Instances Contributor Role": Role(("Microsoft.ContainerInstance/containerGroups/*",)),
    "Managed Identity Operator": Role(
        (
            "Microsoft.ManagedIdentity/userAssignedIdentities/*/read",
            "Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action",
            "Microsoft.Authorization/*/read",
            "Microsoft.Insights/alertRules/*",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.Resources/deployments/*",
            "Microsoft.Support/*",
        )
    ),
    # Unlike Log Analytics Contributor, which asks for the keys too, it does not delete workspaces.
    "Monitoring Contributor": Role(
        (
            "*/read",
            "Microsoft.OperationalInsights/workspaces/write",
            "Microsoft.OperationalInsights/workspaces/search/action",
            "Microsoft.OperationalInsights/workspaces/sharedKeys/action",
        )
    ),
    "Website Contributor": Role(
        (
            "Microsoft.Authorization/*/read",
            "Microsoft.Insights/alertRules/*",
            "Microsoft.Insights/components/*",
            "Microsoft.ResourceHealth/availabilityStatuses/read",
            "Microsoft.Resources/deployments/*",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.Support/*",
            "Microsoft.Web/certificates/*",
            "Microsoft.Web/listSitesAssignedToHostName/read",
            "Microsoft.Web/serverFarms/join/action",
            "Microsoft.Web/serverFarms/read",
            "Microsoft.Web/sites/*",
        )
    ),
    "Key Vault Secrets User": Role(
        (),
        data=(
            "Microsoft.KeyVault/vaults/secrets/getSecret/action",
            "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
        ),
    ),
    "Azure Kubernetes Service Cluster User Role": Role(
        (
            "Microsoft.ContainerService/managedClusters/listClusterUserCredential/action",
            "Microsoft.ContainerService/managedClusters/read",
        )
    ),
    "Azure Kubernetes Service RBAC Cluster Admin": Role(
        (
            "Microsoft.Authorization/*/read",
            "Microsoft.Resources/subscriptions/operationresults/read",
            "Microsoft.Resources/subscriptions/read",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.ContainerService/managedClusters/listClusterUserCredential/action",
        ),
        data=("Microsoft.ContainerService/managedClusters/*",),
    ),
    "Storage Blob Data Contributor": Role(
        (
            "Microsoft.Storage/storageAccounts/blobServices/containers/delete",
            "Microsoft.Storage/storageAccounts/blobServices/containers/read",
            "Microsoft.Storage/storageAccounts/blobServices/containers/write",
            "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action",
        ),
        data=(
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/delete",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/move/action",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/add/action",
        ),
    ),
}


class Need(NamedTuple):
    """An action, and where the caller must be allowed it."""

    action: str
    scope: str
    is_data: bool = False


class UnknownCallError(Exception):
    """A call that this table does not know: add it, with what the CLI's source says it needs."""


def of(resource_type, *actions, is_data=False):
    return [Need(f"{resource_type}/{action}", resource_type, is_data) for action in actions]


REGISTRY = "Microsoft.ContainerRegistry/registries"
CLUSTER = "Microsoft.ContainerService/managedClusters"
CONTAINER_GROUP = "Microsoft.ContainerInstance/containerGroups"
IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities"
BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers"
READS_GROUP = Need("Microsoft.Resources/subscriptions/resourceGroups/read", GROUP)
LISTS = Need("Microsoft.Resources/subscriptions/resources/read", ANYWHERE)
# Commands of the registry find it by its name in the list of the subscription's (acr/_utils.py).
NEEDS = {
    "account show": [],
    "account get-access-token": [],
    "acr build": [LISTS, *of(REGISTRY, "read", "listBuildSourceUploadUrl/action", "scheduleRun/action")],
    "acr import": [LISTS, *of(REGISTRY, "read", "importImage/action")],
    "acr login": [LISTS, *of(REGISTRY, "read", "pull/read")],
    "acr manifest list-metadata": [LISTS, *of(REGISTRY, "read", "pull/read")],
    "acr manifest show": [LISTS, *of(REGISTRY, "read", "pull/read")],
    "acr manifest show-metadata": [LISTS, *of(REGISTRY, "read", "pull/read")],
    "acr repository show": [LISTS, *of(REGISTRY, "read", "pull/read")],
    "acr repository list": [LISTS, *of(REGISTRY, "read", "pull/read")],
    "acr repository show-tags": [LISTS, *of(REGISTRY, "read", "pull/read")],
    "acr show": [LISTS, *of(REGISTRY, "read")],
    "acr task logs": [LISTS, *of(REGISTRY, "read", "runs/read", "runs/listLogSasUrl/action")],
    "acr task show-run": [LISTS, *of(REGISTRY, "read", "runs/read")],
    "aks get-credentials": of(CLUSTER, "listClusterUserCredential/action"),
    "aks mesh get-revisions": [Need("Microsoft.ContainerService/locations/meshRevisionProfiles/read", SUBSCRIPTION)],
    "aks show": of(CLUSTER, "read"),
    # It asks for the group first, for the name of its container (container/custom.py, container_logs).
    "container logs": [Need(f"{CONTAINER_GROUP}/{action}", GROUP) for action in ("read", "containers/logs/read")],
    "deployment group create": [
        Need(f"Microsoft.Resources/deployments/{action}", GROUP)
        for action in ("validate/action", "write", "read", "operationStatuses/read")
    ],
    "deployment group what-if": [
        Need(f"Microsoft.Resources/deployments/{action}", GROUP) for action in ("whatIf/action", "read")
    ],
    "group create": [Need("Microsoft.Resources/subscriptions/resourceGroups/write", SUBSCRIPTION)],
    "group delete": [READS_GROUP, Need("Microsoft.Resources/subscriptions/resourceGroups/delete", GROUP)],
    "group exists": [READS_GROUP],
    "group show": [READS_GROUP],
    "keyvault list-deleted": [Need("Microsoft.KeyVault/deletedVaults/read", SUBSCRIPTION)],
    "keyvault secret show": [
        Need("Microsoft.KeyVault/vaults/secrets/getSecret/action", "Microsoft.KeyVault/vaults/secrets", is_data=True)
    ],
    "resource list": [LISTS],
    "storage blob download": [Need(f"{BLOBS}/blobs/read", STATE, is_data=True)],
    "storage blob upload": [
        Need(f"{BLOBS}/blobs/{action}", STATE, is_data=True) for action in ("read", "write", "add/action")
    ],
    "storage container create": [Need(f"{BLOBS}/write", STATE)],
    "storage container exists": [Need(f"{BLOBS}/read", STATE)],
}
METHODS = {"get": "read", "put": "write", "patch": "write", "delete": "delete"}


def needs(words):
    """Return what a call of `az` needs."""
    said = " ".join(words)
    if said.startswith("rest "):
        return rest(option(words, "--method", "get").lower(), option(words, "--url"))
    if said.startswith(("resource delete ", "resource show ", "resource wait ")):
        # The CLI asks the provider for the version of its API first (resource/custom.py, resolve_api_version).
        verb = "delete" if words[1] == "delete" else "read"
        provider = Need("Microsoft.Resources/subscriptions/providers/read", SUBSCRIPTION)
        return [provider, *of(type_of(option(words, "--ids")), verb)]
    if said.startswith("role assignment list "):
        return [Need("Microsoft.Authorization/roleAssignments/read", type_of(option(words, "--scope")))]
    command = next((command for command in NEEDS if f"{said} ".startswith(f"{command} ")), None)
    if command is None:
        raise UnknownCallError(f"tests/azure_roles.py does not know `az {said[:80]}`")
    more = []
    if command == "resource list" and "--resource-group" in words:
        more = [READS_GROUP]  # resource/custom.py, list_resources, gets the group first
    if command == "aks get-credentials" and "--admin" in words:
        more = of(CLUSTER, "listClusterAdminCredential/action")
    return NEEDS[command] + more


def option(words, name, absent=None):
    if name not in words and absent is None:
        raise UnknownCallError(f"`az {' '.join(words)[:80]}` lacks {name}")
    return words[list(words).index(name) + 1] if name in words else absent


def rest(method, url):
    """Return what a call of Azure Resource Manager needs: its action follows from method and path."""
    path = url.partition("?")[0].rpartition("/providers/")[2]
    namespace, *parts = path.split("/")
    if method == "post" and len(parts) == 1:  # of the provider itself, in a subscription
        verb = "read" if parts[0].lower() == "checknameavailability" else "action"
        return [Need(f"{namespace}/{parts[0]}/{verb}", SUBSCRIPTION)]
    kind = "/".join([namespace, *(parts[:-1] if method == "post" else parts)[::2]])
    verb = f"{parts[-1]}/action" if method == "post" else METHODS[method]
    if kind == CONTAINER_GROUP:  # made and deleted by releases: a role on one is of no use to the next
        return [Need(f"{kind}/{verb}", GROUP), *(of(IDENTITY, "assign/action") if method == "put" else [])]
    return of(kind, verb)


def type_of(resource):
    """Return the type of a resource of this id, or which scope it is."""
    if match := re.search(r"/providers/([^/]+)/(.*)$", resource):
        return "/".join([match[1], *match[2].split("/")[::2]])
    return GROUP if "/resourceGroups/" in resource else SUBSCRIPTION


def documented(guide):
    """Return the roles that the guide gives the connection's identity, with their scopes, by stage."""
    given, stage, prefix = {CREATE: [], CREATE_IN_A_GROUP: [], DEPLOY: []}, None, ""
    for line in guide.splitlines():
        if line.startswith("# to "):
            stage = line.removeprefix("# ")
        elif line.startswith("scope="):
            prefix = line.removeprefix("scope=")
        elif line.startswith("```"):
            stage = None
        elif match := re.match(r'az role assignment create .*--role ("[^"]+"|\S+) .*--scope (.+)$', line):
            role, scope = match[1].strip('"'), match[2].replace("$scope", prefix).replace('"', "")
            if "<id of the account>" in scope:
                for of_stage in (CREATE, CREATE_IN_A_GROUP):
                    given[of_stage].append((role, STATE))
            elif "<object id>" in line and stage:
                given[stage].append((role, type_of(scope)))
    return given


def covers(scope, needed):
    """Tell whether a role at a scope counts where it is needed."""
    inside = needed not in (SUBSCRIPTION, STATE)
    return scope in (SUBSCRIPTION, needed) or needed.startswith(f"{scope}/") or (scope == GROUP and inside)


def allows(role, need):
    def matches(patterns):
        # Managed Identity Operator allows `userAssignedIdentities/*/read`, which is `userAssignedIdentities/read` too.
        found = (re.escape(pattern).replace(r"/\*/", "/(.*/)?").replace(r"\*", ".*") for pattern in patterns)
        return any(re.fullmatch(one, need.action, re.IGNORECASE) for one in found)

    return matches(role.data) if need.is_data else matches(role.actions) and not matches(role.but_not)


def refusal(words, stage, guide):
    """Return why Azure would refuse a call in a stage, which has the roles of the guide's text; empty: it would not."""
    given = documented(guide)[stage]
    for need in needs(words):
        if need.scope == ANYWHERE:
            continue
        if not any(covers(scope, need.scope) and allows(BUILT_IN[role], need) for role, scope in given):
            does_not = "does not have authorization to perform action"
            linked = "Linked" if need.action.endswith("/assign/action") else ""
            return f"({linked}AuthorizationFailed) The client {does_not} '{need.action}' over scope '{need.scope}'."
    return ""


if __name__ == "__main__":
    if refused := refusal(sys.argv[3:], sys.argv[2], Path(sys.argv[1]).read_text(encoding="utf-8")):
        sys.exit(f"ERROR: {refused}")
