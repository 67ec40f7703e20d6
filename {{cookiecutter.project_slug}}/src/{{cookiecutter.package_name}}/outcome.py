"""What became of a candidate, for whoever waits for its run: outcome.json, kept with the run that registers."""

from pydantic import BaseModel, ConfigDict, FiniteFloat

FILE = "outcome.json"


class Outcome(BaseModel):
    """``version`` is None where the model was not registered, and ``reason`` says why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: int | None
    reason: str
    metrics: dict[str, FiniteFloat]
    model_digest: str
