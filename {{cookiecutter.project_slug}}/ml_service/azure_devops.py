"""Ask Azure DevOps about builds, as a job of one. Standard library only: jobs that need no more set up no more."""

import json
import urllib.error
import urllib.request
from typing import Any

from environment_setup.azure_cli import variable

from {{ cookiecutter.package_name }}.program import UserError

LONGEST = 10_000_000  # bytes of an answer


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Azure DevOps answers a token that it does not accept by sending to a page for logging in."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Do not follow: the token would go with it."""


def shown(value: object) -> str:
    """Return what somebody else wrote, short, and without commands to the build agent."""
    return f"{value!r:.60}".replace("##", "# #")


def ask(path: str, body: Any = None) -> dict[str, Any] | None:
    """Return what Azure DevOps answers to a question, or to a body that is sent; None if there is no such thing."""
    url = f"{variable('SYSTEM_COLLECTIONURI')}{variable('SYSTEM_TEAMPROJECTID')}/_apis/build/{path}?api-version=7.1"
    headers = {"Authorization": f"Bearer {variable('SYSTEM_ACCESSTOKEN')}", "Accept": "application/json"}
    sent = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, sent, {**headers, "Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.build_opener(NoRedirect).open(request, timeout=60) as answer:
            return dict(json.loads(answer.read(LONGEST)))
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise UserError(f"Azure DevOps answered {error.code} when asked for {path}: run the job again.") from error
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"Azure DevOps gave no answer when asked for {path}: {type(error).__name__}.") from error
