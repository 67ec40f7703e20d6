"""Lock the dependencies of a baked project, whatever was answered, from one resolution. `make lock` runs it.

Everything that any answer asks for is resolved together first. Then the project is baked with each answer, and locks
itself with those versions. A package that not every bake has goes into a Jinja block that names the answers.
"""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = ROOT / "{{cookiecutter.project_slug}}"
UV = Path(sys.executable).with_name("uv")
SCRATCH = ROOT / "build" / "lock"
HASHED = ("--quiet", "--universal", "--fork-strategy", "fewest", "--generate-hashes", "--no-annotate", "--no-header")

APART = ("az", "uv")  # installed by themselves

Answer = tuple[str, object]


def answers() -> list[Answer]:
    """Return every answer to a question of choice but the defaults, which are the first ones."""
    questions = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
    flips: list[Answer] = []
    for question, default in questions.items():
        if isinstance(default, bool):
            flips.append((question, not default))
        elif isinstance(default, list) and not question.startswith("_"):
            flips += [(question, answer) for answer in default[1:]]
    return flips


def bake(answer: Answer | None) -> Path:
    """Bake the defaults but for one answer."""
    output = SCRATCH / ("-".join(map(str, answer)) if answer else "defaults")
    given = [f"{answer[0]}={answer[1]}"] if answer else []
    command = [sys.executable, "-m", "cookiecutter", ROOT, "--no-input", "--output-dir", output, *given]
    subprocess.run(command, check=True)
    return next(output.iterdir())


def resolve(projects: list[Path], upgrade: bool) -> str:
    """Return the versions of everything that any of the projects asks for."""
    asked = set()
    for project in projects:
        groups = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
        asked |= {
            item for name, group in groups.items() if name not in APART for item in group if isinstance(item, str)
        }
    together, resolved = SCRATCH / "together.in", SCRATCH / "together.txt"
    together.write_text("\n".join(sorted(asked)), encoding="utf-8")
    if not upgrade:  # uv keeps the versions that it finds in the file to write
        resolved.write_text("".join(read_lock(PROJECT / "requirements" / "dev.txt").values()), encoding="utf-8")
    compile_ = [UV, "pip", "compile", together, *HASHED, "--python-version", "3.11", "-o", resolved]
    subprocess.run(compile_, check=True)
    return resolved.read_text(encoding="utf-8")


def lock(project: Path, resolved: str) -> None:
    """Let a project lock itself, starting from the versions resolved for all. It needs nothing but uv for that."""
    (project / "requirements" / "dev.txt").write_text(resolved, encoding="utf-8")
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "uv").symlink_to(UV)
    (project / ".venv" / "ready").touch()
    subprocess.run([shutil.which("make") or "make", "--silent", "lock"], cwd=project, check=True)


def read_lock(path: Path) -> dict[str, str]:
    """Return the entries of a lock, several lines each, by the name of the package and its marker."""
    entries: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if re.match(r"[A-Za-z0-9]", line):
            name = re.sub(r"==\S+", "", line)
            entries[name] = line
        elif line.startswith(" "):
            entries[name] += line
    return entries


def condition(name: str, default: dict[str, str], flipped: dict[Answer, dict[str, str]]) -> str | None:
    """Return when a package is part of a lock, as Jinja says it; None if always."""
    kind = "==" if name not in default else "!="
    differing = [answer for answer, entries in flipped.items() if (name in entries) != (name in default)]
    tests = [f"cookiecutter.{question} {kind} {json.dumps(answer)}" for question, answer in differing]
    return (" or " if kind == "==" else " and ").join(tests) or None


def merge(default: dict[str, str], flipped: dict[Answer, dict[str, str]]) -> str:
    """Return the text of one lock for all answers."""
    everything = dict(entry for entries in [default, *flipped.values()] for entry in entries.items())
    text = ""
    for name in sorted(everything, key=str.lower):
        when = condition(name, default, flipped)
        text += f"{{% if {when} %}}\n{everything[name]}{{% endif %}}\n" if when else everything[name]
    return text


def main() -> None:
    shutil.rmtree(SCRATCH, ignore_errors=True)
    SCRATCH.mkdir(parents=True)
    default, flipped = bake(None), {answer: bake(answer) for answer in answers()}
    resolved = resolve([default, *flipped.values()], upgrade="--upgrade" in sys.argv)
    for project in (default, *flipped.values()):
        lock(project, resolved)
    for path in sorted((default / "requirements").glob("*.txt")):
        beside = {answer: project / "requirements" / path.name for answer, project in flipped.items()}
        others = {answer: read_lock(file) for answer, file in beside.items() if file.exists()}
        text = merge(read_lock(path), others)
        (PROJECT / "requirements" / path.name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
