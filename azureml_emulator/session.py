"""Start the emulator from a program, such as a test, and talk to it. Standard library only."""

import json
import shlex
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Session(NamedTuple):
    """An emulator that runs: the variables that lead there, and what it can be asked."""

    environment: dict[str, str]

    def ask(self, about: str) -> Any:
        """Return what ``/emulator/<about>`` answers."""
        return self._call("GET", about)

    def requests(self, words: str = "") -> list[dict[str, Any]]:
        """Return the calls so far whose host and path hold these words."""
        return [call for call in self.ask("requests") if words in call["host"] + call["path"]]

    def fault(self, **rule: Any) -> None:
        """Let calls, a step or an operation fail, as faults.Rule describes."""
        self._call("POST", "faults", rule)

    def heal(self) -> None:
        """Forget all faults."""
        self._call("DELETE", "faults")

    def _call(self, method: str, about: str, body: Any = None) -> Any:
        url = f"{self.environment['EMULATOR']}/emulator/{about}"
        data = json.dumps(body).encode() if body else None
        with DIRECT.open(urllib.request.Request(url, data, method=method), timeout=60) as answer:  # noqa: S310
            content = answer.read()
        return json.loads(content) if content else None


@contextmanager
def started(python: Path, folder: Path, *options: str, steps: Path | None = None) -> Iterator[Session]:
    """Start an emulator that keeps its state in a folder and runs steps with that other Python; end it in the end."""
    command = [python, "-m", "azureml_emulator", "--folder", folder, "--python", steps or python, *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Session(_variables(process))
        finally:
            process.terminate()
    if process.returncode:
        raise RuntimeError(f"The emulator ended with exit code {process.returncode}.")


def _variables(process: "subprocess.Popen[str]") -> dict[str, str]:
    """Read the lines for a shell that it prints when it is ready."""
    assert process.stdout is not None
    variables: dict[str, str] = {}
    for line in process.stdout:
        name, _, value = line.removeprefix("export ").partition("=")
        variables[name] = "".join(shlex.split(value))
        if name == "EMULATOR":
            return variables
    raise RuntimeError("The emulator ended before it was ready.")
