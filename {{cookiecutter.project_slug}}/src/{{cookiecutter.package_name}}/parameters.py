"""Read parameters.yml, and refuse what would only fail later."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from .program import UserError, invalid

PATH = Path("parameters.yml")
STRICT = ConfigDict(extra="forbid", strict=True, frozen=True)

Direction = Literal["lower", "higher"]
Rule = Literal["none_worse", "all_better", "any_better"]


class Evaluation(BaseModel):
    """Which metrics decide, whether lower or higher is better, and how several of them combine."""

    model_config = STRICT
    metrics: Annotated[dict[str, Direction], Field(min_length=1)]
    promote_if: Rule = "none_worse"


class Registration(BaseModel):
    """Tags that every model version gets."""

    model_config = STRICT
    tags: dict[str, str] = {}


class Parameters(BaseModel):
    """The whole file. ``training`` holds the keyword arguments of ``estimator.fit``."""

    model_config = STRICT
    training: dict[str, Any]
    evaluation: Evaluation
    registration: Registration


def read(path: Path = PATH) -> Parameters:
    """Read the file, or say which keys of it are wrong."""
    try:
        return Parameters.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: it cannot be read as YAML: {error}") from error
    except ValidationError as error:
        raise invalid(path, error) from error


def check_training(arguments: dict[str, Any], fit: Callable[..., Any], path: Path = PATH) -> None:
    """Raise unless ``arguments`` are what the keyword-only parameters of ``fit`` ask for, names and types."""
    keywords: dict[str, Any] = {
        name: (parameter.annotation, ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in inspect.signature(fit).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    try:
        create_model("training", __config__=STRICT, **keywords).model_validate(arguments)
    except ValidationError as error:
        raise invalid(f"{path}: training, which takes {', '.join(keywords)}", error) from error
