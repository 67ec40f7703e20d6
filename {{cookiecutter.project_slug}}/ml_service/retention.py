"""Keep this build, and with it model.json, beyond the project's retention: going back to it must work after a month.

learn.microsoft.com/rest/api/azure/devops/build/leases/add
"""

import logging

from environment_setup.azure_cli import variable

from {{ cookiecutter.package_name }}.program import UserError, program

from .azure_devops import ask

log = logging.getLogger(__name__)
DAYS = 365


def keep(build: int, pipeline: int) -> None:
    """Take a lease on a build."""
    lease = {"daysValid": DAYS, "definitionId": pipeline, "ownerId": "model", "protectPipeline": False, "runId": build}
    if ask("retention/leases", [lease]) is None:
        raise UserError("Azure DevOps knows no leases here.")


def main() -> None:
    build = variable("BUILD_BUILDID")
    with program():
        try:
            keep(int(build), int(variable("SYSTEM_DEFINITIONID")))
            log.info("Build %s is kept for %d days.", build, DAYS)
        except (UserError, ValueError) as error:  # no reason to fail a build that has registered its model
            told = f"{error} Build {build} goes with the project's retention: choose Retain in its menu."
            log.info("##vso[task.logissue type=warning]%s", told)


if __name__ == "__main__":
    main()
