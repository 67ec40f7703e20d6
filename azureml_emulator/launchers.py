"""Two ways to run a step's command: in a fresh process, or in a fork of an interpreter that is warm."""

import contextlib
import json
import os
import queue
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

SHELL = "/bin/bash" if Path("/bin/bash").exists() else "/bin/sh"
FORK_SERVER = Path(__file__).with_name("fork_server.py")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Lines that a fork can run need nothing of a shell but that it splits words.
SHELLISH = re.compile(r"[;&|<>`$()\n\\*?\[\]{}~#!]")
QUOTED = re.compile(r"'[^']*'")
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Command:
    """A line for the shell, and where it runs. Both of its streams go to the log."""

    line: str
    folder: Path
    environment: dict[str, str]
    log: Path


class Launcher(Protocol):
    """Runs commands. ``stop`` is asked for a reason to end the command before it ends itself."""

    def run(self, command: Command, stop: Callable[[], bool]) -> int:
        """Return the exit code: what a shell would call it, or minus the signal."""

    def close(self) -> None:
        """End all that still runs."""


class Subprocesses:
    """Each command is a fresh process. ``python`` in it is the interpreter given; ``path`` has other programs."""

    def __init__(self, python: str, folder: Path, path: str = SYSTEM_PATH) -> None:
        shim = folder / "bin" / "python"  # a link would hide the interpreter's virtual environment
        shim.parent.mkdir(parents=True, exist_ok=True)
        shim.write_text(f'#!/bin/sh\nexec {shlex.quote(python)} "$@"\n', encoding="utf-8")
        shim.chmod(0o755)
        self.path = f"{shim.parent}:{Path(python).parent}:{path}"
        self._running: set[int] = set()

    def run(self, command: Command, stop: Callable[[], bool]) -> int:
        environment = {**command.environment, "PATH": self.path}
        with command.log.open("ab") as log:
            process = subprocess.Popen(
                [SHELL, "-c", command.line],
                cwd=command.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running.add(process.pid)
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(POLL_SECONDS)
                if stop():
                    kill(process.pid)
        finally:
            kill(process.pid)  # what it left behind
            self._running.discard(process.pid)

    def close(self) -> None:
        for pid in list(self._running):
            kill(pid)


class Forks:
    """Commands that are plain ``python -m module ...`` run in forks of a warm interpreter, all others in processes.

    The interpreter imports what steps import, or the modules that ``preload`` names, with these variables set.
    """

    def __init__(
        self, python: str, folder: Path, preload: Sequence[str] = (), path: str = SYSTEM_PATH, **variables: str
    ) -> None:
        self._processes = Subprocesses(python, folder, path)
        self._lock = threading.Lock()
        self._replies: dict[int, queue.SimpleQueue[dict[str, int]]] = {}
        environment = {"PATH": f"{Path(python).parent}:{SYSTEM_PATH}", "LANG": "C.UTF-8", "HOME": str(folder)}
        self._server = subprocess.Popen(
            [python, "-P", str(FORK_SERVER), *preload],
            env={**environment, **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=sys.stderr,
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def run(self, command: Command, stop: Callable[[], bool]) -> int:
        words = forkable(command.line)
        if words is None:
            return self._processes.run(command, stop)
        replies: queue.SimpleQueue[dict[str, int]] = queue.SimpleQueue()
        environment = {**command.environment, "PATH": self._processes.path}
        place = {"folder": str(command.folder), "environment": environment, "log": str(command.log)}
        with self._lock:
            self._replies[id(replies)] = replies
            self._send({"id": id(replies), "words": words, **place})
        pid = 0
        while True:
            with contextlib.suppress(queue.Empty):
                reply = replies.get(timeout=POLL_SECONDS)
                if "status" in reply:
                    return reply["status"]
                pid = reply["pid"]
            if self._server.poll() is not None:
                raise RuntimeError(f"The fork server ended with {self._server.returncode}.")
            if pid and stop():
                kill(pid)

    def close(self) -> None:
        self._processes.close()
        with contextlib.suppress(OSError):
            self._server.stdin.close()  # type: ignore[union-attr]  # the server ends its children, and itself
        try:
            self._server.wait(5)
        except subprocess.TimeoutExpired:
            kill(self._server.pid)

    def _send(self, request: dict[str, Any]) -> None:
        stream = self._server.stdin
        assert stream is not None
        stream.write(json.dumps(request).encode() + b"\n")
        stream.flush()

    def _read(self) -> None:
        stream = self._server.stdout
        assert stream is not None
        for line in stream:
            reply = json.loads(line)
            with self._lock:
                replies = self._replies.pop(reply["id"]) if "status" in reply else self._replies[reply["id"]]
            replies.put(reply)


def forkable(line: str) -> list[str] | None:
    """Return the words of a line that the fork server can run, without its ``python``."""
    if SHELLISH.search(QUOTED.sub("", line)):
        return None
    words = shlex.split(line)
    if len(words) > 1 and words[0] == "python" and (words[1] == "-m" or words[1].endswith(".py")):
        return words[1:]
    return None


def kill(group: int) -> None:
    """End a process and all that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
