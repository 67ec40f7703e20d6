"""The registered data that training reads. As a program: make sure that it is there.

Data is registered as versions of one dataset. New data needs no new pipeline: its version is an argument of a run.
"""

import logging
import subprocess
import sys
from http import HTTPStatus

from azureml.core import Dataset, Datastore, Workspace
from azureml.data import FileDataset
from azureml.data.abstract_datastore import AbstractDatastore
from azureml.dataprep.api.errorhandlers import ExecutionError
from azureml.exceptions import UserErrorException

from {{ cookiecutter.package_name }}.program import UserError

from . import PACKAGE, ROOT, SRC, settings
from .program import parser, persist, program, status
from .settings import Settings
from .workspace import get_workspace

Place = tuple[AbstractDatastore, str]  # a path on a datastore

log = logging.getLogger(__name__)


def get_datastore(workspace: Workspace, name: str | None) -> AbstractDatastore:
    """Return the datastore of this name, or the workspace's own."""
    if name is None:
        return workspace.get_default_datastore()
    try:
        return Datastore.get(workspace, name)
    except Exception as error:  # the SDK lets through whatever its REST client raises
        if status(error) != HTTPStatus.NOT_FOUND:
            raise
        there_are = ", ".join(sorted(workspace.datastores))
        raise UserError(f"The workspace has no datastore {name}; it has {there_are}.") from error


def get_dataset(workspace: Workspace, settings: Settings) -> FileDataset:
    """Return the version to train on: of the file that DATA_FILE_PATH names, else DATASET_VERSION."""
    name, version = settings.dataset_name, settings.dataset_version
    datastore = get_datastore(workspace, settings.datastore_name)
    if path := settings.data_file_path:
        return register_path(workspace, name, (datastore, path), settings.build_id, "DATA_FILE_PATH")
    newest = workspace.datasets[name].version if name in workspace.datasets else None
    if newest is None and version == "latest":
        return register_data(workspace, name, datastore)
    try:
        return Dataset.get_by_name(workspace, name, version)
    except UserErrorException as error:
        there_is = f"the newest is {newest}" if newest else "it has none yet"
        raise UserError(
            f"Dataset {name} has no version {version}; {there_is}. Set DATASET_VERSION to one that exists or to latest."
        ) from error


def register_path(workspace: Workspace, name: str, place: Place, build_id: str, setting: str) -> FileDataset:
    """Register what lies at a place that a setting names as a new version, once in a build."""
    datastore, path = place
    made_by = {"build_id": build_id, "datastore": datastore.name, "path": path}
    newest = workspace.datasets.get(name)
    if newest is not None and newest.tags == made_by:
        return newest
    data = Dataset.File.from_files(place)
    if not files(data):
        raise UserError(f"Datastore {datastore.name} has nothing at {path}, which {setting} names.")
    return data.register(workspace, name, tags=made_by, create_new_version=True)


def register_data(workspace: Workspace, name: str, datastore: AbstractDatastore) -> FileDataset:
    """Upload the CSV files of data/, the sample if there are none, and register them as version 1."""
    if not any((ROOT / "data").glob("*.csv")):
        command = (sys.executable, "-m", f"{PACKAGE}.data", "--output", ROOT / "data")
        ended = subprocess.run(command, cwd=SRC, capture_output=True, text=True, check=False)
        if ended.returncode:
            reason = (ended.stderr.strip() or "no reason given").splitlines()[-1]
            raise UserError(f"data/ has no CSV file to upload, and the sample cannot be made: {reason}")
    target = (datastore, f"training-data/{name}")
    data = Dataset.File.upload_directory(str(ROOT / "data"), target, "*.csv", overwrite=True, show_progress=False)
    local = {path.name for path in (ROOT / "data").glob("*.csv")}
    if absent := local - files(data):  # the SDK does not tell
        raise UserError(
            f"{', '.join(sorted(absent))} did not arrive on datastore {datastore.name}: may you write there?"
        )
    return data.register(workspace, name)


def files(data: FileDataset) -> set[str]:
    """Return the names of the files that a dataset finds."""
    try:
        return {path.rpartition("/")[2] for path in data.to_path()}
    except ExecutionError as error:
        if "NotFound" not in str(error):
            raise
        return set()


def main() -> None:
    arguments = parser(__doc__).parse_args()
    with program(arguments.debug):
        chosen = settings.read()
        data = persist(lambda: get_dataset(get_workspace(chosen), chosen))
        log.info("Dataset %s, version %s.", data.name, data.version)


if __name__ == "__main__":
    main()
