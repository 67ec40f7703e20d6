"""What training hands over."""

import json
from pathlib import Path
from typing import Any, NoReturn

import mlflow
import numpy as np
import pandas as pd
import pytest
from conftest import SRC, Workspace
from mlflow import MlflowClient

from {{ cookiecutter.package_name }} import data, estimator, model, parameters, predictor, schema, train
from {{ cookiecutter.package_name }}.program import UserError
from {{ cookiecutter.package_name }}.schema import FEATURES, LABELS, THRESHOLD
from {{ cookiecutter.package_name }}.train import split


def test_split_holds_out_a_fifth_and_is_the_same_each_time() -> None:
    frame = pd.DataFrame({"row": range(100)})

    learn, held_out = split(frame)

    assert len(held_out) == 20
    assert sorted([*learn["row"], *held_out["row"]]) == list(range(100))
    pd.testing.assert_frame_equal(split(frame)[1], held_out)


def test_held_out_rows_are_those_the_model_did_not_learn_from(trained: Path) -> None:
    held_out = pd.read_parquet(trained / "candidate" / "held_out.parquet")

    pd.testing.assert_frame_equal(held_out, split(data.read(trained / "data"))[1].reset_index(drop=True))


def test_model_folder_says_what_a_request_looks_like(trained: Path) -> None:
    loaded = model.load(trained / "candidate" / "model")

    assert loaded.columns == FEATURES
    assert loaded.sample == json.loads((SRC / "request.json").read_text(encoding="utf-8"))["data"]
    assert (loaded.labels, loaded.threshold) == (LABELS, THRESHOLD)


def test_model_folder_holds_ten_rows_and_what_it_predicts_for_them(trained: Path) -> None:
    folder = trained / "candidate" / "model"
    kept = json.loads((folder / "golden_rows.json").read_text(encoding="utf-8"))
    given = data.read(trained / "data")[list(FEATURES)].to_numpy()

    assert (len(kept["rows"]), len(kept["predictions"])) == (10, 10)
    assert all((given == row).all(axis=1).any() for row in kept["rows"]), "they are rows of the data"
    np.testing.assert_array_equal(model.load(folder).predict(kept["rows"]), kept["predictions"])


def test_model_folder_is_an_mlflow_model(trained: Path) -> None:
    ours = model.load(trained / "candidate" / "model")
    loaded = mlflow.pyfunc.load_model(str(trained / "candidate" / "model"))

    predictions = loaded.predict(pd.DataFrame(ours.sample, columns=list(FEATURES), dtype=float))

    np.testing.assert_array_equal(predictions, ours.predict(ours.sample))


def test_run_holds_parameters_metrics_data_hash_and_plots(workspace_with_champion: Workspace) -> None:
    handed_over = json.loads(Path("candidate/metrics.json").read_text(encoding="utf-8"))

    run = MlflowClient().get_run(handed_over["run_id"])

    arguments = parameters.read().training
    assert {name: run.data.params[name] for name in arguments} == {
        name: str(value) for name, value in arguments.items()
    }
    assert run.data.params["data_sha256"] == data.fingerprint(Path("data"))
    assert run.data.metrics == handed_over["metrics"]
    assert [plot.path for plot in MlflowClient().list_artifacts(run.info.run_id, "plots") if plot.path.endswith(".png")]


def test_a_model_is_the_same_if_it_answers_the_same_however_its_files_differ(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, load, digests = predictor.save, predictor.load, []

    def marked(fitted: Any, folder: Path) -> None:
        save(fitted, folder)
        (folder / "made").write_text(f"{len(digests)}", encoding="utf-8")

    def last_changed(folder: Path) -> predictor.Predict:
        return lambda rows: np.append(load(folder)(rows)[:-1], (load(folder)(rows)[-1:] + 1) / 2)

    monkeypatch.setattr(predictor, "save", marked)
    for reads in (load, load, last_changed):
        monkeypatch.setattr(predictor, "load", reads)
        workspace.step("train")
        digests.append(json.loads(Path("candidate/metrics.json").read_text(encoding="utf-8"))["behaviour_sha256"])

    assert digests[0] == digests[1] != digests[2]


def test_a_model_is_another_if_it_answers_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = np.array([0.1, 0.2])
    digests = [train.behaviour(answers), train.behaviour(answers + 1e-8)]
    for name, value in {"THRESHOLD": -1.0, "LABELS": ("a", "b"), "FEATURES": ("c",)}.items():
        monkeypatch.setattr(schema, name, value)
        digests.append(train.behaviour(answers))

    assert len(set(digests)) == len(digests)
    assert train.behaviour(answers + 1e-16) == digests[-1], "another kind of CPU may change the last digit"


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"data": [[1, 2]]}', '{"data": 1}'], ids=["json", "list", "width", "rows"]
)
def test_a_request_that_does_not_fit_the_schema_is_refused(workspace: Workspace, content: str) -> None:
    Path("request.json").write_text(content, encoding="utf-8")

    with pytest.raises(SystemExit, match=r"request\.json must hold rows"):
        workspace.step("train")


def test_a_failed_training_leaves_no_candidate(workspace_with_champion: Workspace) -> None:
    (workspace_with_champion.folder / "mlflow.db").write_bytes(b"this is no database" * 100)

    with pytest.raises(SystemExit, match="cannot be used"):
        workspace_with_champion.step("train")


def test_a_metric_that_is_not_finite_fails_training(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = parameters.read().evaluation.metrics
    monkeypatch.setattr(estimator, "measure", lambda *_: dict.fromkeys(metrics, float("nan")))

    with pytest.raises(SystemExit, match=r"The candidate has \w+ nan"):
        workspace.step("train")
    assert not Path("candidate/metrics.json").exists()


def test_the_estimator_gets_the_columns_in_the_order_of_requests(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[list[str]] = []

    def fit(features: pd.DataFrame, target: pd.Series) -> NoReturn:
        given.append(list(features.columns))
        raise ValueError("enough")

    monkeypatch.setattr(estimator, "fit", fit)
    monkeypatch.setattr(parameters, "check_training", lambda *_: None)

    with pytest.raises(UserError, match="enough"):
        train.fit(data.read(Path("data")), {})
    assert given == [list(FEATURES)]


def test_what_cannot_be_measured_is_told(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(*_: object) -> NoReturn:
        raise ValueError("one class only")

    monkeypatch.setattr(estimator, "measure", measure)

    with pytest.raises(SystemExit, match="The candidate cannot be measured: one class only"):
        workspace.step("train")
