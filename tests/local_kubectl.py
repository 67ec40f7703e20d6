"""Stands in for kubectl. What it is told is kept in a file, and `fails` in there says what goes wrong.

It knows the commands that a canary release uses and refuses all others; kustomize and its own settings are left to the
real one. A Deployment gets ready as soon as it is applied, unless it is to fail; a node with a pod of it may be drained
later.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

TOKEN = "token-of-the-connection"  # noqa: S105 - what the stand-in for az gives
PLURALS = {
    "deployments": "Deployment",
    "deployment": "Deployment",
    "service": "Service",
    "poddisruptionbudget": "PodDisruptionBudget",
    "networkpolicy": "NetworkPolicy",
    "virtualservices.networking.istio.io": "VirtualService",
}


class Cluster:
    """What was applied, in a file; and how it is to fail."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "cluster.json"

    def read(self) -> dict:
        return json.loads(self.file.read_text("utf-8")) if self.file.exists() else {"objects": {}, "fails": {}}

    def change(self, **parts) -> None:
        unfinished = self.file.with_suffix(".new")
        unfinished.write_text(json.dumps(self.read() | parts), encoding="utf-8")
        unfinished.replace(self.file)

    def serving(self) -> dict[str, int]:
        """Return the weights of the requests without a header."""
        for one in self.read()["objects"].values():
            if one["kind"] == "VirtualService":
                routes = [route for route in one["spec"]["http"] if route["name"] == "shared"]
                shared = [target for route in routes for target in route["route"]]
                return {target["destination"]["host"]: target["weight"] for target in shared if target["weight"]}
        return {}

    def told(self) -> str:
        """Say what runs and serves, as `blue 2 (50), green 1 (50)`."""
        weights, parts = self.serving(), []
        for one in sorted(self.read()["objects"].values(), key=lambda one: one["metadata"]["name"]):
            if one["kind"] == "Deployment":
                labels, name = one["metadata"]["labels"], one["metadata"]["name"]
                parts.append(f"{labels['colour']} {labels['app.kubernetes.io/version']} ({weights.get(name, 0)})")
        return ", ".join(parts)


def main() -> None:
    folder, real, *words = sys.argv[1:]
    log_in(Path(os.environ["KUBECONFIG"]))
    cluster = Cluster(Path(folder))
    parser = argparse.ArgumentParser()
    for name in ("--namespace", "--selector", "--output", "--kustomize", "--timeout", "--request-timeout"):
        parser.add_argument(name)
    parser.add_argument("--ignore-not-found", action="store_true")
    given, rest = parser.parse_known_args(words)
    if not (given.timeout or given.request_timeout):
        sys.exit(f"kubectl {' '.join(words)} may wait for ever")
    if given.namespace != "canary-namespace":
        sys.exit(f'Error from server (NotFound): namespaces "{given.namespace}" not found')
    commands = {"apply": apply, "get": get, "rollout": rollout, "delete": delete}
    if rest[0] not in commands:
        sys.exit(f"kubectl {' '.join(words)}: not expected")
    given.real = real
    commands[rest[0]](cluster, given, *rest[1:])


def log_in(settings: Path) -> None:
    """Let those in who have a token, and keep it to themselves."""
    (user,) = json.loads(settings.read_text("utf-8"))["users"]
    if user["user"] != {"token": TOKEN} or settings.stat().st_mode & 0o77:
        sys.exit("error: You must be logged in to the server (Unauthorized)")


def get(cluster: Cluster, given: argparse.Namespace, kinds: str) -> None:
    held = cluster.read()
    if held["fails"].get("every other read"):
        cluster.change(reads=held.get("reads", 0) + 1)
        if held.get("reads", 0) % 2 == 0:
            sys.exit("Unable to connect to the server: net/http: TLS handshake timeout")
    listed = {"deployments": deployments, "pods": pods, "virtualservices.networking.istio.io": traffic}
    print(json.dumps({"items": [one for kind in kinds.split(",") for one in listed[kind](cluster, given.selector)]}))


def rollout(cluster: Cluster, _: argparse.Namespace, _status: str, name: str) -> None:
    status = cluster.read()["objects"][name.replace("deployment/", "Deployment/")]["status"]
    if status["availableReplicas"] != status["replicas"]:
        sys.exit("error: deployment exceeded its progress deadline")


def delete(cluster: Cluster, given: argparse.Namespace, kinds: str) -> None:
    if "delete" in cluster.read()["fails"]:
        sys.exit("Error from server: etcdserver: request timed out")
    gone = {name for kind in kinds.split(",") for name in found(cluster, kind, given.selector)}
    cluster.change(objects={name: one for name, one in cluster.read()["objects"].items() if name not in gone})


def found(cluster: Cluster, kind: str, selector: str) -> dict:
    wanted = dict(pair.split("=") for pair in selector.split(","))
    objects = cluster.read()["objects"].items()
    return {
        name: one
        for name, one in objects
        if one["kind"] == PLURALS[kind] and wanted.items() <= one["metadata"]["labels"].items()
    }


def deployments(cluster: Cluster, selector: str) -> list[dict]:
    runs = list(found(cluster, "deployments", selector).values())
    for one in runs:
        labels = one["metadata"]["labels"]
        if cluster.read()["fails"].get("drained") == f"{labels['colour']} {labels['app.kubernetes.io/version']}":
            one["status"]["availableReplicas"] -= 1
    return runs


def traffic(cluster: Cluster, selector: str) -> list[dict]:
    return list(found(cluster, "virtualservices.networking.istio.io", selector).values())


def pods(cluster: Cluster, selector: str) -> list[dict]:
    """Return as many pods as there should be, of which so many are ready as are available, and the others wait."""
    waiting = {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "the-keys" not found'}}
    made = []
    for one in deployments(cluster, selector):
        status, template = one["status"], one["spec"]["template"]
        for number in range(status["replicas"]):
            ready = number < status["availableReplicas"]
            former = ready and status["updatedReplicas"] < status["replicas"]
            containers = [{"name": "scoring", "image": "former"}] if former else template["spec"]["containers"]
            told = {
                "conditions": [{"type": "Ready", "status": str(ready)}],
                "containerStatuses": [{"state": {} if ready else waiting}],
            }
            labels = template["metadata"]["labels"]
            pod = {"kind": "Pod", "metadata": {"labels": labels}, "spec": {"containers": containers}, "status": told}
            made.append(pod)
    return made


def blue(name: str) -> str:
    return f"{name.partition('/')[2]}-blue"


def apply(cluster: Cluster, given: argparse.Namespace) -> None:
    import yaml  # noqa: PLC0415 - it takes a while, and most commands need it not

    held = cluster.read()
    built = subprocess.run([given.real, "kustomize", given.kustomize], capture_output=True, check=True)
    for one in yaml.load_all(built.stdout, Loader=yaml.CSafeLoader):
        name = f"{one['kind']}/{one['metadata']['name']}"
        if one["metadata"]["namespace"] != "canary-namespace":
            sys.exit(f"{name} has another namespace.")
        if held["fails"].get("first apply after blue") == name and [*cluster.serving()] == [blue(name)]:
            cluster.change(fails={how: what for how, what in held["fails"].items() if what != name})
            sys.exit("Unable to connect to the server: EOF")
        if held["fails"].get("apply") == name:
            sys.exit("Error from server: etcdserver: request timed out")
        if one["kind"] == "Deployment":
            one["metadata"]["generation"] = 1
            labels, replicas = one["metadata"]["labels"], one["spec"]["replicas"]
            breaks = held["fails"].get("pods") == f"{labels['colour']} {labels['app.kubernetes.io/version']}"
            former = held["objects"].get(name, {}).get("status", {}).get("availableReplicas", 0)
            counts = (replicas + 1, 1, former) if breaks else (replicas, replicas, replicas)
            names = ("replicas", "updatedReplicas", "availableReplicas")
            one["status"] = {"observedGeneration": 1, **dict(zip(names, counts, strict=True))}
        held["objects"][name] = one
    cluster.change(**held)


if __name__ == "__main__":
    main()
