"""A build that registered a model is kept, and is no worse where that cannot be."""

from unittest.mock import Mock

import pytest
from ml_service import retention

from {{ cookiecutter.package_name }}.program import UserError


@pytest.fixture(autouse=True)
def build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILD_BUILDID", "12")
    monkeypatch.setenv("SYSTEM_DEFINITIONID", "3")


def test_a_lease_is_taken_on_the_build(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    ask = Mock(return_value={"count": 1})
    monkeypatch.setattr(retention, "ask", ask)

    retention.main()

    lease = {"daysValid": 365, "definitionId": 3, "ownerId": "model", "protectPipeline": False, "runId": 12}
    ask.assert_called_once_with("retention/leases", [lease])


@pytest.mark.parametrize("answer", [UserError("Azure DevOps answered 403."), None], ids=["refused", "unknown"])
def test_a_build_that_cannot_be_kept_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, answer: UserError | None
) -> None:
    monkeypatch.setattr(retention, "ask", Mock(side_effect=[answer]))

    retention.main()

    assert "##vso[task.logissue type=warning]Azure DevOps" in caplog.text
    assert "choose Retain in its menu" in caplog.text
