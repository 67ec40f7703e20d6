"""Run an expanded pipeline: stages and jobs in order, each job in a fresh copy of the repository, step by step."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from .errors import PipelineError
from .expressions import evaluate, text, true
from .job import KINDS_OF_STEP, Job, Step
from .locks import APPROVAL, BEHAVIORS, LOCK, Locks
from .resources import Run, pipelines
from .resources import variables as of_resources
from .templates import Expansion, Known, Names

SUCCEEDED, WITH_ISSUES, FAILED = "Succeeded", "SucceededWithIssues", "Failed"
SKIPPED, CANCELED = "Skipped", "Canceled"
RUNS = "runs"
GOOD = (SUCCEEDED, WITH_ISSUES)
OF_A_JOB = {
    "job", "displayName", "dependsOn", "condition", "timeoutInMinutes", "variables", "pool", "container", "steps"
}  # fmt: skip
OF_A_DEPLOYMENT = (OF_A_JOB - {"job"}) | {"deployment", "environment"}
OF_A_STAGE = {"stage", "displayName", "dependsOn", "condition", "variables", "jobs", "lockBehavior"}
RUNTIME = re.compile(r"\$\[(.*)\]", re.DOTALL)
NO_COMMIT = "0" * 40
INVOKE = "ms-air-aiagility.vss-services-azureml.azureml-restApi-task.MLPublishedPipelineRestAPITask@0"
ON_SERVER = {"ManualValidation@1", INVOKE}  # tasks that run without an agent, and only so
Tasks = Mapping[str, Callable[[Step], None]]


@dataclass
class Ran:
    """How a stage or a job ended, its steps and what they set."""

    result: str
    jobs: dict[str, "Ran"] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    environment: str = ""  # to which a deployment job deploys
    checks: tuple[str, ...] = ()  # of environments, that a stage passed before its jobs started


@dataclass
class Build:
    """How a build ended. ``result`` is what Azure DevOps shows, ``artifacts`` the folder of what was published."""

    stages: dict[str, Ran]
    artifacts: Path
    number: str
    file: str
    branch: str
    commit: str = NO_COMMIT
    given: dict[str, Any] = field(default_factory=dict)  # parameters
    after: "Build | None" = None  # whose end started it

    @property
    def result(self) -> str:
        return worst([stage.result for stage in self.stages.values()])

    def job(self, name: str) -> Ran:
        """Return a job by ``stage.job``."""
        stage, _, job = name.rpartition(".")
        return self.stages[stage].jobs[job]

    def steps(self) -> list[Step]:
        return [step for stage in self.stages.values() for job in stage.jobs.values() for step in job.steps]


class Going:
    """A run under way. It goes on when it is told to, so that a test has others come in between."""

    def __init__(self, build: Build, events: Iterator[tuple[str, str]]) -> None:
        self.build, self.events = build, events
        self.at = ("", "")

    def until(self, stage: str, event: str) -> "Going":
        """Go on until a stage asks for an approval, waits for a lock, or runs: its jobs are done, its locks held."""
        while self.at != (stage, event):
            before, self.at = self.at, next(self.events, ("", ""))
            if not self.at[0] or (before == self.at and self.at[1] == LOCK):
                raise PipelineError(f"Run {self.build.number} is not at {event} of {stage}, but at {before}.")
        return self

    def end(self) -> Build:
        """Go on to the end, all approvals given. A lock that somebody else holds keeps a run from it."""
        for at in self.events:
            if at == self.at and at[1] == LOCK:
                raise PipelineError(f"Run {self.build.number} waits for a lock before {at[0]}.")
            self.at = at
        return self.build


def worst(results: list[str]) -> str:
    return next((bad for bad in (CANCELED, FAILED, WITH_ISSUES) if bad in results), SUCCEEDED if results else SKIPPED)


@dataclass
class Agent:
    """Where builds run: the repository, what the organisation knows, and what stands in for tasks."""

    root: Path
    folder: Path
    tasks: Tasks
    groups: dict[str, Names]
    connections: frozenset[str]
    environment: dict[str, str]
    predefined: dict[str, str]
    canceled: tuple[str, ...] = ()  # jobs, as stage.job, that somebody cancels when they start
    pipelines: Mapping[str, str] = field(default_factory=dict)  # by their names in the organisation, the files
    builds: list[Build] = field(default_factory=list)  # all there were
    leases: dict[str, list[int]] = field(default_factory=dict)  # by the number of a build, for how many days it is kept
    checks: Mapping[str, set[str]] = field(default_factory=dict)  # by environments: what they have, of CHECKS
    locks: Locks = field(default_factory=Locks)
    lapsed: tuple[str, ...] = ()  # environments whose approval nobody gives in time: Azure DevOps skips the stage

    def run(self, file: str, *, number: str = "", after: Build | None = None, **given: Any) -> Build:
        """Run a root pipeline with these values of its parameters; a build with the number of another is its re-run.

        It starts by hand, or since another build has ended, which must be one that starts it.
        """
        return self.start(file, number=number, after=after, **given).end()

    def rerun(self, build: Build) -> Build:
        """Rerun failed jobs, with a build's number, artifacts and parameters, and all that depends on them.

        What succeeded before is not run again, and keeps its outputs.
        """
        return self.start(build.file, number=build.number, after=build.after, former=build, **build.given).end()

    def start(
        self, file: str, *, number: str = "", after: Build | None = None, former: Build | None = None, **given: Any
    ) -> Going:
        """Start a run that goes on step by step."""
        attempts = len(list(self.folder.glob("build-*"))) + 1
        folder = self.folder / f"build-{attempts}"
        folder.mkdir(parents=True)
        of = after or former
        commit = of.commit if of else commit_of(self.root)
        predefined = {**self.predefined, "Build.BuildId": number or str(attempts), "Build.SourceVersion": commit}
        known = list(self.pipelines.values())
        predefined["System.DefinitionId"] = str(known.index(file) + 1 if file in known else 0)
        if after:
            predefined |= {"Build.Reason": "ResourceTrigger", "Build.SourceBranch": after.branch}
        root = source(self.root, commit, folder / "sources")
        pipeline = Expansion(root).pipeline(file, given, predefined, self.groups)
        runs = [Run(one.file, one.number, one.result, one.branch) for one in self.builds]
        cause = runs[self.builds.index(after)] if after else None
        predefined |= of_resources(pipelines(pipeline.get("resources")), self.pipelines, runs, cause)
        variables = {**predefined, **pipeline["variables"]}
        number = predefined["Build.BuildId"]
        artifacts, branch = self.folder / f"artifacts-{number}", predefined.get("Build.SourceBranch", "")
        build = Build({}, artifacts, number, file, branch, commit, given, after)
        return Going(build, self.stages(build, pipeline, variables, Place(root, folder, artifacts), former))

    def stages(
        self, build: Build, pipeline: Names, variables: dict[str, str], place: "Place", former: Build | None
    ) -> Iterator[tuple[str, str]]:
        """Run the stages, and yield each time before somebody else may be waited for, or come in between."""
        written, kept = pipeline["stages"], former.stages if former else {}
        by_default = {stage["stage"]: [earlier["stage"]] for earlier, stage in pairwise(written)}
        for stage, earlier in in_order(written, "stage", by_default, build.stages):
            check_keys(stage, OF_A_STAGE)
            name, before = stage["stage"], kept.get(stage["stage"], Ran(SKIPPED))
            own = {**variables, **strings(stage.get("variables"))}
            names = {"variables": Known(own), "dependencies": Known(named_results(earlier.direct))}
            if before.result in GOOD and all(kept.get(one) is ran for one, ran in earlier.ancestors.items()):
                build.stages[name] = before
            elif not true(evaluate(stage.get("condition", "succeeded()"), names, status_of(earlier))):
                build.stages[name] = Ran(SKIPPED)
            else:
                environments = {job["environment"] for job in stage["jobs"] if "environment" in job}
                has = sorted((check, one) for one in environments for check in self.checks.get(one, ()))
                if environments.intersection(self.lapsed):
                    build.stages[name] = Ran(SKIPPED)
                    continue
                if any(check == APPROVAL for check, _ in has):
                    yield name, APPROVAL
                behavior = stage.get("lockBehavior", pipeline.get("lockBehavior", BEHAVIORS[0]))
                turn = self.locks.ask({one for check, one in has if check == LOCK}, behavior, int(build.number))
                while turn.waits:
                    yield name, LOCK
                if turn.canceled:
                    build.stages[name] = Ran(CANCELED)
                    continue
                build.stages[name] = self.stage(stage, earlier, own, place, before.jobs)
                build.stages[name].checks = tuple(f"{check} of {one}" for check, one in has)
                yield name, RUNS
                self.locks.free(turn)
        self.builds.append(build)

    def stage(
        self, stage: Names, earlier: "Earlier", variables: dict[str, str], place: "Place", former: dict[str, Ran]
    ) -> Ran:
        ran: dict[str, Ran] = {}
        from_stages = Known({name: Known(named_results(one.jobs)) for name, one in earlier.direct.items()})
        for job, needed in in_order([as_job(one) for one in stage["jobs"]], "job", {}, ran):
            known = {"variables": Known(variables), "dependencies": Known(named_results(needed.direct))}
            known["stageDependencies"] = from_stages
            before = former.get(job["job"], Ran(SKIPPED))
            if before.result in GOOD and all(former.get(name) is one for name, one in needed.ancestors.items()):
                ran[job["job"]] = before
            elif f"{stage['stage']}.{job['job']}" in self.canceled:
                ran[job["job"]] = Ran(CANCELED)
            elif true(evaluate(job.get("condition", "succeeded()"), known, status_of(needed, is_canceled(earlier)))):
                own = {name: runtime(value, known) for name, value in strings(job.get("variables")).items()}
                at = place._replace(folder=place.folder / f"{stage['stage']}-{job['job']}")
                ran[job["job"]] = self.job(job, {**variables, **own}, at)
            else:
                ran[job["job"]] = Ran(SKIPPED)
        outputs = {f"{name}.{output}": value for name, job in ran.items() for output, value in job.outputs.items()}
        return Ran(worst([job.result for job in ran.values() if job.result != SKIPPED]), ran, outputs=outputs)

    def job(self, job: Names, variables: dict[str, str], place: "Place") -> Ran:
        running = Job(
            place.folder,
            variables=variables,
            environment=self.environment,
            connections=self.connections,
            artifacts=place.artifacts,
            on_server=job.get("pool") == "server",
        )
        if not job.get("pool"):
            raise PipelineError(f"Job {job['job']} does not say where it runs.")
        if not running.on_server:
            if "environment" not in job or any(step.get("checkout") == "self" for step in job["steps"]):
                shutil.copytree(place.root, running.sources, symlinks=True)
            running.sources.mkdir(parents=True, exist_ok=True)
            running.results.mkdir()
        for step in job["steps"]:
            self.step(Step(step, running))
        result = FAILED if running.failed else WITH_ISSUES if running.issues else SUCCEEDED
        prefix = f"{job['job']}." if "environment" in job else ""
        outputs = {prefix + name: value for name, value in running.outputs.items()}
        return Ran(result, {}, running.steps, outputs, job.get("environment", ""))

    def step(self, step: Step) -> None:
        names = {"variables": {**step.job.variables, **step.job.outputs}}
        failed = step.job.failed
        status = {
            "succeeded": lambda: not failed,
            "succeededOrFailed": lambda: True,
            "failed": lambda: failed,
            "always": lambda: True,
            "canceled": lambda: False,
        }
        step.job.steps.append(step)
        if not true(evaluate(step.written.get("condition", "succeeded()"), names, status)):
            step.result = SKIPPED
            return
        task = next((name for name in KINDS_OF_STEP if name in step.written), "")
        kind = step.written[task] if task == "task" else task
        if (kind in ON_SERVER) != step.job.on_server:
            raise PipelineError(f"{kind} cannot run {'without' if step.job.on_server else 'on'} an agent.")
        if kind not in self.tasks:
            raise PipelineError(f"Nothing here stands in for {kind or list(step.written)}.")
        for _ in range(1 + int(step.written.get("retryCountOnTaskFailure", 0))):
            step.result = step.asked_for = ""
            self.tasks[kind](step)
            if FAILED not in (step.result, step.asked_for):
                break
        step.finish()


def commit_of(root: Path) -> str:
    """Return the commit that a repository is at; a folder without git is at none."""
    if not (root / ".git").exists():
        return NO_COMMIT
    words = ["git", "-C", str(root), "rev-parse", "HEAD"]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def source(root: Path, commit: str, folder: Path) -> Path:
    """Return a copy of the repository at a commit, with what git ignores; without git, the repository itself."""
    if commit_of(root) == NO_COMMIT:
        return root
    shutil.copytree(root, folder, symlinks=True)
    subprocess.run(["git", "-C", str(folder), "checkout", "--quiet", "--detach", commit], check=True)  # noqa: S607
    return folder


class Place(NamedTuple):
    """What a build or a job of it has on this machine: the sources, a folder to work in, and where artifacts are."""

    root: Path
    folder: Path
    artifacts: Path


class Earlier(NamedTuple):
    """What a stage or a job depends on: by itself, and however far."""

    direct: dict[str, Ran]
    ancestors: dict[str, Ran]


def is_canceled(earlier: Earlier) -> bool:
    return CANCELED in [ran.result for ran in earlier.ancestors.values()]


def status_of(earlier: Earlier, canceled: bool = False) -> dict[str, Callable[..., bool]]:
    """Return the status functions of a stage or a job: of all that it depends on, however far, or of those it names.

    In a canceled pipeline no job is taken to have succeeded:
    learn.microsoft.com/azure/devops/pipelines/process/expressions#succeeded
    """

    def results(names: tuple[str, ...]) -> list[str]:
        if absent := set(names) - set(earlier.direct):
            raise PipelineError(f"A condition asks for {', '.join(sorted(absent))}, which it does not depend on.")
        asked = [earlier.direct[name] for name in names] if names else earlier.ancestors.values()
        return [ran.result for ran in asked]

    return {
        "succeeded": lambda *names: not canceled and all(result in GOOD for result in results(names)),
        "succeededOrFailed": lambda *names: (
            not canceled and all(result in (*GOOD, FAILED) for result in results(names))
        ),
        "failed": lambda *names: FAILED in results(names),
        "always": lambda: True,
        "canceled": lambda: canceled or CANCELED in results(()),
    }


def named_results(earlier: dict[str, Ran]) -> Names:
    return {name: {"result": ran.result, "outputs": ran.outputs} for name, ran in earlier.items()}


def as_job(written: Names) -> Names:
    """Return a job, or a deployment job in the form of a job with an environment.

    Outputs of a deployment job stand under its name once more, and it fetches all artifacts unless it says which:
    learn.microsoft.com/azure/devops/pipelines/process/deployment-jobs
    """
    if "deployment" not in written:
        check_keys(written, OF_A_JOB)
        return written
    check_keys(written, OF_A_DEPLOYMENT)
    job = {("job" if key == "deployment" else key): value for key, value in written.items()}
    if job["job"].lower() in ("deploy", "deployment"):
        raise PipelineError(f"{job['job']} is a keyword, and no name of a deployment job.")
    if not isinstance(job.get("environment"), str) or not re.fullmatch(r"[\w. -]+", job["environment"]):
        raise PipelineError(f"Deployment job {job['job']} names no environment.")
    if not any("download" in step for step in job["steps"]):
        raise PipelineError(f"Deployment job {job['job']} would download every artifact: it needs `download: none`.")
    return job


def in_order(
    written: list[Names], kind: str, by_default: dict[str, list[str]], ran: dict[str, Ran]
) -> Iterator[tuple[Names, Earlier]]:
    """Yield each with what it depends on, once that has run; of several that could, the last, since none may mind."""
    left = {one[kind]: one for one in written}
    if len(left) < len(written):
        raise PipelineError(f"Two have the same name: {', '.join(one[kind] for one in written)}.")
    needs = {name: as_list(one.get("dependsOn", by_default.get(name))) for name, one in left.items()}
    if absent := {need for names in needs.values() for need in names} - set(left):
        raise PipelineError(f"Something depends on {', '.join(sorted(absent))}, which is not there.")
    while left:
        ready = [name for name in left if all(need in ran for need in needs[name])]
        if not ready:
            raise PipelineError(f"These wait for one another: {', '.join(left)}.")
        direct = needs[ready[-1]]
        ancestors = {name: ran[name] for name in all_of(direct, needs)}
        yield left.pop(ready[-1]), Earlier({need: ran[need] for need in direct}, ancestors)


def all_of(names: list[str], needs: dict[str, list[str]]) -> set[str]:
    """Return these names, and all that they need."""
    return set(names).union(*(all_of(needs[name], needs) for name in names))


def runtime(value: str, names: Names) -> str:
    """Return the value of a variable, ``$[ ]`` evaluated."""
    expression = RUNTIME.fullmatch(value.strip())
    return text(evaluate(expression[1], names)) if expression else value


def strings(written: Any) -> dict[str, str]:
    return {name: text(value) for name, value in (written or {}).items()}


def as_list(written: Any) -> list[str]:
    return [written] if isinstance(written, str) and written else list(written or [])


def check_keys(written: Names, known: set[str]) -> None:
    name = written.get("stage") or written.get("job") or written.get("deployment") or "_"
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise PipelineError(f"{name!r} is no name of a stage or a job: letters, digits and underscores.")
    if unknown := set(written) - known:
        raise PipelineError(f"{name} has unknown {', '.join(sorted(unknown))}.")
