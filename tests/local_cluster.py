"""A Kubernetes cluster with Istio's gateway on this machine: it serves from what the stand-in for kubectl was told."""

import json
import random
import shutil
import ssl
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import local_kubectl
from conftest import run
from local_kubectl import TOKEN, Cluster

KEY = "key-of-the-service"
ROWS = [[1.0, 2.0], [3.0, 4.0]]


class Https(ThreadingHTTPServer):
    """HTTPS on a free port of localhost, with the certificate that lies in a folder, or is made there."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, folder: Path, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.certificate = folder / "certificate.pem"
        made = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
        names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
        files = ("-keyout", folder / "key.pem", "-out", self.certificate)
        if not self.certificate.exists():
            run("openssl", "req", "-x509", *made, *names, *files)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, folder / "key.pem")
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def host(self) -> str:
        return f"localhost:{self.server_port}"

    def handle_error(self, *_) -> None:
        """Clients may go away."""


class Gateway(Https):
    """The gateway of a cluster: each request goes where the VirtualService sends it.

    `refuses` has for an image what its next answers are, by status; `meanwhile` what happens before one answers once.
    """

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.random = cluster, random.Random(3)  # noqa: S311
        self.refuses: dict[str, list[int]] = {}
        self.meanwhile: dict[str, Callable[[], object]] = {}
        super().__init__(folder, Handler)


def colour_of(target: dict) -> dict[str, str]:
    """Return the header by which an answer tells its colour, if it has one."""
    return target.get("headers", {}).get("response", {}).get("set", {})


class Handler(BaseHTTPRequestHandler):
    server: Gateway

    def do_GET(self) -> None:
        self.route(b"")

    def do_POST(self) -> None:
        self.route(self.rfile.read(int(self.headers["content-length"])))

    def route(self, body: bytes) -> None:
        held = self.server.cluster.read()
        kinds = {one["kind"]: one for one in held["objects"].values()}
        if "VirtualService" not in kinds or self.server.host not in kinds["Gateway"]["spec"]["servers"][0]["hosts"]:
            return self.answer(404, {})
        for route in kinds["VirtualService"]["spec"]["http"]:
            wanted = route["match"][0].get("headers", {}).get("x-api-version", {}).get("exact")
            if wanted in (None, self.headers["x-api-version"]):
                targets = route["route"]
                (target,) = self.server.random.choices(targets, [one.get("weight", 1) for one in targets])
                return self.serve(held, target, by_header=bool(wanted), body=body)
        return self.answer(404, {})

    def serve(self, held: dict, target: dict, *, by_header: bool, body: bytes) -> None:
        colour = colour_of(target)
        runs = held["objects"].get(f"Deployment/{target['destination']['host']}")
        if not runs or not runs["status"]["availableReplicas"]:
            return self.answer(503, {}, **colour)
        image = local_kubectl.image(runs)
        self.server.meanwhile.pop(image, lambda: None)()
        if self.server.refuses.get(image):
            return self.answer(self.server.refuses[image].pop(0), {}, **colour)
        healthy = held.get("images", {}).get(image) or {"version": int(image.partition("@sha256:")[2], 16)}
        runs = local_kubectl.release(runs)
        shares = f"{len(self.server.cluster.serving())} {runs}" if colour else runs
        if not by_header and held["fails"].get("hangs") == shares:
            time.sleep(60)
        if not by_header and held["fails"].get("serving") == shares:
            return self.answer(500, {}, **colour)
        if self.path == "/score":
            allowed = self.headers["authorization"] == f"Bearer {KEY}" and json.loads(body) == {"data": ROWS}
            return self.answer(200 if allowed else 401, {"result": [0.5, 1.5]}, **colour)
        content = {"application/json": {"schema": {"example": {"data": ROWS}}}}
        described = {"paths": {"/score": {"post": {"requestBody": {"content": content}}}}}
        if held["fails"].get("model") == runs:
            healthy |= {"version": healthy["version"] - 1}
        pages = {"/healthz": {"status": "healthy", **healthy}, "/swagger.json": described}
        return self.answer(200, pages[self.path], **colour)

    def answer(self, status: int, content: dict, **headers: str) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        """Keep quiet."""


# -- the programs ---


# What az writes where a cluster has no local accounts: a login that asks a person to type a code.
SETTINGS = """apiVersion: v1
kind: Config
current-context: a-cluster
contexts: [{name: a-cluster, context: {cluster: a-cluster, user: a-user}}]
clusters: [{name: a-cluster, cluster: {server: "https://a-cluster.example.com:443"}}]
users:
- name: a-user
  user: {exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: kubelogin, args: [--login, devicecode]}}
"""
REPOSITORY = ("uniqueamlcr", "diabetes-regression-scoring")


def install(folder: Path, subscription: str) -> Path:
    """Write stand-ins for az and kubectl, and return their folder. A line of `tags` beside it is a tag of an image."""
    programs = folder / "programs"
    programs.mkdir()
    (folder / "settings").write_text(SETTINGS, encoding="utf-8")
    (folder / "tags").touch()
    registry, repository = REPOSITORY
    kubectl = shutil.which("kubectl")
    scripts = {
        "az": f"""case "$*" in
  'account show --query id --output tsv') echo {subscription} ;;
  'account get-access-token --resource 6dae42f8-4368-4678-94ff-3960e28e3630 --query accessToken '*) echo '"{TOKEN}"' ;;
  'aks get-credentials --resource-group '*) [ "$7" = --file ] && cp {folder}/settings "$8"; echo Merged. ;;
  'acr repository list --name {registry} '*) echo '["{repository}"]' ;;
  'acr repository show-tags --name {registry} --repository {repository} --detail '*)
    echo "[$(paste -sd, {folder}/tags)]" ;;
  'acr show --name {registry} '*) echo '{{"id": "id-of-the-registry"}}' ;;
  'acr import --name {registry} --registry id-of-the-registry --source '*' --image '*' --force '*)
    echo "{{\\"name\\": \\"${{10#*:}}\\", \\"digest\\": \\"${{8#*@}}\\"}}" >> {folder}/tags ;;
  'keyvault secret show --vault-name '*'-AML-KV --name scoring-key '*) echo '{{"value": "{KEY} another-key"}}' ;;
  *) echo "az $*: not expected" >&2; exit 2 ;;
esac""",
        "kubectl": f"""case "$1" in kustomize|config) exec {kubectl} "$@" ;; esac
exec {sys.executable} -I {local_kubectl.__file__} {folder} {kubectl} "$@\"""",
    }
    for name, script in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (programs / name).chmod(0o755)
    return programs
