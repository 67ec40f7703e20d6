"""What the programs of ml_service/ do when Azure, a setting or a run is not as it should be, and how they go on."""

import json
import re
import time

import pytest
from local_azure import working

from azureml_emulator import tokens

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shared(cookies_session, environment, tmp_path_factory):
    """Return a project and a local Azure ML in which build `good` registered version 1 and build `worse` none."""
    with working(cookies_session, environment, "diabetes", tmp_path_factory.mktemp("azure")) as project:
        project.build("good")
        project.change("alpha: 0.5")
        project.build("worse")
        yield project


@pytest.fixture
def project(shared):
    yield shared
    shared.azure.heal()


def refusal(told):
    """Return the one sentence that a program ended with, with no traceback before it."""
    assert "Traceback" not in told
    sentence = told.strip().splitlines()[-1]
    assert sentence.startswith("error: ")
    return sentence


# -- settings and login ---


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"BUILD_BUILDID": ""}, "BUILD_BUILDID is missing"),
        ({"COMPUTE_MIN_NODES": "9"}, "COMPUTE_MAX_NODES is below COMPUTE_MIN_NODES"),
        ({"BUILD_URI": "x --model-name other"}, "BUILD_URI may hold letters, digits"),
    ],
    ids=["missing", "contradictory", "more than a word"],
)
def test_wrong_settings_are_told_before_azure_is_asked(project, settings, told):
    before = len(project.azure.requests())

    said = project.run("submit", code=1, **{"BUILD_BUILDID": "any", **settings})

    assert told in said
    assert "Traceback" not in said
    assert len(project.azure.requests()) == before


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"WORKSPACE_NAME": "another"}, "another"),
        ({"RESOURCE_GROUP": "another"}, "another"),
        ({"SUBSCRIPTION_ID": "11111111-2222-3333-4444-555555555555"}, "11111111-2222-3333-4444-555555555555"),
    ],
    ids=["workspace", "group", "subscription"],
)
def test_what_does_not_exist_is_named(project, settings, told):
    assert told in refusal(project.run("submit", code=1, BUILD_BUILDID="any", **settings))


@pytest.mark.parametrize(
    ("status", "told"), [(403, "no permission"), (401, "log in again"), (409, "Azure ML"), (500, "Azure ML")]
)
def test_a_lasting_refusal_of_azure_ends_in_one_sentence(project, status, told):
    project.azure.fault(path="/Pipelines/Create", status=status, times=None)

    assert told in refusal(project.run("submit", code=1, BUILD_BUILDID=f"never-{status}"))


@pytest.mark.parametrize(("status", "told"), [(403, "no permission"), (401, "log in again")])
@pytest.mark.parametrize("verb", ["wait", "withdraw"])
def test_a_refusal_of_mlflow_is_told_like_any_other(project, verb, status, told):
    project.azure.fault(path="/mlflow/", status=status, times=None)

    arguments = ("--version", "99") if verb == "withdraw" else ()
    assert told in refusal(project.run(verb, *arguments, code=1, BUILD_BUILDID="good"))


def test_a_run_that_is_started_late_registers_new_data_once(project):
    path = "training-data/diabetes-regression-data/sample.csv"
    project.azure.fault(path="PipelineSubmit", status=500)
    settings = {"DATASET_NAME": "new-data", "DATA_FILE_PATH": path}

    project.submit("late", **settings)
    project.submit("late", **settings)
    assert "version 1." in project.run("dataset", BUILD_BUILDID="late", **settings)
    assert "version 2." in project.run("dataset", BUILD_BUILDID="later", **settings)


def test_waiting_survives_any_number_of_passing_errors(project):
    project.azure.fault(path="/mlflow/", delay=2)  # a step that takes a while
    project.submit("long", RUN_EVALUATION="false")
    for _ in range(4):
        project.azure.fault(path="/PipelineRuns/[0-9a-f-]+$", method="GET", status=503, times=2)

    assert "version" in project.wait("long")


@pytest.mark.parametrize("status", [429, 500])
def test_a_passing_refusal_of_azure_is_survived(project, status):
    for path in ("pipelines/v1.0.*/Pipelines/Create", "PipelineSubmit", "computes", "dataset/v1", "/mlflow/"):
        project.azure.fault(path=path, status=status, times=1)

    project.build(f"after-{status}")

    assert project.azure.ask("faults") == []


def test_nobody_logged_in_is_told_what_to_do(project):
    told = project.run("submit", code=1, BUILD_BUILDID="any", AZURE_FEDERATED_TOKEN_FILE="", PATH="/nowhere")

    assert "run `az login`" in refusal(told)


def az(folder, code):
    """Put a stand-in for the Azure CLI into a folder, and return what records how it was called."""
    folder.mkdir()
    (folder / "az").write_text(f'#!/bin/sh\necho "$*" >> {folder}/calls\n{code}\n', encoding="utf-8")
    (folder / "az").chmod(0o755)
    return folder / "calls"


def token(expires):
    """Return a token such as `az` gives: of a person, signed by nobody."""
    return tokens.issue("a-tenant", "a person", expires - time.time(), aud="https://management.azure.com")


@pytest.mark.parametrize("login", ["azure_cli", "federated"])
def test_each_login_uploads_data_and_reaches_mlflow(project, tmp_path, login):
    expires = int(time.time()) + 3600
    answer = {"accessToken": token(expires), "expires_on": expires, "tenant": "t", "tokenType": "Bearer"}
    calls = az(tmp_path / "bin", f"cat <<'END'\n{json.dumps(answer)}\nEND")
    settings = {"DATASET_NAME": f"data-{login}", "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}
    if login == "azure_cli":
        settings["AZURE_FEDERATED_TOKEN_FILE"] = ""
    before = len(project.azure.requests())

    project.run("dataset", BUILD_BUILDID="any", **settings)
    project.wait("good", **settings)

    made = project.azure.requests()[before:]
    used = {call["credential"] for call in made if "/mlflow/" in call["path"] or "/dataset/" in call["path"]}
    if login == "azure_cli":
        assert used == {"a person"}
        assert len(calls.read_text("utf-8").splitlines()) <= 4
        assert all(line.startswith("account get-access-token") for line in calls.read_text("utf-8").splitlines())
    else:
        assert used == {project.azure.environment["AZURE_CLIENT_ID"]}
        assert not calls.exists()
    assert [
        call for call in made if f"training-data/data-{login}/sample.csv" in call["path"] and call["method"] == "PUT"
    ]
    assert [call for call in made if "/mlflow/" in call["path"]]


def test_the_identity_of_the_machine_logs_in_where_there_is_no_other(project):
    expires = int(time.time()) + 3600
    resource = "https://management.azure.com"
    answer = {"access_token": token(expires), "expires_on": str(expires), "resource": resource, "token_type": "Bearer"}
    project.azure.fault(path="169.254.169.254", status=200, times=None, body=answer)
    before = len(project.azure.requests())

    settings = {"AZURE_FEDERATED_TOKEN_FILE": "", "AZURE_CLIENT_ID": "", "PATH": "/nowhere"}
    project.run("compute", BUILD_BUILDID="any", **settings)

    made = [call for call in project.azure.requests()[before:] if "/workspaces/" in call["path"]]
    assert {call["credential"] for call in made} == {"a person"}


def test_an_expired_az_login_is_told(project, tmp_path):
    az(tmp_path / "bin", "echo 'AADSTS700082: The refresh token has expired due to inactivity.' >&2; exit 1")
    settings = {"AZURE_FEDERATED_TOKEN_FILE": "", "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}

    told = refusal(project.run("compute", code=1, BUILD_BUILDID="any", **settings))

    assert "AADSTS700082" in told
    assert "az login" in told


# -- what a run needs ---


def test_the_cluster_is_made_as_the_settings_say(project):
    sizes = {"COMPUTE_SIZE": "STANDARD_D4_V3", "COMPUTE_PRIORITY": "dedicated", "COMPUTE_IDLE_SECONDS": "120"}
    nodes = {"COMPUTE_MIN_NODES": "1", "COMPUTE_MAX_NODES": "3"}

    told = project.run("compute", BUILD_BUILDID="any", COMPUTE_NAME="sized", **sizes, **nodes)

    assert "Cluster sized: STANDARD_D4_V3, 3 nodes at most." in told
    made = next(one for one in project.azure.ask("state?kind=computes") if one["name"] == "sized")
    cluster = made["properties"]["properties"]
    assert (cluster["vmSize"], cluster["vmPriority"].lower()) == ("STANDARD_D4_V3", "dedicated")
    assert cluster["scaleSettings"]["minNodeCount"] == 1
    assert cluster["scaleSettings"]["maxNodeCount"] == 3
    assert cluster["scaleSettings"]["nodeIdleTimeBeforeScaleDown"] == "PT120S"


def test_a_compute_target_of_another_type_is_refused(project):
    project.script(
        "from azureml.core.compute import ComputeTarget, DatabricksCompute\n"
        "here = DatabricksCompute.attach_configuration(resource_group='g', workspace_name='w', access_token='-')\n"
        "ComputeTarget.attach(workspace, 'bricks', here).wait_for_completion()",
    )

    told = refusal(project.run("submit", code=1, BUILD_BUILDID="any", COMPUTE_NAME="bricks"))

    assert "bricks is of type Databricks" in told


def test_a_cluster_that_cannot_be_made_is_told_with_the_reason(project):
    project.azure.fault(operation="failed")

    told = refusal(project.run("compute", code=1, BUILD_BUILDID="any", COMPUTE_NAME="too-big"))

    assert "quota" in told
    assert "quota" in refusal(project.run("submit", code=1, BUILD_BUILDID="any", COMPUTE_NAME="too-big"))


def test_a_cluster_that_somebody_makes_is_waited_for(project):
    project.script(
        "from azureml.core.compute import AmlCompute, ComputeTarget\n"
        "size = AmlCompute.provisioning_configuration(vm_size='STANDARD_D2_V2', max_nodes=1)\n"
        "AmlCompute.__init__ = lambda *_, **__: None  # which would look\n"
        "ComputeTarget.create(workspace, 'in-the-making', size)"
    )

    assert "Cluster in-the-making: " in project.run("compute", COMPUTE_NAME="in-the-making")


def test_what_an_operation_loses_is_not_made_twice(project):
    project.azure.fault(path="/computes/lost$", method="GET", status=503, times=4)  # more than the SDK repeats

    assert "Cluster lost: " in project.run("compute", COMPUTE_NAME="lost")
    made = [call for call in project.azure.requests("/computes/lost") if call["method"] == "PUT"]
    assert len(made) == 1


def test_a_step_in_an_environment_that_was_not_registered_is_refused(project):
    told = project.script(
        "from azureml.core import Environment\n"
        "training_pipeline.get_environment = lambda *_: Environment('made-up')\n"
        "pipeline = training_pipeline.publish(workspace, chosen)\n"
        "try:\n    pipeline.submit(workspace, 'e')\nexcept Exception as error:\n    print(error)",
        BUILD_BUILDID="made-up",
    )

    assert "is to run in 'made-up', which was not registered" in told


def test_an_environment_is_registered_once_and_anew_when_the_lock_changes(project):
    lock = project.path / "requirements" / "train.txt"
    content = lock.read_text("utf-8")

    same = [project.run("environment", BUILD_BUILDID="any") for _ in range(2)]
    lock.write_text(content.replace("numpy==", "numpy==9."), encoding="utf-8")
    other = project.run("environment", BUILD_BUILDID="any")
    lock.write_text(content, encoding="utf-8")

    assert same[0] == same[1]
    assert other != same[0]
    registered = [call["path"] for call in project.azure.requests("/environments/") if call["method"] == "PUT"]
    assert len(registered) == len(set(registered)) == 2


def test_a_version_of_the_data_that_is_not_there_is_refused(project):
    told = refusal(project.run("submit", code=1, BUILD_BUILDID="any", DATASET_VERSION="7"))

    assert "has no version 7; the newest is 1" in told


def test_a_version_of_data_that_was_never_registered_is_refused(project):
    told = project.run("dataset", code=1, BUILD_BUILDID="any", DATASET_NAME="never", DATASET_VERSION="7")

    assert "has no version 7; it has none yet" in refusal(told)


def test_data_that_did_not_arrive_is_not_registered(project):
    project.azure.fault(path="blob.core", method="PUT", status=403, times=None)

    told = project.run("dataset", code=1, BUILD_BUILDID="any", DATASET_NAME="forbidden")
    project.azure.heal()

    assert "sample.csv did not arrive" in refusal(told)
    assert "version 1." in project.run("dataset", BUILD_BUILDID="any", DATASET_NAME="forbidden")


def test_data_goes_to_the_datastore_that_is_named(project):
    project.script(
        "from azureml.core import Datastore\n"
        "Datastore.register_azure_blob_container(workspace, 'own', 'own-container', 'ownaccount', account_key='a2V5')"
    )

    project.run("dataset", BUILD_BUILDID="any", DATASTORE_NAME="own", DATASET_NAME="own-data")

    assert project.azure.requests("/own-container/training-data/own-data/sample.csv")
    unknown = project.run("dataset", code=1, BUILD_BUILDID="any", DATASTORE_NAME="none", DATASET_NAME="other-data")
    assert "none" in refusal(unknown)


def test_a_datastore_that_is_not_there_is_told_with_those_that_are(project):
    told = refusal(project.run("dataset", code=1, BUILD_BUILDID="any", DATASTORE_NAME="nosuch"))

    assert "has no datastore nosuch; it has " in told
    assert "workspaceblobstore" in told


def test_a_path_where_there_is_no_data_is_refused(project):
    told = refusal(project.run("submit", code=1, BUILD_BUILDID="no-data", DATA_FILE_PATH="none/such.csv"))

    assert "none/such.csv" in told


def test_new_data_needs_no_new_pipeline(project):
    data = project.path / "new" / "half.csv"
    lines = (project.path / "data" / "sample.csv").read_text("utf-8").splitlines(keepends=True)
    data.parent.mkdir()
    data.write_text("".join(lines[:222]), encoding="utf-8")
    project.run("training_pipeline", BUILD_BUILDID="new-data")
    published = len(project.azure.requests("/Pipelines/Create"))
    project.script(
        "from azureml.core import Dataset\n"
        "Dataset.File.upload_directory('new', (workspace.get_default_datastore(), 'arrived'), show_progress=False)",
    )

    told = project.build("new-data", DATA_FILE_PATH="arrived/half.csv", RUN_EVALUATION="false")

    assert "Registered version" in told
    assert len(project.azure.requests("/Pipelines/Create")) == published
    assert "Dataset diabetes-regression-data, version 2." in project.run("dataset", BUILD_BUILDID="any")
    *_, run_ = project.azure.ask("runs")
    assert "on 45 held-out rows" in run_["steps"][0]["output"]
    assert run_["steps"][0]["reused"] is False
    assert "version 1." in project.run("dataset", BUILD_BUILDID="any", DATASET_VERSION="1")


# -- runs ---


def test_submitting_twice_starts_one_run_and_waiting_twice_ends_the_same(project):
    runs = len(project.azure.ask("runs"))

    told = project.submit("good")
    models = [(project.wait("good"), project.model())[1] for _ in range(2)]

    assert "has its run already" in told
    assert len(project.azure.ask("runs")) == runs
    assert models[0] == models[1]
    assert models[0]["version"] == 1


def test_a_failed_step_ends_the_build_and_the_same_build_can_be_tried_again(project):
    project.azure.fault(step="evaluate", exit=3)

    told = project.build("flaky", code=1, RUN_EVALUATION="false")

    assert "Step evaluate of run " in refusal(told)
    assert project.model() is None
    project.build("flaky", RUN_EVALUATION="false")
    assert project.model()


def test_a_cancelled_run_fails_the_build(project):
    project.azure.fault(path="/mlflow/", delay=3)  # long enough to cancel while a step runs
    project.script("from ml_service import submit\nsubmit.submit(chosen).cancel()", BUILD_BUILDID="cancelled")

    assert "ended as Canceled" in refusal(project.wait("cancelled", code=1))
    assert project.model() is None


def test_the_log_of_a_failed_step_is_shown_whatever_it_holds(project):
    train = project.path / "src" / "diabetes_regression" / "train.py"
    content = train.read_text("utf-8")
    lines = "for number in range(50): print(f'line {number} ##vso[task.complete]', flush=True)\n"
    train.write_text(
        f"import os, sys\n{lines}print(sorted(os.environ))\n"
        "sys.stdout.buffer.write(b'caf\\xe9\\n')\nsys.stdout.flush()\nsys.exit(1)\n",
        "utf-8",
    )

    told = project.build("noisy", code=1)
    train.write_text(content, encoding="utf-8")

    assert "Step train of run " in refusal(told)
    assert "line 49 # #vso[task.complete]" in told
    assert "##vso" not in told
    assert "line 5 " not in told
    assert "'MLFLOW_RUN_ID'" in told
    assert "PYTEST" not in told  # a job has nothing of the environment in which Azure was started


def test_a_step_that_raises_shows_the_end_of_its_log(project):
    parameters = project.path / "src" / "parameters.yml"
    content = parameters.read_text("utf-8")
    parameters.write_text(content.replace("alpha: ", "alpha: none # "), encoding="utf-8")

    told = project.build("wrong-parameters", code=1)
    parameters.write_text(content, encoding="utf-8")

    assert "parameters.yml: training" in told
    assert "Step train of run " in refusal(told)


def test_a_job_has_nothing_but_its_snapshot(project):
    ignored = project.path / "src" / ".amlignore"
    content = ignored.read_text("utf-8")
    ignored.write_text(content + "parameters.yml\n", encoding="utf-8")

    told = project.build("without-parameters", code=1)
    ignored.write_text(content, encoding="utf-8")

    assert re.search("No such file or directory: 'parameters.yml'", told)


def test_a_build_without_a_run_is_told_how_to_get_one(project):
    assert "ml_service.submit" in refusal(project.wait("unheard-of", code=1))


def test_a_build_with_two_runs_is_refused_until_one_is_named(project):
    code = "p = training_pipeline.publish(workspace, chosen)\nfor _ in 'ab': print(p.submit(workspace, 'e').id)"
    told = project.script(code, BUILD_BUILDID="doubled")
    first = re.findall(r"^[0-9a-f-]{36}$", told, re.MULTILINE)[0]

    assert "has 2 runs" in refusal(project.wait("doubled", code=1))
    assert first in project.wait("doubled", "--run-id", first)
    assert "has no run other" in refusal(project.wait("doubled", "--run-id", "other", code=1))


def test_a_run_that_another_system_starts_is_none_of_the_build(project):
    project.submit("own")
    others = "p = training_pipeline.publish(workspace, chosen)\nprint(p.submit(workspace, 'e').id)"
    other = project.script(others, BUILD_BUILDID="own").splitlines()[-1]

    assert other not in project.wait("own")


def test_a_build_with_two_pipelines_is_refused(project):
    code = "from ml_service import published\npublished.published = lambda *_: None\n"
    code += "for _ in 'ab': training_pipeline.publish(workspace, chosen)"
    project.script(code, BUILD_BUILDID="twins")

    assert "2 published pipelines" in refusal(project.run("submit", code=1, BUILD_BUILDID="twins"))


@pytest.mark.parametrize(
    ("parameters", "before"),
    [({"no_such": "value"}, "pass"), ({}, "pipeline.disable()")],
    ids=["unknown parameter", "disabled pipeline"],
)
def test_the_local_azure_starts_nothing_that_was_not_published(project, parameters, before):
    runs = len(project.azure.ask("runs"))

    project.script(
        f"pipeline = training_pipeline.publish(workspace, chosen)\n{before}\n"
        f"try: pipeline.submit(workspace, 'e', {parameters})\n"
        "except Exception: pass\nelse: raise SystemExit('started')",
        BUILD_BUILDID=f"refused-{len(parameters)}",
    )

    assert len(project.azure.ask("runs")) == runs


def test_a_parameter_that_a_shell_would_act_upon_fails_its_step(project):
    project.script(
        "training_pipeline.publish(workspace, chosen).submit(workspace, 'e', {'build_uri': 'a;touch /tmp/no'})",
        BUILD_BUILDID="shell",
    )

    assert "Step register of run " in refusal(project.wait("shell", code=1))


def test_a_pipeline_that_is_gone_when_it_is_to_run_is_told(project):
    project.azure.fault(path="PipelineSubmit", status=404)

    assert "is gone or was disabled" in refusal(project.run("submit", code=1, BUILD_BUILDID="gone"))
    assert "started its run" in project.submit("gone")


def test_pipelines_of_other_names_do_not_count_as_a_build_s(project):
    project.run("training_pipeline", BUILD_BUILDID="shared-id", TRAINING_PIPELINE_NAME="another-project")

    assert "Published pipeline" in project.run("training_pipeline", BUILD_BUILDID="shared-id")


def test_runs_carry_their_build_as_tags(project):
    told = project.script(
        "from ml_service.published import published\n"
        "print([run.get_tags() for run in __import__('ml_service.submit').submit.runs(workspace, "
        "published(workspace, chosen.training_pipeline_name, 'good'))])"
    )

    assert "'build_id': 'good'" in told


def test_debug_shows_where_an_error_came_from(project):
    told = project.run("submit", "--debug", code=1, BUILD_BUILDID="any", DATASET_VERSION="7")

    assert "Traceback (most recent call last)" in told
    assert "has no version 7" in told.splitlines()[-1]


def test_waiting_again_hands_on_the_same_and_the_champion_can_be_asked_for(project):
    project.wait("good")
    registered = project.model()
    project.wait("worse")
    stays = project.model()
    project.run("judged", BUILD_BUILDID="")
    champion = project.model()

    assert (registered["version"], registered["registered"]) == (1, True)
    assert stays == {**registered, "registered": False}
    serving = [number for number, tags in project.versions().items() if "withdrawn" not in tags]
    assert (champion["version"], champion["registered"]) == (max(serving), False)
    assert champion.keys() == stays.keys()
    assert "unheard-of has no run" in refusal(project.wait("unheard-of", code=1))
    assert project.model() is None


# -- fetching ---

OF_ANOTHER = {
    "name": "diabetes-regression",
    "version": 1,
    "registered": True,
    "metrics": {},
    "model_digest": "0" * 64,
    "workspace": "a/b",
}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "model.json is missing: `python -m ml_service.wait` writes it."),
        ("{", "model.json is not JSON"),
        ('{"name": "a"}', "model.json says None for version"),
        (json.dumps({**OF_ANOTHER, "version": "1"}), "model.json says '1' for version"),
        (json.dumps({**OF_ANOTHER, "version": 0}), "model.json says 0 for version"),
        (json.dumps({**OF_ANOTHER, "name": "a; b"}), "model.json says 'a; b' for name"),
        (json.dumps({**OF_ANOTHER, "workspace": None}), "model.json says None for workspace"),
        (json.dumps(OF_ANOTHER), "is not what model.json is about"),
        (json.dumps({**OF_ANOTHER, "version": 99}), "has no version 99"),
    ],
    ids=["missing", "no json", "half", "text", "zero", "words", "nowhere", "another", "unknown"],
)
def test_only_a_version_that_was_judged_is_fetched(project, content, told):
    path = project.path / "model.json"
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_text(content, encoding="utf-8")

    said = project.run("fetch", code=1, BUILD_BUILDID="any")

    assert told in said
    assert "Traceback" not in said
    assert not (project.path / "outputs" / "serving").exists()


def test_files_that_azure_refuses_to_give_are_told_in_one_sentence_and_are_no_reason_to_withdraw(project):
    project.wait("good")
    project.azure.fault(path="blob.core", status=403, times=None)

    said = project.run("fetch", code=1, BUILD_BUILDID="any")

    assert "error: The files of version 1 of diabetes-regression cannot be fetched: (AuthorizationFailed)" in said
    assert len(said.strip().splitlines()) == 1
    assert "Withdraw" not in said


def test_after_all_is_withdrawn_the_next_candidate_needs_to_beat_nobody(project):
    for number, tags in project.versions().items():
        if "withdrawn" not in tags:
            told = project.run("withdraw", "--version", number, BUILD_BUILDID="any")
    project.change("alpha: 0.7")

    assert "The champion is none" in told
    assert "has no version that may serve: nothing to do." in project.run("judged", BUILD_BUILDID="any")
    assert project.model() is None
    assert "There is no champion to beat." in project.build("anew")
    assert "withdrawn" in refusal(project.wait("good", code=1))
    assert project.model() is None
    (project.path / "model.json").write_text(json.dumps(OF_ANOTHER), encoding="utf-8")
    assert "was withdrawn since: choose another build." in refusal(project.run("fetch", code=1, BUILD_BUILDID="any"))
    assert "done before" in refusal(project.run("withdraw", "--version", "1", code=1, BUILD_BUILDID="any"))
