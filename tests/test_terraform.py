"""Terraform: the resources it describes, the program that runs it, and the steps that pipelines take."""

import hashlib
import http.server
import io
import json
import os
import re
import shutil
import stat
import sys
import threading
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import bake, run
from local_pipelines import agent, edit, repository

from pipelines_runner.job import report
from pipelines_runner.tasks import TASKS


@pytest.fixture(scope="session")
def described(cookies_session):
    """Return a project whose resources are described in Terraform."""
    return bake(cookies_session, {"infrastructure": "terraform"})


# -- the resources, by the real Terraform ---


@pytest.fixture(scope="session")
def served(cookies_session):
    """Return such a project that deploys to each target."""
    return bake(cookies_session, {"infrastructure": "terraform", "deploy_webapp": True, "aks": "canary"})


def initialise(project, folder):
    """Copy the templates of a project, and get their provider, which TF_CLI_CONFIG_FILE may say where to find."""
    shutil.copytree(project.path / "environment_setup" / "tf-templates", folder)
    run("terraform", "init", "-backend=false", "-input=false", "-no-color", cwd=folder)
    return folder


@pytest.fixture(scope="session")
def initialised(described, tmp_path_factory):
    return initialise(described, tmp_path_factory.mktemp("terraform") / "tf-templates")


@pytest.fixture(scope="session")
def initialised_targets(served, tmp_path_factory):
    return initialise(served, tmp_path_factory.mktemp("terraform") / "tf-templates")


@pytest.mark.tool("terraform")
def test_templates_are_formatted(described, served):
    for project in (described, served):
        run("terraform", "fmt", "-check", "-diff", "-recursive", cwd=project.path / "environment_setup")


@pytest.mark.slow
@pytest.mark.tool("terraform")
def test_templates_are_valid_and_their_tests_pass(initialised):
    run("terraform", "validate", "-no-color", cwd=initialised)
    told = run("terraform", "test", "-no-color", cwd=initialised)

    assert re.search(r"Success! \d{2} passed, 0 failed", told)


@pytest.mark.slow
@pytest.mark.tool("terraform")
def test_templates_of_targets_are_valid_and_their_tests_pass(initialised_targets):
    run("terraform", "validate", "-no-color", cwd=initialised_targets)
    filters = [f"-filter=tests/{name}.tftest.hcl" for name in ("aci", "web_app", "aks", "asked_for")]
    told = run("terraform", "test", "-no-color", *filters, cwd=initialised_targets)

    assert re.search(r"Success! \d{2} passed, 0 failed", told)


@pytest.mark.slow
@pytest.mark.tool("terraform")
def test_what_the_provider_does_not_know_or_lacks_is_refused(initialised, tmp_path):
    """Whichever provider there is: the real one, or the one that knows its schema alone."""
    folder = tmp_path / "tf-templates"
    shutil.copytree(initialised, folder, symlinks=True)
    edit(folder, "main.tf", "https_traffic_only_enabled ", "https_trafic_only_enabled ")
    edit(folder, "main.tf", "    delete_retention_policy {", "    delete_retention_polici {")

    told = run("terraform", "validate", "-no-color", cwd=folder, code=1)

    assert '"https_trafic_only_enabled" is not expected here' in told
    assert '"delete_retention_polici" are not expected here' in told


# Lines that are broken by hand, several at once where no fault hides another. By the file of templates and the file of
# tests: what stands there, what then, and what the tests say of it.
BROKEN = {
    "main secure": [
        ('"TLS1_2"', '"TLS1_0"', "older than TLS 1.2"),
        ("https_traffic_only_enabled        = true", "https_traffic_only_enabled = false", "plain HTTP"),
        ("to_be_public   = false", "to_be_public   = true", "No blob may be public"),
        ("replication_enabled  = false", "replication_enabled  = true", "another tenant"),
        ("default_to_oauth_authentication   = true", "default_to_oauth_authentication = false", "not take the key"),
        ("infrastructure_encryption_enabled = true", "infrastructure_encryption_enabled = false", "encrypted twice"),
        ("local_user_enabled                = false", "local_user_enabled = true", "no users of its own"),
        ("key_enabled         = true", "key_enabled         = false", "SDK v1 reaches"),
        ('"01.00:00:00"', '"99.00:00:00"', "more than a day"),
        ("days = 7", "days = 1", "kept for a week"),
        ("rbac_authorization_enabled = true", "rbac_authorization_enabled = false", "must be by role"),
        ("purge_protection_enabled   = true", "purge_protection_enabled = false", "may purge"),
        ("retention_days = 90", "retention_days = 7", "90 days"),
        ("admin_enabled          = false", "admin_enabled = true", "no admin user"),
        ("pull_enabled = false", "pull_enabled = true", "ask who pulls"),
        ('"SystemAssigned"', '"UserAssigned"', "identity of its own"),
        ("public_access_enabled     = false", "public_access_enabled = true", "from outside"),
        ("local_auth_enabled            = false", "local_auth_enabled = true", "no users of their own"),
        ("min_node_count                       = 0", "min_node_count = 1", "no nodes while"),
    ],
    "main names": [
        ("workspace_id     = azurerm", "#", "keep its data in Log Analytics"),
        ("merge(var.tags, { project = var.project })", "var.tags", "project's tag"),
        ("lower(var.base_name)", "var.base_name", "does not give the names"),
    ],
    "main names of others": [
        ("tags                = local.tags\n\n  tenant", "tenant", "project's tag"),
        ("-AML-KV", "-KV", "does not give the names"),
    ],
    "main asked_for": [
        ("= var.registry_sku", '= "Premium"', "costs more than what was asked for"),
        ("var.create_compute ? 1 : 0", "1", "A cluster is made"),
        ("Key Vault Secrets User", "Key Vault Administrator", "other roles"),
    ],
    "main asked_for roles": [
        ("for_each = var.assign_roles", "for_each = true", "nobody asked for it"),
    ],
    "main asked_for group": [
        ("create_resource_group ? 1 : 0", "create_resource_group ? 1 : 1", "zero or one elements"),
    ],
    "aci aci": [
        ("-AML-ACI", "-ACI", "the name it should"),
        ("tags                = local.tags", "", "project's tag"),
        ('"AcrPull"', '"AcrPush"', "allowed to pull, and no more"),
        ('"Monitoring Contributor" ', '"Contributor" ', "other roles for the container group"),
    ],
    "aci aci whatever was asked": [
        ('var.aci_deployment_name == "" ? 0 : 1', "1", "nobody named what it is for"),
        ("var.assign_roles && local", "local", "nobody asked for it"),
    ],
    "web_app web_app": [
        ("https_only              = true", "https_only = false", "refuse plain HTTP"),
        ('minimum_tls_version                     = "1.2"', 'minimum_tls_version = "1.1"', "older than TLS 1.2"),
        ('"Disabled"', '"AllAllowed"', "no FTP"),
        ("webdeploy_publish_basic_authentication_enabled = false", "", "publish with a password"),
        ('"SystemAssigned"', '"UserAssigned"', "identity of its own"),
        ("managed_identity = true", "managed_identity = false", "pull by its identity"),
        ('"@Microsoft.KeyVault(', '"(', "reference to the Key Vault"),
        ('"8080"', '"80"', "the container at 8080"),
        ("always_on                               = true", "always_on = false", "must not sleep"),
        ("}/secrets/scoring-key", "}", "other roles than it should"),
        ('"Website Contributor"', '"Owner"', "deploy, and no more"),
        ("-AML-ASP", "-ASP", "the names they should"),
    ],
    "web_app web_app whatever was asked": [
        ('var.webapp_deployment_name == "" ? 0 : 1', "1", "nobody named one"),
        ("var.assign_roles && local", "local", "nobody asked for it"),
    ],
    "aks aks": [
        ("azure_rbac_enabled = true", "azure_rbac_enabled = false", "must be by role"),
        ("account_disabled            = true", "account_disabled = false", "no local account"),
        ('network_policy      = "cilium"', 'network_policy = "calico"', "must be enforced"),
        ('"NodeImage"', '"None"', "mend itself"),
        ("[var.mesh_revision]", '["asm-1-1"]', "revision that was asked for"),
        ("external_ingress_gateway_enabled = true", "external_ingress_gateway_enabled = false", "needs a gateway"),
        ("/namespaces/${var.aks_namespace}", "", "other roles in the cluster"),
        ('"AcrPull"', '"AcrPush"', "and no more"),
    ],
    "aks aks whatever was asked": [
        ('var.aks_compute_name == "" ? 0 : 1', "1", "nobody named one"),
        ("var.assign_roles ? local.cluster : 0", "local.cluster", "nobody asked for it"),
    ],
}


@pytest.mark.slow
@pytest.mark.tool("terraform")
@pytest.mark.parametrize("broken", BROKEN)
def test_settings_that_are_broken_by_hand_are_found(initialised_targets, tmp_path, broken):
    templates, tests = broken.split()[:2]
    folder = tmp_path / "tf-templates"
    shutil.copytree(initialised_targets, folder, symlinks=True)
    for old, new, _ in BROKEN[broken]:
        edit(folder, f"{templates}.tf", old, new)

    told = run("terraform", "test", "-no-color", f"-filter=tests/{tests}.tftest.hcl", cwd=folder, code=1)

    told = " ".join(told.split())
    assert [said for *_, said in BROKEN[broken] if said not in told] == []


def test_what_terraform_does_not_test_of_targets_stands_there(served):
    folder = served.path / "environment_setup" / "tf-templates"
    aci, web_app, aks = ((folder / f"{name}.tf").read_text("utf-8") for name in ("aci", "web_app", "aks"))

    assert "ignore_changes = [site_config[0].application_stack[0].docker_image_name]" in web_app
    assert re.search(r'"nodes" \{[^}]*kubelet_identity\[\*\].object_id', aks)
    assert re.search(r'"container_group" \{[^}]*container_group\[0\].principal_id', aci)
    skips = re.findall(r"#checkov:skip(.*)", web_app + aks)
    assert [skip for skip in skips if not re.fullmatch(r"=CKV2?_AZURE_\d+: \S.{15,}", skip)] == []


# What both descriptions say of the same setting, in their own words.
SAME = {
    "aci": {
        r"'-AML-ACI'": r"-AML-ACI\"",
        r"'7f951dda-4ed3-4680-a7ca-43fe172d538d'": r"AcrPull",
        r"'5d977122-f97e-4b4d-a52f-6b43003ddb4d'": r'"Azure Container Instances Contributor Role" += local.res',
        r"'f1a07417-d97a-45cb-824c-7a7467783830'": r'"Managed Identity Operator" ',
        r"'749f88d5-cbae-40b8-bcfc-e573ddc772fa'": r'"Monitoring Contributor" ',
    },
    "web-app": {
        r'"httpsOnly": true': r"https_only += true",
        r'"healthCheckPath": "/healthz"': r'health_check_path += "/healthz"',
        r'"minTlsVersion": "1.2"': r'minimum_tls_version += "1.2"',
        r'"ftpsState": "Disabled"': r'ftps_state += "Disabled"',
        r"SecretName=scoring-key\)": r"SecretName=scoring-key\)",
        r"'-AML-ASP'": r"-AML-ASP\"",
        r'"planSize": \{\s+"type": "string",\s+"defaultValue": "B1"': r'"webapp_plan_size" \{[^}]*default += "B1"',
        r"no-model:yet": r"no-model:yet",
    },
    "aks": {
        r'"tier": "Standard"': r'sku_tier += "Standard"',
        r'"networkPolicy": "cilium"': r'network_policy += "cilium"',
        r'"nodeSize": \{\s+"type": "string",\s+"defaultValue": "Standard_D4ds_v5"': (
            r'"aks_node_size" \{[^}]*default += "Standard_D4ds_v5"'
        ),
        r'"minNodes": \{\s+"type": "int",\s+"defaultValue": 3': r'"aks_min_nodes" \{[^}]*default += 3',
        r'"maxNodes": \{\s+"type": "int",\s+"defaultValue": 5': r'"aks_max_nodes" \{[^}]*default += 5',
        r"'-AML-DCR'": r"-AML-DCR\"",
        r'"disableLocalAccounts": true': r"local_account_disabled += true",
        r'"mode": "Istio"': r'mode += "Istio"',
        r'"/namespaces/"|\'/namespaces/\'': r"/namespaces/",
        r'"enableContainerLogV2": true': r"enableContainerLogV2 += true",
    },
}


@pytest.mark.parametrize(("name", "arm", "terraform"), [(n, a, t) for n, same in SAME.items() for a, t in same.items()])
def test_arm_and_terraform_describe_the_same_target(cookies_session, served, name, arm, terraform):
    other = bake(cookies_session, {"deploy_webapp": True, "aks": "canary"})
    template = (other.path / "environment_setup" / "arm-templates" / f"{name}.json").read_text("utf-8")
    file = served.path / "environment_setup" / "tf-templates" / f"{name.replace('-', '_')}.tf"

    assert re.search(arm, template)
    assert re.search(terraform, file.read_text("utf-8"))


def test_what_terraform_does_not_test_stands_there(described):
    """Settings of the provider and of a resource's life are no values that a test of Terraform can read."""
    folder = described.path / "environment_setup" / "tf-templates"
    versions, main = ((folder / name).read_text("utf-8") for name in ("versions.tf", "main.tf"))
    kept = re.findall(r'^resource "(\w+)" "\w+" \{(?:(?!^\}).)*prevent_destroy = true', main, re.MULTILINE | re.DOTALL)

    assert re.search(r"purge_soft_delete_on_destroy +\= false\n +recover_soft_deleted_key_vaults = true", versions)
    assert re.search(r"^  storage_use_azuread = true$", versions, re.MULTILINE)
    assert 'backend "azurerm" {}' in versions
    assert [name.removeprefix("azurerm_") for name in kept] == [
        "resource_group",
        "storage_account",
        "key_vault",
        "machine_learning_workspace",
    ]


def test_every_skip_of_a_check_has_its_reason(described):
    main = (described.path / "environment_setup" / "tf-templates" / "main.tf").read_text("utf-8")

    skips = re.findall(r"#checkov:skip(.*)", main)
    assert skips
    assert [skip for skip in skips if not re.fullmatch(r"=CKV2?_AZURE_\d+: \S.{15,}", skip)] == []


def test_values_are_those_that_were_answered(described):
    written = (described.path / "environment_setup" / "tf-templates" / "terraform.tfvars").read_text("utf-8")

    assert dict(re.findall(r'^(\w+) += "(.*)"$', written, re.MULTILINE)) == {
        "project": described.answers["project_slug"],
        "base_name": described.answers["base_name"],
        "location": described.answers["__location"],
        "resource_group": described.answers["resource_group"],
        "workspace_name": described.answers["workspace_name"],
        "registry_sku": "Premium",
    }


@pytest.mark.parametrize(("aci", "sku"), [(True, "Premium"), (False, "Standard")])
def test_the_registry_is_premium_where_aci_pulls_from_it(cookies_session, aci, sku):
    arm, terraform = (
        bake(cookies_session, {"deploy_aci": aci, "infrastructure": kind}) for kind in ("arm", "terraform")
    )
    values = (terraform.path / "environment_setup" / "tf-templates" / "terraform.tfvars").read_text("utf-8")
    given = arm.path / "environment_setup" / "arm-templates" / "cloud-environment.parameters.json"

    assert re.findall(r'^registry_sku += "(.*)"$', values, re.MULTILINE) == [sku]
    assert json.loads(given.read_text("utf-8"))["parameters"]["registrySku"]["value"] == sku


# -- the program, with stand-ins that record their calls ---

SECRET = "p%ss\nword"  # noqa: S105 - made up
STAND_IN = """#!{python}
import json, os, pathlib, shutil, sys
sys.path.insert(0, {tests!r})
import azure_roles
folder, name, *words = pathlib.Path({folder!r}), pathlib.Path(sys.argv[0]).name, *sys.argv[1:]
given = {{k: v for k, v in os.environ.items() if k.startswith("ARM_")}}
with (folder / "calls").open("a") as calls:
    calls.write(json.dumps([name, *words, given]) + "\\n")
said = " ".join(words)
if name == "az" and (why := azure_roles.refusal(words, azure_roles.CREATE_IN_A_GROUP, {guide!r})):
    sys.exit(why)
if (folder / "failing").exists() and said.startswith((folder / "failing").read_text()):
    sys.exit("Forbidden")
file = words[words.index("--file") + 1] if "--file" in words else ""
match [name, *words]:
    case ["az", "account", "show", *_]: print("a-subscription")
    case ["az", "group", "exists", *_]: print(str((folder / "found").exists()).lower())
    case ["az", "rest", "--method", "post", *_]:
        taken = (folder / "taken").exists() and (folder / "taken").read_text() in said
        print(json.dumps({{"nameAvailable": not taken, "reason": "AlreadyExists"}}))
    case ["az", "keyvault", "list-deleted", *_]:
        print((folder / "deleted").read_text() if (folder / "deleted").exists() else "[]")
    case ["az", "aks", "mesh", "get-revisions", *_]: print((folder / "revisions").read_text())
    case ["az", "resource", "list", *_]:
        print((folder / "found").read_text() if (folder / "found").exists() else "[]")
    case ["az", "storage", "container", "exists", *_]: print(str((folder / "made").exists()).lower())
    case ["az", "storage", "container", "create", *_]: (folder / "made").touch()
    case ["az", "storage", "blob", "upload", *_]: shutil.copy(file, folder / "kept-plan")
    case ["az", "storage", "blob", "download", *_]: shutil.copy(folder / "kept-plan", file)
    case ["terraform", "version", *_]: print(json.dumps({{"terraform_version": "1.11.4"}}))
    case ["terraform", "init", *_]:
        pathlib.Path(".terraform").mkdir(exist_ok=True)
        if "-lockfile=readonly" not in words: pathlib.Path(".terraform.lock.hcl").write_text("a lock")
        assert pathlib.Path(".terraform.lock.hcl").read_text() == "a lock"
    case ["terraform", "plan", *_]:
        (out,) = [word.removeprefix("-out=") for word in words if word.startswith("-out=")]
        pathlib.Path(out).write_text("a plan")
    case ["terraform", "show", *_]: print("Plan: 6 to add")
    case ["terraform", "apply", *_]: assert pathlib.Path(words[-1]).read_text() == "a plan"
    case ["terraform", "output", *_]: print((folder / "outputs.json").read_text())
    case _: sys.exit(said + " is not expected")
"""


class Recorded(NamedTuple):
    """A copy of the project whose `az` and `terraform` are stand-ins."""

    root: Path
    tools: Path
    environment: dict[str, str]

    def run(self, *words, code=0, **environment):
        program = ("-m", "environment_setup.terraform")
        return run(sys.executable, *program, *words, cwd=self.root, code=code, **{**self.environment, **environment})

    def calls(self, *beginning):
        """Return the calls that begin so, as the words that follow, and the ARM_ variables that Terraform saw."""
        lines = (self.tools / "calls").read_text("utf-8").splitlines() if (self.tools / "calls").exists() else []
        calls = [json.loads(line) for line in lines]
        return [call[len(beginning) :] for call in calls if tuple(call[: len(beginning)]) == beginning]


NOT_SET = ("TF_BUILD", "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", "SUBSCRIPTION_ID", "BUILD_SOURCEBRANCH", "LOCATION")
BUILD = {
    "TF_BUILD": "True",
    "BUILD_BUILDID": "7",
    "BUILD_SOURCEBRANCH": "refs/heads/main",
    "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID": "a-connection",
    "AZURESUBSCRIPTION_CLIENT_ID": "a-client",
    "AZURESUBSCRIPTION_TENANT_ID": "a-tenant",
    "SUBSCRIPTION_ID": "another-subscription",
    "SYSTEM_ACCESSTOKEN": "token of the job",
    "SYSTEM_OIDCREQUESTURI": "https://dev.azure.com/oidc",
}


def stand_ins(folder, project):
    folder.mkdir()
    guide = (project.path / "docs" / "infrastructure.md").read_text("utf-8")
    filled = {"python": sys.executable, "folder": str(folder), "tests": str(Path(__file__).parent), "guide": guide}
    for name in ("az", "terraform"):
        (folder / name).write_text(STAND_IN.format(**filled), encoding="utf-8")
        (folder / name).chmod(0o755)
    told = {
        "workspace_name": {"sensitive": False, "value": "a-workspace"},
        "zones": {"sensitive": False, "value": ["1", "2"]},
        "key": {"sensitive": True, "value": SECRET},
    }
    (folder / "outputs.json").write_text(json.dumps(told), encoding="utf-8")
    return folder


@pytest.fixture
def recorded(described, tmp_path, monkeypatch):
    for name in NOT_SET:
        monkeypatch.delenv(name, raising=False)
    root = repository(described, tmp_path / "repository", without=("src", "tests", "ml_service", "docs"))
    tools = stand_ins(tmp_path / "tools", described)
    backend = {"TERRAFORM_BACKEND_STORAGE": "thestate", "TERRAFORM_BACKEND_RG": "state-RG"}
    return Recorded(root, tools, {**backend, "PATH": f"{tools}:/usr/bin:/bin"})


@pytest.mark.parametrize(
    ("brought", "given", "passed"),
    [
        (True, {"WEBAPP_DEPLOYMENT_NAME": "an-app"}, {"aci_deployment_name=", "webapp_deployment_name=an-app"}),
        (True, {"AKS_COMPUTE_NAME": "$(AKS_COMPUTE_NAME)"}, {"aci_deployment_name=", "webapp_deployment_name="}),
        (False, {"ACI_DEPLOYMENT_NAME": "a-service"}, {"aci_deployment_name=a-service"}),
    ],
    ids=["named", "unknown_to_the_group", "not_chosen"],
)
def test_targets_are_planned_where_the_group_names_them(recorded, brought, given, passed):
    for name in ("web_app.tf",) if brought else ():
        (recorded.root / "environment_setup" / "tf-templates" / name).touch()

    recorded.run("init", **given)
    recorded.run("plan", **given)

    (plan,) = recorded.calls("terraform", "plan")
    names = ("-var=aci_deployment_name", "-var=webapp_deployment_name", "-var=aks_compute_name")
    assert {word.removeprefix("-var=") for word in plan[:-1] if word.startswith(names)} == passed


@pytest.mark.parametrize(("aks", "variable"), [("canary", "K8S_AB_NAMESPACE"), ("service", "AKS_DEPLOYMENT_NAME")])
def test_a_cluster_s_namespace_is_what_its_target_calls_it(cookies_session, aks, variable):
    project = bake(cookies_session, {"infrastructure": "terraform", "aks": aks})
    code = "from environment_setup.terraform import names; print(names()['aks_namespace'])"

    assert run(sys.executable, "-c", code, cwd=project.path, **{variable: "a-namespace"}) == "a-namespace\n"


def test_the_guide_registers_the_providers_that_terraform_registers(cookies_session, served):
    without = {"infrastructure": "terraform", "deploy_aci": False, "deploy_webapp": True, "aks": "canary"}
    versions = (served.path / "environment_setup" / "tf-templates" / "versions.tf").read_text("utf-8")

    def registered(project):
        guide = (project.path / "docs" / "infrastructure.md").read_text("utf-8")
        listed = re.search(r"--namespace Microsoft\.(\w+)`, and so for ([\w, \n]+)\.", guide)
        return set(re.findall(r"\w+", f"{listed[1]} {listed[2]}")) - {"and"}

    found = re.findall(r'"microsoft\.(\w+)"', versions.lower())
    assert {name.lower() for name in registered(served)} == set(found)
    assert registered(served) - registered(bake(cookies_session, without)) == {"ContainerInstance", "ManagedIdentity"}
    assert 'aci.tf") ? ["Microsoft.ContainerInstance", "Microsoft.ManagedIdentity"]' in versions


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (
            False,
            "The name mlopsamlsa cannot be had in Microsoft.Storage/storageAccounts (AlreadyExists): choose another",
        ),
        (True, ""),
    ],
    ids=["taken", "one's own"],
)
def test_a_plan_names_what_is_taken_unless_it_is_one_s_own(recorded, there, said):
    (recorded.tools / "taken").write_text("mlopsamlsa", encoding="utf-8")
    own = {
        "name": "mlopsamlsa",
        "type": "Microsoft.Storage/storageAccounts",
        "tags": {"project": "diabetes-regression"},
    }
    (recorded.tools / "found").write_text(json.dumps([own] if there else []), encoding="utf-8")

    recorded.run("init")
    told = recorded.run("plan", BASE_NAME="mlops", code=not there)

    assert said in told
    assert len(recorded.calls("terraform", "plan")) == there


@pytest.mark.parametrize(("group", "planned"), [("mlops-RG", True), ("another-RG", False)])
def test_a_deleted_vault_of_the_group_is_taken_up_by_terraform(recorded, group, planned):
    """As `recover_soft_deleted_key_vaults` of versions.tf says; a vault of another group is nobody's to recover."""
    vault = {"vaultId": f"/subscriptions/s/resourceGroups/{group}/providers/x/y/z", "location": "westeurope"}
    (recorded.tools / "deleted").write_text(
        json.dumps([{"name": "mlops-AML-KV", "properties": vault}]), encoding="utf-8"
    )
    (recorded.tools / "taken").write_text("mlops-AML-KV", encoding="utf-8")

    recorded.run("init")
    recorded.run("plan", BASE_NAME="mlops", code=not planned)

    assert len(recorded.calls("terraform", "plan")) == planned


# -- the mesh of a cluster ---

OFFERED = {"meshRevisions": [{"revision": name} for name in ("asm-1-9", "asm-1-30", "asm-1-29")]}


@pytest.fixture
def meshed(recorded):
    """Return such a copy that describes a cluster with a mesh, in a region that offers these revisions."""
    folder = recorded.root / "environment_setup" / "tf-templates"
    (folder / "aks.tf").touch()
    (recorded.tools / "revisions").write_text(json.dumps(OFFERED), encoding="utf-8")
    recorded.run("init")
    return recorded


def test_a_cluster_begins_with_the_newest_revision_of_the_mesh(meshed):
    meshed.run("plan", AKS_COMPUTE_NAME="a-cluster", LOCATION="westeurope")

    (plan,) = meshed.calls("terraform", "plan")
    (asked,) = meshed.calls("az", "aks", "mesh", "get-revisions")
    assert "-var=mesh_revision=asm-1-30" in plan
    assert asked[:2] == ["--location", "westeurope"]


@pytest.mark.parametrize("offered", ["null", '{"meshRevisions": []}', ""])
def test_a_region_without_a_mesh_is_told(meshed, offered):
    (meshed.tools / "revisions").write_text(offered, encoding="utf-8")

    told = meshed.run("plan", AKS_COMPUTE_NAME="a-cluster", LOCATION="westeurope", code=1)

    assert told == "error: westeurope offers no mesh for Kubernetes: choose another LOCATION.\n"


def test_a_mesh_that_nobody_wants_is_not_asked_about(meshed):
    meshed.run("plan", AKS_COMPUTE_NAME="")

    assert len(meshed.calls("terraform", "plan")) == 1
    assert meshed.calls("az", "aks") == []


def test_no_revision_of_the_mesh_is_pinned_and_a_cluster_keeps_its_own(cookies_session, served):
    """A revision lives for about a year (azure-aks-docs, articles/aks/istio-support-policy.md)."""
    texts = [path.read_text("utf-8") for path in served.files() if path.parent.name != "tests"]
    aks = (served.path / "environment_setup" / "tf-templates" / "aks.tf").read_text("utf-8")
    other = bake(cookies_session, {"deploy_webapp": True, "aks": "canary"})
    arm = (other.path / "environment_setup" / "arm-templates").iterdir()

    assert [found for text in texts for found in re.findall(r"asm-1-\d+", text)] == []
    assert [path.name for path in arm if "asm-" in path.read_text("utf-8")] == []
    assert "ignore_changes = [kubernetes_version, service_mesh_profile[0].revisions]" in aks


KEY = "diabetes-regression/mlops-rg/mlops-aml-ws.tfstate"


def test_init_makes_the_container_once_and_keeps_the_state_there(recorded):
    recorded.run("init")
    recorded.run("init")

    (create,) = recorded.calls("az", "storage", "container", "create")
    assert " ".join(create[:-1]) == (
        "--name tfstate --public-access off --output none --account-name thestate --auth-mode login --only-show-errors"
    )
    assert {word for word in recorded.calls("terraform", "init")[0] if "backend" in word} == {
        "-backend-config=storage_account_name=thestate",
        "-backend-config=container_name=tfstate",
        "-backend-config=resource_group_name=state-RG",
        f"-backend-config=key={KEY}",
        "-backend-config=use_azuread_auth=true",
    }


def test_two_environments_never_share_a_state(recorded):
    recorded.run("init")
    recorded.run("init", RESOURCE_GROUP="test-RG")
    recorded.run("init", WORKSPACE_NAME="another")

    keys = [word for call in recorded.calls("terraform", "init") for word in call if "config=key" in word]
    assert len(set(keys)) == 3


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"TERRAFORM_BACKEND_STORAGE": ""}, "TERRAFORM_BACKEND_STORAGE is missing: docs/azure-pipelines.md lists"),
        ({"TERRAFORM_BACKEND_RG": " "}, "TERRAFORM_BACKEND_RG is missing: docs/azure-pipelines.md lists"),
        ({"TERRAFORM_BACKEND_RG": "MLOps-rg"}, "The state must outlive MLOps-rg: put it into an account in a resource"),
        ({"PATH": "/nowhere"}, "az is not installed: install it"),
        ({**BUILD, "SYSTEM_ACCESSTOKEN": ""}, "SYSTEM_ACCESSTOKEN is not set: run this by templates/azure.yml"),
        ({**BUILD, "SUBSCRIPTION_ID": ""}, "SUBSCRIPTION_ID is missing"),
    ],
    ids=["no storage", "no group", "state in the group", "no az", "no token", "no subscription"],
)
def test_what_is_missing_is_told_in_a_sentence(recorded, environment, said):
    told = recorded.run("init", code=1, **environment)

    assert told.splitlines()[-1].startswith(f"error: {said}")
    assert recorded.calls("terraform") == []


def test_an_unknown_command_is_wrong_usage(recorded):
    assert "invalid choice: 'destroy'" in recorded.run("destroy", code=2)
    assert "commands:" in recorded.run("--help")


def test_a_role_that_is_missing_is_named(recorded):
    (recorded.tools / "failing").write_text("storage container exists", encoding="utf-8")

    told = recorded.run("init", code=1)

    assert "`az storage container exists` exited with 1: " in told
    assert "needs the role Storage Blob Data Contributor on thestate." in told


def test_a_failure_of_terraform_fails(recorded):
    (recorded.tools / "failing").write_text("plan", encoding="utf-8")
    recorded.run("init")

    assert "error: `terraform plan` exited with 1" in recorded.run("plan", code=1)
    assert not (recorded.root / "outputs").exists()


def test_a_person_logs_in_with_az(recorded):
    recorded.run("init")
    recorded.run("plan")

    (plan,) = recorded.calls("terraform", "plan")
    assert plan[-1] == {"ARM_SUBSCRIPTION_ID": "a-subscription"}
    assert recorded.calls("az", "storage", "blob") == []


def test_a_build_logs_in_as_its_service_connection_and_no_argument_holds_a_secret(recorded):
    recorded.run("init", **BUILD)
    recorded.run("plan", **BUILD)

    (plan,) = recorded.calls("terraform", "plan")
    assert plan[-1] == {
        "ARM_USE_OIDC": "true",
        "ARM_USE_CLI": "false",
        "ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID": "a-connection",
        "ARM_CLIENT_ID": "a-client",
        "ARM_TENANT_ID": "a-tenant",
        "ARM_SUBSCRIPTION_ID": "another-subscription",
        "ARM_OIDC_REQUEST_TOKEN": "token of the job",
        "ARM_OIDC_REQUEST_URL": "https://dev.azure.com/oidc",
    }
    assert not [call for call in recorded.calls() if "token of the job" in " ".join(call[:-1])]


def test_the_environment_of_the_build_wins_over_the_file(recorded):
    recorded.run("init")
    recorded.run("plan", BASE_NAME="testml", LOCATION="westeurope")

    (plan,) = recorded.calls("terraform", "plan")
    assert {word for word in plan[:-1] if word.startswith("-var")} == {
        "-var=project=diabetes-regression",
        "-var=base_name=testml",
        "-var=location=westeurope",
        "-var=resource_group=mlops-RG",
        "-var=workspace_name=mlops-AML-WS",
        "-var=aci_deployment_name=",
    }


@pytest.mark.parametrize(
    ("given", "values", "said"),
    [
        ({}, "", [True, False]),
        ({"ACI_DEPLOYMENT_NAME": "a-service"}, "", [True, True]),
        ({"ACI_DEPLOYMENT_NAME": "a-service"}, "assign_roles = true", [True, False]),
        ({"ACI_DEPLOYMENT_NAME": "a-service"}, 'registry_sku = "Standard"', [False, True]),
    ],
    ids=["no target", "a target", "roles are assigned", "a Standard registry"],
)
def test_a_plan_says_what_costs_more_and_who_has_to_give_roles_first(recorded, given, values, said):
    file = recorded.root / "environment_setup" / "tf-templates" / "terraform.tfvars"
    kept = [line for line in file.read_text("utf-8").splitlines() if values[:8] not in line or not values]
    file.write_text("\n".join([*kept, values]), encoding="utf-8")

    recorded.run("init", **given)
    told = recorded.run("plan", **given)

    assert ["azure.microsoft.com/pricing/details/container-registry/" in told, "gives AcrPull" in told] == said


def test_what_is_handed_on_holds_no_plan(recorded):
    recorded.run("init", **BUILD)
    recorded.run("plan", **BUILD)

    folder = recorded.root / "outputs" / "terraform-plan"
    assert {file.name: file.read_text("utf-8") for file in folder.iterdir()} == {
        "plan.txt": "Plan: 6 to add\n",
        "plan.sha256": hashlib.sha256(b"a plan").hexdigest(),
        "lock.hcl": "a lock",
    }
    (upload,) = recorded.calls("az", "storage", "blob", "upload")
    assert upload[:4] == ["--container-name", "tfstate", "--name", "diabetes-regression/7.tfplan"]


@pytest.fixture
def planned(recorded):
    recorded.run("init", **BUILD)
    recorded.run("plan", **BUILD)
    return recorded


def test_apply_applies_that_plan(planned):
    planned.run("apply", **BUILD)

    (apply,) = planned.calls("terraform", "apply")
    assert apply[:-2] == ["-input=false", "-lock-timeout=5m"]


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"BUILD_SOURCEBRANCH": "refs/pull/3/merge"}, "and this is refs/pull/3/merge."),
        ({"BUILD_SOURCEBRANCH": "refs/heads/main2"}, "and this is refs/heads/main2."),
        ({"BUILD_SOURCEBRANCH": ""}, "and this is no build."),
    ],
    ids=["pull request", "another branch", "a person"],
)
def test_only_the_main_branch_applies(planned, environment, said):
    told = planned.run("apply", code=1, **{**BUILD, **environment})

    assert told.strip() == f"error: Only a build of refs/heads/main applies a plan, {said}"
    assert planned.calls("terraform", "apply") == []


def test_another_plan_than_the_approved_one_is_refused(planned):
    (planned.tools / "kept-plan").write_text("another plan", encoding="utf-8")

    told = planned.run("apply", code=1, **BUILD)

    assert "error: The plan beside the state is not the one that was approved" in told
    assert planned.calls("terraform", "apply") == []


@pytest.mark.parametrize(
    ("tags", "adopted"), [(None, True), ({"project": "another"}, True), ({"project": "diabetes-regression"}, False)]
)
def test_a_workspace_of_somebody_else_is_left_alone(planned, tags, adopted):
    found = {"name": "MLOPS-aml-WS", "type": "Microsoft.MachineLearningServices/workspaces", "tags": tags}
    (planned.tools / "found").write_text(json.dumps([found]), encoding="utf-8")
    before = len(planned.calls("terraform", "plan"))

    told = planned.run("plan", **BUILD)

    assert ("nothing to apply" in told) == adopted
    assert len(planned.calls("terraform", "plan")) == before + (not adopted)
    planned.run("apply", **BUILD)
    assert len(planned.calls("terraform", "apply")) == (not adopted)


@pytest.mark.parametrize("command", ["init", "apply"])
def test_without_the_artifact_nothing_happens(planned, command):
    told = planned.run(command, "no/such/folder", code=1, **BUILD)

    assert re.search(r"error: no/such/folder/\S+ is not there: download the artifact that `plan` left\.", told)
    assert planned.calls("terraform", "apply") == []


def test_outputs_are_told_to_the_agent_and_secrets_are_not_shown(recorded):
    told = recorded.run("outputs", **BUILD).splitlines()

    assert told == [
        "WORKSPACE_NAME = a-workspace",
        "##vso[task.setvariable variable=WORKSPACE_NAME;isOutput=true;issecret=false]a-workspace",
        'ZONES = ["1", "2"]',
        '##vso[task.setvariable variable=ZONES;isOutput=true;issecret=false]["1", "2"]',
        "KEY = (sensitive)",
        "##vso[task.setvariable variable=KEY;isOutput=true;issecret=true]p%AZP25ss%0Aword",
    ]


def test_a_person_sees_no_secret(recorded):
    told = recorded.run("outputs")

    assert "KEY = (sensitive)" in told
    assert "##vso" not in told
    assert "word\n" not in told.replace("KEY", "")


# -- fetching it ---


class Releases(NamedTuple):
    url: str
    asked: list[str]


@pytest.fixture
def service():
    """Return a server that answers everything with the same, and what it was asked."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, dict(self.headers)))
            self.send_response(200 if self.command == "GET" else 400)
            self.end_headers()
            self.wfile.write(b"an archive")

        do_POST = do_CONNECT = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Releases(f"http://127.0.0.1:{server.server_port}", asked)
        server.shutdown()


def test_the_version_that_is_there_is_not_fetched(recorded, service):
    told = recorded.run("install", TERRAFORM_RELEASES=service.url)

    assert told == "Terraform 1.11.4 is installed.\n"
    assert service.asked == []


def test_another_archive_than_the_pinned_one_is_refused(recorded, service):
    edit(recorded.tools, "terraform", "1.11.4", "1.5.0")

    told = recorded.run("install", TERRAFORM_RELEASES=service.url, **BUILD, code=1)

    assert [path for path, _ in service.asked] == ["/1.11.4/terraform_1.11.4_linux_amd64.zip"]
    assert "error: What was fetched is not Terraform 1.11.4: its digest is " in told
    assert "##vso" not in told


def test_a_service_out_of_reach_is_told_with_the_remedy(recorded):
    edit(recorded.tools, "terraform", "1.11.4", "1.5.0")

    told = recorded.run("install", TERRAFORM_RELEASES="http://127.0.0.1:9", code=1)

    assert re.match(
        r"error: Terraform cannot be fetched from http://127.0.0.1:9/1.11.4 \(.*\): install Terraform", told
    )


def test_the_pinned_archive_is_unpacked(described, tmp_path):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writing:
        writing.writestr("terraform", "a program")
    (tmp_path / "archive.zip").write_bytes(archive.getvalue())
    digest = hashlib.sha256(archive.getvalue()).hexdigest()
    unpack = "import pathlib, sys; from environment_setup.terraform import unpack; archive, digest, to = sys.argv[1:]\n"
    unpack += "unpack(pathlib.Path(archive).read_bytes(), digest, pathlib.Path(to))"

    run(sys.executable, "-c", unpack, tmp_path / "archive.zip", digest, tmp_path / "bin", cwd=described.path)

    unpacked = tmp_path / "bin" / "terraform"
    assert unpacked.read_text() == "a program"
    assert unpacked.stat().st_mode & stat.S_IXUSR


@pytest.mark.slow
@pytest.mark.tool("terraform")
def test_the_real_terraform_asks_azure_devops_for_a_token_of_the_connection(recorded, service):
    (recorded.tools / "terraform").unlink()
    path = f"{recorded.tools}:{os.environ['PATH']}"
    proxies = {"HTTPS_PROXY": service.url, "NO_PROXY": "127.0.0.1", "CHECKPOINT_DISABLE": "1"}

    told = recorded.run("init", code=1, **{**BUILD, **proxies, "PATH": path, "SYSTEM_OIDCREQUESTURI": service.url})

    asked = [(path, headers) for path, headers in service.asked if "serviceConnectionId=a-connection" in path]
    assert asked, told
    assert {headers["Authorization"] for _, headers in asked} == {"Bearer token of the job"}
    assert "Invalid backend configuration" not in told


# -- the steps of a pipeline ---

PIPELINE = """
trigger: none
variables:
- template: variables.yml
stages:
- stage: Plan
  jobs:
  - template: templates/job.yml
    parameters:
      name: plan
      displayName: Plan
      steps:
      - template: /.pipelines/templates/terraform-plan.yml@self
- stage: Deploy
  jobs:
  - template: templates/job.yml
    parameters:
      name: deploy
      displayName: Deploy
      steps:
      - template: /.pipelines/templates/terraform-deploy.yml@self
  - template: templates/job.yml
    parameters:
      name: reads
      displayName: Read
      dependsOn: [deploy]
      variables:
        WORKSPACE: $[ dependencies.deploy.outputs['infrastructure.WORKSPACE_NAME'] ]
        KEY: $[ dependencies.deploy.outputs['infrastructure.KEY'] ]
      steps:
      - script: echo "$(WORKSPACE), and a key of ${#KEY} characters"
        displayName: Tell
"""


@pytest.fixture
def local(described, recorded):
    """Return an agent that runs the steps, but does not install Python's packages."""
    (recorded.root / ".pipelines" / "infrastructure.yml").write_text(PIPELINE, encoding="utf-8")

    def script(step):
        if "make setup" not in step.written["script"]:
            TASKS["script"](step)

    path = f"{recorded.tools}:{Path(sys.executable).parent}:/usr/bin:/bin"
    tasks = {**TASKS, "script": script}
    local = agent(described, recorded.root, recorded.tools.parent / "agent", tasks, **recorded.environment)
    local.environment["PATH"] = path
    return local


def test_a_build_plans_applies_and_hands_its_outputs_on(local, recorded):
    build = local.run(".pipelines/infrastructure.yml")

    assert build.result == "Succeeded", report(build.steps())
    assert build.job("Deploy.reads").steps[-1].told == f"a-workspace, and a key of {len(SECRET)} characters\n"
    assert {file.name for file in (build.artifacts / "terraform-plan").iterdir()} == {
        "plan.txt",
        "plan.sha256",
        "lock.hcl",
    }
    (apply,) = recorded.calls("terraform", "apply")
    assert apply[-1]["ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID"].endswith("azure-resource-connection")
    assert "-lockfile=readonly" in recorded.calls("terraform", "init")[-1]
    assert SECRET.splitlines()[-1] not in report(build.steps())


def test_a_build_of_another_branch_plans_and_does_not_apply(local, recorded):
    local.predefined = {**local.predefined, "Build.SourceBranch": "refs/heads/feature"}

    build = local.run(".pipelines/infrastructure.yml")

    assert (build.stages["Plan"].result, build.stages["Deploy"].result) == ("Succeeded", "Failed")
    assert recorded.calls("terraform", "apply") == []


def test_a_plan_that_failed_is_not_applied(local, recorded):
    (recorded.tools / "failing").write_text("plan", encoding="utf-8")

    build = local.run(".pipelines/infrastructure.yml")

    assert (build.stages["Plan"].result, build.stages["Deploy"].result) == ("Failed", "Skipped")
    assert not build.artifacts.exists()
