"""A fitted model as files, and back as a function. Scoring imports this: no training package here."""

from collections.abc import Callable
from pathlib import Path

import lightgbm
import numpy as np
from numpy.typing import NDArray

Predict = Callable[[NDArray[np.float64]], NDArray[np.float64]]

# What a process needs to predict; the model folder records the versions that were there when it was made.
REQUIREMENTS = ("lightgbm", "numpy")


def save(model: lightgbm.Booster, folder: Path) -> None:
    """Write the trees in LightGBM's own text: no pickle, so reading them can run nothing."""
    model.save_model(folder / "trees.txt")


def load(folder: Path) -> Predict:
    """Return the function from rows (n, features) to probabilities (n,)."""
    booster = lightgbm.Booster(model_file=folder / "trees.txt")

    def predict(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        # More threads cost a small request far more than they save.
        return np.asarray(booster.predict(rows, num_threads=1))

    return predict
