"""Bake each combination of answers once per session, and hand the project to every check.

A test that needs a program from outside Python says so with ``@pytest.mark.tool("git")``. Before any of its fixtures,
tools.py finds out whether that works here. If it is absent, or there but cannot work, the test is skipped, and the run
ends with a line for each such tool; with REQUIRE_TOOLS=1 the test fails instead. ``run`` refuses a tool without a mark.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import check_jsonschema
import pytest
import tools
from filelock import FileLock

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
SCHEMA = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor" / "azure-pipelines.json"
HOSTILE = 'O\'Brien "x" \\ é 漢字 𠮷 | `x` <b> {{ 7*7 }}'

QUESTIONS = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
CHOICES = {
    question: [True, False] if isinstance(default, bool) else default
    for question, default in QUESTIONS.items()
    if not question.startswith("_") and isinstance(default, bool | list)
}

# What is baked and checked: the defaults, every single answer flipped, and names at the edge of what is allowed.
COMBINATIONS = {
    "defaults": {},
    **{
        f"{question}={answer}": {question: answer}
        for question, answers in CHOICES.items()
        for answer in answers
        if answer != (QUESTIONS[question] if isinstance(QUESTIONS[question], bool) else answers[0])
    },
    "fewest": {"deploy_aci": False},
    "most": {
        "infrastructure": "terraform",
        "deploy_webapp": True,
        "aks": "canary",
        "batch_scoring": True,
        "example": "safe_driver",
    },
    "hostile": {"project_name": HOSTILE, "organisation": HOSTILE, "batch_scoring": True},
    "shortest": {"project_name": "q", "organisation": "q"},
    "longest": {
        "project_name": "A" * 60,
        "project_slug": "a" * 40,
        "package_name": "a" * 40,
        "model_name": "a" * 60,
        "organisation": "A" * 60,
        "batch_scoring": True,
    },
}


class Project(NamedTuple):
    """A baked project. Read it; do not change it."""

    path: Path
    answers: dict[str, str]

    def files(self) -> list[Path]:
        return sorted(path for path in self.path.rglob("*") if path.is_file())

    def package(self) -> Path:
        return self.path / "src" / self.answers["package_name"]


@pytest.fixture(scope="session", params=COMBINATIONS.values(), ids=COMBINATIONS)
def project(request, cookies_session):
    """Return the project baked from one combination of answers."""
    return bake(cookies_session, request.param)


@pytest.fixture(scope="session")
def defaults(cookies_session):
    """Return the project baked from the default answers."""
    return bake(cookies_session, {})


baked = {}


def bake(cookies, answers):
    key = json.dumps(answers)
    if key not in baked:
        assert answers.keys() <= QUESTIONS.keys()
        result = cookies.bake(extra_context=answers, template=str(ROOT))
        if result.exception:
            raise result.exception
        baked[key] = Project(result.project_path, result.context)
    return baked[key]


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory):
    """Return a folder that all processes of this test run share: one process has the session's, others one in it."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session", autouse=True)
def caches(shared_folder, tmp_path_factory):
    """Keep what Python compiles and mypy finds out in environments and projects, and keep it out of them."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(shared_folder / "bytecode")
    os.environ["MYPY_CACHE_DIR"] = str(tmp_path_factory.getbasetemp() / "mypy")  # which two must not write at once


@pytest.fixture(scope="session")
def environment(shared_folder):
    """Return a function that installs a lock of a project, once each, and gives the Python of that environment."""

    def environment(project, group="dev"):
        lock = project.path / "requirements" / f"{group}.txt"
        folder = shared_folder / f"environment-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
        installed = folder / "installed"
        with FileLock(folder.with_suffix(".lock")):
            if not installed.exists():
                sync = ("pip", "sync", "--quiet", "--require-hashes", lock)
                run(BIN / "uv", "venv", "--quiet", "--python", sys.executable, folder)
                run(BIN / "uv", *sync, "--python", folder)
                installed.touch()
        return folder / "bin" / "python"

    return environment


@pytest.fixture(scope="session")
def language_service():
    """Return a function that asks Microsoft's language service about files, and gives what it says."""

    def said(*files, code=0):
        return run("node", tools.made("npm") / "lint.cjs", SCHEMA, *files, code=code)

    return said


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Return the files of a key and of a certificate for this machine, which is its own authority."""
    folder = tmp_path_factory.mktemp("certificate")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    made = ("-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "2")
    name = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    run("openssl", "req", *made, *name, "-keyout", key, "-out", certificate)
    return key, certificate


@pytest.fixture(scope="session")
def snapshot(tmp_path_factory):
    """Return a copy of the template as its working tree is, without what commands made in it."""
    copy = tmp_path_factory.mktemp("snapshot") / "template"
    made = shutil.ignore_patterns(".git", ".venv", "build", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, copy, ignore=made)
    return copy


# A make that runs under `make test` must not think that it is a part of it.
SET_BY_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES")

running = []  # the test that runs, and the tools it is marked with


def check_mark(command):
    """Refuse a tool that the running test is not marked with: where the tool cannot work, that test would fail."""
    before = re.compile(r"(.*/)?env$|-|\w+=")
    program = next((Path(word).name for word in map(str, command) if not before.match(word)), "")
    tool = "npm" if program == "node" else program
    for test, marked in running:
        known = tool in marked or tool not in tools.PROBES
        assert known, f'{test} runs {program}, but lacks @pytest.mark.tool("{tool}")'


def run(*command, cwd=ROOT, code=0, **environment):
    """Run a command, and fail with all it printed unless it exits as expected. Returns what it printed."""
    check_mark(command)
    inherited = {name: value for name, value in os.environ.items() if name not in SET_BY_MAKE}
    ended = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**inherited, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    assert ended.returncode == code, f"{' '.join(map(str, command))} exited with {ended.returncode}:\n{ended.stdout}"
    return ended.stdout


def pytest_configure(config):
    config.addinivalue_line("markers", "tool(name): the test needs this program, which tools.py has a probe for")
    if not hasattr(config, "workerinput"):  # the processes of a test run share the folder of the one that starts them
        folder = tempfile.TemporaryDirectory(prefix="tools-", ignore_cleanup_errors=True)
        os.environ[tools.FOLDER] = folder.name
        config.add_cleanup(folder.cleanup)


# The files that take longest go first, so that no core waits for another in the end.
LONGEST = (
    *("run", "azure_pipelines", "project", "azure_refuses", "release_story", "batch_on_azure", "train_on_azure"),
    *("deployment_pipelines", "canary", "release", "terraform", "emulator", "batch", "aci"),
)


def pytest_collection_modifyitems(items):
    places = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


def pytest_runtest_setup(item):
    needed = dict.fromkeys(tool for marker in item.iter_markers("tool") for tool in marker.args)
    running[:] = [(item.nodeid, needed)]
    unable = [f"{tool}: {why}" for tool in needed if (why := tools.why_not(tool))]
    if unable and os.environ.get("REQUIRE_TOOLS", "0") not in ("", "0"):
        pytest.fail(
            "\n".join(["REQUIRE_TOOLS allows no test to be skipped for want of a tool.", *unable]), pytrace=False
        )
    if unable:
        pytest.skip("\n".join(unable))


def pytest_terminal_summary(terminalreporter):
    reasons = [report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.stats.get("skipped", [])]
    for line, count in Counter(line for reason in reasons for line in reason.splitlines()).items():
        tool, _, why = line.partition(": ")
        if tool in tools.PROBES:
            terminalreporter.write_line(f"Tests skipped for want of {tool}: {count} ({why})", yellow=True)
