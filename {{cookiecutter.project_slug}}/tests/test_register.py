"""What is registered, how often, and what is not."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import Workspace
from mlflow import MlflowClient

from {{ cookiecutter.package_name }} import registry
from {{ cookiecutter.package_name }}.pipeline import MODEL_NAME


def count() -> int:
    return len(registry.versions(MlflowClient(), MODEL_NAME))


def test_a_version_carries_metrics_lineage_and_the_tags_of_parameters_yml(workspace: Workspace) -> None:
    workspace.set("registration", tags={"area": "testing"})
    workspace.step("train")
    workspace.step("evaluate")

    workspace.step("register", "--build-id", "42", "--build-uri", "https://example.com/42")

    version = workspace.champion()
    handed_over = json.loads(Path("candidate/metrics.json").read_text(encoding="utf-8"))
    assert version is not None
    assert version.run_id == handed_over["run_id"]
    metrics = {name: float(version.tags.pop(name)) for name in handed_over["metrics"]}
    assert metrics == handed_over["metrics"]
    assert len(version.tags.pop("model_digest")) == len(handed_over["behaviour_sha256"]) == 64
    assert version.tags == {
        "area": "testing",
        "behaviour_sha256": handed_over["behaviour_sha256"],
        "build_id": "42",
        "build_uri": "https://example.com/42",
        "caller_run_id": "none",
        "data_sha256": handed_over["data_sha256"],
        "promotion": "evaluated",
    }


def outcome(workspace: Workspace) -> dict[str, Any]:
    """Return what the last run kept about what became of its candidate."""
    run_id = json.loads(Path("candidate/metrics.json").read_text(encoding="utf-8"))["run_id"]
    path = MlflowClient().download_artifacts(run_id, "outcome.json", str(workspace.folder))
    content: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return content


def test_a_run_keeps_what_became_of_its_candidate(workspace_with_champion: Workspace) -> None:
    version = workspace_with_champion.champion()
    first = outcome(workspace_with_champion)
    workspace_with_champion.run()
    second = outcome(workspace_with_champion)

    assert version is not None
    assert (first["version"], first["registered"]) == (1, True)
    assert first["model_digest"] == version.tags["model_digest"]
    assert first["metrics"] == {name: float(version.tags[name]) for name in first["metrics"]} != {}
    assert (second["version"], second["registered"]) == (1, False)
    assert "is equal to version 1's" in second["reason"]
    assert {**second, "registered": True, "reason": first["reason"]} == first


def test_the_champion_s_own_bytes_are_not_registered_again(workspace_with_champion: Workspace) -> None:
    workspace_with_champion.step("evaluate", "--run-evaluation", "false")

    workspace_with_champion.step("register", "--build-id", "another")

    became = outcome(workspace_with_champion)
    assert (became["version"], became["registered"], count()) == (1, False, 1)
    assert "byte for byte" in became["reason"]


def test_where_no_champion_is_left_no_version_is_to_serve(workspace_with_champion: Workspace) -> None:
    workspace_with_champion.step("train")
    workspace_with_champion.step("evaluate")
    workspace_with_champion.call("withdraw", "--version", "1")

    workspace_with_champion.step("register")

    became = outcome(workspace_with_champion)
    assert (became["version"], became["registered"], became["model_digest"]) == (None, False, "")


def test_in_a_job_the_outcome_is_kept_with_the_job(
    workspace_with_champion: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient()
    trained_in = json.loads(Path("candidate/metrics.json").read_text(encoding="utf-8"))["run_id"]
    job = client.create_run(client.get_run(trained_in).info.experiment_id).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", job)

    workspace_with_champion.step("register")

    assert [file.path for file in client.list_artifacts(job)] == ["outcome.json"]


def test_a_run_is_registered_once(workspace_with_champion: Workspace) -> None:
    workspace_with_champion.step("register")

    assert count() == 1
    assert outcome(workspace_with_champion)["registered"] is True


def test_a_run_that_was_overtaken_and_is_better_again_is_registered_again(workspace_with_champion: Workspace) -> None:
    run = workspace_with_champion.champion()
    shutil.copytree("candidate", "kept")
    workspace_with_champion.run("--run-evaluation", "false")
    shutil.rmtree("candidate")
    Path("kept").rename("candidate")
    workspace_with_champion.step("evaluate", "--run-evaluation", "false")

    workspace_with_champion.step("register", "--build-id", "another")

    champion = workspace_with_champion.champion()
    assert run is not None
    assert champion is not None
    assert (champion.number, champion.run_id) == (3, run.run_id)


@pytest.mark.parametrize(
    ("switch", "promotion"), [("--run-evaluation", "not_evaluated"), ("--allow-run-cancel", "forced")]
)
def test_a_switch_that_promotes_is_tagged(workspace_with_champion: Workspace, switch: str, promotion: str) -> None:
    workspace_with_champion.run(switch, "false")

    version = workspace_with_champion.champion()

    assert version is not None
    assert (version.number, version.tags["promotion"]) == (2, promotion)


def test_an_equal_candidate_is_not_registered(workspace_with_champion: Workspace) -> None:
    workspace_with_champion.run()

    assert count() == 1


def test_a_candidate_judged_against_another_champion_is_not_registered(workspace_with_champion: Workspace) -> None:
    workspace_with_champion.step("train")
    workspace_with_champion.step("evaluate")
    promote()
    workspace_with_champion.call("withdraw", "--version", "1")

    with pytest.raises(SystemExit, match="judged against version 1, but the champion is version None"):
        workspace_with_champion.step("register")
    assert count() == 1


def test_a_candidate_changed_after_it_was_judged_is_not_registered(workspace: Workspace) -> None:
    workspace.step("train")
    workspace.step("evaluate")
    Path("candidate/model/added").touch()

    with pytest.raises(SystemExit, match="not the model that was judged"):
        workspace.step("register")
    assert count() == 0


def promote() -> None:
    """Have the judge find the candidate better."""
    decision = json.loads(Path("decision/decision.json").read_text(encoding="utf-8"))
    Path("decision/decision.json").write_text(json.dumps({**decision, "promote": True}), encoding="utf-8")


@pytest.mark.parametrize(
    ("steps", "switch", "build", "serves"),
    [
        (["evaluate"], "", "local", 1),
        (["evaluate"], "", "43", 1),
        (["train", "evaluate"], "", "43", 1),
        (["train", "evaluate"], "--allow-run-cancel=false", "43", 1),
        (["train", "evaluate"], "--run-evaluation=false", "43", 3),
        (["train", "evaluate"], "", "local", 3),
    ],
)
def test_a_withdrawn_model_comes_back_by_a_person_only(
    workspace_with_champion: Workspace, steps: list[str], switch: str, build: str, serves: int
) -> None:
    data = Path("data/sample.csv")
    data.write_text("".join(data.read_text(encoding="utf-8").splitlines(keepends=True)[:-1]), encoding="utf-8")
    workspace_with_champion.run("--run-evaluation", "false")
    workspace_with_champion.call("withdraw", "--version", "2")
    for step in steps:
        workspace_with_champion.step(step, *([switch] if switch and step == "evaluate" else []))
    promote()

    workspace_with_champion.step("register", "--build-id", build)

    became = outcome(workspace_with_champion)
    assert (became["version"], became["registered"], count()) == (serves, serves == 3, max(serves, 2))
    assert (f"It answers as version 2 of {MODEL_NAME} did, which was withdrawn: " in became["reason"]) == (serves == 1)


def test_a_decision_that_is_missing_is_an_error(workspace: Workspace) -> None:
    workspace.step("train")

    with pytest.raises(SystemExit, match=r"decision\.json is missing"):
        workspace.step("register")


def test_a_decision_about_another_candidate_is_not_taken_for_this_one(workspace_with_champion: Workspace) -> None:
    workspace_with_champion.step("train")
    workspace_with_champion.step("evaluate")
    workspace_with_champion.step("train")

    with pytest.raises(SystemExit, match="not the model that was judged"):
        workspace_with_champion.step("register")
