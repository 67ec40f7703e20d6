"""What builds the scoring image and what deploys it to a Web App: the programs, against a stand-in for `az`."""

import hashlib
import http.server
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

import azure_roles
import pytest
from conftest import BIN, bake, run
from local_pipelines import edit, repository

pytestmark = pytest.mark.tool("openssl")

GROUP = "/subscriptions/s/resourceGroups/mlops-RG"
APP = f"{GROUP}/providers/Microsoft.Web/sites/an-app"
REGISTRY = f"{GROUP}/providers/Microsoft.ContainerRegistry/registries/baseamlcr"
ROLES = "/subscriptions/s/providers/Microsoft.Authorization/roleDefinitions"
ACR_PULL, READER = "7f951dda-4ed3-4680-a7ca-43fe172d538d", "acdd72a7-3385-48ef-bd42-f606fba81ae7"
REFERENCE = "@Microsoft.KeyVault(VaultName=base-AML-KV;SecretName=scoring-key)"
KEY = "not-to-be-seen"


def named(letter):
    return f"baseamlcr.azurecr.io/a-slug-scoring@sha256:{letter * 64}"


FORMER, NEW, SILENT, OTHER, BROKEN, SECOND, RENAMED = (named(letter) for letter in "0abcdef")
RENAMED = RENAMED.replace("a-slug-scoring", "a-former-name")
ABROAD = FORMER.replace("baseamlcr", "another")
# What answers when an image is set: which version, whether it can predict, and in which image. One never starts.
SERVES = {
    FORMER: (1, True, FORMER),
    NEW: (2, True, NEW),
    OTHER: (3, True, OTHER),
    BROKEN: (2, False, BROKEN),
    SECOND: (1, True, FORMER),
    RENAMED: (2, True, NEW),
    ABROAD: (1, True, FORMER),
}
VERSIONS = {SILENT: 2, SECOND: 1, **{image: version for image, (version, _, _) in SERVES.items()}}
# The tag that tells the content. Two images have the same: one was built again, under another repository's name.
TAGS = {image: f"v{VERSIONS[image]}-{number:040x}" for number, image in enumerate(VERSIONS)}
TAGS[RENAMED] = TAGS[NEW]
HELD = {"a-former-name": {}, "a-slug-scoring": {}}  # by the registry: repositories, tags, digests
for name, tag in TAGS.items():
    if name != ABROAD:
        HELD[name.partition("/")[2].partition("@")[0]][tag] = name.partition("@")[2]
PUSHED = {"registry": "baseamlcr.azurecr.io", "repository": "a-slug-scoring", "digest": f"sha256:{'a' * 64}"}
NOTHING = (None, False, None)

EXAMPLE = {"application/json": {"schema": {"example": {"data": [[1.0], [2.0]]}}}}
DESCRIPTION = {"info": {"version": "2"}, "paths": {"/score": {"post": {"requestBody": {"content": EXAMPLE}}}}}

# Azure, as far as these programs ask it, for whoever has roles on single resources. It keeps its state in a file, which
# the app's server reads too.
STAND_IN = """#!{python} -IS
import json, os, sys
file, words = {state!r}, sys.argv[1:]
text = open(file).read()
state = json.loads(text)
with open(os.path.dirname(file) + "/calls", "a") as calls:
    calls.write(json.dumps(words) + "\\n")
def keep(state):
    with open(file + ".changed", "w") as changed:
        changed.write(json.dumps(state))
    os.replace(file + ".changed", file)
said = " ".join(words)
for failing in state["failing"]:
    if failing in said:
        sys.exit("Forbidden")
if state["warns"] and "patch" in words:
    print("WARNING: this is no JSON")
    keep({{**state, "warns": False}})
    sys.exit()
after = lambda flag: words[words.index(flag) + 1]
path = None
if "--url" in words:
    path = after("--url").replace("{{subscriptionId}}", "s").removeprefix({app!r}).partition("?")[0]
tags = state["repositories"]
match words[:2], path:
    case ["resource", "list"], _: sys.exit("(AuthorizationFailed) resourceGroups/read")
    case ["rest", _], "" if not state["there"]: sys.exit('ERROR: Not Found({{"error":{{"code":"ResourceNotFound"}}}})')
    case ["rest", _], "":
        answer = {{"id": {app!r}, "properties": {{"defaultHostName": state["host"]}}, "identity": state["identity"]}}
    case ["rest", _], "/config/web":
        if after("--method") == "patch":
            state["image"] = json.loads(after("--body"))["properties"]["linuxFxVersion"]
        answer = {{"properties": {{"linuxFxVersion": state["image"], "acrUseManagedIdentityCreds": state["pulls"]}}}}
    case ["rest", _], "/config/appsettings/list": answer = {{"properties": state["settings"]}}
    case ["rest", _], "/config/configreferences/appsettings/refresh":
        state["status"] = state["refreshed"] or state["status"]
        answer = None
    case ["rest", _], "/config/configreferences/appsettings/SCORING_KEYS":
        answer = {{"properties": {{"status": state["status"]}}}}
    case ["acr", "show"], _: answer = {{"id": {registry!r}}}
    case ["acr", "repository"], _:
        assert after("--name") == "baseamlcr"
        if words[2] == "list":
            answer = [name for name in tags if tags[name]]
        else:
            if not tags.get(after("--repository")):
                sys.exit("repository " + after("--repository") + " is not found")
            answer = [{{"name": tag, "digest": digest}} for tag, digest in tags[after("--repository")].items()]
            assert words[2] == "show-tags"
            answer = answer if "--detail" in words else [one["name"] for one in answer]
    case ["role", "assignment"], _:
        assert "--include-groups" in words and "--include-inherited" in words
        assert after("--assignee-object-id") == state["identity"]["principalId"]
        assert after("--scope") == {registry!r}
        answer = [{{"roleDefinitionId": {roles!r} + "/" + role}} for role in state["roles"]]
    case ["keyvault", "secret"], _: answer = {{"value": state["key"]}}
    case ["acr", "build"], _:
        import hashlib, re
        assert after("--registry") == "baseamlcr"
        context = words[-4]  # before --output json --only-show-errors
        content = dict.fromkeys(re.findall(r"^COPY (\\S+) ", open(after("--file")).read(), re.MULTILINE))
        assert all(os.path.exists(context + "/" + copied) for copied in content) and "--no-wait" in words
        digest = "sha256:" + hashlib.sha256(after("--build-arg").encode()).hexdigest()
        images = [name.split(":") for flag, name in zip(words, words[1:]) if flag == "--image"]
        pushed = [{{"repository": name, "tag": tag, "digest": digest}} for name, tag in images]
        state["run"] = state["run"] or {{"runId": "ca1", "status": "Succeeded", "outputImages": pushed}}
        if state["run"]["status"] == "Succeeded":
            for name, tag in images:
                tags.setdefault(name, {{}})[tag] = digest
        answer = {{"runId": "ca1"}}
    case ["acr", "import"], _:
        assert after("--name") == "baseamlcr" and after("--registry") == {registry!r}
        (source, _, digest), (name, _, tag) = after("--source").partition("@"), after("--image").partition(":")
        if digest not in tags.get(source, {{}}).values():
            sys.exit("manifest " + digest + " is not found")
        if tag in tags.get(name, {{}}) and "--force" not in words:
            sys.exit("Conflict: " + tag + " already exists")
        tags.setdefault(name, {{}})[tag] = digest
        answer = None
    case ["acr", "task"], _:
        if words[2] == "logs":
            print("Step 1/9 : FROM python")
            sys.exit()
        answer, state["run"] = state["run"], None
    case _: sys.exit(said + " is not expected")
if json.dumps(state) != text:
    keep(state)
print(json.dumps(answer) if answer is not None else "")
"""
# The real one takes seconds to start; here it matters what it is told, and what its failing does.
SMOKE_TEST = """
import os, pathlib, ssl, sys, urllib.request
address = sys.argv[sys.argv.index("--service") + 1]
assert sys.argv[sys.argv.index("--type") + 1] == "Webapp"
headers = {"Authorization": f"Bearer {os.environ['SCORING_KEY']}"}
urllib.request.urlopen(urllib.request.Request(f"{address}/score", data=b"{}", headers=headers), timeout=10)
"""


class World(NamedTuple):
    """A copy of the project, a stand-in for Azure, and the host that its Web App would have."""

    root: Path
    state: Path
    environment: dict[str, str]

    def set(self, **changed):
        self.state.write_text(json.dumps({**json.loads(self.state.read_text()), **changed}))

    def repositories(self):
        return json.loads(self.state.read_text())["repositories"]

    def tag(self, *tags, of):
        """Have the registry give an image tags."""
        repository, _, digest = of.partition("/")[2].partition("@")
        held = self.repositories()
        held[repository] |= dict.fromkeys(tags, digest)
        self.set(repositories=held)

    def forget(self, image):
        """Have the registry hold no tag of an image."""
        digest = image.partition("@")[2]
        held = self.repositories().items()
        self.set(repositories={name: {tag: its for tag, its in tags.items() if its != digest} for name, tags in held})

    def model(self, version):
        (self.root / "model.json").write_text(json.dumps({"name": "a-model", "version": version}), encoding="utf-8")

    def image(self):
        return json.loads(self.state.read_text())["image"].removeprefix("DOCKER|")

    def calls(self, *beginning):
        file = self.state.with_name("calls")
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [" ".join(words) for words in lines if tuple(words[: len(beginning)]) == beginning]

    def changes(self):
        return [call for call in self.calls() if "--method patch" in call]

    def deploy(self, image, *more, code=0, python=sys.executable, **environment):
        words = ("-m", "deployment.web_app", "--image", image, "--timeout", "1", "--every", "0.02", *more)
        return run(python, *words, cwd=self.root, code=code, **{**self.environment, **environment})

    def same(self, image, *more, code=0, **environment):
        """Ask whether anything is to be deployed, in a job without packages."""
        words = ("-S", "-m", "deployment.web_app", "same", "--every", "0.02", *more)
        given = {**self.environment, "IMAGE": image, **environment}
        return run(sys.executable, *words, cwd=self.root, code=code, **given)

    def build(self, *more, code=0, **environment):
        words = ("-m", "deployment.image.build", *more)
        return run(sys.executable, *words, cwd=self.root, code=code, **{**self.environment, **environment})


@pytest.fixture(scope="session")
def described(cookies_session):
    """Return a project that is served by a Web App."""
    return bake(cookies_session, {"deploy_webapp": True})


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """Return the files of a key and of a certificate for this machine, which is its own authority."""
    key, certificate = (tmp_path_factory.mktemp("certificate") / name for name in ("key.pem", "certificate.pem"))
    made = ("-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "2")
    name = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    run("openssl", "req", *made, *name, "-keyout", key, "-out", certificate)
    return key, certificate


@pytest.fixture
def world(described, certificate, tmp_path):
    root = repository(described, tmp_path / "repository", without=("tests", "docs", "ml_service"))
    (root / "ml_service").mkdir()
    (root / "ml_service" / "smoke_test.py").write_text(SMOKE_TEST, encoding="utf-8")
    (root / "model.json").write_text('{"name": "a-model", "version": 2}', encoding="utf-8")
    model = root / "outputs" / "serving" / "model"
    model.mkdir(parents=True)
    (model / "MLmodel").touch()
    (model.parent / "model.json").write_text('{"name": "a-model", "version": 2}', encoding="utf-8")
    tools = tmp_path / "tools"
    tools.mkdir()
    state = tools / "state.json"
    names = {"app": APP, "registry": REGISTRY, "roles": ROLES}
    (tools / "az").write_text(STAND_IN.format(python=sys.executable, state=str(state), **names), encoding="utf-8")
    (tools / "az").chmod(0o755)

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self, status, body):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def do_GET(self):
            now = json.loads(state.read_text())
            if now["meanwhile"] and now["image"] != f"DOCKER|{FORMER}":
                state.write_text(json.dumps({**now, "image": f"DOCKER|{now['meanwhile']}"}))
            if now["deaf"]:
                state.write_text(json.dumps({**now, "deaf": now["deaf"] - 1}))
            if now["deaf"] or now["image"].removeprefix("DOCKER|") in now["gone"]:
                return self.answer(HTTPStatus.SERVICE_UNAVAILABLE, {"error": "no container"})
            version, _, image = SERVES.get(now["image"].removeprefix("DOCKER|"), NOTHING)
            if version is not None and self.path.startswith("/swagger.json"):
                return self.answer(HTTPStatus.OK, DESCRIPTION)
            if version is None or self.path != "/healthz":
                return self.answer(HTTPStatus.SERVICE_UNAVAILABLE, {"error": "no container"})
            told = {"status": "healthy", "model": "a-model", "version": version, "image": TAGS[image]}
            return self.answer(HTTPStatus.OK, told)

        def do_POST(self):
            now = json.loads(state.read_text())
            _, predicts, _ = SERVES.get(now["image"].removeprefix("DOCKER|"), NOTHING)
            allowed = self.headers["Authorization"] == f"Bearer {now['key'].split()[0]}"
            status = HTTPStatus.UNAUTHORIZED if not allowed else HTTPStatus.OK if predicts else HTTPStatus.BAD_GATEWAY
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(status, {"result": [1.0 for _ in sent.get("data", [])]})

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate[1], certificate[0])
    # a handshake that a client breaks off must hold up no other: it is done in the thread of its request
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {
        "BASE_NAME": "base",
        "PROJECT": "a-slug",
        "RESOURCE_GROUP": "mlops-RG",
        "SCORING_IMAGE_NAME": "a-slug-scoring",
        "WEBAPP_DEPLOYMENT_NAME": "an-app",
        "SSL_CERT_FILE": str(certificate[1]),
        "PATH": f"{tools}:{os.environ['PATH']}",
        "TF_BUILD": "True",
        "BUILD_BUILDID": "7",
    }
    state.write_text(
        json.dumps(
            {
                "failing": [],
                "gone": [],
                "warns": False,
                "deaf": 0,
                "meanwhile": None,
                "there": True,
                "host": f"localhost:{server.server_port}",
                "identity": {"principalId": "an-identity"},
                "image": f"DOCKER|{FORMER}",
                "pulls": True,
                "settings": {"SCORING_KEYS": REFERENCE, "OTHER": "a secret of somebody"},
                "status": "Resolved",
                "refreshed": None,
                "roles": [READER, ACR_PULL],
                "repositories": HELD,
                "key": f"{KEY} the-next-one",
                "run": None,
            }
        )
    )
    made = World(root, state, environment)
    yield made
    guide = (described.path / "docs" / "infrastructure.md").read_text(encoding="utf-8")
    calls = {tuple(call.split()) for call in made.calls()}
    assert not [why for call in calls if (why := azure_roles.refusal(call, azure_roles.DEPLOY, guide))]
    server.shutdown()
    server.server_close()


# -- the Web App ---


def test_a_deployment_sets_the_image_and_is_done_when_its_version_answers(world):
    told = world.deploy(NEW)

    assert world.image() == NEW
    assert len(world.changes()) == 1
    assert f"a-model version 2 of image {TAGS[NEW]} serves at https://localhost:" in told
    assert "warning" not in told


def test_the_key_is_in_no_log_and_on_no_command_line(world):
    told = world.deploy(NEW)

    assert KEY not in told
    assert "a secret of somebody" not in told
    assert not [call for call in world.calls() if KEY in call]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("image", "code"),
    [pytest.param(NEW, 0, id="serves"), pytest.param(BROKEN, 1, id="does_not", marks=pytest.mark.prove)],
)
def test_the_real_smoke_test_has_the_last_word(world, described, environment, image, code):
    shutil.rmtree(world.root / "ml_service")
    shutil.copytree(described.path / "ml_service", world.root / "ml_service")

    told = world.deploy(image, code=code, python=environment(described))

    assert world.image() == (FORMER if code else NEW)
    assert ("Predictions: 1, 1" in told) == (code == 0)
    assert KEY not in told


@pytest.mark.parametrize(
    ("image", "why"),
    [
        pytest.param(SILENT, "a-model version 2 .*did not come up .*last it answered: no model", id="never_healthy"),
        pytest.param(OTHER, "a-model version 2 .*did not come up .*answered: a-model version 3", id="another_version"),
        pytest.param(BROKEN, "The smoke test failed: see what it said above", id="no_predictions"),
    ],
)
def test_an_image_that_does_not_serve_is_replaced_by_the_former_one(world, image, why):
    told = world.deploy(image, code=1)

    assert world.image() == FORMER
    again = f"a-model version 1 of image {TAGS[FORMER]} serves again"
    said = f"^error: {why}.* Its former image {FORMER} was put back: {again}\\.$"
    assert re.search(said, told, re.MULTILINE), told
    assert "error: " in told.splitlines()[-1]


def test_a_second_image_of_the_same_version_that_never_starts_is_not_taken_for_the_former(world):
    world.model(1)

    told = world.deploy(SECOND, code=1)

    assert world.image() == FORMER
    assert f"a-model version 1 of image {TAGS[SECOND]} did not come up" in told
    assert f"was put back: a-model version 1 of image {TAGS[FORMER]} serves again." in told


@pytest.mark.parametrize("tagged", ["not at all", "twice"])
def test_an_image_that_its_tag_does_not_tell_apart_is_not_deployed(world, tagged):
    if tagged == "twice":
        world.tag(f"v2-{'f' * 40}", of=NEW)
    else:
        world.forget(NEW)

    told = world.deploy(NEW, code=1)

    assert "has not the one tag that `python -m deployment.image.build` gives: run that anew." in told
    assert world.changes() == []


def test_roles_that_may_let_it_pull_are_a_warning(world):
    world.set(roles=[READER])

    told = world.deploy(NEW)

    assert f'do not let it pull, `az role assignment create --role "AcrPull" {IDENTITY}' in told
    assert world.image() == NEW


def test_a_change_that_azure_refuses_is_undone_too(world):
    world.set(failing=[f"--body {json.dumps({'properties': {'linuxFxVersion': f'DOCKER|{NEW}'}})}"])

    told = world.deploy(NEW, code=1)

    assert world.image() == FORMER
    assert re.search(r"error: az rest .*Forbidden.* was put back: a-model version 1 of .* serves again", told)


def test_an_answer_of_azure_that_is_no_json_is_a_failure_like_any_other(world):
    world.set(warns=True)

    told = world.deploy(NEW, code=1)

    assert world.image() == FORMER
    assert re.search(r"error: az rest .* did not answer JSON: .*WARNING.* serves again", told)


def test_what_another_run_has_set_meanwhile_is_left_alone(world):
    world.set(meanwhile=OTHER)

    told = world.deploy(SILENT, code=1)

    assert world.image() == OTHER
    assert f"to {OTHER} meanwhile: that was left alone." in told


def test_a_model_that_does_not_answer_once_had_served_all_the_same(world):
    world.set(deaf=1)

    told = world.deploy(SILENT, code=1)

    assert f"a-model version 1 of image {TAGS[FORMER]} serves again" in told


@pytest.mark.parametrize("answers", [[2, 2, 1, 2, 2, 2], [2, 1, 2, 2, 1, 2, 2, 2]])
def test_a_version_counts_once_it_has_answered_three_times_in_a_row(described, answers, monkeypatch):
    code = (
        "from deployment import web_app\n"
        f"left = list({answers})\n"
        "web_app.serving = lambda host: str(left.pop(0))\n"
        "web_app.wait_for('2', 'a-host', web_app.Patience(10, 0))\n"
        "print('left:', left)\n"
    )

    assert "left: []" in run(sys.executable, "-c", code, cwd=described.path)


def test_a_former_image_that_cannot_be_put_back_is_told_loudly(world):
    world.set(failing=[f"--body {json.dumps({'properties': {'linuxFxVersion': f'DOCKER|{FORMER}'}})}"])

    told = world.deploy(SILENT, code=1)

    assert re.search(rf"error: .*PUTTING BACK {FORMER} FAILED: az rest .*Forbidden", told)


def test_a_former_image_that_does_not_answer_any_more_is_told_loudly(world):
    code = f"import json, pathlib\nfile = pathlib.Path({str(world.state)!r})\nstate = json.loads(file.read_text())\n"
    code += f"file.write_text(json.dumps({{**state, 'gone': [{FORMER!r}]}}))\nraise SystemExit(1)\n"
    (world.root / "ml_service" / "smoke_test.py").write_text(code, encoding="utf-8")

    told = world.deploy(NEW, code=1)

    failed = f"PUTTING BACK {FORMER} FAILED: a-model version 1 of image {TAGS[FORMER]} did not come up"
    assert re.search(f"error: The smoke test failed.*{failed}", told)


def test_ctrl_c_goes_back_too(world):
    words = ("-m", "deployment.web_app", "--image", SILENT, "--timeout", "60", "--every", "0.1")
    inherited = {**os.environ, **world.environment}
    listening = ("import signal", "signal.signal(signal.SIGINT, signal.default_int_handler)")  # what nohup takes away
    program = "; ".join((*listening, f"import runpy, sys; sys.argv = {list(words[1:])!r}"))
    program += f"; runpy.run_module({words[1]!r}, run_name='__main__')"
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=world.root, env=inherited, stderr=subprocess.PIPE, text=True
    ) as started:
        while world.image() == FORMER and started.poll() is None:
            time.sleep(0.05)
        started.send_signal(signal.SIGINT)
        told = started.communicate(timeout=180)[1]

    assert (started.returncode, world.image()) == (1, FORMER)
    assert "It was interrupted. Its former image" in told


def test_a_first_deployment_that_fails_says_that_nothing_had_served(world):
    world.set(image="DOCKER|baseamlcr.azurecr.io/no-model:yet")

    told = world.deploy(SILENT, code=1)

    assert world.image() == "baseamlcr.azurecr.io/no-model:yet"
    assert "was put back; no model had answered before." in told


def test_the_same_image_that_fails_has_no_other_to_go_back_to(world):
    told = world.deploy(FORMER, code=1)

    assert world.changes() == []
    assert "It ran this image before, so there is no other to put back." in told


# -- what is deployed, and what is not ---

LATER = {"RELEASE_BUILD": "12"}


@pytest.mark.parametrize(
    ("runs", "image", "version"),
    [
        pytest.param(FORMER, FORMER, 1, id="the_same_digest"),
        pytest.param(RENAMED, NEW, 2, id="another_digest"),
    ],
)
def test_what_serves_already_is_seen_to_answer_and_not_deployed(world, runs, image, version):
    world.set(image=f"DOCKER|{runs}", deaf=2)
    world.model(version)
    world.tag("web-app-15", of=runs)

    told = world.deploy(image, **LATER)

    assert f"serves a-model version {version} of image {TAGS[image]}: nothing to deploy." in told
    assert world.changes() == []
    assert world.image() == runs
    assert world.calls("keyvault") == []  # no predictions were asked for


def test_an_equal_image_that_does_not_answer_is_deployed(world):
    world.set(image=f"DOCKER|{RENAMED}", gone=[RENAMED])

    world.deploy(NEW)

    assert world.image() == NEW


ORDER = [
    # tags of what serves, RELEASE_BUILD and GOING_BACK: what is said, and whether it is deployed
    pytest.param(["web-app-11"], ("12", "false"), "", True, id="higher"),
    pytest.param(["web-app-12"], ("12", "false"), "", True, id="the_same_build_again"),
    pytest.param(
        ["web-app-15"],
        ("12", "false"),
        "Build 12 is older than build 15, which was released before it: it is not deployed. "
        "To go back on purpose, start cd by hand with its modelBuildId; without one, cd brings the champion.",
        False,
        id="lower",
    ),
    pytest.param(["web-app-15"], ("12", "$(GOING_BACK)"), "older than build 15, ", False, id="nobody_said_back"),
    pytest.param(["web-app-15"], ("12", "True"), "Going back from build 15.", True, id="lower_going_back"),
    pytest.param(["web-app-15"], ("", ""), "", True, id="by_hand"),
    pytest.param(
        ["web-app-15"], ("twelve", ""), "RELEASE_BUILD is 'twelve': it must be the number", False, id="no_build"
    ),
]


@pytest.mark.parametrize(("tags", "release", "said", "deployed"), ORDER)
def test_a_later_build_is_replaced_by_an_older_one_only_on_purpose(world, tags, release, said, deployed):
    world.tag(*tags, of=FORMER)

    told = world.deploy(NEW, code=0 if deployed else 1, RELEASE_BUILD=release[0], GOING_BACK=release[1])

    assert said in told
    assert ("Going back" in told) == said.startswith("Going back")
    assert world.image() == (NEW if deployed else FORMER)
    assert len(world.changes()) == deployed


@pytest.mark.parametrize("runs", [FORMER, RENAMED, ABROAD])
def test_an_image_that_the_registry_has_no_more_has_no_number(world, runs):
    world.set(image=f"DOCKER|{runs}")
    world.forget(runs)

    world.deploy(NEW, **LATER)

    assert world.image() == NEW


# -- whether anything is to be deployed ---


@pytest.mark.parametrize(
    ("runs", "changed", "same"),
    [
        pytest.param(NEW, {}, "true", id="equal"),
        pytest.param(RENAMED, {}, "true", id="equal_under_another_digest"),
        pytest.param(NEW, {"deaf": 2}, "true", id="equal_and_late"),
        pytest.param(NEW, {"gone": [NEW]}, "false", id="equal_and_silent"),
        pytest.param(FORMER, {}, "false", id="another"),
        pytest.param(ABROAD, {}, "false", id="of_another_registry"),
    ],
)
def test_a_release_asks_first_whether_anything_is_to_be_deployed(world, runs, changed, same):
    world.set(image=f"DOCKER|{runs}", **changed)

    told = world.same(NEW)

    assert re.findall(r"^##vso.*$", told, re.MULTILINE) == [
        f"##vso[task.setvariable variable=SAME;isOutput=true]{same}"
    ]
    assert ("nothing to deploy." in told) == (same == "true")
    silent = runs in changed.get("gone", [])
    serves = "no model" if silent else f"a-model version 1 of image {TAGS[FORMER]}"
    assert (f"answers: {serves}. To be deployed: a-model version 2 of image {TAGS[NEW]}." in told) == (same == "false")
    assert world.changes() == []


def test_another_image_of_the_same_version_is_to_be_deployed(world):
    world.model(1)

    assert "SAME;isOutput=true]false" in world.same(SECOND)


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
        pytest.param({"identity": None}, f"`az webapp identity assign --ids {APP}` gives one", id="no_identity"),
        pytest.param(
            {"pulls": False},
            f"`az resource update --ids {APP}/config/web --set properties.acrUseManagedIdentityCreds=true`",
            id="pulls_with_a_password",
        ),
        pytest.param(
            {"roles": []},
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
        pytest.param({"key": " "}, "The secret scoring-key of base-AML-KV is empty: `python3 -c", id="empty_key"),
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
    assert world.changes() == []
    assert "Traceback" not in told


def test_a_failure_that_azure_remembers_is_asked_anew(world):
    world.set(status="SecretNotFound", refreshed="Resolved")

    world.deploy(NEW)

    assert world.image() == NEW


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "model.json names no model (FileNotFoundError"),
        ("no JSON", "model.json names no model (JSONDecodeError"),
        ("[]", "model.json names no model (TypeError"),
        ('{"name": "a-model"}', "model.json names no model (KeyError('version'))"),
    ],
    ids=["none", "no_json", "a_list", "no_version"],
)
def test_without_a_judged_version_nothing_is_asked(world, content, said):
    (world.root / "model.json").unlink()
    if content is not None:
        (world.root / "model.json").write_text(content, encoding="utf-8")

    assert f"error: {said}" in world.deploy(NEW, code=1)
    assert world.calls() == []


@pytest.mark.parametrize("image", ["", "baseamlcr.azurecr.io/a:latest", "docker.io/a@sha256:" + "a" * 64, NEW + "\n"])
def test_only_an_image_of_the_registry_by_its_digest_is_taken(world, image):
    assert "is no image by digest" in world.deploy(image, code=2)


@pytest.mark.parametrize("name", ["WEBAPP_DEPLOYMENT_NAME", "RESOURCE_GROUP", "BASE_NAME"])
def test_a_variable_that_the_group_lacks_is_named(world, name):
    assert f"error: {name} is missing" in world.deploy(NEW, code=1, **{name: f"$({name})"})


# -- the image ---


def digest_of(tag):
    """Return which digest the stand-in gives an image that is built."""
    return f"sha256:{hashlib.sha256(f'IMAGE_ID={tag}'.encode()).hexdigest()}"


def test_an_image_is_built_in_the_registry_and_named_by_its_digest(world):
    world.set(repositories={})

    told = world.build("--output", "image.txt", RELEASE_BUILD="7")

    (build,) = world.calls("acr", "build")
    (tag,) = re.findall(r" IMAGE_ID=(v2-[0-9a-f]{40}) ", build)
    image = f"baseamlcr.azurecr.io/a-slug-scoring@{digest_of(tag)}"
    assert world.repositories() == {"a-slug-scoring": {tag: digest_of(tag)}}
    assert " --platform linux/amd64 --no-wait outputs/scoring-image " in build
    assert (world.root / "image.txt").read_text() == f"{image}\n"
    assert f"##vso[task.setvariable variable=IMAGE;isOutput=true]{image}\n" in told
    assert "Step 1/9" in told


def test_an_image_of_the_same_content_is_not_built_again(world):
    world.build("--output", "first.txt")
    before = world.repositories()

    told = world.build("--output", "second.txt")

    assert len(world.calls("acr", "build")) == 1
    assert "already: nothing to build." in told
    assert (world.root / "second.txt").read_text() == (world.root / "first.txt").read_text()
    assert world.repositories() == before


def test_only_a_change_to_what_serves_builds_another_image(world, described):
    source = f"src/{described.answers['package_name']}"
    world.build()

    edit(world.root, f"{source}/train.py", '"""', '"""A word. ')
    world.build()
    assert len(world.calls("acr", "build")) == 1
    edit(world.root, f"{source}/app.py", '"""', '"""A word. ')
    world.build()
    assert len(world.calls("acr", "build")) == 2


# -- the number of what serves ---


def numbered(world, tag):
    return world.repositories()["a-slug-scoring"].get(tag)


def test_an_image_gets_its_number_when_it_is_deployed_and_not_before(world):
    world.same(NEW, RELEASE_BUILD="12")
    assert numbered(world, "web-app-12") is None

    world.deploy(NEW, RELEASE_BUILD="12")
    world.deploy(NEW, RELEASE_BUILD="12")

    assert numbered(world, "web-app-12") == NEW.partition("@")[2]
    assert len(world.calls("acr", "import")) == 1


def test_what_serves_already_is_of_the_later_build_from_then_on(world):
    world.model(1)
    world.same(FORMER, RELEASE_BUILD="15")
    world.model(2)

    told = world.deploy(NEW, code=1, RELEASE_BUILD="12")

    assert "Build 12 is older than build 15, " in told
    assert numbered(world, "web-app-12") is None


def test_a_number_that_names_another_image_is_moved(world):
    world.tag("web-app-12", of=FORMER)

    world.deploy(NEW, RELEASE_BUILD="12")

    assert numbered(world, "web-app-12") == NEW.partition("@")[2]


def test_an_image_that_cannot_get_its_number_is_not_deployed(world):
    world.set(failing=["acr import"])

    assert "error: az acr import --name: Forbidden" in world.deploy(NEW, code=1, RELEASE_BUILD="12")
    assert world.changes() == []


def test_by_hand_no_image_gets_a_number(world):
    world.deploy(NEW, RELEASE_BUILD="$(RELEASE_BUILD)")

    assert world.calls("acr", "import") == []


def test_a_model_that_lies_elsewhere_is_what_gets_into_the_image(world, tmp_path):
    (world.root / "outputs" / "serving").rename(tmp_path / "elsewhere")

    world.build("--folder", tmp_path / "elsewhere")

    assert (world.root / "outputs" / "scoring-image" / "serving" / "model" / "MLmodel").exists()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"run": {"runId": "ca1", "status": "Failed", "outputImages": [PUSHED]}}, "the registry ended with Failed"),
        ({"run": {"runId": "ca1", "status": "Failed", "outputImages": None}}, "the registry ended with Failed"),
        ({"run": {"runId": "ca1", "status": "Succeeded", "outputImages": []}}, "and pushed no image"),
        ({"failing": ["acr build"]}, "error: az acr build --registry: Forbidden"),
        ({"failing": ["acr repository list"]}, "error: az acr repository list: Forbidden"),
        ({"failing": ["acr task logs"]}, "error: az acr task logs failed"),
    ],
    ids=["build_failed", "build_failed_early", "nothing_pushed", "refused", "no_list", "no_log"],
)
def test_a_build_that_fails_names_no_image(world, changed, said):
    world.set(**changed)

    told = world.build(code=1)

    assert said in told
    assert "Traceback" not in told
    assert not (world.root / "image.txt").exists()
    assert "##vso" not in told


def test_a_run_that_names_no_digest_is_refused(world):
    pushed = {**PUSHED, "digest": "latest\n##vso[x]"}
    world.set(run={"runId": "ca1", "status": "Succeeded", "outputImages": [pushed]})

    told = world.build(code=1)

    assert "error: The registry names no digest" in told
    assert "\n##vso" not in told
    assert not (world.root / "image.txt").exists()


def test_without_a_model_nothing_is_built(world):
    (world.root / "outputs" / "serving" / "model.json").unlink()

    assert "holds no model: `python -m ml_service.fetch --output outputs/serving`" in world.build(code=1)
    assert world.calls() == []


# -- the files ---


def test_the_image_holds_what_is_locked_the_package_and_the_model(described):
    text = (described.path / "deployment" / "image" / "Dockerfile").read_text("utf-8")
    ignored = (described.path / ".dockerignore").read_text("utf-8").splitlines()

    copied = re.findall(r"^COPY (\S+) \S+$", text, re.MULTILINE)
    assert copied == ["requirements/score.txt", described.answers["package_name"], "serving"]
    assert [line for line in ignored if line[0] != "#"] == ["*", "!requirements", "**/__pycache__", "**/.env"]
    assert not list(described.path.glob("*/*.dockerignore"))
    assert re.search(r"^ARG IMAGE_ID\nENV IMAGE_ID=\$\{IMAGE_ID\}$", text, re.MULTILINE)
    assert re.search(r"^ARG BASE_IMAGE=\S+:\d+\.\d+\.\d+-\S+@sha256:[0-9a-f]{64}$", text, re.MULTILINE)
    assert text.count("pip") == text.count("--require-hashes") + 2
    assert re.search(r"^USER [1-9]\d+:[1-9]\d+$", text, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["python", "-m", "\w+\.app", .*"--port", "8080"\]$', text, re.MULTILINE)


def test_programs_of_deployment_pass_the_strictest_checks(described):
    words = ("--strict", "--explicit-package-bases", "--no-incremental", "deployment", "environment_setup")

    run(BIN / "mypy", *words, cwd=described.path)
