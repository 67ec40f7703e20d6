"""Copy a registered version to a folder that can be served: model/ and model.json."""

import argparse
import json
import logging
from pathlib import Path

from . import registry, tracking
from .pipeline import add_values
from .program import UserError, program, write_text

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
        (arguments.output / "model.json").unlink(missing_ok=True)  # a model must never go by another's number
        registry.fetch(version, arguments.output / "model")
    write_text(arguments.output / "model.json", json.dumps({"name": name, "version": version.number}) + "\n")
    log.info("Fetched %s.", version)


if __name__ == "__main__":
    main()
