"""Register the candidate as a new version of the model, if the decision is to promote it."""

import logging

from mlflow import MlflowClient

from . import handover, parameters, registry, tracking
from .handover import Candidate, Decision
from .outcome import FILE, Outcome
from .pipeline import BY_HAND, parse_arguments
from .program import UserError, program
from .registry import Version

BEHAVIOUR = "behaviour_sha256"
PROMOTIONS = {None: "evaluated", "RUN_EVALUATION": "not_evaluated", "ALLOW_RUN_CANCEL": "forced"}

log = logging.getLogger(__name__)


def lineage(candidate: Candidate, decision: Decision) -> dict[str, str]:
    """Return the tags that say what a version was made of and how it was judged, metrics among them."""
    return {
        **{name: repr(value) for name, value in decision.candidate.items()},
        "data_sha256": candidate.data_sha256,
        BEHAVIOUR: candidate.behaviour_sha256,
        "model_digest": decision.model_digest,
        "promotion": PROMOTIONS[decision.overridden_by],
    }


def check_champion(decision: Decision, champion: Version | None) -> None:
    """Raise unless the champion is still the version that the candidate was judged against."""
    judged_against = decision.champion.version if decision.champion else None
    serving = champion.number if champion else None
    if decision.overridden_by is None and judged_against != serving:
        raise UserError(
            f"The candidate was judged against version {judged_against}, but the champion is version {serving} by now: "
            "run the evaluation step again."
        )


def register(client: MlflowClient, name: str, run_id: str, decision: Decision, tags: dict[str, str]) -> Outcome:
    """Add a version, or say why the champion stays the one that is to serve.

    What the candidate's run gave to this build already is this build's. What it gave to another was overtaken since,
    unless it is the champion: the candidate was found better again, so it is added again.
    """
    champion, known = registry.champion(client, name), registry.versions(client, name)
    earlier = next((version for version in known if version.run_id == run_id), None)
    if earlier and earlier.tags.get("build_id") == tags["build_id"] and registry.WITHDRAWN not in earlier.tags:
        return outcome(name, earlier, decision, registered=True)
    alike = next((version for version in known if version.tags.get(BEHAVIOUR) == tags[BEHAVIOUR]), None)
    if alike and alike.run_id != run_id and tags["build_id"] == BY_HAND:
        alike = None  # whoever trains a model again by hand means it
    if (reason := refusal(decision, champion, alike)) is not None:
        return outcome(name, champion, decision.model_copy(update={"reason": reason}))
    check_champion(decision, champion)
    return outcome(name, registry.add(client, name, run_id, tags), decision, registered=True)


def refusal(decision: Decision, champion: Version | None, alike: Version | None) -> str | None:
    """Say why a candidate is not added, or nothing. ``alike`` is the newest version that answers the same."""
    if not decision.promote:
        return decision.reason
    if champion and champion.tags.get("model_digest") == decision.model_digest:
        return f"It is {champion}, the champion, byte for byte."
    if alike and registry.WITHDRAWN in alike.tags and decision.overridden_by != "RUN_EVALUATION":
        return f"It answers as {alike} did, which was withdrawn: train another, or add it by RUN_EVALUATION=false."
    return None


def outcome(name: str, version: Version | None, decision: Decision, registered: bool = False) -> Outcome:
    """Describe the version that is to serve, as the registry has it."""
    tags = version.tags if version else {}
    return Outcome(
        name=name,
        version=version.number if version else None,
        registered=registered,
        reason=decision.reason,
        metrics={metric: float(tags[metric]) for metric in decision.candidate if metric in tags},
        model_digest=tags.get("model_digest", ""),
    )


@program()
def main() -> None:
    arguments = parse_arguments("register", __doc__)
    candidate = handover.read(Candidate, arguments.candidate / "metrics.json", "run the training step again")
    decision = handover.read(Decision, arguments.decision / "decision.json", "run the evaluation step again")
    if registry.digest(arguments.candidate / "model") != decision.model_digest:
        raise UserError("The candidate is not the model that was judged: run the evaluation step again.")

    asked_by = {name: getattr(arguments, name) for name in ("build_id", "build_uri", "caller_run_id")}
    tags = {**parameters.read().registration.tags, **lineage(candidate, decision), **asked_by}
    with tracking.store() as client:
        became = register(client, arguments.model_name, candidate.run_id, decision, tags)
        tracking.log_text(client, candidate.run_id, became.model_dump_json(indent=2) + "\n", FILE)
    if became.registered:
        log.info("Registered version %d of %s.", became.version, became.name)
    else:
        log.info("Model was not registered for this run. %s", became.reason)


if __name__ == "__main__":
    main()
