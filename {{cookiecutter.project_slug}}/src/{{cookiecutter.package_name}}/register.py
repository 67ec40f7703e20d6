"""Register the candidate as a new version of the model, if the decision is to promote it."""

import logging

from mlflow import MlflowClient

from . import handover, parameters, registry, tracking
from .handover import Candidate, Decision
from .outcome import FILE, Outcome, describe
from .pipeline import parse_arguments
from .program import UserError, program
from .registry import Version

PROMOTIONS = {None: "evaluated", "RUN_EVALUATION": "not_evaluated", "ALLOW_RUN_CANCEL": "forced"}

Tags = dict[str, str]

log = logging.getLogger(__name__)


def lineage(candidate: Candidate, decision: Decision) -> dict[str, str]:
    """Return the tags that say what a version was made of and how it was judged, metrics among them."""
    return {
        **{name: repr(value) for name, value in decision.candidate.items()},
        "data_sha256": candidate.data_sha256,
        "model_digest": decision.model_digest,
        "promotion": PROMOTIONS[decision.overridden_by],
    }


def check_champion(decision: Decision, champion: Version | None) -> None:
    """Raise unless the champion is still the version that the candidate was judged against."""
    judged_against = decision.champion.version if decision.champion else None
    serving = champion.number if champion else None
    if decision.overridden_by is None and judged_against != serving:
        told = f"The candidate was judged against version {judged_against}, but the champion is version {serving}"
        raise UserError(f"{told} by now: run the evaluation step again.")


def refusal(champion: Version | None, known: list[Version], decision: Decision, content: str) -> str:
    """Say why a candidate is not added, or nothing.

    A withdrawn model comes back only for a person who overrides the judgement, as where only its files were gone.
    """
    if not decision.promote:
        return decision.reason
    if champion and champion.tags.get("content_sha256") == content:
        return f"It has the content of {champion}, the champion."
    same = next((version for version in known if version.tags.get("content_sha256") == content), None)
    if same and registry.WITHDRAWN in same.tags and decision.overridden_by is None:
        remedy = "change parameters, code or data, or promote it without evaluation"
        return f"It has the content of {same}, which was withdrawn: {remedy}."
    return ""


def register(client: MlflowClient, name: str, run_id: str, decision: Decision, tags: Tags) -> Outcome:
    """Add a version, or say why the champion stays the one that is to serve.

    What the candidate's run gave to this build already is this build's, unless it was withdrawn.
    """
    champion, known = registry.champion(client, name), registry.versions(client, name)
    own = [version for version in known if (version.run_id, version.tags.get("build_id")) == (run_id, tags["build_id"])]
    if own and registry.WITHDRAWN not in own[0].tags:
        return describe(name, own[0], decision.reason, decision.candidate, registered=True)
    withdrawn = f"This training gave {own[0]}, which was withdrawn." if own else ""
    if reason := withdrawn or refusal(champion, known, decision, tags["content_sha256"]):
        return describe(name, champion, reason, decision.candidate, registered=False)
    check_champion(decision, champion)
    added = registry.add(client, name, run_id, tags)
    return describe(name, added, decision.reason, decision.candidate, registered=True)


@program()
def main() -> None:
    arguments = parse_arguments("register", __doc__)
    candidate = handover.read(Candidate, arguments.candidate / "metrics.json", "run the training step again")
    decision = handover.read(Decision, arguments.decision / "decision.json", "run the evaluation step again")
    if registry.digest(arguments.candidate / "model") != decision.model_digest:
        raise UserError("The candidate is not the model that was judged: run the evaluation step again.")

    tags = parameters.read().registration.tags | lineage(candidate, decision)
    tags |= {name: getattr(arguments, name) for name in ("build_id", "build_uri", "caller_run_id")}
    tags["content_sha256"] = registry.digest(arguments.candidate / "model", registry.STAMPED)
    with tracking.store() as client:
        became = register(client, arguments.model_name, candidate.run_id, decision, tags)
        tracking.log_text(client, candidate.run_id, became.model_dump_json(indent=2) + "\n", FILE)
    if became.registered:
        log.info("Registered version %d of %s.", became.version, became.name)
    else:
        log.info("Model was not registered for this run. %s", became.reason)


if __name__ == "__main__":
    main()
