"""A folder of scores: for each input its scores, its rejected rows, and a record of what became of it, written last."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from polars.exceptions import PolarsError

from .batch_input import UnreadableError, form
from .program import UserError, write_text
from .score_file import Job, score_file
from .scoring import Service

SUMMARY = "summary.json"
MOST_DEATHS = 2


class Record(NamedTuple):
    """What became of a file. The first fields decide how its scores look: where they are as they were, so are those."""

    file: str
    source: str
    size: int
    modified: int
    model_name: str
    model_version: int
    keep_features: bool
    rows: int = 0
    rejected: int = 0
    error: str = ""

    @property
    def made_of(self) -> tuple[object, ...]:
        return self[:7]


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

    def begun(self, file: str) -> Path:
        return self.folder / "records" / f"{self.name(file)}.begun"


def wanted(service: Service, output: Output, source: Path, file: str) -> Record:
    """Return the record of a file that was not looked into yet."""
    try:
        found = source.stat()
        size, modified = found.st_size, found.st_mtime_ns
    except OSError:
        size = modified = 0
    return Record(file, str(source.resolve()), size, modified, service.name, service.version, output.keep_features)


def read(path: Path) -> Record:
    """Read a record. Raises OSError, ValueError or TypeError if it is none."""
    return Record(**json.loads(path.read_text(encoding="utf-8")))


def scored_before(output: Output, record: Record) -> Record | None:
    """Return the record of the same scores, if they are there."""
    try:
        found = read(output.record(record.file))
    except (OSError, ValueError, TypeError):
        return None
    same = found.made_of == record.made_of and not found.error and output.scores(record.file).exists()
    return found if same else None


@contextmanager
def begun(path: Path, record: Record) -> Iterator[None]:
    """Leave a line behind where the process dies, and raise if it did so twice: a corrupt file can abort polars."""
    line = json.dumps(record.made_of)
    deaths = [one for one in path.read_text(encoding="utf-8").splitlines() if one == line] if path.exists() else []
    if len(deaths) >= MOST_DEATHS:
        died = f"the program died {MOST_DEATHS} times while it scored this"
        raise UnreadableError(f"{record.file}: {died}: take it out, or try again with --overwrite.")
    write_text(path, "\n".join([*deaths, line]))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def score(
    service: Service, output: Output, source: Path, record: Record, told: Callable[[int], None] = lambda rows: None
) -> Record:
    """Score a file, and return its record. One that cannot be scored leaves no scores, and a record that says why.

    What cannot be written is a `UserError`: it would happen to the next file as well.
    """
    file = record.file
    scores, rejected = output.scores(file), output.rejected(file)
    job = Job(source, scores, rejected, output.keep_features, told)
    with writing(scores):
        output.record(file).unlink(missing_ok=True)
        try:
            with begun(output.begun(file), record):
                score_file(service, job)
            record = record._replace(rows=job.rows, rejected=job.bad)
        except UnreadableError as error:
            scores.unlink(missing_ok=True)
            rejected.unlink(missing_ok=True)
            record = record._replace(error=str(error))
        write_text(output.record(file), json.dumps(record._asdict()) + "\n")
    return record


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what keeps a file from being written into a `UserError`."""
    try:
        yield
    except (PolarsError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path} cannot be written: {reason}. What is recorded stays; run again to go on.") from error


def forget(path: Path) -> None:
    """Take away what a former run left."""
    with writing(path):
        path.unlink(missing_ok=True)


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
    ours = {output.scores(record.file) for record in records}
    return sum(path.is_file() and path not in ours for path in (output.folder / "scores").rglob("*"))


def copy(output: Output, record: Record, target: Path) -> None:
    """Copy all that there is of a file to another folder, the record last."""
    for place in (output.scores, output.rejected, output.record):
        path = place(record.file)
        if path.exists():
            copied = target / path.relative_to(output.folder)
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copied)


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
