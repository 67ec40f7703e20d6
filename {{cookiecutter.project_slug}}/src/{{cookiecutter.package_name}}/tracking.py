"""Where runs and versions are kept: the store that the environment names, else SQLite and a folder beside src/."""

import os
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from .program import UserError

OUTPUTS = Path(__file__).parents[2] / "outputs"
SQLITE = "sqlite:///"


def connect() -> MlflowClient:
    """Open the store of runs and model versions."""
    # In an Azure ML job the environment names the workspace, and setting another store would break the run.
    if "MLFLOW_TRACKING_URI" not in os.environ:
        OUTPUTS.mkdir(exist_ok=True)
        mlflow.set_tracking_uri(f"{SQLITE}{OUTPUTS / 'mlflow.db'}")
    uri = mlflow.get_tracking_uri()
    try:
        return MlflowClient()
    except (MlflowException, SQLAlchemyError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"The registry {uri} cannot be opened; is MLFLOW_TRACKING_URI right? {reason}") from error


def start_run(client: MlflowClient) -> mlflow.ActiveRun:
    """Start a run, or take up the one that a job has started already."""
    # A job's experiment is set, and naming another one makes start_run refuse.
    if "MLFLOW_RUN_ID" not in os.environ:
        mlflow.set_experiment(experiment_id=experiment_id(client, __package__ or "training"))
    return mlflow.start_run()


def experiment_id(client: MlflowClient, name: str) -> str:
    """Find or create the experiment. Artifacts of a SQLite store go beside its file, wherever a step runs."""
    if found := client.get_experiment_by_name(name):
        return str(found.experiment_id)
    uri = mlflow.get_tracking_uri()
    beside = Path(uri.removeprefix(SQLITE)).absolute().parent / "artifacts"
    return client.create_experiment(name, artifact_location=beside.as_uri() if uri.startswith(SQLITE) else None)
