"""A workspace per test: parameters, data and a store of runs, apart from those of the repository."""

import importlib
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient

from {{ cookiecutter.package_name }} import registry
from {{ cookiecutter.package_name }}.pipeline import MODEL_NAME, TRAINING, flag
from {{ cookiecutter.package_name }}.registry import Version
from {{ cookiecutter.package_name }}.sample import sample

PACKAGE = "{{ cookiecutter.package_name }}"
SRC = Path(__file__).parents[1] / "src"
FEW_ROWS = 2000  # enough to train on, few enough to do so often


class Workspace:
    """Stands for src/ in a job: the working directory of every step, with the steps' folders in it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.monkeypatch = monkeypatch
        monkeypatch.chdir(folder)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")

    def set(self, section: str, **values: Any) -> None:
        """Change keys of parameters.yml."""
        path = self.folder / "parameters.yml"
        parameters = yaml.safe_load(path.read_text(encoding="utf-8"))
        parameters[section].update(values)
        path.write_text(yaml.safe_dump(parameters), encoding="utf-8")

    def call(self, module: str, *arguments: str) -> None:
        """Run a module of the package as a program, in this process. A failing one raises SystemExit."""
        self.monkeypatch.setattr("sys.argv", [module, *arguments])
        importlib.import_module(f"{PACKAGE}.{module}").main()

    def step(self, name: str, *arguments: str) -> None:
        """Run a step of the pipeline on this workspace's folders."""
        step = next(step for step in TRAINING if step.name == name)
        folders = [word for folder in step.reads + step.writes for word in (flag(folder), folder)]
        self.call(name, *folders, *arguments)

    def run(self, *evaluation: str) -> None:
        """Run the whole pipeline."""
        self.step("train")
        self.step("evaluate", *evaluation)
        self.step("register")

    def champion(self) -> Version | None:
        return registry.champion(MlflowClient(), MODEL_NAME)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace that is ready to train, with an empty store: making the store takes a while."""
    folder = tmp_path_factory.mktemp("prepared")
    for name in ("parameters.yml", "request.json"):
        shutil.copy(SRC / name, folder)
    with pytest.MonkeyPatch.context() as monkeypatch:
        Workspace(folder, monkeypatch)
        (folder / "data").mkdir()
        sample().head(FEW_ROWS).to_csv(folder / "data" / "sample.csv", index=False)
        MlflowClient()
    return folder


@pytest.fixture(scope="session")
def trained(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace whose first candidate was trained, evaluated and registered."""
    folder = tmp_path_factory.mktemp("trained") / "src"
    shutil.copytree(prepared, folder)
    with pytest.MonkeyPatch.context() as monkeypatch:
        Workspace(folder, monkeypatch).run()
    return folder


@pytest.fixture
def workspace(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Return a workspace with data and nothing trained."""
    shutil.copytree(prepared, tmp_path / "src")
    return Workspace(tmp_path / "src", monkeypatch)


@pytest.fixture
def workspace_with_champion(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Return a workspace with a candidate, which is version 1."""
    shutil.copytree(trained, tmp_path / "src")
    return Workspace(tmp_path / "src", monkeypatch)


@pytest.fixture
def served(workspace_with_champion: Workspace) -> Path:
    """Return a folder with the champion, ready to be served."""
    workspace_with_champion.call("fetch", "--output", "serving")
    return workspace_with_champion.folder / "serving"
