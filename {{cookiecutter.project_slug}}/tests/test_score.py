"""score.py as Azure ML's inference server calls it, without that server."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import SRC

if sys.platform != "linux":
    pytest.skip("Azure ML's inference server is installed on Linux only", allow_module_level=True)

from flask import Flask, g, request

from {{ cookiecutter.package_name }}.program import UserError

with pytest.MonkeyPatch.context() as patch:
    patch.setattr("logging.config.dictConfig", lambda _: None)  # the server's would silence all loggers there are
    from {{ cookiecutter.package_name }} import score

SAMPLE_BODY = (SRC / "request.json").read_bytes()


@pytest.fixture
def environment(trained: Path) -> dict[str, str]:
    return {"AZUREML_MODEL_DIR": str(trained / "candidate"), "MODEL_NAME": "tested", "MODEL_VERSION": "3"}


@pytest.fixture
def ready(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "service", score.load(environment), raising=False)


def run(method: str, body: bytes, **headers: str) -> Any:
    with Flask("server").test_request_context("/score", method=method, data=body, headers=headers):
        g.request_id, g.client_request_id = "the server's", headers.get("x-ms-request-id", "")
        return score.run(request._get_current_object())


@pytest.mark.usefixtures("ready")
def test_answers_as_the_core_does_and_logs_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    response = run("POST", SAMPLE_BODY, traceparent='00-"')
    line = json.loads(capfd.readouterr().out)

    assert response.status_code == 200
    assert response.get_data() == score.scoring.score(score.service, SAMPLE_BODY).body
    assert line.pop("duration_ms") > 0
    assert line == {
        "request_id": "the server's",
        "traceparent": '00-"',
        "predictions": len(json.loads(SAMPLE_BODY)["data"]),
        "status": 200,
        "model": "tested",
        "version": 3,
        "build": "",
    }


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize(
    ("method", "body", "status"),
    [("GET", b"", 405), ("POST", b"", 400), ("POST", b"x" * (score.MAX_BODY_BYTES + 1), 413)],
    ids=["get", "empty", "too_large"],
)
def test_what_is_wrong_with_a_request_is_the_client_s_fault(method: str, body: bytes, status: int) -> None:
    response = run(method, body)

    assert response.status_code == status
    assert response.json["error"]
    assert ("allow" in response.headers) == (status == 405)


@pytest.mark.parametrize("missing", ["AZUREML_MODEL_DIR", "MODEL_NAME", "MODEL_VERSION"])
def test_what_the_deployment_has_to_say_is_told(environment: dict[str, str], missing: str) -> None:
    with pytest.raises(UserError, match=missing):
        score.load({**environment, missing: ""})


def test_a_folder_without_a_model_is_told(environment: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds 0 files schema\.json"):
        score.load({**environment, "AZUREML_MODEL_DIR": str(tmp_path)})
