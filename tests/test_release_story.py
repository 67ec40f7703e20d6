"""A release follows model and code: merge after merge, on the local Azure ML, to a Web App and a canary that answer."""

import json
import os
import ssl
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import bake, run
from local_azure import PATIENCE, in_forks, warm
from local_pipelines import agent, edit, repository
from local_release import Azure

from azureml_emulator.session import started
from pipelines_runner.builds import answering
from pipelines_runner.job import report
from pipelines_runner.locks import APPROVAL
from pipelines_runner.runner import Agent
from pipelines_runner.tasks import TASKS

pytestmark = [pytest.mark.slow, *(pytest.mark.tool(tool) for tool in ("git", "kubectl", "make", "openssl"))]

ANSWERS = {"deploy_aci": True, "batch_scoring": False, "deploy_webapp": True, "aks": "canary"}
CI, CD = ".pipelines/ci.yml", ".pipelines/cd.yml"
QUALITY = ("Check the", "Run the unit tests", "Publish what")
MODEL, APP, TRAIN = "src/parameters.yml", "src/diabetes_regression/app.py", "src/diabetes_regression/train.py"
REPLICAS = "deployment/aks/manifests/base/autoscaler.yaml"
PREDICTOR = "src/diabetes_regression/predictor.py"
BEFORE, AFTER = "there is /score, /, /healthz and /swagger.json", "this is the repaired server"
# What takes long on Azure, and need not here.
PACES = {
    "deployment/aks/canary.py": {"SECONDS_BETWEEN = 10": "SECONDS_BETWEEN = 0.01", "REQUESTS = 200": "REQUESTS = 24"},
    "deployment/aci/container_group.py": {"PAUSE = 10.0": "PAUSE = 0.01"},
    "deployment/release.py": {"default=5.0": "default=0.05"},
}


class Story(NamedTuple):
    """A repository with its history, the agent that builds it, and where its releases go."""

    agent: Agent
    azure: Azure
    workspace: dict[str, str]

    def commit(self, file, old, new):
        edit(self.agent.root, file, old, new)
        self.git("commit", "--quiet", "--all", "--message", f"Change {file}")

    def git(self, *words):
        author = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.com")
        run("git", *author, *words, cwd=self.agent.root)

    def build(self):
        with answering(self.agent):
            build = self.agent.run(CI)
        assert build.result == "Succeeded", report(build.steps())
        return build

    def release(self, **how):
        with answering(self.agent):
            return self.agent.run(CD, **how)

    def merge(self, *change):
        """Merge a change, and return its build and the release that this starts."""
        self.commit(*change)
        build = self.build()
        return build, self.release(after=build)

    @contextmanager
    def without(self, name):
        """Have the variable group lack a variable for a while."""
        (group,) = self.agent.groups.values()
        kept, group[name] = group[name], ""
        yield
        group[name] = kept

    def withdraw(self, version):
        root = self.agent.root
        environment = {**self.agent.environment, **self.workspace, "BUILD_BUILDID": "by-hand"}
        (root / ".env").write_text((root / ".env.example").read_text("utf-8"), encoding="utf-8")
        python = root / ".venv" / "bin" / "python"
        run(python, "-m", "ml_service.withdraw", "--version", version, cwd=root, **environment)

    def serves(self):
        """Return what serves: version and behaviour of the Web App, what runs on the cluster, and its most pods."""
        version, page = json.loads(self.ask("/healthz"))["version"], json.loads(self.ask("/nowhere"))["error"]
        objects = self.azure.cluster.read()["objects"].values()
        replicas = {one["spec"]["maxReplicas"] for one in objects if one["kind"] == "HorizontalPodAutoscaler"}
        return version, page == AFTER, self.azure.cluster.told(), replicas

    def ask(self, path):
        context = ssl.create_default_context(cafile=self.azure.certificate)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        try:
            return opener.open(f"https://{self.azure.web_app.host}{path}", timeout=10).read()
        except urllib.error.HTTPError as error:
            return error.read()

    def changes(self):
        """Return all that a release may change: the cluster, the Web App, and how often that was set."""
        azure = self.azure.services.azure()
        return self.azure.cluster.read()["objects"], azure["sets"], azure["restarts"]


def told(build):
    return report(build.steps())


def model(build):
    content = json.loads((build.artifacts / "model" / "model.json").read_text("utf-8"))
    return content["version"], content["registered"]


def deployed(release):
    """Return the targets that a release went to."""
    stages = {"Deploy_ACI": "aci", "Deploy_Webapp": "web app", "Remove_Blue": "canary"}
    return {target for stage, target in stages.items() if release.stages[stage].result == "Succeeded"}


@pytest.fixture(scope="module")
def story(cookies_session, environment, tmp_path_factory):
    baked, folder = bake(cookies_session, ANSWERS), tmp_path_factory.mktemp("story")
    python, steps = environment(bake(cookies_session, {})), environment(baked, "train")
    root = repository(baked, folder / "repository", python, without=("tests", "docs"))
    for file, pace in PACES.items():
        for old, new in pace.items():
            edit(root, file, old, new)

    def script(step):
        if not step.name.startswith(QUALITY):
            TASKS["script"](step)

    with warm(python, folder) as forks, started(python, folder / "state", "--fork-server", steps=steps) as session:
        workspace = session.environment
        azure = Azure(baked, folder / "azure", python, workspace["SUBSCRIPTION_ID"])
        trusted = folder / "trusted.pem"
        trusted.write_text(
            azure.certificate.read_text("utf-8") + Path(workspace["SSL_CERT_FILE"]).read_text("utf-8"), encoding="utf-8"
        )
        named = ("SUBSCRIPTION_ID", "RESOURCE_GROUP", "WORKSPACE_NAME")
        known = {name: value for name, value in workspace.items() if name not in named}
        known |= {name: str(trusted) for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE") if name in known}
        known |= {"http_proxy": f"http://127.0.0.1:{azure.internet.server_port}", "NO_PROXY": "localhost,127.0.0.1"}
        path = os.pathsep.join([str(azure.programs), str(python.parent), os.environ["PATH"]])
        tasks = {**TASKS, "AzureCLI@2": in_forks(forks, SUBSCRIPTION_ID=workspace["SUBSCRIPTION_ID"]), "script": script}
        tasks |= dict.fromkeys(("PublishTestResults@2", "PublishCodeCoverageResults@2"), lambda step: None)
        local = agent(baked, root, folder / "agent", tasks, **{**known, **PATIENCE, "PATH": path})
        slug = baked.answers["project_slug"]
        local.checks = {f"{slug}-webapp": {"approval", "lock"}, f"{slug}-canary": {"approval"}}
        local.checks[f"{slug}-canary-traffic"] = {"lock"}
        (group,) = local.groups.values()
        group |= {"K8S_AB_NAMESPACE": "canary-namespace", "K8S_AB_HOST": azure.gateway.host}
        group["RESOURCE_GROUP"], group["WORKSPACE_NAME"] = workspace["RESOURCE_GROUP"], workspace["WORKSPACE_NAME"]
        one = Story(local, azure, {**known, **{name: workspace[name] for name in named}})
        one.git("init", "--quiet", "--initial-branch=main")
        (root / ".git" / "info" / "exclude").write_text(".venv\n", encoding="utf-8")
        one.git("add", "--all")
        one.git("commit", "--quiet", "--message", "Begin")
        yield one
        # Google's kubectl asks a cluster for its version before it does anything.
        assert [one for one in session.ask("unknown") if one["host"] != "a-cluster.example.com"] == []
        azure.close()


WITHDRAWN = "Model was not registered for this run. It answers as version 2 of "
ALL = {"aci", "web app", "canary"}


def test_a_release_follows_model_and_code(story):
    first = story.build()
    release = story.release(after=first)
    assert (model(first), deployed(release)) == ((1, True), ALL), told(release)
    assert story.serves() == (1, False, "green 1 (100)", {3})

    repaired, release = story.merge(APP, BEFORE, AFTER)
    assert (model(repaired), deployed(release)) == ((1, False), ALL), told(release)
    assert story.serves() == (1, True, "green 1 (100)", {3})

    before = story.changes()
    build, release = story.merge(TRAIN, "Return the rows to learn from", "Return rows to learn from")
    assert (model(build), deployed(release), release.result) == ((1, False), set(), "Succeeded"), told(release)
    assert told(release).count("nothing to deploy") == len(ALL)
    assert story.changes() == before

    build, release = story.merge(MODEL, "alpha: 0.4", "alpha: 0.5")
    assert "task.logissue type=warning]Model was not registered for this run. " in told(build)
    assert (model(build), deployed(release), release.result) == ((1, False), set(), "Succeeded"), told(release)
    assert story.changes() == before

    build, release = story.merge(MODEL, "alpha: 0.5", "alpha: 0.41")
    assert (model(build), deployed(release)) == ((2, True), ALL), told(release)
    assert story.serves() == (2, True, "green 2 (100)", {3})

    with answering(story.agent), story.without("ACI_DEPLOYMENT_NAME"):  # or it would refuse before anybody is asked
        late = story.agent.start(CD, after=repaired).until("Blue_Staging", APPROVAL)
    build, release = story.merge(REPLICAS, "maxReplicas: 3", "maxReplicas: 4")
    assert (model(build), deployed(release)) == ((2, False), {"canary"}), told(release)
    assert story.serves() == (2, True, "green 2 (100)", {4})

    before = story.changes()
    with answering(story.agent):
        refused = late.end()
    assert (refused.result, deployed(refused)) == ("Failed", set())
    said = f"error: Build {repaired.number} is older than build {build.number}, which was released before it: "
    assert told(refused).count(said) == len(ALL - {"aci"})
    assert story.changes() == before

    release = story.release(modelBuildId=first.number)
    assert deployed(release) == ALL, told(release)
    assert f"Going back to build {first.number}: " in told(release)
    assert story.serves() == (1, False, "green 1 (100)", {3})

    story.withdraw("2")
    release = story.release()
    assert deployed(release) == ALL, told(release)
    assert story.serves() == (1, True, "green 1 (100)", {4})

    for change in ((REPLICAS, "maxReplicas: 4", "maxReplicas: 3"), (APP, AFTER, BEFORE)):
        story.commit(*change)
        build = story.build()
        assert (model(build), WITHDRAWN in told(build)) == ((1, False), True), told(build)

    story.commit(PREDICTOR, "rows @ coefficients", "1.0001 * rows @ coefficients")
    before = story.changes()
    release = story.release()
    assert (release.result, deployed(release)) == ("Failed", set())
    assert "does not predict for the golden rows of version 1 of " in told(release)
    assert story.changes() == before
    assert story.agent.leases == {first.number: [365], "9": [365]}
