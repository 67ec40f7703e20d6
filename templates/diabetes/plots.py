"""Pictures of how a model does on the held-out rows."""

import numpy as np
from matplotlib.figure import Figure
from sklearn.linear_model import Ridge


def draw(model: Ridge, target: np.ndarray, predictions: np.ndarray) -> dict[str, Figure]:
    """Return figures by name."""
    return {
        "predicted_against_actual": predicted_against_actual(target, predictions),
        "residuals": residuals(target, predictions),
    }


def predicted_against_actual(target: np.ndarray, predictions: np.ndarray) -> Figure:
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots()
    ends = [min(target.min(), predictions.min()), max(target.max(), predictions.max())]
    axes.plot(ends, ends, color="grey", linewidth=1, label="perfect prediction")
    axes.scatter(target, predictions, s=18, alpha=0.7)
    axes.set(title="Predicted against actual, held-out rows", xlabel="actual", ylabel="predicted", aspect="equal")
    axes.legend(frameon=False)
    return figure


def residuals(target: np.ndarray, predictions: np.ndarray) -> Figure:
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    axes.axhline(0, color="grey", linewidth=1)
    axes.scatter(predictions, target - predictions, s=18, alpha=0.7)
    axes.set(title="Residuals, held-out rows", xlabel="predicted", ylabel="actual - predicted")
    return figure
