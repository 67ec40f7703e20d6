"""Deploying as a service of Azure ML: what is refused, what is waited for, what is put back."""

import inspect
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("azureml.core", reason="Azure ML's SDK has no build for this machine")

from azureml.core.webservice import AciWebservice, AksWebservice
from ml_service import deploy, judged, service
from ml_service.service import Certificate, Target

from {{ cookiecutter.package_name }}.program import UserError

TARGETS: list[type[Target]] = [getattr(import_module(f"ml_service.{name}"), name.title()) for name in deploy.TARGETS]
SDK = {"ACI": AciWebservice, "AKS": AksWebservice}
REQUEST = {"driverProgram": "main.py", "assets": [], "environment": {"name": "e"}, "modelIds": ["a-model:12"]}
SERVICE = {"computeType": "ACI", "state": "Healthy", "kvTags": {"build_id": "7"}, "environmentImageRequest": REQUEST}


@pytest.mark.parametrize("target", TARGETS)
def test_what_a_file_describes_has_keys_and_insights_and_is_known_to_the_sdk(target: type[Target]) -> None:
    described = target.read()

    changes = described.changes()
    created = described.configuration()
    assert changes["auth_enabled"] is changes["enable_app_insights"] is True
    assert created.auth_enabled is created.enable_app_insights is True
    assert changes.keys() <= inspect.signature(SDK[target.kind].update).parameters.keys()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("content", "told"),
    [("cpu_cores: none", "cpu_cores: "), ("cores: 1", "cores: "), ("minutes: 0", "minutes: "), ("a: [", "not YAML")],
)
def test_a_file_that_is_wrong_is_named(
    target: type[Target], content: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "DEPLOYMENT", tmp_path)
    path = tmp_path / f"{target.kind.lower()}.yml"
    path.write_text(content, encoding="utf-8")

    with pytest.raises(UserError, match=f"{path.name}.*{told}"):
        target.read()


def test_a_certificate_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match=r"no\.pem is missing: it belongs to the certificate for a\.example"):
        Certificate(domain="a.example", certificate=Path("no.pem"), key=Path("no.key")).arguments()


def test_what_served_before_comes_back_as_it_was() -> None:
    before = deploy.former({**SERVICE, "scoringUri": "http://a.example/score"}, "a-service", "ACI")

    assert before is not None
    assert (before.version.name, before.version.number, before.tags) == ("a-model", 12, {"build_id": "7"})
    assert before._build_environment_image_request(None, ["another:1"]) == REQUEST
    assert deploy.former(None, "a-service", "ACI") is None


@pytest.mark.parametrize(
    ("difference", "told"),
    [
        ({"computeType": "AKS"}, "of type AKS, not ACI"),
        ({"state": "Transitioning"}, "changed by somebody else"),
        ({"environmentImageRequest": None}, "not made by this program"),
    ],
)
def test_a_service_that_is_not_ours_to_change_is_refused(difference: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        deploy.former({**SERVICE, **difference}, "a-service", "ACI")


def test_an_operation_is_followed_to_its_end(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(service, "EVERY", 0.0)
    building, deploying = ({"operationDetails": {"subOperationType": name}} for name in ("Build", "Deploy"))
    states = [("Running", None, building)] * 3 + [("Running", None, deploying), ("Failed", "why", deploying)]

    assert service.until_ended(lambda: states.pop(0), 1)[:2] == ("Failed", "why")
    assert [line.split("s  ")[1] for line in caplog.messages] == ["Running Build", "Running Deploy", "Failed Deploy"]


def test_an_operation_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "EVERY", 0.01)

    with pytest.raises(UserError, match="not done after"):
        service.until_ended(lambda: ("Running", None, {}), 0.001)


def test_all_sentences_of_an_error_are_told() -> None:
    error = {"message": "It failed.", "details": [{"code": "x", "message": "No\nroom."}, {"code": "y"}]}

    assert service.told(error) == "It failed. No room. {'code': 'y'}"
    assert service.told(None) == "no reason given."


@pytest.mark.parametrize("change", [{"version": "9"}, {"version": 0}, {"name": "a b"}, {"model_digest": "x"}, {"a": 1}])
def test_a_model_file_that_nothing_has_judged_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    good = {"name": "a-model", "version": 9, "metrics": {"a_metric": 1.5}, "model_digest": "0" * 64}
    path.write_text(json.dumps(good), encoding="utf-8")
    assert judged.read(path).version == 9

    path.write_text(json.dumps({**good, **change}), encoding="utf-8")
    with pytest.raises(UserError, match=f"model.json: {next(iter(change))}: "):
        judged.read(path)
