"""What a service on the cluster is read to be, and what is not taken for it."""

import json
from typing import Any

import pytest
from deployment.aks.rolling_update import APPLIED, deployed_in, strangers, surplus
from environment_setup.azure_cli import AzureError

IMAGE = f"registry.azurecr.io/scoring@sha256:{'0' * 64}"
NAME = "app.kubernetes.io/name"


def thing(kind: str = "Service", name: str = "a-project", applied: bool = True, **labels: str) -> dict[str, Any]:
    declared = {"kind": kind, "metadata": {"name": name, "labels": {NAME: "a-project", **labels}}}
    annotations = {"annotations": {APPLIED: json.dumps(declared)}} if applied else {}
    return {"kind": kind, "metadata": {**declared["metadata"], **annotations}, "status": {"changes": "by the hour"}}


def deployment(**labels: str) -> dict[str, Any]:
    containers = [{"name": "sidecar", "image": "another"}, {"name": "scoring", "image": IMAGE}]
    spec = {"replicas": 3, "template": {"spec": {"containers": containers}}}
    return {**thing("Deployment", **labels), "spec": spec}


def test_what_is_put_back_is_what_was_applied_last() -> None:
    found = deployed_in([thing("Service"), deployment(settings="a-digest", build="7")])

    assert found
    assert found.identity == (IMAGE, "a-digest", "7")
    body = json.loads(found.body)
    assert [one["kind"] for one in body["items"]] == ["Service", "Deployment"]
    assert [one.keys() for one in body["items"]] == [{"kind", "metadata"}] * 2


def test_without_a_deployment_there_is_nothing_yet() -> None:
    assert deployed_in([thing("Service")]) is None


STRANGERS = {
    "another's": ({"kind": "Service", "metadata": {"name": "a-project"}}, True),
    "made by other means": (thing(applied=False), True),
    "a colour of a canary": (thing(name="a-project-blue"), True),
    "of another name": ({"kind": "Service", "metadata": {"name": "other"}}, False),
    "its own": (thing(), False),
}


@pytest.mark.parametrize("which", STRANGERS)
def test_what_somebody_else_made_is_named(which: str) -> None:
    one, strange = STRANGERS[which]

    assert strangers([one], "a-project") == ([f"service/{one['metadata']['name']}"] if strange else [])


def test_nothing_is_deleted_where_names_do_not_compare() -> None:
    assert surplus({"service/a"}, {"service/a", "service/b"}) == ["service/b"]

    with pytest.raises(AzureError, match=r"applied services/a, but does not find it"):
        surplus({"services/a"}, {"service/a", "service/b"})
