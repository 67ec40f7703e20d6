"""Deploy the version that a build judged, as a service of Azure ML; where that fails, what served before goes on.

How it ends::

    the service answers as that version     exit 0
    failed, and another version served      exit 1, that version serves, put back if need be
    failed, and there was no service        exit 1, nothing is left behind
    failed, and that cannot be reached      exit 1, the last line says what is, and what to do
    cancelled, by Ctrl-C or a build         exit 130, nothing is put back, the last line says what to do
"""

import logging
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from azureml.core import Environment, Model, Webservice, Workspace

from {{ cookiecutter.package_name }} import golden_rows, smoke_test
from {{ cookiecutter.package_name }}.program import UserError
from {{ cookiecutter.package_name }}.registry import Version

from . import judged, service, settings
from .program import parser, persist, program, quote, sentence
from .service import Target
from .settings import Settings
from .smoke_test import address
from .workspace import get_workspace, mlflow_client

log = logging.getLogger(__name__)
TARGETS = [name for name in ("aci", "aks") if find_spec(f"{__package__}.{name}")]
REQUEST = ("driverProgram", "assets", "environment", "modelIds")
SETTLED = 3  # good answers in a row
PAUSE = 2.0  # seconds between two questions


class Former:
    """What served before, as Azure ML keeps it: model, code, environment and settings come back together."""

    def __init__(self, described: dict[str, Any], target: Target) -> None:
        self.tags: dict[str, str] = described["kvTags"]
        self.request = {name: described["environmentImageRequest"][name] for name in REQUEST}
        self.settings = target.changes_to(described)
        self.certificate = described.get("sslCertificate") if described.get("sslEnabled") else None
        name, _, number = str(self.request["modelIds"][0]).rpartition(":")
        self.version = Version(name, int(number), "", {})

    @property
    def environment(self) -> Environment:
        """What the SDK looks at before it asks for the rest."""
        return self.request["environment"]

    def differences(self, now: "Former") -> list[str]:
        """Return what of the service is not what it was."""
        was, is_now = (
            {"code": of.request, "tags": of.tags, "certificate": of.certificate, **of.settings} for of in (self, now)
        )
        return sorted(name for name in {**was, **is_now} if was.get(name) != is_now.get(name))

    def _build_environment_image_request(self, workspace: Workspace, model_ids: list[str]) -> dict[str, Any]:
        """Be an InferenceConfig, which uploads and describes; here all of it lies in Azure already."""
        return self.request


def former(described: dict[str, Any] | None, name: str, target: Target) -> Former | None:
    """Return what serves under the name, or raise if it is not to be touched."""
    if described is None:
        return None
    if not described.get("environmentImageRequest"):
        raise UserError(f"Service {name} was not made by this program: choose another name.")
    if described["computeType"] != target.kind:
        kinds = f"{described['computeType']}, not {target.kind}"
        raise UserError(f"Service {name} is of type {kinds}: choose another name.")
    if described.get("state") == service.CHANGING:
        raise UserError(f"Service {name} is being changed by somebody else: run this again when that is done.")
    return Former(described, target)


def begin(workspace: Workspace, name: str, target: Target, version: Version, settings: Settings) -> Webservice:
    """Begin to make the service serve a version, and return it."""
    model = Model(workspace, version.name, version=version.number)
    tags = {"build_id": settings.build_id, "build_uri": settings.build_uri, "model_version": str(version.number)}
    tags |= {name.lower(): os.environ.get(name) or "local" for name in ("COMMIT", "RELEASE_BUILD")}
    where = target.compute(workspace, settings)
    with tempfile.TemporaryDirectory() as folder:
        code = service.inference(workspace, version, Path(folder))
        if service.find(workspace, name) is None:
            configuration = target.configuration()
            configuration.tags = tags
            return Model.deploy(workspace, name, [model], code, configuration, where)
        found = Webservice(workspace, name)
        found.update(models=[model], inference_config=code, tags=tags, **target.changes())
        return found


def check(found: Webservice, version: Version) -> None:
    """Raise unless the service predicts as this version, and goes on so: replicas are replaced one by one."""
    where = persist(lambda: address(found))
    ends, good, told = time.monotonic() + smoke_test.SECONDS_IN_ALL, 0, ""
    while True:
        left = max(0.0, ends - time.monotonic())
        try:
            predictions = smoke_test.within_bounds(where.url, where.key, version.number, seconds=left)
            good += 1
        except smoke_test.UnsettledError as error:
            if left <= PAUSE:
                raise
            if told != (told := str(error)):
                log.info("%s Asking again.", told)
            good = 0
        if good == SETTLED:
            break
        time.sleep(PAUSE)
    smoke_test.tell(predictions)


def deploy(workspace: Workspace, name: str, target: Target, version: Version, settings: Settings) -> Webservice:
    """Make the service serve a version, or raise what serves instead."""
    before = former(service.find(workspace, name), name, target)
    was = f"instead of {before.version}" if before else "as a new service"
    log.info("Deploying %s to %s (%s), %s.", version, name, target.kind, was)
    with last_words(cancelled(name, target, version, before)):
        try:
            deployed = persist(lambda: begin(workspace, name, target, version, settings))
            service.wait(deployed, target.minutes)
            check(deployed, version)
        except Exception as error:
            outcome = f"{version} was not deployed to {name}. {why(error)}"
            log.info("%s Going back.", outcome)  # which takes its time
            raise UserError(f"{outcome}\n{go_back(workspace, name, target, before, settings.build_id)}") from error
    return deployed


@contextmanager
def last_words(sentence: str) -> Iterator[None]:
    """Let a sentence be the last line of a program that is cancelled."""
    try:
        yield
    except KeyboardInterrupt:
        log.info("%s", sentence)
        raise


def cancelled(name: str, target: Target, version: Version, before: Former | None) -> str:
    """Say what to do after a deployment that nobody waits for any more. There is no time to see what became of it."""
    again = f"`python -m ml_service.deploy {target.kind.lower()}`"
    if before is None:
        return (
            f"Cancelled: {name} may serve {version} later, which nothing has tested. "
            f"When the studio shows that it is done, run {again} again, or delete {name} there."
        )
    return (
        f"Cancelled: {name} may serve {version}, which nothing has tested, or {before.version}. When the studio shows "
        f"that it is done, run {again} again; or, to go back, with the model.json of {before.version}."
    )


def go_back(workspace: Workspace, name: str, target: Target, before: Former | None, build_id: str) -> str:
    """See to it that what served before serves, and say what does. It raises nothing: the first reason must be told."""
    try:
        if before:
            return put_back(workspace, name, target, before, build_id)
        return remove(workspace, name, target, build_id)
    except service.NotDoneError:
        return (
            f"Service {name} is still being changed, and nobody can say what it will serve: "
            "when the studio shows that it is done, deploy again what is to serve."
        )
    except Exception as error:
        return f"Nobody can say what {name} serves: see in the studio, and deploy again what is to serve. {why(error)}"


def others(name: str, described: dict[str, Any], *builds: str | None) -> str:
    """Say which other build has changed a service meanwhile, if one has: what that did is not undone."""
    build = (described.get("kvTags") or {}).get("build_id")
    if build in (None, *builds):
        return ""
    return f"Build {build} has changed {name} meanwhile: what it deployed was left alone."


def remove(workspace: Workspace, name: str, target: Target, build_id: str) -> str:
    """Delete what a first deployment has left, and say so."""
    try:
        described = service.find(workspace, name)
        if described is None:
            return f"There is no service {name}, as before."
        if told := others(name, described, build_id):
            return told
        found = persist(lambda: Webservice(workspace, name))
        show_log(found)
        service.delete(found, target.minutes)
    except Exception as error:
        remedy = "see in the studio whether it is gone, and delete it there if not"
        return f"There was no service {name} before, and deleting what this has left failed: {remedy}. {why(error)}"
    return f"There was no service {name} before, and what this has left was deleted."


def put_back(workspace: Workspace, name: str, target: Target, before: Former, build_id: str) -> str:
    """Let the version before serve if it does not, once nothing changes the service any more, and say what serves."""
    described = service.settled(workspace, name, target.minutes)
    if described is None:
        return f"Nothing serves now: there is no service {name} any more."
    if told := others(name, described, build_id, before.tags.get("build_id")):
        return told
    found = persist(lambda: Webservice(workspace, name))
    show_log(found)
    how, trouble = "still serves.", ""
    if before.differences(Former(described, target)):
        log.info("Putting %s back.", before.version)
        how = "was put back, and serves."
        try:
            persist(lambda: found.update(inference_config=before, tags=before.tags, **before.settings))
            service.wait(found, target.minutes)
            how = restored(before, service.find(workspace, name), target)
        except Exception as error:
            trouble = f" {why(error)}"
            how = f"serves, but could not be put back whole.{trouble}"
            service.settled(workspace, name, target.minutes)
    try:
        check(persist(lambda: Webservice(workspace, name)), before.version)
    except Exception as error:
        return f"Nothing that was tested serves now: {before.version} does not either.{trouble} {why(error)}"
    return f"{before.version} {how}"


def restored(before: Former, described: dict[str, Any] | None, target: Target) -> str:
    """Say how what served before came back."""
    left = before.differences(Former(described, target)) if described else []
    return f"serves again, but not all is as it was: {', '.join(left)}." if left else "was put back, and serves."


def why(error: Exception) -> str:
    """Say what went wrong."""
    return str(error) if isinstance(error, UserError) else sentence(error)


def show_log(found: Webservice) -> None:
    """Show the end of what the service has printed, if Azure ML has that."""
    try:
        quote(str(found.get_logs(num_lines=20) or ""))
    except Exception:  # whatever it is, it must not keep anybody from going back
        log.info("Azure ML has no log of %s.", found.name)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("target", choices=TARGETS, help="where to")
    arguments.add_argument("--model", default="model.json", type=Path, help="what `wait` wrote (%(default)s)")
    chosen = arguments.parse_args()
    for cancel in (signal.SIGINT, signal.SIGTERM):  # Azure Pipelines sends both, seconds apart
        signal.signal(cancel, signal.default_int_handler)
    with program(chosen.debug):
        wanted = judged.read(chosen.model)
        target: Target = getattr(import_module(f".{chosen.target}", __package__), chosen.target.title()).read()
        build = settings.read()
        name = target.service_name(build)
        workspace = persist(lambda: get_workspace(build))
        version = persist(lambda: judged.find(mlflow_client(workspace), wanted))
        with tempfile.TemporaryDirectory() as folder:  # this code must predict with its weights as was judged
            persist(lambda: golden_rows.fetch(version, Path(folder) / "serving"))
        deployed = deploy(workspace, name, target, version, build)
        log.info("%s serves at %s", version, deployed.scoring_uri)
        if deployed.scoring_uri.startswith("http://"):
            log.info("warning: the service has no TLS, so that its key and what is sent to it travel in the clear.")


if __name__ == "__main__":
    main()
