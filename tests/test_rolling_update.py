"""A service on AKS: what reads it, puts it and puts it back, against a local cluster and gateway."""

import json
import os
import ssl
import sys
import urllib.error
import urllib.request

import pytest
import yaml
from conftest import bake, run
from local_cluster import Cluster, Gateway, install
from local_kubectl import APPLIED, TOKEN
from local_manifests import built
from local_pipelines import repository

ANSWERS = {"aks": "service", "deploy_aci": False, "batch_scoring": False}
IMAGE = "uniqueamlcr.azurecr.io/diabetes-regression-scoring@sha256:{:064x}"
pytestmark = [pytest.mark.slow, pytest.mark.tool("kubectl"), pytest.mark.tool("openssl")]

# Does with the target what its words say. What is put back is what was there at first.
DRIVER = """
import sys
from deployment.aks.rolling_update import opened
from environment_setup.azure_cli import AzureError, program
with program(), opened() as target:
    former = target.read()
    for word in sys.argv[2:]:
        if word == "put":
            try:
                target.put(target.wanted(sys.argv[1]))
            except AzureError as error:
                print(f"refused: {error}")
        elif word == "put_back":
            target.put(former)
        elif word == "read":
            print(*target.read().identity)
        elif word == "check":
            target.check(sys.argv[1])
        elif word == "remove":
            target.remove()
        elif word == "tell":
            print(f"{target.name}, {target.shown}, {target.address()}\\n{target.log()}", end="")
"""


@pytest.fixture(scope="module")
def baked(cookies_session):
    return bake(cookies_session, ANSWERS)


class World:
    """A project, and the cluster that its service is released to."""

    def __init__(self, baked, folder):
        self.cluster = Cluster(folder)
        self.gateway = Gateway(self.cluster, folder)
        self.root = repository(baked, folder / "repository", without=("tests", "docs", "src", "ml_service"))
        self.environment = {
            "PATH": f"{install(folder, 'a-subscription')}{os.pathsep}{os.environ['PATH']}",
            "PROJECT": baked.answers["project_slug"],
            "BASE_NAME": baked.answers["base_name"],
            "RESOURCE_GROUP": "a-group",
            "AKS_COMPUTE_NAME": "a-cluster",
            "AKS_DEPLOYMENT_NAME": "canary-namespace",
            "AKS_HOST": self.gateway.host,
        }

    def run(self, version, *words, code=0, **environment):
        """Do things with the target, and an image of a version, in a job without packages."""
        driver = (sys.executable, "-S", "-c", DRIVER, IMAGE.format(version), *words)
        return run(*driver, cwd=self.root, code=code, **{**self.environment, "BUILD_BUILDID": "7", **environment})

    def objects(self):
        return self.cluster.read()["objects"]

    def declared(self):
        """Return what was applied last, without what the cluster has added."""
        return {name: json.loads(one["metadata"]["annotations"][APPLIED]) for name, one in self.objects().items()}

    def version(self):
        """Return the version that answers, or the status."""
        trusted = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=self.gateway.certificate))
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), trusted)
        try:
            with opener.open(f"https://{self.gateway.host}/healthz", timeout=10) as answer:
                return json.loads(answer.read())["version"]
        except urllib.error.HTTPError as error:
            return f"status {error.code}"


@pytest.fixture(scope="module")
def shared(baked, tmp_path_factory):
    made = World(baked, tmp_path_factory.mktemp("world"))
    yield made
    made.gateway.shutdown()
    made.gateway.server_close()


@pytest.fixture
def empty(shared):
    shared.cluster.change(objects={}, fails={})
    return shared


@pytest.fixture(scope="module")
def first(shared):
    """Return what a first release leaves."""
    shared.cluster.change(objects={}, fails={})
    assert TOKEN not in shared.run(1, "check", "put", BUILD_BUILDID="5")
    return shared.objects()


@pytest.fixture
def serving(shared, first):
    """Return a cluster that serves version 1, by build 5."""
    shared.cluster.change(objects=first, fails={})
    return shared


# -- manifests ---


@pytest.fixture(scope="module")
def manifests(baked, tmp_path_factory):
    (file,) = built(baked, tmp_path_factory.mktemp("manifests")).values()
    return {one["kind"]: one for one in yaml.safe_load_all(file.read_text("utf-8"))}


def test_a_service_is_one_deployment_with_all_the_traffic_of_its_host(manifests, baked):
    slug = baked.answers["project_slug"]
    labels = {"app.kubernetes.io/name": slug}
    (route,) = manifests["VirtualService"]["spec"]["http"]
    (match,), (target,) = route["match"], route["route"]

    assert {one["metadata"]["name"] for one in manifests.values()} == {slug}
    assert {one["metadata"]["namespace"] for one in manifests.values()} == {"a-namespace"}
    assert manifests["Gateway"]["spec"]["servers"][0]["hosts"] == manifests["VirtualService"]["spec"]["hosts"]
    assert match == {"uri": {"regex": r"/score|/healthz|/swagger\.json"}}
    assert (target, route["timeout"]) == ({"destination": {"host": slug, "port": {"number": 80}}}, "30s")
    assert manifests["Service"]["spec"]["selector"] == labels
    assert manifests["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == slug
    assert manifests["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    pods = manifests["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert pods == labels, "a label of a build would replace pods for nothing"


@pytest.mark.parametrize(
    ("aks", "words"), [("service", "blue green colour canary"), ("canary", "rolling_update AKS_HOST")]
)
def test_who_chose_one_way_sees_nothing_of_the_other(cookies_session, aks, words):
    folder = bake(cookies_session, {**ANSWERS, "aks": aks}).path / "deployment" / "aks"
    text = "".join(f"{file.name}\n{file.read_text('utf-8')}" for file in folder.rglob("*") if file.is_file())

    assert [word for word in words.split() if word in text] == []


# -- releases ---


def test_what_is_put_serves_and_is_read_again(serving):
    told = serving.run(2, "read", "put", "read", "tell")

    before, after = (line.split() for line in told.splitlines() if line.startswith("uniqueamlcr"))
    assert (before[0], before[2], after[0], after[2]) == (IMAGE.format(1), "5", IMAGE.format(2), "7")
    assert before[1] == after[1] != ""
    assert f"aks, AKS service canary-namespace, https://{serving.gateway.host}\n" in told
    assert serving.version() == 2
    assert len(serving.objects()) == 7
    (deployment,) = serving.cluster.deployments()
    assert deployment["spec"]["replicas"] == 2, "the autoscaler has found it"


def test_another_build_alone_replaces_no_pod(serving):
    before = serving.declared()[f"Deployment/{serving.environment['PROJECT']}"]

    serving.run(1, "put", BUILD_BUILDID="9")

    after = serving.declared()[f"Deployment/{serving.environment['PROJECT']}"]
    assert (after["metadata"]["labels"]["build"], after["spec"]) == ("9", before["spec"])


@pytest.mark.parametrize("kind", ["PodDisruptionBudget", "HorizontalPodAutoscaler"])
def test_what_is_put_back_is_all_that_was_applied_before_and_no_more(serving, kind):
    objects = serving.objects()
    del objects[f"{kind}/{serving.environment['PROJECT']}"]
    serving.cluster.change(objects=objects)
    before = serving.declared()

    serving.run(2, "put", "put_back")

    assert serving.declared() == before
    assert serving.version() == 1


GIVE = 'az role assignment create --role AcrPull --assignee-object-id "$(az aks show --resource-group a-group --name '
FAILS = {  # how; what the error names; how many lines the log has
    "pods do not start": ("pods", 'CreateContainerConfigError: secret "the-keys" not found', 20),
    "the image is not pulled": ("pull", GIVE, 0),
}


@pytest.mark.parametrize("failure", FAILS)
def test_what_fails_says_why_and_what_served_before_goes_on(serving, first, failure):
    how, why, lines = FAILS[failure]
    before = serving.declared()
    serving.cluster.change(fails={how: IMAGE.format(2)})

    told = serving.run(2, "put", "tell")
    serves = serving.cluster.deployments()[0]["status"]["availableReplicas"]
    serving.cluster.change(objects=first)
    serving.run(2, "put", "put_back")

    log = told.partition(f"{serving.gateway.host}\n")[2].splitlines()
    assert "refused: kubectl rollout status: " in told
    assert why in told
    assert [line.partition(": ")[2] for line in log] == [IMAGE.format(2)] * lines
    assert serves == 2
    assert (serving.declared(), serving.version()) == (before, 1)


def test_a_first_release_that_fails_leaves_nothing(empty):
    empty.cluster.change(fails={"pods": IMAGE.format(2)})

    told = empty.run(2, "put", "remove")

    assert "refused: kubectl rollout status" in told
    assert empty.objects() == {}


def test_nobody_who_cannot_be_asked_has_a_log(serving):
    serving.cluster.change(fails={"get": "pods"})

    assert serving.run(2, "tell").endswith(f"{serving.gateway.host}\n")


ANOTHERS = {"kind": "Deployment", "metadata": {"name": "diabetes-regression", "namespace": "canary-namespace"}}
MADE = 'printf %s "$keys" | kubectl create secret generic diabetes-regression-keys --namespace canary-namespace '
REFUSED = {
    "no host": ({"AKS_HOST": ""}, {}, "AKS_HOST is missing"),
    "no cluster": ({"AKS_COMPUTE_NAME": "$(AKS_COMPUTE_NAME)"}, {}, "AKS_COMPUTE_NAME is missing"),
    "no namespace": ({"AKS_DEPLOYMENT_NAME": "another"}, {}, "`kubectl create namespace another`"),
    "no keys": ({}, {"fails": {"secret": True}}, MADE),
    "no right": ({}, {"fails": {"get": "secret"}}, '--role "Azure Kubernetes Service RBAC Cluster Admin" '),
    "another's": (
        {},
        {"objects": {"Deployment/diabetes-regression": ANOTHERS}},
        "`kubectl delete deployment/diabetes-regression --namespace canary-namespace`",
    ),
}


@pytest.mark.parametrize("lacks", REFUSED)
def test_what_a_release_lacks_is_told_with_what_mends_it(empty, lacks):
    environment, state, mends = REFUSED[lacks]
    empty.cluster.change(**state)
    before = empty.cluster.read()

    told = empty.run(2, "check", code=1, **environment)

    (line,) = [line for line in told.splitlines() if line.startswith("error: ")]
    assert mends in line
    assert empty.cluster.read() == before
