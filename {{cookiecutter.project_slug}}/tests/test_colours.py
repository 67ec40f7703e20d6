"""What is read of the colours of a canary release, and what is written."""

import json
from pathlib import Path
from typing import Any

import pytest
from deployment.aks import colours
from deployment.aks.stages import Colour, Ready, State, runs

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
        ({"availableReplicas": 1}, Ready.ALL),
        ({"replicas": 3, "updatedReplicas": 3}, Ready.ALL),
        ({"observedGeneration": 2}, Ready.SOME),
        ({"updatedReplicas": 1}, Ready.SOME),
        ({"availableReplicas": 0}, Ready.SOME),
    ],
    ids=["all", "a node is drained", "one is added", "not seen yet", "one of a former image", "none available"],
)
def test_a_colour_is_ready_with_any_number_of_pods(change: dict[str, int], ready: Ready) -> None:
    assert colours.colour(deployment(**{**ALL_READY, **change}), [pod()]) == Colour(IMAGE, "7", "a-digest", ready)


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
    found = colours.colours_in([*pods, deployment(**{**ALL_READY, "updatedReplicas": 1})])

    assert found == {"blue": Colour(IMAGE, "7", "a-digest", ready)}


def test_a_colour_that_is_to_have_no_pods_is_not_ready() -> None:
    scaled = deployment(observedGeneration=3)
    scaled["spec"]["replicas"] = 0

    assert colours.colour(scaled, []).ready is Ready.NONE


def test_a_colour_of_which_no_settings_are_known_is_no_release_of_these() -> None:
    labels = {"colour": "blue", "app.kubernetes.io/version": "7"}
    former = {**deployment(**ALL_READY), "metadata": {"labels": labels}}

    assert not runs(colours.colour(former, []), Colour(IMAGE, "7", "a-digest"))


def test_a_colour_without_a_status_is_not_ready() -> None:
    assert colours.colour(deployment(), []).ready is Ready.NONE


def test_who_moved_the_traffic_is_written_beside_it_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PROJECT", "K8S_AB_NAMESPACE", "K8S_AB_HOST"):
        monkeypatch.setenv(name, "a-name")
    colours.write(tmp_path, None, State(serving=frozenset({"blue"}), moved_by=IMAGE))
    written = json.loads((tmp_path / "kustomization.yaml").read_text("utf-8"))
    added = [json.loads(one["patch"])[0] for one in written["patches"] if one["target"]["kind"] == "VirtualService"]
    metadata = {one["path"].rpartition("/")[2]: one["value"] for one in added if one["op"] == "add"}
    traffic = {"kind": "VirtualService", "metadata": {"labels": {}, **metadata}, "spec": {"http": []}}
    monkeypatch.setattr(colours, "kubectl", lambda *_: json.dumps({"items": [traffic]}))

    assert colours.read().moved_by == IMAGE


def test_before_the_first_release_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJECT", "a-name")
    monkeypatch.setattr(colours, "kubectl", lambda *_: '{"items": []}')

    assert colours.read() == State()


def test_settings_are_read_again_as_they_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are no label of pods, which would be replaced for nothing but a label."""
    for name in ("PROJECT", "K8S_AB_NAMESPACE", "K8S_AB_HOST"):
        monkeypatch.setenv(name, "a-name")

    colours.write(tmp_path, "blue", State(blue=Colour(IMAGE, "7", "a-digest")))

    written = json.loads((tmp_path / "blue" / "kustomization.yaml").read_text("utf-8"))["labels"]
    of_all = {name: value for one in written for name, value in one["pairs"].items()}
    assert colours.colour({**deployment(), "metadata": {"labels": of_all}}, []).settings == "a-digest"
    assert [list(one["pairs"]) for one in written if one.get("includeTemplates")] == [["app.kubernetes.io/version"]]


@pytest.mark.parametrize(
    ("weights", "serving"),
    [({}, set()), ({"blue": 0, "green": 100}, {"green"}), ({"blue": 70, "green": 30}, {"blue", "green"})],
)
def test_who_serves_is_who_has_a_weight(weights: dict[str, int], serving: set[str]) -> None:
    shared = [{"destination": {"host": f"a-project-{name}"}, "weight": weight} for name, weight in weights.items()]
    by_header = {"name": "blue", "route": [{"destination": {"host": "a-project-blue"}}]}
    routes = [by_header, *([{"name": "shared", "route": shared}] if shared else [])]

    assert colours.serving_in({"spec": {"http": routes}}) == serving
