"""A model folder as scoring and evaluation see it: what it expects, and a function that predicts.

The folder is self-contained: the weights that predictor.py writes; schema.json; and MLmodel with its requirements,
for tools that read MLflow models. schema.json is::

    {"columns": [{"name": "...", "type": "double"}, ...],   in the order of a request's numbers
     "sample": [[...], [...]],                              two rows to try
     "labels": ["...", "..."] or null,                      the two classes of a classifier
     "threshold": 0.5 or null}                              from what probability the second class is answered
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import predictor
from .predictor import Predict


@dataclass(frozen=True)
class Model:
    """What was read from a model folder."""

    columns: tuple[str, ...]
    sample: list[list[float]]
    labels: tuple[str, str] | None
    threshold: float | None
    predictor: Predict

    def predict(self, rows: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return predictions (n,) for rows (n, columns). Raises ValueError if the model gives more or fewer of them."""
        given = np.ascontiguousarray(rows, dtype=np.float64)
        return np.ascontiguousarray(self.predictor(given), dtype=np.float64).reshape(len(given))


def load(folder: Path) -> Model:
    """Read a model folder. Raises OSError, KeyError or ValueError if it is not one."""
    schema = json.loads((folder / "schema.json").read_text(encoding="utf-8"))
    return Model(
        columns=tuple(column["name"] for column in schema["columns"]),
        sample=schema["sample"],
        labels=tuple(schema["labels"]) if schema["labels"] else None,
        threshold=schema["threshold"],
        predictor=predictor.load(folder),
    )


def as_served(fitted: Any) -> Predict:
    """Return what a fitted model predicts once it serves: by way of its files."""
    with tempfile.TemporaryDirectory() as folder:
        predictor.save(fitted, Path(folder))
        return predictor.load(Path(folder))


def _load_pyfunc(folder: str) -> Model:
    """Read the folder for ``mlflow.pyfunc.load_model``, which looks for this name."""
    return load(Path(folder))
