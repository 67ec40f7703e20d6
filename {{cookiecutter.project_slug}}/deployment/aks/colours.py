"""The colours of a canary release on the cluster: read what runs, apply a state, remove a colour."""

import json
import tempfile
from pathlib import Path
from typing import Any

from environment_setup.azure_cli import setting

from .cluster import (
    OF_PODS,
    SETTINGS,
    hosts,
    image_in,
    images,
    kubectl,
    kustomization,
    manifests,
    ours,
    patch,
    roll_out,
)
from .stages import BLUE, GREEN, Colour, Ready, State

COLOUR, VERSION, MOVED_BY = "colour", "app.kubernetes.io/version", "moved-by"


def read() -> State:
    """Return what runs, what serves, and who moved the traffic."""
    kinds = "deployments,pods,virtualservices.networking.istio.io"
    listed = kubectl("get", kinds, *ours(), "--output", "json")
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

    It has rolled out when no pod of a former image is left and one answers. How many there should be is no part of
    that: the autoscaler changes it meanwhile. Its status does not tell which pods are of which image while it rolls
    out, so then the pods themselves tell whether one is ready.
    """
    labels, status = deployment["metadata"]["labels"], deployment.get("status", {})
    image = image_in(deployment["spec"]["template"]["spec"])
    seen = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    of_this_image = status.get("replicas", 0) == status.get("updatedReplicas", 0)
    if seen and of_this_image and status.get("availableReplicas", 0):
        ready = Ready.ALL
    else:
        ready = Ready.SOME if any(answers(pod, image) for pod in pods) else Ready.NONE
    return Colour(image, labels.get(VERSION, "unknown"), labels.get(SETTINGS, ""), ready)


def answers(pod: dict[str, Any], image: str) -> bool:
    """Tell whether a pod is ready with this image, and stays."""
    conditions = {one["type"]: one["status"] for one in pod["status"].get("conditions", [])}
    stays = "deletionTimestamp" not in pod["metadata"]
    return stays and conditions.get("Ready") == "True" and image_in(pod["spec"]) == image


def serving_in(virtual_service: dict[str, Any]) -> frozenset[str]:
    """Return the colours that share the requests without a header."""
    shared = [route for route in virtual_service["spec"]["http"] if route["name"] == "shared"]
    return frozenset(
        one["destination"]["host"].rpartition("-")[2]
        for route in shared
        for one in route["route"]
        if one.get("weight", 0)
    )


def apply(installs: str | None, then: State) -> None:
    """Have the cluster hold a state, and wait until the colour that is installed in it, if any, is ready."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), installs, then)
        print(kubectl("apply", "--kustomize", folder).strip())
    if installs:
        roll_out(f"{setting('PROJECT')}-{installs}", f"{COLOUR}={installs}")


def write(folder: Path, installs: str | None, then: State) -> None:
    """Write a kustomization: the colour to install, if any, and who gets the traffic."""
    traffic = {frozenset(): "to-nobody", frozenset({BLUE, GREEN}): "to-both"}.get(then.serving)
    resources = [manifests(folder, f"overlays/{traffic or f'to-{min(then.serving)}'}")]
    if installs:
        resources.append(installs)
        write_colour(folder / installs, installs, getattr(then, installs))
    moved_by = patch("VirtualService", "add", "/metadata/annotations", {MOVED_BY: then.moved_by})
    kustomization(folder, resources=resources, patches=[*hosts(), moved_by])


def write_colour(folder: Path, name: str, wanted: Colour) -> None:
    kustomization(
        folder,
        resources=[manifests(folder, f"overlays/{name}")],
        images=images(wanted.image),
        labels=[{"pairs": {VERSION: wanted.version}, "includeTemplates": True}, {"pairs": {SETTINGS: wanted.settings}}],
    )


def remove(name: str) -> None:
    kubectl("delete", OF_PODS, *ours(f"{COLOUR}={name}"), "--ignore-not-found")
