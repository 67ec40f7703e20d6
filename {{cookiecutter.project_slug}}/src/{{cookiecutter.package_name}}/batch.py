"""Score files with a version of the model: CSV or Parquet, one file, a folder of them, or a pattern.

Each input has its scores in <output>/scores, its rejected rows in <output>/rejected, and a record of what became of it
in <output>/records. Run again, it skips what is recorded: so a run that was killed goes on where it was.
"""

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from . import batch_output, scoring, tracking
from .batch_input import FORMATS, find
from .batch_output import Output, Record
from .choose import add_choice, choose
from .program import UserError, program
from .registry import fetch_for_serving
from .scoring import Service

MAX_REJECTED = 0.01
WIDTH = 30

log = logging.getLogger(__name__)


class Progress:
    """How far a run is: a bar where somebody looks on, else nothing."""

    def __init__(self, files: int) -> None:
        self.files, self.done, self.rows = files, 0, 0
        self.watched = sys.stderr.isatty()

    def add(self, rows: int = 0, files: int = 0) -> None:
        self.rows, self.done = self.rows + rows, self.done + files
        if self.watched:
            bar = "#" * (WIDTH * self.done // self.files)
            line = f"\r[{bar:.<{WIDTH}}] {self.done} of {self.files} files, {self.rows:,} rows"
            print(line, end="\n" if self.done == self.files else "", file=sys.stderr, flush=True)


class Outcome(NamedTuple):
    """What a run did: a record for each file, how many files it skipped, rows that it looked at, how long it took."""

    records: list[Record]
    skipped: int
    rows: int
    seconds: float


def run(service: Service, named: str, output: Output, overwrite: bool = False) -> Outcome:
    """Score the files that a path names, but those that are recorded."""
    folder, files = find(named)
    check_apart(folder, output.folder)
    began, progress, records, skipped = time.monotonic(), Progress(len(files)), [], 0
    for source in files:
        record = batch_output.wanted(service, output, source, source.relative_to(folder).as_posix())
        earlier = None if overwrite else batch_output.scored_before(output, record)
        skipped += earlier is not None
        if overwrite:
            output.begun(record.file).unlink(missing_ok=True)
        records.append(earlier or batch_output.score(service, output, source, record, progress.add))
        progress.add(files=1)
    return Outcome(records, skipped, progress.rows, time.monotonic() - began)


def load_chosen(chosen: argparse.Namespace) -> Service:
    """Fetch and load the version that the flags choose."""
    with tempfile.TemporaryDirectory() as folder:
        with tracking.store() as client:
            fetch_for_serving(choose(client, chosen), Path(folder))
        return scoring.load(Path(folder))


def check_apart(folder: Path, output: Path) -> None:
    """Raise if scores would be taken for inputs the next time."""
    if output.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{output} is in {folder}, which holds the inputs: choose another folder for the scores.")


def share(text: str) -> float:
    """Read a share: 0 to 1."""
    if not 0 <= float(text) <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return float(text)


@program()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True, help="file, folder or quoted pattern")
    parser.add_argument("--output", required=True, type=Path, help="folder for the scores")
    parser.add_argument("--format", choices=[form[1:] for form in FORMATS], help="format of the scores (the input's)")
    parser.add_argument("--keep-features", action="store_true", help="repeat the model's columns beside the scores")
    parser.add_argument("--overwrite", action="store_true", help="score what is recorded, too")
    parser.add_argument(
        "--max-rejected", default=MAX_REJECTED, type=share, help="share of rows that may be rejected (%(default)s)"
    )
    add_choice(parser)
    arguments = parser.parse_args()

    output = Output(arguments.output, arguments.format and f".{arguments.format}", arguments.keep_features)
    find(arguments.input)  # before a model is fetched
    service = load_chosen(arguments)
    report(output, run(service, arguments.input, output, arguments.overwrite), arguments.max_rejected)


def report(output: Output, outcome: Outcome, max_rejected: float) -> None:
    """Say what happened, write it down, and raise if not all is well."""
    records, skipped, now, seconds = outcome
    rows, rejected = sum(record.rows for record in records), sum(record.rejected for record in records)
    which = f"version {records[0].model_version} of {records[0].model_name}"
    scored = len(records) - sum(bool(record.error) for record in records)
    log.info("Scored with %s: %s rows of %d of %d files.", which, f"{rows:,}", scored, len(records))
    if skipped:
        log.info("%d of these files were scored before.", skipped)
    log.info("%.2f s: %s rows a second.", seconds, f"{now / seconds:,.0f}")
    log.info("Rejected: %s rows.", f"{rejected:,}")
    log.info("Scores: %s", (output.folder / "scores").resolve())
    batch_output.conclude(output.folder, records, skipped=skipped, seconds=round(seconds, 3))
    batch_output.check(records, max_rejected)


if __name__ == "__main__":
    main()
