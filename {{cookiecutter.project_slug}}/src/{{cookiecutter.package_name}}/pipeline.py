"""The training pipeline: which steps there are, what each reads, writes and takes. Executors turn it into runs.

Standard library only, so that an executor can import it without the packages that training needs.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

MODEL_NAME = "{{ cookiecutter.model_name }}"
BY_HAND = "local"  # the build of whoever trains without one


class Step(NamedTuple):
    """One module of this package, run as a program. Each name here is a flag of that program."""

    name: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    reuse: bool = False


class Value(NamedTuple):
    """A value that travels as an argument. Executors pass text; ``parse`` makes of it what the step wants."""

    default: str
    help: str
    parse: Callable[[str], Any] = str


def switch(text: str) -> bool:
    """Read ``true`` or ``false``, and nothing else."""
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


FOLDERS = {
    "data": "folder with the training data: one or more CSV files",
    "candidate": "folder with the candidate: model/, metrics.json, held_out.parquet",
    "decision": "folder with the decision: decision.json",
}

VALUES = {
    "model_name": Value(MODEL_NAME, "name of the model in the registry"),
    "run_evaluation": Value("true", "false: promote the candidate without comparing it with the champion", switch),
    "allow_run_cancel": Value("true", "false: promote the candidate even if the champion is better", switch),
    "build_id": Value(BY_HAND, "the build that asked for this run; becomes a tag of the model version"),
    "build_uri": Value("local", "where that build can be read about; becomes a tag of the model version"),
    "caller_run_id": Value("none", "the run of another system that asked for this one; becomes a tag as well"),
}

TRAINING = (
    Step("train", reads=("data",), writes=("candidate",), reuse=True),
    Step(
        "evaluate",
        reads=("candidate",),
        writes=("decision",),
        takes=("model_name", "run_evaluation", "allow_run_cancel"),
    ),
    Step(
        "register",
        reads=("candidate", "decision"),
        takes=("model_name", "build_id", "build_uri", "caller_run_id"),
    ),
)


def flag(name: str) -> str:
    """Spell the name of a folder or value as a command line does."""
    return f"--{name.replace('_', '-')}"


def add_values(parser: argparse.ArgumentParser, names: tuple[str, ...]) -> None:
    """Give a parser the flags of these values."""
    for name in names:
        value = VALUES[name]
        parser.add_argument(flag(name), default=value.default, type=value.parse, help=f"{value.help} (%(default)s)")


def parse_arguments(step_name: str, description: str | None) -> argparse.Namespace:
    """Parse the command line of a step: exactly the flags that its definition names."""
    step = next(step for step in TRAINING if step.name == step_name)
    parser = argparse.ArgumentParser(description=description)
    for name in step.reads + step.writes:
        parser.add_argument(flag(name), required=True, type=Path, help=FOLDERS[name])
    add_values(parser, step.takes)
    return parser.parse_args()
