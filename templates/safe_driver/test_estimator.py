"""The example's own figures, and the gate on them. Replace this file with your model's."""

import json
from pathlib import Path

import lightgbm
import numpy as np
import pytest
from conftest import Workspace

from {{ cookiecutter.package_name }} import data, model, schema, scoring
from {{ cookiecutter.package_name }}.estimator import fit, measure
from {{ cookiecutter.package_name }}.model import as_served
from {{ cookiecutter.package_name }}.program import UserError
from {{ cookiecutter.package_name }}.sample import sample
from {{ cookiecutter.package_name }}.schema import FEATURES, TARGET, THRESHOLD
from {{ cookiecutter.package_name }}.scoring import Service
from {{ cookiecutter.package_name }}.train import split

ARGUMENTS = {"learning_rate": 0.1, "num_leaves": 15, "rounds": 500, "early_stopping": 20}


@pytest.fixture(scope="module")
def fitted() -> lightgbm.Booster:
    """Return a model of all rows of the sample."""
    learn, _ = split(sample())
    return fit(learn[list(FEATURES)], learn[TARGET], **ARGUMENTS)


def test_sample_is_like_the_real_data() -> None:
    frame = sample()

    assert frame.shape == (100_000, 59)
    assert frame[TARGET].mean() == pytest.approx(0.036, abs=0.002)
    missing = (frame[list(FEATURES)] == -1).mean()
    published = {"ps_ind_05_cat": 0.01, "ps_reg_03": 0.181, "ps_car_03_cat": 0.691, "ps_car_05_cat": 0.448}
    published |= {"ps_car_07_cat": 0.019, "ps_car_14": 0.072, "ps_calc_01": 0, "ps_ind_01": 0}
    assert {name: missing[name] for name in published} == pytest.approx(published, abs=0.005)


def test_the_signal_can_be_learned(fitted: lightgbm.Booster) -> None:
    _, held_out = split(sample())

    metrics = measure(held_out[TARGET].to_numpy(), fitted.predict(held_out[list(FEATURES)]), THRESHOLD)

    assert 0.65 < metrics["auc"] < 0.95
    assert metrics["f1"] > 0.1


def test_training_stops_when_it_does_not_improve(fitted: lightgbm.Booster) -> None:
    learn, _ = split(sample())
    impatient = fit(learn[list(FEATURES)], learn[TARGET], **{**ARGUMENTS, "early_stopping": 1})

    assert 0 < impatient.best_iteration < fitted.best_iteration < ARGUMENTS["rounds"]
    assert fitted.dump_model()["tree_info"][0]["num_leaves"] == ARGUMENTS["num_leaves"]


def test_a_claim_is_what_reaches_the_threshold() -> None:
    assert THRESHOLD == 0.08
    assert measure(np.array([0, 1]), np.array([0.0799, 0.08]), THRESHOLD) == {"auc": 1, "f1": 1}


def test_rows_of_one_class_cannot_be_measured() -> None:
    with pytest.raises(ValueError, match="no claim among 2 rows"):
        measure(np.array([0, 0]), np.array([0.1, 0.2]), THRESHOLD)


def test_the_champion_is_judged_at_its_own_threshold(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    sample().head(20_000).to_csv("data/sample.csv", index=False)
    workspace.run()
    measured = json.loads(Path("candidate/metrics.json").read_text(encoding="utf-8"))["metrics"]
    monkeypatch.setattr(schema, "THRESHOLD", 0.9)
    workspace.step("train")

    workspace.step("evaluate")

    decision = json.loads(Path("decision/decision.json").read_text(encoding="utf-8"))
    assert decision["champion"]["metrics"] == pytest.approx(measured)
    assert decision["candidate"]["f1"] < measured["f1"]


def test_training_again_gives_the_same_model_to_the_last_digit(workspace: Workspace) -> None:
    texts = []
    for _ in range(2):
        workspace.step("train")
        texts.append(Path("candidate/model/trees.txt").read_bytes())

    assert texts[0] == texts[1]


@pytest.mark.parametrize(("column", "value"), [("ps_reg_03", 1e6), ("ps_reg_03", float("inf")), (TARGET, -1.0)])
def test_values_out_of_bounds_are_refused(tmp_path: Path, column: str, value: float) -> None:
    frame = sample().head(100).astype(float)
    frame.loc[5, column] = value
    frame.to_csv(tmp_path / "bad.csv", index=False)

    with pytest.raises(UserError, match=f"column {column} breaks .* line 7"):
        data.read(tmp_path)


def test_the_model_serves_as_it_was_fitted(fitted: lightgbm.Booster) -> None:
    rows = split(sample())[1][list(FEATURES)]

    np.testing.assert_array_equal(as_served(fitted)(rows.to_numpy()), fitted.predict(rows))


def test_better_models_are_promoted_and_worse_ones_refused(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    sample().head(20_000).to_csv("data/sample.csv", index=False)
    outcomes = []
    workspace.set("evaluation", metrics={"auc": "higher", "f1": "higher"}, promote_if="none_worse")
    for rounds in (2, 40, 2):
        workspace.set("training", **{**ARGUMENTS, "rounds": rounds})
        workspace.run()
        version = workspace.champion()
        outcomes.append((rounds, version and version.number))

    assert outcomes == [(2, 1), (40, 2), (2, 2)]
    assert "Model was not registered for this run. auc 0." in caplog.text
    assert "Asked for: none_worse." in caplog.text


def test_what_the_estimator_refuses_is_told_by_the_file_to_change(workspace: Workspace) -> None:
    workspace.set("training", num_leaves=1)

    with pytest.raises(SystemExit, match=r"parameters\.yml: training: the estimator refuses it: .*num_leaves"):
        workspace.step("train")


@pytest.mark.parametrize("change", [{"early_stopping": 0}, {"rounds": -1}, {"learning_rate": 0.0}])
def test_an_argument_out_of_bounds_is_told_by_its_name(workspace: Workspace, change: dict[str, float]) -> None:
    workspace.set("training", **change)

    with pytest.raises(SystemExit, match=f"{next(iter(change))}: Input should be greater than 0"):
        workspace.step("train")


def test_two_drivers_get_two_probabilities_and_two_labels(workspace: Workspace) -> None:
    workspace.step("train")
    service = Service(model.load(Path("candidate/model")), name="tested", version=1)

    status, answer, _ = scoring.score(service, Path("request.json").read_bytes())

    assert status == 200
    answered = json.loads(answer)
    assert [0 < probability < 1 for probability in answered["result"]] == [True, True]
    assert answered["label"] == ["claim" if p >= 0.08 else "no claim" for p in answered["result"]]
