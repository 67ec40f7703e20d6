"""Put the scores of a run on a cluster where people look for them: in a folder of its day and time, if all is well."""

import argparse
import json
import logging
from datetime import UTC, datetime
from pathlib import Path

from . import batch_output, tracking
from .batch import MAX_REJECTED, share
from .batch_input import below, shown
from .batch_output import SUMMARY, Output, Record
from .batch_step import GIVEN
from .program import UserError, program

LOST = "was scored, but its scores or rejected rows are absent or cut short"
UNSCORED = "was not scored, and the log of step score says why"  # its process ended, or took too long, each time

log = logging.getLogger(__name__)


def dated(now: datetime) -> Path:
    """Return the place of scores that were done at this time."""
    return Path(f"{now:%Y-%m-%d}", f"{now:%H_%M_%S}_{now.microsecond // 1000:03}")


def publish(rows: Path, scored: Path, target: Path, max_rejected: float, max_failed: int) -> dict[str, object]:
    """Copy scores and rejected rows, and return the summary, which is written last."""
    records = [batch_output.read(path) for path in sorted((scored / "records").rglob("*.json"))]
    check_version(records)
    given = set(json.loads((scored / GIVEN).read_text(encoding="utf-8")))
    records = [record if batch_output.is_whole(Output(scored), record) else failed(record, LOST) for record in records]
    absent = sorted(given - {record.file for record in records})
    records += [failed(records[0]._replace(file=file, source=file, size=0, modified=0), UNSCORED) for file in absent]
    if late := below(rows) - {record.file for record in records}:
        log.info("Arrived meanwhile, not scored: %s.", ", ".join(sorted(map(shown, late))))
    batch_output.check(records, max_rejected, max_failed)
    for record in records:
        batch_output.copy(Output(scored), record, target)
    return batch_output.conclude(target, records)


def failed(record: Record, why: str) -> Record:
    """Return the record of a file without scores."""
    error = f"{shown(record.file)} {why}."
    return record._replace(rows=0, rejected=0, scores_bytes=0, rejected_bytes=0, error=error)


def check_version(records: list[Record]) -> None:
    """Raise unless one version scored all files: each process chooses for itself, and a new one may come meanwhile."""
    versions = {f"version {record.model_version} of {record.model_name}" for record in records}
    if len(versions) != 1:
        found = f"by {' and '.join(sorted(versions))}: name a version with model_version" if versions else "by none"
        raise UserError(f"The files were scored {found}.")


@program()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", required=True, type=Path, help="folder that all inputs are in")
    parser.add_argument("--scored", required=True, type=Path, help="what the cluster wrote")
    parser.add_argument("--published", required=True, type=Path, help="folder for folders of scores")
    parser.add_argument("--place", required=True, help="what that folder is called on its datastore")
    parser.add_argument("--datastore", required=True, help="name of the datastore")
    parser.add_argument("--max-rejected", default=MAX_REJECTED, type=share, help="share of rows (%(default)s)")
    parser.add_argument("--max-failed", default=0, type=int, help="files that may fail; -1: any number (%(default)s)")
    arguments = parser.parse_args()

    day = dated(datetime.now(UTC))
    scored, target = arguments.scored, arguments.published / day
    found = publish(arguments.rows, scored, target, arguments.max_rejected, arguments.max_failed)
    where = {"folder": f"{arguments.place}/{day.as_posix()}", "datastore": arguments.datastore}
    told = json.dumps({**found, **where}, indent=2) + "\n"
    with tracking.store() as client:
        tracking.log_text(client, "", told, SUMMARY)
    log.info(told)


if __name__ == "__main__":
    main()
