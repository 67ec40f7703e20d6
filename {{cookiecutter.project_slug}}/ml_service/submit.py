"""Run the training pipeline of this build, unless it runs or ran already."""

import logging

from azureml.core import Workspace
from azureml.pipeline.core import PipelineRun, PublishedPipeline

from . import settings, training_pipeline
from .dataset import get_dataset
from .program import parser, persist, program
from .settings import Settings
from .workspace import get_workspace

log = logging.getLogger(__name__)
UNSUCCESSFUL = ("Failed", "Canceled", "CancelRequested")


def runs(workspace: Workspace, pipeline: PublishedPipeline) -> list[PipelineRun]:
    """Return the runs of a published pipeline."""
    found: list[PipelineRun] = PipelineRun.get_pipeline_runs(workspace, pipeline.id)
    return found


def successful(runs: list[PipelineRun]) -> list[PipelineRun]:
    """Return the runs that have not failed, so far."""
    return [run for run in runs if run.get_status() not in UNSUCCESSFUL]


def submit(workspace: Workspace, settings: Settings) -> PipelineRun:
    """Return the run of this build, or start it. One that failed is no obstacle: it may be tried again."""
    pipeline = training_pipeline.publish(workspace, settings)
    if found := successful(runs(workspace, pipeline)):
        log.info("Build %s has its run already: %s", settings.build_id, found[0].get_portal_url())
        return found[0]
    dataset = get_dataset(workspace, settings)
    values = training_pipeline.values(settings)
    run = pipeline.submit(workspace, settings.experiment_name, {**values, "dataset_version": dataset})
    run.set_tags({name: values[name] for name in ("build_id", "build_uri", "caller_run_id")})
    log.info("Submitted run %s: %s", run.id, run.get_portal_url())
    return run


def main() -> None:
    arguments = parser(__doc__).parse_args()
    with program(arguments.debug):
        chosen = settings.read()
        if chosen.model_build_id:
            log.info("Nothing to run: the model of build %s is used.", chosen.model_build_id)
            return
        persist(lambda: submit(get_workspace(chosen), chosen))


if __name__ == "__main__":
    main()
