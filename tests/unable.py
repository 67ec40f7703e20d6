"""Run the tests that need tools on a machine where each tool is there, but cannot work. Every one has to be skipped.

usage: unable.py [TEST...]   The exit code is 1 if a test ran or failed, or if a tool has no line at the end.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from tools import PROBES, ROOT

# What each says that has no rights, no registry, no providers, or is of another age or make.
CANNOT = {
    "buildah": "Error during unshare(CLONE_NEWUSER): Operation not permitted",
    "debootstrap": "E: debootstrap can only run as root",
    "git": "xcrun: error: invalid active developer path",
    "kubectl": 'error: json: unknown field "labels"',
    "make": "xcrun: error: invalid active developer path",
    "npm": "npm error code ENOTFOUND",
    "openssl": "unknown option -addext",
    "terraform": "Error: Failed to query available provider packages",
}
VERSION = json.dumps({"terraform_version": "1.11.4", "platform": "linux_amd64"})
STAND_IN = """#!/bin/sh
[ "${{1#--}}" = version ] && echo '{version}' && exit
echo '{said}' >&2
exit 1
"""
OF_A_PERSON = ("REQUIRE_TOOLS", "CHECKERS", "TF_CLI_CONFIG_FILE")


def stand_in(folder: Path, name: str, said: str) -> None:
    """Write a program that tells its version, and can do nothing else."""
    (folder / name).write_text(STAND_IN.format(version=VERSION, said=said), encoding="utf-8")
    (folder / name).chmod(0o755)


def faults(printed: str, results: ElementTree.Element) -> list[str]:
    """Return what is wrong with a run in which every test had to be skipped, and every tool to have its line."""
    cases = results.iter("testcase")
    parts = {f"{one.get('classname')}::{one.get('name')}": {part.tag for part in one} for one in cases}
    wrong = [f"{name} ran" for name, tags in parts.items() if "skipped" not in tags or tags & {"failure", "error"}]
    told = re.findall(r"^Tests skipped for want of (\w+): [1-9]", printed, re.MULTILINE)
    wrong += [f"lines on {tool}: {told.count(tool)}" for tool in PROBES if told.count(tool) != 1]
    return wrong if parts else ["no test was skipped"]


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        programs, results = Path(folder) / "programs", Path(folder) / "results.xml"
        programs.mkdir()
        for name in PROBES:
            stand_in(programs, name, CANNOT[name])
        environment = {name: value for name, value in os.environ.items() if name not in OF_A_PERSON}
        environment["PATH"] = f"{programs}{os.pathsep}{environment['PATH']}"
        words = ("-m", "pytest", "-m", "tool", "--quiet", f"--junitxml={results}", *sys.argv[1:])
        ended = subprocess.run(
            [sys.executable, *words], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False
        )
        print(ended.stdout)
        wrong = faults(ended.stdout, ElementTree.parse(results).getroot())  # noqa: S314 - pytest wrote it
    print(*wrong, sep="\n")
    return int(bool(wrong or ended.returncode))


if __name__ == "__main__":
    sys.exit(main())
