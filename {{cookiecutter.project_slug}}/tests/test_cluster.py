"""What is read of a cluster, and which images are taken."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from deployment.aks import cluster
from deployment.aks.stages import Colour, Ready, State, runs
from environment_setup.azure_cli import AzureError

IMAGE = f"registry.azurecr.io/scoring@sha256:{'0' * 64}"
LABELS = {"colour": "blue", "app.kubernetes.io/version": "7", "settings": "a-digest"}


def containers(image: str) -> dict[str, Any]:
    return {"containers": [{"name": "sidecar", "image": "another"}, {"name": "scoring", "image": image}]}


def deployment(**status: int) -> dict[str, Any]:
    return {
        "kind": "Deployment",
        "metadata": {"labels": LABELS, "generation": 3},
        "spec": {"replicas": 2, "template": {"spec": containers(IMAGE)}},
        "status": status,
    }


def pod(colour: str = "blue", image: str = IMAGE, ready: str = "True", **metadata: str) -> dict[str, Any]:
    return {
        "kind": "Pod",
        "metadata": {"labels": {"colour": colour}, **metadata},
        "spec": containers(image),
        "status": {"conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": ready}]},
    }


ALL_READY = {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}


@pytest.mark.parametrize(
    ("change", "ready"),
    [
        ({}, Ready.ALL),
        ({"observedGeneration": 2}, Ready.SOME),
        ({"availableReplicas": 1}, Ready.SOME),
        ({"updatedReplicas": 1}, Ready.SOME),
        ({"replicas": 3}, Ready.SOME),
    ],
    ids=["all", "not seen yet", "one not available", "one of a former image", "one more than there should be"],
)
def test_a_colour_is_ready_when_all_its_pods_are(change: dict[str, int], ready: Ready) -> None:
    assert cluster.colour(deployment(**{**ALL_READY, **change}), [pod()]) == Colour(IMAGE, "7", "a-digest", ready)


@pytest.mark.parametrize(
    ("pods", "ready"),
    [
        ([pod(ready="False"), pod()], Ready.SOME),
        ([], Ready.NONE),
        ([pod(ready="False")], Ready.NONE),
        ([pod(image=f"{IMAGE[:-1]}1")], Ready.NONE),
        ([pod(deletionTimestamp="2030-01-01T00:00:00Z")], Ready.NONE),
        ([pod(colour="green")], Ready.NONE),
        ([{**pod(), "status": {}}], Ready.NONE),
    ],
    ids=["one", "none", "none ready", "of a former image", "about to go", "of the other colour", "just made"],
)
def test_a_colour_that_rolls_out_answers_when_a_pod_of_its_image_does(pods: list[Any], ready: Ready) -> None:
    found = cluster.colours_in([*pods, deployment(**{**ALL_READY, "availableReplicas": 1})])

    assert found == {"blue": Colour(IMAGE, "7", "a-digest", ready)}


def test_a_colour_that_is_to_have_no_pods_is_not_ready() -> None:
    scaled = deployment(observedGeneration=3)
    scaled["spec"]["replicas"] = 0

    assert cluster.colour(scaled, []).ready is Ready.NONE


@pytest.mark.parametrize(
    ("command", "told", "calls"),
    [
        ("get", "Unable to connect to the server: net/http: TLS handshake timeout", cluster.ATTEMPTS),
        ("get", "Error from server (Forbidden): pods is forbidden", 1),
        ("delete", "Unable to connect to the server: EOF", 1),
    ],
    ids=["reading", "reading what is forbidden", "changing"],
)
def test_reading_is_tried_again_where_the_cluster_is_out_of_reach(
    command: str, told: str, calls: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, log = tmp_path / "kubectl", tmp_path / "log"
    program.write_text(f"#!/bin/sh\necho called >> {log}\necho '{told}' >&2\nexit 1\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(cluster, "SECONDS_BETWEEN", 0)

    with pytest.raises(AzureError, match=r"^kubectl "):
        cluster.run("kubectl", command, "pods")

    assert len(log.read_text("utf-8").splitlines()) == calls


def test_a_colour_of_which_no_settings_are_known_is_no_release_of_these() -> None:
    labels = {"colour": "blue", "app.kubernetes.io/version": "7"}
    former = {**deployment(**ALL_READY), "metadata": {"labels": labels}}

    assert not runs(cluster.colour(former, []), Colour(IMAGE, "7", "a-digest"))


def test_a_colour_without_a_status_is_not_ready() -> None:
    assert cluster.colour(deployment(), []).ready is Ready.NONE


def test_who_moved_the_traffic_is_written_beside_it_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PROJECT", "K8S_AB_NAMESPACE", "K8S_AB_HOST"):
        monkeypatch.setenv(name, "a-name")
    cluster.write(tmp_path, None, State(serving=frozenset({"blue"}), moved_by=IMAGE))
    written = json.loads((tmp_path / "kustomization.yaml").read_text("utf-8"))
    added = [json.loads(one["patch"])[0] for one in written["patches"] if one["target"]["kind"] == "VirtualService"]
    metadata = {one["path"].rpartition("/")[2]: one["value"] for one in added if one["op"] == "add"}
    traffic = {"kind": "VirtualService", "metadata": {"labels": {}, **metadata}, "spec": {"http": []}}
    monkeypatch.setattr(cluster, "kubectl", lambda *_: json.dumps({"items": [traffic]}))

    assert cluster.read().moved_by == IMAGE


def test_before_the_first_release_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJECT", "a-name")
    monkeypatch.setattr(cluster, "kubectl", lambda *_: '{"items": []}')

    assert cluster.read() == State()


@pytest.fixture
def declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the manifests, from which settings are read."""
    shutil.copytree(cluster.KUBERNETES, tmp_path / "kubernetes")
    monkeypatch.setattr(cluster, "KUBERNETES", tmp_path / "kubernetes")
    for name in ("K8S_AB_HOST", "K8S_AB_NAMESPACE"):
        monkeypatch.setenv(name, "a-name")
    return tmp_path / "kubernetes"


def test_settings_are_a_label_that_stays_as_long_as_they_do(declared: Path) -> None:
    before = cluster.settings()

    for path in declared.rglob("*.yaml"):
        path.touch()
    assert cluster.settings() == before
    assert re.fullmatch("[0-9a-f]{40}", before)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("colour/deployment.yaml", "replicas: 2", "replicas: 3"),
        ("colour/deployment.yaml", "key: SCORING_KEYS", "key: OTHER_KEYS"),
        ("traffic/virtual-service.yaml", "timeout: 30s", "timeout: 20s"),
    ],
)
def test_other_settings_are_another_release(declared: Path, file: str, old: str, new: str) -> None:
    before, text = cluster.settings(), (declared / file).read_text("utf-8")
    assert old in text

    (declared / file).write_text(text.replace(old, new), encoding="utf-8")

    assert cluster.settings() != before


@pytest.mark.parametrize("name", ["K8S_AB_HOST", "K8S_AB_NAMESPACE"])
@pytest.mark.usefixtures("declared")
def test_another_host_is_another_release(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    before = cluster.settings()

    monkeypatch.setenv(name, "another")

    assert cluster.settings() != before


def test_settings_are_read_again_as_they_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are no label of pods, which would be replaced for nothing but a label."""
    for name in ("PROJECT", "K8S_AB_NAMESPACE", "K8S_AB_HOST"):
        monkeypatch.setenv(name, "a-name")

    cluster.write(tmp_path, "blue", State(blue=Colour(IMAGE, "7", "a-digest")))

    written = json.loads((tmp_path / "blue" / "kustomization.yaml").read_text("utf-8"))["labels"]
    of_all = {name: value for one in written for name, value in one["pairs"].items()}
    assert cluster.colour({**deployment(), "metadata": {"labels": of_all}}, []).settings == "a-digest"
    assert [list(one["pairs"]) for one in written if one.get("includeTemplates")] == [["app.kubernetes.io/version"]]


# -- login ---

PROGRAM = """#!/bin/sh
case "$*" in
  'account get-access-token'*) [ -e refused ] && echo 'Please run az login' >&2 && exit 1; echo '"a-token"' ;;
  'aks get-credentials'*) touch "$8" ;;
  'config view --raw --output json') echo '{"users": [{"name": "a", "user": {"exec": {"command": "kubelogin"}}}]}' ;;
  *) exit 2 ;;
esac
echo "$*" >> log
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("az", "kubectl"):
        (tmp_path / name).write_text(PROGRAM, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("KUBECONFIG", "of-a-person")
    monkeypatch.setenv("RESOURCE_GROUP", "a-group")
    monkeypatch.setenv("AKS_COMPUTE_NAME", "a-cluster")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_login_asks_nobody_and_leaves_nothing(programs: Path) -> None:
    with cluster.logged_in():
        config = Path(os.environ["KUBECONFIG"])
        (one,) = json.loads(config.read_text("utf-8"))["users"]
        assert (one["name"], *one["user"].items()) == ("a", ("token", "a-token"))
        assert config.stat().st_mode & 0o077 == 0

    assert not config.exists()
    assert "a-token" not in (programs / "log").read_text("utf-8")


def test_a_login_that_fails_says_why(programs: Path) -> None:
    (programs / "refused").touch()

    with pytest.raises(AzureError, match=r"^az account get-access-token .*: Please run az login"), cluster.logged_in():
        pass


@pytest.mark.parametrize(
    ("weights", "serving"),
    [({}, set()), ({"blue": 0, "green": 100}, {"green"}), ({"blue": 70, "green": 30}, {"blue", "green"})],
)
def test_who_serves_is_who_has_a_weight(weights: dict[str, int], serving: set[str]) -> None:
    shared = [{"destination": {"host": f"a-project-{name}"}, "weight": weight} for name, weight in weights.items()]
    by_header = {"name": "blue", "route": [{"destination": {"host": "a-project-blue"}}]}
    routes = [by_header, *([{"name": "shared", "route": shared}] if shared else [])]

    assert cluster.serving_in({"spec": {"http": routes}}) == serving


@pytest.mark.parametrize(
    "image", ["", "registry.azurecr.io/scoring:latest", f"{IMAGE}0", f"x; rm {IMAGE}", f"{IMAGE}\n"]
)
def test_what_is_no_image_by_digest_is_refused(image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJECT", "a-project")
    with pytest.raises(AzureError, match="no image by digest"):
        cluster.write(tmp_path, "blue", State(blue=Colour(image, "7")))
