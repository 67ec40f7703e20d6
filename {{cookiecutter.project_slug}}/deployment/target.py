"""Where scoring images run: what deployment/release.py asks of a target. Each has a folder with its own answers."""

from typing import Any, NamedTuple, Protocol


class Deployed(NamedTuple):
    """What a target is set to, in the target's own words: all that it takes to set it to that again."""

    image: str  # registry/name@sha256:...
    settings: str = ""  # a digest of what is declared beside the image; blank: they are no part of a release
    build: str = ""  # which build set it; blank: the target does not tell
    body: Any = None

    @property
    def release(self) -> tuple[str, str]:
        return self.image, self.settings

    @property
    def identity(self) -> tuple[str, str, str]:
        return self.image, self.settings, self.build


class Target(Protocol):
    """A place that serves one scoring image at a time. All but `log` raise AzureError with what mends it."""

    name: str  # what its numbers in the registry begin with
    shown: str  # what people call it

    def check(self, image: str) -> None:
        """Raise what it lacks to run an image of this registry, before anything is changed."""

    def read(self) -> Deployed | None:
        """Return what it is set to; None where there is nothing yet."""

    def wanted(self, image: str) -> Deployed:
        """Return what it is to be set to."""

    def put(self, deployed: Deployed) -> None:
        """Set it, and wait until Azure says that this is done. What serves then is for others to see."""

    def remove(self) -> None:
        """Take away what a first release has left."""

    def address(self) -> str:
        """Return where callers reach it, without a path."""

    def log(self) -> str:
        """Return the end of what its container has printed; blank if nobody knows."""
