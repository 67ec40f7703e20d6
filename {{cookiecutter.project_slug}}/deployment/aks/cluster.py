"""The cluster that a canary release happens on: log in, read what runs, apply a state, remove a colour."""

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

from .stages import BLUE, GREEN, Colour, Ready, State

MANIFESTS = Path(__file__).parent / "manifests"
AKS = "6dae42f8-4368-4678-94ff-3960e28e3630"  # for Entra ID, all clusters of AKS are this application
NAME, COLOUR, VERSION = "app.kubernetes.io/name", "colour", "app.kubernetes.io/version"
SETTINGS, MOVED_BY = "settings", "moved-by"
OF_A_COLOUR = "deployment,service,poddisruptionbudget,networkpolicy"
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
            ended = subprocess.run(
                [path, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LONGEST, check=False
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
    return run("kubectl", *words, timeout, "--namespace", setting("K8S_AB_NAMESPACE"))


def read() -> State:
    """Return what runs, what serves, and who moved the traffic."""
    kinds = "deployments,pods,virtualservices.networking.istio.io"
    listed = kubectl("get", kinds, "--selector", f"{NAME}={setting('PROJECT')}", "--output", "json")
    items = json.loads(listed)["items"]
    runs = colours_in(items)
    traffic = next((one for one in items if one["kind"] == "VirtualService"), None)
    if not traffic:
        return State(runs.get(BLUE), runs.get(GREEN))
    moved_by = traffic["metadata"].get("annotations", {}).get(MOVED_BY, "")
    return State(runs.get(BLUE), runs.get(GREEN), serving_in(traffic), moved_by)


def colours_in(items: list[dict[str, Any]]) -> dict[str, Colour]:
    """Return the colours that these Deployments and pods are of."""
    found = [(one["kind"], one["metadata"]["labels"].get(COLOUR), one) for one in items]
    return {
        name: colour(one, [pod for kind, its, pod in found if kind == "Pod" and its == name])
        for kind, name, one in found
        if kind == "Deployment"
    }


def colour(deployment: dict[str, Any], pods: list[dict[str, Any]]) -> Colour:
    """Return what a Deployment runs.

    All its pods are ready when none is missing, and none of a former image is left. Its status does not tell which of
    them are of which image while it rolls out, so the pods themselves tell whether one is ready.
    """
    labels, spec, status = deployment["metadata"]["labels"], deployment["spec"], deployment.get("status", {})
    image = image_in(spec["template"]["spec"])
    counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
    seen = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    if seen and spec["replicas"] and counts == [spec["replicas"]] * 3:
        ready = Ready.ALL
    else:
        ready = Ready.SOME if any(answers(pod, image) for pod in pods) else Ready.NONE
    return Colour(image, labels.get(VERSION, "unknown"), labels.get(SETTINGS, ""), ready)


def answers(pod: dict[str, Any], image: str) -> bool:
    """Tell whether a pod is ready with this image, and stays."""
    conditions = {one["type"]: one["status"] for one in pod["status"].get("conditions", [])}
    stays = "deletionTimestamp" not in pod["metadata"]
    return stays and conditions.get("Ready") == "True" and image_in(pod["spec"]) == image


def image_in(pod: dict[str, Any]) -> str:
    return next(str(one["image"]) for one in pod["containers"] if one["name"] == "scoring")


def serving_in(virtual_service: dict[str, Any]) -> frozenset[str]:
    """Return the colours that share the requests without a header."""
    shared = [route for route in virtual_service["spec"]["http"] if route["name"] == "shared"]
    return frozenset(
        one["destination"]["host"].rpartition("-")[2]
        for route in shared
        for one in route["route"]
        if one.get("weight", 0)
    )


def settings() -> str:
    """Return a digest of all that is declared beside the image: what stands in manifests/, host and namespace.

    Of files, not of what kustomize makes of them: that may differ by its version, and stages run on several agents.
    """
    files = (path for path in MANIFESTS.rglob("*") if path.is_file())
    content = {path.relative_to(MANIFESTS).as_posix(): path.read_text(encoding="utf-8") for path in files}
    declared = [sorted(content.items()), setting("K8S_AB_HOST"), setting("K8S_AB_NAMESPACE")]
    return hashlib.sha256(json.dumps(declared).encode()).hexdigest()[:40]


def apply(installs: str | None, then: State) -> None:
    """Have the cluster hold a state, and wait until the colour that is installed in it, if any, is ready."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), installs, then)
        print(kubectl("apply", "--kustomize", folder).strip())
    if installs:
        roll_out(installs)


def write(folder: Path, installs: str | None, then: State) -> None:
    """Write a kustomization: the colour to install, if any, and who gets the traffic."""
    traffic = {frozenset(): "to-nobody", frozenset({BLUE, GREEN}): "to-both"}.get(then.serving)
    traffic = traffic or f"to-{min(then.serving)}"
    resources = [overlay(folder, traffic)]
    if installs:
        resources.append(installs)
        write_colour(folder / installs, installs, getattr(then, installs))
    kustomization(
        folder,
        namespace=setting("K8S_AB_NAMESPACE"),
        resources=resources,
        patches=[
            host_at("Gateway", "/spec/servers/0/hosts/0"),
            host_at("VirtualService", "/spec/hosts/0"),
            patch("VirtualService", "add", "/metadata/annotations", {MOVED_BY: then.moved_by}),
        ],
    )


def write_colour(folder: Path, name: str, wanted: Colour) -> None:
    image = IMAGE.fullmatch(wanted.image)
    if not image:
        raise AzureError(f"{wanted.image!r} is no image by digest.")
    kustomization(
        folder,
        resources=[overlay(folder, name)],
        images=[{"name": "scoring", "newName": image["name"], "digest": image["digest"]}],
        labels=[{"pairs": {VERSION: wanted.version}, "includeTemplates": True}, {"pairs": {SETTINGS: wanted.settings}}],
    )


def overlay(folder: Path, name: str) -> str:
    """Return the path from a folder to an overlay, as kustomize wants it."""
    return os.path.relpath((MANIFESTS / "overlays" / name).resolve(), folder.resolve())


def host_at(kind: str, path: str) -> dict[str, Any]:
    """Return a patch that puts the host's name in."""
    return patch(kind, "replace", path, setting("K8S_AB_HOST"))


def patch(kind: str, operation: str, path: str, value: Any) -> dict[str, Any]:
    return {"target": {"kind": kind}, "patch": json.dumps([{"op": operation, "path": path, "value": value}])}


def kustomization(folder: Path, **more: Any) -> None:
    """Write a kustomization.yaml. It is JSON, which is YAML too."""
    head = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kustomization.yaml").write_text(json.dumps(head | more, indent=2), encoding="utf-8")


def roll_out(name: str) -> None:
    """Wait until a colour is ready, or say what its pods wait for."""
    try:
        timeout = f"--timeout={SECONDS_TO_ROLL_OUT}s"
        kubectl("rollout", "status", f"deployment/{setting('PROJECT')}-{name}", timeout=timeout)
    except AzureError as error:
        raise AzureError(f"{error} {' '.join(waiting(name))}".strip()) from error


def waiting(name: str) -> list[str]:
    """Return why containers of a colour do not run."""
    selector = f"{NAME}={setting('PROJECT')},{COLOUR}={name}"
    pods = json.loads(kubectl("get", "pods", "--selector", selector, "--output", "json"))["items"]
    states = [one.get("state", {}).get("waiting") for pod in pods for one in pod["status"].get("containerStatuses", [])]
    return sorted({f"{state.get('reason')}: {state.get('message', '')}" for state in states if state})


def remove(name: str) -> None:
    kubectl("delete", OF_A_COLOUR, "--selector", f"{NAME}={setting('PROJECT')},{COLOUR}={name}", "--ignore-not-found")
