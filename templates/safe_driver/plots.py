"""Pictures of how a model does on the held-out rows."""

import lightgbm
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

MOST_BARS = 20


def draw(model: lightgbm.Booster, target: np.ndarray, predictions: np.ndarray) -> dict[str, Figure]:
    """Return figures by name."""
    return {
        "feature_importance": feature_importance(model),
        "precision_recall": precision_recall(target, predictions),
        "roc": roc(target, predictions),
    }


def roc(target: np.ndarray, predictions: np.ndarray) -> Figure:
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots()
    false_positives, true_positives, _ = roc_curve(target, predictions)
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, label="chance")
    axes.plot(false_positives, true_positives, label=f"model, area {roc_auc_score(target, predictions):.3f}")
    axes.set(title="ROC, held-out rows", xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    axes.legend(frameon=False, loc="lower right")
    return figure


def precision_recall(target: np.ndarray, predictions: np.ndarray) -> Figure:
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    precision, recall, _ = precision_recall_curve(target, predictions)
    # The last point of the curve is (0, 1) by definition, and the few rows before it are noise.
    shown = recall > 0.01
    axes.axhline(target.mean(), color="grey", linewidth=1, label="chance")
    average = average_precision_score(target, predictions)
    axes.plot(recall[shown], precision[shown], label=f"model, average precision {average:.3f}")
    axes.set(title="Precision and recall, held-out rows", xlabel="recall", ylabel="precision", xlim=(0, 1))
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return figure


def feature_importance(model: lightgbm.Booster) -> Figure:
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    gains = pd.Series(model.feature_importance("gain"), index=model.feature_name())
    shown = gains.nlargest(MOST_BARS).sort_values()
    axes.barh(shown.index, shown / gains.sum())
    axes.set(title="Feature importance, highest first", xlabel="share of the total gain")
    return figure
