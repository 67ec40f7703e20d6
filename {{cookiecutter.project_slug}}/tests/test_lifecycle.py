"""The whole way of a model: promoted, refused, promoted, withdrawn, fetched."""

import json
from pathlib import Path

import pytest
from conftest import Workspace

from {{ cookiecutter.package_name }} import model


def test_better_models_are_promoted_worse_ones_refused_and_withdrawing_rolls_back(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    outcomes = []
    for alpha in (0.5, 0.4, 0.5, 0.41):
        workspace.set("training", alpha=alpha)
        workspace.run()
        version = workspace.champion()
        outcomes.append((alpha, version and version.number))
    workspace.call("withdraw", "--version", "3")
    version = workspace.champion()

    assert outcomes == [(0.5, 1), (0.4, 2), (0.5, 2), (0.41, 3)]
    assert version is not None
    assert version.number == 2
    assert "Model was not registered for this run. mse 3298.8856 is worse than version 2's 3295.7149" in caplog.text


def test_the_fetched_folder_is_the_model_that_was_judged(workspace_with_champion: Workspace) -> None:
    workspace_with_champion.call("fetch", "--output", "serving")

    assert json.loads(Path("serving/model.json").read_text(encoding="utf-8"))["version"] == 1
    assert model.digest(Path("serving/model")) == model.digest(Path("candidate/model"))


def test_fetching_replaces_what_was_fetched_before(workspace_with_champion: Workspace) -> None:
    workspace_with_champion.call("fetch", "--output", "serving")
    workspace_with_champion.run("--run-evaluation", "false")

    workspace_with_champion.call("fetch", "--output", "serving")

    assert json.loads(Path("serving/model.json").read_text(encoding="utf-8"))["version"] == 2
    assert sorted(path.name for path in Path("serving").iterdir()) == ["model", "model.json"]


@pytest.mark.parametrize(
    ("module", "arguments", "said"),
    [
        pytest.param("fetch", ["--output", "serving"], "no version to serve", id="fetch-none"),
        pytest.param("fetch", ["--output", "serving", "--version", "9"], "no version 9", id="fetch-unknown"),
        pytest.param("withdraw", ["--version", "9"], "no version 9. Its versions: none", id="withdraw-unknown"),
    ],
)
def test_a_version_that_is_not_there_is_told(
    workspace: Workspace, module: str, arguments: list[str], said: str
) -> None:
    with pytest.raises(SystemExit, match=said):
        workspace.call(module, *arguments)
    assert not Path("serving").exists()


@pytest.mark.parametrize("uri", ["sqlite:////proc/none/mlflow.db", "gopher://nowhere"], ids=["no_folder", "no_scheme"])
def test_a_registry_that_cannot_be_opened_is_told(
    workspace_with_champion: Workspace, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

    with pytest.raises(SystemExit, match=r"(?i)registry .* cannot be opened"):
        workspace_with_champion.step("evaluate")
