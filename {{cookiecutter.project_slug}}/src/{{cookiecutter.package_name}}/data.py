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
    if len(frame) < FEWEST_ROWS:
        raise UserError(f"{folder}: {len(frame)} rows are too few to train on; there must be at least {FEWEST_ROWS}.")
    return frame


def read_file(path: Path) -> pd.DataFrame:
    """Return a CSV file as it is."""
    try:
        return pd.read_csv(path)
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
    """Say for each column and check how many rows failed, and the first of them by its line in the file."""
    told = []
    for (column, rule), rows in failures.groupby(["column", "check"], dropna=False, sort=False):
        located = rows.dropna(subset="index")
        first = rows.iloc[0]
        what = next((words for name, words in WHAT_FAILED.items() if str(rule).startswith(name)), f"breaks {rule}")
        if first["schema_context"] == "DataFrameSchema":  # a whole column is there or not
            told.append(f"column {first['failure_case']} {what}.")
        elif len(located):
            where = f"in {len(located)} rows, first in line {int(located.iloc[0]['index']) + 2}"
            told.append(f"column {column} {what} {where}: {located.iloc[0]['failure_case']}.")
    return told


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
