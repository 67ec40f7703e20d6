"""Measure everything and print it as the table in README.md."""

import tempfile
from pathlib import Path

from benchmarks import bake, lifecycle


def main() -> None:
    print("| what | measured |\n| --- | --- |")
    for benchmark in (bake, lifecycle):
        with tempfile.TemporaryDirectory() as scratch:
            for what, measured in benchmark.measure(Path(scratch)):
                print(f"| {what} | {measured} |", flush=True)


if __name__ == "__main__":
    main()
