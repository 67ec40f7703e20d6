"""What takes minutes, or programs that not everybody has: `make prove`."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import tools
from conftest import BIN, COMBINATIONS, ROOT, bake, run
from local_manifests import built
from local_pipelines import edit, groups, repository
from test_docs import EVERY_TARGET, TABLES, block, operations, queries

pytestmark = pytest.mark.prove
IMAGE, SCORING = "localhost/agent:proof", "localhost/scoring:proof"


@pytest.fixture(scope="module")
def checkers(tmp_path_factory):
    """Return the folder with the programs of requirements/prove.txt."""
    folder = tmp_path_factory.mktemp("checkers")
    run(BIN / "uv", "venv", "--quiet", "--python", sys.executable, folder / "venv")
    lock = ("--require-hashes", ROOT / "requirements" / "prove.txt")
    run(BIN / "uv", "pip", "sync", "--quiet", "--python", folder / "venv", *lock)
    return folder / "venv" / "bin"


@pytest.fixture(scope="module", params=COMBINATIONS.values(), ids=COMBINATIONS)
def baked(request, cookies_session):
    return bake(cookies_session, request.param)


# -- policies and secrets ---


def checkov(checkers, folder, *frameworks, code=0):
    words = ("--skip-download", "--compact", "--output", "json")
    told = run(checkers / "checkov", "-d", folder, "--framework", *frameworks, *words, code=code, LOG_LEVEL="ERROR")
    found = json.loads(told[min(told.find(mark) for mark in "[{" if mark in told) :])
    return found if isinstance(found, list) else [found]


def test_policies_have_no_open_finding_and_every_exception_its_reason(checkers, baked):
    found = checkov(checkers, baked.path / "environment_setup", "arm", "dockerfile", "terraform")

    passed = {one["check_type"]: one["summary"]["passed"] for one in found}
    assert passed.pop("dockerfile") >= 50
    assert passed.pop(baked.answers["infrastructure"]) >= 10
    if baked.answers["__deploys"]:
        found += checkov(checkers, baked.path / "deployment", "dockerfile")
        assert found[-1]["summary"]["passed"] >= 30
    for one in found:
        assert one["results"]["failed_checks"] == []
        assert all(len(skip["check_result"]["suppress_comment"]) > 20 for skip in one["results"]["skipped_checks"])


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("arm-templates/cloud-environment.json", ('"enablePurgeProtection": true', '"enablePurgeProtection": false')),
        ("Dockerfile", ("USER 10001", "USER root")),
    ],
    ids=["purge protection", "user"],
)
def test_policies_notice_what_is_taken_away(checkers, defaults, tmp_path, file, change):
    shutil.copytree(defaults.path / "environment_setup", tmp_path / "copy")
    edit(tmp_path / "copy", file, *change)

    found = checkov(checkers, tmp_path / "copy", "arm", "dockerfile", code=1)
    assert any(one["results"]["failed_checks"] for one in found)


def test_dockerfiles_are_clean(checkers, baked):
    for dockerfile in baked.path.rglob("Dockerfile"):
        run(checkers / "hadolint", dockerfile)


def test_no_secret_is_found(checkers, baked):
    but = ("--exclude-files", r"requirements/", "--exclude-lines", r"@sha256:[0-9a-f]{64}$")  # digests of base images
    told = run(checkers / "detect-secrets", "scan", "--all-files", *but, cwd=baked.path)

    assert json.loads(told)["results"] == {}


def test_the_scanner_finds_a_secret(checkers, tmp_path):
    key = "QUtJ" + "QUlPU0ZPRE5ON0VYQU1QTEVBS0lBSU9TRk9ETk43RVhBTVBMRUFLSUFJT1NGT0ROTjdFWEFNUExFMTIzNDU2Nzg="
    (tmp_path / "settings.py").write_text(f'connection = "AccountName=a;AccountKey={key}"\n', encoding="utf-8")

    assert json.loads(run(checkers / "detect-secrets", "scan", "--all-files", ".", cwd=tmp_path))["results"]


# -- manifests of Kubernetes and Istio ---

ON_KUBERNETES = {name: answers for name, answers in COMBINATIONS.items() if "aks" in answers}


@pytest.fixture(scope="module", params=ON_KUBERNETES.values(), ids=ON_KUBERNETES)
def manifests(request, cookies_session, tmp_path_factory):
    return list(built(bake(cookies_session, request.param), tmp_path_factory.mktemp("manifests")).values())


@pytest.mark.tool("kubectl")
def test_kubernetes_takes_the_manifests_of_every_release(checkers, manifests, tmp_path):
    for file in manifests:
        run(checkers / "kubernetes-validate", "--strict", file)

    (tmp_path / "wrong.yaml").write_text(
        manifests[-1].read_text("utf-8").replace("maxReplicas: 3", "maxReplicas: three"), "utf-8"
    )
    run(checkers / "kubernetes-validate", "--strict", tmp_path / "wrong.yaml", code=1)


def istio(*files, code=0):
    """Compare files with Istio's models."""
    return run("node", tools.made("npm") / "validate.mjs", *files, code=code)


@pytest.mark.tool("kubectl")
@pytest.mark.tool("npm")
def test_istio_takes_the_manifests_of_every_release(manifests, tmp_path):
    told = istio(*manifests)

    assert told.splitlines() == ["Gateway is valid", "VirtualService is valid"] * len(manifests)
    (tmp_path / "wrong.yaml").write_text(
        manifests[-1].read_text("utf-8").replace("number: 80", "number: eighty"), "utf-8"
    )
    istio(tmp_path / "wrong.yaml", code=1)


@pytest.mark.tool("kubectl")
def test_policies_have_no_open_finding_in_the_manifests(checkers, manifests, tmp_path):
    shutil.copy(manifests[-1], tmp_path / "stage.yaml")
    (found,) = checkov(checkers, tmp_path, "kubernetes")

    assert found["results"]["failed_checks"] == []
    assert found["summary"]["passed"] >= 80
    for skip in found["results"]["skipped_checks"]:
        assert len(skip["check_result"]["suppress_comment"]) > 20


# -- the queries of the guide to operations ---

# Rows are columns of text by name, and how many hours ago they came.
ANSWERS = """
import json, sys, duckdb_kql
tables, rows, queries = json.load(open(sys.argv[1]))
kinds = {"datetime": "TIMESTAMP", "string": "VARCHAR", "dynamic": "JSON"}
database = duckdb_kql.connect()
for table, columns in tables.items():
    typed = (column.split(": ") for column in columns.split(", "))
    database.execute(f"CREATE TABLE {table} ({', '.join(f'{name} {kinds[kind]}' for name, kind in typed)})")
for table, hours, row in rows:
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    came = f"now() AT TIME ZONE 'UTC' - INTERVAL {hours} HOUR"
    database.execute(f"INSERT INTO {table} (TimeGenerated, {names}) VALUES ({came}, {marks})", [*row.values()])
answers = [duckdb_kql.query(database, query).fetchall() for query in queries]
for table in list(tables)[1:]:
    database.execute(f"DROP TABLE {table}")
answers.append(duckdb_kql.query(database, queries[0]).fetchall())
print(json.dumps(answers, default=str))
"""


@pytest.fixture(scope="module")
def answers(checkers, cookies_session, tmp_path_factory):
    """Return what the guide's queries answer about lines of all targets, and the first where there is one table."""
    baked = bake(cookies_session, EVERY_TARGET)
    example = json.loads(block(operations(baked), "json"))

    def line(**values):
        return json.dumps({**example, **values}, separators=(",", ":"))

    def aci(text, hours=0, table="ContainerInstanceLog_CL", name="ContainerGroup_s"):
        return table, hours, {"Message": text, name: "aci"}

    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    rows = [aci(line(predictions=2, duration_ms=ms)) for ms in (4, 1, 100, 3, 2)]
    rows += [aci(line()[:70]), aci("Serving model version 3"), aci("{}"), aci(line(), hours=48)]
    rows += [
        aci(line(predictions=0, status=400, version=4, duration_ms=9), 0, "ContainerInstanceLog", "ContainerGroup")
    ]
    site = {"_ResourceId": "/subscriptions/s/providers/microsoft.web/sites/web"}
    rows += [("AppServiceConsoleLogs", 0, {"ResultDescription": line(predictions=1000, traceparent=trace), **site})]
    for message in (line(predictions=1), json.dumps(line(predictions=1))):  # Azure stores objects, and texts
        rows += [("ContainerLogV2", 0, {"LogMessage": message, "PodNamespace": "aks"})]
    asked, alert = queries(baked)
    traced = f'{asked.partition("| summarize")[0]}| where trace_id == "{trace[3:35]}"\n| project request_id, build'
    arguments = tmp_path_factory.mktemp("answers") / "arguments.json"
    arguments.write_text(json.dumps([TABLES, rows, [asked, alert, traced]]), encoding="utf-8")
    return json.loads(run(checkers / "python", "-c", ANSWERS, arguments)), example


def test_durations_are_told_by_target_and_rows_and_what_was_cut_is_counted(answers):
    (durations, *_), example = answers
    usual = example["duration_ms"]

    found = {tuple(row[:2]): row[2:] for row in durations}

    assert found == {
        ("aci", None): [1, 1, None, None],
        ("aci", 0): [1, 0, 9.0, 9.0],
        ("aci", 2): [5, 0, 3.0, 100.0],
        ("web", 1000): [1, 0, usual, usual],
        ("aks", 1): [2, 0, usual, usual],
    }


def test_a_table_that_is_not_there_yet_is_left_out(answers):
    (durations, *_, alone), _ = answers

    assert alone == [row for row in durations if row[0] == "aci" and row[1] != 0]


def test_a_trace_leads_to_its_request_and_the_image_that_answered(answers):
    (_, _, traced, _), example = answers

    assert traced == [[example["request_id"], example["build"]]]


def test_statuses_are_told_by_version_for_alerts(answers):
    (_, alert, *_), _ = answers

    requests = {(row[0], row[1]): row[3:] for row in alert}
    assert requests[200, 3] == [8, 1012, 100.0]
    assert requests[400, 4] == [1, 0, 9.0]
    assert requests.keys() == {(200, 3), (400, 4), (None, None)}


# -- checkers of somebody else's, where CHECKERS names their folder ---

CHECKERS = Path(os.environ.get("CHECKERS", ""))
others = pytest.mark.skipif("CHECKERS" not in os.environ, reason="CHECKERS names no folder")


@others
@pytest.mark.parametrize("wait_on", ["agent", "server"])
def test_another_checker_of_pipelines_finds_nothing(baked, tmp_path, wait_on):
    root = repository(baked, tmp_path / "repository")
    edit(root, ".pipelines/variables.yml", "value: agent", f"value: {wait_on}")
    held = {name: list(values) for name, values in groups(baked.answers).items()}
    (tmp_path / "groups.json").write_text(json.dumps(held), encoding="utf-8")
    tasks = CHECKERS / "data" / "azure_pipelines_tasks.json"

    command = (sys.executable, CHECKERS / "check_azure_pipelines.py", root, "--strict")
    run(*command, "--tasks", tasks, "--groups", tmp_path / "groups.json")


@others
def test_another_checker_of_arm_finds_nothing(baked):
    if baked.answers["infrastructure"] != "arm":
        pytest.skip("the resources are described elsewhere")
    templates = baked.path / "environment_setup" / "arm-templates"
    for parameters in templates.glob("*.parameters.json"):
        template = templates / parameters.name.replace(".parameters", "")
        files = (template, parameters) if template.stem == "cloud-environment" else (template,)
        run(sys.executable, CHECKERS / "check_arm.py", *files, "--types", CHECKERS / "data" / "arm_types.json")


# -- the agent's image ---


def in_image(project, *command):
    """Run a command in the image, as its user, on a copy of the project."""
    container = run("buildah", "from", "--pull-never", IMAGE).strip()
    try:
        run("buildah", "copy", "--quiet", "--chown", "agent", container, project, "/home/agent/project")
        where = ("--isolation", "chroot", "--network", "host", "--workingdir", "/home/agent/project")
        return run("buildah", "run", *where, container, "--", *command)
    finally:
        run("buildah", "rm", container)


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Return a function that builds an image of a project, wherever a proxy has a certificate of its own."""
    settings = tmp_path_factory.mktemp("settings")
    (settings / "pip.conf").write_text("[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n", encoding="utf-8")
    (settings / "uv.toml").write_text("native-tls = true\n", encoding="utf-8")
    mounts = {"/etc/ssl/certs": "/etc/ssl/certs", settings / "pip.conf": "/etc/pip.conf"}
    mounts[settings / "uv.toml"] = "/etc/uv/uv.toml"
    trust = [word for here, there in mounts.items() for word in ("--volume", f"{here}:{there}:ro")]
    base = f"BASE_IMAGE={tools.BASE}"
    options = ("--pull=never", "--network=host", "--isolation=chroot", *trust, "--build-arg", base)

    def build(root, dockerfile, tag, *more, context="."):
        run("buildah", "bud", *options, *more, "--file", dockerfile, "--tag", tag, context, cwd=root)
        return root

    return build


@pytest.fixture(scope="module")
def image(build, defaults):
    """Return the project whose agent image was built."""
    return build(defaults.path, "environment_setup/Dockerfile", IMAGE)


@pytest.mark.tool("buildah")
@pytest.mark.tool("debootstrap")
def test_the_agent_s_image_runs_what_jobs_run(image):
    assert in_image(image, "whoami").strip() == "agent"
    assert "azure-cli" in in_image(image, "az", "version")
    in_image(image, "python", "-m", "ruff", "check", "--no-cache", ".")
    in_image(image, "python", "-m", "mypy")
    assert "--debug" in in_image(image, "python", "-m", "ml_service.submit", "--help")
    assert " passed" in in_image(image, "python", "-m", "pytest", "-q", "-p", "no:cacheprovider")


@pytest.mark.tool("buildah")
@pytest.mark.tool("debootstrap")
def test_the_image_holds_what_the_locks_pin_and_nothing_of_the_project(image):
    frozen = in_image(image, "/opt/uv/bin/uv", "pip", "freeze", "--python", "/opt/venv")
    lock = (image / "requirements" / "ops.txt").read_text("utf-8")

    assert next(line.split()[0] for line in lock.splitlines() if line.startswith("azureml-core==")) in frozen
    assert sorted(in_image(image, "ls", "/opt").split()) == ["az", "requirements", "uv", "venv"]


# -- the scoring image ---

KEY = "a-key-of-a-proof"


@pytest.fixture(scope="module", params=["diabetes", "safe_driver"])
def scoring_image(request, build, cookies_session, environment, tmp_path_factory):
    """Return a project that has trained a model, and whose scoring image was built."""
    baked = bake(cookies_session, {"deploy_webapp": True, "example": request.param})
    root = repository(baked, tmp_path_factory.mktemp("scoring") / "repository", environment(baked))
    run("make", "run", cwd=root)
    fetch = ("-m", f"{baked.answers['package_name']}.fetch", "--output", "../outputs/serving")
    run(root / ".venv" / "bin" / "python", *fetch, cwd=root / "src")
    for folder in (root, root / "src", root / "src" / baked.answers["package_name"], root / "outputs" / "serving"):
        (folder / ".env").write_text("SECRET=not for images", encoding="utf-8")
    staging = "import pathlib; from deployment.image.build import stage; print(stage(pathlib.Path('outputs/serving')))"
    tag = run(sys.executable, "-c", staging, cwd=root).strip()
    context = "outputs/scoring-image"
    return build(root, f"{context}/Dockerfile", SCORING, "--build-arg", f"IMAGE_ID={tag}", context=context)


@contextmanager
def container():
    """Give a container of the scoring image, and the command that its entry point is."""
    name = run("buildah", "from", "--pull-never", SCORING).strip()
    try:
        told = json.loads(run("buildah", "inspect", name))["OCIv1"]["config"]
        yield ("buildah", "run", "--isolation", "chroot", "--network", "host"), name, told["Entrypoint"]
    finally:
        run("buildah", "rm", name)


def wait_for(port, service):
    """Wait until something listens, or say how the service ended instead."""
    deadline = time.monotonic() + 60
    while service.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    pytest.fail(f"Nothing listens: {service.stdout.read() if service.poll() is not None else 'it hangs'}")


def stop(service):
    """End the service, which runs as a grandchild in the container's name spaces."""
    service.send_signal(signal.SIGTERM)
    try:
        service.wait(timeout=15)
    except subprocess.TimeoutExpired:
        service.kill()


def ask(method, path, body=None, **headers):
    """Ask the container's service, and return status and answer."""
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=10)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


@pytest.mark.tool("buildah")
@pytest.mark.tool("debootstrap")
@pytest.mark.tool("make")
def test_the_scoring_image_predicts_for_whoever_has_a_key_and_writes_nothing(scoring_image):
    body = (scoring_image / "src" / "request.json").read_bytes()
    with container() as (running, name, entry):
        command = [*running, "--env", f"SCORING_KEYS={KEY}", name, "--", *entry]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as service:
            try:
                wait_for(8080, service)
                health = ask("GET", "/healthz")
                refused = [ask("POST", "/score", body)[0], ask("POST", "/score", body, Authorization="Bearer no")[0]]
                status, answer = ask("POST", "/score", body, Authorization=f"Bearer {KEY}")
                user = run(*running, name, "--", "id", "--user").strip()
                tried = run(*running, name, "--", "sh", "-c", "touch /app/x /opt/venv/x || true")
            finally:
                stop(service)

    assert health[0] == 200
    assert (health[1]["status"], health[1]["version"], health[1]["image"][:3]) == ("healthy", 1, "v1-")
    assert refused == [401, 401]
    assert (status, len(answer["result"])) == (200, 2)
    assert user == "10001"
    assert tried.count("Permission denied") == 2


@pytest.mark.tool("buildah")
@pytest.mark.tool("debootstrap")
@pytest.mark.tool("make")
def test_the_scoring_image_does_not_start_without_a_key(scoring_image):
    with container() as (running, name, entry):
        assert "SCORING_KEYS" in run(*running, name, "--", *entry, code=1)


@pytest.mark.tool("buildah")
@pytest.mark.tool("debootstrap")
@pytest.mark.tool("make")
def test_the_scoring_image_holds_the_lock_the_package_and_the_model(scoring_image):
    with container() as (running, name, _):
        listed = run(*running, name, "--", "sh", "-c", "ls -AR /app; ls -A /opt; python -m pip --version || true")
        listing = "import importlib.metadata as m; print(*sorted(d.name.lower() for d in m.distributions()))"
        installed = run(*running, name, "--", "python", "-c", listing).split()
    lock = (scoring_image / "requirements" / "score.txt").read_text("utf-8")

    pinned = re.findall(r"^([a-z0-9._-]+)==[^\n]*", lock, re.MULTILINE)
    assert set(installed) <= {name.lower() for name in pinned}
    assert "No module named pip" in listed
    held = {line for line in listed.splitlines() if line}
    staged = {
        path.name for path in (scoring_image / "outputs" / "scoring-image").rglob("*") if "Docker" not in path.name
    }
    assert {"app.py", "serving", "model.json", "venv"} <= held
    assert {name for name in held if name.endswith((".py", ".json", ".env"))} == {
        name for name in staged if name.endswith((".py", ".json"))
    }
