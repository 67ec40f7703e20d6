"""Wait for the batch scoring of this build, and say how many rows it scored and where they are."""

import json
import logging

from . import batch_settings
from .batch_pipeline import PUBLISH, SCORE
from .batch_settings import BatchSettings
from .program import parser, persist, program
from .wait import add_waiting, read_artifact, run_of_build, until_finished
from .workspace import get_workspace, mlflow_client

log = logging.getLogger(__name__)
SUMMARY = "summary.json"  # kept with the step that publishes


def wait(settings: BatchSettings, run_id: str | None, every: float) -> str:
    """Say what a run did once it has ended, or raise why it failed."""
    workspace = persist(lambda: get_workspace(settings))
    client = mlflow_client(workspace)
    name, remedy = settings.batch_pipeline_name, "`python -m ml_service.batch_submit` starts one"
    run = persist(lambda: run_of_build(workspace, name, settings.build_id, remedy, run_id))
    until_finished(client, run, (SCORE, PUBLISH), every)
    (step,) = run.find_step_run(PUBLISH)
    summary = json.loads(persist(lambda: read_artifact(client, step.id, SUMMARY)))
    which = f"version {summary['model_version']} of {summary['model_name']}"
    done = f"{summary['rows']} rows of {summary['files'] - len(summary['failed'])} of {summary['files']} files"
    where = f"{summary['folder']} on {summary['datastore']}"
    return f"Scored with {which}: {done}, {summary['rejected']} rows rejected. Scores: {where}."


def main() -> None:
    arguments = parser(__doc__)
    add_waiting(arguments)
    chosen = arguments.parse_args()
    with program(chosen.debug):
        log.info(wait(batch_settings.read(), chosen.run_id, chosen.every))


if __name__ == "__main__":
    main()
