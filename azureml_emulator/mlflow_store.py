"""Runs, metrics and model versions: the real MLflow server, called in this process, over SQLite."""

import os
import re
import time
from pathlib import Path
from typing import Any

from .workspace import Workspace

# mlflow.server writes these into os.environ, so whoever starts children captures the environment before.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

USER = "emulator"


class MlflowStore:
    """MLflow's own stores and REST application, artifacts being Azure ML's."""

    def __init__(self, folder: Path, workspace: Workspace) -> None:
        import mlflow.server  # noqa: PLC0415 - takes seconds: not before the command line was read
        from mlflow.server import handlers  # noqa: PLC0415

        folder.mkdir(parents=True, exist_ok=True)
        database = f"sqlite:///{folder / 'mlflow.db'}"
        handlers.initialize_backend_stores(database, database, "azureml://unused")
        self.tracking: Any = handlers._get_tracking_store()
        self.registry: Any = handlers._get_model_registry_store()
        self._application = mlflow.server.app
        self._workspace = workspace

    def call(self, method: str, path: str, query: str, body: bytes) -> tuple[int, bytes]:
        """Answer a call of MLflow's REST API."""
        client = self._application.test_client()
        reply = client.open(path, method=method, query_string=query, data=body, content_type="application/json")
        return reply.status_code, reply.get_data()

    def artifact_location(self, experiment: str) -> str:
        """Where azureml-mlflow looks for an experiment's artifacts (mlflow issue #11103 shows one)."""
        return f"{self._workspace.tracking_uri}/experiments/{experiment}/runs"

    def experiment_id(self, name: str) -> str | None:
        found = self.tracking.get_experiment_by_name(name)
        return str(found.experiment_id) if found else None

    def experiment_name(self, experiment_id: str) -> str | None:
        found = self.tracking.search_experiments(filter_string=None)
        return next((str(entry.name) for entry in found if str(entry.experiment_id) == experiment_id), None)

    def ensure_experiment(self, name: str) -> str:
        return self.experiment_id(name) or str(
            self.tracking.create_experiment(name, self.artifact_location(name), tags=[])
        )

    def start_run(self, experiment: str, name: str) -> str:
        """Start a run and return its id, which is the run's id in the run history too."""
        from mlflow.entities import RunTag  # noqa: PLC0415

        tags = [RunTag("mlflow.user", USER), RunTag("mlflow.runName", name)]
        created = self.tracking.create_run(self.ensure_experiment(experiment), USER, _milliseconds(), tags, name)
        return str(created.info.run_id)

    def end_run(self, run_id: str, status: str) -> None:
        """End a run as its step ended: azureml-mlflow leaves that to the service."""
        from mlflow.entities import RunStatus  # noqa: PLC0415

        self.tracking.update_run_info(run_id, RunStatus.from_string(status), _milliseconds(), None)

    def metrics(self, run_id: str) -> dict[str, list[float]]:
        """Return all values of a run's metrics; a run that MLflow does not know has none."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        try:
            names = self.tracking.get_run(run_id).data.metrics
        except MlflowException:
            return {}
        return {name: [value.value for value in self.tracking.get_metric_history(run_id, name)] for name in names}


def run_path(source: str) -> str | None:
    """Return ``RUN/PATH`` of a model version's source, if it is a run's artifact."""
    found = re.search(r"/runs/([^/]+)/artifacts/(.+)$", source or "")
    return f"{found[1]}/{found[2]}" if found else None


def _milliseconds() -> int:
    return int(time.time() * 1000)
