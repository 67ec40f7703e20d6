"""The model of a build is found where Azure DevOps says, and nothing that it or a person says is taken on trust."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from ml_service import model_of_build

from {{ cookiecutter.package_name }}.program import UserError

BUILD: dict[str, Any] = {
    "id": 12,
    "status": "completed",
    "result": "partiallySucceeded",
    "sourceBranch": "refs/heads/main",
    "sourceVersion": "c" * 40,
    "definition": {"id": 3},
}
JUDGED = {"name": "a-model", "version": 10, "registered": True, "metrics": {}, "model_digest": "0" * 64}
JUDGED["workspace"] = "test-RG/test"
MODEL = {"value": [{"name": "model"}]}
OTHER = {"value": [{"name": "coverage"}]}
VALID = uuid4().hex


class DevOps(HTTPServer):
    """Answers with what is in `answers`, to who has the token, and remembers what was asked for."""

    answers: dict[str, Any]
    asked: list[str]


class Handler(BaseHTTPRequestHandler):
    server: DevOps

    def do_GET(self) -> None:
        found = self.server.answers.get(self.path.partition("?")[0].removeprefix("/project/_apis/build/builds/"))
        self.server.asked.append(self.path)
        trusted = self.headers["Authorization"] == f"Bearer {VALID}"
        self.send_response(302 if not trusted else 200 if found is not None else 404)
        self.send_header("Location", "/project/_apis/build/builds/elsewhere")
        self.end_headers()
        self.wfile.write(found.encode() if isinstance(found, str) else json.dumps(found).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def devops(monkeypatch: pytest.MonkeyPatch) -> Iterator[DevOps]:
    """Azure DevOps, and the environment of a job that build 12 of pipeline 3 has started."""
    server = DevOps(("127.0.0.1", 0), Handler)
    server.asked = []
    server.answers = {"12": BUILD, "12/artifacts": MODEL}
    for name, value in {
        "SYSTEM_COLLECTIONURI": f"http://127.0.0.1:{server.server_port}/",
        "SYSTEM_TEAMPROJECTID": "project",
        "NO_PROXY": "127.0.0.1",
        "SYSTEM_ACCESSTOKEN": VALID,
        "BUILD_REASON": "ResourceTrigger",
        "BUILD_SOURCEBRANCH": "refs/heads/main",
        "MODEL_BUILD_ID": "",
        "RESOURCES_PIPELINE_CI_PIPELINEID": "3",
        "RESOURCES_PIPELINE_CI_PIPELINENAME": "the-ci",
        "RESOURCES_PIPELINE_CI_RUNID": "12",
    }.items():
        monkeypatch.setenv(name, value)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_the_build_is_the_one_that_was_asked_for_or_else_the_one_that_started_this(
    devops: DevOps, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert model_of_build.chosen() == "12"
    monkeypatch.setenv("MODEL_BUILD_ID", " 7 ")
    assert model_of_build.chosen() == "7"
    monkeypatch.setenv("BUILD_REASON", "Manual")
    assert model_of_build.chosen() == "7"
    monkeypatch.setenv("MODEL_BUILD_ID", "$(MODEL_BUILD_ID)")
    with pytest.raises(UserError, match="name one with modelBuildId"):
        model_of_build.chosen()


@pytest.mark.parametrize("action", ["find", "read"])
def test_a_run_of_another_branch_than_main_is_refused(
    devops: DevOps, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    monkeypatch.setenv("BUILD_SOURCEBRANCH", "refs/heads/feature")
    monkeypatch.setattr("sys.argv", ["model_of_build", action])

    with pytest.raises(SystemExit, match="start it on main"):
        model_of_build.main()
    assert devops.asked == []


@pytest.mark.parametrize("asked", ["latest", "-1", "1; ls", "12/artifacts", "٣", "9" * 11, "##vso[task.complete]"])
def test_what_is_no_number_is_refused_and_no_command_to_the_agent(
    devops: DevOps, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    monkeypatch.setenv("MODEL_BUILD_ID", asked)

    with pytest.raises(UserError, match="must be the number of a build") as refused:
        model_of_build.chosen()

    assert "##" not in str(refused.value)


@pytest.mark.parametrize(("artifacts", "found"), [(MODEL, True), (OTHER, False), ({"value": []}, False)])
def test_a_build_has_a_model_if_it_has_the_artifact(devops: DevOps, artifacts: Any, found: bool) -> None:
    devops.answers["12/artifacts"] = artifacts

    assert model_of_build.find("12")["sourceVersion"] == "c" * 40
    assert model_of_build.has_model("12") == found


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"12": None}, "There is no build 12"),
        ({"12": {**BUILD, "deleted": True}}, "There is no build 12"),
        ({"12": {**BUILD, "definition": {"id": 4}}}, "Build 12 is of another pipeline: name one of the-ci"),
        ({"12": {}}, "Build 12 is of another pipeline|There is no build 12"),
        ({"12": {**BUILD, "sourceBranch": "refs/heads/feature"}}, "Build 12 is of 'refs/heads/feature'"),
        ({"12": {**BUILD, "status": "inProgress", "result": None}}, "has not ended"),
        ({"12": {**BUILD, "result": "failed"}}, "ended with 'failed'"),
        ({"12": {**BUILD, "sourceVersion": "main; ls"}}, "is of commit 'main; ls', which is none"),
        ({"12": "<html>Sign in</html>"}, "gave no answer"),
        ({"12": "[1, 2]"}, "gave no answer"),
    ],
)
def test_a_build_that_will_not_do_is_refused(devops: DevOps, answers: dict[str, Any], said: str) -> None:
    devops.answers |= answers

    with pytest.raises(UserError, match=said):
        model_of_build.find("12")


def test_a_token_that_is_not_accepted_goes_nowhere_else(devops: DevOps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYSTEM_ACCESSTOKEN", "expired")

    with pytest.raises(UserError, match="answered 302"):
        model_of_build.find("12")

    assert len(devops.asked) == 1


@pytest.fixture
def handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that writes model.json, in a run about workspace test-RG/test."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "RESOURCE_GROUP": "test-RG",
        "WORKSPACE_NAME": "test",
        "BUILD_BUILDID": "31",
        "BUILD_SOURCEVERSION": "d" * 40,
        "COMMIT_OF_BUILD": "c" * 40,
    }.items():
        monkeypatch.setenv(name, value)

    def handed_on(**changed: Any) -> None:
        content = {name: value for name, value in {**JUDGED, **changed}.items() if value is not None}
        model_of_build.FILE.write_text(json.dumps(content), encoding="utf-8")

    return handed_on


RUNS = {
    # reason, MODEL_BUILD_ID, commit that `find` told: the number and commit that it brings, and whether it goes back
    "after a build": (("ResourceTrigger", "", "c" * 40), ("12", "c" * 40, "false")),
    "back to a build": (("Manual", "12", "c" * 40), ("31", "c" * 40, "true")),
    "the champion": (("Manual", "", ""), ("31", "d" * 40, "false")),
}


@pytest.mark.parametrize("run", RUNS)
def test_other_jobs_are_told_which_version_build_and_commit_it_is(
    devops: DevOps, handed_on: Callable[..., None], monkeypatch: pytest.MonkeyPatch, run: str
) -> None:
    told, expected = RUNS[run]
    for name, value in zip(("BUILD_REASON", "MODEL_BUILD_ID", "COMMIT_OF_BUILD"), told, strict=True):
        monkeypatch.setenv(name, value)
    handed_on(registered=False)

    outputs = model_of_build.outputs()

    assert tuple(outputs.pop(name) for name in ("BUILD", "COMMIT", "GOING_BACK")) == expected
    assert outputs == {"FOUND": "true", "MODEL_NAME": "a-model", "MODEL_VERSION": "10", "REGISTERED": "false"}


def test_a_model_of_another_workspace_is_left_to_runs_of_that(
    handed_on: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_BUILD_ID", "")
    handed_on(workspace="other-RG/other")
    assert model_of_build.outputs() == {"FOUND": "false"}

    monkeypatch.setenv("MODEL_BUILD_ID", "12")
    with pytest.raises(UserError, match=r"'other-RG/other'.*choose the variableGroup that the build had"):
        model_of_build.outputs()


@pytest.mark.parametrize("content", ["", "[]", "7", "{"])
def test_a_file_that_is_no_record_is_refused(handed_on: Callable[..., None], content: str) -> None:
    model_of_build.FILE.write_text(content, encoding="utf-8")

    with pytest.raises(UserError, match=r"model\.json (is not JSON|says None for name)"):
        model_of_build.read()


@pytest.mark.parametrize("key", sorted(JUDGED.keys() - {"metrics"}))
@pytest.mark.parametrize("value", [None, "", 0, "a\n##vso[task.complete]"], ids=["missing", "empty", "zero", "hostile"])
def test_a_record_without_what_is_needed_is_refused(handed_on: Callable[..., None], key: str, value: Any) -> None:
    handed_on(**{key: value})

    with pytest.raises(UserError, match=rf"model\.json says .* for {key}") as refused:
        model_of_build.outputs()

    assert "##" not in str(refused.value)
