"""Azure Pipelines on this machine: an agent for a baked project, and what stands in for Azure's own programs."""

import json
import os
import re
import shutil
import time
from pathlib import Path

import yaml

from azureml_emulator import tokens
from pipelines_runner.runner import INVOKE, Agent
from pipelines_runner.tasks import TASKS
from pipelines_runner.templates import Expansion

ROOTS = {
    ".pipelines/agent-image.yml": {},
    ".pipelines/batch-scoring.yml": {},
    ".pipelines/cd.yml": {},
    ".pipelines/ci.yml": {},
    ".pipelines/infrastructure-create.yml": {},
    ".pipelines/infrastructure-remove.yml": {"resourceGroup": "mlops-RG"},
    ".pipelines/pr.yml": {},
}
PREDEFINED = {
    "Build.BuildNumber": "20261121.1",
    "Build.Reason": "Manual",
    "Build.RequestedForEmail": "person@example.com",
    "Build.SourceBranch": "refs/heads/main",
    "System.CollectionUri": "https://dev.azure.com/contoso/",
    "System.TeamProjectId": "6ce954b1-ce1f-45d1-b94d-e6bf2464ba2c",
}
# Inputs of AzureCLI@2 by which a login lasts, and is not shown.
LOGIN = ("keepAzSessionActive", "visibleAzLogin")
# What the schema of Microsoft's language service does not describe.
NOT_DESCRIBED = {
    INVOKE: "a task of an extension",
    "PublishCodeCoverageResults@2": "the schema has its name, but the inputs of version 1",
}


def roots(root):
    """Return the pipelines that a repository has, with the parameters that they need."""
    return {file: given for file, given in ROOTS.items() if (root / file).exists()}


def groups(answers):
    """Return the variable group that the guide describes, filled in."""
    filled = {
        "AZURE_CONNECTION": answers["azure_connection"],
        "RESOURCE_GROUP": answers["resource_group"],
        "WORKSPACE_NAME": answers["workspace_name"],
        "BASE_NAME": answers["base_name"],
        "LOCATION": answers["__location"],
        "WORKSPACE_CONNECTION": "workspace-connection",
    }
    if answers["deploy_aci"]:
        filled |= {"ACI_DEPLOYMENT_NAME": "test-aci"}
    if answers["deploy_webapp"]:
        filled |= {"WEBAPP_DEPLOYMENT_NAME": "test-webapp"}
    if answers["aks"] != "none":
        filled |= {"AKS_COMPUTE_NAME": "test-aks"}
    if answers["aks"] == "service":
        filled |= {"AKS_DEPLOYMENT_NAME": "test-service", "AKS_HOST": "test.example.com"}
    if answers["aks"] == "canary":
        filled |= {"K8S_AB_NAMESPACE": "test-canary", "K8S_AB_HOST": "test.example.com"}
    return {answers["variable_group"]: filled}


# How this machine reaches package registries, and what it need not find out twice: no business of a build.
REACHES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "PIP_INDEX_URL", "SSL_CERT_FILE", "UV_DEFAULT_INDEX")
CACHES = ("MYPY_CACHE_DIR", "PYTHONPYCACHEPREFIX")


def agent(baked, root, folder, tasks=TASKS, **environment):
    """Return an agent for the repository in ``root``, which was baked from the answers of ``baked``."""
    connections = frozenset({baked.answers["azure_connection"], "workspace-connection", "acrconnection"})
    reaches = {name: os.environ[name] for name in (*REACHES, *CACHES) if name in os.environ}
    inherited = {**reaches, "HOME": str(folder), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", **environment}
    slug = baked.answers["project_slug"]
    named = {f"{slug}-{Path(file).stem}": file for file in roots(root)}
    return Agent(root, folder, tasks, groups(baked.answers), connections, inherited, PREDEFINED, pipelines=named)


def repository(baked, folder, python=None, without=()):
    """Copy a project as it would lie in a repository, with its environment made where there is one."""
    shutil.copytree(baked.path, folder, ignore=shutil.ignore_patterns(".*_cache", "__pycache__", *without))
    if python:
        (folder / ".venv").symlink_to(python.parents[1])
        (folder / ".venv" / "ready").touch()
    return folder


def edit(folder, file, old, new):
    """Change a file. What is to be changed must be there."""
    path = folder / file
    content = path.read_text(encoding="utf-8")
    assert old in content, f"{file} has no {old!r}"
    path.write_text(content.replace(old, new), encoding="utf-8")


def expanded(baked, root, pipeline, folder, **parameters):
    """Write a pipeline as the service would see it, with all templates in their places, and return the file."""
    made = Expansion(root).pipeline(pipeline, parameters, {**PREDEFINED, "Build.BuildId": "1"}, groups(baked.answers))
    for job in [job for stage in made["stages"] for job in stage["jobs"]]:
        steps = [step for step in job.pop("steps") if step.get("task") not in NOT_DESCRIBED]
        job.update({"strategy": {"runOnce": {"deploy": {"steps": steps}}}} if "deployment" in job else {"steps": steps})
    if made["stages"][0]["stage"] == "":
        made["jobs"] = made.pop("stages")[0]["jobs"]
    name = re.sub(r"\W+", "-", "-".join([Path(pipeline).stem, *map(str, parameters.values())]))
    file = folder / f"{name}.yml"
    file.write_text(yaml.dump(plain(made), Dumper=yaml.CSafeDumper, sort_keys=False), encoding="utf-8")
    return file


def plain(node):
    """Return a node as PyYAML writes it: whole numbers and booleans as such, which the language service asks for."""
    if isinstance(node, dict):
        return {key: plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [plain(item) for item in node]
    if isinstance(node, float):
        return int(node)
    return {"true": True, "false": False}.get(node, node) if isinstance(node, str) else node


def azure_cli(folder, subscription):
    """Put a stand-in for `az` into a folder: somebody is logged in, and each call is recorded."""
    token = tokens.issue("t", "connection", 3600, aud="https://management.azure.com")
    answer = json.dumps({"accessToken": token, "expires_on": int(time.time()) + 3600, "tokenType": "Bearer"})
    folder.mkdir()
    (folder / "az").write_text(
        f'#!/bin/sh\necho "$*" >> {folder}/calls\n'
        f"case \"$*\" in\n  'account show --query id --output tsv') echo {subscription} ;;\n"
        f"  'account get-access-token'*) echo '{answer}' ;;\n  *) echo \"az $*: not expected\" >&2; exit 2 ;;\nesac\n",
        encoding="utf-8",
    )
    (folder / "az").chmod(0o755)
    return folder
