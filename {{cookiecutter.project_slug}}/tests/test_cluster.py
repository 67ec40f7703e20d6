"""What is read of a cluster, and which images are taken."""

from pathlib import Path
from typing import Any

import pytest
from deployment import cluster
from deployment.stages import Colour, State
from environment_setup.azure_cli import AzureError

IMAGE = f"registry.azurecr.io/scoring@sha256:{'0' * 64}"


def deployment(**status: int) -> dict[str, Any]:
    containers = [{"name": "sidecar", "image": "another"}, {"name": "scoring", "image": IMAGE}]
    return {
        "metadata": {"labels": {"colour": "blue", "app.kubernetes.io/version": "7"}, "generation": 3},
        "spec": {"replicas": 2, "template": {"spec": {"containers": containers}}},
        "status": status,
    }


ALL_READY = {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}


@pytest.mark.parametrize(
    ("change", "ready"),
    [
        ({}, True),
        ({"observedGeneration": 2}, False),
        ({"availableReplicas": 1}, False),
        ({"updatedReplicas": 1}, False),
        ({"replicas": 3}, False),
    ],
    ids=["all", "not seen yet", "one not available", "one of a former image", "one more than there should be"],
)
def test_a_colour_is_ready_when_all_its_pods_are(change: dict[str, int], ready: bool) -> None:
    assert cluster.colour(deployment(**{**ALL_READY, **change})) == Colour(IMAGE, "7", ready)


def test_a_colour_without_a_status_is_not_ready() -> None:
    assert not cluster.colour(deployment()).ready


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
