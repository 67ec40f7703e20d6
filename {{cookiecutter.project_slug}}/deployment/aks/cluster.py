"""The cluster that a release goes to: log in, ask kubectl, write what kustomize builds, wait until it rolls out."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from environment_setup.azure_cli import AzureError, az, setting, show

NAMESPACE, HOST = "{{ cookiecutter.__aks_namespace }}", "{{ cookiecutter.__aks_host }}"  # variables of the group
MANIFESTS = Path(__file__).parent / "manifests"
AKS = "6dae42f8-4368-4678-94ff-3960e28e3630"  # for Entra ID, all clusters of AKS are this application
NAME, SETTINGS = "app.kubernetes.io/name", "settings"
OF_PODS = "deployment,horizontalpodautoscaler,service,poddisruptionbudget,networkpolicy"  # what base/ declares
NOT_PULLED = ("ErrImagePull", "ImagePullBackOff")
SECONDS_TO_ROLL_OUT = 600
SECONDS_PER_REQUEST = 60
LONGEST = SECONDS_TO_ROLL_OUT + SECONDS_PER_REQUEST  # after which the step fails, and may be tried again
ATTEMPTS = 4
SECONDS_BETWEEN = 5
IN_PASSING = re.compile(
    r"Unable to connect|deadline|time(d |)out|refused|reset|EOF|Unavailable|InternalError|TooManyRequests"
)
IMAGE = re.compile(r"(?P<name>[a-z0-9.-]+\.[a-z]+/[a-z0-9._/-]+)@(?P<digest>sha256:[0-9a-f]{64})")


@contextmanager
def logged_in() -> Iterator[None]:
    """Reach the cluster as whoever the Azure CLI is logged in as, for as long as it takes; nothing is kept.

    A token of the Azure CLI takes the place of kubelogin, which would ask it for the same one. Nothing asks a person.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config"
        os.environ["KUBECONFIG"] = str(config)
        group, cluster = setting("RESOURCE_GROUP"), setting("AKS_COMPUTE_NAME")
        show("aks", "get-credentials", "--resource-group", group, "--name", cluster, "--file", str(config), seconds=120)
        told = json.loads(run("kubectl", "config", "view", "--raw", "--output", "json"))
        token = az("account", "get-access-token", "--resource", AKS, "--query", "accessToken", seconds=120)
        for one in told["users"]:
            one["user"] = {"token": token}
        config.chmod(0o600)
        config.write_text(json.dumps(told), encoding="utf-8")
        yield


def run(name: str, *words: str) -> str:
    """Return what a program prints. Reading is tried again where the cluster cannot be reached in passing."""
    path = shutil.which(name)
    if not path:
        raise AzureError(f"{name} is not installed: `az aks install-cli` brings it.")
    left = ATTEMPTS if words[0] == "get" else 1
    while True:
        try:
            command, quiet = [path, *words], subprocess.DEVNULL
            ended = subprocess.run(
                command, stdin=quiet, capture_output=True, text=True, errors="replace", timeout=LONGEST, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise AzureError(f"{name} {' '.join(words[:2])} does not end within {LONGEST} s.") from error
        if not ended.returncode:
            return ended.stdout
        left -= 1
        if not left or not IN_PASSING.search(ended.stderr):
            raise AzureError(f"{name} {' '.join(words[:2])}: {ended.stderr.strip()[-1000:]}")
        time.sleep(SECONDS_BETWEEN)


def kubectl(*words: str, timeout: str = f"--request-timeout={SECONDS_PER_REQUEST}s") -> str:
    return run("kubectl", *words, timeout, "--namespace", setting(NAMESPACE))


def ours(more: str = "") -> tuple[str, str]:
    """Return the words that select what this project has made, or of it what has more labels."""
    return "--selector", f"{NAME}={setting('PROJECT')}{',' if more else ''}{more}"


def image_in(pod: dict[str, Any]) -> str:
    return next(str(one["image"]) for one in pod["containers"] if one["name"] == "scoring")


def settings() -> str:
    """Return a digest of all that is declared beside the image: what stands in manifests/, host and namespace.

    Of files, not of what kustomize makes of them: that may differ by its version, and stages run on several agents.
    """
    files = (path for path in MANIFESTS.rglob("*") if path.is_file())
    content = {path.relative_to(MANIFESTS).as_posix(): path.read_text(encoding="utf-8") for path in files}
    declared = [sorted(content.items()), setting(HOST), setting(NAMESPACE)]
    return hashlib.sha256(json.dumps(declared).encode()).hexdigest()[:40]


def manifests(folder: Path, name: str) -> str:
    """Return the path from a folder to one of manifests/, as kustomize wants it."""
    return os.path.relpath((MANIFESTS / name).resolve(), folder.resolve())


def images(image: str) -> list[dict[str, str]]:
    """Return what puts an image in the place of the one that the manifests name."""
    named = IMAGE.fullmatch(image)
    if not named:
        raise AzureError(f"{image!r} is no image by digest.")
    return [{"name": "scoring", "newName": named["name"], "digest": named["digest"]}]


def hosts() -> list[dict[str, Any]]:
    """Return patches that put the host's name in."""
    places = {"Gateway": "/spec/servers/0/hosts/0", "VirtualService": "/spec/hosts/0"}
    return [patch(kind, "replace", path, setting(HOST)) for kind, path in places.items()]


def patch(kind: str, operation: str, path: str, value: Any) -> dict[str, Any]:
    return {"target": {"kind": kind}, "patch": json.dumps([{"op": operation, "path": path, "value": value}])}


def kustomization(folder: Path, **more: Any) -> None:
    """Write a kustomization.yaml. It is JSON, which is YAML too."""
    head = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": setting(NAMESPACE),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kustomization.yaml").write_text(json.dumps(head | more, indent=2), encoding="utf-8")


def roll_out(deployment: str, selector: str = "") -> None:
    """Wait until a Deployment is ready, or say what its pods, which have these labels too, wait for."""
    try:
        kubectl("rollout", "status", f"deployment/{deployment}", timeout=f"--timeout={SECONDS_TO_ROLL_OUT}s")
    except AzureError as error:
        pods = json.loads(kubectl("get", "pods", *ours(selector), "--output", "json"))["items"]
        raise AzureError(f"{error} {waiting(pods)}".strip()) from error


def waiting(pods: list[dict[str, Any]]) -> str:
    """Return why containers of pods do not run, and what mends it where their image cannot be pulled."""
    states = [
        (image_in(pod["spec"]), state)
        for pod in pods
        for one in pod["status"].get("containerStatuses", [])
        if (state := one.get("state", {}).get("waiting"))
    ]
    reasons = sorted({f"{state.get('reason')}: {state.get('message', '')}" for _, state in states})
    unpulled = sorted({image.partition(".")[0] for image, state in states if state.get("reason") in NOT_PULLED})
    return " ".join([*reasons, *map(may_pull, unpulled)])


def here() -> str:
    """Return the words by which the Azure CLI knows the cluster."""
    return f"--resource-group {setting('RESOURCE_GROUP')} --name {setting('AKS_COMPUTE_NAME')}"


def may_pull(registry: str) -> str:
    """Say how the cluster's nodes get the right to pull."""
    nodes = f"az aks show {here()} --query identityProfile.kubeletidentity.objectId --output tsv"
    scope = f"az acr show --name {registry} --query id --output tsv"
    give = f'--assignee-object-id "$({nodes})" --assignee-principal-type ServicePrincipal --scope "$({scope})"'
    return f"If the nodes lack the role AcrPull, `az role assignment create --role AcrPull {give}` gives it."
