"""What became of a candidate, for whoever waits for its run: outcome.json, kept with the run that registers."""

from pydantic import BaseModel, ConfigDict, FiniteFloat

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
