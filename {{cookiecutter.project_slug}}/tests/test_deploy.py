"""Deploying as a service of Azure ML: what is refused, what is waited for, what is put back."""

import inspect
import json
import math
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("azureml.core", reason="Azure ML's SDK has no build for this machine")

from azureml.core.webservice import AciWebservice, AksWebservice
from azureml.exceptions import WebserviceException
from ml_service import deploy, judged, program, service
from ml_service.service import Certificate, Target

from {{ cookiecutter.package_name }} import smoke_test
from {{ cookiecutter.package_name }}.program import UserError
from {{ cookiecutter.package_name }}.registry import Version

TARGETS: list[type[Target]] = [getattr(import_module(f"ml_service.{name}"), name.title()) for name in deploy.TARGETS]
SDK = {"ACI": AciWebservice, "AKS": AksWebservice}
REQUEST = {"driverProgram": "main.py", "assets": [], "environment": {"name": "e"}, "modelIds": ["a-model:12"]}
TARGET = TARGETS[0].read()
BUILD: Any = SimpleNamespace(build_id="7")
SERVICE = {
    "computeType": TARGET.kind,
    "state": "Healthy",
    "kvTags": {"build_id": "7"},
    "environmentImageRequest": REQUEST,
    "authEnabled": True,
    "appInsightsEnabled": True,
}


@pytest.mark.parametrize("target", TARGETS)
def test_what_a_file_describes_has_keys_and_insights_and_is_known_to_the_sdk(target: type[Target]) -> None:
    described = target.read()

    changes = described.changes()
    created = described.configuration()
    assert changes["auth_enabled"] is changes["enable_app_insights"] is True
    assert created.auth_enabled is created.enable_app_insights is True
    assert changes.keys() | target.fields.keys() <= inspect.signature(SDK[target.kind].update).parameters.keys()


@pytest.mark.parametrize("target", TARGETS)
def test_all_that_a_file_describes_and_an_update_may_change_reaches_the_service(target: type[Target]) -> None:
    described = target.read()
    changes = described.changes()

    fixed = {"cpu_cores", "memory_gb"} if target.kind == "ACI" else set()
    written = described.model_dump(exclude={"minutes", "cluster_purpose", "tls", *fixed})
    assert {name: changes.get(name) for name in written} == written


@pytest.mark.parametrize("target", TARGETS)
def test_all_that_an_update_changes_comes_back_but_the_files_of_a_certificate(target: type[Target]) -> None:
    certified = {"ssl_cname": None, "ssl_cert_pem_file": None, "ssl_key_pem_file": None}
    changes = {**target.read().changes(), **(certified if target.kind == "ACI" else {})}

    assert changes.keys() - target.fields.keys() <= {"ssl_cert_pem_file", "ssl_key_pem_file"}


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


TLS = {"sslEnabled": True, "cname": "a.example", "sslCertificate": "A"}
FOLLOWS = {"autoscaleEnabled": True, "minReplicas": 1, "maxReplicas": 3}
SIZE = {"containerResourceRequirements": {"cpu": 0.5, "memoryInGB": 2}, "numReplicas": 2, "maxQueueWaitMs": 9}


@pytest.mark.parametrize(
    ("kind", "described", "settings"),
    [
        ("ACI", TLS, {"ssl_enabled": True, "ssl_cname": "a.example"}),
        ("ACI", {**TLS, "sslEnabled": False}, {"ssl_enabled": False}),
        (
            "AKS",
            {**SIZE, "autoScaler": FOLLOWS},
            {"cpu_cores": 0.5, "memory_gb": 2, "max_request_wait_time": 9}
            | {"autoscale_enabled": True, "autoscale_min_replicas": 1, "autoscale_max_replicas": 3},
        ),
        (
            "AKS",
            {**SIZE, "autoScaler": {**FOLLOWS, "autoscaleEnabled": False}},
            {"cpu_cores": 0.5, "memory_gb": 2, "max_request_wait_time": 9}
            | {"autoscale_enabled": False, "num_replicas": 2},
        ),
    ],
    ids=["tls", "no_tls", "follows_the_load", "fixed"],
)
def test_settings_are_read_from_what_azure_ml_tells(
    kind: str, described: dict[str, Any], settings: dict[str, Any]
) -> None:
    for target in TARGETS:
        if target.kind == kind:
            assert target.changes_to(described) == settings


def test_what_is_not_as_it_was_is_named() -> None:
    before, now = (deploy.Former({**SERVICE, **change}, TARGET) for change in (TLS, {**TLS, "sslCertificate": "B"}))

    assert before.differences(before) == []
    assert before.differences(now) == ["certificate"]
    assert before.differences(deploy.Former({**SERVICE, **TLS, "appInsightsEnabled": False}, TARGET)) == [
        "enable_app_insights"
    ]


def test_what_another_build_has_deployed_meanwhile_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = {**SERVICE, "kvTags": {"build_id": "9"}}
    monkeypatch.setattr(service, "settled", lambda *_: changed)
    monkeypatch.setattr(service, "find", lambda *_: changed)
    workspace: Any = None  # which nothing more is asked of

    for before in (deploy.former(SERVICE, "a-service", TARGET), None):
        told = deploy.go_back(workspace, "a-service", TARGET, before, "8")
        assert told == "Build 9 has changed a-service meanwhile: what it deployed was left alone."


def test_what_served_before_comes_back_as_it_was() -> None:
    before = deploy.former({**SERVICE, "scoringUri": "http://a.example/score"}, "a-service", TARGET)

    assert before is not None
    assert (before.version.name, before.version.number, before.tags) == ("a-model", 12, {"build_id": "7"})
    assert before._build_environment_image_request(None, ["another:1"]) == REQUEST
    assert deploy.former(None, "a-service", TARGET) is None


@pytest.mark.parametrize(
    ("difference", "told"),
    [
        ({"computeType": "X"}, f"of type X, not {TARGET.kind}"),
        ({"state": "Transitioning"}, "changed by somebody else"),
        ({"environmentImageRequest": None}, "not made by this program"),
    ],
)
def test_a_service_that_is_not_ours_to_change_is_refused(difference: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        deploy.former({**SERVICE, **difference}, "a-service", TARGET)


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


BEFORE = "version 12 of a-model"
FIRST = "There was no service a-service before, and"
FOR_EVER = math.inf


class Cloud:
    """Azure ML with at most one service, and its time. A change takes its seconds; a call is refused so many times."""

    name, scoring_uri, error = "a-service", "https://a.example/score", None

    def __init__(
        self, served: int | None, lasts: float = 0, failing: bool = False, goes: float = 0, **refused: float
    ) -> None:
        self.now, self.ends, self.lasts, self.failing, self.goes, self.refused = 0.0, 0.0, lasts, failing, goes, refused
        self.serves, self.wanted, self.log = served, served, list[str]()
        self.insights = True
        self._operation_endpoint: str | None = None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def __call__(self, workspace: None, name: str) -> "Cloud":
        return self

    def _refuse(self, call: str) -> None:
        self.refused[call] = self.refused.get(call, 0) - 1
        if self.refused[call] >= 0:
            raise WebserviceException(f"Received bad response\nResponse Code: 503\nContent: no {call} now")

    def _get(self, workspace: None, name: str) -> dict[str, Any] | None:
        if self.log:
            self._refuse("find")
        if self.now >= self.ends:
            self.serves = self.wanted
        state = "Healthy" if self.now >= self.ends else "Transitioning"
        described = {**SERVICE, "state": state, "environmentImageRequest": request(self.serves)}
        return {**described, "appInsightsEnabled": self.insights} if self.serves else None

    def begin(self, *_: Any) -> "Cloud":
        self.log.append("begin")
        self.wanted, self.ends = 13, self.now + self.lasts
        self.serves, self.insights = self.serves or 13, False
        return self

    def _get_operation_state(self) -> tuple[str, str | None, dict[str, Any]]:
        state = "Failed" if self.failing else "Succeeded"
        return ("Running" if self.now < self.ends else state), "REASON", {}

    def update_deployment_state(self) -> None:
        self._get(None, self.name)

    def get_logs(self, num_lines: int) -> str:
        raise ConnectionError("no log now")

    def update(self, inference_config: deploy.Former, tags: dict[str, str], **settings: Any) -> None:
        self._refuse("update")
        self.log.append("update")
        assert tags == SERVICE["kvTags"]
        self.insights = settings["enable_app_insights"]
        self.wanted, self.ends, self.failing = inference_config.version.number, self.now + self.goes, False

    def delete(self) -> None:
        self._refuse("delete")
        self.log.append("delete")
        self._operation_endpoint, self.ends, self.failing = "operations/1", self.now + self.goes, False
        self._wait_for_operation_to_complete(True, None)

    def _wait_for_operation_to_complete(self, show_output: bool, timeout_sec: float | None) -> None:
        raise AssertionError("This may wait for ever.")

    def check(self, found: "Cloud", version: Version) -> None:
        if self.serves != version.number or self.failing:
            raise UserError("REASON")


def request(number: int | None) -> dict[str, Any]:
    return {**REQUEST, "modelIds": [f"a-model:{number}"]}


@pytest.mark.parametrize(
    ("cloud", "first", "last", "changes"),
    [
        (Cloud(12, lasts=2000), "not done after 30 minutes", f"{BEFORE} was put back, and serves.", ["update"]),
        (Cloud(12, FOR_EVER), "not done after 30 minutes", "a-service is still being changed, and nobody can say", []),
        (Cloud(12, failing=True), "REASON", f"{BEFORE} was put back, and serves.", ["update"]),
        (Cloud(12, failing=True, goes=2000), "REASON", f"{BEFORE} serves, but could not be put back whole", ["update"]),
        (Cloud(12, failing=True, goes=FOR_EVER), "REASON", "is still being changed, and nobody can say", ["update"]),
        (Cloud(12, failing=True, update=1), "REASON", f"{BEFORE} was put back, and serves.", ["update"]),
        (Cloud(12, failing=True, update=9), "REASON", "Nothing that was tested serves now: .* no update now", []),
        (Cloud(12, failing=True, find=99), "REASON", "Nobody can say what a-service serves: .* no find now", []),
        (Cloud(None, failing=True), "REASON", f"{FIRST} what this has left was deleted.", ["delete"]),
        (Cloud(None, FOR_EVER), "not done after", f"{FIRST} what this has left was deleted.", ["delete"]),
        (Cloud(None, failing=True, delete=2), "REASON", f"{FIRST} what this has left was deleted.", ["delete"]),
        (Cloud(None, failing=True, delete=9), "REASON", f"{FIRST} deleting .* failed: .* no delete", []),
        (Cloud(None, failing=True, goes=FOR_EVER), "REASON", f"{FIRST} deleting .*: see in the studio", ["delete"]),
    ],
)
def test_after_a_failure_its_reason_is_told_and_then_what_serves(
    cloud: Cloud, first: str, last: str, changes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (deploy, service):
        monkeypatch.setattr(module, "Webservice", cloud)
    monkeypatch.setattr(service, "time", cloud)
    monkeypatch.setattr(program, "PAUSE", 0)
    monkeypatch.setattr(deploy, "begin", cloud.begin)
    monkeypatch.setattr(deploy, "check", cloud.check)

    with pytest.raises(UserError) as failure:
        deploy.deploy(None, "a-service", TARGET, Version("a-model", 13, "", {}), BUILD)

    why, what = str(failure.value).split("\n")
    assert re.search(f"^version 13 of a-model was not deployed to a-service. .*({first})", why)
    assert re.search(last, what)
    assert cloud.log == ["begin", *changes]
    assert cloud.now < 2.1 * 1800


@pytest.mark.parametrize(
    ("served", "told"),
    [
        (12, "a-service may serve version 13 of a-model, .* or version 12 .* with the model.json of version 12"),
        (None, "a-service may serve version 13 of a-model later, .* or delete a-service there"),
    ],
    ids=["update", "first"],
)
@pytest.mark.parametrize("where", ["deploy.begin", "service.wait", "deploy.go_back"])
def test_a_deployment_that_is_cancelled_says_in_its_last_line_what_to_do(
    where: str, served: int | None, told: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    cloud = Cloud(served, failing=True)
    monkeypatch.setattr(service, "Webservice", cloud)
    monkeypatch.setattr(deploy, "begin", cloud.begin)

    def cancel(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"ml_service.{where}", cancel)

    with pytest.raises(KeyboardInterrupt):
        deploy.deploy(None, "a-service", TARGET, Version("a-model", 13, "", {}), BUILD)

    assert re.match(f"Cancelled: {told}", caplog.messages[-1])
    assert f"`python -m ml_service.deploy {TARGET.kind.lower()}`" in caplog.messages[-1]


def described_as(version: int) -> tuple[int, bytes]:
    schema = {"example": {"data": [[1.0]]}}
    post = {"requestBody": {"content": {"application/json": {"schema": schema}}}}
    return 200, json.dumps({"info": {"version": str(version)}, "paths": {"/score": {"post": post}}}).encode()


class Replicas(BaseHTTPRequestHandler):
    """Tell of themselves what a test gives, one answer after another and then the last; all predict."""

    answers: list[tuple[int, bytes]]

    def do_GET(self) -> None:
        self.answer(*(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.answer(200, b'{"result": [1.5]}')

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Keep quiet."""


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """Return what checks that version 13 is served by replicas that answer so, and counts the answers left."""
    monkeypatch.setattr(deploy, "PAUSE", 0.01)
    monkeypatch.setattr(smoke_test, "ATTEMPTS", 1)
    with ThreadingHTTPServer(("127.0.0.1", 0), Replicas) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        found = SimpleNamespace(scoring_uri=f"http://127.0.0.1:{server.server_port}/score", auth_enabled=False)

        def check(*answers: tuple[int, bytes], seconds: float = 20) -> int:
            monkeypatch.setattr(smoke_test, "SECONDS_IN_ALL", seconds)
            Replicas.answers = list(answers)
            deploy.check(found, Version("a-model", 13, "", {}))
            return len(Replicas.answers)

        yield check
        server.shutdown()


NEW, FORMER, ABSENT, BUSY = described_as(13), described_as(12), (404, b""), (429, b"")


def test_a_service_must_answer_well_three_times_in_a_row(check: Callable[..., int]) -> None:
    assert check(NEW, NEW, NEW, FORMER) == 1
    assert check(NEW, NEW, FORMER, NEW, NEW, NEW, FORMER) == 1


@pytest.mark.parametrize("answer", [FORMER, ABSENT, BUSY], ids=["former", "absent", "busy"])
def test_a_service_that_changes_over_is_asked_again(check: Callable[..., int], answer: tuple[int, bytes]) -> None:
    assert check(answer, answer, NEW, answer, NEW) == 1


@pytest.mark.parametrize(
    ("answer", "told"),
    [(FORMER, "serves version '12', not 13"), (ABSENT, "answered 404"), (BUSY, "too many 429")],
    ids=["former", "absent", "busy"],
)
def test_a_service_that_never_changes_over_fails(
    check: Callable[..., int], answer: tuple[int, bytes], told: str
) -> None:
    with pytest.raises(UserError, match=f"{told}|not done answering"):
        check(answer, seconds=0.5)


def test_a_service_that_answers_wrong_is_not_asked_again(check: Callable[..., int]) -> None:
    with pytest.raises(UserError, match="answered 401"):
        check((401, b""), NEW)


def test_all_sentences_of_an_error_are_told() -> None:
    error = {"message": "It failed.", "details": [{"code": "x", "message": "No\nroom."}, {"code": "y"}]}

    assert service.told(error) == "It failed. No room. {'code': 'y'}"
    assert service.told(None) == "no reason given."


@pytest.mark.parametrize(
    "change",
    [{"version": "9"}, {"version": 0}, {"name": "a b"}, {"model_digest": "x"}, {"registered": "yes"}, {"a": 1}],
)
def test_a_model_file_that_nothing_has_judged_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    good = {"name": "a-model", "version": 9, "registered": False, "metrics": {}, "model_digest": "0" * 64}
    good["workspace"] = "a/b"
    path.write_text(json.dumps(good), encoding="utf-8")
    assert judged.read(path).version == 9

    path.write_text(json.dumps({**good, **change}), encoding="utf-8")
    with pytest.raises(UserError, match=f"model.json: {next(iter(change))}: "):
        judged.read(path)
