"""Write the sample data; read and check whatever data there is."""

import argparse
import hashlib
import logging
from pathlib import Path

import pandas as pd
from pandera.errors import SchemaErrors

from .program import UserError, program, write_text
from .sample import sample
from .schema import TRAINING_DATA

FEWEST_ROWS = 10
WHAT_FAILED = {
    "column_in_dataframe": "is missing",
    "column_in_schema": "is not in the schema",
    "not_nullable": "is empty",
    "coerce_dtype": "is not a number",
    "field_uniqueness": "is there twice",
}

log = logging.getLogger(__name__)


def files(folder: Path) -> list[Path]:
    """Return the data files of a folder in the order of their names."""
    return sorted(folder.glob("*.csv"))


def fingerprint(folder: Path) -> str:
    """Return the SHA-256 of the data, as ``cat *.csv | sha256sum`` gives it."""
    digest = hashlib.sha256()
    for path in files(folder):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def read(folder: Path) -> pd.DataFrame:
    """Return all rows of a folder's files, columns in the schema's order, or say all that is wrong with them."""
    if not files(folder):
        raise UserError(f"{folder}: there is no CSV file; `make run` writes the sample data, or put yours there.")
    frame = pd.concat([check(read_file(path), path) for path in files(folder)], ignore_index=True)
    if len(files(folder)) > 1:
        frame = check(frame, folder)  # what must be unique must be so in all files together
    if len(frame) < FEWEST_ROWS:
        raise UserError(f"{folder}: {len(frame)} rows are too few to train on; there must be at least {FEWEST_ROWS}.")
    return frame


def read_file(path: Path) -> pd.DataFrame:
    """Return the rows of a CSV file. The index counts lines from 0, the one after the header."""
    try:
        frame = pd.read_csv(path, index_col=False, skip_blank_lines=False)
        return frame.dropna(how="all")  # blank lines; those after them keep their place
    except (ValueError, OSError) as error:  # pandas' parser errors are ValueErrors
        raise UserError(f"{path}: it cannot be read as CSV: {error}") from error


def check(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return the rows in the schema's columns and types, or raise what is wrong, one sentence per column."""
    try:
        checked = TRAINING_DATA.validate(frame, lazy=True)
    except SchemaErrors as error:
        raise UserError("\n".join(f"{path}: {sentence}" for sentence in sentences(error.failure_cases))) from error
    return checked[list(TRAINING_DATA.columns)]


def sentences(failures: pd.DataFrame) -> list[str]:
    """Say for each column and rule how many rows failed, and the first of them by its line in the file."""
    columns = failures[failures["schema_context"] == "DataFrameSchema"]
    told = [f"column {row['failure_case']} {in_words(row['check'])}." for _, row in columns.iterrows()]
    # Where text is not a number, pandera says so once more as a rule on the type of the column.
    located = failures[~failures["check"].astype(str).str.startswith("dtype(")].dropna(subset="index")
    located = located.sort_values("index", kind="stable")
    for (column, rule), rows in located.groupby(["column", "check"], sort=False):
        first = rows.iloc[0]
        where = f"in {len(rows)} rows, first in line {int(first['index']) + 2}"
        told.append(f"column {column} {in_words(str(rule))} {where}: {first['failure_case']}.")
    return told


def in_words(rule: str) -> str:
    """Say what it means that a rule of pandera is broken."""
    return next((words for name, words in WHAT_FAILED.items() if rule.startswith(name)), f"breaks {rule}")


@program()
def main() -> None:
    parser = argparse.ArgumentParser(description="Write the sample data, unless the folder already holds data.")
    parser.add_argument("--output", required=True, type=Path, help="folder to write to")
    output = parser.parse_args().output
    if files(output):
        log.info("%s already holds data: left as it is.", output)
        return
    frame = sample()
    write_text(output / "sample.csv", frame.to_csv(index=False))
    log.info("Wrote %d rows to %s.", len(frame), output / "sample.csv")


if __name__ == "__main__":
    main()
