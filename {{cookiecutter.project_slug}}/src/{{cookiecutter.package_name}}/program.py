"""What every program here shares: log lines on standard output, and errors a person can mend told in a sentence."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # scoring has no pydantic
    from pydantic import ValidationError

OURS = (__package__, "__main__", "ml_service")
LONGEST = 400  # characters of somebody else's message


class UserError(Exception):
    """Something a person can mend. The message names the thing and the remedy."""


def invalid(source: Path | str, error: "ValidationError") -> UserError:
    """Turn what pydantic found into one sentence per key."""
    sentences = []
    for found in error.errors():
        key = ".".join(map(str, found["loc"])) or "the whole file"
        sentences.append(f"{source}: {key}: {found['msg']}; it is {found['input']!r:.60}.")
    return UserError("\n".join(sentences))


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.tmp")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def in_one_line(message: str) -> str:
    """Return somebody else's message without line breaks, and not more of it than one can read."""
    message = " ".join(message.split())
    return f"{message[:LONGEST]}..." if len(message) > LONGEST else message


def set_up_logging() -> None:
    """Print what our modules log, and of others what they warn of."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # it has a level of its own
    for ours in OURS:
        logging.getLogger(ours).setLevel(logging.INFO)


@contextmanager
def program() -> Iterator[None]:
    """Wrap a ``main()``: set up logging, and end a `UserError` with its sentence and exit code 1, Ctrl-C with 130."""
    set_up_logging()
    try:
        yield
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
