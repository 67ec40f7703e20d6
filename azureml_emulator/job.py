"""One step, run on this machine.

A job has the files of its snapshot and nothing else. Its inputs are copies out of the blob store; its outputs go
there after it has succeeded, and nowhere else: what was not uploaded, the next step cannot see.
"""

import shutil
import threading
import time
import traceback
from pathlib import Path
from typing import NamedTuple

from .graph import Step
from .launchers import Command, Launcher
from .routes import Refusal
from .services import artifacts, datasets, runs, snapshots
from .state import State

SECONDS = 600
LOG = "user_logs/std_log.txt"
ARTIFACT_FOLDERS = ("outputs", "logs")


class Data(NamedTuple):
    """What a step reads: the output that lies below a prefix, or else the dataset with this saved id."""

    id: str
    prefix: str = ""


class Job:
    """A step's command, in a folder of its own that is gone afterwards."""

    def __init__(self, state: State, step: Step, run_id: str, root_run_id: str, experiment: str) -> None:
        self._state, self._step, self._run_id = state, step, run_id
        self._root_run_id, self._experiment = root_run_id, experiment
        self._folder = state.folder / "steps" / run_id
        self._log = self._folder / "log.txt"
        self.line = ""

    def run(self, launcher: Launcher, stop: threading.Event, inputs: dict[str, Data], outputs: dict[str, str]) -> int:
        """Return the exit code. What keeps a job from running is told in its log, and is an exit code too."""
        for name in ("code", "home", "tmp", "inputs", "outputs"):
            (self._folder / name).mkdir(parents=True)
        try:
            return self._run(launcher, stop, inputs, outputs)
        except Refusal as refusal:
            self._tell(refusal.message)
        except Exception as error:
            traceback.print_exc()
            self._tell(f"The emulator could not run this step: {error!r}")
        finally:
            self._keep_artifacts()
            shutil.rmtree(self._folder, ignore_errors=True)
        return 1

    def _run(self, launcher: Launcher, stop: threading.Event, inputs: dict[str, Data], outputs: dict[str, str]) -> int:
        if fault := self._state.faults.for_step(self._step.name):
            self._tell(f"A fault rule ends this step with exit code {fault.exit}.")
            return fault.exit
        snapshots.unpack(self._state, self._step.module["StorageId"], self._folder / "code")
        for name, data in inputs.items():
            self._fetch(data, self._folder / "inputs" / name, self._step.mode(name))
        for name in outputs:
            (self._folder / "outputs" / name).mkdir()
        self.line = self._step.command(lambda kind, name: str(self._folder / f"{kind.lower()}s" / name))
        mounted = {f"AZUREML_DATAREFERENCE_{name}": str(self._folder / "inputs" / name) for name in inputs}
        command = Command(self.line, self._folder / "code", {**self._environment(), **mounted}, self._log)
        deadline = time.monotonic() + SECONDS
        code = launcher.run(command, lambda: stop.is_set() or time.monotonic() > deadline)
        if time.monotonic() > deadline:
            self._tell(f"The step was ended: it took longer than {SECONDS} s.")
        if code == 0:
            for name, prefix in outputs.items():
                self._state.blobs.store(self._folder / "outputs" / name, prefix)
        return code

    def _tell(self, sentence: str) -> None:
        with self._log.open("a", encoding="utf-8") as file:
            file.write(f"{sentence}\n")

    def _fetch(self, data: Data, folder: Path, mode: str) -> None:
        if mode not in ("download", "mount", ""):
            raise Refusal(400, "UserError", f"The emulator downloads or mounts an input; it does not know {mode!r}.")
        folder.mkdir()
        if data.prefix:
            self._state.blobs.fetch(data.prefix, folder)
            return
        for key, path in datasets.files(self._state, data.id).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(self._state.blobs.read(key))

    def _keep_artifacts(self) -> None:
        root = artifacts.key(self._state, artifacts.RUNS, artifacts.run_container(self._run_id), "")
        for name in ARTIFACT_FOLDERS:
            self._state.blobs.store(self._folder / "code" / name, root + name)
        if self._log.exists():
            self._state.blobs.write(root + LOG, self._log.read_bytes())

    def _environment(self) -> dict[str, str]:
        """Return a job's environment variables, and nothing of the environment that the emulator was started in.

        AZUREML_*: azureml.core.run._SubmittedRun and azureml._base_sdk_common.service_discovery read them.
        MLFLOW_*: azureml.mlflow's service_context_loader asks for all four, and EXPERIMENT_ID for the refresh.
        """
        own, token = self._state.workspace, runs.run_token(self._state, self._run_id)
        experiment_id = self._state.mlflow.ensure_experiment(self._experiment)
        return {
            "LANG": "C.UTF-8",
            "HOME": str(self._folder / "home"),
            "TMPDIR": str(self._folder / "tmp"),
            **self._state.proxy_variables,
            **self._step.variables,
            "AZUREML_ARM_SUBSCRIPTION": own.subscription,
            "AZUREML_ARM_RESOURCEGROUP": own.group,
            "AZUREML_ARM_WORKSPACE_NAME": own.name,
            "AZUREML_ARM_PROJECT_NAME": self._experiment,
            "AZUREML_WORKSPACE_ID": own.id,
            "AZUREML_EXPERIMENT_ID": experiment_id,
            "AZUREML_RUN_ID": self._run_id,
            "AZUREML_ROOT_RUN_ID": self._root_run_id,
            "AZUREML_RUN_TOKEN": token,
            "AZUREML_RUN_TOKEN_EXPIRY": str(int(time.time()) + runs.TOKEN_LIFETIME),
            "AZUREML_SERVICE_ENDPOINT": own.api,
            "AZUREML_DISCOVERY_SERVICE_ENDPOINT": f"{own.api}/discovery",
            "MLFLOW_TRACKING_URI": own.tracking_uri,
            "MLFLOW_TRACKING_TOKEN": token,
            "MLFLOW_RUN_ID": self._run_id,
            "MLFLOW_EXPERIMENT_ID": experiment_id,
            "MLFLOW_EXPERIMENT_NAME": self._experiment,
        }


def log(state: State, run_id: str | None) -> str:
    """Return what a step has printed: the artifact, or the file of a step that still runs."""
    if not run_id:
        return ""
    key = artifacts.key(state, artifacts.RUNS, artifacts.run_container(run_id), LOG)
    kept, running = state.blobs.path(key), state.folder / "steps" / run_id / "log.txt"
    found = next((path for path in (kept, running) if path.exists()), None)
    return found.read_text(encoding="utf-8", errors="replace") if found else ""
