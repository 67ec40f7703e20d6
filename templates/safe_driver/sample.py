"""The example's data: insured drivers, and who made a claim within a year.

The real data, train.csv of Porto Seguro's Safe Driver Prediction on Kaggle, may not be passed on. This makes rows that
are like it: the same columns and types, the share of missing values of each column, 3.6 % claims, and a signal that can
be learned. The figures are those published with the competition; the rows are made up, always the same ones.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from .schema import FEATURES, REAL, TARGET

ROWS = 100_000
CLAIMS = 0.036


class Feature(NamedTuple):
    """Lowest and highest value, the share of missing ones, and how much a high value speaks for a claim."""

    low: float
    high: float
    missing: float = 0
    weight: float = 0


# Whatever is not named here is yes or no, never missing, and says nothing of claims.
KNOWN = {
    "ps_ind_01": Feature(0, 7, weight=0.2),
    "ps_ind_02_cat": Feature(1, 4, 0.0004),
    "ps_ind_03": Feature(0, 11, weight=0.25),
    "ps_ind_04_cat": Feature(0, 1, 0.0001),
    "ps_ind_05_cat": Feature(0, 6, 0.0098, weight=0.35),
    "ps_ind_06_bin": Feature(0, 1, weight=-0.3),
    "ps_ind_07_bin": Feature(0, 1, weight=0.35),
    "ps_ind_14": Feature(0, 4),
    "ps_ind_15": Feature(0, 13, weight=-0.25),
    "ps_ind_16_bin": Feature(0, 1, weight=-0.3),
    "ps_ind_17_bin": Feature(0, 1, weight=0.45),
    "ps_reg_01": Feature(0, 0.9, weight=0.2),
    "ps_reg_02": Feature(0, 1.8, weight=0.3),
    "ps_reg_03": Feature(0.06, 4.04, 0.181, weight=0.4),
    "ps_car_01_cat": Feature(0, 11, 0.0002),
    "ps_car_02_cat": Feature(0, 1, 0.00001),
    "ps_car_03_cat": Feature(0, 1, 0.691, weight=0.2),
    "ps_car_04_cat": Feature(0, 9, weight=0.2),
    "ps_car_05_cat": Feature(0, 1, 0.448),
    "ps_car_06_cat": Feature(0, 17),
    "ps_car_07_cat": Feature(0, 1, 0.0193, weight=-0.3),
    "ps_car_09_cat": Feature(0, 4, 0.001),
    "ps_car_10_cat": Feature(0, 2),
    "ps_car_11_cat": Feature(1, 104),
    "ps_car_11": Feature(0, 3, 0.00001),
    "ps_car_12": Feature(0.1, 1.26, 0.00001, weight=0.2),
    "ps_car_13": Feature(0.25, 3.72, weight=0.5),
    "ps_car_14": Feature(0.11, 0.64, 0.0716),
    "ps_car_15": Feature(0, 3.74, weight=0.2),
    "ps_calc_01": Feature(0, 0.9),
    "ps_calc_02": Feature(0, 0.9),
    "ps_calc_03": Feature(0, 0.9),
    "ps_calc_04": Feature(0, 5),
    "ps_calc_05": Feature(0, 6),
    "ps_calc_06": Feature(0, 10),
    "ps_calc_07": Feature(0, 9),
    "ps_calc_08": Feature(2, 12),
    "ps_calc_09": Feature(0, 7),
    "ps_calc_10": Feature(0, 25),
    "ps_calc_11": Feature(0, 19),
    "ps_calc_12": Feature(0, 10),
    "ps_calc_13": Feature(0, 13),
    "ps_calc_14": Feature(0, 23),
}


def sample() -> pd.DataFrame:
    """Return the made-up rows: id, target and features."""
    random = np.random.default_rng(0)
    columns: dict[str, np.ndarray] = {"id": np.arange(ROWS), TARGET: np.zeros(ROWS, dtype=int)}
    evidence = np.zeros(ROWS)
    for name in FEATURES:
        feature = KNOWN.get(name, Feature(0, 1))
        values = draw(random, feature, whole=name not in REAL)
        evidence += feature.weight * (values - values.mean()) / values.std()
        columns[name] = np.where(random.random(ROWS) < feature.missing, -1, values)
    columns[TARGET] = (random.random(ROWS) < probabilities(evidence)).astype(int)
    return pd.DataFrame(columns)


def draw(random: np.random.Generator, feature: Feature, whole: bool) -> np.ndarray:
    """Return values between a feature's bounds, more of them low than high."""
    if whole:
        return feature.low + random.binomial(int(feature.high - feature.low), random.uniform(0.2, 0.5), ROWS)
    return np.round(feature.low + (feature.high - feature.low) * random.beta(2, 4, ROWS), 4)


def probabilities(evidence: np.ndarray) -> np.ndarray:
    """Turn evidence into probabilities of a claim, with claims as rare as they are: bisect for the intercept."""
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 / (1 + np.exp(-evidence - middle))).mean() < CLAIMS else (low, middle)
    return 1 / (1 + np.exp(-evidence - low))
