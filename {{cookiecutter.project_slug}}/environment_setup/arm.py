"""Deploy the ARM templates: `plan` shows what would change, `deploy` does it.

RESOURCE_GROUP, WORKSPACE_NAME, BASE_NAME and LOCATION say where, the parameters files the rest. What models are
deployed to is made where the variable group has a name for it. A workspace that is there already and was not made by
this project is adopted: it is left as it is, and nothing is deployed.
"""

import argparse
import os
from pathlib import Path
from typing import Any

from environment_setup.azure_cli import az, program, setting, show

TEMPLATES = Path(__file__).parent / "arm-templates"
WORKSPACES = "Microsoft.MachineLearningServices/workspaces"
WEB_APPS = "Microsoft.Web/sites"


def is_adopted(group: str) -> bool:
    """Return whether the workspace is there and is not this project's."""
    made = named(group, WORKSPACES, setting("WORKSPACE_NAME"))
    return any((one.get("tags") or {}).get("project") != setting("PROJECT") for one in made)


def named(group: str, kind: str, name: str) -> list[dict[str, Any]]:
    """Return the resource of a kind and a name, whatever its capitals, if it is there."""
    found = az("resource", "list", "--resource-group", group, "--resource-type", kind)
    return [one for one in found if one["name"].lower() == name.lower()]


def template(name: str, *parameters: str) -> list[str]:
    """Return what both commands of `az deployment group` take of a template; a name is also the deployment's."""
    return [
        *("--name", name, "--template-file", str(TEMPLATES / f"{name}.json")),
        *("--parameters", f"@{TEMPLATES / f'{name}.parameters.json'}", f"baseName={setting('BASE_NAME')}"),
        *(f"location={setting('LOCATION')}", *parameters),
    ]


def templates(group: str, exists: bool) -> list[list[str]]:
    """Return the templates to deploy, in their order: what models are deployed to uses what comes first."""
    chosen = [template("cloud-environment", f"workspaceName={setting('WORKSPACE_NAME')}")]
    if app := wanted("web-app", "WEBAPP_DEPLOYMENT_NAME"):
        runs = image(group, app) if exists else []
        chosen.append(template("web-app", f"webAppName={app}", *runs))
    if cluster := wanted("aks", "AKS_COMPUTE_NAME"):
        chosen.append(template("aks", f"clusterName={cluster}", f"namespace={variable('K8S_AB_NAMESPACE')}"))
    return chosen


def wanted(name: str, called: str) -> str:
    """Return what a template's resource is to be called, or nothing: no template or no name, no resource."""
    return variable(called) if (TEMPLATES / f"{name}.json").exists() else ""


def variable(name: str) -> str:
    """Return what the variable group says, if it says anything: Azure Pipelines leaves an unknown name as it stands."""
    value = os.environ.get(name, "").strip()
    return "" if value.startswith("$(") else value


def image(group: str, app: str) -> list[str]:
    """Return the parameter that keeps the image a Web App runs: deploying it again must not take a model away."""
    for one in named(group, WEB_APPS, app):
        config = az("rest", "--method", "get", "--url", f"{one['id']}/config/web?api-version=2024-11-01")
        return [f"image={config['properties'].get('linuxFxVersion') or ''}"]
    return []


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
            for words in templates(group, exists):
                show("deployment", "group", "what-if", "--resource-group", group, *words)
        else:
            tags = ("--tags", f"project={setting('PROJECT')}")
            if not exists:
                az("group", "create", "--name", group, "--location", setting("LOCATION"), *tags)
            for words in templates(group, exists):
                show("deployment", "group", "create", "--output", "table", "--resource-group", group, *words)


if __name__ == "__main__":
    main()
