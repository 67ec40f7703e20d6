"""Delete what carries this project's tag in RESOURCE_GROUP: `show` lists it, `delete` deletes it.

CONFIRMED must repeat the group's name. What has no tag stays, and with it the group.
"""

import argparse
from typing import Any

from environment_setup.azure_cli import AzureError, az, program, setting
from environment_setup.names import VAULT, WEB_APP, WORKSPACE, belongs, contents, recovery

CONTAINER_GROUP, CLUSTER = "Microsoft.ContainerInstance/containerGroups", "Microsoft.ContainerService/managedClusters"
# They use the others. A container group that outlives its identity gets stuck until Azure's support helps.
FIRST = (CONTAINER_GROUP, WORKSPACE, WEB_APP, CLUSTER)
# What Azure itself puts beside Application Insights, without tags.
MADE_BY_AZURE = ("microsoft.insights/actiongroups", "microsoft.alertsmanagement/smartdetectoralertrules")


def owned(found: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the resources of this project, in the order to delete them, and the others."""
    ours = [one for one in found if belongs(one, setting("PROJECT"))]
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
    project = setting("PROJECT")
    empty = all(one["type"].lower() in MADE_BY_AZURE for one in others)
    stays = not empty or not belongs(az("group", "show", "--name", group), project)
    if not stays:
        print(f"Deleting resource group {group} ...", flush=True)
        az("group", "delete", "--name", group, "--yes")
    for one in ours:
        if one["type"] == VAULT:
            how = recovery(one["name"], group, one["location"], project, exists=stays)
            print(f"Vault {one['name']} keeps its name for 90 days: {how}, or choose another BASE_NAME.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("show", "delete"))
    action = parser.parse_args().action
    with program():
        group, confirmed = setting("RESOURCE_GROUP"), setting("CONFIRMED")
        if confirmed != group:
            raise AzureError(f"The confirmation says {confirmed}, but the variable group is about {group}.")
        if (found := contents(group)) is None:
            raise AzureError(f"There is no resource group {group}.")
        ours, others = owned(found)
        print(f"{len(ours)} resources of {setting('PROJECT')}; {len(others)} others stay.")
        for one in ours:
            print(f"  {one['type']} {one['name']}")
        if action == "delete":
            delete(group, ours, others)


if __name__ == "__main__":
    main()
