"""Runs Python programs in forks of this interpreter, which has imported what takes long. Standard library only.

It is a program of its own, run by the Python that has the steps' packages. A line on standard input is a request,
``{"id", "words", "folder", "environment", "log"}``; each is answered by ``{"id", "pid"}`` and, in the end, by
``{"id", "status"}``. Every request has a fresh process: its own environment, folder and module state.
"""

import atexit
import contextlib
import importlib
import json
import os
import runpy
import selectors
import signal
import sys
import threading
from pathlib import Path
from typing import Any

PRELOADED = [
    "numpy",
    "pandas",
    "pandas.io.parquet",
    "pyarrow",
    "pyarrow.parquet",
    "pandera.pandas",
    "pydantic",
    "yaml",
    "sklearn",
    "sklearn.linear_model",
    "sklearn.ensemble",
    "sklearn.metrics",
    "sklearn.model_selection",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "matplotlib",
    "matplotlib.pyplot",
    "mlflow",
    "mlflow.pyfunc",
    "mlflow.sklearn",
    "mlflow.models",
    "mlflow.artifacts",
    "azureml.mlflow",
    "azureml.mlflow._store.tracking.store",
    "azureml.mlflow._store.model_registry.model_registry",
    "azureml.mlflow._store.artifact.artifact_repo",
]


def preload() -> None:
    """Import what there is; what there is not, no step can need."""
    os.environ["MPLBACKEND"] = "agg"
    for name in sys.argv[1:] or PRELOADED:
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def serve(requests: int, replies: int) -> None:
    """Fork for each request until there are no more of them."""
    children: dict[int, int] = {}
    woken, wakes = os.pipe()
    for end in (woken, wakes):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes)
    selector = selectors.DefaultSelector()
    selector.register(requests, selectors.EVENT_READ)
    selector.register(woken, selectors.EVENT_READ)
    received = b""
    while True:
        ready = {key.fd for key, _ in selector.select()}
        if woken in ready:
            os.read(woken, 4096)
            for identity, status in reap(children):
                reply(replies, {"id": identity, "status": status})
        if requests in ready:
            piece = os.read(requests, 65536)
            if not piece:
                break
            *lines, received = (received + piece).split(b"\n")
            for line in lines:
                request = json.loads(line)
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    run(request, (requests, replies, woken, wakes, selector.fileno()))
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.setpgid(pid, pid)  # so that it can be ended from now on
                children[pid] = request["id"]
                reply(replies, {"id": request["id"], "pid": pid})
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    os._exit(0)  # at once: there is nothing to tidy up


def reap(children: dict[int, int]) -> list[tuple[int, int]]:
    """Return the requests whose processes have ended, and how."""
    ended = []
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            break
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)  # what it left behind
        if pid in children:
            ended.append((children.pop(pid), os.waitstatus_to_exitcode(status)))
    return ended


def reply(stream: int, content: dict[str, int]) -> None:
    os.write(stream, json.dumps(content).encode() + b"\n")


def run(request: dict[str, Any], foreign: tuple[int, ...]) -> None:
    """Be the program that a request asks for. Does not return."""
    status = 1
    try:
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        for descriptor in foreign:
            os.close(descriptor)
        redirect(request["log"])
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["folder"])
        if numpy := sys.modules.get("numpy"):
            numpy.random.seed()
        status = program(request["words"], request["folder"])
        threading._shutdown()  # type: ignore[attr-defined]  # as an interpreter that ends does
        atexit._run_exitfuncs()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(status & 0xFF)


def redirect(log: str) -> None:
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)


def program(words: list[str], folder: str) -> int:
    """Run a module or a script, and return its exit code."""
    try:
        if words[0] == "-m":
            sys.argv, module = words[1:], words[1]
            sys.path.insert(0, folder)
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        else:
            sys.argv = words
            sys.path.insert(0, str(Path(words[0]).resolve().parent))
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def main() -> None:
    requests, replies = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what imports print is no reply
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    preload()
    sys.stdout.flush()
    serve(requests, replies)


if __name__ == "__main__":
    main()
