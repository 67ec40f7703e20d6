"""Where runs and versions are kept: the store that the environment names, else SQLite and a folder beside src/."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from .program import UserError

OUTPUTS = Path(__file__).parents[2] / "outputs"
EXPERIMENT = __package__ or "training"
SQLITE = "sqlite:///"


@contextmanager
def store() -> Iterator[MlflowClient]:
    """Open the store of runs and model versions. What goes wrong with it is a `UserError` that names it."""
    # In an Azure ML job the environment names the workspace, and setting another store would break the run.
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        mlflow.set_tracking_uri(f"{SQLITE}{OUTPUTS / 'mlflow.db'}")
    uri = mlflow.get_tracking_uri()
    try:
        if uri.startswith(SQLITE):
            check_file(sqlite_file(uri))
        client = MlflowClient()
    except (MlflowException, SQLAlchemyError, OSError, ValueError) as error:
        raise unusable(uri, error) from error
    if sqlite_file(uri).parent == OUTPUTS:
        check_not_moved(client)
    try:
        yield client
    except (MlflowException, SQLAlchemyError) as error:
        raise unusable(uri, error) from error


def unusable(uri: str, error: Exception) -> UserError:
    """Say that a store cannot be used, with the first line of the reason."""
    reason = str(error).strip().partition("\n")[0] or repr(error)
    return UserError(f"The registry {uri} cannot be used; is MLFLOW_TRACKING_URI right? {reason}")


def sqlite_file(uri: str) -> Path:
    """Return the file that a SQLite URI names."""
    return Path(uri.removeprefix(SQLITE)).absolute()


def check_file(path: Path) -> None:
    """Raise OSError where SQLite could make no file: MLflow would try for minutes."""
    if path.parent == OUTPUTS:
        path.parent.mkdir(exist_ok=True)
    if path.is_dir() or not path.parent.is_dir():
        raise NotADirectoryError(f"{path} cannot be a file.")


def check_not_moved(client: MlflowClient) -> None:
    """Raise if outputs/ was made in another place: MLflow keeps full paths, and would go on writing there."""
    found = client.get_experiment_by_name(EXPERIMENT)
    if found and found.artifact_location != (OUTPUTS / "artifacts").as_uri():
        told = f"{OUTPUTS} was made in another place, {found.artifact_location}, and its versions are there still."
        raise UserError(f"{told} Move it back, or start anew with `make clean`.")


def start_run(client: MlflowClient) -> mlflow.ActiveRun:
    """Start a run, or take up the one that a job has started already."""
    # A job's experiment is set, and naming another one makes start_run refuse.
    if "MLFLOW_RUN_ID" not in os.environ:
        mlflow.set_experiment(experiment_id=experiment_id(client))
    return mlflow.start_run()


def experiment_id(client: MlflowClient) -> str:
    """Find or create the experiment. Artifacts of a SQLite store go beside its file, wherever a step runs."""
    if found := client.get_experiment_by_name(EXPERIMENT):
        return str(found.experiment_id)
    uri = mlflow.get_tracking_uri()
    location = (sqlite_file(uri).parent / "artifacts").as_uri() if uri.startswith(SQLITE) else None
    return client.create_experiment(EXPERIMENT, artifact_location=location)


def log_text(client: MlflowClient, run_id: str, text: str, name: str) -> None:
    """Keep a text with the run that a job has started, or with ``run_id`` where there is no job."""
    client.log_text(os.environ.get("MLFLOW_RUN_ID", run_id), text, name)
