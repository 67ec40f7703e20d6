"""Score one file, piece by piece: rows keep their order, and those that cannot be scored are set apart."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    """A file on its way: where it comes from and goes to, and how many of its rows went there so far."""

    source: Path
    scores: Path
    rejected: Path
    keep_features: bool = False
    told: Callable[[int], None] = lambda rows: None
    rows: int = 0
    bad: int = 0

    @cached_property
    def has_blank_lines(self) -> bool:
        """Whether rows of nulls are blank lines; where a line holds only commas, polars takes the one for the other."""
        return form(self.source) == ".csv" and not has_bare_commas(self.source)


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
    check(job, rows)
    with unfinished(job.scores, "scores") as scores, unfinished(job.scores, "rejected") as rejected:

        def scored() -> Iterator[pl.DataFrame]:
            for piece in pieces(rows, job.source):
                good, bad = score(service, job, piece)
                if bad is not None and len(bad):
                    set_apart(bad, rejected)
                    job.bad += len(bad)
                job.rows += len(good)
                job.told(job.rows + job.bad)
                yield good

        save(scored(), scores, form(job.scores))
        job.rejected.unlink(missing_ok=True)
        if job.bad:
            job.rejected.parent.mkdir(parents=True, exist_ok=True)
            rejected.replace(job.rejected)
        scores.replace(job.scores)


def check(job: Job, rows: pl.LazyFrame) -> None:
    """Raise if a column cannot be written in the format of the scores."""
    if form(job.source) == form(job.scores) or form(job.scores) != ".csv":
        return
    if names := rows.select(UNWRITABLE).collect_schema().names():
        raise UnreadableError(f"{job.source}: CSV cannot hold column {', '.join(names)}: leave out --format csv.")


@contextmanager
def unfinished(path: Path, what: str) -> Iterator[Path]:
    """Give a place to write to, beside where a file will be, and leave nothing there in the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place = path.with_name(f".{path.name}.{what}")
    place.unlink(missing_ok=True)
    try:
        yield place
    finally:
        place.unlink(missing_ok=True)


def set_apart(rows: pl.DataFrame, path: Path) -> None:
    """Add rejected rows to a CSV file, what it can hold of them."""
    plain = rows.select(ROW, REASON, ~(UNWRITABLE | selectors.by_name(ROW, REASON)))
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
        infinite = usable.filter(~finite).with_columns(pl.lit(TOO_LARGE).alias(REASON))
        infinite = infinite.drop(USABLE, *map(number, columns))
        rejected = infinite if rejected is None else pl.concat([rejected, infinite])
        usable, predictions = usable.filter(finite), predictions[finite]
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
