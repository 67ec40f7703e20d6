"""Published pipelines: each build has one of a name, with the build's id as its version."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from azureml.core import Workspace
from azureml.pipeline.core import Pipeline, PublishedPipeline

from {{ cookiecutter.package_name }}.program import UserError, write_text

from .program import parser, persist, program
from .settings import Settings
from .workspace import get_workspace

S = TypeVar("S", bound=Settings)

log = logging.getLogger(__name__)


def published(workspace: Workspace, name: str, build_id: str) -> PublishedPipeline | None:
    """Return the published pipeline of a build, or None. Several are an error: nobody could say which ran."""
    found = [one for one in PublishedPipeline.list(workspace) if (one.name, one.version) == (name, build_id)]
    if len(found) > 1:
        ids = ", ".join(one.id for one in found)
        raise UserError(
            f"Build {build_id} has {len(found)} published pipelines {name}: disable all but one in the studio: {ids}."
        )
    return found[0] if found else None


def publish_once(workspace: Workspace, name: str, build_id: str, assemble: Callable[[], Pipeline]) -> PublishedPipeline:
    """Return the published pipeline of a build, or assemble and publish it."""
    if found := published(workspace, name, build_id):
        log.info(
            "Pipeline %s of build %s is published already, with the code of then; changed code needs another "
            "BUILD_BUILDID: %s",
            *(name, build_id, found.id),
        )
        return found
    pipeline = assemble()
    check(pipeline)
    new = pipeline.publish(name, version=build_id)
    log.info("Published pipeline %s for build %s: %s", name, build_id, new.id)
    return new


def check(pipeline: Pipeline) -> None:
    """Raise what the SDK finds wrong: left alone, it would publish what cannot run."""
    if findings := pipeline.validate():
        raise UserError(f"The pipeline is not valid: {'; '.join(map(str, findings))}")


def publish_program(
    description: str | None, read: Callable[[], S], publish: Callable[[Workspace, S], PublishedPipeline]
) -> None:
    """Be a program that publishes a pipeline for this build, with the settings that are read."""
    arguments = parser(description)
    arguments.add_argument("--output", type=Path, help="file to write its id to")
    chosen = arguments.parse_args()
    with program(chosen.debug):
        build = read()
        pipeline = persist(lambda: publish(get_workspace(build), build))
        if chosen.output:
            write_text(chosen.output, pipeline.id)
