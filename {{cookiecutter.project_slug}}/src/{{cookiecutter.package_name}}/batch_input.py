"""Files of rows: which there are, what they hold, and which of their rows a model can score."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import polars as pl
from polars.exceptions import PanicException, PolarsError

from .program import UserError

FORMATS = (".csv", ".parquet")
MAGIC = frozenset("*?[")
ROWS_AT_ONCE = 100_000
BYTES_AT_ONCE = 2**24
# What is added to the columns of a file: the number of a row, what the model says, and which model; or why it cannot.
ROW, SCORE, LABEL, MODEL, VERSION, REASON = "row", "score", "label", "model_name", "model_version", "reason"
# Columns on the way; number() names more of them.
USABLE, WHY = "row can be scored", "why it cannot"


class UnreadableError(UserError):
    """This file cannot be scored; others can."""


class Found(NamedTuple):
    """Files that a path names, the folder they are in, whether it is searched deeply, and how many others it has."""

    folder: Path
    files: list[Path]
    recursive: bool
    left_out: int


def find(named: str) -> Found:
    """Return the files that a path names: a file, a folder or a pattern."""
    path = Path(named)
    try:
        folder, pattern = divide(path)
        found = matching(folder, pattern) if pattern else [path]
    except OSError as error:
        raise UserError(f"{error.filename} cannot be read: {error.strerror}.") from error
    files = sorted(one for one in found if form(one) in FORMATS)
    if not files:
        raise UserError(f"{named}: there is no CSV or Parquet file. `make run` puts a sample into data/.")
    return Found(folder, files, "**" in pattern, len(found) - len(files))


def divide(path: Path) -> tuple[Path, tuple[str, ...]]:
    """Return the folder that all files of a path are in, and the pattern below it; a file has none."""
    if path.is_file():
        return path.parent, ()
    if path.is_dir():
        return path, ("**", "*")
    fixed = next((place for place, part in enumerate(path.parts) if MAGIC & set(part)), None)
    if fixed is None:
        raise UserError(f"{path} does not exist. `make run` makes data/ and a sample in it.")
    return Path(*path.parts[:fixed]), path.parts[fixed:]


def matching(folder: Path, pattern: tuple[str, ...]) -> list[Path]:
    """Return what matches and is no folder. Raises OSError where a folder cannot be read: glob says nothing then."""
    for length in range(len(pattern)):
        for place in folder.glob(str(Path(*pattern[:length]))) if length else [folder]:
            if place.is_dir() and not hidden(place.relative_to(folder)):
                os.scandir(place).close()
    found = folder.glob(str(Path(*pattern)))
    return [one for one in found if not one.is_dir() and not hidden(one.relative_to(folder))]


def below(folder: Path) -> set[str]:
    """Return the names of all files of rows below a folder, as a cluster is given them."""
    files = (path for path in folder.rglob("*") if form(path) in FORMATS and path.is_file())
    return {path.relative_to(folder).as_posix() for path in files}


def hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def form(path: Path) -> str:
    """Return the ending of a file's name, which says what it holds."""
    return path.suffix.lower()


def shown(name: Path | str) -> str:
    """Return a name as it can be printed, whatever its bytes are."""
    return os.fsencode(name).decode(errors="backslashreplace")


def scan(source: Path, columns: tuple[str, ...], added: tuple[str, ...], as_text: bool = False) -> pl.LazyFrame:
    """Return the rows of a file, not read yet, each with its number and whether it is usable.

    Beside the file's own columns are those of the model as numbers. In a CSV file a value that is no number is an
    error, which is fast; with ``as_text``, only its row is not usable. Other columns are kept as they are written.
    """
    if shown(source) != str(source):
        raise UnreadableError(f"{shown(source)}: this name is not UTF-8: rename the file.")
    with reading(source):
        if form(source) == ".csv":
            types = {} if as_text else dict.fromkeys(columns, pl.Float64)
            frame = pl.scan_csv(source, glob=False, infer_schema=False, schema_overrides=types)
        else:
            frame = pl.scan_parquet(source, glob=False, hive_partitioning=False, low_memory=True)
        schema = frame.collect_schema()
    check(source, schema, columns, added)
    numbers = [value(name, schema[name]).cast(pl.Float64, strict=False).alias(number(name)) for name in columns]
    # A sum is finite only where each number is; the other way round, a piece with an infinite one is looked at closely.
    usable = pl.sum_horizontal(map(number, columns), ignore_nulls=False).is_finite().fill_null(False)
    return frame.with_row_index(ROW, offset=1).with_columns(numbers).with_columns(usable.alias(USABLE))


def check(source: Path, schema: pl.Schema, columns: tuple[str, ...], added: tuple[str, ...]) -> None:
    """Raise unless a file has the model's columns once, of numbers, and no column that is to be added."""
    if missing := [name for name in columns if name not in schema]:
        raise UnreadableError(f"{source} has no column {', '.join(missing)}; it has {', '.join(schema):.200}.")
    for name in columns:
        if not (schema[name].is_numeric() or schema[name] == pl.String):
            raise UnreadableError(f"{source}: column {name} holds {schema[name]}, not numbers.")
    if twice := [name for name in columns if f"{name}_duplicated_0" in schema and header(source).count(name) > 1]:
        raise UnreadableError(f"{source} has column {', '.join(twice)} more than once: leave one.")
    if taken := [name for name in (*added, USABLE, WHY, *map(number, columns)) if name in schema]:
        raise UnreadableError(f"{source} has a column {', '.join(taken)} already, which scoring adds: rename it.")


def header(source: Path) -> tuple[str, ...]:
    """Return the names in a CSV file as they are written: polars gives another one to what is there twice."""
    with reading(source):
        return pl.read_csv(source, glob=False, has_header=False, n_rows=1, infer_schema=False).row(0)


@contextmanager
def reading(source: Path) -> Iterator[None]:
    """Turn what is wrong with a file into an `UnreadableError`: polars panics where bytes were changed."""
    try:
        yield
    except (PolarsError, PanicException, OSError) as error:
        raise UnreadableError(f"{source} cannot be read: {str(error).partition(chr(10))[0]}.") from error


def number(name: str) -> str:
    """Name the column that holds another one's values as numbers."""
    return f"{name} as a number"


def value(name: str, kind: pl.DataType | type[pl.DataType]) -> pl.Expr:
    """Return a column without the blanks around text."""
    return pl.col(name).str.strip_chars() if kind == pl.String else pl.col(name)


def at_once(frame: pl.LazyFrame, source: Path) -> list[pl.DataFrame]:
    """Return a small file whole, which takes half the time, or nothing. Parquet can hold many rows in few bytes."""
    most = 2 * ROWS_AT_ONCE
    if source.stat().st_size >= BYTES_AT_ONCE or len(piece := frame.head(most).collect()) == most:
        return []
    return [piece]


def pieces(frame: pl.LazyFrame, source: Path) -> Iterator[pl.DataFrame]:
    """Read a file piece by piece, in order: a small one, or one without rows, is a single piece."""
    os.environ.setdefault("POLARS_ROW_GROUP_PREFETCH_SIZE", "1")  # else what waits to be scored fills the memory
    with reading(source):
        batches = iter(at_once(frame, source) or frame.collect_batches(chunk_size=ROWS_AT_ONCE))
        piece = next(batches, None)
        if piece is None:
            piece = frame.clear().collect()
    while piece is not None:
        yield piece
        with reading(source):
            piece = next(batches, None)


def has_bare_commas(source: Path) -> bool:
    """Tell whether a line of a CSV file holds commas and nothing else."""
    with reading(source), source.open("rb") as file:
        return any(b"," in line and not line.strip(b", \t\r\n") for line in file)


def split(
    piece: pl.DataFrame, columns: tuple[str, ...], is_blank: Callable[[], bool]
) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Return the rows that can be scored, and those that cannot, with the reason.

    A row of nulls is a blank line, and no row, if ``is_blank`` says so: which is asked only where there is one.
    """
    if piece[USABLE].all():
        return piece, None
    own = [name for name in piece.columns if name not in (ROW, USABLE, *map(number, columns))]
    nulls = piece.select(pl.all_horizontal(pl.col(own).is_null())).to_series()
    if nulls.any() and is_blank():
        piece = piece.filter(~nulls)
    reasons = [problem(name, piece.schema[name]) for name in columns]
    judged = piece.with_columns(pl.concat_str(reasons, separator="; ", ignore_nulls=True).alias(WHY))
    good = judged.filter(pl.col(WHY) == "").drop(WHY)
    return good, judged.filter(pl.col(WHY) != "").drop(USABLE, *map(number, columns))


def problem(name: str, kind: pl.DataType) -> pl.Expr:
    """Say what is wrong with each value of a column; null where nothing is."""
    written, read = value(name, kind), pl.col(number(name))
    return (
        pl.when(written.is_null() | (written.cast(pl.String) == ""))
        .then(pl.lit(f"{name} is empty"))
        .when(read.is_null())
        .then(pl.format("{} is not a number: {}", pl.lit(name), written.cast(pl.String).str.slice(0, 40)))
        .when(~read.is_finite())
        .then(pl.lit(f"{name} is not finite"))
    )
