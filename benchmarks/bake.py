"""A default bake: CPU time of the whole process, against cookiecutter copying the same files unrendered."""

import json
import shutil
import statistics
import sys
from pathlib import Path

from benchmarks.measure import ROOT, run

TIMES = 9


def bake(template: Path, output: Path) -> float:
    """Bake once and return the CPU seconds."""
    shutil.rmtree(output, ignore_errors=True)
    return run(sys.executable, "-m", "cookiecutter", template, "--no-input", "--output-dir", output).cpu


def copying_template(baked: Path, folder: Path) -> Path:
    """Return a template that holds the baked files, renders none of them and has no hooks."""
    shutil.copytree(baked, folder / "{{cookiecutter.name}}")
    questions = {"name": "copied", "_copy_without_render": ["*"]}
    (folder / "cookiecutter.json").write_text(json.dumps(questions), encoding="utf-8")
    return folder


def measure(scratch: Path) -> list[tuple[str, str]]:
    """Return the figures. The two kinds of bake take turns, so that a busy machine slows both."""
    bake(ROOT, scratch / "baked")
    copying = copying_template(scratch / "baked" / "diabetes-regression", scratch / "copying")
    pairs = [(bake(ROOT, scratch / "a"), bake(copying, scratch / "b")) for _ in range(TIMES)]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    return [
        ("a default bake, CPU of the whole process", f"{ours:.2f} s"),
        ("the same against cookiecutter copying these files", f"{ours / theirs:.2f} times"),
    ]
