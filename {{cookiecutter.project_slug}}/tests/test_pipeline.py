"""The definition of the pipeline, held against the modules that are its steps."""

import ast
import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SRC

from {{ cookiecutter.package_name }}.pipeline import FOLDERS, TRAINING, VALUES, Step, flag

Run = Callable[..., tuple[int, str]]

PACKAGE = SRC / "{{ cookiecutter.package_name }}"
PROGRAMS = [path.stem for path in PACKAGE.glob("*.py") if "if __name__" in path.read_text(encoding="utf-8")]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a program of the package and gives its exit code and what it printed."""

    def run(module: str, *arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", [module, *arguments])
        with pytest.raises(SystemExit) as ended:
            importlib.import_module(f"{PACKAGE.name}.{module}").main()
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out + told.err

    return run


@pytest.mark.parametrize("step", TRAINING, ids=lambda step: step.name)
def test_each_module_accepts_exactly_the_flags_of_its_step(run: Run, step: Step) -> None:
    _, told = run(step.name, "--help")

    offered = set(re.findall(r"--[a-z-]+", told)) - {"--help"}
    assert offered == {flag(name) for name in step.reads + step.writes + step.takes}


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_explains_itself(run: Run, program: str) -> None:
    code, told = run(program, "--help")

    assert code == 0
    assert len(told.splitlines()) > 4


@pytest.mark.parametrize("switch", ["--run-evaluation", "--allow-run-cancel"])
def test_a_switch_is_true_or_false(run: Run, switch: str) -> None:
    code, told = run("evaluate", "--candidate", "c", "--decision", "d", switch, "maybe")

    assert code == 2
    assert "'maybe' is neither true nor false" in told


def test_what_a_step_reads_was_written_before() -> None:
    written = {"data"}
    for step in TRAINING:
        assert set(step.reads) <= written
        written.update(step.writes)


def test_everything_that_travels_is_described() -> None:
    named = {name for step in TRAINING for name in step.reads + step.writes}
    taken = {name for step in TRAINING for name in step.takes}

    assert (named, taken) == (set(FOLDERS), set(VALUES))


def imports(path: Path) -> set[str]:
    """Return the packages that a module imports by name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level]
    return {name.split(".")[0] for name in names}


def test_the_definition_needs_the_standard_library_only() -> None:
    assert imports(PACKAGE / "pipeline.py") <= sys.stdlib_module_names


def test_model_code_knows_no_azure() -> None:
    assert [path for path in PACKAGE.glob("*.py") if {"azureml", "azure"} & imports(path)] == []
