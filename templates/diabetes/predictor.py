"""A fitted model as files, and back as a function. Scoring imports this: no training package here."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sklearn.linear_model import Ridge

Predict = Callable[[NDArray[np.float64]], NDArray[np.float64]]

# What a process needs to predict; the model folder records the versions that were there when it was made.
REQUIREMENTS = ("numpy",)


def save(model: "Ridge", folder: Path) -> None:
    """Write the weights as text: no pickle, so reading them can run nothing."""
    weights = {"coefficients": model.coef_.tolist(), "intercept": float(model.intercept_)}
    (folder / "weights.json").write_text(json.dumps(weights, indent=2), encoding="utf-8")


def load(folder: Path) -> Predict:
    """Return the function from rows (n, features) to predictions (n,)."""
    weights = json.loads((folder / "weights.json").read_text(encoding="utf-8"))
    coefficients, intercept = np.array(weights["coefficients"], dtype=np.float64), weights["intercept"]
    return lambda rows: rows @ coefficients + intercept
