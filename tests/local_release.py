"""Where releases go on this machine: what was pushed to the registry is what runs, and really answers."""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import local_aci
import local_az
import local_cluster
from local_cluster import KEY
from local_kubectl import TOKEN

from azureml_emulator import tokens


class Services:
    """The scoring service of each image that is asked for, started from what was staged for it, by its own code."""

    def __init__(self, folder: Path, python: Path, package: str) -> None:
        self.folder, self.python, self.package = folder, python, package
        self.running: dict[str, tuple[subprocess.Popen, str]] = {}
        self.lock = threading.Lock()

    def azure(self) -> dict:
        return json.loads((self.folder / "azure.json").read_text("utf-8"))

    def address(self, image: str) -> str | None:
        """Return where the service of an image by digest listens; None if the registry never had it."""
        digest = image.partition("@")[2]
        context = self.folder / digest.partition(":")[2]
        with self.lock:
            if digest and context.is_dir() and digest not in self.running:
                command = [self.python, "-m", f"{self.package}.app", "--folder", "serving", "--port", "0"]
                environment = {**os.environ, "SCORING_KEYS": KEY, "IMAGE_ID": self.azure()["ids"][digest]}
                process = subprocess.Popen(
                    [str(word) for word in command], cwd=context, env=environment, stdout=subprocess.PIPE, text=True
                )
                assert process.stdout is not None
                self.running[digest] = process, process.stdout.readline().strip().rpartition(" on ")[2]
                threading.Thread(target=process.stdout.read, daemon=True).start()
            return self.running[digest][1] if digest in self.running else None

    def ask(self, image: str, path: str, body: bytes, authorization: str | None) -> tuple[int, bytes]:
        """Pass a request on, and return status and body of the answer."""
        address = self.address(image)
        if address is None:
            return 503, b"{}"
        headers = {"Authorization": authorization} if authorization else {}
        request = urllib.request.Request(f"{address}{path}", body or None, headers)  # noqa: S310
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answered:
                return answered.status, answered.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def close(self) -> None:
        for process, _ in self.running.values():
            process.terminate()


class Gateway(local_cluster.Gateway):
    """The gateway of the cluster, with pods that run what their Deployment says."""

    def __init__(self, services: Services, cluster: local_cluster.Cluster, folder: Path) -> None:
        self.services = services
        super().__init__(cluster, folder)
        self.RequestHandlerClass = Pods


class Pods(local_cluster.Handler):
    server: Gateway

    def serve(self, held: dict, target: dict, *, by_header: bool, body: bytes) -> None:
        colour = local_cluster.colour_of(target)
        runs = held["objects"].get(f"Deployment/{target['destination']['host']}")
        (container,) = runs["spec"]["template"]["spec"]["containers"] if runs else [{"image": ""}]
        status, told = self.server.services.ask(container["image"], self.path, body, self.headers["authorization"])
        self.answer(status, json.loads(told), **colour)


class WebApp(local_cluster.Https):
    """The front of App Service, before the image that the Web App is set to."""

    def __init__(self, services: Services, folder: Path) -> None:
        self.services = services
        super().__init__(folder, WebAppHandler)


class WebAppHandler(local_cluster.Handler):
    server: WebApp

    def route(self, body: bytes) -> None:
        image = self.server.services.azure()["image"].removeprefix("DOCKER|")
        status, told = self.server.services.ask(image, self.path, body, self.headers["authorization"])
        self.answer(status, json.loads(told))


class Internet(ThreadingHTTPServer):
    """A proxy for http, behind which is the container group and nothing else."""

    daemon_threads = True

    def __init__(self, services: Services) -> None:
        self.services = services
        super().__init__(("127.0.0.1", 0), GroupHandler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class GroupHandler(local_cluster.Handler):
    server: Internet

    def route(self, body: bytes) -> None:
        image = local_aci.runs(self.server.services.azure()) or ""
        path = urlsplit(self.path).path
        status, told = self.server.services.ask(image, path, body, self.headers["authorization"])
        self.answer(status, json.loads(told))


class Azure:
    """Registry, Web App, cluster and vault of a project. ``programs`` holds az and kubectl."""

    def __init__(self, baked, folder: Path, python: Path, subscription: str) -> None:
        folder.mkdir()
        self.folder = folder
        self.programs = local_cluster.install(folder, subscription)
        self.cluster = local_cluster.Cluster(folder)
        self.services = Services(folder, python, baked.answers["package_name"])
        self.gateway = Gateway(self.services, self.cluster, folder)
        self.web_app = WebApp(self.services, folder)
        self.internet = Internet(self.services)
        self.certificate = self.gateway.certificate
        token = tokens.issue("t", "connection", 36000, aud="https://management.azure.com")
        login = {"accessToken": token, "expires_on": int(time.time()) + 36000, "tokenType": "Bearer"}
        base = baked.answers["base_name"]
        state = {
            **local_az.NOTHING,
            "guide": str(baked.path / "docs" / "infrastructure.md"),
            "subscription": subscription,
            "token": login,
            "token of the cluster": TOKEN,
            "keys": f"{KEY} another-key",
            "vault": f"{base}-AML-KV",
            "host": self.web_app.host,
            "settings": {"SCORING_KEYS": f"@Microsoft.KeyVault(VaultName={base}-AML-KV;SecretName=scoring-key)"},
            "identities": {f"{base}-AML-ACI": "identity-of-the-group"},
            "roles": {identity: [local_az.ACR_PULL] for identity in ("an-identity", "identity-of-the-group")},
        }
        (folder / "azure.json").write_text(json.dumps(state), encoding="utf-8")
        script = f'#!/bin/sh\nexec {sys.executable} -IS {local_az.__file__} {folder} "$@"\n'
        (self.programs / "az").write_text(script, encoding="utf-8")

    def close(self) -> None:
        self.services.close()
        for server in (self.gateway, self.web_app, self.internet):
            server.shutdown()
            server.server_close()
