"""Copy a registered version to a folder that can be served: model/ and model.json."""

import argparse
import logging
from pathlib import Path

from . import golden_rows, registry, tracking
from .pipeline import add_values
from .program import UserError, program

log = logging.getLogger(__name__)


@program()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", required=True, type=Path, help="folder to write to")
    parser.add_argument("--version", type=int, help="number of the version (the champion)")
    add_values(parser, ("model_name",))
    arguments = parser.parse_args()

    name = arguments.model_name
    with tracking.store() as client:
        if arguments.version is not None:
            version = registry.numbered(client, name, arguments.version)
        elif champion := registry.champion(client, name):
            version = champion
        else:
            raise UserError(f"Model {name} has no version to serve: `make run` trains and registers one.")
        golden_rows.fetch(version, arguments.output)
    log.info("Fetched %s.", version)


if __name__ == "__main__":
    main()
