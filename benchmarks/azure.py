"""A training run on the local Azure ML, from its first step to its last: as processes, and in forks."""

import subprocess
import sys
from pathlib import Path

from azureml_emulator.session import started
from benchmarks.measure import ROOT, run

TIMES = 3
LAUNCHERS = {"as processes": (), "in forks of a warm interpreter": ("--fork-server",)}


def measure(scratch: Path) -> list[tuple[str, str]]:
    """Bake and install the default project, and let it train as several builds; each changes what it trains from."""
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
            for number in range(TIMES):
                with (project / "src" / "parameters.yml").open("a", encoding="utf-8") as parameters:
                    parameters.write(f"# {number}\n")
                build(project, str(number), azure.environment)
            runs = azure.ask("runs")
        assert not any(step["reused"] for run in runs for step in run["steps"])
        fastest = min(sum(step["seconds"] for step in run["steps"]) for run in runs)
        figures.append((f"a run of three steps on the local Azure ML, nothing compared, {kind}", f"{fastest:.1f} s"))
    return figures


def build(project: Path, build_id: str, variables: dict[str, str]) -> None:
    """Submit and wait. Switched off, the evaluation lets every build register."""
    settings = {**variables, "BUILD_BUILDID": build_id, "RUN_EVALUATION": "false"}
    for words in (["submit"], ["wait", "--every", "0.2"]):
        command = [project / ".venv" / "bin" / "python", "-m", f"ml_service.{words[0]}", *words[1:]]
        subprocess.run(command, cwd=project, env=settings, check=True, capture_output=True)
