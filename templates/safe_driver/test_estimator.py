"""The example's own figures, and the gate on them. Replace this file with your model's."""

import json
from pathlib import Path

import lightgbm
import numpy as np
import pytest
from conftest import Workspace

from {{ cookiecutter.package_name }} import model, scoring
from {{ cookiecutter.package_name }}.estimator import fit, measure
from {{ cookiecutter.package_name }}.model import as_served
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
    assert missing["ps_car_03_cat"] == pytest.approx(0.691, abs=0.01)
    assert missing["ps_reg_03"] == pytest.approx(0.181, abs=0.01)
    assert missing["ps_calc_01"] == 0


def test_the_signal_can_be_learned(fitted: lightgbm.Booster) -> None:
    _, held_out = split(sample())

    metrics = measure(held_out[TARGET].to_numpy(), fitted.predict(held_out[list(FEATURES)]), THRESHOLD)

    assert 0.65 < metrics["auc"] < 0.95
    assert metrics["f1"] > 0.1


def test_training_stops_when_it_does_not_improve(fitted: lightgbm.Booster) -> None:
    assert 0 < fitted.best_iteration < ARGUMENTS["rounds"]


def test_training_again_gives_the_same_model_to_the_last_digit(workspace: Workspace) -> None:
    texts = []
    for _ in range(2):
        workspace.step("train")
        texts.append(Path("candidate/model/trees.txt").read_bytes())

    assert texts[0] == texts[1]


def test_the_model_serves_as_it_was_fitted(fitted: lightgbm.Booster) -> None:
    rows = split(sample())[1][list(FEATURES)]

    np.testing.assert_array_equal(as_served(fitted)(rows.to_numpy()), fitted.predict(rows))


def test_better_models_are_promoted_and_worse_ones_refused(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    sample().head(20_000).to_csv("data/sample.csv", index=False)
    outcomes = []
    for rounds in (2, 40, 2):
        workspace.set("training", rounds=rounds)
        workspace.run()
        version = workspace.champion()
        outcomes.append((rounds, version and version.number))

    assert outcomes == [(2, 1), (40, 2), (2, 2)]
    assert "Model was not registered for this run. auc 0." in caplog.text
    assert "Asked for: none_worse." in caplog.text


def test_what_the_estimator_refuses_is_told_by_the_file_to_change(workspace: Workspace) -> None:
    workspace.set("training", learning_rate=-1.0)

    with pytest.raises(SystemExit, match=r"parameters\.yml: training: the estimator refuses it: .*learning_rate"):
        workspace.step("train")


def test_two_drivers_get_two_probabilities_and_two_labels(workspace: Workspace) -> None:
    workspace.step("train")
    service = Service(model.load(Path("candidate/model")), name="tested", version=1)

    status, answer = scoring.score(service, Path("request.json").read_bytes())

    assert status == 200
    answered = json.loads(answer)
    assert [0 < probability < 1 for probability in answered["result"]] == [True, True]
    assert answered["label"] == ["claim" if p >= 0.08 else "no claim" for p in answered["result"]]
