"""Which model a pipeline is about that does not train: the one of a build of `ci.yml`.

``find`` looks for the build's model.json: the build that MODEL_BUILD_ID names, or else the one whose end started this
pipeline; never the latest one. ``read`` tells other jobs what the file says. A build that registered no model, or one
in another workspace, is a success, and nothing follows. Both the build and this run must be of main, where changes are
reviewed. There is only the standard library here, so that a job that needs no more sets up no more.
"""

import argparse
import json
import logging
import os
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from {{ cookiecutter.package_name }}.program import UserError, program

log = logging.getLogger(__name__)
ARTIFACT = "model"
FILE = Path("model.json")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
NUMBER = re.compile(r"[0-9]{1,10}")
LONGEST = 10_000_000  # bytes of an answer
MAIN = "refs/heads/main"
ENDED_WELL = ("succeeded", "partiallySucceeded")


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Azure DevOps answers a token that it does not accept by sending to a page for logging in."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Do not follow: the token would go with it."""


def setting(name: str) -> str:
    """Return a variable of the environment, empty if Azure Pipelines hands it on as ``$(NAME)``, which means none."""
    value = os.environ.get(name, "").strip()
    return "" if value.startswith("$(") else value


def shown(value: object) -> str:
    """Return what somebody else wrote, short, and without commands to the build agent."""
    return f"{value!r:.60}".replace("##", "# #")


def chosen() -> str:
    """Return the number of the build."""
    if setting("BUILD_SOURCEBRANCH") != MAIN:
        raise UserError(f"This run is of {shown(setting('BUILD_SOURCEBRANCH'))}: start it on main.")
    asked = setting("MODEL_BUILD_ID")
    if asked and not NUMBER.fullmatch(asked):
        raise UserError(f"modelBuildId is {shown(asked)}: it must be the number of a build, as its address has it.")
    if not asked and setting("BUILD_REASON") != "ResourceTrigger":
        raise UserError("No build has started this run: name one with modelBuildId. The latest is never taken for it.")
    return asked or setting("RESOURCES_PIPELINE_CI_RUNID")


def ask(path: str) -> dict[str, Any] | None:
    """Return what Azure DevOps answers, or None if there is no such thing."""
    url = f"{setting('SYSTEM_COLLECTIONURI')}{setting('SYSTEM_TEAMPROJECTID')}/_apis/build/{path}?api-version=7.1"
    headers = {"Authorization": f"Bearer {setting('SYSTEM_ACCESSTOKEN')}", "Accept": "application/json"}
    opener = urllib.request.build_opener(NoRedirect)
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=60) as answer:  # noqa: S310
            return dict(json.loads(answer.read(LONGEST)))
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise UserError(f"Azure DevOps answered {error.code} when asked for {path}: run the job again.") from error
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"Azure DevOps gave no answer when asked for {path}: {type(error).__name__}.") from error


def find(build: str) -> bool:
    """Return whether a build has a model to hand on. One that will not do, or is gone, is an error."""
    found = ask(f"builds/{build}")
    if not found or found.get("deleted"):
        raise UserError(f"There is no build {build} in this project, or it was deleted: name another.")
    if str(dict(found.get("definition") or {}).get("id")) != setting("RESOURCES_PIPELINE_CI_PIPELINEID"):
        wanted = setting("RESOURCES_PIPELINE_CI_PIPELINENAME")
        raise UserError(f"Build {build} is of another pipeline: name one of {wanted}.")
    if found.get("sourceBranch") != MAIN:
        raise UserError(f"Build {build} is of {shown(found.get('sourceBranch'))}: name one of main.")
    if found.get("status") != "completed":
        raise UserError(f"Build {build} has not ended: wait for it.")
    if found.get("result") not in ENDED_WELL:
        raise UserError(f"Build {build} ended with {shown(found.get('result'))}: name one that succeeded.")
    artifacts = (ask(f"builds/{build}/artifacts") or {}).get("value") or []
    return ARTIFACT in [one.get("name") for one in artifacts]


def read() -> tuple[str, int, str]:
    """Return the name and the version that model.json holds, and the workspace that has them, if it says so."""
    try:
        content = json.loads(FILE.read_text(encoding="utf-8"))
        name, version, workspace = content["name"], content["version"], content.get("workspace", "")
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{FILE} does not name a model and its version: {type(error).__name__}.") from error
    if not isinstance(name, str) or not NAME.fullmatch(name) or type(version) is not int or version < 1:
        raise UserError(f"{FILE} names {shown(name)}, version {shown(version)}, which no registry holds.")
    return name, version, str(workspace)


def is_here(workspace: str) -> bool:
    """Tell whether a model is of this run's workspace: a build may be about another variable group."""
    here = f"{setting('RESOURCE_GROUP')}/{setting('WORKSPACE_NAME')}"
    if workspace in ("", here):
        return True
    told = f"The build's model is in workspace {shown(workspace)}, and this run is about {shown(here)}"
    if setting("MODEL_BUILD_ID"):
        raise UserError(f"{told}: choose the variableGroup that the build had.")
    log.info("%s: nothing to do. To use it, name the build and its variableGroup.", told)
    return False


def outputs() -> dict[str, str]:
    """Return what other jobs are told: the model, if there is one to go on with."""
    if not FILE.exists():
        return {"FOUND": "false"}
    name, version, workspace = read()
    if not is_here(workspace):
        return {"FOUND": "false"}
    log.info("Version %d of %s.", version, name)
    return {"FOUND": "true", "MODEL_NAME": name, "MODEL_VERSION": str(version)}


def tell(**outputs: str) -> None:
    """Hand on to other jobs."""
    for name, value in outputs.items():
        log.info("##vso[task.setvariable variable=%s;isOutput=true]%s", name, value)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("action", choices=("find", "read"))
    action = arguments.parse_args().action
    with program():
        if action == "find":
            FILE.unlink(missing_ok=True)  # it would be of another build
            build = chosen()
            if find(build):
                log.info("##vso[task.setvariable variable=MODEL_OF]%s", build)
                log.info("The model is the one of build %s.", build)
            else:
                log.info("Build %s registered no model: nothing to do.", build)
        else:
            tell(**outputs())


if __name__ == "__main__":
    main()
