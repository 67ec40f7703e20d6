"""Deploy with the real SDK to the local Azure ML, which serves what it is sent: what answers after success and failure.

The services are called as clients call them: at the address that Azure ML gives, through the proxy, with a key.
"""

import json
import re
import ssl
import urllib.error
import urllib.request
from typing import NamedTuple

import pytest
from local_azure import working

pytestmark = pytest.mark.slow

ACI, AKS = "scores-aci", "scores-aks"
NAMES = {"ACI_DEPLOYMENT_NAME": ACI, "AKS_DEPLOYMENT_NAME": AKS, "AKS_COMPUTE_NAME": "cluster", "BUILD_BUILDID": "7"}
MODEL = "diabetes-regression"


class Outcome(NamedTuple):
    """What a program printed, and afterwards: what the service on ACI predicts, and as what Azure ML has it."""

    told: str
    predictions: list[float] | None
    service: dict | None


class Azure:
    """A project in whose registry versions 1 and 2 predict differently; from 3 to 11, odd ones are as 1 is."""

    def __init__(self, project):
        self.project = project
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

    def judge(self, number):
        """Write model.json as a build does that judged this version."""
        judged = {"name": MODEL, "version": number, "metrics": {"mse": 1.0}, "model_digest": self.digests[number]}
        (self.project.path / "model.json").write_text(json.dumps(judged), encoding="utf-8")

    def deploy(self, number, target="aci", code=0, **settings):
        """Deploy a version, and say what became of it."""
        self.judge(number)
        told = self.project.run("deploy", target, code=code, **{**NAMES, **settings})
        self.project.azure.heal()
        return Outcome(told, self.predict(), self.service(ACI))

    def service(self, name):
        """Return a service as the local Azure ML keeps it, or None."""
        return next((found for found in self.project.azure.ask("state?kind=services") if found["name"] == name), None)

    def key(self, name):
        keys = self.project.azure.ask("state?kind=service_keys")
        return next((found["primaryKey"] for found in keys if found["name"] == name), None)

    def predict(self):
        """Return what the service on ACI predicts for the rows of request.json, or None."""
        status, answer = self.call("http://scores-aci.eastus.azurecontainer.io/score", self.key(ACI))
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
            with opener.open(urllib.request.Request(url, body, headers), timeout=30) as answer:
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
        yield Azure(project)


@pytest.fixture(scope="module")
def outcomes(azure):
    """Return what became of deployments to ACI, one after another."""
    fault = azure.project.azure.fault
    done = {}

    fault(operation="failed")
    done["first fails"] = azure.deploy(1, code=1)
    done["first"] = azure.deploy(1)
    done["update"] = azure.deploy(2, BUILD_BUILDID="8")
    fault(operation="failed")
    done["update fails"] = azure.deploy(1, code=1)
    fault(operation="lost")
    done["update loses the former"] = azure.deploy(1, code=1)
    fault(path="/services/scores-aci$", method="PATCH", status=403, times=None)
    done["update is refused"] = azure.deploy(1, code=1)
    repair = azure.edit("score.py", "def init()", "raise RuntimeError('##vso[task.complete result=Succeeded]')\n\n\ndef init()")
    done["code does not start"] = azure.deploy(1, code=1)
    repair()
    repair = azure.edit("scoring.py", '{"result": predictions}', '{"result": predictions[1:]}')
    done["code answers too little"] = azure.deploy(1, code=1)
    repair()
    fault(operation="lost")
    fault(operation="failed")
    done["nothing can be saved"] = azure.deploy(1, code=1)
    done["after the disaster"] = azure.deploy(2)
    done["ten"] = azure.deploy(10)
    return done


def test_x(outcomes):
    for name, outcome in outcomes.items():
        print("=====", name, outcome.predictions, outcome.service and (outcome.service["state"], outcome.service["environmentImageRequest"]["modelIds"]))
        print(outcome.told)
