"""Each target of a release on this machine: programs of the project, a stand-in for `az`, and what serves there.

What a target is set to decides what answers: ``SERVES`` says which version, whether it predicts, and which image it
says that it is.
"""

import http.server
import json
import os
import re
import ssl
import subprocess
import sys
import threading
import time
from http import HTTPStatus
from pathlib import Path
from typing import ClassVar, NamedTuple

import local_aci
import local_az
import local_cluster
import local_kubectl
from conftest import run
from local_kubectl import Cluster
from local_pipelines import edit, repository

APP = f"{local_az.GROUP}/providers/Microsoft.Web/sites/an-app"
REGISTRY = f"{local_az.REGISTRY}/baseamlcr"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
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
NOTHING = (None, False, None)

EXAMPLE = {"application/json": {"schema": {"example": {"data": [[1.0], [2.0]]}}}}
DESCRIPTION = {"info": {"version": "2"}, "paths": {"/score": {"post": {"requestBody": {"content": EXAMPLE}}}}}
# The real one takes seconds to start; here it matters what it is told, and what its failing does.
SMOKE_TEST = """
import os, sys, urllib.request
address = sys.argv[sys.argv.index("--url") + 1]
headers = {"Authorization": f"Bearer {os.environ['SCORING_KEY']}"}
urllib.request.urlopen(urllib.request.Request(f"{address}/score", data=b"{}", headers=headers), timeout=10)
"""


class World(NamedTuple):
    """A copy of the project, a stand-in for Azure, and a target in it."""

    target: str
    root: Path
    folder: Path
    environment: dict[str, str]

    def read(self):
        return json.loads((self.folder / "azure.json").read_text())

    def set(self, **changed):
        unfinished = self.folder / "azure.set"
        unfinished.write_text(json.dumps({**self.read(), **changed}))
        unfinished.replace(self.folder / "azure.json")

    # -- the registry ---

    def repositories(self):
        return self.read()["repositories"]

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

    def numbered(self, number):
        return self.repositories()["a-slug-scoring"].get(f"{TARGETS[self.target].tag}-{number}")

    # -- the target ---

    def has(self, image):
        """Let the target serve an image already; None: nothing was ever released."""
        TARGETS[self.target].has(self, image)

    def image(self):
        return TARGETS[self.target].image(self)

    def changes(self):
        return TARGETS[self.target].changes(self)

    # -- programs ---

    def model(self, version):
        (self.root / "model.json").write_text(json.dumps({"name": "a-model", "version": version}), encoding="utf-8")

    def calls(self, *beginning):
        file = self.folder / "calls"
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [" ".join(words) for words in lines if tuple(words[: len(beginning)]) == beginning]

    def deploy(self, image, *more, code=0, python=sys.executable, **environment):
        words = ("-m", "deployment.release", self.target, "--image", image, "--timeout", "1", "--every", "0.02", *more)
        return run(python, *words, cwd=self.root, code=code, **{**self.environment, **environment})

    def same(self, image, *more, code=0, **environment):
        """Ask whether anything is to be deployed, in a job without packages."""
        words = ("-S", "-m", "deployment.release", self.target, "same", "--every", "0.02", *more)
        given = {**self.environment, "IMAGE": image, **environment}
        return run(sys.executable, *words, cwd=self.root, code=code, **given)

    def cancel(self, image, when):
        """Begin a deployment, cancel it as soon as this is true, and return how it ended and what it said."""
        words = ["deployment.release", self.target, "--image", image, "--timeout", "60", "--every", "0.1"]
        inherited = {**os.environ, **self.environment}
        command = [sys.executable, "-u", "-m", *words]
        out = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        with subprocess.Popen(command, cwd=self.root, env=inherited, **out) as started:
            while not when() and started.poll() is None:
                time.sleep(0.05)
            started.terminate()
            told = started.communicate(timeout=180)[0]
        return started.returncode, told

    def build(self, *more, code=0, **environment):
        words = ("-m", "deployment.image.build", *more)
        return run(sys.executable, *words, cwd=self.root, code=code, **{**self.environment, **environment})


class WebApp:
    tag = "web-app"

    def has(self, world, image):
        world.set(image=f"DOCKER|{image or 'baseamlcr.azurecr.io/no-model:yet'}")

    def image(self, world):
        found = world.read()["image"].removeprefix("DOCKER|")
        return None if found.endswith("/no-model:yet") else found

    def changes(self, world):
        return world.read()["sets"]

    def pace(self, world):
        """Ask as often as elsewhere."""


class ContainerGroup:
    tag = "aci"

    def has(self, world, image):
        group = image and json.loads(json.dumps(GROUP).replace("IMAGE", image))
        world.set(group=group, left=0)

    def image(self, world):
        group = world.read()["group"]
        return group and group["properties"]["containers"][0]["properties"]["image"]

    def changes(self, world):
        return world.read()["restarts"]

    def pace(self, world):
        edit(world.root, "deployment/aci/container_group.py", "PAUSE = 10.0", "PAUSE = 0.01")


class Service:
    """A service on AKS. Its first objects are made by the project's own manifests, once for all tests."""

    tag = "aks"
    objects: ClassVar[dict] = {}

    def has(self, world, image):
        cluster = Cluster(world.folder)
        if image and not self.objects:
            words = "from deployment.aks.rolling_update import opened as to\n"
            words += f"with to() as it: it.put(it.wanted({image!r}))"
            run(sys.executable, "-S", "-c", words, cwd=world.root, **world.environment)
            self.objects.update(cluster.read()["objects"])
        if not cluster.deployments() or not image:
            cluster.change(objects=self.objects if image else {}, fails={}, applies=0)
        if image:
            cluster.release(image, "3")
        cluster.change(applies=0)

    def image(self, world):
        return next((local_kubectl.image(one) for one in Cluster(world.folder).deployments()), None)

    def changes(self, world):
        return Cluster(world.folder).read().get("applies", 0)

    def pace(self, world):
        edit(world.root, "deployment/aks/cluster.py", "SECONDS_BETWEEN = 5", "SECONDS_BETWEEN = 0")


TARGETS = {"web_app": WebApp(), "aci": ContainerGroup(), "aks": Service()}
IDENTITY = f"{local_aci.GROUP}/Microsoft.ManagedIdentity/userAssignedIdentities/base-AML-ACI"
# What another release of this project has put.
GROUP = {
    "location": local_aci.REGION,
    "tags": {"project": "a-slug", "settings": "of-another-commit", "build": "3"},
    "identity": {"type": "UserAssigned", "userAssignedIdentities": {IDENTITY: {}}},
    "properties": {
        "osType": "Linux",
        "restartPolicy": "Always",
        "imageRegistryCredentials": [{"server": "baseamlcr.azurecr.io", "identity": IDENTITY}],
        "ipAddress": {"type": "Public", "dnsNameLabel": "a-group", "ports": [{"port": 8080, "protocol": "TCP"}]},
        "diagnostics": {"logAnalytics": {"workspaceId": "id-of-the-logs", "workspaceKey": "key-of-the-logs"}},
        "containers": [
            {
                "name": "scoring",
                "properties": {
                    "image": "IMAGE",
                    "ports": [{"port": 8080}],
                    "resources": {"requests": {"cpu": 1, "memoryInGB": 1.5}},
                    "environmentVariables": [{"name": "SCORING_KEYS", "secureValue": f"{KEY} the-next-one"}],
                },
            }
        ],
    },
}


def runs(world):
    """Return the image that would answer, if any container does."""
    if world.target == "aci":
        return local_aci.runs(world.read())
    return world.image()


class Handler(http.server.BaseHTTPRequestHandler):
    """What answers at a target. ACI's address is asked by way of a proxy, so that its name may be anything."""

    def answer(self, status, body):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def do_GET(self):
        world, now = self.server.world, self.server.world.read()
        image, path = runs(world), re.sub(r"^http://[^/]+", "", self.path)
        if now["strange"] and image == SILENT:
            return self.strange(now["strange"])
        if now["meanwhile"] and image != FORMER:
            world.has(now["meanwhile"])
        if now["deaf"]:
            world.set(deaf=now["deaf"] - 1)
        if now["stumbles"] and image == NEW:  # good, not, good, good, ...
            world.set(stumbles=now["stumbles"] - 1)
        if now["deaf"] or image in now["silent"] or (image == NEW and now["stumbles"] % 2):
            return self.answer(HTTPStatus.SERVICE_UNAVAILABLE, {"error": "no container"})
        version, _, says = SERVES.get(image, NOTHING)
        if version is not None and path.startswith("/swagger.json"):
            return self.answer(HTTPStatus.OK, DESCRIPTION)
        if version is None or path != "/healthz":
            return self.answer(HTTPStatus.SERVICE_UNAVAILABLE, {"error": "no container"})
        told = {"status": "healthy", "model": "a-model", "version": version, "image": TAGS[says]}
        return self.answer(HTTPStatus.OK, told)

    def strange(self, how):
        """Answer a little at a time; send away to where the wanted model is; or as a model of a name that commands."""
        self.send_response(HTTPStatus.FOUND if how == "elsewhere" and self.path == "/healthz" else HTTPStatus.OK)
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        name = "x\n###vso[task.complete result=Succeeded;]" if how == "commands" else "a-model"
        told = {"status": "healthy", "model": name, "version": 2, "image": TAGS[SILENT]}
        for byte in b" " * 60 if how == "drips" else json.dumps(told).encode():
            self.wfile.write(bytes([byte]))
            if how == "drips":
                time.sleep(1)

    def do_POST(self):
        now = self.server.world.read()
        _, predicts, _ = SERVES.get(runs(self.server.world), NOTHING)
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if now["refuses"]:
            status = now["refuses"][0]
            self.server.world.set(refuses=now["refuses"][1:])
            return self.answer(status, {})
        keys = local_aci.keys(now) if self.server.world.target == "aci" else now["keys"]
        allowed = self.headers["Authorization"] in [f"Bearer {key}" for key in keys.split()]
        status = HTTPStatus.UNAUTHORIZED if not allowed else HTTPStatus.OK if predicts else HTTPStatus.BAD_GATEWAY
        return self.answer(status, {"result": [1.0 for _ in sent.get("data", [])]})

    def log_message(self, *_):
        pass


def world(target, described, files, folder):
    """Yield a target that serves ``FORMER``."""
    root = repository(described, folder / "repository", without=("tests", "docs", "ml_service"))
    package = root / "src" / described.answers["package_name"]
    (package / "smoke_test.py").write_text(SMOKE_TEST, encoding="utf-8")
    (root / "model.json").write_text('{"name": "a-model", "version": 2}', encoding="utf-8")
    model = root / "outputs" / "serving" / "model"
    model.mkdir(parents=True)
    (model / "MLmodel").touch()
    (model.parent / "model.json").write_text('{"name": "a-model", "version": 2}', encoding="utf-8")
    if target == "aks":
        tools = local_cluster.install(folder, "s")
    else:
        (tools := folder / "tools").mkdir()
    script = f'#!/bin/sh\nexec {sys.executable} -IS {local_az.__file__} {folder} "$@"\n'
    (tools / "az").write_text(script, encoding="utf-8")
    (tools / "az").chmod(0o755)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    environment = {
        "BASE_NAME": "base",
        "PROJECT": "a-slug",
        "RESOURCE_GROUP": "mlops-RG",
        "SCORING_IMAGE_NAME": "a-slug-scoring",
        "WEBAPP_DEPLOYMENT_NAME": "an-app",
        "ACI_DEPLOYMENT_NAME": "a-group",
        "PATH": f"{tools}:{os.environ['PATH']}",
        "TF_BUILD": "True",
        "BUILD_BUILDID": "7",
    }
    if target == "aci":
        environment |= {"http_proxy": f"http://127.0.0.1:{server.server_port}", "no_proxy": "", "NO_PROXY": ""}
    else:
        environment |= {"SSL_CERT_FILE": str(files[1]), "no_proxy": "localhost", "NO_PROXY": "localhost"}
        environment |= {"AKS_HOST": f"localhost:{server.server_port}", "AKS_COMPUTE_NAME": "a-cluster"}
        environment["AKS_DEPLOYMENT_NAME"] = local_kubectl.NAMESPACE
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files[1], files[0])
        # a handshake that a client breaks off must hold up no other: it is done in the thread of its request
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    if target == "aks":
        environment["PROJECT"] = described.answers["project_slug"]  # the name of what its manifests declare
    made = World(target, root, folder, environment)
    state = {
        **local_az.NOTHING,
        "guide": str(described.path / "docs" / "infrastructure.md"),
        "host": f"localhost:{server.server_port}",
        "keys": f"{KEY} the-next-one",
        "repositories": HELD,
        "settings": {"SCORING_KEYS": REFERENCE, "OTHER": "a secret of somebody"},
        "token of the cluster": local_kubectl.TOKEN,
        "roles": {"an-identity": [READER, local_az.ACR_PULL], "identity-of-the-group": [local_az.ACR_PULL]},
        **{"silent": [], "deaf": 0, "stumbles": 0, "meanwhile": None, "refuses": [], "strange": ""},
    }
    (folder / "azure.json").write_text(json.dumps(state), encoding="utf-8")
    TARGETS[target].pace(made)
    made.has(FORMER)
    server.world = made
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield made
    server.shutdown()
    server.server_close()
