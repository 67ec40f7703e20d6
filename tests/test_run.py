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
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import bake, run
from test_docs import block

pytestmark = [pytest.mark.slow, pytest.mark.tool("make")]


def commands(readme):
    return block(readme.read_text(encoding="utf-8"), "bash")


@pytest.mark.prove
def test_the_template_s_first_commands_work_on_a_fresh_copy(snapshot):
    told = run("bash", "-euc", commands(snapshot / "README.md"), cwd=snapshot)

    assert re.search(r"Registered version 1 of diabetes-regression\.", told)
    assert "Smoke test successful." in told


class Life(NamedTuple):
    """What becomes of an example: the first run, then one run after the other with an argument changed."""

    first: str
    runs: list[tuple[str, str]]
    serving: str


LIVES = {
    "diabetes": Life(
        first="mse  3295.7149  -\n\nRegistered version 1 of diabetes-regression. There is no champion to beat.",
        runs=[
            ("alpha: 0.5", "Registered version 2 "),
            ("alpha: 0.4", "Registered version 3 "),
            (
                "alpha: 0.5",
                "Model was not registered for this run. "
                "mse 3298.8856 is worse than version 3's 3295.7149 (lower is better).",
            ),
        ],
        serving="Serving diabetes-regression version 2 ",
    ),
    "safe_driver": Life(
        first="auc  0.7937848   -\nf1   0.22754491  -\n\nRegistered version 1 of safe-driver. There is no champion",
        runs=[
            ("rounds: 5", "Registered version 2 "),
            ("rounds: 50", "Registered version 3 "),
            ("rounds: 5", "Model was not registered for this run. auc 0."),
        ],
        serving="Serving safe-driver version 2 ",
    ),
}


class Lively(NamedTuple):
    """A project that has come to life, and what its first commands printed."""

    path: Path
    told: str
    life: Life

    def make(self, *arguments, code=0):
        return run("make", *arguments, cwd=self.path, code=code)

    def change(self, argument):
        """Change an argument of training in parameters.yml."""
        parameters = self.path / "src" / "parameters.yml"
        name = argument.partition(":")[0]
        parameters.write_text(re.sub(rf"\b{name}: .*", argument, parameters.read_text("utf-8")), encoding="utf-8")


SAFE_DRIVER = pytest.param("safe_driver", marks=pytest.mark.prove)


@pytest.fixture(scope="module", params=["diabetes", SAFE_DRIVER])
def lively(request, cookies_session, tmp_path_factory):
    """Return a project in a folder with an awkward name."""
    folder = tmp_path_factory.mktemp("in") / "my #1 project (new)"
    shutil.copytree(bake(cookies_session, {"example": request.param}).path, folder)
    return Lively(folder, run("bash", "-euc", commands(folder / "README.md"), cwd=folder), LIVES[request.param])


def test_the_project_s_first_commands_work_in_a_folder_with_spaces(lively):
    assert lively.life.first in lively.told
    assert "Smoke test successful." in lively.told
    assert "Warning" not in lively.told
    assert "INFO" not in lively.told


def test_better_models_are_promoted_worse_ones_refused_and_withdrawing_rolls_back(lively):
    lively.make("withdraw", "VERSION=1")
    for argument, outcome in lively.life.runs:
        lively.change(argument)
        assert f"\n{outcome}" in lively.make("run")
    latest = max(int(number) for _, outcome in lively.life.runs for number in re.findall(r"version (\d) $", outcome))
    lively.make("withdraw", f"VERSION={latest}")
    smoke = lively.make("smoke")

    assert lively.life.serving in smoke
    assert "Smoke test successful." in smoke


@pytest.mark.parametrize("lively", ["diabetes"], indirect=True)
def test_switches_promote_a_worse_model(lively):
    lively.change("alpha: 0.6")

    forced = lively.make("run", "ALLOW_RUN_CANCEL=false")
    assert re.search(r"ALLOW_RUN_CANCEL is false, .* is worse than version \d's ", forced)
    assert "RUN_EVALUATION is false" in lively.make("run", "RUN_EVALUATION=false")


def test_a_failing_step_fails_the_run_with_a_sentence(lively):
    parameters = lively.path / "src" / "parameters.yml"
    before = parameters.read_text("utf-8")
    parameters.write_text(before.replace("training:\n", "training:\n  nonsense: 1\n"), encoding="utf-8")

    told = lively.make("run", code=2)
    parameters.write_text(before, encoding="utf-8")

    assert "nonsense: Extra inputs are not permitted" in told
    assert "Step train failed" in told
    assert "Traceback" not in told


@pytest.mark.parametrize("lively", [SAFE_DRIVER], indirect=True)
def test_lint_passes_in_the_project(lively):
    lively.make("lint")


@contextmanager
def serving(lively, *command, url):
    """Keep a command running until its service answers, and stop it and all that it started at the end."""
    command = [shutil.which("make"), *command]
    with subprocess.Popen(command, cwd=lively.path, start_new_session=True) as process:
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
    request = re.search(r"--data @(\S+) http://127\.0\.0\.1:8080(/\S+)", (lively.path / "README.md").read_text("utf-8"))
    url = f"http://127.0.0.1:{port}"

    with serving(lively, "serve", f"PORT={port}", url=f"{url}/healthz"):
        answer = json.loads(get(url + request.group(2), (lively.path / request.group(1)).read_bytes()))

    assert len(answer["result"]) == 2


def test_ui_shows_the_plots_of_a_run(lively, port):
    run_id = json.loads((lively.path / "outputs" / "candidate" / "metrics.json").read_text("utf-8"))["run_id"]
    plots = list((lively.path / "outputs" / "artifacts" / run_id / "artifacts" / "plots").glob("*.png"))
    url = f"http://127.0.0.1:{port}"

    with serving(lively, "ui", f"UI_PORT={port}", url=url):
        page = get(url)
        plot = get(f"{url}/get-artifact?run_uuid={run_id}&path=plots/{plots[0].name}")

    assert b"<title>MLflow</title>" in page
    assert plot.startswith(b"\x89PNG")


@pytest.mark.parametrize("lively", [SAFE_DRIVER], indirect=True)
@pytest.mark.tool("git")
def test_pre_commit_passes_in_the_project(lively):
    run("git", "init", "--quiet", cwd=lively.path)
    run("git", "add", "--all", cwd=lively.path)

    told = run(".venv/bin/python", "-m", "pre_commit", "run", "--all-files", cwd=lively.path)

    assert told.count("Passed") == 3
    committed = run("git", "ls-files", cwd=lively.path).split("\n")
    assert not [path for path in committed if path.startswith((".venv", "outputs", "data/sample"))]


def test_locking_again_changes_nothing(lively):
    locks = sorted((lively.path / "requirements").glob("*.txt"))
    before = [lock.read_bytes() for lock in locks]

    lively.make("lock")

    assert [lock.read_bytes() for lock in locks] == before


def test_clean_removes_what_commands_made_and_nothing_else(lively):
    (lively.path / "data" / "mine.csv").touch()

    lively.make("clean")

    assert not (lively.path / "outputs").exists()
    assert {path.name for path in (lively.path / "data").iterdir()} == {"README.md", "mine.csv"}
