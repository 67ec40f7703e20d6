"""What training hands over."""

import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from conftest import Workspace

from {{ cookiecutter.package_name }} import data, model
from {{ cookiecutter.package_name }}.estimator import fit
from {{ cookiecutter.package_name }}.schema import FEATURES, SAMPLE, TARGET
from {{ cookiecutter.package_name }}.tracking import connect
from {{ cookiecutter.package_name }}.train import split


@pytest.mark.parametrize(("alpha", "mse"), [(0.4, 3295.7149), (0.5, 3298.8856), (0.41, 3295.6477)])
def test_training_gives_the_known_figures(workspace: Workspace, alpha: float, mse: float) -> None:
    workspace.set("training", alpha=alpha)

    workspace.step("train")

    metrics = json.loads(Path("candidate/metrics.json").read_text(encoding="utf-8"))["metrics"]
    assert metrics == {"mse": pytest.approx(mse, rel=1e-7)}


def test_split_holds_out_a_fifth_and_is_the_same_each_time() -> None:
    frame = pd.DataFrame({"row": range(100)})

    learn, held_out = split(frame)

    assert len(held_out) == 20
    assert sorted([*learn["row"], *held_out["row"]]) == list(range(100))
    pd.testing.assert_frame_equal(split(frame)[1], held_out)


def test_held_out_rows_are_those_the_model_did_not_learn_from(trained: Path) -> None:
    held_out = pd.read_parquet(trained / "candidate" / "held_out.parquet")

    pd.testing.assert_frame_equal(held_out, split(data.read(trained / "data"))[1].reset_index(drop=True))


def test_model_folder_predicts_as_the_estimator_did(trained: Path) -> None:
    learn, held_out = split(data.read(trained / "data"))
    estimator = fit(learn[list(FEATURES)], learn[TARGET], alpha=0.4)

    predictions = model.load(trained / "candidate" / "model").predict(held_out[list(FEATURES)])

    np.testing.assert_allclose(predictions, estimator.predict(held_out[list(FEATURES)]), rtol=1e-12)


def test_model_folder_says_what_a_request_looks_like(trained: Path) -> None:
    loaded = model.load(trained / "candidate" / "model")

    assert loaded.columns == FEATURES
    assert loaded.sample == [list(row) for row in SAMPLE]


def test_model_folder_is_an_mlflow_model(trained: Path) -> None:
    loaded = mlflow.pyfunc.load_model(str(trained / "candidate" / "model"))

    predictions = loaded.predict(pd.DataFrame(SAMPLE, columns=list(FEATURES)))

    np.testing.assert_array_equal(predictions, model.load(trained / "candidate" / "model").predict(SAMPLE))


def test_run_holds_parameters_metrics_data_hash_and_plots(workspace_with_champion: Workspace) -> None:
    handed_over = json.loads(Path("candidate/metrics.json").read_text(encoding="utf-8"))

    run = connect().get_run(handed_over["run_id"])

    assert run.data.params["alpha"] == "0.4"
    assert run.data.params["data_sha256"] == data.fingerprint(Path("data"))
    assert run.data.metrics == handed_over["metrics"]
    plots = [artifact.path for artifact in connect().list_artifacts(run.info.run_id, "plots")]
    assert plots == ["plots/predicted_against_actual.png", "plots/residuals.png"]


def test_a_failed_training_leaves_no_candidate(workspace_with_champion: Workspace) -> None:
    (workspace_with_champion.folder / "mlflow.db").write_bytes(b"this is no database" * 100)

    with pytest.raises(SystemExit, match="cannot be opened"):
        workspace_with_champion.step("train")
