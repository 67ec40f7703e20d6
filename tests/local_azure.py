"""A baked project that works against a local Azure ML."""

import json
import os
import re
import shlex
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from conftest import bake, run

from azureml_emulator.launchers import SYSTEM_PATH, Command, Forks
from azureml_emulator.session import Session, started
from pipelines_runner.tasks import INPUTS_OF_AZURE_CLI, TASKS

SDK = ("azureml.core", "azureml.pipeline.core", "azureml.pipeline.steps", "azureml.mlflow", "azure.identity", "mlflow")
# seconds between attempts
PATIENCE = {"AZUREML_DEFAULT_BACKOFF": "1", "AZUREML_DEFAULT_500_BACKOFF": "1", "AZUREML_DEFAULT_503_BACKOFF": "1"}


class Project(NamedTuple):
    """A baked project of one's own, with what .env.example says as its settings.

    Its programs run in forks of an interpreter that has imported the SDK; without ``forks``, as fresh processes.
    """

    path: Path
    example: str
    python: Path
    azure: Session
    forks: Forks | None = None

    def run(self, module, *arguments, code=0, **settings):
        """Run a program of ml_service/ as a person would, and return what it printed."""
        return self.python_runs(["-m", f"ml_service.{module}", *map(str, arguments)], code, settings)

    def script(self, code, **settings):
        """Run Python with the workspace open, as ``workspace``, and the settings read, as ``chosen``."""
        opening = (
            "import sys\nsys.path.insert(0, '')\nfrom ml_service import settings, training_pipeline\n"
            "from ml_service.workspace import get_workspace, mlflow_client\n"
            "chosen = settings.read()\nworkspace = get_workspace(chosen)\n"
        )
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "script.py"
            file.write_text(opening + code, encoding="utf-8")
            return self.python_runs([str(file)], 0, {"BUILD_BUILDID": "any", **settings})

    def python_runs(self, words, code, settings):
        variables = {**self.azure.environment, **PATIENCE, **settings}
        if self.forks is None or "PATH" in settings:
            return run(self.python, *words, cwd=self.path, code=code, **variables)
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "log.txt"
            command = Command(shlex.join(["python", *words]), self.path, {**os.environ, **variables}, log)
            ended = self.forks.run(command, lambda: False)
            told = log.read_text("utf-8")
        assert ended == code, f"{command.line} exited with {ended}:\n{told}"
        return told

    def submit(self, build, **settings):
        return self.run("submit", BUILD_BUILDID=build, **settings)

    def wait(self, build, *arguments, code=0, **settings):
        return self.run("wait", "--every", "0.2", *arguments, code=code, BUILD_BUILDID=build, **settings)

    def build(self, build, code=0, **settings):
        """Submit and wait, as a build does, and return what waiting printed."""
        self.submit(build, **settings)
        return self.wait(build, code=code, **settings)

    def model(self):
        """Return what model.json says, or None if there is none."""
        path = self.path / "model.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def change(self, argument):
        """Change an argument of training in parameters.yml, such as ``alpha: 0.5``."""
        path = self.path / "src" / "parameters.yml"
        name = argument.partition(":")[0]
        path.write_text(re.sub(rf"\b{name}: .*", argument, path.read_text("utf-8")), encoding="utf-8")

    def versions(self):
        """Return the tags of the model's versions by number, as the MLflow side of the workspace has them."""
        told = self.script(
            "import json\nfound = mlflow_client(workspace).search_model_versions(f\"name='{chosen.model_name}'\")\n"
            "print(json.dumps({version.version: version.tags for version in found}))"
        )
        return {int(number): tags for number, tags in json.loads(told.splitlines()[-1]).items()}


@contextmanager
def warm(python, folder, path=SYSTEM_PATH):
    """Give forks of an interpreter that has imported the SDK, and end them."""
    (folder / "forks").mkdir(exist_ok=True)
    forks = Forks(str(python), folder / "forks", SDK, path, **PATIENCE)
    try:
        yield forks
    finally:
        forks.close()


def in_forks(forks, **variables):
    """Return a task AzureCLI@2 that runs programs of Azure ML in forks of a warm interpreter, others as they are."""

    def azure_cli(step):
        line = step.inputs(*INPUTS_OF_AZURE_CLI)["inlineScript"].strip().splitlines()[-1]
        if not line.startswith("python -m ml_service."):
            return TASKS["AzureCLI@2"](step)
        log = step.job.workspace / f"{len(step.job.steps)}.log"
        status = forks.run(Command(line, step.job.sources, {**step.job.exported(), **variables}, log), lambda: False)
        step.tell(log.read_text("utf-8"))
        return step.fail(f"exited with {status}") if status else None

    return azure_cli


def prepared(cookies, example, folder, **answers):
    """Bake an example into a folder, and fill in its .env."""
    baked = bake(cookies, {"example": example, **answers})
    shutil.copytree(baked.path, folder)
    (folder / ".env").write_text((folder / ".env.example").read_text("utf-8"), encoding="utf-8")
    return baked


@contextmanager
def working(cookies, environment, example, folder, lock="train", **answers):
    """Give a project with a local Azure ML of its own, both fast. No call may have been unknown in the end.

    Steps run with what a lock of jobs pins, not with what a person's machine has. Programs of ml_service/ ask for the
    same packages whatever the example, so they share an environment. In a folder that was given before, all goes on.
    """
    baked = bake(cookies, {"example": example, **answers})
    if not (folder / "project").exists():
        prepared(cookies, example, folder / "project", **answers)
    python, steps = environment(bake(cookies, {})), environment(baked, lock)
    with warm(python, folder) as forks, started(python, folder / "state", "--fork-server", steps=steps) as azure:
        yield Project(folder / "project", example, python, azure, forks)
        assert azure.ask("unknown") == []
