"""Ask the Azure CLI, as whoever is logged in. Standard library only: jobs that need no more need set up no more.

It gets no input: where it would ask a person something, it fails instead of waiting.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class AzureError(Exception):
    """Something that a person can mend. The message names the thing and the remedy."""


def program_path() -> str:
    if path := shutil.which("az"):
        return path
    raise AzureError("The Azure CLI is not installed: learn.microsoft.com/cli/azure/install-azure-cli.")


def run(*words: str, seconds: float, captures: bool) -> subprocess.CompletedProcess[str]:
    command, quiet = [program_path(), *words, "--only-show-errors"], subprocess.DEVNULL
    try:
        return subprocess.run(command, stdin=quiet, capture_output=captures, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise AzureError(f"az {' '.join(words[:3])} does not end within {seconds:.0f} s.") from error


def az(*words: str, seconds: float = 3600) -> Any:
    """Return what a command answers, as JSON."""
    ended = run(*words, "--output", "json", seconds=seconds, captures=True)
    if ended.returncode:
        raise AzureError(f"az {' '.join(words[:3])}: {ended.stderr.strip()[-1000:]}")
    try:
        return json.loads(ended.stdout) if ended.stdout.strip() else None
    except ValueError as error:
        raise AzureError(f"az {' '.join(words[:3])} did not answer JSON: {ended.stdout.strip()[:200]!r}") from error


def text(*words: str, seconds: float = 60) -> str:
    """Return what a command prints, such as somebody's log; blank if it fails."""
    try:
        ended = run(*words, seconds=seconds, captures=True)
    except AzureError:
        return ""
    return "" if ended.returncode else ended.stdout


def show(*words: str, seconds: float = 3600) -> None:
    """Run a command that prints for people."""
    if run(*words, seconds=seconds, captures=False).returncode:
        raise AzureError(f"az {' '.join(words[:3])} failed: see above.")


def plain(text: str) -> str:
    """Return somebody else's text in one line that is no command to the build agent."""
    return re.sub("#(?=#)", "# ", " ".join(text.split()))


def setting(name: str) -> str:
    """Return what a variable of the variable group says."""
    if not (value := variable(name)):
        raise AzureError(f"{name} is missing: docs/azure-pipelines.md lists what the variable group holds.")
    return value


def variable(name: str) -> str:
    """Return what the variable group says, if it says anything: Azure Pipelines leaves an unknown name as it stands."""
    value = os.environ.get(name, "").strip()
    return "" if value.startswith("$(") else value


@contextmanager
def program() -> Iterator[None]:
    """End an error with its sentence and exit code 1, Ctrl-C with 130."""
    try:
        yield
    except AzureError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
