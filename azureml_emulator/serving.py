"""Deployed services, really served: what was posted is unpacked into an empty folder, and the real server starts there.

The layout, /var/azureml-app in Azure's containers: learn.microsoft.com/azure/machine-learning/how-to-deploy-and-where
(v1), "AZUREML_MODEL_DIR"; azureml_inference_server_http.server.config reads the variables.
"""

import contextlib
import http.client
import io
import shutil
import socket
import subprocess
import tarfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .launchers import SYSTEM_PATH, kill
from .routes import Refusal, Reply, Request
from .services import artifacts, models
from .state import State
from .storage import new_id

SECONDS = 60
# azureml_inference_server_http.__main__ does this, but listens on all addresses
START = "from azureml_inference_server_http.amlserver_linux import run; run('127.0.0.1', {port}, {workers})"
OF_ONE_HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "host"}


class NotServed(Exception):  # noqa: N818 - the outcome of an operation
    """The service did not come up; the message says why."""


@dataclass(frozen=True)
class Server:
    """One process that serves, and its folder."""

    process: "subprocess.Popen[bytes]"
    port: int
    folder: Path

    def stop(self) -> None:
        kill(self.process.pid)
        self.process.wait()
        shutil.rmtree(self.folder / "app", ignore_errors=True)  # the log stays


class Serving:
    """The servers by name of service. A new one is up before the former one is stopped."""

    def __init__(self, state: State, python: str) -> None:
        self._state, self._python = state, python
        self._servers: dict[str, Server] = {}
        self._logs: dict[str, Path] = {}
        self._lock, self._starting = threading.Lock(), threading.Lock()
        self._closed = False

    def replace(self, name: str, request: dict[str, Any]) -> None:
        """Serve what was posted, or raise `NotServed`, and leave the former server as it is."""
        server = self._start(name, request)
        with self._lock:
            former = self._servers.pop(name, None)
            if self._closed:
                former, server = server, former  # type: ignore[assignment]
            else:
                self._servers[name] = server
        if former:
            former.stop()

    def ensure(self, name: str, request: dict[str, Any]) -> None:
        """Serve what was posted unless it is served: an emulator that goes on with its state has no servers yet."""
        with self._starting:
            if name not in self._servers:
                self.replace(name, request)

    def stop(self, name: str) -> None:
        with self._lock:
            server = self._servers.pop(name, None)
        if server:
            server.stop()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            servers = list(self._servers.values())
            self._servers.clear()
        for server in servers:
            server.stop()

    def log(self, name: str) -> str:
        """Return what the newest server of a service has printed, be it up or not."""
        path = self._logs.get(name)
        return path.read_text(encoding="utf-8", errors="replace") if path and path.exists() else ""

    def forward(self, name: str, request: Request, path: str) -> Reply:
        """Let the server of a service answer."""
        server = self._servers.get(name)
        if server is None:
            raise Refusal(502, "BadGateway", f"Service {name} is not up.")
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
        sent = {key: value for key, value in request.headers.items() if key.lower() not in OF_ONE_HOP}
        target = f"{path}?{request.query_string}" if request.query_string else path
        try:
            connection.request(request.method, target, request.body, sent)
            answer = connection.getresponse()
            got = {key: value for key, value in answer.getheaders() if key.lower() not in OF_ONE_HOP}
            return Reply(answer.read(), answer.status, got)
        except (OSError, http.client.HTTPException) as error:
            raise Refusal(502, "BadGateway", f"Service {name} did not answer: {error!r}") from error
        finally:
            connection.close()

    def _start(self, name: str, request: dict[str, Any]) -> Server:
        folder = self._state.folder / "serving" / f"{name}-{new_id()[:8]}"
        variables = self._unpack(request, folder / "app")
        self._logs[name] = folder / "log.txt"
        port = _free_port()
        start = START.format(port=port, workers=int(variables.get("WORKER_COUNT", 1)))
        with self._logs[name].open("wb") as log:
            process = subprocess.Popen(
                [self._python, "-c", start],
                cwd=folder / "app",
                env={**variables, "SERVICE_NAME": name, "WORKSPACE_NAME": self._state.workspace.name},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        server = Server(process, port, folder)
        try:
            self._wait(server)
        except NotServed:
            server.stop()
            raise
        return server

    def _wait(self, server: Server) -> None:
        """Wait until the liveness probe is answered: GET / of azureml_inference_server_http.server.routes."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline and not self._closed:
            if (code := server.process.poll()) is not None:
                raise NotServed(f"The container ended with exit code {code}: its log says why.")
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=1)
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection.request("GET", "/")
                if connection.getresponse().status == 200:
                    return
            connection.close()
            time.sleep(0.05)
        raise NotServed(f"The container was not healthy after {SECONDS} s.")

    def _unpack(self, request: dict[str, Any], root: Path) -> dict[str, str]:
        """Lay out code and model, and return the variables of the container."""
        root.mkdir(parents=True)
        for asset in request["assets"]:
            content = self._state.blobs.read(asset_key(self._state, asset))
            if asset.get("unpack"):
                with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                    archive.extractall(root, filter="data")
            else:
                (root / Path(asset["id"]).name).write_bytes(content)
        folders = [self._fetch(model, root / "azureml-models") for model in request["modelIds"]]
        return {
            "LANG": "C.UTF-8",
            "PATH": f"{Path(self._python).parent}:{SYSTEM_PATH}",
            "HOME": str(root),
            **(request["environment"].get("environmentVariables") or {}),
            "AML_APP_ROOT": str(root),
            "AML_APP_INSIGHTS_ENABLED": "false",
            "AZUREML_MODEL_DIR": str(folders[0] if len(folders) == 1 else root / "azureml-models"),
        }

    def _fetch(self, model: str, root: Path) -> Path:
        """Put a model's files below its name and number, in the folder that they were registered as."""
        name, _, number = model.rpartition(":")
        place = models.prefix(self._state, name, number)
        folder = root / name / number
        self._state.blobs.fetch(place, folder / place.rpartition("/")[2])
        return folder


def asset_key(state: State, asset: dict[str, Any]) -> str:
    """Return where an asset of an image lies: azureml._model_management._util.upload_dependency has put it there."""
    origin, container, path = asset["url"].removeprefix("aml://artifact/").split("/", 2)
    return artifacts.key(state, origin, container, path)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
