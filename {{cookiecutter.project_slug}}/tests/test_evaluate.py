"""Which candidate is promoted, and what makes the comparison impossible."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import SRC, Workspace

from {{ cookiecutter.package_name }} import estimator, parameters
from {{ cookiecutter.package_name }}.evaluate import decide
from {{ cookiecutter.package_name }}.handover import Champion
from {{ cookiecutter.package_name }}.parameters import Evaluation
from {{ cookiecutter.package_name }}.schema import FEATURES

BOTH = {"loss": "lower", "gain": "higher"}
METRIC = next(iter(parameters.read(SRC / "parameters.yml").evaluation.metrics))
LOSS = Evaluation(metrics={"loss": "lower"})


@pytest.mark.parametrize(
    ("candidate", "champion", "directions", "promote"),
    [
        pytest.param({"loss": 1.0}, {"loss": 2.0}, {"loss": "lower"}, True, id="lower-lower"),
        pytest.param({"loss": 2.0}, {"loss": 1.0}, {"loss": "lower"}, False, id="lower-higher"),
        pytest.param({"loss": 1.0}, {"loss": 1.0}, {"loss": "lower"}, False, id="lower-equal"),
        pytest.param({"gain": 2.0}, {"gain": 1.0}, {"gain": "higher"}, True, id="higher-higher"),
        pytest.param({"gain": 1.0}, {"gain": 2.0}, {"gain": "higher"}, False, id="higher-lower"),
        pytest.param({"gain": 1.0}, {"gain": 1.0}, {"gain": "higher"}, False, id="higher-equal"),
        pytest.param({"loss": 1.0, "gain": 2.0}, {"loss": 2.0, "gain": 1.0}, BOTH, True, id="both_better"),
        pytest.param({"loss": 1.0, "gain": 1.0}, {"loss": 2.0, "gain": 1.0}, BOTH, True, id="one_better_one_equal"),
        pytest.param({"loss": 1.0, "gain": 1.0}, {"loss": 2.0, "gain": 2.0}, BOTH, False, id="one_better_one_worse"),
        pytest.param({"loss": 1.0, "gain": 1.0}, {"loss": 1.0, "gain": 1.0}, BOTH, False, id="both_equal"),
        pytest.param({"loss": -2.0}, {"loss": -1.0}, {"loss": "lower"}, True, id="negative"),
    ],
)
def test_promotes_what_is_better(
    candidate: dict[str, float], champion: dict[str, float], directions: dict[str, Any], promote: bool
) -> None:
    decision = decide(candidate, Champion(version=7, metrics=champion), Evaluation(metrics=directions))

    assert decision.promote == promote
    assert decision.overridden_by is None
    assert "version 7" in decision.reason


@pytest.mark.parametrize(
    ("gain", "none_worse", "all_better", "any_better"),
    [(2.0, True, True, True), (1.0, True, False, True), (0.5, False, False, True)],
    ids=["better", "equal", "worse"],
)
def test_several_metrics_combine_by_the_rule_that_is_configured(
    gain: float, none_worse: bool, all_better: bool, any_better: bool
) -> None:
    champion = Champion(version=1, metrics={"loss": 2.0, "gain": 1.0})
    for rule, promote in {"none_worse": none_worse, "all_better": all_better, "any_better": any_better}.items():
        decision = decide({"loss": 1.0, "gain": gain}, champion, Evaluation(metrics=BOTH, promote_if=rule))

        assert decision.promote == promote, rule
        assert f"Asked for: {rule}." in decision.reason


def test_promotes_the_first_model() -> None:
    assert decide({"loss": 9e9}, None, LOSS).promote


def test_run_evaluation_false_promotes_without_comparing() -> None:
    decision = decide({"loss": 2.0}, None, LOSS, run_evaluation=False)

    assert (decision.promote, decision.overridden_by) == (True, "RUN_EVALUATION")


@pytest.mark.parametrize(("loss", "overridden_by"), [(2.0, "ALLOW_RUN_CANCEL"), (0.5, None)], ids=["worse", "better"])
def test_allow_run_cancel_false_promotes_and_says_so_where_it_overrode_the_figures(
    loss: float, overridden_by: str | None
) -> None:
    champion = Champion(version=1, metrics={"loss": 1.0})

    decision = decide({"loss": loss}, champion, LOSS, allow_run_cancel=False)

    assert (decision.promote, decision.overridden_by) == (True, overridden_by)


def rewrite(path: str, **changes: Any) -> None:
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    Path(path).write_text(json.dumps({**content, **changes}), encoding="utf-8")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        pytest.param(None, f"has no metric '{METRIC}'", id="absent"),
        pytest.param(float("nan"), rf"metrics\.{METRIC}: .*finite", id="nan"),
        pytest.param("low", rf"metrics\.{METRIC}: .*number", id="text"),
        pytest.param(123.0, f"says {METRIC} 123, but the model beside it has", id="untrue"),
    ],
)
def test_a_metric_that_cannot_be_trusted_is_an_error(workspace_with_champion: Workspace, value: Any, said: str) -> None:
    measured = json.loads(Path("candidate/metrics.json").read_text(encoding="utf-8"))["metrics"]
    del measured[METRIC]
    rewrite("candidate/metrics.json", metrics=measured if value is None else {**measured, METRIC: value})

    with pytest.raises(SystemExit, match=said):
        workspace_with_champion.step("evaluate")
    assert not Path("decision/decision.json").exists()


def test_a_metric_that_the_estimator_does_not_measure_is_an_error(workspace_with_champion: Workspace) -> None:
    workspace_with_champion.set("evaluation", metrics={"no_such": "higher"})

    with pytest.raises(SystemExit, match=f"has no metric 'no_such'; it has {METRIC}"):
        workspace_with_champion.step("evaluate")


@pytest.mark.parametrize("gone", ["metrics.json", "held_out.parquet", "model/schema.json"])
def test_an_incomplete_candidate_is_an_error(workspace_with_champion: Workspace, gone: str) -> None:
    Path("candidate", gone).unlink()

    with pytest.raises(SystemExit, match="training step again"):
        workspace_with_champion.step("evaluate")


def test_a_champion_that_cannot_score_the_rows_is_an_error_with_a_remedy(workspace_with_champion: Workspace) -> None:
    held_out = pd.read_parquet("candidate/held_out.parquet")
    renamed = {FEATURES[0]: "renamed"}
    held_out.rename(columns=renamed).to_parquet("candidate/held_out.parquet")
    description = json.loads(Path("candidate/model/schema.json").read_text(encoding="utf-8"))
    description["columns"][0]["name"] = "renamed"
    rewrite("candidate/model/schema.json", **description)

    with pytest.raises(SystemExit, match=r"version 1 of .* cannot score the held-out rows.*Withdraw it"):
        workspace_with_champion.step("evaluate")
    workspace_with_champion.step("evaluate", "--run-evaluation", "false")


def test_a_failed_evaluation_leaves_no_decision(workspace_with_champion: Workspace) -> None:
    Path("candidate/metrics.json").unlink()

    with pytest.raises(SystemExit):
        workspace_with_champion.step("evaluate")
    assert not Path("decision/decision.json").exists()


def test_a_metric_that_is_not_finite_is_an_error(
    workspace_with_champion: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = parameters.read().evaluation.metrics
    monkeypatch.setattr(estimator, "measure", lambda *_: dict.fromkeys(metrics, float("nan")))

    with pytest.raises(SystemExit, match=r"The candidate has \w+ nan"):
        workspace_with_champion.step("evaluate")
