"""Batch scoring as a person runs it: killed in the middle, on a full disk, with a bad file among a hundred."""

import contextlib
import csv
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import bake, run

pytestmark = [pytest.mark.slow, pytest.mark.tool("make")]

FILES, ROWS = 100, 442
TIMES = 600  # so many rows are several pieces
LARGEST = 40_000  # bytes of a file: enough for the scores of each input


class Scoring(NamedTuple):
    """A project with a champion, and a hundred files to score."""

    path: Path
    python: Path
    inputs: Path

    def command(self, output, *more):
        return [self.python, "-m", "diabetes_regression.batch", "--input", self.inputs, "--output", output, *more]

    def run(self, output, *more, code=0):
        return run(*self.command(output, *more), cwd=self.path / "src", code=code)


@pytest.fixture
def big(scoring):
    """Put a file that is read in pieces among the others."""
    path = scoring.inputs / "zz.csv"
    header, rows = (scoring.inputs / "000.csv").read_text("utf-8").split("\n", 1)
    path.write_text(f"{header}\n{rows * TIMES}", encoding="utf-8")
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def scoring(cookies_session, environment, tmp_path_factory):
    """Return a project of its own. Each input has an id that no other has, and is of another length."""
    folder = tmp_path_factory.mktemp("batch")
    baked = bake(cookies_session, {"batch_scoring": True})
    project = folder / "project"
    shutil.copytree(baked.path, project)
    python = environment(baked)
    (project / ".venv").symlink_to(python.parents[1])
    (project / ".venv" / "ready").touch()
    run("make", "run", cwd=project)
    header, *rows = (project / "data" / "sample.csv").read_text("utf-8").splitlines()
    (folder / "inputs").mkdir()
    for number in range(FILES):
        chosen = [f"{number}-{place},{row}" for place, row in enumerate(rows[: ROWS - number])]
        (folder / "inputs" / f"{number:03}.csv").write_text("\n".join([f"id,{header}", *chosen]) + "\n", "utf-8")
    return Scoring(project, python, folder / "inputs")


def ids(folder):
    """Return all ids of a file, or below a folder, in order of files and rows."""
    files = sorted(folder.rglob("*.csv")) if folder.is_dir() else [folder]
    return [row["id"] for path in files for row in csv.DictReader(path.open(encoding="utf-8"))]


def expected(inputs):
    return [f"{number}-{place}" for number in range(FILES) for place in range(ROWS - number)]


def test_make_batch_says_how_many_rows_how_fast_and_where(scoring):
    told = run("make", "batch", cwd=scoring.path)

    assert "Scored with version 1 of diabetes-regression: 442 rows of 1 of 1 files." in told
    assert re.search(r"\d\.\d\d s: [\d,]+ rows a second\.", told)
    assert (scoring.path / "outputs" / "batch" / "scores" / "sample.csv").exists()
    chosen = run(
        "make", "batch", "VERSION=1", f"INPUT={scoring.inputs}/00*.csv", "OUTPUT=outputs/few", cwd=scoring.path
    )
    assert "rows of 10 of 10 files." in chosen
    assert "has no version 9" in run("make", "batch", "VERSION=9", cwd=scoring.path, code=2)


def recorded(output):
    return len(list((output / "records").glob("*.json")))


def begun(output, name):
    """Tell whether scores of a file are being written. What is written may be done, and moved, at any moment."""
    for path in output.glob(".unfinished-*/file"):
        with contextlib.suppress(FileNotFoundError):
            if path.read_text("utf-8") == name and path.with_name("scores").stat().st_size:
                return True
    return False


def test_a_killed_run_loses_and_doubles_nothing_when_it_is_run_again(scoring, big, tmp_path):
    output = tmp_path / "out"
    whole = {f"{number:03}.csv": [f"{number}-{place}" for place in range(ROWS - number)] for number in range(FILES)}
    whole[big.name] = whole["000.csv"] * TIMES
    for enough in (10, 40, 70, 90):
        with subprocess.Popen(list(map(str, scoring.command(output))), cwd=scoring.path / "src") as process:
            deadline = time.monotonic() + 60
            while recorded(output) < enough or (enough == 90 and not begun(output, big.name)):
                assert time.monotonic() < deadline
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
        assert enough <= recorded(output) <= FILES
        assert [path.name for path in (output / "scores").iterdir() if ids(path) != whole[path.name]] == []
    finished = recorded(output)

    told = scoring.run(output)
    for path in output.glob(".unfinished-*"):
        os.utime(path, (0, 0))
    again = scoring.run(output)

    assert f"{finished} of these files were scored before." in told
    assert "so they are scored last: " in told
    assert "101 of these files were scored before." in again
    assert {path.name: ids(path) for path in (output / "scores").iterdir()} == whole
    assert not list(output.rglob(".*"))
    assert json.loads((output / "summary.json").read_text("utf-8"))["rows"] == sum(map(len, whole.values()))


DYING = """
import os, sys
from diabetes_regression import batch, batch_output
real = batch_output.score_file
batch_output.score_file = lambda service, job: os.abort() if job.source.name == "050.csv" else real(service, job)
batch.main()
"""


def test_a_file_at_which_the_program_dies_keeps_no_other_from_being_scored_and_is_never_refused(scoring, tmp_path):
    output = tmp_path / "out"
    python, _, _, *words = scoring.command(output)
    src = scoring.path / "src"

    for finished in (50, 99, 99):
        told = run(python, "-c", DYING, *words, cwd=src, code=-signal.SIGABRT)
        assert recorded(output) == finished

    assert "so they are scored last: 050.csv." in told
    assert "99 of these files were scored before." in scoring.run(output)
    assert ids(output / "scores") == expected(scoring.inputs)
    assert "scored last" not in scoring.run(output)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_disk_that_fills_up_is_told_and_leaves_no_half_file(scoring, big, tmp_path, ending):
    output = tmp_path / "out"
    command = list(map(str, scoring.command(output, "--format", ending)))

    ended = subprocess.run(
        command,
        cwd=scoring.path / "src",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST, LARGEST)),
        capture_output=True,
        text=True,
        check=False,
    )
    big.unlink()

    assert ended.returncode == 1
    assert re.search(r"error: .*zz\.csv.* cannot be written: .*File too large", ended.stderr)
    assert "Traceback" not in ended.stderr
    assert len(list((output / "records").iterdir())) == FILES
    assert not [path for path in output.rglob("*") if "zz" in path.name]
    assert "100 of these files were scored before" in scoring.run(output, "--format", ending)


FULL = """
from diabetes_regression import batch, batch_output
real = batch_output.score_file
def score_file(service, job):
    (job.work / "WHAT").symlink_to("/dev/full")
    real(service, job)
batch_output.score_file = score_file
batch.main()
"""


@pytest.mark.parametrize("what", ["scores", "record"])
def test_a_full_disk_is_told_at_once(scoring, tmp_path, what):
    python, _, _, *words = scoring.command(tmp_path / "out")

    told = run(python, "-c", FULL.replace("WHAT", what), *words, cwd=scoring.path / "src", code=1)

    assert "000.csv cannot be written: " in told
    assert "No space left on device" in told
    assert "Traceback" not in told
    assert not list((tmp_path / "out").glob("records/*"))


def test_a_bad_file_among_a_hundred_is_named_and_the_others_are_scored(scoring, tmp_path):
    bad = scoring.inputs / "050.csv"
    content = bad.read_bytes()
    bad.write_bytes(b"PK\x03\x04\xff\xfe")

    told = scoring.run(tmp_path / "out", code=1)
    bad.write_bytes(content)
    again = scoring.run(tmp_path / "out")

    assert "error: 1 of 100 files could not be scored:" in told
    assert "050.csv" in told
    assert "99 of 100 files." in told
    assert "99 of these files were scored before." in again
    assert ids(tmp_path / "out" / "scores") == expected(scoring.inputs)


def test_memory_does_not_grow_with_a_file(scoring, tmp_path):
    big = tmp_path / "in" / "big.csv"
    big.parent.mkdir()
    header, rows = (scoring.inputs / "000.csv").read_text("utf-8").split("\n", 1)
    with big.open("w", encoding="utf-8") as file:
        file.write(f"{header}\n")
        for _ in range(4000):
            file.write(rows)
    command = [str(word) for word in scoring.command(tmp_path / "out")]
    command[command.index("--input") + 1] = str(big)

    process = subprocess.Popen(command, cwd=scoring.path / "src")
    _, status, usage = os.wait4(process.pid, 0)

    assert status == 0
    assert usage.ru_maxrss / 1024 < 900
    assert json.loads((tmp_path / "out" / "summary.json").read_text("utf-8"))["rows"] == 4000 * ROWS
