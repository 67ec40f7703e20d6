"""Compare the candidate with the champion on the same held-out rows, and decide which of the two serves."""

import logging
import math
import tempfile
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient

from . import estimator, handover, model, parameters, registry, schema, tracking
from .handover import Candidate, Champion, Decision, Metrics
from .parameters import Evaluation, Rule
from .pipeline import parse_arguments
from .program import UserError, program

log = logging.getLogger(__name__)

TRAIN_AGAIN = "run the training step again"


def decide(
    candidate: Metrics,
    champion: Champion | None,
    evaluation: Evaluation,
    run_evaluation: bool = True,
    allow_run_cancel: bool = True,
) -> Decision:
    """Promote a candidate that beats the champion by the rule that ``evaluation`` in parameters.yml names.

    Without a champion the candidate is promoted. The two switches promote it as well, and the decision names the
    switch where it overrode the figures.
    """
    if not run_evaluation:
        reason = "RUN_EVALUATION is false: the candidate was not compared with any champion."
        return Decision(promote=True, reason=reason, candidate=candidate, overridden_by="RUN_EVALUATION")
    if champion is None:
        return Decision(promote=True, reason="There is no champion to beat.", candidate=candidate)

    better = beats(gains(candidate, champion, evaluation), evaluation.promote_if)
    overridden = not better and not allow_run_cancel
    return Decision(
        promote=better or overridden,
        reason=("ALLOW_RUN_CANCEL is false, so the champion does not count: " if overridden else "")
        + compare(candidate, champion, evaluation),
        candidate=candidate,
        champion=champion,
        overridden_by="ALLOW_RUN_CANCEL" if overridden else None,
    )


def gains(candidate: Metrics, champion: Champion, evaluation: Evaluation) -> dict[str, float]:
    """Return how much better the candidate is in each metric: above zero is better, below is worse."""
    return {
        name: (champion.metrics[name] - candidate[name]) * (1 if direction == "lower" else -1)
        for name, direction in evaluation.metrics.items()
    }


def beats(gained: dict[str, float], rule: Rule) -> bool:
    """Apply a rule to the gains. Equal is not better."""
    better = [gain > 0 for gain in gained.values()]
    if rule == "none_worse":
        return any(better) and all(gain >= 0 for gain in gained.values())
    return all(better) if rule == "all_better" else any(better)


def compare(candidate: Metrics, champion: Champion, evaluation: Evaluation) -> str:
    """Say how the candidate did: ``loss 0.31 is better than version 1's 0.34 (lower is better).``"""
    told = []
    for name, gain in gains(candidate, champion, evaluation).items():
        verdict = "better than" if gain > 0 else "worse than" if gain < 0 else "equal to"
        figures = f"{name} {candidate[name]:.8g} is {verdict} version {champion.version}'s {champion.metrics[name]:.8g}"
        told.append(f"{figures} ({evaluation.metrics[name]} is better)")
    asked = f" Asked for: {evaluation.promote_if}." if len(told) > 1 else ""
    return f"{'; '.join(told)}.{asked}"


def measure(folder: Path, held_out: pd.DataFrame) -> Metrics:
    """Measure a model folder on the held-out rows. Raises whatever the model raises if it cannot score them."""
    judged = model.load(folder)
    predictions = judged.predict(held_out[list(judged.columns)])
    return estimator.measure(held_out[schema.TARGET].to_numpy(), predictions, judged.threshold)


def measure_candidate(folder: Path, evaluation: Evaluation, held_out: pd.DataFrame) -> Metrics:
    """Return the candidate's metrics, and make sure that what training wrote down is true of the model beside it."""
    written = handover.read(Candidate, folder / "metrics.json", TRAIN_AGAIN).metrics
    handover.check_metrics(written, evaluation, f"{folder / 'metrics.json'}")
    try:
        measured = measure(folder / "model", held_out)
    except Exception as error:  # a model may raise anything
        raise UserError(f"The candidate cannot score the held-out rows: {error!r}: {TRAIN_AGAIN}.") from error
    handover.check_metrics(measured, evaluation, "The candidate")
    for name in evaluation.metrics:
        if not math.isclose(measured[name], written[name], rel_tol=1e-9):
            told = f"{folder / 'metrics.json'} says {name} {written[name]:.8g}"
            raise UserError(f"{told}, but the model beside it has {measured[name]:.8g}: {TRAIN_AGAIN}.")
    return measured


def measure_champion(
    client: MlflowClient, name: str, evaluation: Evaluation, held_out: pd.DataFrame
) -> Champion | None:
    """Return the champion's metrics on the candidate's held-out rows, or None if there is no champion."""
    version = registry.champion(client, name)
    if version is None:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "champion"
        registry.fetch(version, folder)
        try:
            metrics = measure(folder, held_out)
        except Exception as error:  # a model may raise anything
            told = f"The champion, {version}, cannot score the held-out rows: {error!r}."
            raise UserError(f"{told} Withdraw it, or run once with RUN_EVALUATION=false.") from error
    handover.check_metrics(metrics, evaluation, f"The champion, {version},")
    return Champion(version=version.number, metrics=metrics)


@program()
def main() -> None:
    arguments = parse_arguments("evaluate", __doc__)
    evaluation = parameters.read().evaluation
    (arguments.decision / "decision.json").unlink(missing_ok=True)  # it is about another candidate
    held_out = handover.read_held_out(arguments.candidate, TRAIN_AGAIN)
    candidate = measure_candidate(arguments.candidate, evaluation, held_out)
    champion = None
    if arguments.run_evaluation:
        with tracking.store() as client:
            champion = measure_champion(client, arguments.model_name, evaluation, held_out)
    decision = decide(candidate, champion, evaluation, arguments.run_evaluation, arguments.allow_run_cancel)
    decision = decision.model_copy(update={"model_digest": registry.digest(arguments.candidate / "model")})
    handover.write(decision, arguments.decision / "decision.json")
    log.info("%s %s", "Promote:" if decision.promote else "Do not promote:", decision.reason)


if __name__ == "__main__":
    main()
