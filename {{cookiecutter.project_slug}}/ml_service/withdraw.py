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
        azure = settings.read_azure()
        client = mlflow_client(get_workspace(azure))
        log.info(registry.withdraw(client, azure.model_name, chosen.version))


if __name__ == "__main__":
    main()
