"""Azure Pipelines of a project: compiled, run on this machine, and told apart from what is nearly right."""

import itertools
import json
import os
import re
import ssl
import sys
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from conftest import bake, run
from local_azure import PATIENCE, in_forks, warm
from local_pipelines import LOGIN, PREDEFINED, agent, azure_cli, edit, expanded, groups, repository, roots

from azureml_emulator import tokens
from azureml_emulator.launchers import SYSTEM_PATH
from azureml_emulator.session import Session, started
from pipelines_runner.builds import TOKEN, answering
from pipelines_runner.errors import PipelineError
from pipelines_runner.job import report
from pipelines_runner.runner import INVOKE, Agent
from pipelines_runner.tasks import TASKS
from pipelines_runner.templates import Expansion, load

ON_SERVER = (".pipelines/variables.yml", "value: agent", "value: server")


# -- what Microsoft's language service says ---


@pytest.mark.slow
@pytest.mark.tool("npm")
@pytest.mark.parametrize("wait_on", ["agent", "server"])
def test_microsoft_s_language_service_has_nothing_to_say(language_service, project, tmp_path, wait_on):
    root = repository(project, tmp_path / "repository")
    edit(root, ".pipelines/variables.yml", "value: agent", f"value: {wait_on}")

    switched = {"autoTriggerTraining": False, "runEvaluation": False, "dataFilePath": "a/b.csv"}
    language_service(
        *(root / pipeline for pipeline in roots(root)),
        *(expanded(project, root, pipeline, tmp_path, **given) for pipeline, given in roots(root).items()),
        expanded(project, root, ".pipelines/ci.yml", tmp_path, **switched),
    )


# -- which stages, jobs and steps run ---

WAIT = "Wait for the training run"


def rehearsal(baked, root, folder, registers="true"):
    """Return an agent on which nothing but the agent's own commands is run, and `wait` leaves what it would leave."""

    def azure(step):
        step.inputs("azureSubscription", "scriptType", "scriptLocation", "inlineScript", *LOGIN)
        if step.name == WAIT and registers:
            (step.job.sources / "model.json").touch()
            step.tell(f"##vso[task.setvariable variable=MODEL_REGISTERED]{registers}\n")
        if "pipeline-id.txt" in step.written["inputs"]["inlineScript"]:
            (step.job.sources / "pipeline-id.txt").write_text("an-id", encoding="utf-8")

    def script(step):
        if "##vso" in step.written["script"]:
            step.shell(step.written["script"].replace("make setup", ": make setup"))

    def nothing(step):
        step.told = json.dumps({name: step.job.fill(value) for name, value in step.written["inputs"].items()})

    published = ("PublishTestResults@2", "PublishCodeCoverageResults@2", "UsePythonVersion@0", INVOKE)
    tasks = {**TASKS, "AzureCLI@2": azure, "script": script, **dict.fromkeys(published, nothing)}
    return agent(baked, root, folder, tasks)


PUBLISHES = {"Model_CI.quality", "Model_CI.publish"}
TRAINS = {"agent": {*PUBLISHES, "Train.train"}, "server": {*PUBLISHES, "Train.train", "Train.report"}}
KEEPS = "Keep this build for going back"


@pytest.mark.parametrize("registers", ["true", "false", ""], ids=["registered", "refused", "nothing may serve"])
@pytest.mark.parametrize("switches", list(itertools.product([True, False], repeat=2)), ids=str)
@pytest.mark.parametrize("wait_on", ["agent", "server"])
def test_each_combination_of_parameters_runs_the_jobs_it_should(defaults, tmp_path, registers, switches, wait_on):
    root = repository(defaults, tmp_path / "repository", without=("tests", "docs", "src", "ml_service"))
    edit(root, ".pipelines/variables.yml", "value: agent", f"value: {wait_on}")
    local = rehearsal(defaults, root, tmp_path / "agent", registers)
    evaluates, cancels = switches

    for trains, expected in ((True, TRAINS[wait_on]), (False, PUBLISHES)):
        switches = {"runEvaluation": evaluates, "allowRunCancel": cancels}
        build = local.run(".pipelines/ci.yml", autoTriggerTraining=trains, **switches)

        jobs = {f"{name}.{job}": one for name, stage in build.stages.items() for job, one in stage.jobs.items()}
        assert {name for name, job in jobs.items() if job.result != "Skipped"} == expected
        assert build.result == "Succeeded"
        assert (build.artifacts / "model" / "model.json").exists() == bool(registers and trains)
        kept = [step.result for step in build.steps() if step.name == KEEPS]
        assert kept == (["Succeeded" if registers == "true" else "Skipped"] if trains else [])
        told = [step.job.exported() for step in build.steps() if "ml_service" in str(step.written)]
        assert {(one["RUN_EVALUATION"], one["ALLOW_RUN_CANCEL"]) for one in told} == {(str(evaluates), str(cancels))}


@pytest.mark.parametrize(
    ("fails", "then"),
    [
        ("Run the unit tests", {"quality": "Failed", "publish": "Skipped"}),
        ("Publish the pipeline", {"quality": "Succeeded", "publish": "Failed"}),
    ],
)
def test_nothing_is_trained_after_a_failure(defaults, tmp_path, fails, then):
    root = repository(defaults, tmp_path / "repository", without=("tests", "docs", "src", "ml_service"))
    local = rehearsal(defaults, root, tmp_path / "agent")
    tasks = dict(local.tasks)

    def failing(kind):
        return lambda step: step.fail("to order") if step.name == fails else tasks[kind](step)

    local.tasks = {kind: failing(kind) for kind in tasks}
    build = local.run(".pipelines/ci.yml")

    assert build.result == "Failed"
    assert {name: job.result for name, job in build.stages["Model_CI"].jobs.items()} == then
    assert build.stages["Train"].result == "Skipped"


def test_a_training_of_days_is_started_without_an_agent(defaults, tmp_path):
    root = repository(defaults, tmp_path / "repository", without=("tests", "docs", "src", "ml_service"))
    edit(root, *ON_SERVER)

    build = rehearsal(defaults, root, tmp_path / "agent").run(".pipelines/ci.yml", dataFilePath="new/data.csv")

    (invoked,) = build.job("Train.train").steps
    given = json.loads(invoked.told)
    assert (given["azureSubscription"], given["PipelineId"]) == ("workspace-connection", "an-id")
    assert json.loads(f"{{{given['PipelineParameters']}}}")["tags"]["build_id"] == "1"
    assert [step.name for step in build.job("Model_CI.publish").steps][4:6] == [
        "Register the data",
        "Publish the pipeline",
    ]


# -- names: what is defined, what is not, what differs between two projects ---


def names_in(folder, pattern):
    """Return what the groups of a pattern find in the pipelines' files."""
    texts = [file.read_text("utf-8") for file in folder.rglob("*.yml")]
    return {
        name for text in texts for found in re.finditer(pattern, text, re.MULTILINE) for name in found.groups() if name
    }


def test_variables_and_their_group_are_disjoint_and_complete(project):
    pipelines = project.path / ".pipelines"
    defined = names_in(pipelines, r"^- name: ([A-Z_]+)\b|^ +([A-Z_]+): \$\[|task.setvariable variable=([A-Z_]+)")
    used = names_in(pipelines, r"\$\(([A-Z0-9_]+)\)|variables(?:\['|\.)([A-Z0-9_]+)\b")
    for program in (project.path / "ml_service").glob("*.py"):
        defined |= set(re.findall(r"task.setvariable variable=([A-Z_]+)\]", program.read_text("utf-8")))
    settings = set(re.findall(r"^([A-Z_]+)=", (project.path / ".env.example").read_text("utf-8"), re.MULTILINE))
    programs = (file for room in ("deployment", "environment_setup") for file in (project.path / room).rglob("*.py"))
    for program in programs:
        settings |= set(re.findall(r"setting\([\"']([A-Z0-9_]+)[\"']\)", program.read_text("utf-8")))
        of_aks = re.search(r'^NAMESPACE, HOST = "(\w+)", "(\w+)"', program.read_text("utf-8"), re.MULTILINE)
        settings |= set(of_aks.groups() if of_aks else ())
        defined |= set(re.findall(r"task.setvariable variable=([A-Z_]+)", program.read_text("utf-8")))
    if project.answers["infrastructure"] == "terraform":
        settings |= {"BASE_NAME", "LOCATION"}  # which win over terraform.tfvars
    settings = {name for name in settings if not name.startswith(("AZURESUBSCRIPTION_", "SYSTEM_"))}
    elsewhere = {"BUILD_BUILDID", "SUBSCRIPTION_ID", "CALLER_RUN_ID"}  # of the agent, the connection, another system
    guide = (project.path / "docs" / "azure-pipelines.md").read_text("utf-8")
    section = guide.partition("## The variable group")[2].partition("\n## ")[0]

    table = set(re.findall(r"^\| `([A-Z0-9_]+)` \|", section, re.MULTILINE))
    assert table == (used | settings) - defined - elsewhere
    assert not table & defined


def test_variables_repeat_what_is_set_on_a_person_s_machine(project):
    variables = load(project.path / ".pipelines" / "variables.yml")["variables"]
    named = {item["name"]: item["value"] for item in variables if "name" in item}
    example = dict(re.findall(r"^([A-Z_]+)=(.*)$", (project.path / ".env.example").read_text("utf-8"), re.MULTILINE))

    shared = named.keys() & example.keys() - {"BUILD_URI"}
    assert len(shared) >= 10
    assert {name: named[name] for name in shared} == {name: example[name] for name in shared}


def test_two_projects_of_one_organisation_do_not_meet(cookies_session):
    one, two = (bake(cookies_session, {"example": example}) for example in ("diabetes", "safe_driver"))
    own = {"EXPERIMENT_NAME", "TRAINING_PIPELINE_NAME", "MODEL_NAME", "DATASET_NAME"}

    texts = [(project.path / ".pipelines" / "variables.yml").read_text("utf-8") for project in (one, two)]
    pairs = [dict(re.findall(r"^- name: (\w+)\n  value: (.*)$", text, re.MULTILINE)) for text in texts]
    assert not {name for name in own if pairs[0][name] == pairs[1][name]}
    assert one.answers["variable_group"] != two.answers["variable_group"]
    guides = ["".join(file.read_text("utf-8") for file in (made.path / "docs").glob("*.md")) for made in (one, two)]
    names = [set(re.findall(r"pipelines create --name (\S+)", guide)) for guide in guides]
    assert len(names[0]) == len(roots(one.path))
    assert not names[0] & names[1]


def test_only_folders_of_a_role_start_a_build(project):
    ci, pr = (yaml.safe_load((project.path / ".pipelines" / name).read_text("utf-8")) for name in ("ci.yml", "pr.yml"))
    starts, excluded = set(ci["trigger"]["paths"]["include"]), set(pr["pr"]["paths"]["exclude"])

    absent = {path for path in starts | excluded if not (project.path / path).exists()}
    assert absent == set()
    deploys = (".pipelines/cd.yml", "deployment", "environment_setup/azure_cli.py")
    serves = set(deploys if (project.path / deploys[0]).exists() else ())
    own = {".pipelines/ci.yml", ".pipelines/templates", ".pipelines/variables.yml"}
    assert serves | own <= starts, "what serves or deploys starts a build, which starts cd.yml"
    assert excluded == {"docs", "README.md", "data/README.md"}
    assert not starts & {"docs", "README.md", "data", "experimentation"}
    assert {"Makefile", "ml_service", "pyproject.toml", "requirements", "src", "tests"} <= starts


def test_the_guide_gives_the_branch_policy_the_paths_of_the_file(project):
    pr = yaml.safe_load((project.path / ".pipelines" / "pr.yml").read_text("utf-8"))
    guide = (project.path / "docs" / "azure-pipelines.md").read_text("utf-8")

    first, *filters = re.search(r"--path-filter '([^']+)'", guide)[1].split(";")
    assert first == "/*", "without it the policy would be for no file"
    assert {path.removeprefix("!/").removesuffix("/*") for path in filters} == set(pr["pr"]["paths"]["exclude"])
    assert pr["pr"]["branches"] == {"include": ["main"]}


def test_the_guide_makes_environments_and_the_canary_s_host_before_they_are_used(project):
    pipelines, guide = project.path / ".pipelines", project.path / "docs" / "azure-pipelines.md"
    used = names_in(pipelines, r"environment: \$\{\{ variables\.PROJECT \}\}(-[\w-]+)(?: #.*)?$")
    used |= {f"-{target.replace('_', '')}" for target in names_in(pipelines, r"^    target: (\w+)$")}
    steps, _, later = guide.read_text("utf-8").partition("## The variable group")
    made = later.partition("### Approvals")[2].partition("\n## ")[0]

    assert {name for name in used if f"`{project.answers['project_slug']}{name}`" in made} == used
    assert ("(#approvals)" in steps) == bool(used)
    host = project.answers["__aks_host"]
    assert f"{host}=" not in later, "a release would have nobody to ask"
    if project.answers["aks"] != "none":
        number = 7 if project.answers["aks"] == "canary" else 6
        steps, _, last = (project.path / "docs" / "deployment.md").read_text("utf-8").partition(f"\n{number}. ")
        assert ("azure-pipelines.md#approvals" in steps) == (number == 7)
        assert f"--name {host}" in last.partition("\n## ")[0]
        assert f"--name {host}" not in steps


def test_pipelines_start_when_they_should(project):
    read = {file.name: load(file) for file in (project.path / ".pipelines").glob("*.yml")}

    by_push = {
        name: file["trigger"]["branches"] for name, file in read.items() if isinstance(file.get("trigger"), dict)
    }
    assert by_push.keys() == {"agent-image.yml", "ci.yml", "infrastructure-create.yml"}
    assert all(branches == {"include": ["main"]} for branches in by_push.values())
    by_another = {name for name, file in read.items() if "resources" in file}
    assert {name for name, file in read.items() if file.get("trigger") == "none"} - by_another == {
        "infrastructure-remove.yml",
        "pr.yml",
    }
    assert by_another <= {"batch-scoring.yml", "cd.yml"}
    assert {name for name, file in read.items() if file.get("pr") == "none"} == read.keys() - {
        "pr.yml",
        "variables.yml",
    }
    paths = read["infrastructure-create.yml"]["trigger"]["paths"]["include"]
    paths += read["agent-image.yml"]["trigger"]["paths"]["include"]
    assert [path for path in paths if not (project.path / path).exists()] == []
    assert {"environment_setup/Dockerfile", "requirements"} <= set(paths)


@pytest.mark.parametrize(("file", "heading"), [("ci.yml", "## A build of"), ("cd.yml", "## A run of")])
def test_what_a_person_may_choose_is_in_the_guide_and_can_be_left_alone(defaults, file, heading):
    declared = load(defaults.path / ".pipelines" / file)["parameters"]
    guide = (defaults.path / "docs" / "azure-pipelines.md").read_text("utf-8")
    section = guide.partition(heading)[2].partition("\n## ")[0]

    shown = dict(re.findall(r"^\| `([a-z]\w+)` \| (true|blank) \|", section, re.MULTILINE))
    assert shown == {one["name"]: "true" if one["type"] == "boolean" else "blank" for one in declared}
    assert {one["default"] for one in declared if one["type"] == "string"} == {" "}


def pipeline(baked, root, file=".pipelines/ci.yml", **parameters):
    """Return an expanded pipeline's variables and its jobs by name."""
    made = Expansion(root).pipeline(file, parameters, PREDEFINED, groups(baked.answers))
    jobs = [job for stage in made["stages"] for job in stage["jobs"]]
    return made["variables"], {job.get("job") or job["deployment"]: job for job in jobs}


def test_a_pull_request_asks_azure_for_nothing(defaults):
    variables, jobs = pipeline(defaults, defaults.path, ".pipelines/pr.yml")

    assert not variables.keys() & groups(defaults.answers)["diabetes-regression-vg"].keys()
    assert not [step for job in jobs.values() for step in job["steps"] if "Azure" in step.get("task", "")]


@pytest.mark.parametrize("wait_on", ["agent", "server"])
def test_a_training_is_not_cut_short_and_stays_logged_in(defaults, tmp_path, wait_on):
    root = repository(defaults, tmp_path / "repository")
    edit(root, ".pipelines/variables.yml", "value: agent", f"value: {wait_on}")

    _, jobs = pipeline(defaults, root)

    assert jobs["train"]["timeoutInMinutes"] == 0
    logged_in = [step for job in jobs.values() for step in job["steps"] if step.get("task") == "AzureCLI@2"]
    assert len(logged_in) >= 3
    assert {step["inputs"]["keepAzSessionActive"] for step in logged_in} == {"true"}


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        ("ubuntu-24.04", {"vmImage": "ubuntu-24.04"}),
        ("ubuntu-latest", {"vmImage": "ubuntu-latest"}),
        ("ubuntu-agents", {"name": "ubuntu-agents"}),
        ("Our Pool", {"name": "Our Pool"}),
    ],
)
def test_one_variable_says_where_all_jobs_run(defaults, tmp_path, pool, expected):
    root = repository(defaults, tmp_path / "repository")
    edit(root, ".pipelines/variables.yml", "value: ubuntu-24.04", f"value: {pool}")

    for file, given in roots(root).items():
        _, jobs = pipeline(defaults, root, file, **given)
        assert [job["pool"] for job in jobs.values() if job["pool"] not in (expected, "server")] == []


def test_another_environment_is_another_group(defaults, tmp_path):
    root = repository(defaults, tmp_path / "repository", without=("tests", "docs", "src", "ml_service"))
    local = rehearsal(defaults, root, tmp_path / "agent")
    ours = local.groups["diabetes-regression-vg"]
    local.groups = {"test vg": {**ours, "WORKSPACE_NAME": "test-ws", "AZURE_CONNECTION": "test"}}
    local.connections |= {"test"}

    build = local.run(".pipelines/ci.yml", variableGroup="test vg", dataFilePath=" new/data.csv ")

    told = [step.job.exported() for step in build.steps() if "ml_service" in str(step.written)]
    assert {(one["WORKSPACE_NAME"], one["DATA_FILE_PATH"]) for one in told} == {("test-ws", "new/data.csv")}
    assert {step.job.connection("$(AZURE_CONNECTION)") for step in build.steps() if not step.job.on_server} == {"test"}


@pytest.mark.parametrize("wait_on", ["agent", "server"])
def test_nothing_is_reported_of_a_training_that_was_canceled(defaults, tmp_path, wait_on):
    root = repository(defaults, tmp_path / "repository", without=("tests", "docs", "src", "ml_service"))
    edit(root, ".pipelines/variables.yml", "value: agent", f"value: {wait_on}")
    local = rehearsal(defaults, root, tmp_path / "agent")

    local.canceled = ("Train.train",)
    build = local.run(".pipelines/ci.yml")
    assert build.result == "Canceled"
    assert {job.result for job in build.stages["Train"].jobs.values()} <= {"Canceled", "Skipped"}
    assert not build.artifacts.exists()
    local.canceled = ("Model_CI.publish",)
    assert local.run(".pipelines/ci.yml").stages["Train"].result == "Skipped"


def test_a_training_that_the_server_saw_fail_is_reported(defaults, tmp_path):
    root = repository(defaults, tmp_path / "repository", without=("tests", "docs", "src", "ml_service"))
    edit(root, *ON_SERVER)
    local = rehearsal(defaults, root, tmp_path / "agent")
    local.tasks = {**local.tasks, INVOKE: lambda step: step.fail("the run failed")}

    build = local.run(".pipelines/ci.yml")

    assert build.result == "Failed"
    assert build.job("Train.report").result == "Succeeded"


RUNS = r"^ +run: (.+)$"
CALLED = '#!/bin/sh\necho "${SUBSCRIPTION_ID:-none}" >> {called}\nexit 3\n'


@pytest.mark.parametrize("logged_in", [True, False], ids=["logged in", "not logged in"])
def test_a_login_that_fails_ends_a_step_before_its_program_with_its_own_reason(cookies_session, tmp_path, logged_in):
    baked = bake(cookies_session, {"deploy_webapp": True, "aks": "canary", "infrastructure": "terraform"})
    root = repository(baked, tmp_path / "repository", without=("tests", "docs", "src", "ml_service"))
    runs = sorted(names_in(root / ".pipelines", RUNS) - {"${{ parameters.run }}"})
    steps = [
        {"template": "templates/azure.yml", "parameters": {"displayName": run, "run": run, "condition": "true"}}
        for run in (re.sub(r"\$\{\{.*?\}\}", "x", run) for run in runs)
    ]
    alone = {
        "variables": [{"template": "variables.yml"}, {"name": "SCORING_IMAGE", "value": "an-image"}],
        "jobs": [{"job": "one", "pool": {"vmImage": "ubuntu-24.04"}, "steps": steps}],
    }
    (root / ".pipelines" / "alone.yml").write_text(yaml.safe_dump(alone), encoding="utf-8")
    programs, called = tmp_path / "programs", tmp_path / "called"
    programs.mkdir()
    answer = "echo a-subscription" if logged_in else "echo Please run az login >&2; exit 1"
    for name, script in {"az": f"#!/bin/sh\n{answer}\n", **dict.fromkeys(("python", "python3"), CALLED)}.items():
        (programs / name).write_text(script.replace("{called}", str(called)), encoding="utf-8")
        (programs / name).chmod(0o755)

    build = agent(baked, root, tmp_path / "agent", PATH=f"{programs}:/usr/bin:/bin").run(".pipelines/alone.yml")

    assert len(build.steps()) == len(runs) > 10
    expected = "exited with 3" if logged_in else "Please run az login\n\n##[error]exited with 1"
    assert [step.name for step in build.steps() if expected not in step.told] == []
    assert called.exists() == logged_in
    if logged_in:
        assert called.read_text("utf-8").split() == ["a-subscription"] * len(runs)


# -- what is nearly right is found ---

FAULTS = {
    "renamed template": (".pipelines/ci.yml", "templates/quality.yml", "templates/qualities.yml"),
    "wrong input": (".pipelines/templates/quality.yml", "testResultsFormat:", "testResultFormat:"),
    "wrong version of a task": (".pipelines/templates/set-up.yml", "Cache@2", "Cache@9"),
    "undefined variable": (".pipelines/templates/azure.yml", "$(AZURE_CONNECTION)", "$(AZURE_CONECTION)"),
    "undefined variable in a condition": (
        ".pipelines/ci.yml",
        "eq('${{ parameters.autoTriggerTraining }}'",
        "eq(variables['TRAINS']",
    ),
    "missing dependsOn": (".pipelines/templates/publish.yml", "    dependsOn:\n    - quality\n", ""),
    "missing dependsOn of the report": (
        ".pipelines/templates/train-on-server.yml",
        "    dependsOn:\n    - train\n",
        "",
    ),
    "wrong path": (".pipelines/templates/set-up.yml", "| requirements/dev.txt", "| requirements/develop.txt"),
    "wrong file of an artifact": (".pipelines/templates/report.yml", "publish: model.json", "publish: models.json"),
    "unknown parameter": (".pipelines/templates/report.yml", "    run: ", "    runs: "),
    "parameter of another type": (
        ".pipelines/templates/train-on-agent.yml",
        "timeoutInMinutes: 0",
        "timeoutInMinutes: never",
    ),
    "wrong name of an output": (
        ".pipelines/templates/train-on-server.yml",
        "outputs['pipeline.",
        "outputs['pipelines.",
    ),
    "unknown key": (
        ".pipelines/templates/quality.yml",
        "displayName: Check the types\n      condition",
        "displayName: Check the types\n      conditions",
    ),
}


@pytest.fixture
def holds(language_service, defaults, tmp_path):
    """Return a function that asserts that all is right with the pipelines of a repository."""

    def holds(root):
        files = [expanded(defaults, root, pipeline, tmp_path, **given) for pipeline, given in roots(root).items()]
        language_service(*files)
        build = rehearsal(defaults, root, tmp_path / "agent").run(".pipelines/ci.yml")
        assert build.result == "Succeeded"
        ran = [(stage, name) for stage, one in build.stages.items() for name in one.jobs]
        assert ran in ([*BEFORE, ("Train", "train")], [*BEFORE, ("Train", "train"), ("Train", "report")])
        assert all(json.loads(step.told)["PipelineId"] for step in build.steps() if step.written.get("task") == INVOKE)

    return holds


@pytest.fixture(params=["agent", "server"])
def waits_on(request, defaults, tmp_path):
    """Return a repository whose training is waited for on an agent, or on the server."""
    root = repository(defaults, tmp_path / "repository", without=("tests", "docs", "src", "ml_service"))
    edit(root, ".pipelines/variables.yml", "value: agent", f"value: {request.param}")
    return root


@pytest.mark.slow
@pytest.mark.tool("npm")
def test_without_a_fault_none_is_found(holds, waits_on):
    holds(waits_on)


@pytest.mark.slow
@pytest.mark.tool("npm")
@pytest.mark.parametrize(
    ("waits_on", "fault"),
    [("server" if "server" in file else "agent", name) for name, (file, *_) in FAULTS.items()],
    indirect=["waits_on"],
)
def test_a_fault_is_found(holds, waits_on, fault):
    edit(waits_on, *FAULTS[fault])

    with pytest.raises((AssertionError, PipelineError)):
        holds(waits_on)


BEFORE = [("Model_CI", "quality"), ("Model_CI", "publish")]


# -- run for real, with the local Azure ML in the place of Azure ---


class Organisation(NamedTuple):
    """A repository, the agent that builds it, and the local Azure ML that its jobs find."""

    root: Path
    agent: Agent
    azure: Session

    def build(self, **parameters):
        with answering(self.agent):
            return self.agent.run(".pipelines/ci.yml", **parameters)


def told(build):
    return report(build.steps())


def model(build):
    """Return what the artifact of a build says, or None if it has none."""
    path = build.artifacts / "model" / "model.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else None


@pytest.fixture(scope="module")
def organisation(cookies_session, environment, tmp_path_factory):
    """Return one in which build 1 registered version 1, with a model that is worse next. Quality is tested elsewhere.

    Build 1 runs its programs as an agent does; later ones have them in forks of an interpreter that has the SDK.
    """
    baked, folder = bake(cookies_session, {}), tmp_path_factory.mktemp("organisation")
    python, steps = environment(baked), environment(baked, "train")
    root = repository(baked, folder / "repository", python)
    with started(python, folder / "state", "--fork-server", steps=steps) as azure:
        tools = azure_cli(folder / "tools", azure.environment["SUBSCRIPTION_ID"])
        path = f"{tools}:{python.parent}:{os.environ['PATH']}"
        told_otherwise = ("SUBSCRIPTION_ID", "RESOURCE_GROUP", "WORKSPACE_NAME", "AZURE_FEDERATED_TOKEN_FILE")
        known = {name: value for name, value in azure.environment.items() if name not in told_otherwise}
        tasks = {**TASKS, "script": but_quality, INVOKE: invoke(azure)}
        tasks |= dict.fromkeys(("PublishTestResults@2", "PublishCodeCoverageResults@2"), lambda step: None)
        local = agent(baked, root, folder / "agent", tasks, **{**known, **PATIENCE, "PATH": path})
        one = Organisation(root, local, azure)
        assert model(one.build())["version"] == 1
        edit(root, "src/parameters.yml", "alpha: 0.4", "alpha: 0.5")
        with warm(python, folder, f"{tools}:{SYSTEM_PATH}") as forks:
            tasks["AzureCLI@2"] = in_forks(forks, SUBSCRIPTION_ID=azure.environment["SUBSCRIPTION_ID"])
            yield one
        assert azure.ask("unknown") == []


def but_quality(step):
    if not step.name.startswith(("Check the", "Run the unit tests")):
        TASKS["script"](step)


def invoke(azure):
    """Stand in for the task of the Azure ML extension: start the published pipeline over REST, and wait."""

    def task(step):
        given = step.inputs("azureSubscription", "PipelineId", "ExperimentName", "PipelineParameters")
        (found,) = [one for one in azure.ask("state?kind=pipelines") if one["Id"] == given["PipelineId"]]
        body = {"ExperimentName": given["ExperimentName"], **json.loads(f"{{{given['PipelineParameters']}}}")}
        token = tokens.issue("t", "workspace-connection", aud="https://management.azure.com")
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        context = ssl.create_default_context(cafile=azure.environment["SSL_CERT_FILE"])
        proxy = urllib.request.ProxyHandler({"https": azure.environment["HTTPS_PROXY"]})
        opener = urllib.request.build_opener(proxy, urllib.request.HTTPSHandler(context=context))
        opener.open(urllib.request.Request(found["Url"], json.dumps(body).encode(), headers), timeout=60)  # noqa: S310
        deadline = time.monotonic() + 120
        while any(run["status"] in ("NotStarted", "Running") for run in azure.ask("runs")):
            assert time.monotonic() < deadline
            time.sleep(0.2)

    return task


@pytest.mark.slow
@pytest.mark.tool("make")
def test_a_worse_model_is_a_warning_and_the_champion_is_handed_on(organisation):
    build = organisation.build()

    assert build.result == "Succeeded", "a build with issues may start nothing"
    assert "task.logissue type=warning]Model was not registered for this run. " in told(build)
    assert " is worse than version 1's " in told(build)
    assert (model(build)["version"], model(build)["registered"]) == (1, False)
    assert organisation.agent.leases == {"1": [365]}, "only what registered a model is kept"


@pytest.mark.slow
@pytest.mark.tool("make")
def test_a_build_that_does_not_train_has_published(organisation):
    runs = len(organisation.azure.ask("runs"))

    build = organisation.build(autoTriggerTraining=False)

    assert build.result == "Succeeded"
    assert "Published pipeline diabetes-regression-training" in told(build)
    assert len(organisation.azure.ask("runs")) == runs


@pytest.mark.slow
@pytest.mark.tool("make")
def test_a_failed_training_fails_the_build_and_running_it_again_goes_on(organisation):
    organisation.azure.fault(step="evaluate", exit=3)

    failed = organisation.build(runEvaluation=False)

    assert failed.result == "Failed"
    assert "error: Step evaluate of run " in told(failed)
    assert model(failed) is None

    again = organisation.build(runEvaluation=False, number=failed.number)

    assert again.result == "Succeeded"
    assert "is published already" in told(again)
    assert model(again)["version"] == 2


@pytest.mark.slow
@pytest.mark.tool("make")
def test_a_run_that_was_started_without_an_agent_is_reported(organisation):
    edit(organisation.root, *ON_SERVER)

    build = organisation.build()

    edit(organisation.root, ".pipelines/variables.yml", "value: server", "value: agent")
    assert build.result == "Succeeded"
    assert "Model was not registered for this run. " in told(build)
    assert [step.name for step in build.job("Train.train").steps] == ["Run the published pipeline"]


def test_a_build_that_cannot_be_kept_is_a_warning(defaults, tmp_path):
    root = repository(defaults, tmp_path / "repository", without=("tests", "docs"))
    local = agent(defaults, root, tmp_path / "agent")
    named = ("System.TeamProjectId", "System.DefinitionId", "Build.BuildId")
    with answering(local):
        told = {name.upper().replace(".", "_"): local.predefined.get(name, "7") for name in named}
        told |= {"SYSTEM_COLLECTIONURI": local.predefined["System.CollectionUri"], "NO_PROXY": "127.0.0.1"}
        words = (sys.executable, "-m", "ml_service.retention")
        refused = run(*words, cwd=root, SYSTEM_ACCESSTOKEN="expired", **told)
        kept = run(*words, cwd=root, SYSTEM_ACCESSTOKEN=TOKEN, **told)

    assert "##vso[task.logissue type=warning]Azure DevOps answered 302" in refused
    assert "Build 7 goes with the project's retention: choose Retain in its menu." in refused
    assert "Build 7 is kept for 365 days." in kept
    assert local.leases == {"7": [365]}


@pytest.mark.slow
@pytest.mark.tool("make")
def test_jobs_ask_az_for_tokens_and_nothing_else(organisation):
    calls = set((organisation.agent.folder.parent / "tools" / "calls").read_text("utf-8").splitlines())

    assert {call.split(" --")[0] for call in calls} == {"account show", "account get-access-token"}


# -- quality: what is wrong in a change fails its build ---

BROKEN = {
    "style": ("src/{package}/schema.py", "import os\n", "Check the style"),
    "types": ("src/{package}/keys.py", '\n\nnumber: int = "text"\n', "Check the types"),
    "a test": ("tests/test_pipeline.py", "\n\ndef test_broken() -> None:\n    assert not True\n", "Run the unit tests"),
}


@pytest.fixture
def few_tests(defaults, tmp_path):
    """Return a function that makes a repository with two files of tests, which take seconds."""
    kept = {"conftest.py", "test_parameters.py", "test_pipeline.py"}
    without = [path.name for path in (defaults.path / "tests").iterdir() if path.name not in kept]
    return lambda python=None: repository(defaults, tmp_path / "repository", python, without=without)


@pytest.mark.slow
@pytest.mark.tool("make")
def test_a_broken_change_fails_and_its_build_says_where(defaults, environment, few_tests, tmp_path):
    python = environment(defaults)
    root = few_tests(python)
    package = defaults.answers["package_name"]
    all_of_it = f'packages = ["deployment", "{package}", "ml_service"]'  # which takes long
    edit(root, "pyproject.toml", all_of_it, f'modules = ["{package}.keys"]')
    for file, added, _ in BROKEN.values():
        path = root / file.format(package=package)
        path.write_text(path.read_text("utf-8") + added, encoding="utf-8")
    local = agent(defaults, root, tmp_path / "agent", PATH=f"{python.parent}:{os.environ['PATH']}")

    build = local.run(".pipelines/pr.yml")

    assert build.result == "Failed"
    fails = {step for _, _, step in BROKEN.values()}
    assert {step.name for step in build.steps() if step.result == "Failed"} == {*fails, "Publish what was found"}
    assert {step.result for step in build.steps()} == {"Failed", "Succeeded"}
    assert "F401" in told(build)
    assert "Incompatible types in assignment" in told(build)
    assert "test_broken" in told(build)


@pytest.fixture
def bare(tmp_path):
    """Return a PATH with a Python 3.11 that has nothing installed, as build agents have one."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "python").symlink_to(Path(sys.base_prefix) / "bin" / "python3.11")
    return f"{tools}:/usr/bin:/bin"


@pytest.mark.prove
@pytest.mark.tool("make")
def test_a_job_installs_what_it_needs(defaults, few_tests, bare, tmp_path):
    build = agent(defaults, few_tests(), tmp_path / "agent", PATH=bare).run(".pipelines/pr.yml")

    assert build.result == "Succeeded", told(build)
    workspace = Path(build.steps()[0].job.variables["Pipeline.Workspace"])
    assert (workspace / ".uv").is_dir()
    assert (workspace / "s" / ".venv" / "bin" / "ruff").exists()


@pytest.mark.slow
@pytest.mark.tool("make")
def test_a_failed_installation_fails_its_step(defaults, few_tests, bare, tmp_path):
    root = few_tests()
    lock = root / "requirements" / "uv.txt"
    lock.write_text(re.sub("sha256:.{8}", "sha256:00000000", lock.read_text("utf-8")), encoding="utf-8")

    build = agent(defaults, root, tmp_path / "agent", PATH=bare).run(".pipelines/pr.yml")

    assert next(step.name for step in build.steps() if step.result == "Failed") == "Install what the lock pins"
