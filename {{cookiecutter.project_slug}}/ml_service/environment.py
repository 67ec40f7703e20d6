"""The environments that jobs run in: what a lock pins. As a program: make sure that one is there."""

import hashlib
import logging
import re
import tempfile
from pathlib import Path

from azureml.core import Environment, Workspace

from {{ cookiecutter.package_name }}.program import UserError

from . import ROOT, settings
from .program import parser, persist, program
from .workspace import get_workspace

log = logging.getLogger(__name__)
PROJECT = "{{ cookiecutter.project_slug }}"
IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04:20251130.v1"
PIN = re.compile(r"(?P<pin>[A-Za-z0-9][\w.-]*(\[[\w.,-]+\])?==[^\s;\\]+)(?: *; *(?P<marker>[^\\]+?))? *\\?$")
NO_PIN = re.compile(r" *(#|--hash)")


def pins(lock: str) -> list[str]:
    """Return what a lock pins, markers kept and hashes left out.

    Azure ML adds packages of its own to what it installs, and pip would refuse those for want of a hash.
    """
    return [pin(line) for line in lock.splitlines() if line.strip() and not NO_PIN.match(line)]


def pin(line: str) -> str:
    """Return what a line of a lock pins, or raise: what was left out would be missed in the job."""
    found = PIN.match(line)
    if not found:
        raise UserError(f"The lock has {line.strip()!r}, which jobs cannot get: only name==version can be sent.")
    return f"{found['pin']} ; {found['marker']}" if found["marker"] else found["pin"]


def conda(lock: str, pinned: str) -> str:
    """Return the environment of a lock, whose content is ``pinned``, as conda reads it."""
    pip = "".join(f"  - {pin}\n" for pin in pins(pinned))
    channels = "[conda-forge, nodefaults]"  # conda's own channels ask for their terms to be accepted
    head = f"# {IMAGE}\nname: {PROJECT}-{lock}\nchannels: {channels}\n"
    return f"{head}dependencies:\n- python=3.11\n- pip\n- pip:\n{pip}"


def name(lock: str, conda: str) -> str:
    """Return the name under which an environment of this text is registered: a changed text is another environment."""
    return f"{PROJECT}-{lock}-{hashlib.sha256(conda.encode()).hexdigest()[:12]}"


def read(lock: str) -> str:
    """Return what requirements/ has as the environment of a lock, as conda reads it."""
    return conda(lock, (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8"))


def get_environment(workspace: Workspace, lock: str) -> Environment:
    """Return the registered environment of the lock's content, or register it."""
    text = read(lock)
    registered = Environment.list(workspace)
    return registered.get(name(lock, text)) or describe(lock, text).register(workspace)


def describe(lock: str, text: str) -> Environment:
    """Return the environment as the SDK sends it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "conda.yml"
        path.write_text(text, encoding="utf-8")
        environment = Environment.from_conda_specification(name(lock, text), path)
    environment.docker.base_image = IMAGE
    return environment


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--lock", default="train", help="file of requirements/, without .txt (%(default)s)")
    arguments.add_argument("--show", action="store_true", help="print the environment, and ask Azure for nothing")
    chosen = arguments.parse_args()
    with program(chosen.debug):
        text = read(chosen.lock)
        if not chosen.show:
            azure = settings.read_azure()
            environment = persist(lambda: get_environment(get_workspace(azure), chosen.lock))
            log.info("Environment %s, version %s.", environment.name, environment.version)
    if chosen.show:
        print(f"# {name(chosen.lock, text)}\n{text}", end="")


if __name__ == "__main__":
    main()
