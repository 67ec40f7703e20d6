"""Read parameters.yml, and refuse what would only fail later."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, field_validator

from .program import UserError, invalid

PATH = Path("parameters.yml")
STRICT = ConfigDict(extra="forbid", strict=True, frozen=True)

MADE_OF = {"behaviour_sha256", "data_sha256", "model_digest"}
RESERVED_TAGS = MADE_OF | {"build_id", "build_uri", "caller_run_id", "promotion", "withdrawn"}

Direction = Literal["lower", "higher"]
Rule = Literal["none_worse", "all_better", "any_better"]


class Evaluation(BaseModel):
    """Which metrics decide, whether lower or higher is better, and how several of them combine."""

    model_config = STRICT
    metrics: Annotated[dict[str, Direction], Field(min_length=1)]
    promote_if: Rule = "none_worse"


class Registration(BaseModel):
    """Tags that every model version gets, beside those that registration sets itself."""

    model_config = STRICT
    tags: dict[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_. -]*$")], str] = {}

    @field_validator("tags")
    @classmethod
    def check_reserved(cls, tags: dict[str, str]) -> dict[str, str]:
        if reserved := sorted(tags.keys() & RESERVED_TAGS):
            raise ValueError(f"registration sets {', '.join(reserved)} itself")
        return tags


class Parameters(BaseModel):
    """The whole file. ``training`` holds the keyword arguments of ``estimator.fit``."""

    model_config = STRICT
    training: dict[str, Any]
    evaluation: Evaluation
    registration: Registration


class Loader(yaml.SafeLoader):
    """Safe YAML in which ``1e-3`` is a number, as YAML 1.2 has it, and a key that is there twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{key} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read(path: Path = PATH) -> Parameters:
    """Read the file, or say which keys of it are wrong."""
    try:
        return Parameters.model_validate(yaml.load(path.read_text(encoding="utf-8"), Loader))  # noqa: S506
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
