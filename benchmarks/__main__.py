"""Measure everything and print it as the table in README.md."""

import tempfile
from functools import partial
from pathlib import Path

from benchmarks import azure, bake, batch, lifecycle, score

BENCHMARKS = (
    bake.measure,
    *(partial(lifecycle.measure, example=example) for example in ("diabetes", "safe_driver")),
    azure.measure,
    batch.measure,
    score.measure,
)


def main() -> None:
    print("| what | measured |\n| --- | --- |")
    for measure in BENCHMARKS:
        with tempfile.TemporaryDirectory() as scratch:
            for what, measured in measure(Path(scratch)):
                print(f"| {what} | {measured} |", flush=True)


if __name__ == "__main__":
    main()
