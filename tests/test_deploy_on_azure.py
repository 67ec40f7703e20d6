"""Deploy with the real SDK to the local Azure ML, which serves what it is sent: what answers after success and failure.

The services are called as clients call them: at the address that Azure ML gives, through the proxy, with a key.
"""

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import tarfile
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import pytest
from conftest import run
from local_azure import working

pytestmark = pytest.mark.prove

ACI, AKS = "scores-aci", "scores-aks"
ACI_URL = f"http://{ACI}.eastus.azurecontainer.io/score"
AKS_URL = f"https://diabetes-regression.eastus.cloudapp.azure.com/api/v1/service/{AKS}/score"
URLS = {ACI: ACI_URL, AKS: AKS_URL}
NAMES = {"ACI_DEPLOYMENT_NAME": ACI, "AKS_DEPLOYMENT_NAME": AKS, "AKS_COMPUTE_NAME": "cluster", "BUILD_BUILDID": "7"}
MODEL = "diabetes-regression"
GOOD = {"name": MODEL, "version": 1, "registered": True, "metrics": {}, "model_digest": "0" * 64, "workspace": "a/b"}


class Outcome(NamedTuple):
    """What a program printed, and afterwards: what the service predicts, and as what Azure ML has it."""

    told: str
    predictions: list[float] | None
    service: dict | None


class Azure:
    """A project in whose registry versions 1 and 2 predict differently; from 3 to 11, odd ones are as 1 is."""

    def __init__(self, project, folder):
        self.project, self.folder = project, folder
        project.build("one")
        project.change("alpha: 0.5")
        project.build("two", RUN_EVALUATION="false")
        project.script(
            "from diabetes_regression import registry\n"
            "client = mlflow_client(workspace)\n"
            f"first, second = (registry.numbered(client, {MODEL!r}, number) for number in (1, 2))\n"
            "for number in range(3, 12):\n"
            "    like = first if number % 2 else second\n"
            f"    registry.add(client, {MODEL!r}, like.run_id, like.tags)\n"
            f"registry.withdraw(client, {MODEL!r}, 8)\n"
        )
        self.digests = {number: tags["model_digest"] for number, tags in project.versions().items()}
        self.edit("../../ml_service/deploy.py", "PAUSE = 2.0", "PAUSE = 0.1")

    def judge(self, number):
        """Write model.json as a build does that judged this version."""
        judged = {**GOOD, "version": number, "metrics": {"mse": 1.0}, "model_digest": self.digests[number]}
        (self.project.path / "model.json").write_text(json.dumps(judged), encoding="utf-8")

    def deploy(self, number, target="aci", code=0, **settings):
        """Deploy a version, and say what became of it."""
        self.judge(number)
        told = self.project.run("deploy", target, code=code, **{**NAMES, **settings})
        self.project.azure.heal()
        name = NAMES[f"{target.upper()}_DEPLOYMENT_NAME"]
        return Outcome(told, self.predict(name), self.service(name))

    def cancel(self, number, cancel):
        """Begin to deploy a version to ACI, send a signal while the service changes, and return how it ends."""
        self.judge(number)
        variables = {**os.environ, **self.project.azure.environment, **NAMES}
        command = [self.project.python, "-m", "ml_service.deploy", "aci"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        with subprocess.Popen(command, cwd=self.project.path, env=variables, **pipes) as deploying:
            while self.service(ACI)["state"] != "Transitioning":
                assert deploying.poll() is None
                time.sleep(0.05)
            deploying.send_signal(cancel)
            told = deploying.communicate(timeout=30)[0]
        return deploying.returncode, told

    def service(self, name):
        """Return a service as the local Azure ML keeps it, or None."""
        return next((found for found in self.project.azure.ask("state?kind=services") if found["name"] == name), None)

    def key(self, name):
        keys = self.project.azure.ask("state?kind=service_keys")
        return next((found["primaryKey"] for found in keys if found["name"] == name), None)

    def predict(self, name=ACI):
        """Return what a service predicts for the rows of request.json, or None."""
        status, answer = self.call(URLS[name], self.key(name))
        return json.loads(answer)["result"] if status == 200 else None

    def call(self, url, key=None):
        """Post request.json to a service, and return status and content of the answer."""
        variables = self.project.azure.environment
        trust = ssl.create_default_context(cafile=variables["SSL_CERT_FILE"])
        proxy = urllib.request.ProxyHandler({"http": variables["http_proxy"], "https": variables["HTTPS_PROXY"]})
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
        body = (self.project.path / "src" / "request.json").read_bytes()
        opener = urllib.request.build_opener(proxy, urllib.request.HTTPSHandler(context=trust))
        try:
            with opener.open(urllib.request.Request(url, body, headers), timeout=30) as answer:  # noqa: S310
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def edit(self, file, old, new):
        """Change the project's code, and return what changes it back."""
        path = self.project.path / "src" / "diabetes_regression" / file
        before = path.read_text("utf-8")
        assert old in before
        path.write_text(before.replace(old, new), encoding="utf-8")
        return lambda: path.write_text(before, encoding="utf-8")


@pytest.fixture(scope="module")
def azure(cookies_session, environment, tmp_path_factory):
    folder, answers = tmp_path_factory.mktemp("azure"), {"aks": "service", "deploy_webapp": True}
    with working(cookies_session, environment, "diabetes", folder, **answers) as project:
        yield Azure(project, folder)


@pytest.fixture(scope="module")
def outcomes(azure):
    """Return what became of deployments to ACI, one after another."""
    fault = azure.project.azure.fault
    done = {}

    fault(operation="failed")
    fault(path="/services/scores-aci$", method="DELETE", status=503)
    done["first fails"] = azure.deploy(1, code=1)
    fault(operation="failed")
    fault(path="/services/scores-aci$", method="DELETE", status=503, times=None)
    done["first cannot be deleted"] = azure.deploy(1, code=1)
    azure.project.script(f"from azureml.core import Webservice; Webservice(workspace, {ACI!r}).delete()")
    done["first"] = azure.deploy(1)
    done["update"] = azure.deploy(2, BUILD_BUILDID="8")
    fault(operation="failed")
    done["update fails"] = azure.deploy(1, code=1)
    fault(operation="lost")
    done["update loses the former"] = azure.deploy(1, code=1)
    repair = azure.edit("../../ml_service/service.py", "MINUTE = 60.0", "MINUTE = 0.3")  # of which there are 30
    fault(operation="slow", delay=10)
    done["update is slow"] = azure.deploy(1, code=1)
    repair()
    fault(path="/services/scores-aci$", method="PATCH", status=403, times=None)
    done["update is refused"] = azure.deploy(1, code=1)
    repair = azure.edit(
        "score.py", "def init()", "raise RuntimeError('##vso[task.complete result=Succeeded]')\n\n\ndef init()"
    )
    done["code does not start"] = azure.deploy(1, code=1)
    repair()
    repair = azure.edit("scoring.py", '{"result": predictions}', '{"result": predictions[1:]}')
    done["code answers too little"] = azure.deploy(1, code=1)
    repair()
    repairs = [
        azure.edit("scoring.py", '"version": str(service.version)', '"version": "77"'),
        azure.edit("smoke_test.py", "SECONDS_IN_ALL = 120.0", "SECONDS_IN_ALL = 3.0"),
    ]
    done["another version answers"] = azure.deploy(1, code=1)
    for repair in repairs:
        repair()
    for file in ("certificate", "key"):
        (azure.project.path / f"{file}.pem").write_text(file, encoding="utf-8")
    tls = "tls: {domain: score.example.com, certificate: certificate.pem, key: key.pem}"
    repair = azure.edit("../../deployment/aci.yml", "tls: null", tls)
    fault(operation="lost")
    done["update has TLS"] = azure.deploy(1, code=1)
    repair()
    fault(operation="lost")
    fault(operation="failed")
    done["nothing can be saved"] = azure.deploy(1, code=1)
    done["after the disaster"] = azure.deploy(2)
    fault(path="/services/scores-aci$", method="PATCH", status=503)
    done["nine"] = azure.deploy(9)
    done["ten"] = azure.deploy(10)
    return done


def serves(outcome):
    """Return the version that Azure ML has, and whether the service answers."""
    return outcome.service and outcome.service["environmentImageRequest"]["modelIds"], outcome.predictions is not None


def test_a_first_deployment_that_fails_leaves_nothing_behind(outcomes):
    told, predictions, service = outcomes["first fails"]

    assert "version 1 of diabetes-regression was not deployed to scores-aci. Azure ML says Failed" in told
    assert told.strip().endswith("There was no service scores-aci before, and what this has left was deleted.")
    assert (predictions, service) == (None, None)


def test_a_first_deployment_whose_remains_stay_says_why_it_failed_and_what_to_do(outcomes):
    why, remains = outcomes["first cannot be deleted"].told.strip().splitlines()[-2:]

    assert "Azure ML says Failed: A fault rule ends this operation." in why
    assert "deleting what this has left failed: see in the studio whether it is gone" in remains
    assert "503" in remains


def test_the_service_answers_what_the_model_predicts(azure, outcomes, tmp_path):
    for number, name in ((1, "first"), (2, "update")):
        azure.judge(number)
        azure.project.run("fetch", "--output", tmp_path / name, **NAMES)

        command = (
            "import json, numpy as np; from pathlib import Path; from diabetes_regression import scoring;"
            f"service = scoring.load(Path({str(tmp_path / name)!r})); rows = json.load(open('request.json'))['data'];"
            "print(json.dumps([service.version, service.model.predict(np.array(rows)).tolist()]))"
        )
        local = json.loads(run(azure.project.python, "-c", command, cwd=azure.project.path / "src"))
        assert local == [number, outcomes[name].predictions]
    assert outcomes["first"].predictions != outcomes["update"].predictions


def test_the_service_is_what_its_file_describes(outcomes):
    service = outcomes["update"].service

    assert (service["authEnabled"], service["appInsightsEnabled"]) == (True, True)
    assert service["containerResourceRequirements"] == {"cpu": 1.0, "memoryInGB": 1.0}
    assert service["kvTags"] == {
        "build_id": "8",
        "build_uri": "local",
        "commit": "local",
        "model_version": "2",
        "release_build": "local",
    }
    environment = service["environmentImageRequest"]["environment"]
    variables = environment["environmentVariables"]
    assert (variables["MODEL_NAME"], variables["MODEL_VERSION"]) == (MODEL, "2")
    assert environment["name"].startswith("diabetes-regression-inference-")
    assert "azureml-inference-server-http==1.5.1" in str(environment["python"]["condaDependencies"])


def test_nothing_but_the_package_is_sent(azure, outcomes):
    sent = [asset for asset in outcomes["first"].service["environmentImageRequest"]["assets"] if asset.get("unpack")]
    origin, container, name = sent[0]["url"].removeprefix("aml://artifact/").split("/")
    blobs = azure.folder / "state" / "blobs" / "emulatedstorage" / "azureml" / origin / container
    with tarfile.open(blobs / f"={name}") as archive:
        names = [member.name for member in archive.getmembers() if member.isfile()]

    assert "src/diabetes_regression/score.py" in names
    assert [name for name in names if not re.fullmatch(r"src/diabetes_regression/\w+\.py", name)] == []


@pytest.mark.parametrize("header", [None, "wrong"])
def test_a_key_is_needed(azure, outcomes, header):
    status, _ = azure.call(ACI_URL, header)

    assert status == 401


def test_no_key_is_told(azure, outcomes):
    keys = [key for found in azure.project.azure.ask("state?kind=service_keys") for key in found.values() if key != ACI]

    assert len(keys) >= 2
    assert [key for key in keys for outcome in outcomes.values() if key in outcome.told] == []


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("update fails", "still serves."),
        ("update loses the former", "was put back, and serves."),
        ("update is slow", "was put back, and serves."),
        ("update is refused", "still serves."),
        ("code does not start", "still serves."),
        ("code answers too little", "was put back, and serves."),
        ("another version answers", "was put back, and serves."),
        ("update has TLS", "was put back, and serves."),
    ],
)
def test_after_a_failed_update_the_former_version_answers(outcomes, name, how):
    told, predictions, service = outcomes[name]

    assert "version 1 of diabetes-regression was not deployed to scores-aci." in told
    assert told.strip().splitlines()[-1] == f"version 2 of diabetes-regression {how}"
    assert predictions == outcomes["update"].predictions
    assert service["environmentImageRequest"] == outcomes["update"].service["environmentImageRequest"]
    assert service["kvTags"] == outcomes["update"].service["kvTags"]
    assert (service["sslEnabled"], service["authEnabled"], service["appInsightsEnabled"]) == (False, True, True)
    assert "Traceback" not in re.sub("(?m)^    .*$", "", told)


def test_the_log_of_a_container_is_no_command_to_the_build_agent(outcomes):
    assert "# #vso[task.complete result=Succeeded]" in outcomes["code does not start"].told
    assert not re.search(r"(?<!# )##vso", outcomes["code does not start"].told)


def test_a_service_that_answers_as_another_version_is_told(outcomes):
    assert "The service says that it serves version '77', not 1." in outcomes["another version answers"].told


def test_a_build_says_so_when_nothing_could_be_saved_and_the_next_one_mends_it(outcomes):
    told = "Nothing that was tested serves now: version 2 of diabetes-regression does not either. Azure ML says Failed"
    assert told in outcomes["nothing can be saved"].told
    assert serves(outcomes["nothing can be saved"]) == ([f"{MODEL}:1"], False)
    assert serves(outcomes["after the disaster"]) == ([f"{MODEL}:2"], True)


def test_a_passing_error_of_azure_is_survived(azure, outcomes):
    calls = azure.project.azure.requests("/services/scores-aci")

    assert [call["status"] for call in calls if call["method"] == "PATCH"].count(503) == 1
    assert serves(outcomes["nine"]) == ([f"{MODEL}:9"], True)


def test_ten_is_ten_though_nine_is_more_as_text_and_eleven_is_newer(outcomes):
    assert "version 10 of diabetes-regression serves at http://" in outcomes["ten"].told
    assert serves(outcomes["ten"]) == ([f"{MODEL}:10"], True)
    assert outcomes["ten"].predictions == outcomes["update"].predictions != outcomes["nine"].predictions


# -- what is refused before anything is changed ---


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "model.json is missing: `python -m ml_service.wait` writes it."),
        ("{", "model.json: the whole file"),
        ('{"name": "a"}', "model.json: version: Field required"),
        (json.dumps({**GOOD, "version": "1"}), "model.json: version"),
        (json.dumps({**GOOD, "version": 0}), "model.json: version"),
        (json.dumps({**GOOD, "name": "a; b"}), "model.json: name"),
        (json.dumps({**GOOD, "latest": True}), "model.json: latest"),
        (json.dumps({name: value for name, value in GOOD.items() if name != "workspace"}), "model.json: workspace"),
        (json.dumps(GOOD), "is not what model.json is about"),
        (json.dumps({**GOOD, "version": 99}), "has no version 99"),
        (json.dumps({**GOOD, "version": 8}), "was withdrawn since: choose another build."),
    ],
    ids=["missing", "no json", "half", "text", "zero", "words", "more", "nowhere", "another", "unknown", "withdrawn"],
)
@pytest.mark.parametrize("verb", ["deploy", "fetch"])
def test_only_a_version_that_was_judged_and_is_not_withdrawn_is_taken(azure, verb, content, told):
    path = azure.project.path / "model.json"
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_text(content, encoding="utf-8")
    before = azure.project.azure.requests("/modelmanagement/")

    said = azure.project.run(verb, *(["aci"] if verb == "deploy" else []), code=1, **NAMES)

    assert told in said
    assert "Traceback" not in said
    assert azure.project.azure.requests("/modelmanagement/") == before


@pytest.mark.parametrize(
    ("target", "settings", "told"),
    [
        ("aci", {"ACI_DEPLOYMENT_NAME": ""}, "ACI_DEPLOYMENT_NAME is missing"),
        ("aks", {"AKS_DEPLOYMENT_NAME": "$(AKS_DEPLOYMENT_NAME)"}, "AKS_DEPLOYMENT_NAME is missing"),
        ("aks", {"AKS_COMPUTE_NAME": ""}, "AKS_COMPUTE_NAME is missing"),
        ("aci", {"ACI_DEPLOYMENT_NAME": "Not_A_Name"}, "ACI_DEPLOYMENT_NAME String should match"),
        ("aks", {"AKS_COMPUTE_NAME": "train-cluster"}, "is of type AmlCompute, not a Kubernetes cluster"),
        ("aks", {"AKS_DEPLOYMENT_NAME": ACI}, "Service scores-aci is of type ACI, not AKS"),
    ],
)
def test_a_target_that_cannot_be_is_named(azure, outcomes, target, settings, told):
    azure.judge(1)

    said = azure.project.run("deploy", target, code=1, **{**NAMES, **settings})

    assert told in said
    assert "Traceback" not in said


def test_a_service_that_somebody_else_changes_is_left_alone(azure, outcomes):
    repair = azure.edit("score.py", "def init() -> None:", "time.sleep(3)\n\n\ndef init() -> None:")
    other = threading.Thread(target=azure.deploy, args=(10,))
    other.start()
    while azure.service(ACI)["state"] != "Transitioning":
        time.sleep(0.05)

    told = azure.project.run("deploy", "aci", code=1, **NAMES)

    other.join()
    repair()
    assert "Service scores-aci is being changed by somebody else" in told
    assert azure.service(ACI)["state"] == "Healthy"


@pytest.mark.parametrize("cancel", [signal.SIGINT, signal.SIGTERM], ids=lambda cancel: cancel.name)
def test_a_deployment_that_is_cancelled_says_what_may_serve_and_how_to_go_back(azure, outcomes, cancel):
    before = outcomes["ten"]
    azure.project.azure.fault(operation="slow", delay=3)

    code, told = azure.cancel(9, cancel)

    azure.project.azure.heal()
    while azure.service(ACI)["state"] == "Transitioning":
        time.sleep(0.05)
    last = told.strip().splitlines()[-1]
    assert code == 130
    assert last.startswith("Cancelled: scores-aci may serve version 9 of diabetes-regression, which nothing has tested")
    assert "or version 10 of diabetes-regression" in last
    assert "`python -m ml_service.deploy aci`" in last
    assert "Traceback" not in told
    assert serves(azure.deploy(10)) == serves(before)


# -- Kubernetes ---


def test_a_cluster_that_cannot_be_attached_is_told(azure):
    azure.project.azure.fault(operation="failed")

    told = azure.deploy(1, "aks", code=1, AKS_COMPUTE_NAME="broken", AKS_DEPLOYMENT_NAME="never").told

    assert "Cluster broken of resource group mlops-RG could not be attached: " in told
    assert azure.service("never") is None
    assert "Cluster broken is Failed" in azure.deploy(1, "aks", code=1, AKS_COMPUTE_NAME="broken").told


@pytest.fixture(scope="module")
def kubernetes(azure):
    """Return what became of two deployments to Kubernetes."""
    return [azure.deploy(number, "aks") for number in (1, 2)]


def test_a_cluster_is_attached_once(kubernetes):
    first, second = (outcome.told for outcome in kubernetes)

    assert "Attaching cluster cluster of resource group mlops-RG" in first
    assert "Attaching" not in second


def test_a_service_on_kubernetes_has_tls_and_asks_for_a_key(azure, kubernetes):
    assert f"version 2 of diabetes-regression serves at {AKS_URL}" in kubernetes[1].told
    assert "no TLS" not in kubernetes[1].told
    assert azure.call(AKS_URL)[0] == 401


def test_a_service_on_kubernetes_answers_what_the_model_predicts(outcomes, kubernetes):
    predictions = [outcome.predictions for outcome in kubernetes]

    assert predictions == [outcomes["first"].predictions, outcomes["update"].predictions]


SETTINGS = {
    "authEnabled": True,
    "appInsightsEnabled": True,
    "scoringTimeoutMs": 5000,
    "maxConcurrentRequestsPerContainer": 2,
    "maxQueueWaitMs": 5000,
    "autoScaler": {
        "autoscaleEnabled": True,
        "minReplicas": 1,
        "maxReplicas": 3,
        "targetUtilization": 70,
        "refreshPeriodInSeconds": 10,
    },
}
SIZE = {"cpu": 1.0, "memoryInGB": 2.0}
LARGER = {
    "cpu_cores: 1": "cpu_cores: 2",
    "memory_gb: 2": "memory_gb: 3",
    "replica_max_concurrent_requests: 2": "replica_max_concurrent_requests: 4",
    "scoring_timeout_ms: 5000": "scoring_timeout_ms: 6000",
    "max_request_wait_time: 5000": "max_request_wait_time: 7000",
    "autoscale_min_replicas: 1": "autoscale_min_replicas: 2",
    "autoscale_max_replicas: 3": "autoscale_max_replicas: 9",
    "autoscale_target_utilization: 70": "autoscale_target_utilization: 60",
    "autoscale_refresh_seconds: 10": "autoscale_refresh_seconds: 20",
}


def settings_of(service):
    """Return what deployment/aks.yml decides about a service, and what of it is its size."""
    requirements = service["containerResourceRequirements"]
    return {name: service[name] for name in SETTINGS}, {name: requirements[name] for name in SIZE}


def write_settings(azure, changes):
    """Change deployment/aks.yml, and return what changes it back."""
    repairs = [azure.edit("../../deployment/aks.yml", old, new) for old, new in changes.items()]
    return repairs[0]


def test_a_service_on_kubernetes_is_what_its_file_describes(kubernetes):
    assert settings_of(kubernetes[1].service) == (SETTINGS, SIZE)


@pytest.mark.parametrize(
    ("changes", "fault", "reason"),
    [
        (LARGER, "lost", "A fault rule ends this operation."),
        ({"cpu_cores: 1": "cpu_cores: 64"}, None, "Couldn't schedule: no node has 64.0 cpu, the most is 4."),
        ({"memory_gb: 2": "memory_gb: 99"}, None, "Couldn't schedule: no node has 99.0 memoryInGB, the most is 14."),
    ],
    ids=["lost", "cores", "memory"],
)
def test_after_a_failed_update_on_kubernetes_the_former_version_answers_in_its_former_size(
    azure, kubernetes, changes, fault, reason
):
    repair = write_settings(azure, changes)
    if fault:
        azure.project.azure.fault(operation=fault)

    told, predictions, service = azure.deploy(1, "aks", code=1)

    repair()
    assert reason in told
    assert told.strip().splitlines()[-1] == "version 2 of diabetes-regression was put back, and serves."
    assert predictions == kubernetes[1].predictions
    assert settings_of(service) == (SETTINGS, SIZE)
    for part in ("environmentImageRequest", "kvTags"):
        assert service[part] == kubernetes[1].service[part]


def test_an_update_on_kubernetes_changes_all_that_its_file_describes(azure, kubernetes):
    repair = write_settings(azure, LARGER)

    larger = azure.deploy(2, "aks").service

    repair()
    scaler = {"minReplicas": 2, "maxReplicas": 9, "targetUtilization": 60, "refreshPeriodInSeconds": 20}
    times = {"scoringTimeoutMs": 6000, "maxConcurrentRequestsPerContainer": 4, "maxQueueWaitMs": 7000}
    wanted = {**SETTINGS, **times, "autoScaler": {"autoscaleEnabled": True, **scaler}}
    assert settings_of(larger) == (wanted, {"cpu": 2.0, "memoryInGB": 3.0})


# -- smoke test ---


@pytest.mark.parametrize(("kind", "name"), [("ACI", ACI), ("AKS", AKS)])
def test_the_smoke_test_fetches_the_key(azure, outcomes, kubernetes, kind, name):
    told = azure.project.run("smoke_test", "--type", kind, "--service", name, **NAMES)

    assert "Smoke test successful." in told
    assert azure.key(name) not in told


@pytest.mark.parametrize(
    ("kind", "name", "told"),
    [("AKS", ACI, "is of type ACI, not AKS"), ("ACI", "absent", "has no service absent")],
)
def test_the_smoke_test_names_what_it_was_told_wrong(azure, outcomes, kind, name, told):
    assert told in azure.project.run("smoke_test", "--type", kind, "--service", name, code=1, **NAMES)


def test_the_smoke_test_knows_three_types(azure):
    told = azure.project.run("smoke_test", "--type", "Lambda", "--service", ACI, code=2, **NAMES)

    assert "invalid choice: 'Lambda'" in told


class Answers(ThreadingHTTPServer):
    """A Web App that answers its requests for predictions with these, one after another."""

    def __init__(self, *answers, port=0):
        self.answers, self.headers = list(answers), []
        super().__init__(("127.0.0.1", port), Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        request = {"content": {"application/json": {"schema": {"example": {"data": [[1], [2]]}}}}}
        self.answer(200, {"info": {"version": "1"}, "paths": {"/score": {"post": {"requestBody": request}}}})

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.server.headers.append(dict(self.headers))
        self.answer(*self.server.answers.pop(0))

    def answer(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


OK = (200, {"result": [1.5, 2]})
BUSY = (503, {})


def ask(azure, url, code=0, key="a-key"):
    return azure.project.run(
        "smoke_test", "--type", "Webapp", "--service", url, "--attempts", 3, code=code, SCORING_KEY=key
    )


@pytest.mark.parametrize(
    ("answers", "code", "told"),
    [
        ([OK], 0, "Smoke test successful."),
        ([BUSY, BUSY, OK], 0, "Smoke test successful."),
        ([BUSY] * 3, 1, "did not answer, tried 3 times"),
        ([(200, {"result": [1.5]})], 1, "2 rows were sent, but the answer is"),
        ([(200, {"answer": [1.5, 2]})], 1, "2 rows were sent, but the answer is"),
        ([(200, {"result": [1.5, None]})], 1, "is not a finite number"),
        ([(401, {})], 1, "answered 401"),
    ],
    ids=["ok", "busy twice", "busy", "one of two", "no result", "null", "wrong key"],
)
def test_the_verdict_on_a_web_app(azure, answers, code, told):
    with Answers(*answers) as server:
        said = ask(azure, server.url, code)
        server.shutdown()

    assert told in said
    assert ("Smoke test successful." in said) == (code == 0)
    assert {headers["authorization"] for headers in server.headers} == {"Bearer a-key"}
    assert len({headers["traceparent"] for headers in server.headers}) == 1
    assert "a-key" not in said


def test_a_web_app_that_comes_up_late_passes_and_one_that_never_does_fails(azure):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert "did not answer, tried 3 times" in ask(azure, f"http://127.0.0.1:{port}", code=1)
    late = []
    timer = threading.Timer(1.5, lambda: late.append(Answers(OK, port=port)))
    timer.start()

    arguments = ("--type", "Webapp", "--service", f"http://127.0.0.1:{port}")
    told = azure.project.run("smoke_test", *arguments, SCORING_KEY="a-key")

    late[0].shutdown()
    late[0].server_close()
    assert "Smoke test successful." in told


@pytest.mark.parametrize(
    ("url", "key", "told"),
    [
        ("http://example.com", "a-key", "its key would travel in the clear"),
        ("https://example.com", "", "SCORING_KEY must hold the key"),
        ("https://example.com", "a\nb", "SCORING_KEY must hold the key"),
    ],
)
def test_a_key_is_neither_sent_in_the_clear_nor_made_up(azure, url, key, told):
    said = ask(azure, url, code=1, key=key)

    assert told in said
    assert not key or key not in said


# -- fetching ---


def test_files_that_azure_refuses_to_give_are_told_in_one_sentence_and_are_no_reason_to_withdraw(azure):
    azure.judge(1)
    azure.project.azure.fault(path="blob.core", status=403, times=None)

    said = azure.project.run("fetch", "--output", azure.folder / "refused", code=1, **NAMES)

    azure.project.azure.heal()
    assert "error: The files of version 1 of diabetes-regression cannot be fetched: (AuthorizationFailed)" in said
    assert len(said.strip().splitlines()) == 1
    assert "Withdraw" not in said
