"""Deploy the ARM template: `plan` shows what would change, `deploy` does it.

RESOURCE_GROUP, WORKSPACE_NAME, BASE_NAME and LOCATION say where, the parameters file the rest. A workspace that is
there already and was not made by this project is adopted: it is left as it is, and nothing is deployed.
"""

import argparse
from pathlib import Path

from azure_cli import az, program, setting, show

TEMPLATES = Path(__file__).parent / "arm-templates"
WORKSPACES = "Microsoft.MachineLearningServices/workspaces"


def is_adopted(group: str) -> bool:
    """Return whether the workspace is there and is not this project's."""
    found = az("resource", "list", "--resource-group", group, "--resource-type", WORKSPACES)
    wanted = setting("WORKSPACE_NAME").lower()
    made = [one for one in found if one["name"].lower() == wanted]
    return any((one.get("tags") or {}).get("project") != setting("PROJECT") for one in made)


def deployment(group: str) -> list[str]:
    """Return what both commands of `az deployment group` take."""
    return [
        *("--resource-group", group),
        *("--template-file", str(TEMPLATES / "cloud-environment.json")),
        *("--parameters", f"@{TEMPLATES / 'cloud-environment.parameters.json'}", f"baseName={setting('BASE_NAME')}"),
        *(f"location={setting('LOCATION')}", f"workspaceName={setting('WORKSPACE_NAME')}"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("plan", "deploy"))
    action = parser.parse_args().action
    with program():
        group = setting("RESOURCE_GROUP")
        exists = az("group", "exists", "--name", group)
        if exists and is_adopted(group):
            print(f"Workspace {setting('WORKSPACE_NAME')} is there and not of this project: nothing to deploy.")
            return
        if action == "plan" and not exists:
            print(f"Resource group {group} would be made, and in it all that {TEMPLATES.name} holds.")
        elif action == "plan":
            show("deployment", "group", "what-if", *deployment(group))
        else:
            tags = ("--tags", f"project={setting('PROJECT')}")
            if not exists:
                az("group", "create", "--name", group, "--location", setting("LOCATION"), *tags)
            show("deployment", "group", "create", "--output", "table", *deployment(group))


if __name__ == "__main__":
    main()
