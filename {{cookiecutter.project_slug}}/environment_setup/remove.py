"""Delete what carries this project's tag in RESOURCE_GROUP: `show` lists it, `delete` deletes it.

CONFIRMED must repeat the group's name. What has no tag stays, and with it the group.
"""

import argparse
from typing import Any

from azure_cli import AzureError, az, program, setting

FIRST = "Microsoft.MachineLearningServices/workspaces"  # it uses the others


def owned(group: str) -> tuple[list[dict[str, Any]], int]:
    """Return the resources of this project, in the order to delete them, and how many others there are."""
    found = az("resource", "list", "--resource-group", group)
    ours = [one for one in found if (one.get("tags") or {}).get("project") == setting("PROJECT")]
    return sorted(ours, key=lambda one: (one["type"] != FIRST, one["name"])), len(found) - len(ours)


def delete(group: str, ours: list[dict[str, Any]], others: int) -> None:
    """Delete them, and the group too if this project made it and nothing else is in it."""
    for one in ours:
        print(f"Deleting {one['type']} {one['name']} ...", flush=True)
        az("resource", "delete", "--ids", one["id"])
    tags = az("group", "show", "--name", group).get("tags") or {}
    if not others and tags.get("project") == setting("PROJECT"):
        print(f"Deleting resource group {group} ...", flush=True)
        az("group", "delete", "--name", group, "--yes")


def tell_of_vaults(ours: list[dict[str, Any]]) -> None:
    """A deleted vault keeps its name while it can be restored, and nobody may purge it earlier."""
    names = {one["name"].lower() for one in ours if one["type"] == "Microsoft.KeyVault/vaults"}
    for vault in az("keyvault", "list-deleted", "--resource-type", "vault") if names else []:
        if vault["name"].lower() in names:
            until = vault["properties"]["scheduledPurgeDate"]
            print(f"Vault {vault['name']} keeps its name until {until}: recover it, or choose another BASE_NAME.")


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
        print(f"{len(ours)} resources of {setting('PROJECT')}; {others} others stay.")
        for one in ours:
            print(f"  {one['type']} {one['name']}")
        if action == "delete":
            delete(group, ours, others)
            tell_of_vaults(ours)


if __name__ == "__main__":
    main()
