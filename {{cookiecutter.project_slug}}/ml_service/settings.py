"""What a program is told by its environment, and by .env where that is silent. .env.example shows all there is."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from {{ cookiecutter.package_name }}.pipeline import MODEL_NAME
from {{ cookiecutter.package_name }}.program import UserError

from . import ROOT


def check_word(value: str) -> str:
    """Refuse what would be more than one plain word on the command line of a job, which a shell reads."""
    if not re.fullmatch(r"[\w.:/?=%@+,-]+", value, re.ASCII):
        raise ValueError("may hold letters, digits and . _ : / ? = % @ + , - and nothing else")
    return value


# Values of the training pipeline travel as text. Names are as Azure ML wants them.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=255)]
Word = Annotated[str, AfterValidator(check_word)]
Switch = Annotated[Literal["true", "false"], BeforeValidator(lambda value: str(value).lower())]
UNSET = re.compile(r"\$\(.*\)")


class AzureSettings(BaseSettings):
    """One Azure environment, whatever happens in it. Each field is the variable of the same name in capitals."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    subscription_id: str
    resource_group: str
    workspace_name: str

    # names and sizes in it
    experiment_name: Name
    training_pipeline_name: str
    model_name: Word = MODEL_NAME
    dataset_name: str
    datastore_name: str | None = None
    compute_name: Annotated[Name, Field(min_length=2, max_length=24)]
    compute_size: str
    compute_priority: Literal["dedicated", "lowpriority"]
    compute_min_nodes: NonNegativeInt
    compute_max_nodes: PositiveInt
    compute_idle_seconds: PositiveInt

    @property
    def workspace(self) -> str:
        """The workspace, as model.json names it."""
        return f"{self.resource_group}/{self.workspace_name}"

    @model_validator(mode="before")
    @classmethod
    def drop_unset(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Leave out what Azure Pipelines hands on as ``$(NAME)``, since no variable has that name."""
        return {name: value for name, value in values.items() if not UNSET.fullmatch(str(value))}

    @field_validator("compute_max_nodes")
    @classmethod
    def check_nodes(cls, value: int, others: ValidationInfo) -> int:
        if others.data.get("compute_min_nodes", 0) > value:
            raise ValueError("is below COMPUTE_MIN_NODES")
        return value


class Settings(AzureSettings):
    """What one build does there."""

    # Azure Pipelines sets this itself
    build_id: Word = Field(validation_alias="BUILD_BUILDID")
    build_uri: Word = "local"
    caller_run_id: Word = "none"
    dataset_version: PositiveInt | Literal["latest"] = "latest"
    data_file_path: str | None = None
    run_evaluation: Switch = "true"
    allow_run_cancel: Switch = "true"

    @field_validator("data_file_path")
    @classmethod
    def check_data(cls, value: str | None, others: ValidationInfo) -> str | None:
        if value and others.data.get("dataset_version", "latest") != "latest":
            raise ValueError("makes a new version, so DATASET_VERSION cannot name one")
        return value


Kind = TypeVar("Kind", bound=AzureSettings)


def read(file: Path = ROOT / ".env") -> Settings:
    """Read the settings, or name all that are missing or wrong."""
    return read_as(Settings, file)


def read_azure(file: Path = ROOT / ".env") -> AzureSettings:
    """Read what a program needs that does the same in every build."""
    return read_as(AzureSettings, file)


def read_as(kind: type[Kind], file: Path) -> Kind:
    """Read the settings of a program that is told more."""
    try:
        return kind(_env_file=file)
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8: {error}.") from error
    except ValidationError as error:
        raise UserError(f"The settings are not complete.\n{explain(error)}\n.env.example shows them all.") from error


def explain(error: ValidationError) -> str:
    """Say what is wrong, a line each, by the variables' names."""
    lines = []
    for found in error.errors():
        name = str(found["loc"][0]).upper() if found["loc"] else ""
        value = f"; it is {found['input']!r:.60}" if name and found["type"] != "missing" else ""
        told = "is missing" if found["type"] == "missing" else found["msg"].removeprefix("Value error, ")
        lines.append(f"  {name} {told}{value}".rstrip())
    return "\n".join(lines)
