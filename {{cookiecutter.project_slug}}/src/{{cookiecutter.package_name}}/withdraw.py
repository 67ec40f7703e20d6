"""Roll back: take a version out of service, so that the one before it is champion again."""

import argparse
import logging

from . import registry, tracking
from .pipeline import add_values
from .program import program

log = logging.getLogger(__name__)


@program()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", required=True, type=int, help="number of the version to withdraw")
    add_values(parser, ("model_name",))
    arguments = parser.parse_args()

    name = arguments.model_name
    with tracking.store() as client:
        version = registry.withdraw(client, name, arguments.version)
        champion = registry.champion(client, name)
    log.info("Withdrew %s.", version)
    log.info("The champion is %s.", champion or "none: the next candidate will be promoted")


if __name__ == "__main__":
    main()
