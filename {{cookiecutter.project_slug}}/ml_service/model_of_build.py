"""Which version a pipeline is about that does not train: the one that a build of `ci.yml` has handed on.

``find`` looks for the build's model.json: the build that MODEL_BUILD_ID names, which is going back, or else the one
whose end started this pipeline. ``read`` tells other jobs what the file says, and of which build and commit they are. A
build that handed on no model, or one in another workspace, is a success, and nothing follows. Both the build and this
run must be of main, where changes are reviewed. Standard library only: a job that needs no more sets up no more.
"""

import argparse
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from environment_setup.azure_cli import variable

from {{ cookiecutter.package_name }}.program import UserError, program

from .azure_devops import ask, shown

log = logging.getLogger(__name__)
ARTIFACT = "model"
FILE = Path("model.json")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
NUMBER = re.compile(r"[0-9]{1,10}")
COMMIT = re.compile(r"[0-9a-f]{40,64}")
DIGEST = re.compile(r"[0-9a-f]{64}")
WORKSPACE = re.compile(r"[\w.()-]{1,90}/[\w-]{1,33}")
MAIN = "refs/heads/main"
ENDED_WELL = ("succeeded", "partiallySucceeded")


def chosen() -> str:
    """Return the number of the build."""
    asked = variable("MODEL_BUILD_ID")
    if asked and not NUMBER.fullmatch(asked):
        raise UserError(f"modelBuildId is {shown(asked)}: it must be the number of a build, as its address has it.")
    if not asked and variable("BUILD_REASON") != "ResourceTrigger":
        raise UserError("No build has started this run: name one with modelBuildId. The latest is never taken for it.")
    return asked or variable("RESOURCES_PIPELINE_CI_RUNID")


def find(build: str) -> dict[str, Any]:
    """Return a build. One that will not do, or is gone, is an error."""
    found = ask(f"builds/{build}")
    if not found or found.get("deleted"):
        raise UserError(f"There is no build {build} in this project, or it was deleted: name another.")
    if str(dict(found.get("definition") or {}).get("id")) != variable("RESOURCES_PIPELINE_CI_PIPELINEID"):
        wanted = variable("RESOURCES_PIPELINE_CI_PIPELINENAME")
        raise UserError(f"Build {build} is of another pipeline: name one of {wanted}.")
    if found.get("sourceBranch") != MAIN:
        raise UserError(f"Build {build} is of {shown(found.get('sourceBranch'))}: name one of main.")
    if found.get("status") != "completed":
        raise UserError(f"Build {build} has not ended: wait for it.")
    if found.get("result") not in ENDED_WELL:
        raise UserError(f"Build {build} ended with {shown(found.get('result'))}: name one that succeeded.")
    if not COMMIT.fullmatch(str(found.get("sourceVersion"))):
        raise UserError(f"Build {build} is of commit {shown(found.get('sourceVersion'))}, which is none: name another.")
    return found


def has_model(build: str) -> bool:
    artifacts = (ask(f"builds/{build}/artifacts") or {}).get("value") or []
    return ARTIFACT in [one.get("name") for one in artifacts]


def read(file: Path = FILE) -> dict[str, Any]:
    """Return what model.json holds, or say what is wrong with it."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{file} is missing: `python -m ml_service.wait` writes it.") from error
    except ValueError as error:
        raise UserError(f"{file} is not JSON: {error}. Name another build.") from error
    content = content if isinstance(content, dict) else {}
    right: dict[str, Callable[[Any], Any]] = {
        "name": lambda value: isinstance(value, str) and NAME.fullmatch(value),
        "version": lambda value: type(value) is int and value > 0,
        "registered": lambda value: isinstance(value, bool),
        "model_digest": lambda value: isinstance(value, str) and DIGEST.fullmatch(value),
        "workspace": lambda value: isinstance(value, str) and WORKSPACE.fullmatch(value),
    }
    for key, is_right in right.items():
        if not is_right(content.get(key)):
            raise UserError(f"{file} says {shown(content.get(key))} for {key}, which cannot be. Name another build.")
    return content


def is_here(workspace: str) -> bool:
    """Tell whether a model is of this run's workspace: a build may be about another variable group."""
    here = f"{variable('RESOURCE_GROUP')}/{variable('WORKSPACE_NAME')}"
    if workspace == here:
        return True
    told = f"The build's model is in workspace {shown(workspace)}, and this run is about {shown(here)}"
    if variable("MODEL_BUILD_ID"):
        raise UserError(f"{told}: choose the variableGroup that the build had.")
    log.info("%s: nothing to do. To use it, name the build and its variableGroup.", told)
    return False


def outputs() -> dict[str, str]:
    """Return what other jobs are told: the model, and the build and commit whose code they bring, if there is one.

    A run by hand brings a number of its own, so that what is older than it cannot come after it.
    """
    if not FILE.exists() or not is_here((model := read())["workspace"]):
        return {"FOUND": "false"}
    log.info("Version %d of %s.", model["version"], model["name"])
    going_back = bool(variable("MODEL_BUILD_ID"))
    by_hand = going_back or variable("BUILD_REASON") != "ResourceTrigger"
    return {
        "FOUND": "true",
        "MODEL_NAME": model["name"],
        "MODEL_VERSION": str(model["version"]),
        "REGISTERED": str(model["registered"]).lower(),
        "BUILD": variable("BUILD_BUILDID") if by_hand else variable("RESOURCES_PIPELINE_CI_RUNID"),
        "COMMIT": variable("COMMIT_OF_BUILD") or variable("BUILD_SOURCEVERSION"),
        "GOING_BACK": str(going_back).lower(),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("action", choices=("find", "read"))
    action = arguments.parse_args().action
    with program():
        if (branch := variable("BUILD_SOURCEBRANCH")) != MAIN:
            raise UserError(f"This run is of {shown(branch)}: start it on main.")
        if action == "read":
            for name, value in outputs().items():
                log.info("##vso[task.setvariable variable=%s;isOutput=true]%s", name, value)
            return
        FILE.unlink(missing_ok=True)  # it would be of another build
        build = chosen()
        commit = find(build)["sourceVersion"]
        if has_model(build):
            log.info("##vso[task.setvariable variable=MODEL_OF]%s", build)
            log.info("##vso[task.setvariable variable=COMMIT_OF_BUILD]%s", commit)
            which = "Going back to build" if variable("MODEL_BUILD_ID") else "After build"
            log.info("%s %s: the version that it handed on, with the code of commit %s.", which, build, commit)
        else:
            log.info("Build %s handed on no model: nothing to do.", build)


if __name__ == "__main__":
    main()
