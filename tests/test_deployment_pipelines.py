"""Deployment after a build: which stages of cd.yml run, on which model, whatever was chosen and went before.

Nothing is deployed here. Which model it is, and whether there is one, is found out for real.
"""

import itertools
import json

import pytest
from conftest import bake
from local_pipelines import LOGIN, PREDEFINED, agent, edit, expanded, repository

from pipelines_runner.builds import answering
from pipelines_runner.errors import PipelineError
from pipelines_runner.job import report
from pipelines_runner.runner import Build, Ran
from pipelines_runner.tasks import TASKS
from pipelines_runner.templates import Expansion

pytestmark = pytest.mark.slow

CD, CI = ".pipelines/cd.yml", ".pipelines/ci.yml"
DEPLOYS = "Deploy the image, and go back if it does not serve"
FETCHES = "Fetch the model, and see that this code predicts as it did"
IMAGE = f"testamlcr.azurecr.io/test-scoring@sha256:{'a' * 64}"
CHAMPION = 9  # the version that may serve, as the registry has it

# Which stages an answer brings, but for the first. Of the canary's stages, the first stands for all.
BRINGS = {
    ("deploy_aci", True): {"Scoring_Image", "Deploy_ACI"},
    ("deploy_webapp", True): {"Scoring_Image", "Deploy_Webapp"},
    ("aks", "service"): {"Scoring_Image", "Deploy_AKS"},
    ("aks", "canary"): {"Scoring_Image", "Blue_Staging"},
}
ALL = set().union(*BRINGS.values())
QUESTIONS = {"deploy_aci": (True, False), "deploy_webapp": (True, False), "aks": ("none", "service", "canary")}
NOTHING = {"deploy_aci": False, "deploy_webapp": False, "aks": "none"}
TARGETS = [dict(zip(QUESTIONS, answers, strict=True)) for answers in itertools.product(*QUESTIONS.values())]
TARGETS.remove(NOTHING)
MOST = ({**NOTHING, "deploy_aci": True, "deploy_webapp": True, "aks": aks} for aks in ("service", "canary"))
SERVICE, CANARY = MOST


def name_of(targets):
    return "+".join(str(answer if question == "aks" else question) for question, answer in targets.items() if answer)


def stages_of(targets):
    return set().union(*(stages for answer, stages in BRINGS.items() if answer in targets.items()))


def judged(version, **changed):
    """Return what model.json says of a version."""
    known = {"metrics": {}, "model_digest": "0" * 64, "workspace": "mlops-RG/mlops-AML-WS", "registered": True}
    return {"name": "test", "version": version, **known, **changed}


class Delivery:
    """A repository in which builds 100 to 103 of ci.yml went before.

    100 and 102 registered versions 9 and 10, 101 was told not to train, 103 handed on the champion, version 9.
    """

    def __init__(self, baked, folder):
        left_out = ("tests", "docs", "requirements", "data", "experimentation", "*-templates", "kubernetes")
        self.root = repository(baked, folder / "repository", without=left_out)
        self.failing = ""
        self.same = set()  # targets that serve what is to be deployed
        stubs = dict.fromkeys(("UsePythonVersion@0", "Cache@2"), self.nothing)
        stubs |= {"AzureCLI@2": self.azure, "script": self.script}
        self.agent = agent(baked, self.root, folder / "agent", {**TASKS, **stubs}, NO_PROXY="127.0.0.1")
        self.group = self.agent.groups[baked.answers["variable_group"]]
        ended = ((100, judged(9)), (101, None), (102, judged(10)), (103, judged(9, registered=False)))
        self.ci = {number: self.ended(number, model) for number, model in ended}

    def ended(self, number, model):
        """Have a build of ci.yml be over, each of a commit of its own."""
        artifacts = self.agent.folder / f"artifacts-{number}"
        (artifacts / "coverage").mkdir(parents=True)
        if model:
            (artifacts / "model").mkdir()
            (artifacts / "model" / "model.json").write_text(json.dumps(model), encoding="utf-8")
        build = Build({"Train": Ran("Succeeded")}, artifacts, str(number), CI, "refs/heads/main", f"{number:040}")
        self.agent.builds.append(build)
        return build

    def azure(self, step):
        step.inputs("azureSubscription", "scriptType", "scriptLocation", "inlineScript", *LOGIN)
        assert (step.job.sources / "ml_service").is_dir()
        step.told = step.job.fill(step.written["inputs"]["inlineScript"]).strip()
        if f"{step.job.sources.parent.name}/{step.name}" == self.failing:
            step.fail("to order")
        elif "deployment.image.build" in step.told:
            step.tell(f"##vso[task.setvariable variable=IMAGE;isOutput=true]{IMAGE}\n")
        elif step.told.endswith(" same"):
            same = str(step.written["name"] in self.same).lower()
            step.tell(f"##vso[task.setvariable variable=SAME;isOutput=true]{same}\n")
        elif step.told.endswith("ml_service.judged"):
            content = json.dumps(judged(CHAMPION, registered=False))
            (step.job.sources / "model.json").write_text(content, encoding="utf-8")

    def script(self, step):
        written = step.job.fill(step.written["script"])
        if written.startswith(("python3 -m ml_service.model_of_build", "cp ")):
            step.shell(written)
        step.told += written

    def nothing(self, step):
        assert step.written["task"]

    def run(self, file=CD, *, after=None, **parameters):
        with answering(self.agent):
            return self.agent.run(file, after=after, **parameters)


def carries(build):
    """Return number and commit that jobs of a release bring, and whether that is going back; the same in each."""
    jobs = [job for name, stage in build.stages.items() if name != "Model" for job in working(stage)]
    names = ("RELEASE_BUILD", "COMMIT", "GOING_BACK")
    (told,) = {tuple(job.steps[0].job.variables[name] for name in names) for job in jobs if job.steps}
    taken = {step.told for job in jobs for step in job.steps if step.name == "Take the code of the build"}
    assert taken <= {"", f'git checkout --quiet --detach "{told[1]}"'}
    return told


def ran(build):
    """Return the stages that ran, but for the first and for those that only follow from another."""
    return {name for name, stage in build.stages.items() if stage.result != "Skipped"} & ALL


def told(build):
    return report(build.steps())


def deployed(build):
    """Return the versions that jobs after the first were told of, by model.json or by a variable."""
    jobs = [job for name, stage in build.stages.items() if name != "Model" for job in working(stage)]
    return {version(job.steps[0].job) for job in jobs if job.steps}


def working(stage):
    """Return the jobs of a stage that do something: one is there for an environment's approval alone."""
    return [job for name, job in stage.jobs.items() if name != "approval"]


def version(job):
    file = job.sources / "model.json"
    return json.loads(file.read_text("utf-8"))["version"] if file.exists() else int(job.variables["MODEL_VERSION"])


@pytest.fixture
def delivery(cookies_session, tmp_path):
    return lambda targets: Delivery(bake(cookies_session, targets), tmp_path)


# -- conditions, all of them ---

RUNS = {
    # model.json, ACI: the stages that run, of those that were chosen
    ("there", "succeeds"): ALL,
    ("there", "fails"): {"Scoring_Image", "Deploy_ACI"},
    ("there", "serves already"): ALL - {"Deploy_ACI"},
    ("there", "has no name"): ALL - {"Deploy_ACI"},
    ("there", "is not approved in time"): {"Scoring_Image"},
    ("not there", "succeeds"): set(),
    ("not there", "has no name"): set(),
}


@pytest.mark.parametrize("started", ["by a build", "by hand"])
@pytest.mark.parametrize("targets", TARGETS, ids=name_of)
def test_each_combination_runs_the_stages_it_should(delivery, targets, started):
    one = delivery(targets)

    for (model, aci), stages in RUNS.items():
        if aci != "succeeds" and not targets["deploy_aci"]:
            continue
        one.failing = f"Deploy_ACI-aci/{DEPLOYS}" if aci == "fails" else ""
        one.same = {"aci"} if aci == "serves already" else set()
        one.agent.lapsed = ("diabetes-regression-aci",) if aci == "is not approved in time" else ()
        if targets["deploy_aci"]:
            one.group["ACI_DEPLOYMENT_NAME"] = "" if aci == "has no name" else "test-aci"
        number = 100 if model == "there" else 101
        asked = {"after": one.ci[number]} if started == "by a build" else {"modelBuildId": number}

        build = one.run(**asked)

        assert set(build.stages) & ALL == stages_of(targets)
        expected = stages & stages_of(targets)
        if aci == "has no name" and stages_of(targets) == {"Scoring_Image", "Deploy_ACI"}:
            expected = set()  # there is nobody to build it for
        assert ran(build) == expected, (model, aci)
        assert build.result == ("Failed" if aci == "fails" else "Succeeded"), told(build)
        assert deployed(build) == ({9} if ran(build) else set())
        untried = ["Web App"] * targets["deploy_webapp"] + ["AKS"] * (targets["aks"] != "none")
        said = f"so this release was not tried on: {', '.join(untried)}."
        assert (said in told(build)) == (aci == "fails" and untried != [])
        assert ("Build 101 handed on no model: nothing to do." in told(build)) == (model == "not there")


NAMED = {"Deploy_ACI": "ACI_DEPLOYMENT_NAME", "Deploy_AKS": "AKS_HOST"}
NAMED |= {"Deploy_Webapp": "WEBAPP_DEPLOYMENT_NAME", "Blue_Staging": "K8S_AB_HOST"}


@pytest.mark.parametrize("targets", [SERVICE, CANARY], ids=name_of)
def test_a_target_without_a_name_is_left_out_and_no_other(delivery, targets):
    one = delivery(targets)
    names = {stage: name for stage, name in NAMED.items() if stage in stages_of(targets)}

    for count in range(len(names) + 1):
        for stages in itertools.combinations(names, count):
            one.group |= {name: "test" if stage in stages else "" for stage, name in names.items()}

            build = one.run(after=one.ci[100])

            assert ran(build) == {*stages, *(["Scoring_Image"] if stages else [])}
            assert build.result == "Succeeded"


@pytest.mark.parametrize("job", ["Model.model", "Deploy_ACI.aci", "Scoring_Image.image"])
def test_nothing_follows_what_was_canceled(delivery, job):
    one = delivery(CANARY)
    one.agent.canceled = (job,)

    build = one.run(after=one.ci[100])

    before = {"Model.model": set(), "Scoring_Image.image": set(), "Deploy_ACI.aci": {"Scoring_Image"}}[job]
    assert ran(build) == before | {job.partition(".")[0]} & ALL
    assert build.result == "Canceled"


@pytest.mark.parametrize(
    ("failing", "then"),
    [
        (f"Deploy_ACI-aci/{DEPLOYS}", {"Deploy_ACI", "Scoring_Image"}),
        (f"Scoring_Image-image/{FETCHES}", {"Scoring_Image"}),
        ("Scoring_Image-image/Build it in the registry", {"Scoring_Image"}),
        (f"Deploy_Webapp-web_app/{DEPLOYS}", {"Deploy_ACI", "Scoring_Image", "Deploy_Webapp"}),
    ],
)
def test_a_failure_fails_the_build_and_what_hangs_on_it_is_left_out(delivery, failing, then):
    one = delivery({**NOTHING, "deploy_aci": True, "deploy_webapp": True})
    one.failing = failing

    build = one.run(after=one.ci[100])

    assert (build.result, ran(build)) == ("Failed", then)


# -- which model ---


LOGIN_FIRST = "SUBSCRIPTION_ID=$(az account show --query id --output tsv) || exit 1\nexport SUBSCRIPTION_ID\n"
PROGRAMS = {
    "Deploy_ACI": "python -m deployment.release aci",
    "Deploy_AKS": "python -m deployment.release aks",
    "Deploy_Webapp": "python -m deployment.release web_app",
}


@pytest.mark.parametrize("stage", PROGRAMS)
def test_each_target_is_deployed_and_asked_for_predictions(delivery, stage):
    one = delivery(SERVICE)

    build = one.run(after=one.ci[100])

    (job,) = build.stages[stage].jobs.values()
    (step,) = [step for step in job.steps if LOGIN_FIRST in step.told]
    assert step.told.removeprefix(LOGIN_FIRST).strip() == PROGRAMS[stage]
    assert step.job.variables["IMAGE"] == IMAGE
    written = Expansion(one.root).pipeline(CD, {}, one.agent.predefined, one.agent.groups)
    (minutes,) = {
        job["timeoutInMinutes"] for each in written["stages"] if each["stage"] == stage for job in each["jobs"]
    }
    assert minutes == 180, "as long as a deployment takes that fails and is put back"


def test_a_run_by_hand_without_a_number_brings_the_champion_and_the_code_of_today(delivery):
    one = delivery(CANARY)

    build = one.run()

    assert (build.result, deployed(build)) == ("Succeeded", {CHAMPION}), told(build)
    assert carries(build) == (build.number, build.commit, "false")
    assert {step.result for step in build.steps() if step.name == "Take the code of the build"} == {"Skipped"}


def test_a_run_that_nothing_started_never_takes_the_latest_model(delivery):
    one = delivery({**NOTHING, "deploy_aci": True})
    one.agent.predefined = {**one.agent.predefined, "Build.Reason": "Schedule"}

    build = one.run()

    assert (build.result, ran(build)) == ("Failed", set())
    assert "error: No build has started this run: name one with modelBuildId." in told(build)


def test_a_release_brings_the_number_and_the_code_of_its_build(delivery):
    one = delivery(CANARY)

    after, back = one.run(after=one.ci[103]), one.run(modelBuildId=100)

    assert (deployed(after), carries(after)) == ({9}, ("103", f"{103:040}", "false"))
    assert (deployed(back), carries(back)) == ({9}, (back.number, f"{100:040}", "true"))
    assert int(back.number) not in one.ci, "its own, which is the highest"


@pytest.mark.parametrize("same", [("web_app",), ("canary",), ("aci", "web_app", "canary")], ids=" and ".join)
def test_what_serves_already_is_not_deployed_and_nobody_is_asked(delivery, same):
    one = delivery(CANARY)
    one.same = same

    build = one.run(after=one.ci[103])

    stages = {"aci": "Deploy_ACI", "web_app": "Deploy_Webapp", "canary": "Blue_Staging"}
    left_out = {stages[target] for target in same}
    assert (build.result, ran(build)) == ("Succeeded", stages_of(CANARY) - left_out)
    assert build.stages["Rollback"].result == "Skipped"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"workspace": "other-RG/other"}, "choose the variableGroup that the build had"),
        ({"workspace": ""}, "model.json says '' for workspace"),
        ({"model_digest": "x"}, "model.json says 'x' for model_digest"),
        ({"registered": None}, "model.json says None for registered"),
    ],
    ids=["another workspace", "no workspace", "no digest", "not said"],
)
def test_a_model_json_that_will_not_do_fails_the_run_with_a_sentence(delivery, changed, said):
    one = delivery({**NOTHING, "deploy_aci": True})
    one.ended(104, judged(9, **changed))

    build = one.run(modelBuildId=104)

    assert (build.result, ran(build)) == ("Failed", set())
    assert said in told(build)
    assert not (build.artifacts / "model").exists(), "or another attempt could not publish it"


def test_the_model_of_an_earlier_build_is_deployed_again(delivery):
    one = delivery(SERVICE)

    assert deployed(one.run(after=one.ci[102])) == {10}
    assert deployed(one.run(modelBuildId=" 100 ")) == {9}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("99", "There is no build 99 in this project"),
        ("104", "Build 104 is of another pipeline: name one of diabetes-regression-ci."),
        ("latest", "modelBuildId is 'latest': it must be the number of a build"),
        ("100;touch /tmp/never", "it must be the number of a build"),
        ("100'); exit 0; #", "it must be the number of a build"),
        ("##vso[task.complete result=Succeeded]", "it must be the number of a build"),
    ],
)
def test_a_build_that_will_not_do_fails_the_run_with_a_sentence(delivery, asked, said):
    one = delivery({**NOTHING, "deploy_aci": True})
    other = one.ended(104, judged(1))
    other.file = ".pipelines/pr.yml"

    build = one.run(modelBuildId=asked)

    assert (build.result, ran(build)) == ("Failed", set())
    assert f"error: {said}" in told(build) or said in told(build)


def test_no_job_but_the_first_is_given_the_token_of_the_build(delivery):
    one = delivery(CANARY)

    build = one.run(after=one.ci[100])

    holders = {step.name for step in build.steps() if "System.AccessToken" in str(step.written)}
    assert holders == {"See whether the build handed one on"}
    assert "token of the job" not in told(build)


# -- each target waits for whoever has to approve ---


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (SERVICE, {"Deploy_ACI": "aci", "Deploy_AKS": "aks", "Deploy_Webapp": "webapp"}),
        (CANARY, {"Deploy_ACI": "aci", "Deploy_Webapp": "webapp", "Blue_Staging": "canary"}),
    ],
    ids=["service", "canary"],
)
def test_each_target_is_deployed_to_an_environment(delivery, targets, expected):
    one = delivery(targets)

    made = Expansion(one.root).pipeline(CD, {}, PREDEFINED, one.agent.groups)

    jobs = {(stage["stage"], job.get("environment")) for stage in made["stages"] for job in stage["jobs"]}
    assert {(stage, f"diabetes-regression-{name}") for stage, name in expected.items()} <= jobs
    assert {environment for stage, environment in jobs if stage in ("Model", "Scoring_Image")} == {None}


@pytest.mark.tool("npm")
def test_microsoft_s_language_service_has_nothing_to_say_about_any_combination(
    language_service, cookies_session, tmp_path
):
    files = []
    for targets in TARGETS:
        baked = bake(cookies_session, targets)
        (tmp_path / name_of(targets)).mkdir()
        files += [baked.path / CD, expanded(baked, baked.path, CD, tmp_path / name_of(targets), modelBuildId="7")]

    language_service(*files)


# -- what is nearly right is found ---

FOUND = "      eq(dependencies.Model.outputs['model.model.FOUND'], 'true'),\n"
ON_PURPOSE = "ne(dependencies.Scoring_Image.outputs['compare.aci.SAME'], 'false')"
AFTER_ACI = "in(dependencies.${{ parameters.first }}.result, 'Succeeded', 'SucceededWithIssues'),\n"
TEMPLATES = ".pipelines/templates/"
DEPLOY = f"{TEMPLATES}deploy.yml"
SAME = "dependencies.Scoring_Image.outputs['compare.${{ parameters.target }}.SAME']"
ENVIRONMENT = "${{ variables.PROJECT }}-${{ replace(parameters.target, '_', '') }}"
FAULTS = {
    "started by another pipeline": (CD, "source: diabetes-regression-ci", "source: diabetes-regression-pr"),
    "started on another branch": (CD, "        - main\n", "        - release\n"),
    "blind to a build without a model": (CD, FOUND, ""),
    "wrong name of an output": (CD, "outputs['model.model.FOUND']", "outputs['model.FOUND']"),
    "blind to a failed ACI": (DEPLOY, ON_PURPOSE, "true"),
    "waits for an ACI that has no name": (DEPLOY, ON_PURPOSE, "false"),
    "takes a failed ACI for a good one": (DEPLOY, AFTER_ACI, AFTER_ACI.replace("'),", "', 'Failed'),")),
    "says nothing of what was not tried": (DEPLOY, "          condition: failed()\n", ""),
    "does not wait for ACI": (CD, "    first: Deploy_ACI\n", ""),
    "blind to an empty name": (DEPLOY, "      ne(variables['${{ parameters.variable }}'], '')", "      true"),
    "asks whether all went well before": (DEPLOY, "      not(canceled()),\n", "      succeeded(),\n"),
    "does not wait for the image": (DEPLOY, "  - Model\n  - Scoring_Image\n", "  - Model\n"),
    "no model is an error": (
        f"{TEMPLATES}model.yml",
        "      artifact: model\n      condition: and(succeeded(), eq(variables['model.FOUND'], 'true'))\n",
        "      artifact: model\n",
    ),
    "published before it was read": (
        f"{TEMPLATES}model.yml",
        "    - script: python3 -m ml_service.model_of_build read\n",
        "    - publish: model.json\n      artifact: model\n    - script: python3 -m ml_service.model_of_build read\n",
    ),
    "another commit": (
        f"{TEMPLATES}set-up.yml",
        "    condition: and(succeeded(), ne(",
        "    condition: and(false, ne(",
    ),
    "code of today": (DEPLOY, "      release: true\n", ""),
    "image of today": (
        f"{TEMPLATES}scoring-image.yml",
        "    displayName: Build the scoring image\n    release: true\n",
        "    displayName: Build the scoring image\n",
    ),
    "blind to what serves": (DEPLOY, f"      ne({SAME}, 'true'),\n", ""),
    "the latest model": (f"{TEMPLATES}model.yml", "runId: $(MODEL_OF)", "runId: $(resources.pipeline.ci.runID)"),
    "any latest model": (f"{TEMPLATES}model.yml", "runVersion: specific", "runVersion: latest"),
    "no token": (f"{TEMPLATES}model.yml", "        env:\n          SYSTEM_ACCESSTOKEN: $(System.AccessToken)\n", ""),
    "model.json somewhere else": (f"{TEMPLATES}model-file.yml", '/model.json" model.json', '/model.json" models.json'),
    "no environment": (DEPLOY, f"      environment: {ENVIRONMENT}\n", ""),
    "no sources": (f"{TEMPLATES}set-up.yml", "- checkout: self\n", "- checkout: none\n"),
    "no commit but the last": (f"{TEMPLATES}set-up.yml", "iif(parameters.release, 0, 1)", "1"),
    "compared with another image": (f"{TEMPLATES}scoring-image.yml", "outputs['image.IMAGE'] ]", "outputs['IMAGE'] ]"),
    "image of another folder": (f"{TEMPLATES}scoring-image.yml", "--output outputs/serving", "--output other"),
    "no image": (DEPLOY, "outputs['image.IMAGE']", "outputs['IMAGE']"),
    "no digest": (f"{TEMPLATES}scoring-image.yml", "        name: image\n        displayName", "        displayName"),
}


def check_fully(one):
    """Run what tells right from nearly right: one run of each kind, with what its jobs have to be told."""
    build = one.run(after=one.ci[100])
    assert (build.result, ran(build), deployed(build)) == ("Succeeded", stages_of(SERVICE), {9}), told(build)
    (job,) = build.stages["Deploy_Webapp"].jobs.values()
    assert job.steps[0].job.variables["IMAGE"] == IMAGE
    compare = build.job("Scoring_Image.compare").steps[0].job
    assert (compare.variables["IMAGE"], (compare.sources / "model.json").exists()) == (IMAGE, True)
    fetches, builds = build.job("Scoring_Image.image").steps[-2:]
    assert f"--folder {fetches.told.split()[-1]} " in builds.told
    checkouts = [step.written for step in build.steps() if "checkout" in step.written]
    depths = {str(one["fetchDepth"]) for one in checkouts}
    assert depths == {"0.0", "1.0"}
    for stage in ("Deploy_ACI", "Deploy_AKS", "Deploy_Webapp"):
        (job,) = build.stages[stage].jobs.values()
        assert job.environment.startswith("diabetes-regression-")
        assert "Take the code of the build" in [step.name for step in job.steps]
    build = one.run(modelBuildId=102)
    assert (deployed(build), carries(build)[1:]) == ({10}, (f"{102:040}", "true"))
    assert {step.result for step in build.steps() if step.name == "Take the code of the build"} == {"Succeeded"}
    assert carries(build)[0] == build.number
    one.ended(104, judged(9, model_digest="x"))
    assert not (one.run(modelBuildId=104).artifacts / "model").exists()
    one.same = {"web_app"}
    assert ran(one.run(after=one.ci[100])) == stages_of(SERVICE) - {"Deploy_Webapp"}
    one.same = set()
    build = one.run(after=one.ci[101])
    assert (build.result, ran(build)) == ("Succeeded", set()), told(build)
    assert "was not tried on" not in told(build)
    one.failing = f"Deploy_ACI-aci/{DEPLOYS}"
    build = one.run(after=one.ci[100])
    assert (build.result, ran(build)) == ("Failed", {"Scoring_Image", "Deploy_ACI"})
    assert "was not tried on: Web App, AKS" in told(build)
    one.failing, one.agent.lapsed = "", ("diabetes-regression-aci",)
    assert ran(one.run(after=one.ci[100])) == {"Scoring_Image"}
    one.agent.lapsed = ()
    one.group |= {"ACI_DEPLOYMENT_NAME": "", "AKS_HOST": ""}
    assert ran(one.run(after=one.ci[100])) == {"Scoring_Image", "Deploy_Webapp"}


@pytest.fixture(scope="module")
def right(cookies_session, tmp_path_factory):
    """See that nothing is found where nothing is wrong: otherwise every fault would be."""
    check_fully(Delivery(bake(cookies_session, SERVICE), tmp_path_factory.mktemp("right")))


@pytest.mark.usefixtures("right")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(delivery, fault):
    one = delivery(SERVICE)
    edit(one.root, *FAULTS[fault])

    with pytest.raises((AssertionError, KeyError, PipelineError)):
        check_fully(one)
