"""What becomes of versions: withdrawn, fetched, not found."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
from conftest import PACKAGE, SRC, Workspace
from mlflow import MlflowClient, artifacts
from mlflow.exceptions import MlflowException

from {{ cookiecutter.package_name }} import predictor, registry
from {{ cookiecutter.package_name }}.pipeline import MODEL_NAME


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
    assert registry.digest(Path("serving/model")) == registry.digest(Path("candidate/model"))


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


def test_the_highest_number_is_champion_beyond_nine(workspace_with_champion: Workspace) -> None:
    client, version = MlflowClient(), workspace_with_champion.champion()
    assert version is not None
    for _ in range(10):
        client.create_model_version(MODEL_NAME, "file:///nowhere", version.run_id)

    latest = workspace_with_champion.champion()

    assert latest is not None
    assert latest.number == 11


def test_code_that_predicts_otherwise_does_not_serve_a_version(
    workspace_with_champion: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = predictor.load

    def changed(by: float) -> None:
        monkeypatch.setattr(predictor, "load", lambda folder: lambda rows: load(folder)(rows) + by)

    changed(1e-6)
    with pytest.raises(SystemExit, match="does not predict for the golden rows of version 1 of"):
        workspace_with_champion.call("fetch", "--output", "serving")
    assert not Path("serving/model.json").exists(), "which is what makes it serve"
    changed(1e-12)
    workspace_with_champion.call("fetch", "--output", "serving")
    assert Path("serving/model.json").exists()


@pytest.mark.parametrize("fault", [OSError("another format"), KeyError("scale")], ids=["file", "key"])
def test_code_that_cannot_read_a_version_does_not_serve_it(
    workspace_with_champion: Workspace, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    monkeypatch.setattr(predictor, "load", Mock(side_effect=fault))

    with pytest.raises(SystemExit, match=r"cannot score the golden rows of version 1 of .*Revert it, or train"):
        workspace_with_champion.call("fetch", "--output", "serving")


def test_a_version_whose_files_changed_is_not_served(workspace_with_champion: Workspace) -> None:
    version = workspace_with_champion.champion()
    assert version is not None
    source = MlflowClient().get_model_version(MODEL_NAME, str(version.number)).source
    changed = Path(source.removeprefix("file://")) / "schema.json"
    content = changed.read_bytes()
    changed.write_bytes(content + b"\n")

    with pytest.raises(SystemExit, match="not those that were judged"):
        workspace_with_champion.call("fetch", "--output", "serving")
    changed.write_bytes(content)  # other tests share it
    assert not Path("serving/model").exists()


@pytest.fixture
def fetch_failing_with(
    workspace_with_champion: Workspace, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Exception], str]:
    """Return what fetching tells when the store raises an error."""

    def told(error: Exception) -> str:
        monkeypatch.setattr(artifacts, "download_artifacts", Mock(side_effect=error))
        with pytest.raises(SystemExit) as ended:
            workspace_with_champion.call("fetch", "--output", "serving")
        return str(ended.value)

    return told


GONE = "##### File model/a #####\n(BlobNotFound) The blob\ndoes not exist.\n"
FORBIDDEN = "##### File model/b #####\n(AuthorizationFailed) No\npermission.\nCode: AuthorizationFailed\n"


@pytest.mark.parametrize(
    "error",
    [MlflowException(f"Failures at azureml://a:\n{GONE}{GONE}"), FileNotFoundError(2, "No such file or directory")],
    ids=["blobs", "folder"],
)
def test_only_a_version_whose_files_are_gone_is_to_be_withdrawn(
    fetch_failing_with: Callable[[Exception], str], error: Exception
) -> None:
    told = fetch_failing_with(error)

    assert re.fullmatch(r"error: The files of version 1 of .* are missing: .+\. Withdraw it to go on\.", told)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MlflowException(f"Failures:\n{FORBIDDEN * 8}"), "(AuthorizationFailed) No permission."),
        (MlflowException(f"Failures:\n{GONE}{FORBIDDEN}"), "(BlobNotFound)"),
        (ConnectionError("reset\nby peer"), "reset by peer."),
        (MlflowException("x" * 9999), "xxx..."),
    ],
    ids=["forbidden", "one_of_two", "no_connection", "long"],
)
def test_files_that_may_come_another_time_are_no_reason_to_withdraw(
    fetch_failing_with: Callable[[Exception], str], error: Exception, reason: str
) -> None:
    told = fetch_failing_with(error)

    assert "cannot be fetched: " in told
    assert reason in told
    assert "Withdraw" not in told
    assert "\n" not in told
    assert len(told) < 500


def test_a_version_whose_files_were_deleted_is_to_be_withdrawn(workspace_with_champion: Workspace) -> None:
    source = MlflowClient().get_model_version(MODEL_NAME, "1").source
    folder = Path(source.removeprefix("file://"))
    folder.rename(folder.with_name("elsewhere"))

    with pytest.raises(SystemExit, match="Withdraw it to go on"):
        workspace_with_champion.call("fetch", "--output", "serving")
    folder.with_name("elsewhere").rename(folder)  # other tests share it


def test_withdrawing_twice_is_told(workspace_with_champion: Workspace) -> None:
    workspace_with_champion.call("withdraw", "--version", "1")

    with pytest.raises(SystemExit, match="was done before"):
        workspace_with_champion.call("withdraw", "--version", "1")


@pytest.mark.parametrize(
    "uri",
    ["sqlite:////proc/none/mlflow.db", "sqlite:///data", "gopher://nowhere", "http://127.0.0.1:9"],
    ids=["no_folder", "a_folder", "no_scheme", "no_server"],
)
@pytest.mark.parametrize(
    "command",
    [
        ["evaluate", "--candidate", "candidate", "--decision", "decision"],
        ["fetch", "--output", "serving"],
        ["withdraw", "--version", "1"],
    ],
    ids=lambda command: command[0],
)
def test_a_registry_that_cannot_be_used_is_told(
    workspace_with_champion: Workspace, monkeypatch: pytest.MonkeyPatch, command: list[str], uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    with pytest.raises(SystemExit, match=r"registry .* cannot be used"):
        workspace_with_champion.call(*command)


def test_outputs_that_were_moved_are_told(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    MlflowClient().create_experiment(PACKAGE, artifact_location=(tmp_path / "elsewhere").as_uri())
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    shutil.copytree(SRC, tmp_path / "here" / "src")
    (tmp_path / "here" / "outputs").mkdir()
    shutil.copy(workspace.folder / "mlflow.db", tmp_path / "here" / "outputs")
    command = [sys.executable, "-m", f"{PACKAGE}.train", "--data", workspace.folder / "data"]
    command += ["--candidate", tmp_path / "candidate"]

    ended = subprocess.run(command, cwd=tmp_path / "here" / "src", capture_output=True, text=True, check=False)

    assert ended.returncode == 1
    assert "was made in another place" in ended.stderr
