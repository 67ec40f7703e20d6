"""Fetch the version that a build judged, into a folder that can be served: model/ and model.json."""

import logging
from pathlib import Path

from {{ cookiecutter.package_name }} import golden_rows

from . import judged, model_of_build, settings
from .program import parser, persist, program
from .workspace import get_workspace, mlflow_client

log = logging.getLogger(__name__)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--model", default="model.json", type=Path, help="what `wait` wrote (%(default)s)")
    arguments.add_argument("--output", default="outputs/serving", type=Path, help="folder to write to (%(default)s)")
    chosen = arguments.parse_args()
    with program(chosen.debug):
        wanted = model_of_build.read(chosen.model)
        build = settings.read()
        client = persist(lambda: mlflow_client(get_workspace(build)))
        version = persist(lambda: judged.find(client, wanted))
        persist(lambda: golden_rows.fetch(version, chosen.output))
        log.info("Fetched %s.", version)


if __name__ == "__main__":
    main()
