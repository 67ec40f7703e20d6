"""The versions of a model: which one is champion, and how one is added, fetched or withdrawn.

Only calls that both MLflow's own store and Azure ML answer: version tags, but no aliases and no stages.
"""

import hashlib
import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from mlflow import MlflowClient, artifacts
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from .program import UserError, in_one_line

WITHDRAWN = "withdrawn"
# MLflow puts this file into a folder that it downloads; it was not there when the model was judged.
ADDED_BY_MLFLOW = frozenset({"registered_model_meta"})
# How stores say that files are gone, and MLflow which file a reason is about.
MISSING = re.compile(r"(?:Blob|Container|Resource)NotFound|No such (?:file|artifact)")
HEADLINE = re.compile(r"#+ File .* #+\n")


class Version(NamedTuple):
    """One version of a model, its number as a number: some stores return text."""

    name: str
    number: int
    run_id: str
    tags: dict[str, str]

    def __str__(self) -> str:
        return f"version {self.number} of {self.name}"


def versions(client: MlflowClient, name: str) -> list[Version]:
    """Return all versions, the highest number first."""
    found: list[ModelVersion] = []
    token = None
    while token != "":
        page = client.search_model_versions(f"name='{name}'", page_token=token)
        found, token = [*found, *page], page.token or ""
    return sorted((as_version(version) for version in found), key=lambda version: version.number, reverse=True)


def as_version(found: ModelVersion) -> Version:
    return Version(found.name, int(found.version), found.run_id or "", dict(found.tags))


def champion(client: MlflowClient, name: str) -> Version | None:
    """Return the version with the highest number that is not withdrawn."""
    return next((version for version in versions(client, name) if WITHDRAWN not in version.tags), None)


def of_run(client: MlflowClient, name: str, run_id: str) -> Version | None:
    """Return the version that came out of a run, the newest if there are several."""
    return next((version for version in versions(client, name) if version.run_id == run_id), None)


def numbered(client: MlflowClient, name: str, number: int) -> Version:
    """Return the version with this number, or say which there are."""
    known = versions(client, name)
    for version in known:
        if version.number == number:
            return version
    there_are = ", ".join(str(version.number) for version in known) or "none"
    raise UserError(f"Model {name} has no version {number}. Its versions: {there_are}.")


def add(client: MlflowClient, name: str, run_id: str, tags: dict[str, str]) -> Version:
    """Register the model that a run logged."""
    try:
        client.create_registered_model(name)
    except MlflowException:  # it may exist already, and stores differ in how they say so
        client.get_registered_model(name)
    source = f"{client.get_run(run_id).info.artifact_uri}/model"
    return as_version(client.create_model_version(name, source, run_id, tags=tags))


def withdraw(client: MlflowClient, name: str, number: int) -> str:
    """Take a version out of service for good, and say which one is champion now."""
    version = numbered(client, name, number)
    if since := version.tags.get(WITHDRAWN):
        raise UserError(f"This was done before: {version} is withdrawn since {since}.")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    client.set_model_version_tag(version.name, str(version.number), WITHDRAWN, now)
    now_champion = champion(client, name) or "none: the next candidate will be promoted"
    return f"Withdrew {version}. The champion is {now_champion}."


def digest(folder: Path) -> str:
    """Return the SHA-256 over the names and contents of a model folder's files."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in ADDED_BY_MLFLOW):
        total.update(f"{path.relative_to(folder).as_posix()}\n{path.stat().st_size}\n".encode())
        total.update(path.read_bytes())
    return total.hexdigest()


def fetch(version: Version, folder: Path) -> None:
    """Put a version's model folder where ``folder`` says, whole or not at all, and make sure it is what was judged."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        try:
            uri = f"models:/{version.name}/{version.number}"
            fetched = Path(artifacts.download_artifacts(artifact_uri=uri, dst_path=scratch))
        except (MlflowException, OSError) as error:
            raise UserError(f"The files of {version} {not_fetched(error)}") from error
        if digest(fetched) != version.tags.get("model_digest"):
            raise UserError(f"The files of {version} are not those that were judged. Withdraw it to go on.")
        if folder.exists():
            folder.rename(Path(scratch) / "replaced")
        fetched.rename(folder)


def not_fetched(error: Exception) -> str:
    """Say why files did not come, in one line. Only what is gone for good is worth a withdrawal."""
    first, *others = HEADLINE.split(str(error))[1:] or [str(error)]
    reason = in_one_line(first)
    told = reason if reason.endswith(".") else f"{reason}."
    if all(MISSING.search(each) for each in (first, *others)):
        return f"are missing: {told} Withdraw it to go on."
    return f"cannot be fetched: {told}"
