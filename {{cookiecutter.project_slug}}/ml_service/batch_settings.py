"""What batch scoring is told, beside what every program is."""

from pathlib import Path, PurePosixPath
from typing import Annotated, Self

from pydantic import Field, PositiveInt, ValidationInfo, field_validator, model_validator

from . import ROOT
from .settings import Settings, read_as


class BatchSettings(Settings):
    """Each field is the variable of the same name in capitals."""

    batch_pipeline_name: str
    batch_dataset_name: str
    batch_input_datastore: str | None = None
    batch_input_path: str | None = None
    batch_output_datastore: str | None = None
    batch_output_path: str
    batch_nodes: PositiveInt
    batch_files_at_once: PositiveInt
    batch_seconds: PositiveInt
    batch_attempts: PositiveInt
    batch_error_threshold: Annotated[int, Field(ge=-1)]
    batch_max_rejected: Annotated[float, Field(ge=0, le=1)]

    @property
    def batch_input(self) -> str:
        """What is scored, in words."""
        return f"{self.batch_input_path or 'the sample'} on datastore {self.batch_input_datastore or '(default)'}"

    @model_validator(mode="after")
    def check_places(self) -> Self:
        given, datastore = self.batch_input_path, self.batch_input_datastore
        if datastore and not given:
            raise ValueError("BATCH_INPUT_DATASTORE needs BATCH_INPUT_PATH: what is to be scored there")
        if given and datastore == self.batch_output_datastore and reaches(given, self.batch_output_path):
            raise ValueError("BATCH_OUTPUT_PATH is inside BATCH_INPUT_PATH: the next run would take scores for inputs")
        return self

    @field_validator("batch_nodes")
    @classmethod
    def check_batch_nodes(cls, value: int, others: ValidationInfo) -> int:
        if value > others.data.get("compute_max_nodes", value):
            raise ValueError("is above COMPUTE_MAX_NODES")
        return value


def reaches(given: str, place: str) -> bool:
    """Tell whether a path or pattern takes in all that lies at a place; one that is not recursive looks less deep."""
    parts = PurePosixPath(given.lstrip("/")).parts
    fixed = next((number for number, part in enumerate(parts) if "*" in part), len(parts))
    if fixed < len(parts) and "**" not in parts:
        return False
    return PurePosixPath(place.lstrip("/")).is_relative_to(PurePosixPath(*parts[:fixed]))


def read(file: Path = ROOT / ".env") -> BatchSettings:
    """Read the settings, or name all that are missing or wrong."""
    return read_as(BatchSettings, file)
