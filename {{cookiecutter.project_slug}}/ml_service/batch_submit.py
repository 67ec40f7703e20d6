"""Score files on the cluster for this build, unless that runs or ran already."""

import argparse
import logging
from pathlib import Path

from azureml.core import Workspace
from azureml.pipeline.core import PipelineRun

from {{ cookiecutter.package_name }}.choose import add_choice, choose
from {{ cookiecutter.package_name }}.program import UserError
from {{ cookiecutter.package_name }}.registry import Version

from . import batch_pipeline, batch_settings, judged, model_of_build
from .batch_settings import BatchSettings
from .program import parser, persist, program
from .submit import run_published, submit_once
from .workspace import get_workspace, mlflow_client

log = logging.getLogger(__name__)
SCORED_BY, READS = "scored_by", "reads"  # tags of the run


def choose_version(workspace: Workspace, settings: BatchSettings, chosen: argparse.Namespace) -> Version:
    """Return the version that scores, known before a node starts: all of them have the same one, whatever comes."""
    client = mlflow_client(workspace)
    if chosen.model:
        if named := chosen.model_version or chosen.model_tag_name or chosen.model_tag_value:
            raise UserError(f"--model is {chosen.model}, and {named} is asked for, too: give one of them.")
        return judged.find(client, model_of_build.read(chosen.model))
    chosen.model_name = chosen.model_name or settings.model_name
    return choose(client, chosen)


def start(workspace: Workspace, settings: BatchSettings, version: Version) -> PipelineRun:
    """Start a run of this build on the files that the settings name."""
    rows = batch_pipeline.get_rows(workspace, settings)
    pipeline = batch_pipeline.publish(workspace, settings)
    log.info("Scoring with %s.", version)
    values = {"model_name": version.name, "model_version": str(version.number), "batch_data": rows}
    run = run_published(workspace, settings, pipeline, values)
    run.set_tags({SCORED_BY: str(version), READS: settings.batch_input})
    return run


def submit(settings: BatchSettings, chosen: argparse.Namespace) -> PipelineRun:
    """Return the run of this build, or start it."""
    workspace = get_workspace(settings)
    version = choose_version(workspace, settings, chosen)
    name = settings.batch_pipeline_name
    run = submit_once(workspace, settings, name, lambda: start(workspace, settings, version))
    named = chosen.model or chosen.model_version or chosen.model_tag_name
    if named and (scores := run.get_tags().get(SCORED_BY, str(version))) != str(version):
        raise UserError(f"That run scores with {scores}, not with {version}: start another build for that.")
    if (reads := run.get_tags().get(READS, settings.batch_input)) != settings.batch_input:
        raise UserError(f"That run scores {reads}, not {settings.batch_input}: start another build for that.")
    return run


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--model", type=Path, help="what `wait` wrote: score with exactly that version")
    add_choice(arguments)
    arguments.set_defaults(model_name=None)
    chosen = arguments.parse_args()
    with program(chosen.debug):
        build = batch_settings.read()
        persist(lambda: submit(build, chosen))


if __name__ == "__main__":
    main()
