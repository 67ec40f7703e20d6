"""Roll back: take a version out of service, so that the one before it is champion again."""

import logging

from {{ cookiecutter.package_name }} import registry

from . import settings
from .program import parser, program
from .workspace import get_workspace, mlflow_client

log = logging.getLogger(__name__)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--version", required=True, type=int, help="number of the version to withdraw")
    chosen = arguments.parse_args()
    with program(chosen.debug):
        build = settings.read()
        client = mlflow_client(get_workspace(build))
        version = registry.withdraw(client, build.model_name, chosen.version)
        log.info("Withdrew %s.", version)
        champion = registry.champion(client, build.model_name)
        log.info("The champion is %s.", champion or "none: the next candidate will be promoted")


if __name__ == "__main__":
    main()
