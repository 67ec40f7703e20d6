"""Ten rows in the model folder and what was predicted for them: later code must still read its weights the same way."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from . import registry
from .model import load
from .program import UserError, write_text
from .registry import Version

FILE = "golden_rows.json"
COUNT = 10
TOLERANCE = 1e-9  # relative, and absolute near zero
REMEDY = (
    "Revert it, or train and register a new version (RUN_EVALUATION=false registers it whatever the figures say). "
    "To use the version with the code that it had, take the commit of the build that registered it."
)


def write(folder: Path, rows: npt.ArrayLike) -> None:
    """Keep rows (n, columns) and what the model folder predicts for them."""
    given = np.asarray(rows, dtype=np.float64)
    kept = {"rows": given.tolist(), "predictions": load(folder).predict(given).tolist()}
    (folder / FILE).write_text(json.dumps(kept), encoding="utf-8")


def check(folder: Path, version: object) -> None:
    """Raise unless this code predicts what was predicted when the version was trained."""
    try:
        kept = json.loads((folder / FILE).read_text(encoding="utf-8"))
        expected = np.asarray(kept["predictions"], dtype=np.float64)
        found = load(folder).predict(kept["rows"])
    except Exception as error:  # a model may raise anything
        told = f"This code cannot score the golden rows of {version}: {error!r}."
        raise UserError(f"{told} {REMEDY}") from error
    if not len(expected) or not np.allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE):
        told = f"This code does not predict for the golden rows of {version} what was predicted when it was trained."
        raise UserError(f"{told} {REMEDY}")


def fetch(version: Version, folder: Path) -> None:
    """Put a version's model/ and model.json into a folder, which holds no other version's afterwards.

    Raises unless the code that is here predicts as it did when the version was trained.
    """
    (folder / "model.json").unlink(missing_ok=True)  # a model must never go by another's number
    registry.fetch(version, folder / "model")
    check(folder / "model", version)
    write_text(folder / "model.json", json.dumps({"name": version.name, "version": version.number}) + "\n")
