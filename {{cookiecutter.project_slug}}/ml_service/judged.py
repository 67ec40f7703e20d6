"""The version that a build judged, as model.json names it: nothing else is deployed, whatever was registered since."""

from pathlib import Path
from typing import Annotated

from mlflow import MlflowClient
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, PositiveInt, ValidationError

from {{ cookiecutter.package_name }} import registry
from {{ cookiecutter.package_name }}.program import UserError, invalid
from {{ cookiecutter.package_name }}.registry import Version

from .settings import Word


class Judged(BaseModel):
    """What `wait` writes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Word
    version: PositiveInt
    metrics: dict[str, FiniteFloat]
    model_digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    workspace: str = ""


def read(path: Path) -> Judged:
    """Read model.json, or say what is wrong with it."""
    try:
        return Judged.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: `python -m ml_service.wait` writes it.") from error
    except ValidationError as error:
        raise invalid(path, error) from error


def in_service(client: MlflowClient, name: str, number: int) -> Version:
    """Return this version, or raise if it was withdrawn since."""
    version = registry.numbered(client, name, number)
    if registry.WITHDRAWN in version.tags:
        raise UserError(f"The build registered {version}, which was withdrawn since: choose another build.")
    return version


def find(client: MlflowClient, judged: Judged) -> Version:
    """Return the version that was judged, or raise if it was withdrawn, or is another one of the same number."""
    version = in_service(client, judged.name, judged.version)
    if version.tags.get("model_digest") != judged.model_digest:
        raise UserError(f"In this workspace, {version} is not what model.json is about: was it judged in another one?")
    return version
