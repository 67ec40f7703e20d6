"""What every baked project must satisfy, whatever was answered."""

import hashlib
import json
import os
import re
import shutil
import sys
import tomllib
from collections import Counter

import nbformat
import pytest
import yaml
from conftest import BIN, COMBINATIONS, ROOT, bake, run
from local_pipelines import agent, repository

from pipelines_runner.job import report

MOST = {"fewest": (106, 5850), "defaults": (126, 7410), "most": (186, 11420)}  # files, and lines of what is not tests
NAMES = ("project_name", "project_slug", "package_name", "model_name", "organisation")


def expected_files(answers):
    """Return the files that a bake holds. ``path if question=answer and ...`` in the list: where that was answered."""
    listed = (ROOT / "tests" / "expected_files.txt").read_text(encoding="utf-8").splitlines()
    conditions = {line.partition(" if ")[::2] for line in listed}
    answered = {"", *(f"{question}={answer}" for question, answer in answers.items())}
    return {path.format_map(answers) for path, condition in conditions if answered.issuperset(condition.split(" and "))}


def test_holds_exactly_the_expected_files(project):
    files = {path.relative_to(project.path).as_posix() for path in project.files()}

    assert files == expected_files(project.answers)


@pytest.mark.parametrize("answers", MOST)
def test_stays_within_the_size_that_a_person_can_read(answers, cookies_session):
    baked = bake(cookies_session, COMBINATIONS[answers])
    files = [path for path in baked.files() if path.parent.name != "requirements"]
    lines = Counter()
    for path in files:
        kind = "tests" if path.parent.name == "tests" else "python" if path.suffix == ".py" else "other"
        lines[kind] += len(path.read_text(encoding="utf-8").splitlines())

    most_files, most_lines = MOST[answers]
    assert len(files) <= most_files
    assert lines["python"] + lines["other"] <= most_lines
    assert lines["tests"] <= lines["python"]


def test_leaves_nothing_unrendered(project):
    for path in project.files():
        unrendered = re.search(r"(?<!\$)\{\{|\{%|\{#|cookiecutter\.(?!json)", path.read_text(encoding="utf-8"))

        assert not unrendered, f"{path}: {unrendered}"
        assert "{" not in str(path.relative_to(project.path))


PARSERS = {
    ".yml": yaml.safe_load,
    ".yaml": yaml.safe_load,
    ".toml": tomllib.loads,
    ".json": json.loads,
    ".ipynb": lambda text: nbformat.validate(nbformat.reads(text, as_version=4)),
}


def test_every_file_of_a_known_type_parses(project):
    parsed = [PARSERS[path.suffix](path.read_text("utf-8")) for path in project.files() if path.suffix in PARSERS]

    assert len(parsed) >= 3


def test_hostile_text_arrives_as_it_was_answered(project):
    registration = yaml.safe_load((project.path / "src" / "parameters.yml").read_text("utf-8"))["registration"]

    assert registration["tags"] == {
        "project": project.answers["project_name"].replace("{{ 7*7 }}", "49"),
        "owner": project.answers["organisation"].replace("{{ 7*7 }}", "49"),
    }


@pytest.mark.parametrize("command", [("check",), ("format", "--check")], ids=["check", "format"])
def test_is_clean_by_its_own_ruff_settings(project, command):
    run(BIN / "ruff", *command, "--no-cache", ".", cwd=project.path)


def test_template_and_project_follow_the_same_style(project):
    roots = (ROOT, project.path)
    ours, theirs = (tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["ruff"] for root in roots)

    assert ours["line-length"] == theirs["line-length"]
    assert ours["lint"] == theirs["lint"]


def test_template_and_project_pin_the_same_tools(project):
    ours, theirs = (
        dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (root / "requirements" / "dev.txt").read_text("utf-8"), re.MULTILINE))
        for root in (ROOT, project.path)
    )

    assert {name: ours[name] for name in ("ruff", "mypy", "pytest", "pre-commit")}.items() <= theirs.items()


@pytest.mark.tool("git")
def test_pre_commit_passes_in_the_template(snapshot, tmp_path):
    template = tmp_path / "template"
    shutil.copytree(snapshot, template)
    (template / ".venv").symlink_to(sys.prefix)
    run("git", "init", "--quiet", cwd=template)
    run("git", "add", "--all", cwd=template)

    told = run(sys.executable, "-m", "pre_commit", "run", "--all-files", cwd=template)

    assert told.count("Passed") == 2


def python_of(project):
    """Return a digest over all that is Python in a project, but for the names that were answered."""
    names = r"\b(" + "|".join(re.escape(project.answers[name]) for name in NAMES) + r")\b"
    contents = sorted(
        re.sub(names, "named", path.relative_to(project.path).as_posix() + "\n" + path.read_text(encoding="utf-8"))
        for path in project.files()
        if path.suffix in (".py", ".toml", ".ipynb", ".txt")
    )
    return hashlib.sha256("\0".join(contents).encode()).digest()


@pytest.fixture
def pull_request(environment, tmp_path):
    """Return a function that has `pr.yml` look at a project as it was baked."""

    def pull_request(project):
        python = environment(project)
        root = repository(project, tmp_path / "repository", python)
        path = f"{python.parent}:{os.environ['PATH']}"
        build = agent(project, root, tmp_path / "agent", PATH=path).run(".pipelines/pr.yml")
        assert build.result == "Succeeded", report(build.steps())
        assert re.search(r"^\d{3,} tests, 0 failed$", report(build.steps()), re.MULTILINE)

    return pull_request


@pytest.mark.slow
@pytest.mark.tool("make")
def test_a_pull_request_finds_style_types_and_tests_in_order(defaults, pull_request):
    pull_request(defaults)


IN_ORDER = ("aks=canary", "aks=service", "fewest", "most")


@pytest.mark.prove
@pytest.mark.tool("make")
@pytest.mark.parametrize("answers", IN_ORDER)
def test_a_pull_request_finds_them_in_order_with_each_kind_of_deployment_and_with_none(
    cookies_session, pull_request, answers
):
    pull_request(bake(cookies_session, COMBINATIONS[answers]))


@pytest.fixture(scope="session")
def seen(cookies_session):
    """Remember which Python was checked, by a digest over it: most answers do not change it."""
    return {python_of(bake(cookies_session, COMBINATIONS[answers])) for answers in ("defaults", *IN_ORDER)}


@pytest.mark.prove
def test_types_are_right_and_tests_find_what_they_import_whatever_was_answered(project, seen, environment):
    if (python := python_of(project)) not in seen:
        run(environment(project), "-m", "mypy", cwd=project.path)
        run(environment(project), "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", cwd=project.path)
        seen.add(python)


@pytest.mark.slow
def test_hostile_text_passes_the_tests_that_read_it(cookies_session, environment):
    project = bake(cookies_session, COMBINATIONS["hostile"])
    registers = "tests/test_register.py::test_a_run_is_registered_once"
    command = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_parameters.py", registers)

    run(environment(project), *command, cwd=project.path, PYTHONDONTWRITEBYTECODE="1")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("group", "modules", "folder"),
    [
        ("score", ["{package_name}.app", "{package_name}.scoring"], "src"),
        (
            "train",
            [f"{{package_name}}.{name}" for name in ("train", "evaluate", "register", "fetch", "withdraw")],
            "src",
        ),
        ("batch", [f"{{package_name}}.{name}" for name in ("batch", "batch_step", "batch_publish")], "src"),
        (
            "ops",
            [f"ml_service.{name}" for name in ("batch_submit", "batch_wait", "fetch", "submit", "wait", "withdraw")],
            ".",
        ),
    ],
    ids=["score", "train", "batch", "ops"],
)
def test_a_lock_holds_all_that_its_programs_import(environment, cookies_session, group, modules, folder):
    baked = bake(cookies_session, {"batch_scoring": True})
    imports = "; ".join(f"import {module.format_map(baked.answers)}" for module in modules)

    run(environment(baked, group), "-c", imports, cwd=baked.path / folder, PYTHONDONTWRITEBYTECODE="1")
