"""A folder of scores: for each input its scores, its rejected rows, and a record of what became of it, written last."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from polars.exceptions import PolarsError

from .batch_input import UnreadableError, form, hidden, shown
from .program import UserError, write_text
from .score_file import Job, move, score_file
from .scoring import Service

SUMMARY = "summary.json"
UNFINISHED, BEGUN = ".unfinished-", "file"
A_DAY, LONGEST_NAME = 24 * 60 * 60, 255  # seconds, bytes


class Record(NamedTuple):
    """What became of a file. The first fields decide how its scores look: where they are as they were, so are those."""

    file: str
    source: str
    size: int
    modified: int
    model_name: str
    model_version: int
    model_digest: str
    keep_features: bool
    rows: int = 0
    rejected: int = 0
    scores_bytes: int = 0
    rejected_bytes: int = 0
    error: str = ""


class Output(NamedTuple):
    """Where scores go, and how they look."""

    folder: Path
    ending: str | None = None
    keep_features: bool = False

    def name(self, file: str) -> str:
        """Return what the scores of a file are called: as the file; another format is added to that."""
        return file if self.ending in (None, form(Path(file))) else f"{file}{self.ending}"

    def scores(self, file: str) -> Path:
        return self.folder / "scores" / self.name(file)

    def rejected(self, file: str) -> Path:
        return self.folder / "rejected" / f"{self.name(file)}.csv"

    def record(self, file: str) -> Path:
        return self.folder / "records" / f"{self.name(file)}.json"


def wanted(service: Service, output: Output, source: Path, file: str) -> Record:
    """Return the record of a file that was not looked into yet."""
    try:
        found = source.stat()
        size, modified = found.st_size, found.st_mtime_ns
    except OSError:
        size = modified = 0
    model = (service.name, service.version, service.digest)
    return Record(file, str(source.resolve()), size, modified, *model, output.keep_features)


def read(path: Path) -> Record:
    """Read a record. Raises OSError, ValueError or TypeError if it is none."""
    return Record(**json.loads(path.read_text(encoding="utf-8")))


def scored_before(output: Output, record: Record) -> Record | None:
    """Return the record of the same scores, if they are there."""
    try:
        found = read(output.record(record.file))
    except (OSError, ValueError, TypeError):
        return None
    made_of = slice(Record._fields.index("rows"))
    same = found[made_of] == record[made_of] and not found.error and is_whole(output, found)
    return found if same else None


def is_whole(output: Output, record: Record) -> bool:
    """Tell whether scores and rejected rows are there, as large as they were made."""
    places = output.scores(record.file), output.rejected(record.file)
    found = [place.stat().st_size if place.exists() else 0 for place in places]
    return found == [record.scores_bytes, record.rejected_bytes]


@contextmanager
def working(folder: Path) -> Iterator[Path]:
    """Give a folder of one's own to make files in: no other run writes them, and they get their names when whole."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=folder) as name:
        yield Path(name)


def interrupted(output: Output) -> set[str]:
    """Return what runs began and did not finish, and take away what is left of those that ended a day ago."""
    began = set()
    for path in output.folder.glob(f"{UNFINISHED}*"):
        with suppress(OSError):  # the run goes on, and has just finished this
            began.add(os.fsdecode((path / BEGUN).read_bytes()))
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > A_DAY:
                shutil.rmtree(path, ignore_errors=True)
    return {file for file in began if not output.record(file).exists()}


def score(service: Service, output: Output, source: Path, record: Record) -> Record:
    """Score a file, and return its record. One that cannot be scored leaves no scores, and a record that says why.

    What cannot be written is a `UserError`: it would happen to the next file as well.
    """
    file = record.file
    if too_long(output.record(file)):
        return record._replace(error=f"{shown(source)}: this name is too long for a record of it: shorten it.")
    scores, rejected = output.scores(file), output.rejected(file)
    with writing(scores), working(output.folder) as work:
        (work / BEGUN).write_bytes(os.fsencode(file))
        output.record(file).unlink(missing_ok=True)
        job = Job(source, work, scores, rejected, output.keep_features)
        try:
            score_file(service, job)
            record = record._replace(rows=job.rows, rejected=job.bad)
            record = record._replace(scores_bytes=job.scores_bytes, rejected_bytes=job.rejected_bytes)
        except UnreadableError as error:
            scores.unlink(missing_ok=True)
            rejected.unlink(missing_ok=True)
            record = record._replace(error=str(error))
        keep(record, output.record(file), work)
    return record


def too_long(path: Path) -> bool:
    return len(os.fsencode(path.name)) > LONGEST_NAME


def keep(record: Record, path: Path, work: Path) -> None:
    """Write a record, whole or not at all."""
    made = work / "record"
    made.write_text(json.dumps(record._asdict()) + "\n", encoding="utf-8")
    move(made, path)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what keeps a file from being written into a `UserError`."""
    try:
        yield
    except (PolarsError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path} cannot be written: {reason}. What is recorded stays; run again to go on.") from error


def conclude(output: Path, records: list[Record], **more: float) -> dict[str, object]:
    """Write and return the summary of a run."""
    summary: dict[str, object] = {
        "model_name": records[0].model_name,
        "model_version": records[0].model_version,
        "files": len(records),
        "rows": sum(record.rows for record in records),
        "rejected": sum(record.rejected for record in records),
        "failed": {record.file: record.error for record in records if record.error},
        **more,
    }
    with writing(output / SUMMARY):
        write_text(output / SUMMARY, json.dumps(summary, indent=2) + "\n")
    return summary


def others(output: Output, records: list[Record]) -> int:
    """Count the files of scores that are of none of these records."""
    ours, folder = {output.scores(record.file) for record in records}, output.folder / "scores"
    visible = (path for path in folder.rglob("*") if not hidden(path.relative_to(folder)))
    return sum(path.is_file() and path not in ours for path in visible)


def copy(output: Output, record: Record, target: Path) -> None:
    """Copy what there is of a file to another folder, each whole or not at all, and its record last."""
    there = output._replace(folder=target)
    if too_long(there.record(record.file)):
        return
    there.record(record.file).unlink(missing_ok=True)
    with working(target) as work:
        for place, copied in ((output.scores, there.scores), (output.rejected, there.rejected)):
            if not record.error and place(record.file).exists():
                shutil.copyfile(place(record.file), work / "copy")
            move(work / "copy", copied(record.file))
        keep(record, there.record(record.file), work)


def check(records: list[Record], max_rejected: float, max_failed: int = 0) -> None:
    """Raise if more files could not be scored than may be, or more rows were rejected."""
    problems = [record.error for record in records if record.error]
    if len(problems) <= max_failed or max_failed == -1:
        problems = []
    else:
        problems.insert(0, f"{len(problems)} of {len(records)} files could not be scored:")
    rows, rejected = sum(record.rows for record in records), sum(record.rejected for record in records)
    if rejected > max_rejected * (rows + rejected):
        share = f"{rejected / (rows + rejected):.2%} of {rows + rejected} rows were rejected"
        problems.append(f"{share}, and at most {max_rejected:.2%} may be: their reasons are in rejected/.")
    if problems:
        raise UserError("\n".join(problems))
