"""What is learned, and how good it is."""

from typing import Annotated

import lightgbm
import numpy as np
import pandas as pd
from pydantic import Field, PositiveInt
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.model_selection import train_test_split

# One thread and a fixed order of sums: the same data give the same model to the last digit.
REPRODUCIBLE = {"num_threads": 1, "deterministic": True, "force_row_wise": True, "verbosity": -1}


def fit(
    features: pd.DataFrame,
    target: pd.Series,
    *,
    learning_rate: Annotated[float, Field(gt=0, le=1)],
    num_leaves: PositiveInt,
    rounds: PositiveInt,
    early_stopping: PositiveInt,
) -> lightgbm.Booster:
    """Fit boosted trees, until a fifth of the rows, set apart for that, has not improved for `early_stopping` rounds.

    The keyword arguments are the keys of ``training`` in parameters.yml.
    """
    learn, watch, learn_target, watch_target = train_test_split(features, target, test_size=0.2, random_state=0)
    learning = lightgbm.Dataset(learn, learn_target, free_raw_data=False)
    parameters = {"objective": "binary", "metric": "auc", "learning_rate": learning_rate, "num_leaves": num_leaves}
    try:
        return lightgbm.train(
            {**parameters, **REPRODUCIBLE},
            learning,
            num_boost_round=rounds,
            valid_sets=[lightgbm.Dataset(watch, watch_target, reference=learning, free_raw_data=False)],
            callbacks=[lightgbm.early_stopping(early_stopping, verbose=False)],
        )
    except lightgbm.basic.LightGBMError as error:
        raise ValueError(str(error)) from error


def measure(target: np.ndarray, predictions: np.ndarray, threshold: float | None) -> dict[str, float]:
    """Return every metric that ``evaluation`` in parameters.yml may ask for, from probabilities of a claim."""
    if len(np.unique(target)) < 2:
        found = "nothing but claims" if target.any() else "no claim"
        raise ValueError(f"there is {found} among {len(target)} rows; more rows are needed.")
    return {
        "auc": float(roc_auc_score(target, predictions)),
        "f1": float(f1_score(target, predictions >= (0.5 if threshold is None else threshold))),
    }
