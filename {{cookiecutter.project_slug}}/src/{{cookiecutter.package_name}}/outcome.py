"""What became of a candidate, for whoever waits for its run: outcome.json, kept with the run that registers."""

from pydantic import BaseModel, ConfigDict, FiniteFloat

from .registry import Version

FILE = "outcome.json"


class Outcome(BaseModel):
    """The version that is to serve: the candidate if it was ``registered``, else the champion, and ``reason`` says why.

    ``version`` is None where nothing may serve. Metrics and digest are the version's own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: int | None
    registered: bool
    reason: str
    metrics: dict[str, FiniteFloat] = {}
    model_digest: str = ""


def describe(name: str, version: Version | None, reason: str, metrics: dict[str, float], registered: bool) -> Outcome:
    """Describe the version that is to serve, as the registry has it."""
    number, tags = (version.number, version.tags) if version else (None, {})
    known, digest = {key: float(tags[key]) for key in metrics if key in tags}, tags.get("model_digest", "")
    return Outcome(name=name, version=number, registered=registered, reason=reason, metrics=known, model_digest=digest)
