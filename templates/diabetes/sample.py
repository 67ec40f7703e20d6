"""The example's data: scikit-learn's diabetes data."""

import pandas as pd
from sklearn.datasets import load_diabetes

from .schema import TARGET


def sample() -> pd.DataFrame:
    """Return 442 patients with ten measurements and the progression of their disease a year later."""
    bunch = load_diabetes(as_frame=True)
    frame: pd.DataFrame = bunch.data.assign(**{TARGET: bunch.target})
    return frame
