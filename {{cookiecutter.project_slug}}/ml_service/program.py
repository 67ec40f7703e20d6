"""What every program here shares: its arguments, and errors of Azure told in a sentence."""

import argparse
import contextlib
import io
import logging
import os
import re
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import TypeVar

from {{ cookiecutter.package_name }} import program as local
from {{ cookiecutter.package_name }}.program import UserError, in_one_line

LIBRARIES = ("adal", "azure", "azureml", "msal", "msrest", "urllib3")
STATUS = re.compile(r"(?:Code: |status code |failed |too many )\W?(\d{3})")

# What passes by itself, and how long to wait between attempts. The SDK repeats most reading by itself, but no writing.
TRANSIENT = (408, 429, 500, 502, 503, 504)
ATTEMPTS = 3
PAUSE = float(os.environ.get("AZUREML_DEFAULT_BACKOFF", "20"))  # seconds; the SDK's own variable

T = TypeVar("T")

log = logging.getLogger(__name__)

# What MLflow's server answers by a word instead of a status.
CODES = {"AuthenticationFailed": 401, "ExpiredAuthenticationToken": 401, "AuthorizationFailed": 403, "Forbidden": 403}

REMEDIES = {
    401: "Azure does not accept the login, which may have expired: log in again.",
    403: "Azure refuses: this identity has no permission. It needs the role Contributor on the workspace.",
    404: "Azure does not know what was asked for.",
    429: "Azure asks to wait: too many requests. Try again later.",
}


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with what all programs take."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--debug", action="store_true", help="show what the SDK prints, and tracebacks")
    return parser


@contextlib.contextmanager
def program(debug: bool) -> Iterator[None]:
    """Wrap a ``main()``: end any error with a sentence and exit code 1, and show its traceback only when asked to."""
    with local.program(), contextlib.ExitStack() as stack:
        if not debug:
            stack.enter_context(quiet())
        try:
            yield
        except Exception as error:
            if debug:
                traceback.print_exc()
            if isinstance(error, UserError):
                raise
            raise UserError(sentence(error)) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep back what the SDK prints and warns of. Our own lines are logged, and still come through."""
    for library in LIBRARIES:
        logging.getLogger(library).setLevel(logging.CRITICAL)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def persist(action: Callable[[], T]) -> T:
    """Do what may be done twice, and do it again where Azure fails in passing."""
    for attempt in range(1, ATTEMPTS):
        try:
            return action()
        except Exception as error:
            if status(error) not in TRANSIENT:
                raise
            log.info("Azure answered %s; trying again in %.0f s.", status(error), PAUSE * attempt)
            time.sleep(PAUSE * attempt)
    return action()


def sentence(error: Exception) -> str:
    """Say what went wrong and what to do."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}."
    remedy = REMEDIES.get(status(error) or 0, "Azure ML did not do what was asked of it.")
    return f"{remedy} {reason(error)} ({type(error).__name__}; --debug shows more)"


def status(error: BaseException | None) -> int | None:
    """Return the HTTP status that an error of any of the SDK's libraries stands for."""
    while error is not None:
        for holder in (error, getattr(error, "response", None)):
            code = getattr(holder, "status_code", None)
            if isinstance(code, int):
                return code
        answer = getattr(error, "json", None)  # of MLflow's RestException
        if isinstance(answer, dict) and (code := CODES.get(str((answer.get("error") or answer).get("code")))):
            return code
        if found := STATUS.search(str(error)):
            return int(found[1])
        error = getattr(error, "inner_exception", None) or error.__cause__ or error.__context__
    return None


def reason(error: Exception) -> str:
    """Return an error's own message in one line."""
    return in_one_line(str(getattr(error, "message", None) or error))


def quote(text: str, lines: int = 20) -> None:
    """Show the end of somebody else's log, none of it a command to the build agent."""
    for line in text.splitlines()[-lines:]:
        log.info("    %s", line.replace("##", "# #"))
