"""What becomes of versions: withdrawn, fetched, not found."""

import json
from pathlib import Path

import pytest
from conftest import Workspace

from {{ cookiecutter.package_name }} import model


def test_withdrawing_makes_the_version_before_champion_again(workspace_with_champion: Workspace) -> None:
    workspace_with_champion.run("--run-evaluation", "false")
    workspace_with_champion.run("--run-evaluation", "false")
    champions = []
    for number in (3, 2, 1):
        champions.append(workspace_with_champion.champion())
        workspace_with_champion.call("withdraw", "--version", str(number))

    assert [version and version.number for version in champions] == [3, 2, 1]
    assert workspace_with_champion.champion() is None


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
