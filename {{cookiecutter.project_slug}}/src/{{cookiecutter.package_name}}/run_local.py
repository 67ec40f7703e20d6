"""Run the training pipeline on this machine: each step a process, each folder a local one."""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from . import handover, pipeline, registry, tracking
from .handover import Candidate, Decision
from .pipeline import TRAINING, Step, add_values, flag
from .program import UserError, program
from .registry import Version

VALUES = tuple(dict.fromkeys(name for step in TRAINING for name in step.takes))


def command(step: Step, folders: dict[str, Path], values: dict[str, str]) -> list[str]:
    """Return the command line of a step."""
    named = {name: folders[name] for name in step.reads + step.writes} | {name: values[name] for name in step.takes}
    flags = [word for name, value in named.items() for word in (flag(name), str(value))]
    return [sys.executable, "-m", f"{__package__}.{step.name}", *flags]


def run(step: Step, folders: dict[str, Path], values: dict[str, str]) -> None:
    """Run a step, show what it prints, and raise if it fails."""
    began = time.monotonic()
    print(f"{step.name} ...", flush=True)
    with subprocess.Popen(
        command(step, folders, values), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(f"    {line}", end="", flush=True)
    took = time.monotonic() - began
    if process.returncode:
        raise UserError(f"Step {step.name} failed after {took:.1f} s with exit code {process.returncode}.")
    print(f"{step.name} took {took:.1f} s\n", flush=True)


def report(decision: Decision, version: Version | None) -> str:
    """Return the outcome as a small table, the reason, and what to do next."""
    champion = decision.champion
    rows = [("", "candidate", f"champion (version {champion.version})" if champion else "champion (none)")]
    rows += [
        (name, f"{value:.8g}", f"{champion.metrics[name]:.8g}" if champion and name in champion.metrics else "-")
        for name, value in decision.candidate.items()
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    outcome = f"Registered {version}." if version else "Model was not registered for this run."
    following = ["make smoke", "make serve", "make ui"]
    if version:
        following.append(f"make withdraw VERSION={version.number}")
    return "\n".join([*table, "", f"{outcome} {decision.reason}", "", f"Next: {', '.join(following)}"])


@program()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, type=Path, help=pipeline.FOLDERS["data"])
    parser.add_argument("--outputs", default=tracking.OUTPUTS, type=Path, help="folder for what steps write")
    add_values(parser, VALUES)
    arguments = parser.parse_args()

    folders = {name: arguments.outputs / name for step in TRAINING for name in step.writes} | {"data": arguments.data}
    values = {name: str(getattr(arguments, name)) for name in VALUES}
    for step in TRAINING:
        run(step, folders, values)

    decision = handover.read(Decision, folders["decision"] / "decision.json", "run again")
    candidate = handover.read(Candidate, folders["candidate"] / "metrics.json", "run again")
    with tracking.store() as client:
        print(report(decision, registry.of_run(client, arguments.model_name, candidate.run_id)))


if __name__ == "__main__":
    main()
