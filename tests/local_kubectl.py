"""Stands in for kubectl. What it is told is kept in a file, and `fails` in there says what goes wrong.

It knows the commands of a release and refuses all others; kustomize and its own settings are left to the real one. A
Deployment gets ready as soon as it is applied, unless it is to fail; a node with a pod of it may be drained later. The
load is such that the autoscaler wants two pods.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

TOKEN = "token-of-the-connection"  # noqa: S105 - what the stand-in for az gives
NAMESPACE = "canary-namespace"
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
PODS_WANTED = 2
PLURALS = {  # by what kubectl is asked for: the kind, and how it prints a name
    "deployments": ("Deployment", "deployment.apps"),
    "deployment": ("Deployment", "deployment.apps"),
    "horizontalpodautoscaler": ("HorizontalPodAutoscaler", "horizontalpodautoscaler.autoscaling"),
    "service": ("Service", "service"),
    "poddisruptionbudget": ("PodDisruptionBudget", "poddisruptionbudget.policy"),
    "networkpolicy": ("NetworkPolicy", "networkpolicy.networking.k8s.io"),
    "gateways.networking.istio.io": ("Gateway", "gateway.networking.istio.io"),
    "virtualservices.networking.istio.io": ("VirtualService", "virtualservice.networking.istio.io"),
    "pods": ("Pod", "pod"),
}
PRINTED = dict(PLURALS.values())


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

    def deployments(self) -> list[dict]:
        return [one for one in self.read()["objects"].values() if one["kind"] == "Deployment"]

    def release(self, image: str, build: str) -> None:
        """Have another build set the image of each Deployment, while somebody looks away."""
        objects = self.read()["objects"]
        for one in objects.values():
            if one["kind"] == "Deployment":
                applied = json.loads(one["metadata"]["annotations"][APPLIED])
                for each in (one, applied):
                    each["metadata"]["labels"]["build"] = build
                    each["spec"]["template"]["spec"]["containers"][0]["image"] = image
                one["metadata"]["annotations"][APPLIED] = json.dumps(applied)
        self.change(objects=objects)

    def serving(self) -> dict[str, int]:
        """Return the weights of the requests without a header."""
        for one in self.read()["objects"].values():
            if one["kind"] == "VirtualService":
                routes = [route for route in one["spec"]["http"] if route["name"] == "shared"]
                shared = [target for route in routes for target in route["route"]]
                return {one["destination"]["host"]: one["weight"] for one in shared if one.get("weight")}
        return {}

    def told(self) -> str:
        """Say what runs and serves, as `blue 2 (50), green 1 (50)`."""
        weights = self.serving()
        runs = sorted(self.deployments(), key=lambda one: one["metadata"]["name"])
        return ", ".join(f"{release(one)} ({weights.get(one['metadata']['name'], 0)})" for one in runs)


def image(deployment: dict) -> str:
    return deployment["spec"]["template"]["spec"]["containers"][0]["image"]


def release(deployment: dict) -> str:
    """Return what `fails` calls what a Deployment runs: colour and version, such as `blue 2`, else its image."""
    labels = deployment["metadata"]["labels"]
    return f"{labels['colour']} {labels['app.kubernetes.io/version']}" if "colour" in labels else image(deployment)


def main() -> None:
    folder, real, *words = sys.argv[1:]
    log_in(Path(os.environ["KUBECONFIG"]))
    cluster = Cluster(Path(folder))
    parser = argparse.ArgumentParser()
    for name in ("namespace", "selector", "output", "kustomize", "filename", "timeout", "request-timeout"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--sort-by", choices=[".metadata.creationTimestamp"])
    parser.add_argument("--container", choices=["scoring"])
    parser.add_argument("--tail", type=int)
    parser.add_argument("--ignore-not-found", action="store_true")
    given, rest = parser.parse_known_args(words)
    if not (given.timeout or given.request_timeout):
        sys.exit(f"kubectl {' '.join(words)} may wait for ever")
    if rest[:2] == ["get", "namespace"] and given.ignore_not_found:
        return print(*(["namespace/canary-namespace\n"] if rest[2:] == [NAMESPACE] else []), end="")
    if given.namespace != NAMESPACE and rest[0] == "get":
        return print('{"items": []}')
    if given.namespace != NAMESPACE:
        sys.exit(f'Error from server (NotFound): namespaces "{given.namespace}" not found')
    commands = {"apply": apply, "get": get, "rollout": rollout, "delete": delete, "logs": logs}
    if rest[0] not in commands:
        sys.exit(f"kubectl {' '.join(words)}: not expected")
    given.real = real
    return commands[rest[0]](cluster, given, *rest[1:])


def log_in(settings: Path) -> None:
    """Let those in who have a token, and keep it to themselves."""
    (user,) = json.loads(settings.read_text("utf-8"))["users"]
    if user["user"] != {"token": TOKEN} or settings.stat().st_mode & 0o77:
        sys.exit("error: You must be logged in to the server (Unauthorized)")


def get(cluster: Cluster, given: argparse.Namespace, kinds: str, name: str = "") -> None:
    held = cluster.read()
    if held["fails"].get("get") == kinds:
        sys.exit(f'Error from server (Forbidden): {kinds} is forbidden: User "a" cannot list resource')
    if held["fails"].get("every other read"):
        cluster.change(reads=held.get("reads", 0) + 1)
        if held.get("reads", 0) % 2 == 0:
            sys.exit("Unable to connect to the server: net/http: TLS handshake timeout")
    if kinds == "secret":
        return print(*([] if "secret" in held["fails"] else [f"secret/{name}\n"]), end="")
    items = [one for kind in kinds.split(",") for one in found(cluster, kind, given.selector).values()]
    if given.output == "name":
        return print("\n".join(f"{PRINTED[one['kind']]}/{one['metadata']['name']}" for one in items))
    return print(json.dumps({"items": items}))


def rollout(cluster: Cluster, _: argparse.Namespace, _status: str, name: str) -> None:
    status = cluster.read()["objects"][name.replace("deployment/", "Deployment/")]["status"]
    if status["availableReplicas"] != status["replicas"]:
        sys.exit("error: deployment exceeded its progress deadline")


def delete(cluster: Cluster, given: argparse.Namespace, *words: str) -> None:
    """Delete kinds by a selector, or objects by name."""
    held = cluster.read()
    if "delete" in held["fails"]:
        sys.exit("Error from server: etcdserver: request timed out")
    if given.selector:
        gone = {name for kind in words[0].split(",") for name in found(cluster, kind, given.selector)}
    else:
        kinds = {printed: kind for kind, printed in PRINTED.items()}
        gone = {f"{kinds[kind]}/{name}" for kind, name in (word.split("/") for word in words)}
    cluster.change(objects={name: one for name, one in held["objects"].items() if name not in gone})


def logs(cluster: Cluster, given: argparse.Namespace, name: str) -> None:
    (pod,) = (one for one in pods(cluster) if f"pod/{one['metadata']['name']}" == name)
    if "PullBackOff" in json.dumps(pod["status"]):
        sys.exit(f'Error from server (BadRequest): container "scoring" in pod "{name}" is waiting to start')
    print("\n".join(f"{number}: {pod['spec']['containers'][0]['image']}" for number in range(30)[-given.tail :]))


def found(cluster: Cluster, kind: str, selector: str | None) -> dict:
    wanted = dict(pair.split("=") for pair in (selector or "").split(",") if pair)
    objects = {one["metadata"]["name"]: one for one in pods(cluster)} if kind == "pods" else cluster.read()["objects"]
    drained = cluster.read()["fails"].get("drained")
    kept = {}
    for name, one in objects.items():
        if one["kind"] == PLURALS[kind][0] and wanted.items() <= one["metadata"].get("labels", {}).items():
            kept[name] = one
            if kind == "deployments" and release(one) == drained:
                one["status"]["availableReplicas"] -= 1
    return kept


def pods(cluster: Cluster) -> list[dict]:
    """Return as many pods as there should be, of which so many are ready as are available, and the others wait."""
    fails, made = cluster.read()["fails"], []
    reasons = {
        "pods": {"reason": "CreateContainerConfigError", "message": 'secret "the-keys" not found'},
        "pull": {"reason": "ImagePullBackOff", "message": "Back-off pulling image: 401 Unauthorized"},
    }
    for one in found(cluster, "deployments", None).values():
        status, template = one["status"], one["spec"]["template"]
        why = next((reasons[how] for how in reasons if fails.get(how) == release(one)), {"reason": "Pending"})
        for number in range(status["replicas"]):
            ready = number < status["availableReplicas"]
            former = ready and status["updatedReplicas"] < status["replicas"]
            containers = [{"name": "scoring", "image": "former"}] if former else template["spec"]["containers"]
            told = {
                "conditions": [{"type": "Ready", "status": str(ready)}],
                "containerStatuses": [{"state": {} if ready else {"waiting": why}}],
            }
            metadata = {"labels": template["metadata"]["labels"], "name": f"{one['metadata']['name']}-{number}"}
            made.append({"kind": "Pod", "metadata": metadata, "spec": {"containers": containers}, "status": told})
    return made


def blue(name: str) -> str:
    return f"{name.partition('/')[2]}-blue"


def apply(cluster: Cluster, given: argparse.Namespace) -> None:
    import yaml  # noqa: PLC0415 - it takes a while, and most commands need it not

    command = ["/bin/cat", given.filename] if given.filename else [given.real, "kustomize", given.kustomize]
    text = subprocess.run(command, capture_output=True, check=True).stdout
    read = list(yaml.load_all(text, Loader=yaml.CSafeLoader))
    held, serves, made = cluster.read(), [*cluster.serving()], []
    held["applies"] = held.get("applies", 0) + 1
    try:
        for one in [each for document in read for each in document.get("items", [document])]:
            made.append(take(held, serves, one))
    finally:  # what came before a failure is there
        scale(held["objects"])
        for deployment in (one for one in made if one["kind"] == "Deployment"):
            start(held, deployment)
        cluster.change(**held)
    names = [f"{PRINTED[one['kind']]}/{one['metadata']['name']}" for one in made]
    print("\n".join(names if given.output == "name" else (f"{name} configured" for name in names)))


def take(held: dict, serves: list[str], one: dict) -> dict:
    """Add an object to what is held, and return what it is there."""
    name = f"{one['kind']}/{one['metadata']['name']}"
    if one["metadata"]["namespace"] != NAMESPACE:
        sys.exit(f"{name} has another namespace.")
    if held["fails"].get("first apply after blue") == name and serves == [blue(name)]:
        del held["fails"]["first apply after blue"]
        sys.exit("Unable to connect to the server: EOF")
    if held["fails"].get("apply") == name:
        sys.exit("Error from server: etcdserver: request timed out")
    annotations = {**one["metadata"].get("annotations", {}), APPLIED: json.dumps(one)}
    former, taken = held["objects"].get(name, {}), json.loads(json.dumps(one))
    taken["metadata"]["annotations"] = annotations
    if one["kind"] == "Deployment":
        taken["status"] = former.get("status", {})
        taken["spec"].setdefault("replicas", former.get("spec", {}).get("replicas", 1))
    held["objects"][name] = taken
    return taken


def scale(objects: dict) -> None:
    """Do as the autoscalers do."""
    for one in list(objects.values()):
        if one["kind"] == "HorizontalPodAutoscaler":
            spec, target = one["spec"], one["spec"]["scaleTargetRef"]
            if scaled := objects.get(f"{target['kind']}/{target['name']}"):
                scaled["spec"]["replicas"] = max(spec["minReplicas"], min(PODS_WANTED, spec["maxReplicas"]))


def start(held: dict, deployment: dict) -> None:
    """Have the pods of a Deployment be ready, unless they are to fail: then the former ones stay, beside a new one."""
    replicas, former = deployment["spec"]["replicas"], deployment["status"].get("availableReplicas", 0)
    broken = release(deployment) in (held["fails"].get("pods"), held["fails"].get("pull"))
    counts = (replicas,) * 3 if not broken else (former + 1, 1, former) if former else (replicas, replicas, 0)
    deployment["metadata"]["generation"] = 1
    names = ("replicas", "updatedReplicas", "availableReplicas")
    deployment["status"] = {"observedGeneration": 1, **dict(zip(names, counts, strict=True))}


if __name__ == "__main__":
    main()
