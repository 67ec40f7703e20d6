"""What is learned, and how good it is."""

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_squared_error


def fit(features: pd.DataFrame, target: pd.Series, *, alpha: float) -> Ridge:
    """Fit a ridge regression. The keyword arguments are the keys of ``training`` in parameters.yml."""
    return Ridge(alpha=alpha).fit(features, target)


def measure(target: np.ndarray, predictions: np.ndarray, threshold: float | None) -> dict[str, float]:
    """Return every metric that ``evaluation`` in parameters.yml may ask for. A regression has no threshold."""
    return {"mse": float(mean_squared_error(target, predictions))}
