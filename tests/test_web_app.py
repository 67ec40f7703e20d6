"""A release to a Web App: what Azure refuses, and what is missing, told with the command that mends it."""

import json
import re

import local_targets
import pytest
from conftest import bake
from local_az import GROUP
from local_targets import APP, FORMER, KEY, NEW, READER, REFERENCE, REGISTRY, SILENT

pytestmark = pytest.mark.tool("openssl")


@pytest.fixture(scope="session")
def described(cookies_session):
    """Return a project that is served by a Web App."""
    return bake(cookies_session, {"deploy_webapp": True})


@pytest.fixture
def world(described, files, tmp_path):
    yield from local_targets.world("web_app", described, files, tmp_path)


def test_roles_that_may_let_it_pull_are_a_warning(world):
    world.set(roles={"an-identity": [READER]})

    told = world.deploy(NEW)

    assert f'do not let it pull, `az role assignment create --role "AcrPull" {IDENTITY}' in told
    assert world.image() == NEW


def test_a_change_that_azure_refuses_leaves_what_serves(world):
    world.set(failing=[f"--body {json.dumps({'properties': {'linuxFxVersion': f'DOCKER|{NEW}'}})}"])

    told = world.deploy(NEW, code=1)

    assert world.image() == FORMER
    assert re.search(r"error: az rest .*Forbidden.* Nothing was changed: a-model version 1 of .* still serves", told)


def test_an_answer_of_azure_that_is_no_json_is_a_failure_like_any_other(world):
    world.set(warns=True)

    told = world.deploy(NEW, code=1)

    assert world.image() == FORMER
    assert re.search(r"error: az rest .* did not answer JSON: .*WARNING.* serves again", told)


def test_a_former_image_that_cannot_be_put_back_is_told_loudly(world):
    world.set(failing=[f"--body {json.dumps({'properties': {'linuxFxVersion': f'DOCKER|{FORMER}'}})}"])

    told = world.deploy(SILENT, code=1)

    assert re.search(rf"error: .*PUTTING BACK {FORMER} FAILED: az rest .*Forbidden", told)


@pytest.mark.parametrize("reference", ["", "@Microsoft.KeyVault(VaultName=another;SecretName=scoring-key)"])
def test_what_is_missing_is_told_before_anybody_has_to_approve(world, reference):
    world.set(image=f"DOCKER|{NEW}", settings={"SCORING_KEYS": reference})

    told = world.same(NEW)

    assert "##vso[task.logissue type=warning]SCORING_KEYS of localhost" in told
    assert "##vso[task.setvariable variable=SAME;isOutput=true]false" in told


IDENTITY = "--assignee-object-id an-identity --assignee-principal-type ServicePrincipal"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param(
            {"there": False},
            "There is no Web App an-app in mlops-RG: `az pipelines run --name a-slug-infrastructure-create` makes it.",
            id="no_app",
        ),
        pytest.param({"failing": ["sites/an-app?"]}, "az rest --method get: Forbidden", id="may_not_see_the_app"),
        pytest.param(
            {"image": "PYTHON|3.11"}, "is no app of one container but of PYTHON|3.11: delete it", id="no_container"
        ),
        pytest.param({"tags": {"project": "another"}}, "is of project another: name another in", id="a_stranger"),
        pytest.param({"identity": None}, f"`az webapp identity assign --ids {APP}` gives one", id="no_identity"),
        pytest.param(
            {"pulls": False},
            f"`az resource update --ids {APP}/config/web --set properties.acrUseManagedIdentityCreds=true`",
            id="pulls_with_a_password",
        ),
        pytest.param(
            {"roles": {}},
            f'pull from {REGISTRY}: `az role assignment create --role "AcrPull" {IDENTITY} --scope "{REGISTRY}"`',
            id="may_not_pull",
        ),
        pytest.param(
            {"settings": {}},
            f'`az webapp config appsettings set --ids {APP} --settings "SCORING_KEYS={REFERENCE}" --output none`',
            id="no_key_setting",
        ),
        pytest.param({"settings": {"SCORING_KEYS": KEY}}, "SCORING_KEYS of localhost", id="key_in_the_setting"),
        pytest.param(
            {"status": "SecretNotFound"},
            "| az keyvault secret set --vault-name base-AML-KV --name scoring-key --file /dev/stdin",
            id="no_secret",
        ),
        pytest.param(
            {"status": "AccessToKeyVaultDenied"},
            f'--role "Key Vault Secrets User" {IDENTITY} --scope '
            f'"{GROUP}/providers/Microsoft.KeyVault/vaults/base-AML-KV/secrets/scoring-key"',
            id="may_not_read_the_key",
        ),
        pytest.param(
            {"status": "MSINotEnabled"}, f"(MSINotEnabled): `az webapp identity assign --ids {APP}`", id="msi"
        ),
        pytest.param({"status": "VaultNotFound"}, "(VaultNotFound): `az keyvault list", id="no_vault"),
        pytest.param({"keys": " "}, "scoring-key of base-AML-KV is missing or empty: `python3 -c", id="empty_key"),
        pytest.param({"failing": ["keyvault secret show"]}, "az keyvault secret show: Forbidden", id="key_unreadable"),
        pytest.param({"failing": ["role assignment list"]}, "az role assignment list: Forbidden", id="az_fails"),
    ],
)
def test_what_is_missing_is_one_sentence_with_the_command_and_nothing_is_changed(world, changed, said):
    world.set(**changed)

    told = world.deploy(NEW, code=1)

    (sentence,) = [line for line in told.splitlines() if line.startswith("error: ")]
    assert said in sentence
    assert KEY not in told
    assert world.changes() == 0
    assert "Traceback" not in told


def test_a_failure_that_azure_remembers_is_asked_anew(world):
    world.set(status="SecretNotFound", refreshed="Resolved")

    world.deploy(NEW)

    assert world.image() == NEW


@pytest.mark.parametrize("name", ["WEBAPP_DEPLOYMENT_NAME", "RESOURCE_GROUP", "BASE_NAME"])
def test_a_variable_that_the_group_lacks_is_named(world, name):
    assert f"error: {name} is missing" in world.deploy(NEW, code=1, **{name: f"$({name})"})
