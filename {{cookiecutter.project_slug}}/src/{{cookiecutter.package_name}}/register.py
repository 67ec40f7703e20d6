"""Register the candidate as a new version of the model, if the decision is to promote it."""

import logging

from . import handover, model, parameters, registry, tracking
from .handover import Candidate, Decision
from .pipeline import parse_arguments
from .program import UserError, program
from .registry import Version

PROMOTIONS = {None: "evaluated", "RUN_EVALUATION": "not_evaluated", "ALLOW_RUN_CANCEL": "forced"}

log = logging.getLogger(__name__)


def lineage(candidate: Candidate, decision: Decision, build_id: str, build_uri: str) -> dict[str, str]:
    """Return the tags that say where a version comes from and how it was judged, metrics among them."""
    return {
        **{name: repr(value) for name, value in decision.candidate.items()},
        "data_sha256": candidate.data_sha256,
        "model_digest": decision.model_digest,
        "promotion": PROMOTIONS[decision.overridden_by],
        "build_id": build_id,
        "build_uri": build_uri,
    }


def check_registered(version: Version) -> None:
    """Raise if the version that this run gave already may not serve."""
    if registry.WITHDRAWN in version.tags:
        raise UserError(f"This run gave {version}, which was withdrawn: run the training step again.")


def check_champion(decision: Decision, champion: Version | None) -> None:
    """Raise unless the champion is still the version that the candidate was judged against."""
    judged_against = decision.champion.version if decision.champion else None
    serving = champion.number if champion else None
    if decision.overridden_by is None and judged_against != serving:
        raise UserError(
            f"The candidate was judged against version {judged_against}, but the champion is version {serving} by now: "
            "run the evaluation step again."
        )


@program()
def main() -> None:
    arguments = parse_arguments("register", __doc__)
    candidate = handover.read(Candidate, arguments.candidate / "metrics.json", "run the training step again")
    decision = handover.read(Decision, arguments.decision / "decision.json", "run the evaluation step again")
    if model.digest(arguments.candidate / "model") != decision.model_digest:
        raise UserError("The candidate is not the model that was judged: run the evaluation step again.")
    if not decision.promote:
        log.info("Model was not registered for this run. %s", decision.reason)
        return

    name = arguments.model_name
    with tracking.store() as client:
        if version := registry.of_run(client, name, candidate.run_id):
            check_registered(version)
            log.info("This run gave %s already.", version)
            return
        check_champion(decision, registry.champion(client, name))
        tags = lineage(candidate, decision, arguments.build_id, arguments.build_uri)
        version = registry.add(client, name, candidate.run_id, {**parameters.read().registration.tags, **tags})
        log.info("Registered %s.", version)


if __name__ == "__main__":
    main()
