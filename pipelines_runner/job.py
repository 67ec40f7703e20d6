"""One job while it runs: its folders, its variables, and what steps told the agent."""

import os
import re
import subprocess
from pathlib import Path

from .errors import PipelineError
from .templates import Names

MACRO = re.compile(r"\$\(([A-Za-z_][\w.-]*)\)")
COMMAND = re.compile(r"##vso\[([\w.]+)\s*([^\]]*)\](.*)")
KINDS_OF_STEP = ("task", "script", "bash", "publish", "download", "checkout")
OF_A_STEP = {*KINDS_OF_STEP, "fetchDepth", "artifact", "displayName", "name", "inputs"}
OF_A_STEP |= {"condition", "env", "failOnStderr", "retryCountOnTaskFailure", "timeoutInMinutes", "workingDirectory"}
CONNECTIONS = {"azureSubscription", "containerRegistry"}
UNESCAPED = {"%0D": "\r", "%0A": "\n", "%AZP25": "%"}


class Job:
    """The agent's folders are those of the predefined variables; what a step prints may set more."""

    def __init__(
        self,
        folder: Path,
        *,
        variables: dict[str, str],
        environment: dict[str, str],
        connections: frozenset[str],
        artifacts: Path,
        on_server: bool,
    ) -> None:
        self.workspace, self.artifacts = folder, artifacts
        self.sources, self.results = folder / "s", folder / "TestResults"
        self.environment, self.connections, self.on_server = environment, connections, on_server
        self.variables = {
            "Agent.OS": "Linux",
            "Agent.TempDirectory": str(folder / "temp"),
            "Build.SourcesDirectory": str(self.sources),
            "Common.TestResultsDirectory": str(self.results),
            "Pipeline.Workspace": str(folder),
            "System.AccessToken": "token of the job",
            "System.DefaultWorkingDirectory": str(self.sources),
            "System.OidcRequestUri": "https://dev.azure.com/contoso/oidctoken",
            "TF_BUILD": "True",
            **variables,
        }
        self.known_before = dict(self.variables)  # connections are looked up before a job starts
        self.steps: list[Step] = []
        self.outputs: dict[str, str] = {}
        self.path: list[str] = []
        self.secrets = {"System.AccessToken"}
        self.failed = self.issues = False

    def artifact(self, name: str, build: str = "") -> Path:
        """Return the folder in which an artifact is kept: of this build, or of another."""
        return (self.artifacts.parent / f"artifacts-{build}" if build else self.artifacts) / name

    def connection(self, written: str) -> str:
        """Return the name of a service connection, which must exist, and be known before the job starts."""
        name = MACRO.sub(lambda match: self.known_before.get(match[1], match[0]), written)
        if name not in self.connections:
            raise PipelineError(f"There is no service connection {name!r}.")
        return name

    def fill(self, value: str, depth: int = 0) -> str:
        """Put variables in the place of ``$(NAME)``. One that nobody defined is an error, where the agent keeps it."""

        def found(match: re.Match[str]) -> str:
            known = {name.lower(): value for name, value in {**self.outputs, **self.variables}.items()}
            if match[1].lower() not in known:
                raise PipelineError(f"$({match[1]}) is not defined.")
            if depth > 10:
                raise PipelineError(f"$({match[1]}) is defined by itself.")
            return self.fill(known[match[1].lower()], depth + 1)

        return MACRO.sub(found, value)

    def exported(self) -> dict[str, str]:
        """Return the environment of a script: variables by name in capitals, dots as underscores; but no secrets."""
        known = {name: value for name, value in self.variables.items() if name not in self.secrets}
        own = {re.sub(r"[. ]", "_", name).upper(): self.fill(value) for name, value in known.items()}
        path = os.pathsep.join([*reversed(self.path), self.environment["PATH"]])
        return {**self.environment, **own, "PATH": path}


class Step:
    """One step: what is written, and what came of it."""

    def __init__(self, written: Names, job: Job) -> None:
        if unknown := set(written) - OF_A_STEP:
            raise PipelineError(f"A step has unknown {', '.join(sorted(unknown))}: {written}")
        self.written, self.job = written, job
        self.result, self.told = "", ""
        self.asked_for = ""

    @property
    def name(self) -> str:
        return str(self.written.get("displayName", ""))

    def inputs(self, *known: str) -> dict[str, str]:
        """Return the inputs of a task, variables filled in. One that the task does not have is an error."""
        for name in CONNECTIONS & set(self.written.get("inputs", {})):
            self.job.connection(self.written["inputs"][name])
        written = self.written.get("inputs", {})
        if unknown := set(written) - set(known):
            raise PipelineError(f"Task {self.written['task']} has no input {', '.join(sorted(unknown))}.")
        return {name: self.job.fill(str(value)) for name, value in written.items()}

    def shell(self, script: str, **environment: str) -> None:
        """Run a script in bash where the sources are, and do what it tells the agent."""
        if self.job.on_server:
            raise PipelineError(f"{self.name!r} needs an agent, and its job has none.")
        env = {name: self.job.fill(str(value)) for name, value in self.written.get("env", {}).items()}
        ended = subprocess.run(
            ["/bin/bash", "--noprofile", "--norc", "-c", self.job.fill(script)],
            cwd=self.job.sources,
            env={**self.job.exported(), **env, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        self.tell(ended.stdout.decode(errors="replace"))
        if ended.returncode:
            self.fail(f"exited with {ended.returncode}")

    def tell(self, told: str) -> None:
        """Keep what was printed, and follow the commands in it. A secret's command is not kept."""
        for line in told.splitlines(keepends=True):
            if command := COMMAND.search(line):
                given = properties(command[2])
                self.follow(command[1], given, unescape(command[3]))
                if given.get("issecret") == "true":
                    self.job.secrets.add(given["variable"])
                    continue
            self.told += line

    def follow(self, command: str, given: dict[str, str], value: str) -> None:
        match command:
            case "task.setvariable" if given.get("isOutput", "").lower() == "true":
                if "name" in self.written:  # the agent keeps outputs of steps without a name under a name of its own
                    self.job.outputs[f"{self.written['name']}.{given['variable']}"] = value
            case "task.setvariable":
                self.job.variables[given["variable"]] = value
            case "task.prependpath":
                self.job.path.append(value)
            case "task.complete":
                self.asked_for = given["result"]
            case "task.logissue":
                pass
            case _:
                raise PipelineError(f"##vso[{command}] is not known here.")

    def fail(self, why: str) -> None:
        self.told += f"\n##[error]{why}\n"
        self.result = "Failed"

    def finish(self) -> None:
        """Let the job know how the step ended."""
        self.result = self.result or self.asked_for or "Succeeded"
        self.job.failed |= self.result == "Failed"
        self.job.issues |= self.result == "SucceededWithIssues"


def properties(written: str) -> dict[str, str]:
    return dict(one.split("=", 1) for one in written.split(";") if "=" in one)


def unescape(value: str) -> str:
    for code, character in UNESCAPED.items():
        value = value.replace(code, character)
    return value


def report(steps: list[Step]) -> str:
    """Return all that was printed, for a person who looks for what went wrong."""
    return "\n".join(f"== {step.name}: {step.result}\n{step.told}" for step in steps)
