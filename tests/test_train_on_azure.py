"""Publish, submit and wait with the real SDK against the local Azure ML: the truth table, and what surrounds it."""

from typing import NamedTuple

import pytest
from local_azure import working

pytestmark = pytest.mark.slow

# Arguments of training: of the first model, of a better one, and of two that are worse than both.
ARGUMENTS = {
    "diabetes": ("alpha: 0.4", "alpha: 0.41", "alpha: 0.5", "alpha: 0.6"),
    "safe_driver": ("rounds: 5", "rounds: 50", "rounds: 3", "rounds: 2"),
}


class Build(NamedTuple):
    told: str
    model: dict | None


@pytest.fixture(scope="module", params=["diabetes", pytest.param("safe_driver", marks=pytest.mark.prove)])
def project(request, cookies_session, environment, tmp_path_factory):
    with working(cookies_session, environment, request.param, tmp_path_factory.mktemp("azure")) as project:
        yield project


@pytest.fixture(scope="module")
def builds(project):
    """Return what became of builds: one for each way in which a run can end well, and two that train nothing new."""
    first, better, worse, worst = ARGUMENTS[project.example]
    rows = {
        "first": (first, {}),
        "worse": (worse, {"TF_BUILD": "True"}),
        "better": (better, {"BUILD_URI": "https://example.com/better", "CALLER_RUN_ID": "caller"}),
        "not-evaluated": (worse, {"RUN_EVALUATION": "False"}),
        "forced": (worst, {"ALLOW_RUN_CANCEL": "false"}),
        "equal": (worst, {}),
        "registered-before": (worst, {"RUN_EVALUATION": "false"}),
        "reverted": (better, {}),
    }
    done = {}
    for name, (argument, settings) in rows.items():
        project.change(argument)
        told = project.build(name, **settings)
        done[name] = Build(told, project.model())
    return done


def test_the_first_model_is_registered(builds):
    told, model = builds["first"]

    assert "There is no champion to beat." in told
    assert model["version"] == 1
    assert model.keys() == {"name", "version", "registered", "metrics", "model_digest", "workspace"}
    assert model["registered"] is True


def test_nodes_pull_images_with_an_identity_of_their_own(project, builds):
    (cluster,) = project.azure.ask("state?kind=computes")

    assert cluster["identity"]["type"].lower() == "systemassigned"


def test_a_worse_model_ends_in_a_warning_with_the_reason(builds):
    told, model = builds["worse"]

    assert "##vso[task.logissue type=warning]Model was not registered for this run. " in told
    assert " is worse than version 1's " in told
    assert "The champion stays: version 1 of " in told
    assert "##vso[task.setvariable variable=MODEL_REGISTERED]false" in told
    assert "task.complete" not in told, "a build with issues may start nothing"
    assert model == {**builds["first"].model, "registered": False}


def test_a_better_model_is_version_2(builds):
    told, model = builds["better"]

    assert " is better than version 1's " in told
    assert model["version"] == 2


def test_switches_register_a_worse_model(builds):
    assert builds["not-evaluated"].model["version"] == 3
    assert "ALLOW_RUN_CANCEL is false" in builds["forced"].told
    assert builds["forced"].model["version"] == 4


def test_going_back_to_a_better_model_makes_it_champion_again(builds):
    told, model = builds["reverted"]

    assert " is better than version 4's " in told
    assert model == {**builds["better"].model, "version": 5}


def test_versions_say_how_they_came_to_be(project, builds):
    versions = project.versions()

    told = {number: (tags["build_id"], tags["promotion"], tags["caller_run_id"]) for number, tags in versions.items()}
    assert told == {
        1: ("first", "evaluated", "none"),
        2: ("better", "evaluated", "caller"),
        3: ("not-evaluated", "not_evaluated", "none"),
        4: ("forced", "forced", "none"),
        5: ("reverted", "evaluated", "none"),
    }
    assert versions[2]["build_uri"] == "https://example.com/better"
    for name, build in builds.items():
        tags = versions[build.model["version"]]
        assert tags["model_digest"] == build.model["model_digest"]
        assert build.model["metrics"]
        assert {name: float(tags[name]) for name in build.model["metrics"]} == build.model["metrics"]
        assert build.model["registered"] == (tags["build_id"] == name)


def test_the_sdk_sees_the_same_models_as_mlflow(project, builds, tmp_path):
    told = project.script(
        "from azureml.core import Model\n"
        "found = Model.list(workspace, name=chosen.model_name)\n"
        "print(sorted((model.version, model.tags['build_id']) for model in found))\n"
        f"print(Model(workspace, chosen.model_name, version=2).download({str(tmp_path)!r}))\n"
    )

    expected = [(number, tags["build_id"]) for number, tags in sorted(project.versions().items())]
    assert str(expected) in told
    assert list(tmp_path.rglob("schema.json"))


def test_unchanged_training_is_used_again_and_loses_nothing(project, builds):
    used_again = ("not-evaluated", "equal", "registered-before", "reverted")
    runs = {run["parameters"]["build_id"]: run["steps"] for run in project.azure.ask("runs")}

    reused = {build: [step["reused"] for step in steps] for build, steps in runs.items()}
    assert reused == {build: [build in used_again, False, False] for build in builds}
    assert " is equal to version 4's " in builds["equal"].told
    for name in ("equal", "registered-before"):
        assert builds[name].model == {**builds["forced"].model, "registered": False}
    assert "the champion, byte for byte." in builds["registered-before"].told


def test_a_withdrawn_version_comes_back_neither_by_its_training_nor_by_the_same_again(project, builds):
    project.run("withdraw", "--version", "5", BUILD_BUILDID="any")
    project.change(ARGUMENTS[project.example][1])
    champion = {**builds["forced"].model, "registered": False}

    used_again = project.build("used-again")
    assert " was not registered for this run. It answers as version 5 of " in used_again
    assert project.model() == champion
    app = next(project.path.glob("src/*/app.py"))
    app.write_text(app.read_text("utf-8") + "# changed\n", encoding="utf-8")
    trained_again = project.build("trained-again")
    assert " was not registered for this run. It answers as version 5 of " in trained_again
    assert project.model() == champion
    brought_back = project.build("brought-back", RUN_EVALUATION="false")
    assert "Registered version 6 of " in brought_back
