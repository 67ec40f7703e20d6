"""What the steps hand to one another: JSON files of these shapes."""

import math
import shutil
from pathlib import Path
from typing import Literal, TypeVar

import pandas as pd
from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from .parameters import PATH, Evaluation
from .program import UserError, invalid, write_text

Metrics = dict[str, FiniteFloat]


class Record(BaseModel):
    """A JSON object with just the keys that its class names."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Candidate(Record):
    """candidate/metrics.json. Training writes it last: where it is, the candidate is whole."""

    run_id: str
    data_sha256: str
    behaviour_sha256: str
    metrics: Metrics


class Champion(Record):
    """The version that the candidate was compared with, measured on the same rows."""

    version: int
    metrics: Metrics


class Decision(Record):
    """decision/decision.json. ``overridden_by`` names the switch that promoted whatever the figures say."""

    promote: bool
    reason: str
    candidate: Metrics
    champion: Champion | None = None
    overridden_by: Literal["RUN_EVALUATION", "ALLOW_RUN_CANCEL"] | None = None
    model_digest: str = ""


Kind = TypeVar("Kind", bound=Record)


def read(kind: type[Kind], path: Path, remedy: str) -> Kind:
    """Read a record, or say what is wrong with the file and what to do."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: {remedy}.") from error
    except ValidationError as error:
        raise invalid(path, error) from error


def write(record: Record, path: Path) -> None:
    """Write a record whole or not at all."""
    write_text(path, record.model_dump_json(indent=2) + "\n")


def start_candidate(folder: Path) -> None:
    """Empty the folder for a new candidate: a killed run must not leave an old one that looks whole."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").unlink(missing_ok=True)
    shutil.rmtree(folder / "model", ignore_errors=True)


def read_held_out(folder: Path, remedy: str) -> pd.DataFrame:
    """Read the rows that training held out."""
    path = folder / "held_out.parquet"
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise UserError(f"{path} cannot be read: {remedy}. ({error})") from error


def check_metrics(metrics: Metrics, evaluation: Evaluation, whose: str) -> None:
    """Raise unless every metric that decides is there, and all are finite numbers."""
    for name in evaluation.metrics:
        if name not in metrics:
            known = ", ".join(metrics) or "none"
            told = f"{whose} has no metric {name!r}; it has {known}."
            raise UserError(f"{told} Name one of these in {PATH}, or return it from measure() in estimator.py.")
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise UserError(f"{whose} has {name} {value}, which cannot be compared. Look at its predictions.")
