"""Copy a registered version to a folder that can be served: model/ and model.json."""

import argparse
import json
import logging
from pathlib import Path

from . import golden_rows, registry, tracking
from .pipeline import add_values
from .program import UserError, program, write_text
from .registry import Version

log = logging.getLogger(__name__)


def for_serving(version: Version, folder: Path) -> None:
    """Put a version's model/ and model.json into a folder, which holds no other version's afterwards.

    Raises unless the code that is here predicts as it did when the version was trained.
    """
    (folder / "model.json").unlink(missing_ok=True)  # a model must never go by another's number
    registry.fetch(version, folder / "model")
    golden_rows.check(folder / "model", version)
    write_text(folder / "model.json", json.dumps({"name": version.name, "version": version.number}) + "\n")


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
        for_serving(version, arguments.output)
    log.info("Fetched %s.", version)


if __name__ == "__main__":
    main()
