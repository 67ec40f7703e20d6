"""Ask a deployed service for the predictions of its own sample, and check that they are predictions.

The key of a service of Azure ML is fetched from there; that of a Web App is read from the variable SCORING_KEY.
"""

import os
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from {{ cookiecutter.package_name }} import smoke_test
from {{ cookiecutter.package_name }}.program import UserError

from . import settings
from .program import parser, persist, program

if TYPE_CHECKING:  # a Web App needs none of the SDK, which takes seconds to import
    from azureml.core import Webservice, Workspace

WEB_APP = "Webapp"
TYPES = ("ACI", "AKS", WEB_APP)
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Address(NamedTuple):
    """Where a service is, without a path at the end, and the key that it asks for."""

    url: str
    key: str | None

    def __repr__(self) -> str:
        return self.url


def address(service: "Webservice") -> Address:
    """Return where a service of Azure ML is."""
    if not service.scoring_uri:
        raise UserError(f"Service {service.name} has no address; Azure ML says that it is {service.state}.")
    keys = service.get_keys() if service.auth_enabled else (None,)
    return Address(service.scoring_uri.removesuffix("/score"), keys[0])


def of_service(workspace: "Workspace", kind: str, name: str) -> Address:
    """Return where the service of this name is."""
    from azureml.core import Webservice  # noqa: PLC0415
    from azureml.exceptions import WebserviceException  # noqa: PLC0415

    try:
        service = Webservice(workspace, name)
    except WebserviceException as error:
        if "WebserviceNotFound" not in str(error):
            raise
        raise UserError(f"Workspace {workspace.name} has no service {name}.") from error
    if service.compute_type != kind:
        raise UserError(f"Service {name} is of type {service.compute_type}, not {kind}.")
    return address(service)


def of_web_app(url: str) -> Address:
    """Return where a Web App is, which a key is not sent to in the clear."""
    parts = urlsplit(url if "://" in url else f"https://{url}")
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise UserError(f"{url} is not https: its key would travel in the clear.")
    key = os.environ.get("SCORING_KEY", "")
    if not re.fullmatch(r"[!-~]+", key):
        raise UserError("SCORING_KEY must hold the key of the Web App: letters, digits and signs, no blanks.")
    return Address(parts.geturl().rstrip("/"), key)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--type", required=True, choices=TYPES, help="what kind of service it is")
    arguments.add_argument("--service", required=True, help="its name; of a Web App, its address")
    arguments.add_argument("--attempts", type=int, help=f"how often to try ({smoke_test.ATTEMPTS})")
    chosen = arguments.parse_args()
    with program(chosen.debug):
        if chosen.type == WEB_APP:
            where = of_web_app(chosen.service)
        else:
            from .workspace import get_workspace  # noqa: PLC0415

            build = settings.read()
            where = persist(lambda: of_service(get_workspace(build), chosen.type, chosen.service))
        smoke_test.tell(smoke_test.within_bounds(where.url, where.key, attempts=chosen.attempts))


if __name__ == "__main__":
    main()
