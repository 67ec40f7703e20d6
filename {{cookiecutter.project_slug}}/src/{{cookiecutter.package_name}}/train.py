"""Split the data, fit a model, measure it on the held-out rows, and log the run.

The candidate is measured through the very files and code that will score requests.
"""

import hashlib
import json
import logging
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from sklearn.model_selection import train_test_split

from . import data, estimator, golden_rows, handover, parameters, plots, predictor, schema, tracking
from .model import load
from .pipeline import parse_arguments
from .program import UserError, program

REQUEST = Path("request.json")

log = logging.getLogger(__name__)


def split(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows to learn from and the rows to hold out: 80/20, the same for the same data."""
    learn, held_out = train_test_split(frame, test_size=0.2, random_state=0)
    return learn, held_out


def fit(frame: pd.DataFrame, arguments: dict[str, Any]) -> Any:
    """Fit the estimator with the arguments of parameters.yml."""
    parameters.check_training(arguments, estimator.fit)
    try:
        return estimator.fit(frame[list(schema.FEATURES)], frame[schema.TARGET], **arguments)
    except ValueError as error:
        raise UserError(f"{parameters.PATH}: training: the estimator refuses it: {error}") from error


def read_request(path: Path = REQUEST) -> list[list[float]]:
    """Return the rows of the request that documentation and smoke test show."""
    width = len(schema.FEATURES)
    try:
        rows: list[list[float]] = json.loads(path.read_text(encoding="utf-8"))["data"]
        np.array(rows, dtype=np.float64).reshape(len(rows), width)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} must hold rows of {width} numbers under the key data: {error!r}") from error
    return rows


def save(model: Any, request: list[list[float]], folder: Path) -> None:
    """Write the self-contained model folder."""
    signature = ModelSignature(
        inputs=Schema([ColSpec(DataType.double, name) for name in schema.FEATURES]),
        outputs=Schema([ColSpec(DataType.double)]),
    )
    mlflow.pyfunc.save_model(
        path=folder,
        loader_module=f"{__package__}.model",
        signature=signature,
        input_example=pd.DataFrame(request, columns=list(schema.FEATURES), dtype=float),
        pip_requirements=[f"{name}=={version(name)}" for name in predictor.REQUIREMENTS],
    )
    predictor.save(model, folder)
    description = {
        "columns": [{"name": name, "type": "double"} for name in schema.FEATURES],
        "sample": request,
        "labels": schema.LABELS,
        "threshold": schema.THRESHOLD,
    }
    (folder / "schema.json").write_text(json.dumps(description, indent=2), encoding="utf-8")


def behaviour(predictions: np.ndarray) -> str:
    """Return a digest of what a model answers, to nine digits. Equal models may have different files."""
    answers = [f"{prediction:.9g}" for prediction in predictions]
    return hashlib.sha256(json.dumps([schema.FEATURES, schema.LABELS, schema.THRESHOLD, answers]).encode()).hexdigest()


def log_figures(model: Any, target: np.ndarray, predictions: np.ndarray) -> None:
    """Log the pictures of plots.py with the current run."""
    with tempfile.TemporaryDirectory() as folder:
        for name, figure in plots.draw(model, target, predictions).items():
            figure.savefig(Path(folder) / f"{name}.png", dpi=120)
        mlflow.log_artifacts(folder, "plots")


@program()
def main() -> None:
    arguments = parse_arguments("train", __doc__)
    chosen, request = parameters.read(), read_request()
    learn, held_out = split(data.read(arguments.data))
    model = fit(learn, chosen.training)

    candidate: Path = arguments.candidate
    with tracking.store() as client, tracking.start_run(client) as run:
        data_sha256 = data.fingerprint(arguments.data)
        mlflow.log_params({**chosen.training, "data_sha256": data_sha256, "rows": len(learn) + len(held_out)})

        handover.start_candidate(candidate)
        save(model, request, candidate / "model")
        golden_rows.write(candidate / "model", learn[list(schema.FEATURES)].head(golden_rows.COUNT))
        held_out.to_parquet(candidate / "held_out.parquet", index=False)

        target = held_out[schema.TARGET].to_numpy()
        predictions = load(candidate / "model").predict(held_out[list(schema.FEATURES)])
        behaviour_sha256 = behaviour(predictions)
        try:
            metrics = estimator.measure(target, predictions, schema.THRESHOLD)
        except ValueError as error:
            raise UserError(f"The candidate cannot be measured: {error}") from error
        handover.check_metrics(metrics, chosen.evaluation, "The candidate")
        mlflow.log_metrics(metrics)
        log_figures(model, target, predictions)
        mlflow.log_artifacts(str(candidate / "model"), "model")  # Azure ML's client needs a str

    trained = handover.Candidate(
        run_id=run.info.run_id, data_sha256=data_sha256, behaviour_sha256=behaviour_sha256, metrics=metrics
    )
    handover.write(trained, candidate / "metrics.json")
    for name, value in metrics.items():
        log.info("%s %.8g on %d held-out rows", name, value, len(held_out))


if __name__ == "__main__":
    main()
