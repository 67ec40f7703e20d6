"""Fetching the version that a build judged."""

from unittest.mock import Mock

import pytest

pytest.importorskip("azureml.core", reason="Azure ML's SDK has no build for this machine")

from ml_service import fetch, program

from {{ cookiecutter.package_name }}.program import UserError


def test_files_that_azure_refuses_in_passing_are_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = UserError("cannot be fetched")
    refused.__cause__ = ConnectionError("too many 503 error responses")
    fetched = Mock(side_effect=[refused, None])
    monkeypatch.setattr("ml_service.fetch.golden_rows.fetch", fetched)
    for name in ("model_of_build.read", "judged.find", "settings.read", "get_workspace", "mlflow_client"):
        monkeypatch.setattr(f"ml_service.fetch.{name}", Mock())
    monkeypatch.setattr(program, "PAUSE", 0)
    monkeypatch.setattr("sys.argv", ["fetch"])

    fetch.main()

    assert fetched.call_count == 2
