"""Batch scoring with the real SDK against the local Azure ML: its steps run with what requirements/batch.txt pins."""

import csv
import json
import os
import re
import shutil
from typing import NamedTuple

import pytest
from conftest import Project as Baked
from conftest import bake
from local_azure import PATIENCE, Project, working
from local_pipelines import agent, azure_cli, repository

from pipelines_runner.builds import answering
from pipelines_runner.job import report
from pipelines_runner.runner import Build, Ran

pytestmark = pytest.mark.slow

ROWS = 442


@pytest.fixture(scope="module")
def shared(cookies_session, environment, tmp_path_factory):
    """Return a project with two versions, of which the first has a tag, and a local Azure ML that scores."""
    folder = tmp_path_factory.mktemp("azure")
    answers = {"batch_scoring": True}
    with working(cookies_session, environment, "diabetes", folder, **answers) as project:
        project.build("first")
        (folder / "first.json").write_text(json.dumps(project.model()), encoding="utf-8")
        project.change("alpha: 0.41")
        project.build("second")
        project.script("mlflow_client(workspace).set_model_version_tag(chosen.model_name, '1', 'colour', 'red')")
    with working(cookies_session, environment, "diabetes", folder, lock="batch", **answers) as project:
        yield project


@pytest.fixture
def project(shared):
    yield shared
    shared.azure.heal()


class Scored(NamedTuple):
    """What a build left on a datastore: its place, and the files below it by their names."""

    place: str
    files: dict[str, str]

    def rows(self, name):
        return list(csv.DictReader(self.files[f"scores/{name}"].splitlines()))


def score(project: Project, build, *choice, code=0, **settings):
    """Submit and wait, and return what both printed."""
    told = project.run("batch_submit", *choice, BUILD_BUILDID=build, **settings)
    return told + project.run("batch_wait", "--every", "0.2", code=code, BUILD_BUILDID=build, **settings)


def scored(project, told, folder):
    """Fetch what was scored."""
    place, datastore = re.search(r"Scores: (\S+) on (\w+)", told).groups()
    project.script(f"workspace.datastores[{datastore!r}].download({str(folder)!r}, prefix={place!r})")
    files = {
        path.relative_to(folder / place).as_posix(): path.read_text("utf-8") for path in (folder / place).rglob("*.*")
    }
    return Scored(place, files)


OWN = "Datastore.register_azure_blob_container(workspace, 'own', 'own-container', 'ownaccount', account_key='a2V5')"


def upload(project, folder, where, datastore="workspace.get_default_datastore()", **files):
    """Put files onto a datastore, by default the workspace's."""
    folder.mkdir()
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")
    project.script(
        f"from azureml.core import Dataset\nDataset.File.upload_directory({str(folder)!r}, "
        f"({datastore}, {where!r}), overwrite=True, show_progress=False)"
    )


def last(project):
    """Return the steps of the last run by name."""
    return {step["name"]: step for step in project.azure.ask("runs")[-1]["steps"]}


def test_the_sample_is_scored_by_the_champion_where_no_storage_is_configured(project, tmp_path):
    told = score(project, "sample")

    found = scored(project, told, tmp_path)
    assert f"Scored with version 2 of diabetes-regression: {ROWS} rows of 1 of 1 files, 0 rows rejected." in told
    assert re.fullmatch(r"batch-scores/\d{4}-\d\d-\d\d/\d\d_\d\d_\d\d_\d{3}", found.place)
    rows = found.rows("sample.csv")
    assert [int(row["row"]) for row in rows] == list(range(1, ROWS + 1))
    assert {row["model_version"] for row in rows} == {"2"}
    assert json.loads(found.files["summary.json"])["rows"] == ROWS


def test_nodes_run_the_entry_script_that_was_posted(project):
    score(project, "posted", BATCH_FILES_AT_ONCE="7", BATCH_SECONDS="99", BATCH_NODES="3", BATCH_ATTEMPTS="2")

    steps = last(project)
    assert list(steps) == ["score", "publish"]
    assert "--scoring_module_name score_batches.py --mini_batch_size 7 --error_threshold 0" in steps["score"]["command"]
    assert "--run_invocation_timeout 99 --run_max_try 2" in steps["score"]["command"]
    assert "1 of 1 files went well." in steps["score"]["output"]
    posted = project.azure.ask("state?kind=graphs")[-1]["graph"]["ModuleNodes"]
    assert [json.loads(node["Runconfig"])["nodeCount"] for node in posted] == [3, 1]


CHOICES = {
    "number": (("--model-version", "1"), "version 1"),
    "tag": (("--model-tag-name", "colour", "--model-tag-value", "red"), "version 1"),
    "blanks": (("--model-version", " ", "--model-tag-name", " ", "--model-tag-value", " "), "version 2"),
}


@pytest.mark.parametrize("choice", CHOICES)
def test_the_version_is_chosen_before_a_node_starts(project, choice):
    words, version = CHOICES[choice]

    told = score(project, f"chosen by {choice}".replace(" ", "-"), *words)

    assert f"Scored with {version} of diabetes-regression: {ROWS} rows" in told
    assert project.azure.ask("runs")[-1]["parameters"]["model_version"] == version[-1]


def test_the_model_of_a_build_is_the_one_that_scores(project):
    assert "Scored with version 1 of " in score(project, "judged", "--model", "../first.json")


REFUSED = {
    "a value without a name": (("--model-tag-value", "red"), "but model_tag_name is blank: give both, or neither."),
    "no such version": (("--model-version", "9"), "has no version 9. Its versions: 2, 1."),
    "no file": (("--model", "nowhere.json"), "nowhere.json is missing"),
    "a model and a number": (("--model", "../first.json", "--model-version", "2"), "asked for, too: give one of them."),
}


@pytest.mark.parametrize("choice", REFUSED)
def test_what_cannot_be_chosen_is_told_and_starts_nothing(project, choice):
    words, said = REFUSED[choice]
    runs = len(project.azure.ask("runs"))

    told = project.run("batch_submit", *words, code=1, BUILD_BUILDID="refused")

    assert said in told.splitlines()[-1]
    assert "Traceback" not in told
    assert len(project.azure.ask("runs")) == runs


def test_a_published_pipeline_lets_its_caller_choose_and_says_what_is_wrong(project):
    values = "{'model_tag_name': ' ', 'model_tag_value': 'red'}"
    project.script(
        "from ml_service import batch_pipeline, batch_settings\nfrom ml_service.wait import until_finished\n"
        "pipeline = batch_pipeline.publish(workspace, batch_settings.read())\n"
        f"run = pipeline.submit(workspace, 'by-hand', {values})\nrun.wait_for_completion(raise_on_error=False)",
        BUILD_BUILDID="by-hand",
    )

    assert "model_tag_value is 'red', but model_tag_name is blank" in last(project)["score"]["output"]


def sample(project):
    return (project.path / "data" / "sample.csv").read_text("utf-8").splitlines()


def test_files_of_a_datastore_are_scored_and_put_where_they_are_asked_for(project, tmp_path):
    header, *rows = sample(project)
    broken = ",".join(["oops", *rows[20].split(",")[1:]])
    files = {"a.b__csv": [header, *rows[:5]], "b__csv": [header, *rows[5:20], broken, *rows[21:]], "notes__txt": ["-"]}
    upload(project, tmp_path / "in", "incoming/new", **{name: "\n".join(lines) for name, lines in files.items()})
    where = {"BATCH_INPUT_PATH": "incoming/new", "BATCH_OUTPUT_PATH": "outgoing", "BATCH_FILES_AT_ONCE": "1"}

    told = score(project, "files", **where)

    found = scored(project, told, tmp_path)
    assert f"{ROWS - 1} rows of 2 of 2 files, 1 rows rejected." in told
    assert found.place.startswith("outgoing/")
    assert [len(found.rows(name)) for name in ("a.b.csv", "b.csv")] == [5, ROWS - 6]
    assert "16,age is not a number: oops" in found.files["rejected/b.csv.csv"]
    by_target = {row["Y"]: row["score"] for row in found.rows("a.b.csv")}
    assert list(by_target) == [row.rpartition(",")[2] for row in rows[:5]]


def test_files_are_read_from_and_written_to_the_datastores_that_are_named(project, tmp_path):
    project.script(f"from azureml.core import Datastore\n{OWN}")
    lines = sample(project)
    upload(project, tmp_path / "a", "same", "workspace.datastores['own']", there__csv="\n".join(lines[:4]))
    upload(project, tmp_path / "b", "same", here__csv="\n".join(lines[:6]))
    given = {"BATCH_INPUT_PATH": "same", "BATCH_INPUT_DATASTORE": "own", "BATCH_OUTPUT_DATASTORE": "own"}

    told = score(project, "own", **given)
    other = project.run("batch_submit", code=1, BUILD_BUILDID="own", BATCH_INPUT_PATH="same")

    assert "3 rows of 1 of 1 files" in told
    assert re.search(r"Scores: batch-scores/\S+ on own", told)
    assert len(scored(project, told, tmp_path / "out").rows("there.csv")) == 3
    assert "That run scores same on datastore own, not same on datastore (default)" in other


def test_a_datastore_that_was_corrected_counts_in_the_same_build(project, tmp_path):
    project.script(f"from azureml.core import Datastore\n{OWN}")
    for number, datastore in ((4, "workspace.datastores['own']"), (6, "workspace.get_default_datastore()")):
        lines = "\n".join(sample(project)[:number])
        upload(project, tmp_path / str(number), "corrected", datastore, some__csv=lines)
    asked = {"BUILD_BUILDID": "corrected", "BATCH_INPUT_PATH": "corrected"}
    register = "batch_pipeline.get_rows(workspace, batch_settings.read())"
    project.script(
        f"from ml_service import batch_pipeline, batch_settings\n{register}", BATCH_INPUT_DATASTORE="own", **asked
    )

    told = score(project, "corrected", BATCH_INPUT_PATH="corrected")

    assert "5 rows of 1 of 1 files" in told


BAD = {
    "no file may fail": ({}, "1 files have failed, and 0 may."),
    "too many rows": ({"BATCH_ERROR_THRESHOLD": "1", "BATCH_MAX_REJECTED": "0.1"}, "20.00% of 5 rows were rejected"),
}


@pytest.mark.parametrize("why", BAD)
def test_too_much_that_cannot_be_scored_fails_the_build_and_publishes_nothing(project, tmp_path, why):
    settings, said = BAD[why]
    header, *rows = sample(project)
    good = [header, *rows[:4], ",".join(["", *rows[5].split(",")[1:]])]
    upload(project, tmp_path / "in", "bad", good__csv="\n".join(good), bad__csv="a,b\n1,2\n")
    settings |= {"BATCH_INPUT_PATH": "bad/*.csv", "BATCH_OUTPUT_PATH": f"of-{why}"}

    told = score(project, f"bad-{len(why)}", code=1, **settings)

    assert said in told
    assert "error: Step " in told
    place, prefix = str(tmp_path / "out"), settings["BATCH_OUTPUT_PATH"]
    project.script(f"workspace.get_default_datastore().download({place!r}, prefix={prefix!r})")
    assert not list((tmp_path / "out").rglob("*.*"))


def test_files_that_may_fail_are_named(project, tmp_path):
    upload(project, tmp_path / "in", "mixed", good__csv="\n".join(sample(project)), bad__csv="a,b\n1,2\n")

    told = score(project, "mixed", BATCH_INPUT_PATH="mixed", BATCH_ERROR_THRESHOLD="1")

    found = scored(project, told, tmp_path)
    assert f"{ROWS} rows of 1 of 2 files" in told
    assert "has no column age" in json.loads(found.files["summary.json"])["failed"]["bad.csv"]
    assert "scores/bad.csv" not in found.files


def test_a_file_that_no_attempt_could_score_is_named(project, tmp_path):
    name = "x" * 250  # for which there is no record
    upload(project, tmp_path / "in", "long", **{"good__csv": "\n".join(sample(project)), f"{name}__csv": "a,b\n1,2\n"})
    settings = {"BATCH_INPUT_PATH": "long", "BATCH_ERROR_THRESHOLD": "-1", "BATCH_FILES_AT_ONCE": "1"}

    told = score(project, "long", **settings)

    assert f"{ROWS} rows of 1 of 2 files" in told
    assert list(json.loads(scored(project, told, tmp_path).files["summary.json"])["failed"]) == [f"{name}.csv"]


def test_scores_are_where_they_were_to_go_when_the_pipeline_was_published(project, tmp_path):
    project.run("batch_pipeline", BUILD_BUILDID="moved", BATCH_OUTPUT_PATH="first")

    told = score(project, "moved", BATCH_OUTPUT_PATH="second")

    assert "Scores: first/" in told
    assert "summary.json" in scored(project, told, tmp_path).files


def test_a_path_without_files_is_named(project):
    told = project.run("batch_submit", code=1, BUILD_BUILDID="nothing", BATCH_INPUT_PATH="no/such/place")

    assert "has nothing at no/such/place, which BATCH_INPUT_PATH names." in told


def test_submitting_twice_starts_one_run(project):
    score(project, "twice")
    runs = len(project.azure.ask("runs"))

    again = score(project, "twice")

    assert "Build twice has its run already" in again
    assert len(project.azure.ask("runs")) == runs
    same = project.run("batch_submit", "--model-version", "2", BUILD_BUILDID="twice")
    other = project.run("batch_submit", "--model-version", "1", BUILD_BUILDID="twice", code=1)
    assert "scores with" not in same
    assert "That run scores with version 2 of diabetes-regression, not with version 1" in other


def test_more_nodes_than_the_cluster_has_are_refused(project):
    assert "BATCH_NODES is above COMPUTE_MAX_NODES" in project.run("batch_submit", code=1, BATCH_NODES="9")


def test_no_key_is_in_what_was_posted(project):
    posted = json.dumps(
        [project.azure.ask(f"state?kind={kind}") for kind in ("graphs", "modules", "pipelines", "runs")]
    )

    assert "ZW11bGF0ZWQ" not in posted
    assert "AccountKey" not in posted


def test_jobs_have_what_the_lock_pins(project):
    names = [environment[-1]["name"] for environment in project.azure.ask("state?kind=environments")]

    assert sorted(name.rpartition("-")[0] for name in names) == [
        "diabetes-regression-batch",
        "diabetes-regression-train",
    ]


@pytest.mark.tool("make")
def test_the_pipeline_scores_with_the_model_of_a_build(project, tmp_path, cookies_session):
    tools = azure_cli(tmp_path / "tools", project.azure.environment["SUBSCRIPTION_ID"])
    told_otherwise = ("SUBSCRIPTION_ID", "RESOURCE_GROUP", "WORKSPACE_NAME", "AZURE_FEDERATED_TOKEN_FILE")
    known = {name: value for name, value in project.azure.environment.items() if name not in told_otherwise}
    path = f"{tools}:{project.python.parent}:{os.environ['PATH']}"
    baked, without = bake(cookies_session, {"batch_scoring": True}), (".env", "model.json")
    root = repository(Baked(project.path, baked.answers), tmp_path / "root", project.python, without=without)
    local = agent(baked, root, tmp_path / "agent", **{**known, **PATIENCE, "PATH": path, "NO_PROXY": "127.0.0.1"})
    artifacts = local.folder / "artifacts-100"
    (artifacts / "model").mkdir(parents=True)
    shutil.copy(project.path.parent / "first.json", artifacts / "model" / "model.json")
    ended = Build({"Train": Ran("Succeeded")}, artifacts, "100", ".pipelines/ci.yml", "refs/heads/main")
    local.builds.append(ended)

    with answering(local):
        build = local.run(".pipelines/batch-scoring.yml", after=ended)

    told = report(build.steps())
    assert build.result == "Succeeded", told
    assert f"Scored with version 1 of diabetes-regression: {ROWS} rows of 1 of 1 files" in told
