"""batch-scoring.yml: which model it scores with, whatever started it, and that what is nearly right is found."""

import pytest
from conftest import bake
from local_pipelines import PREDEFINED, edit
from test_deployment_pipelines import CHAMPION, NOTHING, Delivery, deployed, told

from pipelines_runner.errors import PipelineError
from pipelines_runner.templates import Expansion

BATCH, TEMPLATES = ".pipelines/batch-scoring.yml", ".pipelines/templates/"
PROGRAMS = ["batch_pipeline", "batch_submit --model model.json", "batch_wait"]


ANSWERS = {
    "with a deployment": {"batch_scoring": True},
    "alone": {**NOTHING, "batch_scoring": True},
}


@pytest.fixture(params=ANSWERS)
def delivery(request, cookies_session, tmp_path):
    return Delivery(bake(cookies_session, ANSWERS[request.param]), tmp_path)


def scored(build):
    return build.stages["Score"].result != "Skipped"


def check_fully(one):
    """Run it in each way in which it may start."""
    made = Expansion(one.root).pipeline(BATCH, {}, PREDEFINED, one.agent.groups)
    assert [job["timeoutInMinutes"] for stage in made["stages"] for job in stage["jobs"]] == [60, 0]
    for asked, version in (({"after": one.ci[100]}, 9), ({"modelBuildId": " 102 "}, 10)):
        build = one.run(BATCH, **asked)
        assert (build.result, deployed(build)) == ("Succeeded", {version}), told(build)
        azure = [step.told for step in build.steps() if step.written.get("task") == "AzureCLI@2"]
        assert [call.partition("ml_service.")[2].strip() for call in azure] == PROGRAMS
    for asked in ({"after": one.ci[101]}, {"modelBuildId": 101}):
        build = one.run(BATCH, **asked)
        assert (build.result, scored(build)) == ("Succeeded", False), told(build)
        assert "Build 101 handed on no model" in told(build)
    build = one.run(BATCH, after=one.ci[103])
    assert (build.result, scored(build)) == ("Succeeded", False), "it registered none, so nothing new can score"
    for asked in ({"modelBuildId": 103}, {}):
        build = one.run(BATCH, **asked)
        assert (build.result, deployed(build)) == ("Succeeded", {CHAMPION}), told(build)


def test_it_scores_with_the_model_of_a_build_and_never_with_the_latest(delivery):
    check_fully(delivery)


@pytest.mark.parametrize("failing", ["Publish the pipeline", "Start the scoring", "Wait for the scoring"])
def test_a_failure_fails_the_build(delivery, failing):
    delivery.failing = f"Score-score/{failing}"

    assert delivery.run(BATCH, after=delivery.ci[100]).result == "Failed"


def test_a_model_that_cannot_be_looked_for_scores_nothing(delivery):
    build = delivery.run(BATCH, modelBuildId="99")

    assert (build.result, scored(build)) == ("Failed", False)


FAULTS = {
    "started by another pipeline": (BATCH, "source: diabetes-regression-ci", "source: diabetes-regression-pr"),
    "started on another branch": (BATCH, "        - main\n", "        - release\n"),
    "blind to a build without a model": (BATCH, "eq(dependencies.Model.outputs['model.model.FOUND'], 'true')", "true"),
    "scores with what scored before": (
        BATCH,
        "eq(dependencies.Model.outputs['model.model.REGISTERED'], 'true')",
        "true",
    ),
    "not by hand": (BATCH, "eq(variables['Build.Reason'], 'Manual')", "false"),
    "wrong name of an output": (BATCH, "outputs['model.model.FOUND']", "outputs['model.FOUND']"),
    "does not find the model": (BATCH, "value: ${{ trim(parameters.modelBuildId) }}", "value: ''"),
    "the champion instead": (f"{TEMPLATES}score-files.yml", " --model model.json", ""),
    "no model.json": (f"{TEMPLATES}score-files.yml", "    - template: /.pipelines/templates/model-file.yml@self\n", ""),
    "does not wait": (f"{TEMPLATES}score-files.yml", "ml_service.batch_wait", "ml_service.batch_submit"),
    "cut short": (f"{TEMPLATES}score-files.yml", "timeoutInMinutes: 0", "timeoutInMinutes: 60"),
}


@pytest.fixture(scope="module")
def right(cookies_session, tmp_path_factory):
    """See that nothing is found where nothing is wrong: otherwise every fault would be."""
    check_fully(Delivery(bake(cookies_session, {"batch_scoring": True}), tmp_path_factory.mktemp("right")))


@pytest.mark.usefixtures("right")
@pytest.mark.parametrize("delivery", ["with a deployment"], indirect=True)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(delivery, fault):
    edit(delivery.root, *FAULTS[fault])

    with pytest.raises((AssertionError, KeyError, PipelineError, IndexError)):
        check_fully(delivery)


@pytest.mark.parametrize("answers", ANSWERS.values(), ids=ANSWERS)
def test_the_guide_says_what_it_depends_on(cookies_session, answers):
    guide = " ".join((bake(cookies_session, answers).path / "docs" / "azure-pipelines.md").read_text("utf-8").split())

    assert "finds it by its pipeline's name, `diabetes-regression-ci`." in guide
    assert "The end of that build starts what comes after it" in guide
    assert "*See whether the build handed one on* succeeds" in guide
