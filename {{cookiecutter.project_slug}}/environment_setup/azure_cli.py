"""Ask the Azure CLI, as whoever is logged in. Standard library only: jobs that need no more need set up no more.

It gets no input: where it would ask a person something, it fails instead of waiting.
"""

import json
import os
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


def az(*words: str) -> Any:
    """Return what a command answers, as JSON."""
    command = [program_path(), *words, "--output", "json", "--only-show-errors"]
    ended = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, text=True, check=False)
    if ended.returncode:
        raise AzureError(f"az {' '.join(words[:3])}: {ended.stderr.strip()[-1000:]}")
    try:
        return json.loads(ended.stdout) if ended.stdout.strip() else None
    except ValueError as error:
        raise AzureError(f"az {' '.join(words[:3])} did not answer JSON: {ended.stdout.strip()[:200]!r}") from error


def show(*words: str) -> None:
    """Run a command that prints for people."""
    ended = subprocess.run([program_path(), *words, "--only-show-errors"], stdin=subprocess.DEVNULL, check=False)
    if ended.returncode:
        raise AzureError(f"az {' '.join(words[:3])} failed: see above.")


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
