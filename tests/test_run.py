"""The first command blocks of both READMEs, verbatim, and the lifecycle that they start."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager

import pytest
from conftest import ROOT, run
from test_docs import block

pytestmark = [pytest.mark.slow, pytest.mark.tool("make")]


def commands(readme):
    return block(readme.read_text(encoding="utf-8"), "bash")


def test_the_template_s_first_commands_work_on_a_fresh_copy(snapshot):
    told = run("bash", "-euc", commands(snapshot / "README.md"), cwd=snapshot)

    assert re.search(r"Registered version 1 of diabetes-regression\.", told)
    assert "Smoke test successful." in told


@pytest.fixture(scope="module")
def lively(defaults, tmp_path_factory):
    """Return a project in a folder with an awkward name, and what its first commands printed."""
    folder = tmp_path_factory.mktemp("in") / "my #1 project (new)"
    shutil.copytree(defaults.path, folder)
    return folder, run("bash", "-euc", commands(folder / "README.md"), cwd=folder)


def make(lively, *arguments, code=0):
    return run("make", *arguments, cwd=lively[0], code=code)


def test_the_project_s_first_commands_work_in_a_folder_with_spaces(lively):
    _, told = lively

    assert "mse  3295.7149  -" in told
    assert "Registered version 1 of diabetes-regression. There is no champion to beat." in told
    assert "Predictions: 191.142, 125.242" in told
    assert "Smoke test successful." in told
    assert "Warning" not in told
    assert "INFO" not in told


def test_better_models_are_promoted_worse_ones_refused_and_withdrawing_rolls_back(lively):
    folder, _ = lively
    make(lively, "withdraw", "VERSION=1")
    outcomes = []
    for alpha in (0.5, 0.4, 0.5, 0.41):
        parameters = folder / "src" / "parameters.yml"
        parameters.write_text(re.sub(r"alpha: .*", f"alpha: {alpha}", parameters.read_text("utf-8")), encoding="utf-8")
        told = make(lively, "run")
        outcomes.append(
            re.search(r"^(Registered version \d|Model was not registered for this run\. .*)", told, re.M).group(1)
        )
    make(lively, "withdraw", "VERSION=4")
    smoke = make(lively, "smoke")

    assert outcomes == [
        "Registered version 2",
        "Registered version 3",
        "Model was not registered for this run. mse 3298.8856 is worse than version 3's 3295.7149 (lower is better).",
        "Registered version 4",
    ]
    assert "Serving diabetes-regression version 3" in smoke
    assert "Smoke test successful." in smoke


def test_switches_promote_a_worse_model(lively):
    folder, _ = lively
    parameters = folder / "src" / "parameters.yml"
    parameters.write_text(re.sub(r"alpha: .*", "alpha: 0.9", parameters.read_text("utf-8")), encoding="utf-8")

    assert "ALLOW_RUN_CANCEL is false" in make(lively, "run", "ALLOW_RUN_CANCEL=false")
    assert "RUN_EVALUATION is false" in make(lively, "run", "RUN_EVALUATION=false")


def test_a_failing_step_fails_the_run_with_a_sentence(lively):
    folder, _ = lively
    parameters = folder / "src" / "parameters.yml"
    before = parameters.read_text("utf-8")
    parameters.write_text(before.replace("alpha:", "alhpa:"), encoding="utf-8")

    told = make(lively, "run", code=2)
    parameters.write_text(before, encoding="utf-8")

    assert "parameters.yml: training, which takes alpha: alhpa: Extra inputs are not permitted" in told
    assert "Step train failed" in told
    assert "Traceback" not in told


def test_lint_passes_in_the_project(lively):
    make(lively, "lint")


@contextmanager
def serving(lively, *command, url):
    """Keep a command running until its service answers, and stop it and all that it started at the end."""
    command = [shutil.which("make"), *command]
    with subprocess.Popen(command, cwd=lively[0], start_new_session=True) as process:
        try:
            wait_for(url)
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def wait_for(url):
    for _ in range(600):
        try:
            return get(url)
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{url} never answered")


def get(url, body=None):
    with urllib.request.urlopen(url, data=body, timeout=30) as answer:  # noqa: S310
        return answer.read()


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def test_serve_answers_the_request_in_the_readme(lively, port):
    request = re.search(r"--data @(\S+) http://127\.0\.0\.1:8080(/\S+)", (lively[0] / "README.md").read_text("utf-8"))
    url = f"http://127.0.0.1:{port}"

    with serving(lively, "serve", f"PORT={port}", url=f"{url}/healthz"):
        answer = json.loads(get(url + request.group(2), (lively[0] / request.group(1)).read_bytes()))

    assert len(answer["result"]) == 2


def test_ui_shows_the_plots_of_a_run(lively, port):
    run_id = json.loads((lively[0] / "outputs" / "candidate" / "metrics.json").read_text("utf-8"))["run_id"]
    url = f"http://127.0.0.1:{port}"

    with serving(lively, "ui", f"UI_PORT={port}", url=url):
        page = get(url)
        plot = get(f"{url}/get-artifact?run_uuid={run_id}&path=plots/residuals.png")

    assert b"<title>MLflow</title>" in page
    assert plot.startswith(b"\x89PNG")


@pytest.mark.tool("git")
def test_pre_commit_passes_in_the_project(lively):
    folder, _ = lively
    run("git", "init", "--quiet", cwd=folder)
    run("git", "add", "--all", cwd=folder)

    told = run(".venv/bin/python", "-m", "pre_commit", "run", "--all-files", cwd=folder)

    assert told.count("Passed") == 3
    committed = run("git", "ls-files", cwd=folder).split("\n")
    assert not [path for path in committed if path.startswith((".venv", "outputs", "data/sample"))]


def test_locking_again_changes_nothing(lively):
    folder, _ = lively
    make(lively, "lock")

    for path in (folder / "requirements").glob("*.txt"):
        assert path.read_bytes() == (ROOT / "{{cookiecutter.project_slug}}" / "requirements" / path.name).read_bytes()


def test_clean_removes_what_commands_made(lively):
    folder, _ = lively
    make(lively, "clean")

    assert not (folder / "outputs").exists()
    assert [path.name for path in (folder / "data").iterdir()] == ["README.md"]
