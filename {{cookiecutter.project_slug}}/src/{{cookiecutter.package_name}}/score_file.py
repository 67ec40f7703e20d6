"""Score one file, piece by piece: rows keep their order, and those that cannot be scored are set apart."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from polars import selectors
from polars.io.plugins import register_io_source

from .batch_input import (
    LABEL,
    MODEL,
    REASON,
    ROW,
    SCORE,
    USABLE,
    VERSION,
    WHY,
    UnreadableError,
    form,
    has_bare_commas,
    number,
    pieces,
    scan,
    split,
)
from .scoring import Service

COMPRESSION: Literal["snappy"] = "snappy"  # which all readers know
TOO_LARGE = "the numbers are too large to predict from"
UNWRITABLE = selectors.nested() | selectors.binary() | selectors.duration()  # in CSV


@dataclass
class Job:
    """A file on its way: where it comes from, is made and goes to, and how much of it went there so far."""

    source: Path
    work: Path
    scores: Path
    rejected: Path
    keep_features: bool = False
    rows: int = 0
    bad: int = 0
    scores_bytes: int = 0
    rejected_bytes: int = 0

    @cached_property
    def has_blank_lines(self) -> bool:
        """Whether rows of nulls are blank lines; where a line holds only commas, polars takes the one for the other."""
        return form(self.source) == ".csv" and not has_bare_commas(self.source)


def score_file(service: Service, job: Job) -> None:
    """Write a file's scores, and its rejected rows with their reasons, each whole or not at all.

    Raises `UnreadableError` for what is wrong with the file, and whatever writing raises.
    """
    columns, added = service.model.columns, (ROW, SCORE, *([LABEL] if service.model.labels else []), MODEL, VERSION)
    try:
        write(service, job, scan(job.source, columns, added))
    except UnreadableError:
        if form(job.source) != ".csv":
            raise
        write(service, job, scan(job.source, columns, added, as_text=True))


def write(service: Service, job: Job, rows: pl.LazyFrame) -> None:
    """Score rows into new files, and put those in the place of what was there."""
    job.rows = job.bad = 0
    check(job, rows)
    scores, rejected = job.work / "scores", job.work / "rejected"
    rejected.unlink(missing_ok=True)

    def scored() -> Iterator[pl.DataFrame]:
        for piece in pieces(rows, job.source):
            good, bad = score(service, job, piece)
            if bad is not None and len(bad):
                set_apart(job.source, bad, rejected)
                job.bad += len(bad)
            job.rows += len(good)
            yield good

    save(scored(), scores, form(job.scores))
    job.rejected_bytes = move(rejected, job.rejected)
    job.scores_bytes = move(scores, job.scores)


def check(job: Job, rows: pl.LazyFrame) -> None:
    """Raise if a column cannot be written in the format of the scores."""
    if form(job.source) == form(job.scores) or form(job.scores) != ".csv":
        return
    if names := rows.select(UNWRITABLE).collect_schema().names():
        raise UnreadableError(f"{job.source}: CSV cannot hold column {', '.join(names)}: leave out --format csv.")


def move(made: Path, place: Path) -> int:
    """Put a file, or nothing if none was made, in the place of what was there, and return its size."""
    if not made.exists():
        place.unlink(missing_ok=True)
        return 0
    place.parent.mkdir(parents=True, exist_ok=True)
    size = made.stat().st_size
    made.replace(place)
    return size


def set_apart(source: Path, rows: pl.DataFrame, path: Path) -> None:
    """Add rejected rows to a CSV file, what it can hold of them."""
    if REASON in rows.columns:
        raise UnreadableError(f"{source} has a column {REASON} already, which rejected rows get: rename it.")
    plain = rows.select(ROW, pl.col(WHY).alias(REASON), ~(UNWRITABLE | selectors.by_name(ROW, WHY)))
    with path.open("ab") as file:
        plain.write_csv(file, include_header=file.tell() == 0)


def save(pieces: Iterator[pl.DataFrame], path: Path, ending: str) -> None:
    """Write pieces, of which there is at least one, as they come."""
    first, second = next(pieces), next(pieces, None)
    if second is None:
        if ending == ".csv":
            first.write_csv(path)
        else:
            first.write_parquet(path, compression=COMPRESSION, statistics=False)
        return
    every = itertools.chain([first, second], pieces)
    rows = register_io_source(lambda *_: every, schema=first.schema)
    if ending == ".csv":
        rows.sink_csv(path)
    else:
        rows.sink_parquet(path, compression=COMPRESSION, statistics=False)


def score(service: Service, job: Job, piece: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Return the rows of a piece with their scores, and those that were rejected with the reason."""
    columns = service.model.columns
    usable, rejected = split(piece, columns, lambda: job.has_blank_lines)
    predictions = predict(service, job.source, usable)
    if not (finite := np.isfinite(predictions)).all():
        infinite = usable.filter(~finite).with_columns(pl.lit(TOO_LARGE).alias(WHY))
        infinite = infinite.drop(USABLE, *map(number, columns))
        rejected = infinite if rejected is None else pl.concat([rejected, infinite])
        usable, predictions = usable.filter(finite), predictions[finite]
    if job.keep_features:  # as numbers, since a file with a row that has none is read as text
        usable = usable.with_columns(pl.col(number(name)).alias(name) for name in columns)
    made = {USABLE, *map(number, columns), *(() if job.keep_features else columns)}
    kept = usable[[name for name in usable.columns if name not in made]]
    return kept.hstack(answer(service, predictions)), rejected


def predict(service: Service, source: Path, rows: pl.DataFrame) -> npt.NDArray[np.float64]:
    """Return what the model predicts of each row."""
    if not len(rows):
        return np.empty(0)
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            return service.model.predict(rows[list(map(number, service.model.columns))].to_numpy(order="c"))
    except Exception as error:  # a model may raise anything
        raise UnreadableError(f"{source}: the model failed: {error!r}.") from error


def answer(service: Service, predictions: npt.NDArray[np.float64]) -> list[pl.Series]:
    """Return the columns that scoring adds."""
    score, model = pl.Series(SCORE, predictions, dtype=pl.Float64), service.model
    added = [score]
    if model.labels and model.threshold is not None:
        first, second = (pl.Series(LABEL, [label]) for label in model.labels)
        added.append(second.new_from_index(0, len(score)).zip_with(score >= model.threshold, first))
    named = {MODEL: service.name, VERSION: service.version}
    return [*added, *(pl.Series(name, [value]).new_from_index(0, len(score)) for name, value in named.items())]
