"""Other pipelines that a pipeline names: which of their runs it is about, and whether one of them starts it.

learn.microsoft.com/azure/devops/pipelines/yaml-schema/resources-pipelines-pipeline
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from .errors import PipelineError
from .templates import Names

OF_A_PIPELINE = {"pipeline", "source", "trigger"}


class Run(NamedTuple):
    """A run of a pipeline, as another pipeline sees it."""

    file: str
    number: str
    result: str
    branch: str


def pipelines(written: Any) -> list[Names]:
    """Return the pipelines among the resources. There are no other kinds here."""
    if unknown := set(written or {}) - {"pipelines"}:
        raise PipelineError(f"Resources of the kind {', '.join(sorted(unknown))} are not known here.")
    found = list((written or {}).get("pipelines", []))
    for one in found:
        if unknown := set(one) - OF_A_PIPELINE:
            raise PipelineError(f"Resource {one.get('pipeline')} has unknown {', '.join(sorted(unknown))}.")
        if "${{" in str(one):
            raise PipelineError(f"Resource {one['pipeline']}: expressions are not expanded there.")
    return found


def variables(declared: list[Names], names: Mapping[str, str], runs: list[Run], after: Run | None) -> dict[str, str]:
    """Return what jobs are told of each: about the run that started this one, or else about the latest good one."""
    told = {"resources.triggeringAlias": "", "resources.triggeringCategory": ""}
    for one in declared:
        alias, file = one["pipeline"], names.get(one["source"])
        if file is None:
            raise PipelineError(f"There is no pipeline {one['source']!r}.")
        if after and starts(one.get("trigger", "none"), after) and after.file == file:
            told |= {"resources.triggeringAlias": alias, "resources.triggeringCategory": "pipeline"}
            chosen = after
        else:
            chosen = next((run for run in reversed(runs) if run.file == file and good(run)), None)
        if chosen is None:
            raise PipelineError(f"There is no run of {one['source']} to choose for resource {alias}.")
        about = f"resources.pipeline.{alias}."
        told[f"{about}pipelineID"] = str(list(names).index(one["source"]) + 1)
        told |= {f"{about}pipelineName": one["source"], f"{about}runID": chosen.number}
        told |= {f"{about}sourceBranch": chosen.branch}
    if after and not told["resources.triggeringAlias"]:
        raise PipelineError(f"This does not start when {after.file} ends as {after.result} on {after.branch}.")
    return told


def starts(trigger: Any, run: Run) -> bool:
    """Whether a run that ended starts what has this trigger. Only whole names of branches are known here."""
    match trigger:
        case "none":
            return False
        case "true":
            return good(run)
        case {"branches": {"include": list(branches), **others}, **filters} if not (others or filters):
            return good(run) and run.branch in [f"refs/heads/{branch}" for branch in branches]
    raise PipelineError(f"A trigger that is not known here: {trigger}")


def good(run: Run) -> bool:
    return run.result in ("Succeeded", "SucceededWithIssues")
