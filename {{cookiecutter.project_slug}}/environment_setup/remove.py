"""Delete what carries this project's tag in RESOURCE_GROUP: `show` lists it, `delete` deletes it.

CONFIRMED must repeat the group's name. What has no tag stays, and with it the group.
"""

import argparse
from typing import Any

from environment_setup.azure_cli import AzureError, az, program, setting

WORKSPACE = "Microsoft.MachineLearningServices/workspaces"
FIRST = (WORKSPACE, "Microsoft.Web/sites", "Microsoft.ContainerService/managedClusters")  # they use the others
VAULT = "Microsoft.KeyVault/vaults"
# What Azure itself puts beside Application Insights, without tags.
MADE_BY_AZURE = ("microsoft.insights/actiongroups", "microsoft.alertsmanagement/smartdetectoralertrules")


def owned(group: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the resources of this project, in the order to delete them, and the others."""
    found = az("resource", "list", "--resource-group", group)
    ours = [one for one in found if (one.get("tags") or {}).get("project") == setting("PROJECT")]
    ours.sort(key=lambda one: ([kind != one["type"] for kind in FIRST], one["name"]))
    return ours, [one for one in found if one not in ours]


def delete(group: str, ours: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    """Delete them, and the group too if this project made it and nothing of anybody else is in it."""
    for one in ours:
        print(f"Deleting {one['type']} {one['name']} ...", flush=True)
        if one["type"] == WORKSPACE:  # for good: a workspace that is deleted softly would keep its name for 14 days
            url = f"https://management.azure.com{one['id']}?api-version=2026-05-01&forceToPurge=true"
            az("rest", "--method", "delete", "--url", url)
            az("resource", "wait", "--ids", one["id"], "--deleted", "--timeout", "1800")
        else:
            az("resource", "delete", "--ids", one["id"])
        if one["type"] == VAULT:
            print(f"Vault {one['name']} keeps its name for 90 days: recover it, or choose another BASE_NAME.")
    tags = az("group", "show", "--name", group).get("tags") or {}
    empty = all(one["type"].lower() in MADE_BY_AZURE for one in others)
    if empty and tags.get("project") == setting("PROJECT"):
        print(f"Deleting resource group {group} ...", flush=True)
        az("group", "delete", "--name", group, "--yes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("show", "delete"))
    action = parser.parse_args().action
    with program():
        group, confirmed = setting("RESOURCE_GROUP"), setting("CONFIRMED")
        if confirmed != group:
            raise AzureError(f"The confirmation says {confirmed}, but the variable group is about {group}.")
        if not az("group", "exists", "--name", group):
            raise AzureError(f"There is no resource group {group}.")
        ours, others = owned(group)
        print(f"{len(ours)} resources of {setting('PROJECT')}; {len(others)} others stay.")
        for one in ours:
            print(f"  {one['type']} {one['name']}")
        if action == "delete":
            delete(group, ours, others)


if __name__ == "__main__":
    main()
