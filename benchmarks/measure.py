"""Run a command and say what it cost."""

import os
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Cost(NamedTuple):
    """Seconds: elapsed, and spent by all cores on the process and its children."""

    wall: float
    cpu: float


def run(*command: str | Path, cwd: Path = ROOT) -> Cost:
    """Run a command to its end. Raises CalledProcessError, with what it printed, if it fails."""
    before, began = os.times(), time.monotonic()
    subprocess.run([str(word) for word in command], cwd=cwd, check=True, capture_output=True, text=True)
    wall, after = time.monotonic() - began, os.times()
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return Cost(wall, cpu)


def memory(pid: int) -> float:
    """Return how many MB of memory a process holds (Linux)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    kilobytes = next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1]
    return int(kilobytes) / 1024


def cpu(pid: int) -> float:
    """Return how many CPU seconds a process has used (Linux)."""
    ticks = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / 100
