"""Score one file, piece by piece: rows keep their order, and those that cannot be scored are set apart."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
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
    UnreadableError,
    form,
    number,
    pieces,
    scan,
    split,
)
from .scoring import Service

# What of a rejected row a CSV file can hold.
PLAIN = selectors.numeric() | selectors.string() | selectors.temporal() | selectors.boolean()


@dataclass
class Job:
    """A file on its way: where it comes from and goes to, and how many of its rows went there so far."""

    source: Path
    scores: Path
    rejected: Path
    keep_features: bool = False
    told: Callable[[int], None] = lambda rows: None
    rows: int = 0
    bad: int = 0


def score_file(service: Service, job: Job) -> None:
    """Write a file's scores, and its rejected rows with their reasons, each whole or not at all.

    Raises `UnreadableError` for what is wrong with the file, and whatever writing raises.
    """
    columns = service.model.columns
    try:
        write(service, job, scan(job.source, columns))
    except UnreadableError:
        if form(job.source) != ".csv":
            raise
        write(service, job, scan(job.source, columns, as_text=True))


def write(service: Service, job: Job, rows: pl.LazyFrame) -> None:
    """Score rows into new files, and put those in the place of what was there."""
    job.rows = job.bad = 0
    none = rows.clear().collect()
    made = {USABLE, *map(number, service.model.columns)}
    schema = predict(service, job, none)[0].schema
    kept = [ROW, REASON, *none.select(PLAIN).drop(ROW, *made, strict=False).columns]
    with unfinished(job.scores, "scores") as scores, unfinished(job.scores, "rejected") as rejected:
        with rejected.open("wb") as apart:

            def scored(*_: object) -> Iterator[pl.DataFrame]:
                for piece in pieces(rows, job.source):
                    good, bad = score(service, job, piece)
                    if bad is not None and len(bad):
                        bad.select(kept).write_csv(apart, include_header=job.bad == 0)
                        job.bad += len(bad)
                    job.rows += len(good)
                    job.told(len(piece))
                    yield good

            sink(register_io_source(scored, schema=schema), scores, form(job.scores))
        job.rejected.unlink(missing_ok=True)
        if job.bad:
            job.rejected.parent.mkdir(parents=True, exist_ok=True)
            rejected.replace(job.rejected)
        scores.replace(job.scores)


@contextmanager
def unfinished(path: Path, what: str) -> Iterator[Path]:
    """Give a place to write to, beside where a file will be, and leave nothing there in the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place = path.with_name(f".{path.name}.{what}")
    try:
        yield place
    finally:
        place.unlink(missing_ok=True)


def sink(frame: pl.LazyFrame, path: Path, ending: str) -> None:
    """Write rows as they come."""
    if ending == ".csv":
        frame.sink_csv(path)
    else:
        frame.sink_parquet(path, compression="snappy")


def score(service: Service, job: Job, piece: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Return the rows of a piece with their scores, and those that were rejected with the reason."""
    usable, rejected = split(piece, service.model.columns, form(job.source) == ".csv")
    scored, finite = predict(service, job, usable)
    if not finite.all():
        reason = pl.lit("the numbers are too large to predict from").alias(REASON)
        infinite = usable.filter(~finite).with_columns(reason)
        scored, rejected = scored.filter(finite), infinite if rejected is None else pl.concat([rejected, infinite])
    return scored, rejected


def predict(service: Service, job: Job, piece: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
    """Return what is written of each row, and whether its prediction is finite."""
    model = service.model
    numbers = [number(name) for name in model.columns]
    predictions = np.empty(0)
    if len(piece):
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                predictions = model.predict(piece.select(numbers).to_numpy(order="c"))
        except Exception as error:  # a model may raise anything
            raise UnreadableError(f"{job.source}: the model failed: {error!r}.") from error
    score = pl.Series(SCORE, predictions, dtype=pl.Float64)
    return piece.select(
        pl.exclude(USABLE, *numbers, *(() if job.keep_features else model.columns)),
        score,
        *label(service, score),
        pl.lit(service.name).alias(MODEL),
        pl.lit(service.version).alias(VERSION),
    ), score.is_finite()


def label(service: Service, score: pl.Series) -> list[pl.Expr]:
    """Return the labels of a classifier, which are a column of their own."""
    labels, threshold = service.model.labels, service.model.threshold
    if labels is None or threshold is None:
        return []
    return [pl.when(score >= threshold).then(pl.lit(labels[1])).otherwise(pl.lit(labels[0])).alias(LABEL)]
