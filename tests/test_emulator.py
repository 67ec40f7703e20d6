"""The local Azure ML itself: strict, restartable, and honest about what it follows."""

import json
import re
import shutil
import socket
import ssl
import sys
import tomllib
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

import pytest
from conftest import BIN, ROOT, run
from local_azure import Project, prepared, warm
from packaging.requirements import Requirement

from azureml_emulator import tokens
from azureml_emulator.session import started

pytestmark = pytest.mark.slow

EMULATOR = ROOT / "azureml_emulator"


@pytest.fixture(scope="module")
def python(defaults, environment):
    return environment(defaults)


@pytest.fixture(scope="module")
def azure(python, tmp_path_factory):
    with started(python, tmp_path_factory.mktemp("emulator")) as azure:
        yield azure


def call(azure, url, method="GET", body=None, **headers):
    """Call a host of Azure by way of the emulator, and return the status and the body."""
    proxy = urllib.request.ProxyHandler({"https": azure.environment["HTTPS_PROXY"]})
    trust = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=azure.environment["SSL_CERT_FILE"]))
    try:
        request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310
        with urllib.request.build_opener(proxy, trust).open(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_an_unknown_call_fails_and_is_named(azure):
    status, told = call(azure, "https://eastus.api.azureml.ms/no/such/service", Authorization="Bearer -")

    assert status >= 400
    assert "no route for GET eastus.api.azureml.ms/no/such/service" in told
    assert [unknown["path"] for unknown in azure.ask("unknown")] == ["/no/such/service"]


ARM = "https://management.azure.com"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "AuthenticationFailed"),
        ({"Authorization": f"Bearer {tokens.issue('t', 's', -1, aud=ARM)}"}, "ExpiredAuthenticationToken"),
        ({"Authorization": f"Bearer {tokens.issue('t', 's', aud='https://storage.azure.com')}"}, "Audience"),
    ],
    ids=["none", "expired", "for another service"],
)
def test_a_call_without_a_good_token_is_refused(azure, headers, code):
    assert call(azure, f"{ARM}/subscriptions", Authorization=f"Bearer {tokens.issue('t', 's', aud=ARM)}")[0] == 200

    status, told = call(azure, f"{ARM}/subscriptions", **headers)

    assert status == 401
    assert code in told


def test_a_blob_is_not_given_to_whom_nobody_signed_for(azure):
    status, told = call(azure, "https://any.blob.core.windows.net/container/blob")

    assert status == 403
    assert "AuthenticationFailed" in told


@pytest.mark.parametrize(
    ("change", "told"),
    [({"client_assertion": "another"}, "AADSTS700213"), ({"grant_type": "password"}, "AADSTS7000218")],
    ids=["another token", "another way"],
)
def test_only_the_federated_token_logs_in(azure, change, told):
    assertion = Path(azure.environment["AZURE_FEDERATED_TOKEN_FILE"]).read_text("utf-8")
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    asked = {"grant_type": "client_credentials", "client_assertion_type": kind, "client_assertion": assertion}
    asked |= {"client_id": "any", "scope": "https://management.azure.com/.default"}
    url = f"https://login.microsoftonline.com/{azure.environment['AZURE_TENANT_ID']}/oauth2/v2.0/token"

    assert call(azure, url, "POST", urlencode(asked).encode())[0] == 200
    status, answer = call(azure, url, "POST", urlencode(asked | change).encode())
    assert status == 401
    assert told in answer


def test_every_route_names_what_it_follows(python):
    code = (
        "import json; from azureml_emulator import emulator, routes;"
        "print(json.dumps({f'{route.path.pattern}': route.handler.__doc__ for route in routes.ROUTES}))"
    )

    followed = json.loads(run(python, "-c", code).splitlines()[-1])

    assert len(followed) > 50
    assert [path for path, source in followed.items() if not re.search(r"\w\.\w", source or "")] == []


def test_it_needs_only_what_a_project_installs(defaults):
    asked = tomllib.loads((EMULATOR / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    lock = (defaults.path / "requirements" / "dev.txt").read_text("utf-8")
    pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE))

    for requirement in map(Requirement, asked):
        assert requirement.specifier.contains(pinned[requirement.name]), requirement


def test_it_installs_as_a_package_and_explains_itself(tmp_path):
    run(BIN / "uv", "venv", "--quiet", "--python", sys.executable, tmp_path / "venv")
    shutil.copytree(EMULATOR, tmp_path / "source", ignore=shutil.ignore_patterns("__pycache__"))
    installed = tmp_path / "venv" / "bin" / "python"
    run(BIN / "uv", "pip", "install", "--quiet", "--no-deps", "--python", installed, tmp_path / "source")

    told = run(installed, "-m", "azureml_emulator", "--help", cwd=tmp_path)

    assert "--fork-server" in told


def test_a_taken_port_is_told_in_a_sentence(python):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        told = run(python, "-m", "azureml_emulator", "--port", taken.getsockname()[1], code=1)

    assert "Traceback" not in told
    assert re.search(r"error: port \d+ cannot be listened on", told)


def test_a_command_runs_with_what_leads_to_the_emulator(python):
    told = run(python, "-m", "azureml_emulator", "--", "sh", "-c", "env; exit 3", code=3)

    variables = dict(re.findall(r"^(\w+)=(.*)$", told, re.MULTILINE))
    assert variables["HTTPS_PROXY"] == variables["EMULATOR"]
    assert variables["WORKSPACE_NAME"] == "mlops-AML-WS"
    assert "MLFLOW_TRACKING_URI" not in variables


def test_the_commands_in_the_project_s_guide_work(cookies_session, environment, python, tmp_path):
    project, tools = tmp_path / "project", tmp_path / "tools"
    steps = environment(prepared(cookies_session, "diabetes", project), "train")
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "python").write_text(f'#!/bin/sh\nexec {python} "$@"\n', encoding="utf-8")
    tools.mkdir()
    for tool, code in {"az": "exit 0", "uuidgen": "echo a-build"}.items():
        (tools / tool).write_text(f"#!/bin/sh\n{code}\n", encoding="utf-8")
    for script in (project / ".venv" / "bin" / "python", *tools.iterdir()):
        script.chmod(0o755)
    guide = (project / "docs" / "getting-started.md").read_text("utf-8")
    told_to_run = "".join(re.findall(r"^```bash\n(.*?)^```", guide, re.DOTALL | re.MULTILINE))
    told_to_run = re.sub("^DATA_FILE_PATH=.*\n", "", told_to_run, flags=re.MULTILINE)  # it names data of one's own

    command = ("bash", "-euc", f"cd {project}; PATH={tools}:$PATH\n{told_to_run}")
    told = run(python, "-m", "azureml_emulator", "--fork-server", "--python", steps, "--", *command)

    assert "Registered version 1 of diabetes-regression." in told


@pytest.fixture
def forks(python, tmp_path):
    with warm(python, tmp_path) as forks:
        yield forks


def test_a_second_start_finds_the_champion_and_steps_run_as_processes(
    cookies_session, environment, python, forks, tmp_path
):
    steps = environment(prepared(cookies_session, "diabetes", tmp_path / "project"), "train")
    with started(python, tmp_path / "state", steps=steps) as azure:
        assert "There is no champion" in Project(tmp_path / "project", "diabetes", python, azure, forks).build("first")
    with started(python, tmp_path / "state", "--fork-server", steps=steps) as azure:
        project = Project(tmp_path / "project", "diabetes", python, azure, forks)
        project.change("alpha: 0.5")

        told = project.build("second")

        assert "mse 3298.8856 is worse than version 1's 3295.7149" in told
        assert "Registered version 1" in project.wait("first")
        assert azure.ask("unknown") == []
