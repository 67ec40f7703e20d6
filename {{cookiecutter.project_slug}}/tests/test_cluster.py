"""How a cluster is reached, what is declared for it, and which images are taken."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from deployment.aks import cluster
from environment_setup.azure_cli import AzureError

IMAGE = f"registry.azurecr.io/scoring@sha256:{'0' * 64}"


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


@pytest.fixture
def declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the manifests, from which settings are read."""
    shutil.copytree(cluster.MANIFESTS, tmp_path / "manifests")
    monkeypatch.setattr(cluster, "MANIFESTS", tmp_path / "manifests")
    for name in (cluster.HOST, cluster.NAMESPACE):
        monkeypatch.setenv(name, "a-name")
    return tmp_path / "manifests"


def test_settings_are_a_label_that_stays_as_long_as_they_do(declared: Path) -> None:
    before = cluster.settings()

    for path in declared.rglob("*.yaml"):
        path.touch()
    assert cluster.settings() == before
    assert re.fullmatch("[0-9a-f]{40}", before)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("base/autoscaler.yaml", "maxReplicas: 3", "maxReplicas: 4"),
        ("base/deployment.yaml", "key: SCORING_KEYS", "key: OTHER_KEYS"),
        ("traffic/virtual-service.yaml", "timeout: 30s", "timeout: 20s"),
    ],
)
def test_other_settings_are_another_release(declared: Path, file: str, old: str, new: str) -> None:
    before, text = cluster.settings(), (declared / file).read_text("utf-8")
    assert old in text

    (declared / file).write_text(text.replace(old, new), encoding="utf-8")

    assert cluster.settings() != before


@pytest.mark.parametrize("name", [cluster.HOST, cluster.NAMESPACE])
@pytest.mark.usefixtures("declared")
def test_another_host_is_another_release(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    before = cluster.settings()

    monkeypatch.setenv(name, "another")

    assert cluster.settings() != before


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
    "image", ["", "registry.azurecr.io/scoring:latest", f"{IMAGE}0", f"x; rm {IMAGE}", f"{IMAGE}\n"]
)
def test_what_is_no_image_by_digest_is_refused(image: str) -> None:
    with pytest.raises(AzureError, match="no image by digest"):
        cluster.images(image)


# -- pods that wait ---


def waits(reason: str) -> dict[str, Any]:
    told = {"containerStatuses": [{"name": "scoring", "state": {"waiting": {"reason": reason, "message": "why"}}}]}
    return {"spec": {"containers": [{"name": "scoring", "image": IMAGE}]}, "status": told}


@pytest.mark.parametrize(("reason", "role"), [("ImagePullBackOff", True), ("ErrImagePull", True), ("Crashed", False)])
def test_pods_that_wait_say_why_and_what_mends_it(reason: str, role: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RESOURCE_GROUP", "AKS_COMPUTE_NAME"):
        monkeypatch.setenv(name, "a-name")

    told = cluster.waiting([waits(reason), waits(reason), {**waits(reason), "status": {}}])

    assert told.startswith(f"{reason}: why")
    assert told.count("--role AcrPull") == told.count("az acr show --name registry ") == role
