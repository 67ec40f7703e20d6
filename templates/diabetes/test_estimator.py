"""The example's own figures, and the gate on them. Replace this file with your model's."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Workspace

from {{ cookiecutter.package_name }} import data
from {{ cookiecutter.package_name }}.estimator import fit
from {{ cookiecutter.package_name }}.model import as_served
from {{ cookiecutter.package_name }}.program import UserError
from {{ cookiecutter.package_name }}.sample import sample
from {{ cookiecutter.package_name }}.schema import FEATURES, TARGET
from {{ cookiecutter.package_name }}.train import split


@pytest.mark.parametrize(("alpha", "mse"), [(0.4, 3295.7149), (0.5, 3298.8856), (0.41, 3295.6477)])
def test_training_gives_the_known_figures(workspace: Workspace, alpha: float, mse: float) -> None:
    workspace.set("training", alpha=alpha)

    workspace.step("train")

    metrics = json.loads(Path("candidate/metrics.json").read_text(encoding="utf-8"))["metrics"]
    assert metrics == {"mse": pytest.approx(mse, rel=1e-7)}


@pytest.mark.parametrize(("column", "value"), [("bmi", 1e6), ("bmi", float("inf")), (TARGET, -1.0)])
def test_values_out_of_bounds_are_refused(tmp_path: Path, column: str, value: float) -> None:
    frame = sample().head(100).astype(float)
    frame.loc[5, column] = value
    frame.to_csv(tmp_path / "bad.csv", index=False)

    with pytest.raises(UserError, match=f"column {column} breaks .* line 7"):
        data.read(tmp_path)


def test_the_model_serves_as_it_was_fitted() -> None:
    learn, held_out = split(sample())
    fitted = fit(learn[list(FEATURES)], learn[TARGET], alpha=0.4)
    rows = held_out[list(FEATURES)]

    np.testing.assert_allclose(as_served(fitted)(rows.to_numpy()), fitted.predict(rows), rtol=1e-12)


def test_better_models_are_promoted_and_worse_ones_refused(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    workspace.set("evaluation", metrics={"mse": "lower"})
    outcomes = []
    for alpha in (0.5, 0.4, 0.5, 0.41):
        workspace.set("training", alpha=alpha)
        workspace.run()
        version = workspace.champion()
        outcomes.append((alpha, version and version.number))

    assert outcomes == [(0.5, 1), (0.4, 2), (0.5, 2), (0.41, 3)]
    assert "Model was not registered for this run. mse 3298.8856 is worse than version 2's 3295.7149" in caplog.text


def test_what_the_estimator_refuses_is_told_by_the_file_to_change(workspace: Workspace) -> None:
    workspace.set("training", alpha=-1.0)

    with pytest.raises(SystemExit, match=r"parameters\.yml: training: the estimator refuses it: .*alpha"):
        workspace.step("train")
