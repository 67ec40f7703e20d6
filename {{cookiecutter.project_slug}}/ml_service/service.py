"""A scoring service of Azure ML: what it is made of, and the operations that make and change it."""

import logging
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import yaml
from azureml.core import Webservice, Workspace
from azureml.core.compute import ComputeTarget
from azureml.core.model import InferenceConfig
from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from {{ cookiecutter.package_name }}.program import UserError, in_one_line, invalid
from {{ cookiecutter.package_name }}.registry import Version

from . import PACKAGE, ROOT, SRC
from .environment import get_environment
from .program import persist
from .settings import Settings

DEPLOYMENT = ROOT / "deployment"
ENDED = ("Succeeded", "Failed", "Canceled", "Cancelled", "TimedOut")
CHANGING = "Transitioning"  # the state of a service while an operation runs
EVERY = 15.0  # seconds at most between looks
MINUTE = 60.0  # seconds
STRICT = ConfigDict(extra="forbid", frozen=True)

State = TypeVar("State", bound=tuple[Any, ...])

log = logging.getLogger(__name__)


class NotDoneError(UserError):
    """An operation has not ended in its time, and goes on."""


class Certificate(BaseModel):
    """A certificate of one's own: the name that it is for, and its PEM files."""

    model_config = STRICT

    domain: str
    certificate: Path
    key: Path

    def arguments(self) -> dict[str, str]:
        for path in (self.certificate, self.key):
            if not (ROOT / path).is_file():
                raise UserError(f"{ROOT / path} is missing: it belongs to the certificate for {self.domain}.")
        files = {"ssl_cert_pem_file": str(ROOT / self.certificate), "ssl_key_pem_file": str(ROOT / self.key)}
        return {"ssl_cname": self.domain, **files}


class Target(BaseModel, ABC):
    """One kind of service, as a file of deployment/ describes it."""

    model_config = STRICT

    kind: ClassVar[str]
    fields: ClassVar[dict[str, str]]  # where Azure ML's description of a service has what an update sets
    minutes: PositiveInt

    @classmethod
    def read(cls) -> Self:
        """Read the file, or say what is wrong with it."""
        path = DEPLOYMENT / f"{cls.kind.lower()}.yml"
        try:
            return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except yaml.YAMLError as error:
            raise UserError(f"{path} is not YAML: {error}") from error
        except ValidationError as error:
            raise invalid(path, error) from error

    @abstractmethod
    def service_name(self, settings: Settings) -> str:
        """Return the name that the service has in this Azure environment."""

    @abstractmethod
    def compute(self, workspace: Workspace, settings: Settings) -> ComputeTarget | None:
        """Return where the service runs, if that is not Azure's own business."""

    @abstractmethod
    def configuration(self) -> Any:
        """Return how the SDK describes a new service."""

    @abstractmethod
    def changes(self) -> dict[str, Any]:
        """Return what an update sets, by the SDK's names."""

    @classmethod
    def changes_to(cls, described: dict[str, Any]) -> dict[str, Any]:
        """Return what an update sets to make a service again what it is now, as far as Azure ML tells."""
        found = {name: part(described, path) for name, path in cls.fields.items()}
        return {name: value for name, value in found.items() if value is not None}


def part(described: dict[str, Any], path: str) -> Any:
    """Return what a description has at ``outer/inner``, if anything."""
    outer, _, inner = path.partition("/")
    found = described.get(outer)
    return (found or {}).get(inner) if inner else found


def required(settings: Settings, name: str) -> str:
    """Return a setting that only some programs need."""
    value: str | None = getattr(settings, name)
    if value is None:
        raise UserError(f"{name.upper()} is missing: .env or, in a build, the variable group has it.")
    return value


def find(workspace: Workspace, name: str) -> dict[str, Any] | None:
    """Return a service as Azure ML describes it, if there is one of this name."""
    found: dict[str, Any] | None = persist(lambda: Webservice._get(workspace, name))
    return found


def inference(workspace: Workspace, version: Version, folder: Path) -> InferenceConfig:
    """Return code and environment of a service. The SDK sends a folder whole, so it gets one with the package alone."""
    shutil.copytree(SRC / PACKAGE, folder / "src" / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    environment = get_environment(workspace, "inference")
    environment.inferencing_stack_version = "latest"
    settings = yaml.safe_load((DEPLOYMENT / "inference.yml").read_text(encoding="utf-8"))
    environment.environment_variables = {**settings, "MODEL_NAME": version.name, "MODEL_VERSION": str(version.number)}
    return InferenceConfig(f"{PACKAGE}/score.py", source_directory=str(folder / "src"), environment=environment)


def until_ended(look: Callable[[], State], minutes: float, ended: Callable[[str], bool] = ENDED.__contains__) -> State:
    """Show how an operation goes until it ends, and return how. ``look`` gives its state first."""
    began, told = time.monotonic(), ""
    while True:
        state = persist(look)
        passed = time.monotonic() - began
        if told != (told := stage(state)):
            log.info("%5.0f s  %s", passed, told)
        if ended(state[0]):
            return state
        if passed > minutes * MINUTE:
            raise NotDoneError(f"The operation was not done after {minutes:g} minutes: the studio shows how it goes.")
        time.sleep(min(EVERY, 1 + passed / 10))


def stage(state: tuple[Any, ...]) -> str:
    """Say what an operation is at."""
    details = state[-1].get("operationDetails") if isinstance(state[-1], dict) else None
    return " ".join(filter(None, (state[0], (details or {}).get("subOperationType"))))


def wait(service: Webservice, minutes: float) -> None:
    """Wait until the operation that was begun has ended, and raise unless it succeeded."""
    state, error, _ = until_ended(service._get_operation_state, minutes)
    if state == "Succeeded" or not error:
        persist(service.update_deployment_state)
    if state != "Succeeded":
        raise UserError(f"Azure ML says {state}: {told(error or service.error)}")


def settled(workspace: Workspace, name: str, minutes: float) -> dict[str, Any] | None:
    """Return a service as ``find`` does, once no operation changes it any more, whoever began that."""

    def look() -> tuple[str, dict[str, Any] | None]:
        found = Webservice._get(workspace, name)
        return (str(found.get("state")) if found else "no service"), found

    return until_ended(look, minutes, lambda state: state != CHANGING)[1]


def delete(service: Webservice, minutes: float) -> None:
    """Delete a service, and raise unless that succeeded. The SDK would wait for the end without a bound."""
    service._wait_for_operation_to_complete = lambda *_: None
    persist(service.delete)
    if service._operation_endpoint:
        state, error, _ = until_ended(service._get_operation_state, minutes)
        if state != "Succeeded":
            raise UserError(f"Azure ML says {state}: {told(error)}")


def told(error: Any) -> str:
    """Return the sentences of an error of Azure ML, in one line."""
    if not isinstance(error, dict):
        return in_one_line(str(error or "no reason given."))
    inner = [told(detail) for detail in error.get("details") or []]
    return in_one_line(" ".join([str(error.get("message", error)), *inner]))
