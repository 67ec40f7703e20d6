"""CPU per request of a project's server, against Azure ML's own with a score.py of the usual kind.

Both serve the same model in one run, taking turns, their log lines on. A goal that is missed fails the run.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.client import Connection, request
from benchmarks.measure import ROOT, cpu, memory, run

ROUNDS = 7
SECONDS = 1.0
CONNECTIONS = 32
BATCHES = (1, 1000)
STOCK, CONTAINER = "Azure ML's server", "container"
GOALS = {(CONTAINER, 1): 15.0, (CONTAINER, 1000): 5.0}
PREDICTIONS_PER_SECOND = (100, 10_000, 1_000_000)

PICKLE = """
import json, sys, joblib, numpy as np
from pathlib import Path
from sklearn.linear_model import Ridge
source, target = map(Path, sys.argv[1:])
weights = json.loads((source / "weights.json").read_text())
ridge = Ridge()
ridge.coef_, ridge.intercept_ = np.array(weights["coefficients"]), weights["intercept"]
ridge.n_features_in_ = len(ridge.coef_)
joblib.dump(ridge, target / "model.pkl")
"""


Start = tuple[list[str | Path], dict[str, str]]  # a command, in which PORT stands for a port, and its environment


class Figures(NamedTuple):
    """CPU seconds of a request by server and batch; MB and seconds by server."""

    cpu: dict[tuple[str, int], float]
    memory: dict[str, float]
    cold_start: dict[str, float]


class Server(NamedTuple):
    """A server that was started, all of its processes, and how long it took to answer."""

    port: int
    group: int
    cold_start: float


@contextmanager
def started(command: list[str | Path], log: Path, **variables: str) -> Iterator[Server]:
    """Start a server in a process group of its own, wait for its first answer, and stop it at the end."""
    port = free_port()
    words = [str(word).replace("PORT", str(port)) for word in command]
    began = time.monotonic()
    with log.open("ab") as output:
        process = subprocess.Popen(
            words, env={**os.environ, **variables}, stdout=output, stderr=output, start_new_session=True
        )
    try:
        wait_for(port, process)
        yield Server(port, process.pid, time.monotonic() - began)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def wait_for(port: int, process: subprocess.Popen) -> None:
    """Wait until the server answers."""
    while process.poll() is None:
        try:
            Connection(port).ask(request("GET", "/"))
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise RuntimeError(f"The server ended with {process.returncode}.")


def processes(group: int) -> list[int]:
    """Return the processes of a server."""
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if in_group(int(path.name), group)]


def in_group(pid: int, group: int) -> bool:
    try:
        return os.getpgid(pid) == group
    except ProcessLookupError:
        return False


def turn(server: Server, body: bytes) -> tuple[int, float]:
    """Ask for a while over several connections. Return how many requests there were, and the server's CPU seconds."""
    connections = [Connection(server.port) for _ in range(CONNECTIONS)]
    ask = request("POST", "/score", body, "content-type: application/json")
    before, until, requests = spent(server), time.monotonic() + SECONDS, 0
    while time.monotonic() < until:
        for connection in connections:
            connection.send(ask)
        for connection in connections:
            assert connection.read().status == 200
        requests += CONNECTIONS
    for connection in connections:
        connection.close()
    return requests, spent(server) - before


def spent(server: Server) -> float:
    return sum(map(cpu, processes(server.group)))


def contestants(scratch: Path) -> dict[str, Start]:
    """Bake a project, train a model there, and return how each server is started with it."""
    run(sys.executable, "-m", "cookiecutter", ROOT, "--no-input", "--output-dir", scratch)
    (project,) = scratch.iterdir()
    run("make", "setup", cwd=project)
    run("make", "run", cwd=project)
    run("make", "smoke", cwd=project)  # it fetches the champion to outputs/serving
    serving = project / "outputs" / "serving"
    return {
        STOCK: stock(serving, scratch / "stock"),
        CONTAINER: container(project / ".venv" / "bin" / "python", project, serving),
    }


# what `azmlinfsrv` does, but on this machine only
GUNICORN = ("-m", "gunicorn", "-b", "127.0.0.1:PORT", "-w", "1", "--timeout", "300", "--access-logfile", "-")
GUNICORN += ("--error-logfile", "/dev/null", "azureml_inference_server_http.server.entry:app")


def stock(serving: Path, folder: Path) -> Start:
    """Install Azure ML's server, and return how it is started with stock_score.py and the same weights."""
    uv, python, own = Path(sys.executable).with_name("uv"), folder / "venv" / "bin" / "python", ROOT / "benchmarks"
    run(uv, "venv", "--python", sys.executable, folder / "venv")
    run(uv, "pip", "sync", "--python", python, "--require-hashes", "--compile-bytecode", own / "inference.txt")
    run(python, "-c", PICKLE, serving / "model", folder)
    names = {"AML_APP_ROOT": str(own), "AZUREML_ENTRY_SCRIPT": "stock_score.py", "AZUREML_MODEL_DIR": str(folder)}
    return [python, *GUNICORN], names


def container(python: Path, project: Path, serving: Path) -> Start:
    """Return how a project's own server is started."""
    command = [python, "-m", f"{package(project)}.app", "--folder", serving, "--port", "PORT"]
    return command, {"PYTHONPATH": str(project / "src")}


def package(project: Path) -> str:
    return next(path.parent.name for path in (project / "src").glob("*/app.py"))


def compare(commands: dict[str, Start], scratch: Path) -> Figures:
    """Start all servers, and let them take turns."""
    with ExitStack() as stack:
        running = {
            kind: stack.enter_context(started(command, scratch / "log", **variables))
            for kind, (command, variables) in commands.items()
        }
        body = {batch: sample(running[CONTAINER].port, batch) for batch in BATCHES}
        totals: dict[tuple[str, int], list[tuple[int, float]]] = {}
        for _ in range(ROUNDS):
            for batch in BATCHES:
                for kind, server in running.items():
                    totals.setdefault((kind, batch), []).append(turn(server, body[batch]))
        costs = {key: sum(cpu for _, cpu in turns) / sum(n for n, _ in turns) for key, turns in totals.items()}
        held = {kind: sum(map(memory, processes(server.group))) for kind, server in running.items()}
        return Figures(costs, held, {kind: server.cold_start for kind, server in running.items()})


def sample(port: int, rows: int) -> bytes:
    """Return a request of so many rows, made from the sample in the service's description."""
    description = json.loads(Connection(port).ask(request("GET", "/swagger.json")).body)
    schema = description["paths"]["/score"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    some = schema["example"]["data"]
    return json.dumps({"data": (some * rows)[:rows]}).encode()


def measure(scratch: Path) -> Iterator[tuple[str, str]]:
    """Give the figures, and raise if a goal is missed."""
    figures = compare(contestants(scratch), scratch)
    yield from table(figures)
    check(figures.cpu)


def ratio(cpu: dict[tuple[str, int], float], kind: str, batch: int) -> float:
    return cpu[STOCK, batch] / cpu[kind, batch]


def check(cpu: dict[tuple[str, int], float]) -> None:
    """Raise if the servers are not so many times cheaper than the stock one."""
    missed = [
        f"{kind}, {batch} rows: {ratio(cpu, kind, batch):.1f} times cheaper, and not {goal}"
        for (kind, batch), goal in GOALS.items()
        if ratio(cpu, kind, batch) < goal
    ]
    if missed:
        raise SystemExit("\n".join(["Goals of the scoring service are missed:", *missed]))


def table(figures: Figures) -> list[tuple[str, str]]:
    """Return the rows of README's table."""
    rows = []
    for (kind, batch), cost in figures.cpu.items():
        times = "" if kind == STOCK else f", {ratio(figures.cpu, kind, batch):.1f} times cheaper"
        rows.append((f"CPU for a request of {batch} rows, {kind}", f"{cost * 1e6:.0f} us{times}"))
    for kind in (STOCK, CONTAINER):
        rows.append((f"start to first answer, {kind}", f"{figures.cold_start[kind]:.1f} s"))
        rows.append((f"memory of all its processes, {kind}", f"{figures.memory[kind]:.0f} MB"))
    for kind, batch in figures.cpu:
        cores = (rate / batch * figures.cpu[kind, batch] for rate in PREDICTIONS_PER_SECOND)
        wanted = " / ".join(f"{number:,}" for number in PREDICTIONS_PER_SECOND)
        rows.append(
            (
                f"cores for {wanted} predictions a second, {batch} a request, {kind}",
                " / ".join(f"{n:.3g}" for n in cores),
            )
        )
    return rows
