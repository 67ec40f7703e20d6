"""The environments that Azure ML builds are what the locks pin."""

import re

import pytest
import yaml
from packaging.requirements import Requirement

pytest.importorskip("azureml.core", reason="Azure ML's SDK has no build for this machine")

from ml_service import environment

from {{ cookiecutter.package_name }}.program import UserError

LOCK = (environment.ROOT / "requirements" / "train.txt").read_text(encoding="utf-8")
TRAIN = environment.read("train")


def requirements(conda: str) -> list[Requirement]:
    *_, pip = yaml.safe_load(conda)["dependencies"]
    return [Requirement(line) for line in pip["pip"]]


def test_every_package_of_the_lock_is_pinned_markers_kept() -> None:
    locked = {Requirement(line.rstrip(" \\")) for line in LOCK.splitlines() if re.match(r"[A-Za-z0-9]", line)}

    assert set(requirements(TRAIN)) == locked
    assert len(locked) > 20


def test_jobs_reach_the_workspace_as_their_mlflow_server_and_their_data() -> None:
    names = {requirement.name for requirement in requirements(TRAIN)}

    assert {"azureml-dataset-runtime", "azureml-mlflow", "mlflow-skinny"} <= names
    assert "azureml-core" not in names


def test_only_what_is_installed_changes_the_name() -> None:
    name = environment.name("train", TRAIN)
    without_hashes = "\r\n".join(line.removesuffix(" \\") for line in LOCK.splitlines() if "--hash" not in line)
    newer = re.sub(r"^(numpy==)\S+", r"\g<1>9.9.9", LOCK, flags=re.MULTILINE)

    assert environment.name("train", environment.conda("train", "# a comment\n" + without_hashes)) == name
    assert environment.name("train", environment.conda("train", newer)) != name


@pytest.mark.parametrize("line", ["ours @ https://example.com/ours.whl --hash=sha256:0", "-e ./lib", "numpy>=2"])
def test_what_jobs_could_not_get_is_told(line: str) -> None:
    with pytest.raises(UserError, match="jobs cannot get"):
        environment.conda("train", f"{LOCK}\n{line}\n")


def test_extras_are_kept() -> None:
    assert "  - pandas[performance]==2.3.3\n" in environment.conda("train", "pandas[performance]==2.3.3 \\\n")


def test_a_lock_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["environment", "--show", "--lock", "nosuch"])

    with pytest.raises(SystemExit, match=r"nosuch\.txt: No such file"):
        environment.main()

    assert "Traceback" not in capsys.readouterr().err


def test_azure_gets_the_environment_as_it_is_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["environment", "--show"])

    environment.main()

    shown = capsys.readouterr().out
    sent = environment.describe("train", TRAIN)
    built = yaml.safe_load(sent.python.conda_dependencies.serialize_to_string())
    assert built["dependencies"] == yaml.safe_load(shown)["dependencies"]
    assert built["channels"] == yaml.safe_load(shown)["channels"] == ["conda-forge", "nodefaults"]
    assert sent.name in shown
    assert sent.docker.base_image in shown
