"""A training run on the local Azure ML, from its first step to its last: as processes, and in forks."""

import re
import subprocess
import sys
from pathlib import Path

from azureml_emulator.session import started
from benchmarks.measure import ROOT, run

ALPHAS = (0.8, 0.7, 0.6, 0.5)  # each gives a better model than the one before
LAUNCHERS = {"as processes": (), "in forks of a warm interpreter": ("--fork-server",)}
GOALS = {"as processes": 10.0, "in forks of a warm interpreter": 3.0}  # seconds


def measure(scratch: Path) -> list[tuple[str, str]]:
    """Bake and install the default project, and let it train as several builds, each better than the one before."""
    run(sys.executable, "-m", "cookiecutter", ROOT, "--no-input", "--output-dir", scratch)
    (project,) = scratch.iterdir()
    run("make", "setup", cwd=project)
    python, steps = project / ".venv" / "bin" / "python", scratch / "steps"
    uv = [project / ".venv" / "bin" / "uv", "--quiet"]
    run(*uv, "venv", "--python", python, steps)
    run(*uv, "pip", "sync", "--python", steps, "--compile-bytecode", project / "requirements" / "train.txt")
    (project / ".env").write_text((project / ".env.example").read_text("utf-8"), encoding="utf-8")
    figures = []
    for kind, options in LAUNCHERS.items():
        state = scratch / f"azure{len(figures)}"
        with started(python, state, *options, steps=steps / "bin" / "python") as azure:
            for alpha in ALPHAS:
                build(project, alpha, azure.environment)
            runs = azure.ask("runs")
        compared = [run for run in runs if run["parameters"]["build_id"] != build_id(ALPHAS[0])]
        assert not any(step["reused"] for run in compared for step in run["steps"])
        fastest = min(sum(step["seconds"] for step in run["steps"]) for run in compared)
        what = f"a run on the local Azure ML that trains, compares with the champion and registers, {kind}"
        figures.append((what, f"{fastest:.1f} s"))
        if fastest > GOALS[kind]:
            raise SystemExit(f"The goal is missed: {what} took {fastest:.1f} s, more than {GOALS[kind]:.0f} s.")
    return figures


def build_id(alpha: float) -> str:
    return f"with-alpha-{alpha}"


def build(project: Path, alpha: float, variables: dict[str, str]) -> None:
    """Train with this alpha: submit, wait, and see that a model was registered."""
    parameters = project / "src" / "parameters.yml"
    parameters.write_text(re.sub("alpha: .*", f"alpha: {alpha}", parameters.read_text("utf-8")), encoding="utf-8")
    settings = {**variables, "BUILD_BUILDID": build_id(alpha)}
    for words in (["submit"], ["wait", "--every", "0.2"]):
        command = [project / ".venv" / "bin" / "python", "-m", f"ml_service.{words[0]}", *words[1:]]
        subprocess.run(command, cwd=project, env=settings, check=True, capture_output=True)
    assert (project / "model.json").exists()
