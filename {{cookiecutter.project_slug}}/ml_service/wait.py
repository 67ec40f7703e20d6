"""Wait for the run of this build, and write model.json: the version that is to serve.

It can be stopped and started again at any time. docs/getting-started.md says how it ends.
"""

import argparse
import contextlib
import logging
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from azureml.core import Workspace
from azureml.pipeline.core import PipelineRun, StepRun
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from {{ cookiecutter.package_name }}.outcome import FILE, Outcome
from {{ cookiecutter.package_name }}.pipeline import TRAINING
from {{ cookiecutter.package_name }}.program import UserError

from . import judged, settings
from .program import parser, persist, program, quote
from .published import published
from .settings import Settings
from .submit import UNSUCCESSFUL, runs, successful
from .workspace import get_workspace, mlflow_client

log = logging.getLogger(__name__)
FINISHED = ("Finished", "Completed")
LOG = "user_logs/std_log.txt"


def run_of_build(workspace: Workspace, name: str, build_id: str, remedy: str, run_id: str | None) -> PipelineRun:
    """Return the run to wait for: the one that the build has of a pipeline, or the one named where it has several."""
    pipeline = published(workspace, name, build_id)
    found = runs(workspace, pipeline) if pipeline else []
    if not found:
        raise UserError(f"Build {build_id} has no run: {remedy}.")
    chosen = [run for run in found if run.id == run_id] if run_id else successful(found) or found[:1]
    if not chosen:
        raise UserError(f"Build {build_id} has no run {run_id}; it has {', '.join(run.id for run in found)}.")
    if len(chosen) > 1:
        remedy = "Name one with --run-id, or cancel all but one in the studio"
        raise UserError(f"Build {build_id} has {len(chosen)} runs: {', '.join(run.id for run in chosen)}. {remedy}.")
    return chosen[0]


def follow(run: PipelineRun, order: Sequence[str], every: float) -> str:
    """Show how the steps go until the run ends, and return how it ended."""
    told: dict[str, str] = {}
    began = time.monotonic()
    while True:
        status, steps = persist(lambda: look(run))
        for name in (name for name in order if name in steps):
            if told.get(name) != steps[name]:
                told[name] = steps[name]
                log.info("%5.0f s  %-10s %s", time.monotonic() - began, name, steps[name])
        if status in FINISHED + UNSUCCESSFUL:
            return status
        time.sleep(min(every, 1 + (time.monotonic() - began) / 10))  # often at first: steps may be used again


def until_finished(client: MlflowClient, run: PipelineRun, order: Sequence[str], every: float) -> None:
    """Follow a run to its end, or raise why it was none to be glad of."""
    log.info("Run %s: %s", run.id, run.get_portal_url())
    status = follow(run, order, every)
    if status not in FINISHED:
        raise explain(client, run, status)


def look(run: PipelineRun) -> tuple[str, dict[str, str]]:
    """Return the status of a run, and of its steps by name; the run's first, so that the steps' are not older."""
    status: str = run.get_status()
    return status, {step.name: step.get_status() for step in run.get_steps()}


def explain(client: MlflowClient, run: PipelineRun, status: str) -> UserError:
    """Show the end of the log of the step that failed, and say which it was."""
    failed: StepRun | None = next((step for step in run.get_steps() if step.get_status() in UNSUCCESSFUL), None)
    if failed is None:
        return UserError(f"Run {run.id} ended as {status}: {run.get_portal_url()}")
    with contextlib.suppress(MlflowException, OSError):  # a step that never started has none
        quote(read_artifact(client, failed.id, LOG))
    return UserError(f"Step {failed.name} of run {run.id} ended as {status}: {failed.get_portal_url()}")


def read_artifact(client: MlflowClient, run_id: str, path: str) -> str:
    """Return the text of a file that a run has kept."""
    with tempfile.TemporaryDirectory() as folder:
        return Path(client.download_artifacts(run_id, path, folder)).read_text(encoding="utf-8", errors="replace")


def read_outcome(client: MlflowClient, run: PipelineRun) -> Outcome:
    """Return what became of the candidate."""
    (step,) = run.find_step_run(TRAINING[-1].name)
    return Outcome.model_validate_json(read_artifact(client, step.id, FILE))


def warn(text: str) -> None:
    """Warn where it is seen. The build still succeeds: one with issues is not promised to start other pipelines.

    The command: learn.microsoft.com/azure/devops/pipelines/scripts/logging-commands.
    """
    log.info("%s%s", "##vso[task.logissue type=warning]" if "TF_BUILD" in os.environ else "warning: ", text)


def wait(settings: Settings, run_id: str | None, every: float) -> Outcome:
    """Return what became of the candidate of a build once its run has ended, or raise why there is no saying."""
    workspace = persist(lambda: get_workspace(settings))
    client = mlflow_client(workspace)
    name, remedy = settings.training_pipeline_name, "`python -m ml_service.submit` starts one"
    run = persist(lambda: run_of_build(workspace, name, settings.build_id, remedy, run_id))
    until_finished(client, run, [step.name for step in TRAINING], every)
    outcome = persist(lambda: read_outcome(client, run))
    if (version := outcome.version) is not None:
        persist(lambda: judged.in_service(client, outcome.name, version))
    return outcome


def tell(outcome: Outcome) -> None:
    """Say which version is to serve, and tell the build whether it is a new one."""
    what = f"version {outcome.version} of {outcome.name}"
    if outcome.registered:
        log.info("Registered %s. %s", what, outcome.reason)
    else:
        warn(f"Model was not registered for this run. {outcome.reason}")
        log.info("No version may serve." if outcome.version is None else f"The champion stays: {what}.")
    if "TF_BUILD" in os.environ and outcome.version is not None:
        log.info("##vso[task.setvariable variable=MODEL_REGISTERED]%s", str(outcome.registered).lower())


def add_waiting(arguments: argparse.ArgumentParser) -> None:
    """Give a parser the flags of whatever waits for a run."""
    arguments.add_argument(
        "--every", default=15.0, type=float, metavar="SECONDS", help="look at least this often (%(default)s)"
    )
    arguments.add_argument("--run-id", help="the run that counts, where a build has several")


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--output", default=judged.FILE, type=Path, help="file to write (%(default)s)")
    add_waiting(arguments)
    chosen = arguments.parse_args()
    with program(chosen.debug):
        chosen.output.unlink(missing_ok=True)  # it is about another run
        build = settings.read()
        outcome = wait(build, chosen.run_id, chosen.every)
        if outcome.version is not None:
            judged.write(chosen.output, outcome.model_dump(exclude={"reason"}) | {"workspace": build.workspace})
        tell(outcome)


if __name__ == "__main__":
    main()
