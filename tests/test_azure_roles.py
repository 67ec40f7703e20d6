"""Every call of `az` that emitted programs make is allowed by the roles of the guide; what needs more is refused."""

import ast
import re
import subprocess
import sys

import azure_roles
import pytest
from azure_roles import CREATE, CREATE_IN_A_GROUP, DEPLOY, STATE, SUBSCRIPTION, Need, UnknownCallError
from conftest import bake

FULL = {"deploy_webapp": True, "aks": "canary", "batch_scoring": True}
# Who runs a program: all else runs as whoever trains and deploys.
OF_INFRASTRUCTURE = {"arm.py", "names.py", "remove.py", "terraform.py"}
# Functions of the programs that call `az`, and the words that they put before the given ones.
CALLERS = {"az": (), "show": (), "storage": ("storage",), "run": ()}
GROUPS = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerInstance/containerGroups"
IDENTITY = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/an-identity"
LOGS = "/subscriptions/s/resourceGroups/g/providers/Microsoft.OperationalInsights/workspaces/logs"
SITE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/an-app"
# Words that a program fills in: what they stand for does not decide about rights, but for these.
FILLED = {"--scope": f"{SITE}", "--ids": f"{SITE}", "--url": f"{SITE}", "--method": "get"}


@pytest.fixture(scope="module")
def projects(cookies_session):
    return [bake(cookies_session, {**FULL, "infrastructure": kind}) for kind in ("arm", "terraform")]


@pytest.fixture(scope="module")
def guide(projects):
    return projects[0].path.joinpath("docs", "infrastructure.md").read_text("utf-8")


def words_of(call, tuples):
    """Return the words of a call in a program; what is not written there is filled in."""
    found = []
    for argument in call.args:
        inner = argument.value if isinstance(argument, ast.Starred) else None
        inner = tuples.get(inner.id) if isinstance(inner, ast.Name) else inner
        for word in inner.elts if isinstance(inner, ast.Tuple) else [argument]:
            written = isinstance(word, ast.Constant) and isinstance(word.value, str)
            found.append(word.value if written else FILLED.get(found[-1] if found else "", "filled-in"))
    return found


def calls_of(path):
    """Return the words of each call of `az` in a program."""
    tree = ast.parse(path.read_text("utf-8"))
    nodes = list(ast.walk(tree))
    callers = [node for node in nodes if isinstance(node, ast.FunctionDef) and node.name in CALLERS]
    inside = {id(node) for caller in callers for node in ast.walk(caller)}
    assigned = [node for node in nodes if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple)]
    tuples = {node.targets[0].id: node.value for node in assigned if isinstance(node.targets[0], ast.Name)}
    found = []
    for node in nodes:
        called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        if called in CALLERS and id(node) not in inside:
            words = [*CALLERS[called], *words_of(node, tuples)]
            if called != "run":
                found.append(words)
            elif words[:1] == ["az"]:
                found.append(words[1:])
    return found


def programs(project):
    """Give the programs, but for adapters of targets: in their own tests the stand-in refuses what is not allowed."""
    for path in sorted(project.path.rglob("*")):
        rooms = path.relative_to(project.path).parts
        runs = rooms[0] in ("deployment", "environment_setup", "ml_service", "src")
        if path.suffix == ".py" and runs and rooms[1] not in ("aci", "web_app"):
            yield path


def test_every_call_in_a_program_is_allowed_to_whoever_runs_it(projects):
    seen = set()
    for project in projects:
        guide = (project.path / "docs" / "infrastructure.md").read_text("utf-8")
        for path in programs(project):
            stages = (CREATE, CREATE_IN_A_GROUP) if path.name in OF_INFRASTRUCTURE else (DEPLOY,)
            for words in calls_of(path):
                seen.add((path.name, *words[:2]))
                # A group is only made where there is none, for which a role in the group is no help.
                asked = stages[:1] if words[:2] == ["group", "create"] else stages
                for stage in asked:
                    assert azure_roles.refusal(words, stage, guide) == "", f"{path.name}: az {' '.join(words)}"

    assert {("arm.py", "deployment", "group"), ("terraform.py", "aks", "mesh"), ("build.py", "acr", "build")} <= seen
    assert len(seen) > 20


def test_steps_of_pipelines_ask_for_nothing_but_who_is_logged_in(projects):
    for project in projects:
        for path in (project.path / ".pipelines").rglob("*.yml"):
            called = re.findall(r"\baz ([a-z][^)\n|;&]*)", re.sub(r"#.*", "", path.read_text("utf-8")))
            for words in (one.split() for one in called):
                assert azure_roles.needs(words) == [], f"{path.name}: az {' '.join(words)}"


@pytest.mark.parametrize(
    "words",
    [
        "resource list --resource-group mlops-RG --resource-type Microsoft.Web/sites",
        "group show --name mlops-RG",
        "group exists --name mlops-RG",
        "deployment group create --resource-group mlops-RG",
        "aks get-credentials --admin --name a-cluster",
        "keyvault list-deleted --resource-type vault",
        f"role assignment list --scope {SITE.rpartition('/providers/')[0]}",
        f"rest --method post --url {SITE.replace('Microsoft.Web/sites', 'Microsoft.Storage/storageAccounts')}/listKeys",
        "rest --method post --url /subscriptions/{subscriptionId}/providers/Microsoft.Web/checkNameAvailability?a=b",
        f"resource delete --ids {SITE}",
        f"rest --method delete --url {IDENTITY}?api-version=2024-11-30",
        f"rest --method delete --url {LOGS}?api-version=2026-03-01",
        f"rest --method post --url {GROUPS}/a-group/restart?api-version=2025-09-01".replace("Instance", "App"),
        "storage blob download --name a",
    ],
)
def test_a_call_that_needs_more_than_training_and_deploying_does_is_refused(guide, words):
    assert "(AuthorizationFailed)" in azure_roles.refusal(words.split(), DEPLOY, guide)


@pytest.mark.parametrize(
    "words",
    [
        "acr build --registry r --no-wait .",
        "acr repository show --name r --image i",
        "acr show --name r",
        "aks get-credentials --resource-group g --name c",
        "container logs --resource-group g --name a-group",
        "keyvault secret show --vault-name v --name scoring-key",
        "resource list --resource-type Microsoft.Web/sites",
        f"rest --method get --url {SITE}?api-version=2024-11-01",
        f"rest --method patch --url https://management.azure.com{SITE}/config/web?api-version=2024-11-01 --body b",
        f"rest --method post --url {SITE}/config/appsettings/list?api-version=2024-11-01",
        f"rest --method post --url {SITE}/config/configreferences/appsettings/refresh?api-version=2024-11-01",
        f"role assignment list --scope {SITE.replace('Microsoft.Web/sites', 'Microsoft.ContainerRegistry/registries')}",
        *(f"rest --method {verb} --url {GROUPS}/a-group?api-version=2025-09-01" for verb in ("get", "put", "delete")),
        f"rest --method post --url {GROUPS}/a-group/restart?api-version=2025-09-01",
        f"rest --method get --url {IDENTITY}?api-version=2024-11-30",
        f"rest --method get --url {LOGS}?api-version=2026-03-01",
        f"rest --method post --url {LOGS}/sharedKeys?api-version=2026-03-01",
    ],
)
def test_what_training_and_deploying_need_is_allowed(guide, words):
    assert azure_roles.refusal(words.split(), DEPLOY, guide) == ""


@pytest.mark.parametrize(
    ("words", "role"),
    [
        ("acr repository show --name r --image i", "AcrPush"),
        ("keyvault secret show --vault-name v --name s", '"Key Vault Secrets User"'),
        (f"rest --method get --url {SITE}", '"Website Contributor"'),
        ("aks get-credentials --name c", '"Azure Kubernetes Service Cluster User Role"'),
        (f"rest --method put --url {GROUPS}/a-group", '"Azure Container Instances Contributor Role"'),
        (f"rest --method put --url {GROUPS}/a-group", '"Managed Identity Operator"'),
        (f"rest --method post --url {LOGS}/sharedKeys", '"Monitoring Contributor"'),
    ],
)
def test_a_role_that_the_guide_forgets_is_missed(guide, words, role):
    assert f"--role {role} --scope" in guide
    forgotten = re.sub(rf".*--role {re.escape(role)} --scope.*\n", "", guide)
    if role == "AcrPush":
        forgotten = re.sub(r".*--role Contributor .*registries/.*\n", "", forgotten)

    assert azure_roles.refusal(words.split(), DEPLOY, forgotten)


def test_a_role_on_one_container_group_does_not_make_another(guide):
    line = r'(--role "Azure Container Instances Contributor Role" --scope) .*'
    on_one = re.sub(line, rf"\1 {GROUPS}/a-group", guide)

    put = ["rest", "--method", "put", "--url", f"{GROUPS}/a-group"]
    assert on_one != guide
    assert azure_roles.refusal(put, DEPLOY, on_one).startswith("(AuthorizationFailed)")
    no_operator = re.sub(r".*Managed Identity Operator.*\n", "", guide)
    assert azure_roles.refusal(put, DEPLOY, no_operator).startswith("(LinkedAuthorizationFailed)")


def test_names_are_asked_about_with_a_role_in_a_group_and_the_right_to_read(guide):
    asked = "rest --method post --url /subscriptions/{subscriptionId}/providers/Microsoft.Storage/checkNameAvailability"
    reader = re.sub(r".*--role Reader .*\n", "", guide)

    assert azure_roles.refusal(asked.split(), CREATE_IN_A_GROUP, guide) == ""
    assert azure_roles.refusal(asked.split(), CREATE_IN_A_GROUP, reader)
    assert azure_roles.refusal(["group", "create", "--name", "g"], CREATE_IN_A_GROUP, guide)
    assert azure_roles.refusal(["group", "create", "--name", "g"], CREATE, guide) == ""


def test_nobody_who_creates_may_give_roles(guide):
    given = Need("Microsoft.Authorization/roleAssignments/write", SUBSCRIPTION)

    for stage in (CREATE, CREATE_IN_A_GROUP, DEPLOY):
        roles = [azure_roles.BUILT_IN[role] for role, _ in azure_roles.documented(guide)[stage]]
        assert not [role for role in roles if azure_roles.allows(role, given)]


def test_the_state_of_terraform_is_read_by_the_role_for_its_data(projects):
    guides = [project.path.joinpath("docs", "infrastructure.md").read_text("utf-8") for project in projects]
    words = ["storage", "blob", "upload", "--file", "plan"]

    assert [bool(azure_roles.refusal(words, CREATE_IN_A_GROUP, text)) for text in guides] == [True, False]
    assert ("Storage Blob Data Contributor", STATE) in azure_roles.documented(guides[1])[CREATE]


def test_a_call_that_nobody_looked_up_is_an_error(guide):
    with pytest.raises(UnknownCallError, match="does not know `az group delete-all"):
        azure_roles.refusal(["group", "delete-all"], DEPLOY, guide)


def test_a_stand_in_is_told_as_azure_says_it(projects):
    file = projects[0].path / "docs" / "infrastructure.md"

    def asked(*words):
        return subprocess.run(
            [sys.executable, azure_roles.__file__, file, DEPLOY, *words], capture_output=True, text=True, check=False
        )

    assert asked("acr", "show", "--name", "r").returncode == 0
    refused = asked("resource", "list", "--resource-group", "mlops-RG")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("ERROR: (AuthorizationFailed) The client does not have authorization to perform")
