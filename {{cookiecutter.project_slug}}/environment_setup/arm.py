{% set keeps = cookiecutter.deploy_webapp or cookiecutter.aks != "none" %}
"""Deploy the ARM templates: `plan` shows what would change, `deploy` does it.

RESOURCE_GROUP, WORKSPACE_NAME, BASE_NAME and LOCATION say where, the parameters files the rest. What models are
deployed to is made where the variable group has a name for it. A workspace that is there already and was not made by
this project is adopted: it is left as it is, and nothing is deployed.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from environment_setup.azure_cli import az, program, setting, show, variable
from environment_setup.names import {{ "WEB_APP, " if cookiecutter.deploy_webapp }}WORKSPACE, belongs, check, contents, find, notices

TEMPLATES = Path(__file__).parent / "arm-templates"
{% if cookiecutter.aks != "none" %}
CLUSTER = "Microsoft.ContainerService/managedClusters"
{% endif %}
NAMED_BY = {"aci": "ACI_DEPLOYMENT_NAME", "web-app": "WEBAPP_DEPLOYMENT_NAME", "aks": "AKS_COMPUTE_NAME"}


def template(name: str, *parameters: str) -> list[str]:
    """Return what both commands of `az deployment group` take of a template; a name is also the deployment's."""
    return [
        *("--name", name, "--template-file", str(TEMPLATES / f"{name}.json")),
        *("--parameters", f"@{TEMPLATES / f'{name}.parameters.json'}", f"baseName={setting('BASE_NAME')}"),
        *(f"location={setting('LOCATION')}", *parameters),
    ]


def targets({{ "resources: list[dict[str, Any]]" if keeps }}) -> list[list[str]]:
    """Return the templates of what models are deployed to."""
    return [template(name{{ ", *own(name, resources)" if keeps }}) for name in NAMED_BY if wanted(name)]


def wanted(name: str) -> str:
    """Return what a template's target is to be called, or nothing: no template or no name, no resource."""
    return variable(NAMED_BY[name]) if (TEMPLATES / f"{name}.json").exists() else ""


def given(name: str, parameter: str) -> Any:
    """Return what a template's parameters file says of a parameter, if anything."""
    parameters = json.loads((TEMPLATES / f"{name}.parameters.json").read_text(encoding="utf-8"))["parameters"]
    return parameters.get(parameter, {}).get("value")


{% if keeps %}
def own(name: str, resources: list[dict[str, Any]]) -> list[str]:
    """Return the parameters that only this template has."""
    called = wanted(name)
{% if cookiecutter.deploy_webapp %}
    if name == "web-app":
        return [f"webAppName={called}", *image(find(resources, WEB_APP, called))]
{% endif %}
{% if cookiecutter.aks != "none" %}
    if name == "aks":
        namespace = variable("{{ cookiecutter.__aks_namespace }}")
        return [f"clusterName={called}", f"namespace={namespace}", *nodes(find(resources, CLUSTER, called))]
{% endif %}
    return []


def ask(path: str, version: str) -> dict[str, Any]:
    properties: dict[str, Any] = az("rest", "--method", "get", "--url", f"{path}?api-version={version}")["properties"]
    return properties


{% endif %}
{% if cookiecutter.deploy_webapp %}
def image(app: dict[str, Any] | None) -> list[str]:
    """Return the parameter that keeps the image a Web App runs: deploying it again must not take a model away."""
    return [f"image={ask(app['id'] + '/config/web', '2024-11-01').get('linuxFxVersion') or ''}"] if app else []


{% endif %}
{% if cookiecutter.aks != "none" %}
def nodes(cluster: dict[str, Any] | None) -> list[str]:
    """Return the parameter that keeps the nodes a cluster has: deploying it again must not stop what runs on them."""
    pools = ask(cluster["id"], "2026-05-01")["agentPoolProfiles"] if cluster else []
    return [f"nodes={pool['count']}" for pool in pools if pool["name"] == "system"]


{% endif %}
def plan(group: str, resources: list[dict[str, Any]] | None) -> None:
    """Show what would change, if every name can be had."""
    check(setting("BASE_NAME"), wanted("web-app"), group, setting("PROJECT"), resources)
    if resources is None:
        print(f"Resource group {group} would be made, and in it all that {TEMPLATES.name} holds.")
    else:
        # A provider refuses what refers to resources that are not there yet: then the template alone is looked at.
        there = find(resources, WORKSPACE, setting("WORKSPACE_NAME"))
        level = () if there else ("--validation-level", "Template")
        what_if = ("deployment", "group", "what-if", "--resource-group", group)
        show(*what_if, *template("cloud-environment", f"workspaceName={setting('WORKSPACE_NAME')}"))
        for words in targets({{ "resources" if keeps }}):
            show(*what_if, *words, *level)
    unassigned = any(wanted(name) and not given(name, "assignRoles") for name in NAMED_BY)
    for sentence in notices(given("cloud-environment", "registrySku") == "Premium", unassigned):
        print(sentence)


def deploy(group: str, resources: list[dict[str, Any]] | None) -> None:
    """Deploy the templates in their order: what models are deployed to uses what comes first."""
    if resources is None:
        tags = ("--tags", f"project={setting('PROJECT')}")
        az("group", "create", "--name", group, "--location", setting("LOCATION"), *tags)
    environment = template("cloud-environment", f"workspaceName={setting('WORKSPACE_NAME')}")
    for words in [environment, *targets({{ "resources or []" if keeps }})]:
        show("deployment", "group", "create", "--output", "table", "--resource-group", group, *words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("plan", "deploy"))
    action = parser.parse_args().action
    with program():
        group, workspace = setting("RESOURCE_GROUP"), setting("WORKSPACE_NAME")
        resources = contents(group)
        there = find(resources, WORKSPACE, workspace)
        if there and not belongs(there, setting("PROJECT")):
            print(f"Workspace {workspace} is there and not of this project: nothing to deploy.")
        else:
            (plan if action == "plan" else deploy)(group, resources)


if __name__ == "__main__":
    main()
