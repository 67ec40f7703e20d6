"""The Azure resources as ARM describes them, what deploys and removes them, and their pipelines and the image's."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import azure_roles
import pytest
from conftest import Project, bake, run
from local_pipelines import ROOTS, agent, edit, groups, repository

from pipelines_runner.tasks import TASKS
from pipelines_runner.templates import Expansion

FOLDER = "environment_setup/arm-templates"
ARM = f"{FOLDER}/cloud-environment"


@pytest.fixture(scope="module")
def template(defaults):
    return json.loads((defaults.path / f"{ARM}.json").read_text("utf-8"))


@pytest.fixture(scope="session")
def served(cookies_session):
    """Return a project that deploys to each target."""
    return bake(cookies_session, {"deploy_webapp": True, "aks": "canary"})


@pytest.fixture(scope="module")
def web_app(served):
    return json.loads((served.path / FOLDER / "web-app.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def container_group(defaults):
    return json.loads((defaults.path / FOLDER / "aci.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def cluster(served):
    return json.loads((served.path / FOLDER / "aks.json").read_text("utf-8"))


def resource(template, kind):
    return next(one for one in template["resources"] if one["type"].endswith(kind))


def evaluated(template, expression, parameters):
    """Return the value of an ARM expression of the functions that names are made with."""
    functions = {
        "concat": lambda *parts: "".join(parts),
        "toLower": str.lower,
        "parameters": parameters.__getitem__,
        "variables": lambda name: evaluated(template, template["variables"][name], parameters),
    }
    return eval(expression.strip("[]"), {"__builtins__": {}}, functions)  # noqa: S307 - our own template


# -- names ---


@pytest.mark.parametrize("base", ["MyUniqueML", "abc", "A1b2C3"])
def test_names_follow_from_the_base_name(cookies_session, base):
    baked = bake(cookies_session, {"base_name": base})
    template = json.loads((baked.path / f"{ARM}.json").read_text("utf-8"))
    given = json.loads((baked.path / f"{ARM}.parameters.json").read_text("utf-8"))["parameters"]
    parameters = {name: value["value"] for name, value in given.items()}
    kinds = ("storageAccounts", "vaults", "components", "OperationalInsights/workspaces", "registries")

    names = [evaluated(template, resource(template, kind)["name"], parameters) for kind in kinds]

    lower = base.lower()
    assert names == [f"{lower}amlsa", f"{base}-AML-KV", f"{base}-AML-AI", f"{base}-AML-LA", f"{lower}amlcr"]
    guide = (baked.path / "docs" / "infrastructure.md").read_text("utf-8")
    assert set(names) <= set(re.findall(r"^\| [^|]+ \| `([^`]+)` \|", guide, re.MULTILINE))
    assert all(len(name) <= 24 for name in names)


def test_the_parameters_hold_the_answers(project):
    if project.answers["infrastructure"] != "arm":
        pytest.skip("the answers are elsewhere")
    given = json.loads((project.path / f"{ARM}.parameters.json").read_text("utf-8"))["parameters"]
    declared = json.loads((project.path / f"{ARM}.json").read_text("utf-8"))["parameters"]

    assert {name: value["value"] for name, value in given.items()} == {
        "baseName": project.answers["base_name"],
        "location": project.answers["__location"],
        "workspaceName": project.answers["workspace_name"],
        "registrySku": "Premium" if project.answers["deploy_aci"] else "Standard",
        "tags": {"project": project.answers["project_slug"]},
    }
    assert {name for name, one in declared.items() if "defaultValue" not in one} <= given.keys()


def test_a_region_is_taken_by_either_of_its_names(cookies_session):
    baked = bake(cookies_session, {"azure_location": "West Europe"})

    given = json.loads((baked.path / f"{ARM}.parameters.json").read_text("utf-8"))["parameters"]
    assert given["location"]["value"] == "westeurope"


# -- security: each line is a setting that somebody could take away ---

SECURE = {
    "storageAccounts": {
        "supportsHttpsTrafficOnly": True,
        "minimumTlsVersion": "TLS1_2",
        "allowBlobPublicAccess": False,
        "allowCrossTenantReplication": False,
        "defaultToOAuthAuthentication": True,
        "isLocalUserEnabled": False,
        "sasPolicy": {"sasExpirationPeriod": "1.00:00:00", "expirationAction": "Log"},
    },
    "storageAccounts/blobServices": {
        "deleteRetentionPolicy": {"enabled": True, "days": 7},
        "containerDeleteRetentionPolicy": {"enabled": True, "days": 7},
    },
    "vaults": {
        "enableRbacAuthorization": True,
        "enableSoftDelete": True,
        "softDeleteRetentionInDays": 90,
        "enablePurgeProtection": True,
    },
    "registries": {"adminUserEnabled": False, "anonymousPullEnabled": False},
    "workspaces/computes": {"disableLocalAuth": True},
}


@pytest.mark.parametrize(("kind", "setting"), [(kind, setting) for kind in SECURE for setting in SECURE[kind]])
def test_security_is_set(template, kind, setting):
    assert resource(template, kind)["properties"][setting] == SECURE[kind][setting]


def test_shared_keys_stay_on_with_the_reason(template):
    storage = resource(template, "storageAccounts")

    assert storage["properties"]["allowSharedKeyAccess"] is True
    assert "SDK v1" in storage["comments"]


def test_the_workspace_has_an_identity_and_insights_keep_their_data_in_logs(template):
    assert resource(template, "MachineLearningServices/workspaces")["identity"] == {"type": "SystemAssigned"}
    assert "logsId" in resource(template, "components")["properties"]["WorkspaceResourceId"]


def test_stored_data_is_encrypted_twice(template):
    assert resource(template, "storageAccounts")["properties"]["encryption"]["requireInfrastructureEncryption"] is True


def test_the_workspace_hangs_on_what_is_made_with_it(template):
    properties = resource(template, "MachineLearningServices/workspaces")["properties"]

    links = {
        name: properties[name] for name in ("storageAccount", "keyVault", "applicationInsights", "containerRegistry")
    }
    assert links == {
        "storageAccount": "[variables('storageId')]",
        "keyVault": "[variables('vaultId')]",
        "applicationInsights": "[variables('insightsId')]",
        "containerRegistry": "[variables('registryId')]",
    }


def test_a_cluster_is_made_when_asked_costs_nothing_idle_and_takes_no_login(template):
    cluster = resource(template, "workspaces/computes")

    assert cluster["condition"] == "[parameters('createCompute')]"
    assert template["parameters"]["createCompute"]["defaultValue"] is False
    assert cluster["identity"] == {"type": "SystemAssigned"}
    assert cluster["properties"]["properties"]["remoteLoginPortPublicAccess"] == "Disabled"
    assert cluster["properties"]["properties"]["scaleSettings"]["minNodeCount"] == 0


# learn.microsoft.com/azure/role-based-access-control/built-in-roles
ROLES = {
    "contributor": "b24988ac-6180-42a0-ab88-20f7382dd24c",
    "secretsUser": "4633458b-17de-408a-b874-0445c86b69e6",
    "acrPush": "8311e382-0749-4cb8-b61a-304f252e45ec",
}


def test_roles_are_those_that_are_named_and_go_to_the_principal_that_was_given(template):
    assigned = [one["properties"] for one in template["resources"] if one["type"].endswith("roleAssignments")]

    assert {name: template["variables"][name].split("'")[-2] for name in ROLES} == ROLES
    assert {one["principalId"] for one in assigned} == {"[parameters('principalId')]"}


def test_every_resource_that_can_has_the_project_s_tag(template):
    untaggable = ("roleAssignments", "blobServices")
    tagged = [one for one in template["resources"] if not one["type"].endswith(untaggable)]

    assert len(tagged) == 7
    assert {one["tags"] for one in tagged} == {"[parameters('tags')]"}


def test_roles_are_given_only_when_asked_and_are_no_more_than_these(template):
    roles = [one for one in template["resources"] if one["type"].endswith("roleAssignments")]

    (made,) = roles
    assert (made["scope"], made["properties"]["roleDefinitionId"]) == (
        "[variables('roles')[copyIndex()].scope]",
        "[variables('roles')[copyIndex()].role]",
    )
    assert made["copy"]["count"] == "[length(variables('roles'))]"
    assert made["condition"] == "[parameters('assignRoles')]"
    assert template["parameters"]["assignRoles"]["defaultValue"] is False
    assert {(one["scope"], one["role"]) for one in template["variables"]["roles"]} == {
        (f"[variables('{scope}')]", f"[variables('{role}')]")
        for scope, role in [
            ("workspaceId", "contributor"),
            ("registryId", "contributor"),
            ("registryId", "acrPush"),
            ("vaultId", "secretsUser"),
        ]
    }


def test_versions_of_the_api_are_stable_and_no_output_is_a_secret(template):
    versions = [one["apiVersion"] for one in template["resources"]]

    assert all(re.fullmatch(r"\d{4}-\d{2}-\d{2}", version) for version in versions)
    assert not re.search(r"list(Keys|Secrets|Credentials)", json.dumps(template["outputs"]), re.IGNORECASE)


# -- what models are deployed to ---

# Each line is a setting that somebody could take away. Tests of Terraform have the same ones.
SECURE_SITE = {
    "acrUseManagedIdentityCreds": True,
    "alwaysOn": True,
    "healthCheckPath": "/healthz",
    "minTlsVersion": "1.2",
    "scmMinTlsVersion": "1.2",
    "ftpsState": "Disabled",
    "http20Enabled": True,
    "remoteDebuggingEnabled": False,
}
SECURE_CLUSTER = {
    "enableRBAC": True,
    "aadProfile": {"managed": True, "enableAzureRBAC": True},
    "disableLocalAccounts": True,
    "autoUpgradeProfile": {"upgradeChannel": "patch", "nodeOSUpgradeChannel": "NodeImage"},
    "serviceMeshProfile": {
        "mode": "Istio",
        "istio": {"components": {"ingressGateways": [{"enabled": True, "mode": "External"}]}},
    },
}


@pytest.mark.parametrize("setting", SECURE_SITE)
def test_the_web_app_is_secure_and_serves(web_app, setting):
    assert resource(web_app, "/sites")["properties"]["siteConfig"][setting] == SECURE_SITE[setting]


def test_the_web_app_is_reached_by_tls_alone_and_published_to_by_no_password(web_app):
    site, policy = resource(web_app, "/sites"), resource(web_app, "basicPublishingCredentialsPolicies")

    assert site["properties"]["httpsOnly"] is True
    assert site["identity"] == {"type": "SystemAssigned"}
    assert policy["properties"] == {"allow": False}
    assert policy["copy"]["count"] == 2
    assert "createArray('ftp', 'scm')[copyIndex()]" in policy["name"]


def test_the_web_app_s_key_is_a_reference_and_its_port_is_the_container_s(web_app, served):
    listed = resource(web_app, "/sites")["properties"]["siteConfig"]["appSettings"]
    settings = {one["name"]: one["value"] for one in listed}
    dockerfile = (served.path / "deployment" / "image" / "Dockerfile").read_text("utf-8")

    key = evaluated(web_app, settings["SCORING_KEYS"], {"baseName": "Base"})
    assert key == "@Microsoft.KeyVault(VaultName=Base-AML-KV;SecretName=scoring-key)"
    assert f"EXPOSE {settings['WEBSITES_PORT']}\n" in dockerfile


@pytest.mark.parametrize("setting", SECURE_CLUSTER)
def test_the_cluster_is_secure(cluster, setting):
    assert resource(cluster, "managedClusters")["properties"][setting] == SECURE_CLUSTER[setting]


@pytest.mark.parametrize(("aks", "variable"), [("canary", "K8S_AB_NAMESPACE"), ("service", "AKS_DEPLOYMENT_NAME")])
def test_a_cluster_s_namespace_is_what_its_target_calls_it(azure, cookies_session, aks, variable):
    project = bake(cookies_session, {"aks": aks})

    _, calls = azure("arm", "deploy", project=project, AKS_COMPUTE_NAME="a-cluster", **{variable: "a-namespace"})

    assert "clusterName=a-cluster namespace=a-namespace --" in next(call for call in calls if "aks.json" in call)
    assert f"is what `{variable}` says" in (project.path / "docs" / "infrastructure.md").read_text("utf-8")


@pytest.mark.parametrize("base", ["MyUniqueML", "abc"])
def test_targets_are_named_after_the_base_or_by_the_variable_group(container_group, web_app, cluster, base):
    names = {"baseName": base, "webAppName": "an-app", "clusterName": "a-cluster"}

    made = [
        evaluated(template, resource(template, kind)["name"], names)
        for template, kind in [
            (container_group, "userAssignedIdentities"),
            (web_app, "serverfarms"),
            (web_app, "/sites"),
            (cluster, "managedClusters"),
            (cluster, "dataCollectionRules"),
        ]
    ]
    assert made == [f"{base}-AML-ACI", f"{base}-AML-ASP", "an-app", "a-cluster", f"{base}-AML-DCR"]


def test_targets_name_what_the_environment_makes(template, container_group, web_app, cluster):
    shared = {"vaultName", "registryName", "logsName"}

    for one in (container_group, web_app, cluster):
        for name in shared & one["variables"].keys():
            assert one["variables"][name] == template["variables"][name]


def test_targets_carry_the_project_s_tag(container_group, web_app, cluster):
    tagged = [one for made in (container_group, web_app, cluster) for one in made["resources"] if "location" in one]

    assert len(tagged) == 5
    assert {one["tags"] for one in tagged} == {"[parameters('tags')]"}


def roles_of(template):
    """Return who gets which role where, of the roles that a template assigns."""
    roles = [one for one in template["resources"] if one["type"].endswith("roleAssignments")]
    assert all("parameters('assignRoles')" in one["condition"] for one in roles)
    assert template["parameters"]["assignRoles"]["defaultValue"] is False
    return {
        (one.get("scope", "the resource group"), one["properties"]["roleDefinitionId"]): one["properties"][
            "principalId"
        ].split("'")[-1]
        for one in roles
    }


# learn.microsoft.com/azure/role-based-access-control/built-in-roles
ROLES_OF_TARGETS = {
    "acrPull": "7f951dda-4ed3-4680-a7ca-43fe172d538d",
    "secretsUser": "4633458b-17de-408a-b874-0445c86b69e6",
    "clusterUser": "4abbcc35-e782-43d8-92c5-2d3f1bd2253f",
    "clusterAdmin": "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b",
    "instancesContributor": "5d977122-f97e-4b4d-a52f-6b43003ddb4d",
    "identityOperator": "f1a07417-d97a-45cb-824c-7a7467783830",
    "monitoringContributor": "749f88d5-cbae-40b8-bcfc-e573ddc772fa",
}


def test_targets_get_the_roles_they_need_and_no_more(container_group, web_app, cluster):
    assert roles_of(container_group) == {
        ("[variables('registryId')]", "[variables('acrPull')]"): ").principalId]",
        ("[variables('roles')[copyIndex()].scope]", "[variables('roles')[copyIndex()].role]"): ")]",
        ("the resource group", "[variables('instancesContributor')]"): ")]",
    }
    assert container_group["variables"]["roles"] == [
        {"scope": "[variables('identityId')]", "role": "[variables('identityOperator')]"},
        {"scope": "[variables('logsId')]", "role": "[variables('monitoringContributor')]"},
    ]
    assert roles_of(web_app) == {
        ("[variables('registryId')]", "[variables('acrPull')]"): ").identity.principalId]",
        ("[variables('secretId')]", "[variables('secretsUser')]"): ").identity.principalId]",
        ("[variables('siteId')]", "[variables('contributor')]"): ")]",
    }
    assert roles_of(cluster) == {
        ("[variables('registryId')]", "[variables('acrPull')]"): ").identityProfile.kubeletidentity.objectId]",
        ("[variables('clusterId')]", "[variables('clusterUser')]"): ")]",
        ("[variables('namespaceId')]", "[variables('clusterAdmin')]"): ")]",
    }
    assert "resourceId('Microsoft.KeyVault/vaults/secrets', " in web_app["variables"]["secretId"]
    assert "'/namespaces/', parameters('namespace')" in cluster["variables"]["namespaceId"]
    for one in (container_group, web_app, cluster):
        named = {name: one["variables"][name].split("'")[-2] for name in ROLES_OF_TARGETS if name in one["variables"]}
        assert named.items() <= ROLES_OF_TARGETS.items()
    assert "de139f84-1756-47ae-9be6-808fbbe84772" in web_app["variables"]["contributor"]  # Website Contributor


# -- the programs, with a stand-in for `az` ---

TAGGED, OTHER = {"project": "diabetes-regression"}, {"project": "another"}
GROUP = "mlops-RG"
RUNS = "DOCKER|basewamlcr.azurecr.io/a-slug-scoring@sha256:0123"


def there(kind, name, tags=None):
    """Return a resource as `az resource list` shows it."""
    path = f"/subscriptions/s/resourceGroups/{GROUP}/providers/{kind}/{name}"
    return {"id": path, "name": name, "type": kind, "location": "westeurope", "tags": tags}


WORKSPACE = there("Microsoft.MachineLearningServices/workspaces", "MLOPS-aml-ws")
VAULT = there("Microsoft.KeyVault/vaults", "base-AML-KV")
APP = there("Microsoft.Web/sites", "An-App")
CLUSTER = there("Microsoft.ContainerService/managedClusters", "a-cluster")
POOL = {"name": "system", "count": 4}


@pytest.fixture
def azure(defaults, tmp_path):
    """Return a function that runs a program of environment_setup/ on a group, and what it says and calls.

    Azure is a stand-in, which knows the roles that the guide gives to whoever creates and removes.
    """

    def azure(
        *words, found=(), exists=True, group_tags=None, code=0, failing="-", taken=(), deleted=(), project=defaults,
        **variables,
    ):  # fmt: skip
        answers = {
            "'group exists'*": exists,
            "'resource list'*": list(found),
            "'group show'*": {"tags": group_tags},
            f"'rest --method get --url {APP['id']}'*": {"properties": {"linuxFxVersion": RUNS}},
            f"'rest --method get --url {CLUSTER['id']}'*": {"properties": {"agentPoolProfiles": [POOL]}},
            **{
                f'*checkNameAvailability*\'"name": "{name}"\'*': {"nameAvailable": False, "reason": "AlreadyExists"}
                for name in taken
            },
            "*checkNameAvailability*": {"nameAvailable": True},
            "'keyvault list-deleted'*": list(deleted),
        }
        tools = tmp_path / f"tools-{len(list(tmp_path.iterdir()))}"
        tools.mkdir()
        stage = azure_roles.CREATE_IN_A_GROUP if exists else azure_roles.CREATE
        roles = f"{sys.executable} {azure_roles.__file__} {project.path}/docs/infrastructure.md '{stage}'"
        cases = "".join(f"  {call}) echo '{json.dumps(answer)}' ;;\n" for call, answer in answers.items())
        cases = f"  '{failing}'*) echo 'Forbidden' >&2; exit 1 ;;\n{cases}"
        script = f'#!/bin/sh\necho "$*" >> {tools}/calls\n{roles} "$@" || exit 1\ncase "$*" in\n{cases}esac\n'
        (tools / "az").write_text(script, encoding="utf-8")
        (tools / "az").chmod(0o755)
        given = {
            "RESOURCE_GROUP": GROUP,
            "WORKSPACE_NAME": "mlops-AML-WS",
            "BASE_NAME": "base",
            "LOCATION": "centralus",
            "PROJECT": "diabetes-regression",
            "PATH": f"{tools}:{os.environ['PATH']}",
            **variables,
        }
        told = run(
            sys.executable, "-m", f"environment_setup.{words[0]}", *words[1:], cwd=project.path, code=code, **given
        )
        calls = tools / "calls"
        return told, calls.read_text("utf-8").splitlines() if calls.exists() else []

    return azure


def changing(calls):
    """Return the calls that change something."""
    return [call for call in calls if re.search(r"^\w+( group)? (create|delete)\b|^rest --method delete", call)]


def test_a_deployment_names_everything_and_makes_the_group(azure):
    _, calls = azure("arm", "deploy", exists=False)

    made, deployed = changing(calls)
    assert made.startswith(f"group create --name {GROUP} --location centralus --tags project=diabetes-regression")
    assert "deployment group create" in deployed
    assert "--mode" not in deployed  # incremental: what is not in the template stays
    assert "baseName=base location=centralus workspaceName=mlops-AML-WS" in deployed


@pytest.mark.parametrize("exists", [True, False])
def test_a_plan_changes_nothing(azure, exists):
    told, calls = azure("arm", "plan", exists=exists)

    assert changing(calls) == []
    assert ("what-if" in str(calls)) == exists
    assert (f"Resource group {GROUP} would be made" in told) != exists


@pytest.mark.parametrize("action", ["plan", "deploy"])
@pytest.mark.parametrize("tags", [None, OTHER])
def test_a_workspace_of_somebody_else_is_adopted(azure, action, tags):
    told, calls = azure("arm", action, found=[{**WORKSPACE, "tags": tags}])

    assert "nothing to deploy" in told
    assert not [call for call in calls if call.startswith("deployment")]


def test_one_s_own_workspace_is_deployed_again(azure):
    _, calls = azure("arm", "deploy", found=[{**WORKSPACE, "tags": TAGGED}])

    assert len(changing(calls)) == 1


TARGETS = {
    "ACI_DEPLOYMENT_NAME": "a-service",
    "WEBAPP_DEPLOYMENT_NAME": "an-app",
    "AKS_COMPUTE_NAME": "a-cluster",
    "K8S_AB_NAMESPACE": "ab",
}


def deployed(calls):
    """Return what was deployed, by the deployments' names, in their order."""
    found = [re.search(r"^deployment group \S+ .*--name (\S+)", call) for call in calls]
    return [match[1] for match in found if match]


@pytest.mark.parametrize("action", ["plan", "deploy"])
@pytest.mark.parametrize(
    ("named", "made"),
    [
        (TARGETS, ["cloud-environment", "aci", "web-app", "aks"]),
        ({**TARGETS, "ACI_DEPLOYMENT_NAME": ""}, ["cloud-environment", "web-app", "aks"]),
        ({**TARGETS, "WEBAPP_DEPLOYMENT_NAME": " "}, ["cloud-environment", "aci", "aks"]),
        ({**TARGETS, "AKS_COMPUTE_NAME": "$(AKS_COMPUTE_NAME)"}, ["cloud-environment", "aci", "web-app"]),
        ({}, ["cloud-environment"]),
    ],
    ids=["all", "no_container_group", "no_app", "no_cluster", "none"],
)
def test_a_target_is_deployed_if_the_group_names_it_after_what_it_uses(azure, served, action, named, made):
    _, calls = azure("arm", action, project=served, **named)

    assert deployed(calls) == made


def test_a_target_that_was_not_chosen_is_never_deployed(azure):
    _, calls = azure("arm", "deploy", **TARGETS)

    assert deployed(calls) == ["cloud-environment", "aci"]


def test_a_target_is_called_as_the_group_says(azure, served):
    _, calls = azure("arm", "deploy", project=served, **TARGETS)

    assert "baseName=base location=centralus webAppName=an-app --" in next(call for call in calls if "web-app" in call)
    assert "clusterName=a-cluster namespace=ab --" in next(call for call in calls if "aks" in call)


def test_a_web_app_that_is_there_keeps_the_image_that_it_runs(azure, served):
    _, calls = azure("arm", "deploy", project=served, found=[{**WORKSPACE, "tags": TAGGED}, APP], **TARGETS)

    assert f"webAppName=an-app image={RUNS} --" in next(call for call in calls if "web-app.json" in call)


@pytest.mark.parametrize("action", ["plan", "deploy"])
def test_a_cluster_that_is_there_keeps_the_nodes_that_it_has(azure, served, action):
    found = [{**WORKSPACE, "tags": TAGGED}, {**APP, "tags": TAGGED}, CLUSTER]
    _, calls = azure("arm", action, project=served, found=found, **TARGETS)

    assert "namespace=ab nodes=4 --" in next(call for call in calls if "aks.json" in call)


def test_the_nodes_of_a_cluster_stay_between_fewest_and_most(cluster):
    (pool,) = resource(cluster, "managedClusters")["properties"]["agentPoolProfiles"]

    assert pool["count"] == "[min(max(parameters('nodes'), parameters('minNodes')), parameters('maxNodes'))]"
    assert cluster["parameters"]["nodes"]["defaultValue"] == 0


@pytest.mark.parametrize(
    ("found", "level"),
    [
        ([], True),
        ([there("Microsoft.Storage/storageAccounts", "baseamlsa", TAGGED)], True),
        ([{**WORKSPACE, "tags": TAGGED}], False),
    ],
    ids=["nothing", "half of it", "all"],
)
def test_providers_are_not_asked_about_targets_before_what_these_refer_to_is_there(azure, served, found, level):
    """A provider refuses a Web App's log that is to go to a workspace which is only in another template."""
    _, calls = azure("arm", "plan", project=served, found=found, **TARGETS)

    base, *targets = [call for call in calls if "what-if" in call]
    assert "--validation-level" not in base
    assert ["--validation-level Template" in call for call in targets] == [level] * 3


PREMIUM = "costs more than a Standard one: https://azure.microsoft.com/pricing/details/container-registry/\n"
PULLS = "somebody who may give roles gives AcrPull, as docs/infrastructure.md shows.\n"


@pytest.mark.parametrize("exists", [True, False], ids=["group", "no group"])
@pytest.mark.parametrize(("aci", "named"), [(True, True), (True, False), (False, True), (False, False)])
def test_a_plan_says_what_costs_more_and_who_has_to_give_roles_first(azure, cookies_session, exists, aci, named):
    project = bake(cookies_session, {"deploy_aci": aci, "deploy_webapp": True, "aks": "canary"})

    told, _ = azure("arm", "plan", project=project, exists=exists, **(TARGETS if named else {}))

    assert [PREMIUM in told, PULLS in told] == [aci, named]


def test_a_plan_asks_for_no_roles_that_the_deployment_gives(azure, cookies_session, tmp_path):
    shutil.copytree(bake(cookies_session, {"deploy_webapp": True}).path, tmp_path / "project")
    project = Project(tmp_path / "project", {})
    for name in ("aci", "web-app"):
        file = project.path / FOLDER / f"{name}.parameters.json"
        edit(file.parent, file.name, '"parameters": {', '"parameters": { "assignRoles": { "value": true },')
        told, _ = azure("arm", "plan", project=project, **TARGETS)
        assert (PULLS in told) == (name == "aci"), "one of them is enough"


# -- sizes and priorities ---

# Sizes that are retired or announced to be, as read on 2026-08-31 in MicrosoftDocs/azure-compute-docs,
# articles/virtual-machines/sizes/retirement/retired-sizes-list.md and sizes/previous-gen-sizes-list.md ("Retirement
# Announced"): new subscriptions may not get them. Look again once a year.
ON_THEIR_WAY_OUT = {
    "D, Ds, Dv2, Dsv2": r"DS?\d+(_v2)?",
    "Dv3, Dsv3": r"D\d+s?_v3",
    "Av2, Amv2": r"A\d+m?(_v2)?",
    "B (V1)": r"B\d+[a-z]*",
    "F, Fs, Fsv2": r"F\d+s?(_v2)?",
    "G, Gs": r"GS?\d+",
    "Ls, Lsv2": r"L\d+s(_v2)?",
    "NCv3, NVv3, NVv4": r"N[CV]\d+[a-z]*_v[34]",
}


@pytest.fixture(scope="module")
def described(cookies_session, served):
    """Return the texts of projects with all that has a size, in either description."""
    other = bake(cookies_session, {"infrastructure": "terraform", "deploy_webapp": True, "aks": "canary"})
    files = [path for one in (served, other) for path in one.files() if path.parent.name != "requirements"]
    return [path.read_text("utf-8") for path in files]


def test_no_size_is_on_its_way_out(described):
    sizes = {size.upper() for text in described for size in re.findall(r"(?i)\bstandard_([a-z]+\d+\w*)", text)}

    # Both have local disks; DDSv4 is in Azure ML's own list (azure-ai-docs, concept-compute-target.md), DDSv5 is not.
    assert {"D2DS_V4", "D4DS_V5"} <= sizes
    gone = {
        (size, name) for size in sizes for name, one in ON_THEIR_WAY_OUT.items() if re.fullmatch(f"(?i){one}", size)
    }
    assert gone == set()
    assert re.fullmatch(f"(?i){ON_THEIR_WAY_OUT['D, Ds, Dv2, Dsv2']}", "DS2_V2")


def test_nodes_are_dedicated_and_the_other_priority_is_called_what_it_is(described):
    """Low priority was retired on 2026-03-31 and runs as Spot, which may cost more than dedicated nodes do."""
    defaults = [found for text in described for found in re.findall(r"(?m)^COMPUTE_PRIORITY=(\w+)$", text)]
    defaults += [found for text in described for found in re.findall(r"COMPUTE_PRIORITY #.*\n +value: (\w+)", text)]
    defaults += [
        found for text in described for found in re.findall(r'"computePriority": .*"defaultValue": "(\w+)"', text)
    ]
    defaults += [
        found for text in described for found in re.findall(r'"compute_priority" {[^}]*default += "(\w+)"', text)
    ]
    # where the word stands in a sentence, and not as a value
    said = [
        line
        for text in described
        for line in text.splitlines()
        if re.search(r"(?i)\blowpriority\b[^\"]*,| is Spot", line)
    ]

    assert [value.lower() for value in defaults] == ["dedicated"] * 6
    assert len(said) == 6
    assert [line for line in said if "Spot" not in line or "cheap" in line] == []


def test_the_guide_says_how_the_quota_of_a_cluster_is_read(served, defaults):
    guides = [(one.path / "docs" / "infrastructure.md").read_text("utf-8") for one in (served, defaults)]

    assert ["az vm list-usage --location centralus" in guide for guide in guides] == [True, False]


# -- names that must be free in the world ---

STORAGE, REGISTRY = "Microsoft.Storage/storageAccounts", "Microsoft.ContainerRegistry/registries"
OWN = [there(STORAGE, "baseamlsa", TAGGED), there(REGISTRY, "baseamlcr", TAGGED), {**VAULT, "tags": TAGGED}]
TAKEN = {
    "baseamlsa": (STORAGE, "BASE_NAME"),
    "baseamlcr": (REGISTRY, "BASE_NAME"),
    "base-AML-KV": (VAULT["type"], "BASE_NAME"),
    "an-app": (APP["type"], "WEBAPP_DEPLOYMENT_NAME"),
}


@pytest.mark.parametrize("exists", [True, False], ids=["group", "no group"])
@pytest.mark.parametrize("name", TAKEN)
def test_a_plan_names_what_is_taken_and_the_variable_to_change(azure, served, exists, name):
    told, calls = azure("arm", "plan", project=served, exists=exists, taken=[name], code=1, **TARGETS)

    kind, variable = TAKEN[name]
    assert told == f"error: The name {name} cannot be had in {kind} (AlreadyExists): choose another {variable}.\n"
    assert not [call for call in calls if "what-if" in call]


def test_all_names_that_are_taken_are_told_at_once(azure):
    told, _ = azure("arm", "plan", taken=["baseamlsa", "baseamlcr"], code=1)

    assert told.count("choose another BASE_NAME.") == 2


def test_a_name_that_is_one_s_own_already_is_not_asked_about(azure, served):
    found = [*OWN, {**APP, "tags": TAGGED}]

    _, calls = azure("arm", "plan", project=served, found=found, taken=list(TAKEN), **TARGETS)

    assert not [call for call in calls if "checkNameAvailability" in call]


def test_a_name_that_others_have_in_the_group_is_taken(azure):
    told, _ = azure("arm", "plan", found=[there(STORAGE, "baseamlsa", OTHER)], taken=["baseamlsa"], code=1)

    assert "The name baseamlsa cannot be had" in told


def test_a_web_app_that_nobody_named_has_no_name_to_ask_about(azure, served):
    _, calls = azure("arm", "plan", project=served)

    asked = [re.search(r"providers/(\S+)/checkNameAvailability", call) for call in calls]
    assert [match[1] for match in asked if match] == [
        "Microsoft.Storage",
        "Microsoft.ContainerRegistry",
        "Microsoft.KeyVault",
    ]


@pytest.mark.parametrize(
    ("exists", "group", "said"),
    [
        (
            True,
            GROUP.upper(),
            "is deleted and keeps its name: `az keyvault recover --name base-AML-KV` recovers it, or",
        ),
        (
            False,
            GROUP,
            "keeps its name: `az group create --name mlops-RG --location westeurope --tags project=diabetes-",
        ),
        (True, "another-RG", "cannot be had in Microsoft.KeyVault/vaults (AlreadyExists): choose another BASE_NAME."),
    ],
    ids=["group", "no group", "another group"],
)
def test_a_vault_that_is_deleted_softly_is_told_as_such(azure, exists, group, said):
    vault = f"/subscriptions/s/resourceGroups/{group}/providers/Microsoft.KeyVault/vaults/base-AML-KV"
    deleted = [{"name": "Base-AML-KV", "properties": {"vaultId": vault, "location": "westeurope"}}]

    told, _ = azure("arm", "plan", exists=exists, deleted=deleted, taken=["base-AML-KV"], code=1)

    assert said in told


def test_nobody_is_waited_for(defaults, tmp_path):
    """A command that would ask a person something finds no input, and fails."""
    (tmp_path / "az").write_text("#!/bin/sh\nread answer && echo true || exit 3\n", encoding="utf-8")
    (tmp_path / "az").chmod(0o755)
    for call in ("az", "show"):
        code = f"from environment_setup import azure_cli; azure_cli.{call}('group', 'delete')"
        ended = subprocess.run(
            [sys.executable, "-c", code],
            cwd=defaults.path,
            env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
            input="y\n" * 9,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "AzureError: az group delete" in ended.stderr


def test_a_target_that_fails_ends_the_deployment(azure, served):
    _, calls = azure(
        "arm", "deploy", project=served, failing="deployment group create --output table", code=1, **TARGETS
    )

    assert deployed(calls) == ["cloud-environment"]


def test_what_uses_others_is_deleted_before_them(azure):
    kinds = (
        "Microsoft.Insights/dataCollectionRules",
        "Microsoft.ManagedIdentity/userAssignedIdentities",
        "Microsoft.Web/serverfarms",
        "Microsoft.ContainerService/managedClusters",
        "Microsoft.Web/sites",
        "Microsoft.MachineLearningServices/workspaces",
        "Microsoft.ContainerInstance/containerGroups",
    )
    found = [there(kind, f"{place}", TAGGED) for place, kind in enumerate(kinds)]

    told, _ = azure("remove", "delete", found=found, group_tags=OTHER, CONFIRMED=GROUP)

    order = re.findall(r"^Deleting (\S+) ", told, re.MULTILINE)
    assert order == [*kinds[:2:-1], *kinds[:3]]


def test_only_what_carries_the_tag_is_deleted_the_workspace_first(azure):
    found = [{**VAULT, "tags": TAGGED}, {**WORKSPACE, "tags": TAGGED}, there(VAULT["type"], "other", OTHER)]

    told, calls = azure("remove", "delete", found=found, group_tags=TAGGED, CONFIRMED=GROUP)

    first, second = changing(calls)
    assert first.startswith(f"rest --method delete --url https://management.azure.com{WORKSPACE['id']}?")
    assert "forceToPurge=true" in first
    assert second.startswith(f"resource delete --ids {VAULT['id']} ")
    assert "keeps its name for 90 days: `az keyvault recover --name base-AML-KV` recovers it, or choose" in told


def test_a_vault_is_recovered_into_its_group_which_is_made_again_where_it_went(azure):
    """The CLI refuses to recover without it: it recreates the vault in the group that it was in."""
    told, calls = azure("remove", "delete", found=[{**VAULT, "tags": TAGGED}], group_tags=TAGGED, CONFIRMED=GROUP)

    assert calls[-1].startswith("group delete")
    assert re.findall(r"`(az [^`]+)`", told) == [
        "az group create --name mlops-RG --location westeurope --tags project=diabetes-regression",
        "az keyvault recover --name base-AML-KV",
    ]


def test_the_guide_makes_the_group_before_it_recovers_the_vault(defaults):
    guide = (defaults.path / "docs" / "infrastructure.md").read_text("utf-8").partition("## Remove")[2]

    assert re.findall(r"^az (group create|keyvault recover) ", guide, re.MULTILINE) == [
        "group create",
        "keyvault recover",
    ]


def test_what_azure_puts_beside_application_insights_keeps_no_group(azure):
    beside = there("microsoft.insights/actiongroups", "Application Insights Smart Detection")

    _, calls = azure("remove", "delete", found=[beside, {**VAULT, "tags": TAGGED}], group_tags=TAGGED, CONFIRMED=GROUP)

    assert calls[-1].startswith("group delete")


@pytest.mark.parametrize(
    ("words", "failing"),
    [
        (("arm", "deploy"), "deployment group create"),
        (("arm", "plan"), "deployment group what-if"),
        (("arm", "deploy"), "resource list"),
        (("remove", "delete"), "resource delete"),
    ],
)
def test_a_refusal_of_azure_fails_the_program(azure, words, failing):
    told, _ = azure(*words, found=[{**VAULT, "tags": TAGGED}], failing=failing, code=1, CONFIRMED=GROUP)

    assert "Traceback" not in told
    assert f"error: az {failing}" in told
    assert "Forbidden" in told


@pytest.mark.parametrize(("tags", "removed"), [(TAGGED, True), (OTHER, False), (None, False)])
def test_the_group_goes_only_if_it_is_one_s_own_and_empty(azure, tags, removed):
    _, calls = azure("remove", "delete", found=[{**VAULT, "tags": TAGGED}], group_tags=tags, CONFIRMED=GROUP)

    assert any(call.startswith("group delete") for call in calls) == removed


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"CONFIRMED": "mlops-rg"}, "The confirmation says mlops-rg, but the variable group is about mlops-RG"),
        ({"CONFIRMED": ""}, "CONFIRMED is missing"),
        ({"CONFIRMED": GROUP, "RESOURCE_GROUP": "$(RESOURCE_GROUP)"}, "RESOURCE_GROUP is missing"),
        ({"CONFIRMED": GROUP, "exists": False}, "There is no resource group"),
    ],
)
@pytest.mark.parametrize("action", ["show", "delete"])
def test_nothing_is_deleted_without_a_right_confirmation(azure, action, given, said):
    told, calls = azure("remove", action, found=[{**VAULT, "tags": TAGGED}], code=1, **given)

    assert said in told
    assert "Traceback" not in told
    assert changing(calls) == []


def test_showing_deletes_nothing(azure):
    told, calls = azure("remove", "show", found=[{**VAULT, "tags": TAGGED}], CONFIRMED=GROUP)

    assert "1 resources of diabetes-regression; 0 others stay." in told
    assert changing(calls) == []


def test_a_missing_cli_is_told(azure):
    told, _ = azure("arm", "plan", code=1, PATH=str(Path(sys.executable).resolve().parent))

    assert "The Azure CLI is not installed" in told


# -- the pipelines ---


@pytest.fixture
def pipelines(defaults, tmp_path):
    """Return a function that runs a pipeline, whose tasks do nothing, and gives the build and what its tasks got."""
    root = repository(defaults, tmp_path / "repository", without=("tests", "docs", "src", "ml_service"))

    def pipelines(file, branch="refs/heads/main", **parameters):
        got = []

        def note(step):
            got.append({name: step.job.fill(value) for name, value in step.written["inputs"].items()})

        tasks = {**TASKS, **dict.fromkeys(("AzureCLI@2", "Docker@2", "ManualValidation@1"), note)}
        local = agent(defaults, root, tmp_path / "agent", tasks)
        local.predefined = {**local.predefined, "Build.SourceBranch": branch}
        return local.run(f".pipelines/{file}", **parameters), got

    return pipelines


@pytest.mark.parametrize(
    ("parameters", "amlsdk", "release"),
    [
        ({}, None, []),
        ({"amlsdkversion": "1.99"}, "1.99", []),
        ({"githubrelease": "7"}, None, ["release-7"]),
        ({"amlsdkversion": " 1.99 ", "githubrelease": " 7"}, "1.99", ["release-7"]),
    ],
    ids=["neither", "version", "release", "both"],
)
def test_the_agent_s_image_gets_the_tags_that_were_asked_for(pipelines, defaults, parameters, amlsdk, release):
    lock = (defaults.path / "requirements" / "ops.txt").read_text("utf-8")
    pinned = re.search(r"^azureml-core==(\S+)", lock, re.MULTILINE)[1]

    build, (docker,) = pipelines("agent-image.yml", **parameters)

    assert build.result == "Succeeded"
    assert (docker["containerRegistry"], docker["repository"]) == ("acrconnection", "mlops/diabetes-regression")
    assert (docker["command"], docker["buildContext"]) == ("buildAndPush", ".")
    assert docker["tags"].split() == ["build-20261121.1", f"amlsdk-{amlsdk or pinned}", *release, "latest"]


@pytest.mark.parametrize(("branch", "deploys"), [("refs/heads/main", True), ("refs/heads/topic", False)])
def test_resources_are_deployed_from_main_alone_and_after_approval(pipelines, branch, deploys):
    build, got = pipelines("infrastructure-create.yml", branch)

    assert build.result == "Succeeded"
    assert (build.stages["Deploy"].result == "Succeeded") == deploys
    assert {given["onTimeout"] for given in got if "onTimeout" in given} <= {"reject"}
    called = [given.get("inlineScript", "approval").split("environment_setup.")[-1].strip() for given in got]
    assert called == ["arm plan", *(["approval", "arm deploy"] if deploys else [])]


@pytest.mark.parametrize("file", ["infrastructure-create.yml", "infrastructure-remove.yml"])
def test_a_person_has_a_day_to_approve(defaults, file):
    given = ROOTS[f".pipelines/{file}"]
    made = Expansion(defaults.path).pipeline(f".pipelines/{file}", given, {}, groups(defaults.answers))

    (approve,) = (job for stage in made["stages"] for job in stage["jobs"] if job["job"] == "approve")
    assert approve["timeoutInMinutes"] == 24 * 60


def test_resources_are_removed_by_hand_after_approval(pipelines, defaults):
    text = (defaults.path / ".pipelines" / "infrastructure-remove.yml").read_text("utf-8")
    build, got = pipelines("infrastructure-remove.yml", resourceGroup="mlops-RG")

    assert text.count(": none") == 2
    assert [given["onTimeout"] for given in got if "onTimeout" in given] == ["reject"]
    called = [given.get("inlineScript", "approval").split("environment_setup.")[-1].strip() for given in got]
    assert called == ["remove show", "approval", "remove delete"]
    assert build.job("Remove.remove").steps[-1].job.exported()["CONFIRMED"] == "mlops-RG"


def test_jobs_run_in_the_agent_s_image_when_the_switch_is_on(defaults, tmp_path):
    root = repository(defaults, tmp_path / "repository")
    predefined = {"Build.BuildId": "1"}

    def jobs():
        made = Expansion(root).pipeline(".pipelines/ci.yml", {}, predefined, groups(defaults.answers))
        return [job for stage in made["stages"] for job in stage["jobs"]]

    assert not [job for job in jobs() if "container" in job]
    assert all("make setup" in str(job["steps"]) for job in jobs())
    edit(root, ".pipelines/variables.yml", "USE_AGENT_IMAGE\n  value: 'false'", "USE_AGENT_IMAGE\n  value: 'true'")
    wanted = {"image": "mlops/diabetes-regression:latest", "endpoint": "acrconnection", "options": "--user 0"}
    assert [job["container"] for job in jobs()] == [wanted] * 3
    assert not [job for job in jobs() if "make setup" in str(job["steps"])]


def test_terraform_s_pipeline_plans_waits_and_deploys(cookies_session, tmp_path):
    baked = bake(cookies_session, {"infrastructure": "terraform"})
    root = repository(baked, tmp_path / "repository", without=("tests", "docs", "src", "ml_service"))
    got = []

    def note(step):
        script = step.written.get("inputs", {}).get("inlineScript", step.name)
        got.append(script.split("environment_setup.terraform ")[-1])

    kinds = ("AzureCLI@2", "ManualValidation@1", "script", "publish", "download")
    local = agent(baked, root, tmp_path / "agent", {**TASKS, **dict.fromkeys(kinds, note)})

    assert local.run(".pipelines/infrastructure-create.yml").result == "Succeeded"
    assert [word for said in got for word in said.split()[:1] if word in ("plan", "Wait", "apply", "outputs")] == [
        "plan",
        "Wait",
        "apply",
        "outputs",
    ]


def test_the_agent_s_image_holds_what_is_locked_and_nothing_else(project):
    text = (project.path / "environment_setup" / "Dockerfile").read_text("utf-8")

    assert re.search(r"^ARG BASE_IMAGE=\S+:\d+\.\d+\.\d+-\S+@sha256:[0-9a-f]{64}$", text, re.MULTILINE)
    installs = re.findall(r"(?:pip install|pip sync).*?(?=\n\S|\n\n)", text, re.DOTALL)
    assert len(installs) == 3
    assert all("--require-hashes" in one for one in installs)
    copied = re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE)
    assert all(word.startswith("requirements/") for words in copied for word in words.split())
