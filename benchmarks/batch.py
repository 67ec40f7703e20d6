"""Batch scoring against a straightforward pandas program, in one run: CPU, memory, and how the cost grows.

Each scoring is a process of its own, and its cost that of the work: from the first file opened to the last one written,
without imports and the loading of the model. The goals are asserted.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import ROOT, run

ROWS, FILES = 1_000_000, 100
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
TIMES = 3
LEAST = {"csv": 3, "parquet": 6}
NAMED = {"csv": "CSV", "parquet": "Parquet"}
MOST_MEGABYTES = 1000
MOST_UNEVEN = 2.0  # cost of a row at one size against another, from 10^5 rows on

WRITE = """
import sys
from pathlib import Path
import numpy as np, polars as pl
from {package}.schema import FEATURES
folder, rows, files = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
random = np.random.default_rng(0)
each = rows // files
for ending in sys.argv[4:]:
    (folder / ending).mkdir(parents=True, exist_ok=True)
for number in range(files):
    frame = pl.DataFrame({{name: random.normal(0, 0.05, each) for name in FEATURES}})
    frame = frame.insert_column(0, pl.Series("id", range(number * each, (number + 1) * each)))
    for ending in sys.argv[4:]:
        getattr(frame, f"write_{{ending}}")(folder / ending / f"{{number:03}}.{{ending}}")
"""

OURS = """
import json, resource, sys, time
from pathlib import Path
from {package} import batch, batch_output, scoring
service = scoring.load(Path("../outputs/serving"))
began = time.process_time()
records = batch.run(service, sys.argv[1], batch_output.Output(Path(sys.argv[2]))).records
cpu = time.process_time() - began
batch_output.check(records, max_rejected=0)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([sum(record.rows for record in records), cpu, peak]))
"""

THEIRS = """
import json, resource, sys, time
from pathlib import Path
import pandas as pd
from {package} import parameters, train
from {package}.data import read
from {package}.schema import FEATURES
model = train.fit(train.split(read(Path("../data")))[0], parameters.read().training)
began, rows = time.process_time(), 0
for path in sorted(Path(sys.argv[1]).iterdir()):
    frame = pd.read_csv(path)
    scores = pd.DataFrame({{"row": range(1, len(frame) + 1), "id": frame["id"]}})
    scores["score"] = model.predict(frame[list(FEATURES)])
    scores["model_name"], scores["model_version"] = "diabetes-regression", 1
    scores.to_csv(Path(sys.argv[2]) / path.name, index=False)
    rows += len(frame)
cpu = time.process_time() - began
print(json.dumps([rows, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


COMPARE = """
import sys
import polars as pl
from pathlib import Path
theirs, *ours = (sorted(Path(folder).iterdir()) for folder in sys.argv[1:])
expected = pl.read_csv(theirs)
for files in ours:
    found = (pl.read_csv if files[0].suffix == ".csv" else pl.read_parquet)(files)
    assert found.drop("score").rows() == expected.drop("score").rows()
    assert ((found["score"] - expected["score"]).abs() <= 1e-9 * expected["score"].abs()).all()
"""


class Cost(NamedTuple):
    """Of a scoring: rows, CPU seconds of all cores, and megabytes at most."""

    rows: int
    cpu: float
    memory: float


def measure(scratch: Path) -> list[tuple[str, str]]:
    """Bake, install and train the default project, and let both programs score the same files in turns."""
    baked = scratch / "baked"
    run(sys.executable, "-m", "cookiecutter", ROOT, "--no-input", "--output-dir", baked, "batch_scoring=true")
    (project,) = (scratch / "baked").iterdir()
    run("make", "run", cwd=project)
    run("make", "smoke", cwd=project)  # which leaves the champion in outputs/serving
    program(project, WRITE, scratch / "in", ROWS, FILES, "csv", "parquet")
    programs = {"pandas": (THEIRS, "csv"), **{ending: (OURS, ending) for ending in LEAST}}
    rounds = [
        {
            name: score(project, code, scratch / "in" / ending, scratch / name)
            for name, (code, ending) in programs.items()
        }
        for _ in range(TIMES)
    ]
    best = {name: min((one[name] for one in rounds), key=lambda cost: cost.cpu) for name in programs}
    program(project, COMPARE, scratch / "pandas", *(scratch / ending / "scores" for ending in LEAST))
    figures = [(f"pandas: {ROWS:,} rows in {FILES} CSV files to CSV, CPU", f"{best['pandas'].cpu:.2f} s")]
    for ending, least in LEAST.items():
        times = best["pandas"].cpu / best[ending].cpu
        assert times >= least, f"{ending}: {times:.1f} times less CPU than pandas, and {least} are promised"
        what = f"`batch`, checks included: the same rows, {ending} to {ending}, CPU"
        figures.append((what, f"{best[ending].cpu:.2f} s, {times:.1f} times less"))
    return figures + growth(project, scratch)


def growth(project: Path, scratch: Path) -> list[tuple[str, str]]:
    """Score more and more rows, the most of them in a single file."""
    figures = []
    for ending in LEAST:
        per_row = []
        for rows in SIZES:
            folder = scratch / f"rows-{rows}"
            program(project, WRITE, folder, rows, 1, ending)
            costs = [score(project, OURS, folder / ending, scratch / "out") for _ in range(TIMES)]
            shutil.rmtree(folder)
            cost = min(costs, key=lambda cost: cost.cpu)
            assert cost.rows == rows
            assert cost.memory < MOST_MEGABYTES, f"{rows} rows of {ending} took {cost.memory:.0f} MB"
            per_row.append(cost.cpu / rows)
            what = f"`batch`: {rows:,} rows in one {NAMED[ending]} file, CPU and peak memory"
            figures.append((what, f"{cost.cpu:.2f} s, {cost.memory:.0f} MB"))
        uneven = max(per_row[1:]) / min(per_row[1:])
        assert uneven < MOST_UNEVEN, f"a row of {ending} costs {uneven:.1f} times as much at one size as at another"
    return figures


def score(project: Path, code: str, source: Path, output: Path) -> Cost:
    """Let a program score files into a fresh folder."""
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir()
    return Cost(*json.loads(program(project, code, source, output)))


def program(project: Path, code: str, *arguments: object) -> str:
    """Run Python code in src/ of the project, and return the last line that it printed."""
    package = next(path.parent.name for path in (project / "src").glob("*/batch.py"))
    python = [project / ".venv" / "bin" / "python", "-W", "ignore", "-c", code.format(package=package)]
    command = [*map(str, python), *map(str, arguments)]
    told = subprocess.run(command, cwd=project / "src", check=True, stdout=subprocess.PIPE, text=True).stdout
    return told.strip().rpartition("\n")[2]
