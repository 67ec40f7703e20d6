"""The baked project: how long its installation and its run take, and what its service needs."""

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections import deque
from pathlib import Path
from threading import Thread

from benchmarks.measure import ROOT, cpu, memory, run

REQUESTS = 2000


CORE = """
import sys, timeit
from pathlib import Path
from threading import Thread
from {package} import scoring
service = scoring.load(Path("../outputs/serving"))
body = scoring.orjson.dumps({{"data": service.model.sample[:1]}})
number = 5000
print(min(timeit.repeat(lambda: scoring.score(service, body), number=number, repeat=5)) / number * 1e6)
"""


def measure(scratch: Path, example: str) -> list[tuple[str, str]]:
    """Bake, install, run and serve the project of an example."""
    run(sys.executable, "-m", "cookiecutter", ROOT, "--no-input", "--output-dir", scratch, f"example={example}")
    (project,) = scratch.iterdir()
    installed = run("make", "setup", cwd=project).wall
    first = run("make", "run", cwd=project).wall
    second = run("make", "run", cwd=project).wall
    run("make", "smoke", cwd=project)
    figures = [
        ("`make setup`", f"{installed:.0f} s"),
        ("`make run` after it, the first time", f"{first:.0f} s"),
        ("`make run` again, with a champion to compare with", f"{second:.0f} s"),
        *serve(project),
    ]
    return [(f"{example}: {what}", measured) for what, measured in figures]


def serve(project: Path) -> list[tuple[str, str]]:
    """Start the service and score one row many times, one request after another."""
    package = next(path.parent.name for path in (project / "src").glob("*/app.py"))
    python = project / ".venv" / "bin" / "python"
    core = subprocess.check_output([python, "-c", CORE.format(package=package)], cwd=project / "src", text=True)
    command = [python, "-m", f"{package}.app", "--folder", "../outputs/serving", "--port", "0"]
    began = time.monotonic()
    with subprocess.Popen(command, cwd=project / "src", stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = re.search(r"http://\S+", process.stdout.readline())
        assert address
        Thread(target=deque, args=(process.stdout, 0), daemon=True).start()  # a full pipe would stop the service
        body = json.dumps({"data": sample(address.group())[:1]}).encode()
        score(address.group(), body)
        started = time.monotonic() - began
        before = cpu(process.pid)
        for _ in range(REQUESTS):
            score(address.group(), body)
        per_request = (cpu(process.pid) - before) / REQUESTS
        held = memory(process.pid)
        process.terminate()
    return [
        ("first answer of the service after its start", f"{started:.1f} s"),
        (f"memory of the service after {REQUESTS} requests", f"{held:.0f} MB"),
        ("CPU for a request of one row, a new connection each", f"{per_request * 1e6:.0f} us"),
        ("the same without HTTP: bytes in, bytes out", f"{float(core):.0f} us"),
    ]


def sample(address: str) -> list[list[float]]:
    """Return the rows that the service's description offers."""
    with urllib.request.urlopen(f"{address}/swagger.json", timeout=10) as answer:  # noqa: S310
        content = json.load(answer)["paths"]["/score"]["post"]["requestBody"]["content"]
    rows: list[list[float]] = content["application/json"]["schema"]["example"]["data"]
    return rows


def score(address: str, body: bytes) -> None:
    """Ask for predictions."""
    with urllib.request.urlopen(f"{address}/score", data=body, timeout=10) as answer:  # noqa: S310
        answer.read()
