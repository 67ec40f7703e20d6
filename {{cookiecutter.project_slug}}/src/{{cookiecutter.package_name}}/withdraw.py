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

    with tracking.store() as client:
        log.info(registry.withdraw(client, arguments.model_name, arguments.version))


if __name__ == "__main__":
    main()
