"""model.json, the version that is to serve after a build. As a program: write it for the present champion.

Nothing else is deployed, whatever was registered since.
"""

import json
import logging
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from {{ cookiecutter.package_name }} import registry
from {{ cookiecutter.package_name }}.program import UserError, write_text
from {{ cookiecutter.package_name }}.registry import Version

from . import settings
from .program import parser, persist, program
from .workspace import get_workspace, mlflow_client

log = logging.getLogger(__name__)
FILE = Path("model.json")


def write(path: Path, judged: dict[str, Any]) -> None:
    """Write a version, and whether the build registered it: otherwise it was the champion, and stays it."""
    write_text(path, json.dumps(judged, indent=2) + "\n")


def in_service(client: MlflowClient, name: str, number: int) -> Version:
    """Return this version, or raise if it was withdrawn since."""
    version = registry.numbered(client, name, number)
    if registry.WITHDRAWN in version.tags:
        raise UserError(f"The build handed on {version}, which was withdrawn since: choose another build.")
    if "model_digest" not in version.tags:
        raise UserError(f"{version} has no tag model_digest, so no build has judged it: withdraw it, and train anew.")
    return version


def find(client: MlflowClient, judged: dict[str, Any]) -> Version:
    """Return the version that was judged, or raise if it was withdrawn, or is another one of the same number."""
    version = in_service(client, judged["name"], judged["version"])
    if version.tags.get("model_digest") != judged["model_digest"]:
        raise UserError(f"In this workspace, {version} is not what model.json is about: was it judged in another one?")
    return version


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--output", default=FILE, type=Path, help="file to write (%(default)s)")
    chosen = arguments.parse_args()
    with program(chosen.debug):
        chosen.output.unlink(missing_ok=True)  # it is about another version
        azure = settings.read_azure()
        client = persist(lambda: mlflow_client(get_workspace(azure)))
        champion = persist(lambda: registry.champion(client, azure.model_name))
        if champion is None:
            log.info("Model %s has no version that may serve: nothing to do.", azure.model_name)
            return
        champion = in_service(client, champion.name, champion.number)
        named = {"name": champion.name, "version": champion.number, "workspace": azure.workspace}
        told = {**named, "registered": False, "metrics": {}, "model_digest": champion.tags["model_digest"]}
        write(chosen.output, told)
        log.info("The champion is %s.", champion)


if __name__ == "__main__":
    main()
