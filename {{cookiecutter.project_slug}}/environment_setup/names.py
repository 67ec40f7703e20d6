"""What *Plan* says before anybody approves: names that are taken, since the world shares them, and what costs more."""

import json
import re
from typing import Any

from environment_setup.azure_cli import AzureError, az

WORKSPACE = "Microsoft.MachineLearningServices/workspaces"
VAULT, WEB_APP = "Microsoft.KeyVault/vaults", "Microsoft.Web/sites"
API = {  # versions as the templates have them
    "Microsoft.Storage/storageAccounts": "2026-04-01",
    "Microsoft.ContainerRegistry/registries": "2025-11-01",
    VAULT: "2026-02-01",
    WEB_APP: "2024-11-01",
}
PRICES = "https://azure.microsoft.com/pricing/details/container-registry/"
Resource = dict[str, Any]


def contents(group: str) -> list[Resource] | None:
    """Return the resources of a group, or None where there is no group."""
    exists = az("group", "exists", "--name", group)
    return az("resource", "list", "--resource-group", group) if exists else None


def find(resources: list[Resource] | None, kind: str, name: str) -> Resource | None:
    """Return the resource of a kind and a name, whatever its capitals, if it is there."""
    found = (one for one in resources or [] if (one["type"], one["name"].lower()) == (kind, name.lower()))
    return next(found, None)


def belongs(resource: Resource, project: str) -> bool:
    return bool((resource.get("tags") or {}).get("project") == project)


def check(
    base: str, app: str, group: str, project: str, resources: list[Resource] | None, *, recovers: bool = False
) -> None:
    """Raise which names are taken, but for those of this project's resources in the group.

    ``recovers``: whoever deploys takes up a deleted vault by itself, so that its name is no obstacle.
    """
    lower, taken = base.lower(), []
    for kind, name in zip(API, (f"{lower}amlsa", f"{lower}amlcr", f"{base}-AML-KV", app), strict=True):
        there = find(resources, kind, name)
        if not name or (there and belongs(there, project)):
            continue
        if kind == VAULT and (location := deleted(name, group)):
            if not recovers:
                how = recovery(name, group, location, project, exists=resources is not None)
                taken.append(f"Vault {name} is deleted and keeps its name: {how}, or choose another BASE_NAME.")
        elif reason := refusal(kind, name):
            variable = "WEBAPP_DEPLOYMENT_NAME" if kind == WEB_APP else "BASE_NAME"
            taken.append(f"The name {name} cannot be had in {kind} ({reason}): choose another {variable}.")
    if taken:
        raise AzureError(" ".join(taken))


def refusal(kind: str, name: str) -> str:
    """Return why a name cannot be had. `az keyvault check-name` knows no vaults, so that Azure itself is asked."""
    provider = "/subscriptions/{subscriptionId}/providers/" + kind.partition("/")[0]  # the CLI fills the id in
    url, body = f"{provider}/checkNameAvailability?api-version={API[kind]}", json.dumps({"name": name, "type": kind})
    try:
        answer = az("rest", "--method", "post", "--url", url, "--body", body)
    except AzureError as error:  # as Azure says it where nobody has used the provider yet
        if not re.search("SubscriptionNotFound|MissingSubscriptionRegistration", str(error)):
            raise
        register = f"az provider register --namespace {kind.partition('/')[0]}"
        raise AzureError(f"{error} If the subscription is the right one, run `{register}`, and this again.") from error
    return "" if answer["nameAvailable"] else str(answer.get("reason") or "AlreadyExists")


def deleted(vault: str, group: str) -> str:
    """Return the region of a deleted vault of this name and group, or nothing."""
    for one in az("keyvault", "list-deleted", "--resource-type", "vault"):
        known = one["properties"]
        if one["name"].lower() == vault.lower() and f"/resourcegroups/{group}/".lower() in known["vaultId"].lower():
            return str(known["location"])
    return ""


def recovery(vault: str, group: str, location: str, project: str, exists: bool) -> str:
    """Return the commands that bring a deleted vault back, which needs the group that it was in."""
    recover = f"`az keyvault recover --name {vault}` recovers it"
    create = f"`az group create --name {group} --location {location} --tags project={project}`, then "
    return recover if exists else create + recover


def notices(premium: bool, unassigned: bool) -> list[str]:
    """Return what to say of the registry's price, and of targets that pull and are not given the role for it."""
    price = f"ACI asks for a Premium container registry, which costs more than a Standard one: {PRICES}"
    roles = "Before the first release, somebody who may give roles gives AcrPull, as docs/infrastructure.md shows."
    return [sentence for sentence, holds in ((price, premium), (roles, unassigned)) if holds]
