"""A rolling update of one Deployment, behind the gateway of the cluster: a target of deployment/release.py."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deployment.key_vault import KEYS, vault
from deployment.target import Deployed, Target
from environment_setup.azure_cli import AzureError, setting, variable

from .cluster import (
    HOST,
    NAME,
    NAMESPACE,
    OF_PODS,
    SETTINGS,
    here,
    hosts,
    image_in,
    images,
    kubectl,
    kustomization,
    logged_in,
    manifests,
    ours,
    roll_out,
    run,
    settings,
)

KINDS = f"{OF_PODS},gateways.networking.istio.io,virtualservices.networking.istio.io"
BUILD = "build"
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
SOON = "--request-timeout=20s"


class RollingUpdate:
    """What is put is text that kubectl applies: what kustomize has built, or what was applied before."""

    name = "aks"

    def __init__(self) -> None:
        self.shown = f"AKS service {setting(NAMESPACE)}"

    def check(self, image: str) -> None:
        namespace, project, host = setting(NAMESPACE), setting("PROJECT"), setting(HOST)
        if not ask("namespace", namespace, "--ignore-not-found", "--output", "name"):
            make = f"kubectl create namespace {namespace}"
            raise AzureError(f"The namespace {namespace} for {host} is missing: `{make}`, as in docs/deployment.md.")
        if not ask("secret", f"{project}-keys", "--ignore-not-found", "--output", "name"):
            read = f"az keyvault secret show --vault-name {vault()} --name {KEYS} --query value --output tsv"
            make = f"kubectl create secret generic {project}-keys --namespace {namespace}"
            piped = f'keys=$({read}) && printf %s "$keys" | {make} --from-file=SCORING_KEYS=/dev/stdin'
            raise AzureError(f"The secret {project}-keys of the namespace {namespace} is missing: `{piped}` makes it.")
        others = strangers(json.loads(ask(KINDS, "--output", "json"))["items"], project)
        if others:
            raise AzureError(
                f"{', '.join(others)} of the namespace {namespace} was not made by this service: name another "
                f"namespace in {NAMESPACE}, or `kubectl delete {' '.join(others)} --namespace {namespace}`."
            )

    def read(self) -> Deployed | None:
        return deployed_in(json.loads(kubectl("get", KINDS, *ours(), "--output", "json"))["items"])

    def wanted(self, image: str) -> Deployed:
        build = variable("BUILD_BUILDID") or "local"
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), image, build)
            body = run("kubectl", "kustomize", folder)
        return Deployed(image, settings(), build, body)

    def put(self, deployed: Deployed) -> None:
        """Apply, remove what is no part of it, and wait until the pods are ready."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "objects.yaml"
            file.write_text(deployed.body, encoding="utf-8")
            applied = set(kubectl("apply", "--filename", str(file), "--output", "name").split())
        present = set(kubectl("get", KINDS, *ours(), "--output", "name").split())
        if left := surplus(applied, present):
            kubectl("delete", *left, "--ignore-not-found")
        print(f"Applied: {', '.join(sorted(applied))}.", flush=True)
        roll_out(setting("PROJECT"))

    def remove(self) -> None:
        kubectl("delete", KINDS, *ours(), "--ignore-not-found")

    def address(self) -> str:
        return f"https://{setting(HOST)}"

    def log(self) -> str:
        """The newest pod is of what was set last."""
        by_age = ("--sort-by", ".metadata.creationTimestamp", "--output", "name")
        try:
            pods = kubectl("get", "pods", *ours(), *by_age, timeout=SOON).split()
            words = ("--container", "scoring", "--tail", "20")
            return kubectl("logs", pods[-1], *words, timeout=SOON).strip()[-8000:] if pods else ""
        except AzureError:
            return ""


@contextmanager
def opened() -> Iterator[Target]:
    """Log in to the cluster, for as long as it takes."""
    with logged_in():
        yield RollingUpdate()


def deployed_in(items: list[dict[str, Any]]) -> Deployed | None:
    """Return what these objects of a service are: with its Deployment, all that was applied last."""
    deployment = next((one for one in items if one["kind"] == "Deployment"), None)
    if not deployment:
        return None
    labels, image = deployment["metadata"]["labels"], image_in(deployment["spec"]["template"]["spec"])
    applied = [json.loads(one["metadata"]["annotations"][APPLIED]) for one in items]
    body = json.dumps({"apiVersion": "v1", "kind": "List", "items": applied})
    return Deployed(image, labels.get(SETTINGS, ""), labels.get(BUILD, ""), body)


def strangers(items: list[dict[str, Any]], project: str) -> list[str]:
    """Return what has the service's name but not its label or nothing to put back, and what has its label alone."""

    def ours_alike(one: dict[str, Any]) -> bool:
        metadata = one["metadata"]
        labelled = metadata.get("labels", {}).get(NAME) == project
        named = metadata["name"] == project
        return labelled == named and (not named or APPLIED in metadata.get("annotations", {}))

    return sorted(f"{one['kind'].lower()}/{one['metadata']['name']}" for one in items if not ours_alike(one))


def surplus(applied: set[str], present: set[str]) -> list[str]:
    """Return what is there and was not applied. Where names do not compare, that would be all there is: none goes."""
    if not applied <= present:
        raise AzureError(f"kubectl has applied {', '.join(sorted(applied - present))}, but does not find it.")
    return sorted(present - applied)


def write(folder: Path, image: str, build: str) -> None:
    """Write a kustomization of the service. Labels of the pods stay: for other settings alone none is replaced."""
    kustomization(
        folder,
        resources=[manifests(folder, name) for name in ("base", "traffic")],
        images=images(image),
        labels=[{"pairs": {SETTINGS: settings(), BUILD: build}}],
        patches=hosts(),
    )


def ask(*words: str) -> str:
    """Return what kubectl gets, or say what mends that the cluster does not answer."""
    try:
        return kubectl("get", *words)
    except AzureError as error:
        scope = f"$(az aks show {here()} --query id --output tsv)/namespaces/{setting(NAMESPACE)}"
        role = '--role "Azure Kubernetes Service RBAC Cluster Admin" --assignee-object-id <id of the connection>'
        remedies = {
            "Forbidden": f'`az role assignment create {role} --scope "{scope}"` gives the right.',
            "Unable to connect": f"If the cluster is stopped, `az aks start {here()}` starts it.",
            "have a resource type": f"`az aks mesh enable {here()}` brings Istio; docs/deployment.md has the rest.",
        }
        mends = next((remedies[part] for part in remedies if part in str(error)), "")
        raise AzureError(f"{error} {mends}".strip()) from error
