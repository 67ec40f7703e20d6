"""What batch scoring is told, beside what every program is."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveInt, ValidationInfo, field_validator

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

    @field_validator("batch_nodes")
    @classmethod
    def check_batch_nodes(cls, value: int, others: ValidationInfo) -> int:
        if value > others.data.get("compute_max_nodes", value):
            raise ValueError("is above COMPUTE_MAX_NODES")
        return value


def read(file: Path = ROOT / ".env") -> BatchSettings:
    """Read the settings, or name all that are missing or wrong."""
    return read_as(BatchSettings, file)
