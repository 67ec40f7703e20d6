"""Score files with a version of the model: CSV or Parquet, one file, a folder of them, or a pattern.

Each input has its scores in <output>/scores, its rejected rows in <output>/rejected, and a record of what became of it
in <output>/records. Run again, it skips what is recorded: so a run that was killed goes on where it was.
"""

import argparse
import dataclasses
import logging
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from . import batch_output, golden_rows, registry, scoring, tracking
from .batch_input import FORMATS, Found, find, shown
from .batch_output import Output, Record
from .choose import add_choice, choose
from .program import UserError, program
from .scoring import Service

MAX_REJECTED = 0.01

log = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """What a run did: a record for each file, how many it skipped, rows of the others, its time, what it left out."""

    records: list[Record]
    skipped: int
    rows: int
    seconds: float
    left_out: int


def run(service: Service, named: str, output: Output, overwrite: bool = False) -> Outcome:
    """Score the files that a path names, but those that are recorded."""
    found = find(named)
    files = inputs(found, output)
    with batch_output.writing(summary := output.folder / batch_output.SUMMARY):
        summary.unlink(missing_ok=True)
    last = batch_output.interrupted(output) & files.keys()  # a corrupt file can end the program, and is to end no other
    if last:
        told = ", ".join(sorted(map(shown, last)))
        log.info("A run began these and did not finish them, so they are scored last: %s.", told)
    began, records, skipped, rows = time.monotonic(), [], 0, 0
    for file in sorted(files, key=last.__contains__):
        record = batch_output.wanted(service, output, files[file], file)
        earlier = None if overwrite else batch_output.scored_before(output, record)
        skipped += earlier is not None
        records.append(earlier or batch_output.score(service, output, files[file], record))
        rows += 0 if earlier else records[-1].rows + records[-1].rejected
    return Outcome(records, skipped, rows, time.monotonic() - began, found.left_out)


def inputs(searched: Found, output: Output) -> dict[str, Path]:
    """Return files by their place, or raise if scores would take the place of one, or be one."""
    folder, files = searched.folder, searched.files
    found = {source.relative_to(folder).as_posix(): source for source in files}
    written: dict[Path, Path] = {}
    for file, source in found.items():
        scores = output.scores(file)
        if (other := written.setdefault(scores, source)) is not source:
            raise UserError(f"{other} and {source} would both have their scores in {scores}: score them apart.")
        if scores.resolve() == source.resolve():
            raise UserError(f"{source} would be replaced by its scores: choose another folder for them.")
    # a pattern that is not recursive matches nothing as deep as scores lie
    if searched.recursive and output.folder.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{output.folder} is in {folder}, which holds inputs: choose another folder for the scores.")
    return found


def load_chosen(chosen: argparse.Namespace) -> Service:
    """Fetch and load the version that the flags choose."""
    with tempfile.TemporaryDirectory() as folder:
        with tracking.store() as client:
            golden_rows.fetch(choose(client, chosen), Path(folder))
        return dataclasses.replace(scoring.load(Path(folder)), digest=registry.digest(Path(folder, "model")))


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
    inputs(find(arguments.input), output)  # before a model is fetched
    service = load_chosen(arguments)
    report(output, run(service, arguments.input, output, arguments.overwrite), arguments.max_rejected)


def report(output: Output, outcome: Outcome, max_rejected: float) -> None:
    """Say what happened, write it down, and raise if not all is well."""
    records, skipped, now, seconds, left_out = outcome
    rows, rejected = sum(record.rows for record in records), sum(record.rejected for record in records)
    which = f"version {records[0].model_version} of {records[0].model_name}"
    scored = len(records) - sum(bool(record.error) for record in records)
    log.info("Scored with %s: %s rows of %d of %d files.", which, f"{rows:,}", scored, len(records))
    if skipped:
        log.info("%d of these files were scored before.", skipped)
    if left_out:
        log.info("Left out: %d files that are neither CSV nor Parquet by their names.", left_out)
    log.info("%.2f s: %s rows a second.", seconds, f"{now / seconds:,.0f}")
    log.info("Rejected: %s rows.", f"{rejected:,}")
    log.info("Scores: %s", (output.folder / "scores").resolve())
    if others := batch_output.others(output, records):
        log.info("%d more files of scores are there, of inputs or a format that this run did not have.", others)
    batch_output.conclude(output.folder, records, skipped=skipped, others=others, seconds=round(seconds, 3))
    batch_output.check(records, max_rejected)


if __name__ == "__main__":
    main()
