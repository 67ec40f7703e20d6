"""Stands in for the program that Azure ML adds to a ParallelRunStep's snapshot, in one process. Standard library only.

It gives the entry script the files of the inputs, so many at a time, and holds it to its contract, which the
documentation of azureml.pipeline.steps.ParallelRunConfig describes: `run` returns a list or a frame with one item for
each file that went well; what is missing has failed, and more failures than the threshold end the step.
"""

import argparse
import importlib.util
import itertools
import os
import signal
import sys
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

ADDED_BY_AZURE = "driver/amlbi_main.py"
DEFAULT_FILE = "parallel_run_step.txt"


def parse(words: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Read what _ParallelRunStepBase._generate_main_file_args writes, and return the names of inputs beside it."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--scoring_module_name", type=Path, required=True)
    parser.add_argument("--mini_batch_size", type=int, required=True)
    parser.add_argument("--error_threshold", type=int, required=True)
    parser.add_argument("--output_action", choices=("append_row", "summary_only"), required=True)
    parser.add_argument("--append_row_file_name", default=DEFAULT_FILE)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--run_invocation_timeout", type=int, required=True)
    parser.add_argument("--run_max_try", type=int, required=True)
    known, others = parser.parse_known_args(words)
    return known, [name for flag, name in itertools.pairwise(others) if flag.startswith("--input_fds_")]


def load(script: Path) -> ModuleType:
    """Import the entry script from its file; what lies beside it can be imported too."""
    sys.path[0] = str(script.resolve().parent)
    specification = importlib.util.spec_from_file_location(script.stem, script.resolve())
    if specification is None or specification.loader is None:
        sys.exit(f"{script} is no Python file.")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def too_slow(number: int, frame: FrameType | None) -> None:
    raise TimeoutError("run took longer than run_invocation_timeout allows")


def attempt(entry: ModuleType, files: list[str], arguments: argparse.Namespace) -> list[Any]:
    """Return the items that `run` gives for some files, or none if it fails each time."""
    for number in range(1, arguments.run_max_try + 1):
        signal.alarm(arguments.run_invocation_timeout)
        try:
            returned = entry.run(list(files))
            items = returned.values.tolist() if hasattr(returned, "iloc") else returned
            if not isinstance(items, list):
                raise TypeError(f"run returned {type(returned).__name__}, not a list or a DataFrame")
            if len(items) > len(files):
                raise ValueError(f"run returned {len(items)} items for {len(files)} files")
            return items
        except Exception as error:
            print(f"Attempt {number} of {arguments.run_max_try} failed for {', '.join(files)}: {error!r}", flush=True)
        finally:
            signal.alarm(0)
    return []


def main() -> None:
    arguments, inputs = parse(sys.argv[1:])
    folders = [Path(os.environ[f"AZUREML_DATAREFERENCE_{name}"]) for name in inputs]
    files = [str(path) for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    if not files:
        sys.exit("The inputs hold no files.")
    signal.signal(signal.SIGALRM, too_slow)
    entry = load(arguments.scoring_module_name)
    entry.init()
    failed, rows = 0, []
    for start in range(0, len(files), arguments.mini_batch_size):
        batch = files[start : start + arguments.mini_batch_size]
        items = attempt(entry, batch, arguments)
        failed += len(batch) - len(items)
        if -1 < arguments.error_threshold < failed:
            sys.exit(f"{failed} files have failed, and {arguments.error_threshold} may.")
        rows += items
    if arguments.output_action == "append_row":
        (arguments.output / arguments.append_row_file_name).write_text("".join(f"{row}\n" for row in rows), "utf-8")
    print(f"{len(files) - failed} of {len(files)} files went well.")


if __name__ == "__main__":
    main()
