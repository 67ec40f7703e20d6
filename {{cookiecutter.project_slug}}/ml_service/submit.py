"""Run the training pipeline of this build, unless it runs or ran already."""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from azureml.core import Workspace
from azureml.pipeline.core import PipelineRun, PublishedPipeline

from {{ cookiecutter.package_name }}.program import UserError

from . import settings, training_pipeline
from .dataset import get_dataset
from .program import parser, persist, program, status
from .published import published
from .settings import Settings
from .workspace import get_workspace

log = logging.getLogger(__name__)
UNSUCCESSFUL = ("Failed", "Canceled", "CancelRequested")


def runs(workspace: Workspace, pipeline: PublishedPipeline) -> list[PipelineRun]:
    """Return the runs that a build has of its pipeline. Those that others have started count where it has none."""
    found: list[PipelineRun] = PipelineRun.get_pipeline_runs(workspace, pipeline.id)
    return [run for run in found if run.get_tags().get("build_id") == pipeline.version] or found


def successful(runs: list[PipelineRun]) -> list[PipelineRun]:
    """Return the runs that have not failed, so far."""
    return [run for run in runs if run.get_status() not in UNSUCCESSFUL]


def submit_once(workspace: Workspace, settings: Settings, name: str, start: Callable[[], PipelineRun]) -> PipelineRun:
    """Return the run that this build has of a pipeline, or start it. One that failed is no obstacle: try again."""
    pipeline = published(workspace, name, settings.build_id)
    found = successful(runs(workspace, pipeline)) if pipeline else []
    run = found[0] if found else start()
    run.set_tags({name: getattr(settings, name) for name in ("build_id", "build_uri", "caller_run_id")})
    told = "Build %s has its run already: %s" if found else "Build %s has started its run: %s"
    log.info(told, settings.build_id, run.get_portal_url())
    return run


def start(workspace: Workspace, settings: Settings) -> PipelineRun:
    """Start a run of this build on the data that the settings name."""
    dataset = get_dataset(workspace, settings)  # before publishing, which would register the sample where there is none
    pipeline = training_pipeline.publish(workspace, settings)
    values = {**training_pipeline.values(settings), "dataset_version": dataset}
    return run_published(workspace, settings, pipeline, values)


def submit(settings: Settings) -> PipelineRun:
    """Return the run of this build, or start it."""
    workspace = get_workspace(settings)
    return submit_once(workspace, settings, settings.training_pipeline_name, lambda: start(workspace, settings))


def run_published(
    workspace: Workspace, settings: Settings, pipeline: PublishedPipeline, values: dict[str, Any]
) -> PipelineRun:
    """Start a run of a published pipeline."""
    try:
        return pipeline.submit(workspace, settings.experiment_name, values)
    except Exception as error:
        if status(error) != HTTPStatus.NOT_FOUND:
            raise
        raise UserError(
            f"Pipeline {pipeline.id} is gone or was disabled: run this again to publish it anew."
        ) from error


def main() -> None:
    arguments = parser(__doc__).parse_args()
    with program(arguments.debug):
        chosen = settings.read()
        persist(lambda: submit(chosen))


if __name__ == "__main__":
    main()
