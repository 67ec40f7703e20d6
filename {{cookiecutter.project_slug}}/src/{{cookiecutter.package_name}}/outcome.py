"""What became of a candidate, for whoever waits for its run: outcome.json, kept with the run that registers."""

from pydantic import BaseModel, ConfigDict, FiniteFloat

FILE = "outcome.json"


class Outcome(BaseModel):
    """``version`` is None where the model was not registered, and ``reason`` says why.

    ``build_id`` is the build that registered it, which is an earlier one where its training was used again.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: int | None
    build_id: str
    reason: str
    metrics: dict[str, FiniteFloat]
    model_digest: str
