"""The canary release of a project: its manifests, and its stages run by a local agent against a local cluster."""

import json
import os
import re
import sys

import pytest
import yaml
from conftest import bake, run
from local_cluster import KEY, Cluster, Gateway, install
from local_kubectl import TOKEN
from local_manifests import built
from local_pipelines import agent, edit, repository

from pipelines_runner.job import report
from pipelines_runner.locks import APPROVAL, LOCK, Locks
from pipelines_runner.runner import RUNS
from pipelines_runner.tasks import TASKS
from pipelines_runner.templates import Expansion

ANSWERS = {"aks": "canary", "deploy_aci": False, "batch_scoring": False}
IMAGE = "uniqueamlcr.azurecr.io/diabetes-regression-scoring@sha256:{:064x}"
STAGES = ["Blue_Staging", "Blue_50", "Blue_100", "Green_Staging", "Green_100", "Remove_Blue"]
pytestmark = [pytest.mark.slow, pytest.mark.tool("kubectl"), pytest.mark.tool("openssl")]

# A pipeline of nothing but the canary: which model and image there are is said, where cd.yml finds out.
ALONE = """
trigger: none
parameters:
- {name: version, type: string}
- {name: image, type: string}
- {name: build, type: string}
- {name: goingBack, type: boolean}
- {name: compares, type: boolean}
{lock}variables:
- template: variables.yml
stages:
- stage: Model
  jobs:
  - job: model
    pool: {vmImage: ubuntu-24.04}
    steps:
    - script: |
        echo "##vso[task.setvariable variable=MODEL_VERSION;isOutput=true]${{ parameters.version }}"
        echo "##vso[task.setvariable variable=BUILD;isOutput=true]${{ parameters.build }}"
        echo "##vso[task.setvariable variable=COMMIT;isOutput=true]$(Build.SourceVersion)"
        echo "##vso[task.setvariable variable=GOING_BACK;isOutput=true]${{ lower(parameters.goingBack) }}"
      name: model
- stage: Scoring_Image
  dependsOn: Model
  jobs:
  - job: image
    pool: {vmImage: ubuntu-24.04}
    steps:
    - script: echo "##vso[task.setvariable variable=IMAGE;isOutput=true]${{ parameters.image }}"
      name: image
  - ${{ if eq(parameters.compares, true) }}:
    - template: templates/job.yml
      parameters:
        name: compare
        displayName: Compare
        dependsOn: [image]
        inAgentImage: false
        setUpPython: false
        release: true
        variables:
          IMAGE: $[ dependencies.image.outputs['image.IMAGE'] ]
          MODEL_VERSION: $[ stageDependencies.Model.model.outputs['model.MODEL_VERSION'] ]
        steps:
        - template: /.pipelines/templates/azure.yml@self
          parameters:
            name: canary
            displayName: Compare
            run: python3 -m deployment.aks.canary same
- template: templates/canary.yml
"""


@pytest.fixture(scope="module")
def baked(cookies_session):
    return bake(cookies_session, ANSWERS)


# -- manifests ---


@pytest.fixture(scope="module")
def manifests(baked, tmp_path_factory):
    """Return what kustomize builds for each that serves and each colour that a stage may install."""
    files = built(baked, tmp_path_factory.mktemp("manifests"))
    return {name: list(yaml.safe_load_all(file.read_text("utf-8"))) for name, file in files.items()}


def kind(documents, wanted):
    return next(one for one in documents if one["kind"] == wanted)


@pytest.mark.parametrize(
    ("serving", "weights"), [("nobody", None), ("green", [0, 100]), ("blue", [100, 0]), ("both", [50, 50])]
)
def test_requests_without_a_header_are_shared_out(manifests, serving, weights):
    routes = kind(manifests[serving, None], "VirtualService")["spec"]["http"]

    named = {route["name"]: [target.get("weight") for target in route["route"]] for route in routes}
    assert named == {"blue": [None], "green": [None]} | ({"shared": weights} if weights else {})
    for route in routes:
        (match,) = route["match"]
        assert match["uri"] == {"regex": r"/score|/healthz|/swagger\.json"}
        asked = match.get("headers", {}).get("x-api-version", {}).get("exact")
        assert asked == (None if route["name"] == "shared" else route["name"])
        for target in route["route"]:
            colour = target["headers"]["response"]["set"]["x-api-version"]
            assert target["destination"]["host"].endswith(f"-{colour}")


NOT_SENT = {"connect-failure", "refused-stream", "reset-before-request"}


def test_no_request_is_cut_short_or_scored_twice(manifests, baked):
    """The service waits for a body as long as the route waits for an answer, and so does who asks by hand.

    Without a word about retries, Istio sends a request again after a 503 too, which a model may have answered.
    """
    package = baked.path / "src" / baked.answers["package_name"] / "app.py"
    limits = {
        int(re.search(rf"^{name} = (\d+)$", file.read_text("utf-8"), re.MULTILINE)[1])
        for name, file in (
            ("SECONDS_FOR_BODY", package),
            ("SECONDS_PER_REQUEST", baked.path / "deployment" / "aks" / "load_test.py"),
        )
    }

    routes = [route for documents in manifests.values() for route in kind(documents, "VirtualService")["spec"]["http"]]
    assert {route["timeout"] for route in routes} == {f"{limit}s" for limit in limits}
    for route in routes:
        assert 0 < route["retries"]["attempts"] <= 2
        assert set(route["retries"]["retryOn"].split(",")) == NOT_SENT


def test_the_gateway_speaks_https_for_one_host_and_nothing_else(manifests, baked):
    (server,) = kind(manifests["green", None], "Gateway")["spec"]["servers"]

    assert server["hosts"] == kind(manifests["green", None], "VirtualService")["spec"]["hosts"] == ["a.example.com"]
    assert (server["port"]["number"], server["port"]["protocol"]) == (443, "HTTPS")
    assert server["tls"] == {
        "mode": "SIMPLE",
        "minProtocolVersion": "TLSV1_2",
        "credentialName": f"{baked.answers['project_slug']}-tls",
    }


@pytest.mark.parametrize("colour", ["blue", "green"])
def test_all_that_belongs_to_a_colour_is_about_its_pods_alone(manifests, colour, baked):
    documents = manifests["both", colour]
    labels = {"app.kubernetes.io/name": baked.answers["project_slug"], "colour": colour}

    assert kind(documents, "Deployment")["spec"]["selector"]["matchLabels"] == labels
    assert kind(documents, "Service")["spec"]["selector"] == labels
    assert kind(documents, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert kind(documents, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    scaled = kind(documents, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (scaled["kind"], scaled["name"]) == ("Deployment", kind(documents, "Deployment")["metadata"]["name"])
    pods = kind(documents, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert pods == labels | {"app.kubernetes.io/version": "7"}
    assert {one["metadata"]["namespace"] for one in documents} == {"a-namespace"}
    assert len({one["metadata"]["name"] for one in documents}) == 2


OF_PODS = {
    "automountServiceAccountToken": False,
    "securityContext": {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
}
OF_CONTAINERS = {
    "image": f"testamlcr.azurecr.io/scoring@sha256:{'a' * 64}",
    "imagePullPolicy": "Always",
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    },
}


def test_pods_have_no_more_rights_than_they_need(manifests):
    pods = kind(manifests["green", "blue"], "Deployment")["spec"]["template"]["spec"]
    (container,) = pods["containers"]

    assert OF_PODS.items() <= pods.items()
    assert OF_CONTAINERS.items() <= container.items()
    assert {"requests", "limits"} == container["resources"].keys()
    probes = {container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    assert probes == {"/healthz"}
    assert [(one["name"], "secretKeyRef" in one["valueFrom"]) for one in container["env"]] == [("SCORING_KEYS", True)]


def test_pods_are_reached_from_the_gateway_and_call_only_the_mesh(manifests):
    policy = kind(manifests["green", "blue"], "NetworkPolicy")["spec"]

    assert policy["policyTypes"] == ["Ingress", "Egress"]
    label = "kubernetes.io/metadata.name"
    rules = {
        (way, peer["namespaceSelector"]["matchLabels"][label], port["port"])
        for way, rules in (("from", policy["ingress"]), ("to", policy["egress"]))
        for rule in rules
        for peer in rule[way]
        for port in rule["ports"]
    }
    assert rules == {
        ("from", "aks-istio-ingress", 8080),
        ("to", "aks-istio-system", 15012),
        ("to", "kube-system", 53),
    }


def test_pods_are_as_many_as_the_load_needs(manifests):
    """A number in the Deployment would undo with every release what the autoscaler has found out."""
    documents = manifests["green", "blue"]
    scaler, deployment = (kind(documents, one)["spec"] for one in ("HorizontalPodAutoscaler", "Deployment"))

    assert "replicas" not in deployment
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (1, 3)
    target = {"type": "Utilization", "averageUtilization": 70}
    container = {"name": "cpu", "container": "scoring", "target": target}
    assert scaler["metrics"] == [{"type": "ContainerResource", "containerResource": container}]
    (measured,) = deployment["template"]["spec"]["containers"]
    assert measured["name"] == container["container"]
    assert "cpu" in measured["resources"]["requests"]


def test_while_nodes_are_drained_most_pods_go_on_serving(manifests):
    assert kind(manifests["green", "blue"], "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def test_while_a_colour_rolls_out_all_its_pods_go_on_serving(manifests):
    spec = kind(manifests["green", "blue"], "Deployment")["spec"]

    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


# -- releases ---


def alone(root):
    """Return the pipeline with the lock behaviour of cd.yml."""
    cd = (root / ".pipelines" / "cd.yml").read_text("utf-8")
    return ALONE.replace("{lock}", re.search(r"^lockBehavior: .*\n", cd, re.MULTILINE)[0])


class Releases:
    """Releases versions to a cluster of its own, one after another."""

    def __init__(self, baked, folder):
        self.cluster = Cluster(folder)
        self.gateway = Gateway(self.cluster, folder)
        left_out = ("tests", "docs", "src", "ml_service", "requirements", "experimentation")
        self.root = repository(baked, folder / "repository", without=left_out)
        (self.root / ".pipelines" / "alone.yml").write_text(alone(self.root), encoding="utf-8")
        edit(self.root, "deployment/aks/canary.py", "SECONDS_BETWEEN = 10", "SECONDS_BETWEEN = 0.01")
        edit(self.root, "deployment/aks/canary.py", "SECONDS_PER_REQUEST = 5", "SECONDS_PER_REQUEST = 1")
        edit(self.root, "deployment/aks/canary.py", "REQUESTS = 200", "REQUESTS = 24")
        edit(self.root, "deployment/aks/cluster.py", "SECONDS_BETWEEN = 5", "SECONDS_BETWEEN = 0")
        self.tags = folder / "tags"
        environment = {
            "PATH": f"{install(folder, 'a-subscription')}{os.pathsep}{os.environ['PATH']}",
            "SSL_CERT_FILE": str(self.gateway.certificate),
            "NO_PROXY": "localhost",
        }
        self.agent = agent(baked, self.root, folder / "agent", **environment)
        self.slug = baked.answers["project_slug"]
        self.agent.checks = {f"{self.slug}-canary": {"approval"}, f"{self.slug}-canary-traffic": {"lock"}}
        (group,) = self.agent.groups.values()
        group |= {
            "AKS_COMPUTE_NAME": "a-cluster",
            "K8S_AB_NAMESPACE": "canary-namespace",
            "K8S_AB_HOST": self.gateway.host,
        }

    def start_anew(self, objects):
        self.cluster.change(objects=objects, fails={})
        self.agent.locks = Locks()
        self.released()
        return self

    def release(self, version, **fails):
        """Release a version while something of this kind fails, and return the build."""
        self.cluster.change(fails=fails)
        return self.start(version).end()

    def start(self, version, build="", *, going_back=False, compares=False):
        """Start a release of a version, which a build of ci.yml registered."""
        given = {"version": str(version), "image": IMAGE.format(version), "build": str(build)}
        return self.agent.start(".pipelines/alone.yml", **given, goingBack=going_back, compares=compares)

    def released(self, **builds):
        """Have the registry know of builds, such as `canary_15=2`, which version they released, and of no others."""
        known = [
            {"name": name.replace("_", "-"), "digest": IMAGE.format(version).partition("@")[2]}
            for name, version in builds.items()
        ]
        self.tags.write_text("".join(f"{json.dumps(tag)}\n" for tag in known), encoding="utf-8")

    def program(self, *words, code=0):
        """Run a stage's program by hand, where the agent would."""
        (group,) = self.agent.groups.values()
        told = {"PROJECT": self.slug, "IMAGE": IMAGE.format(2), "MODEL_VERSION": "2", **self.agent.environment, **group}
        return run(sys.executable, "-m", "deployment.aks.canary", *words, cwd=self.root, code=code, **told)


@pytest.fixture(scope="module")
def shared(baked, tmp_path_factory):
    """Return a cluster that served a first version, and what was in it then."""
    made = Releases(baked, tmp_path_factory.mktemp("releases"))
    first = made.release(1)
    yield made, first, made.cluster.read()["objects"]
    made.gateway.shutdown()
    made.gateway.server_close()


@pytest.fixture
def empty(shared):
    return shared[0].start_anew({})


@pytest.fixture
def serving(shared):
    """Return a cluster in which green serves version 1."""
    return shared[0].start_anew(shared[2])


def results(build):
    return {name: build.stages[name].result for name in (*STAGES, "Rollback")}


ALL_SUCCEED = {**dict.fromkeys(STAGES, "Succeeded"), "Rollback": "Skipped"}


def stopped_at(stage):
    """Return how stages end when this one fails."""
    place = STAGES.index(stage)
    ended = {name: "Succeeded" if at < place else "Skipped" for at, name in enumerate(STAGES)}
    return {**ended, stage: "Failed", "Rollback": "Skipped" if stage == "Remove_Blue" else "Succeeded"}


KINDS = {"Deployment", "Gateway", "HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget", "Service"}
KINDS |= {"VirtualService"}


def test_a_first_release_needs_no_green(shared):
    _, first, objects = shared

    assert results(first) == ALL_SUCCEED, report(first.steps())
    assert {one["kind"] for one in objects.values()} == KINDS
    assert len(objects) == len(KINDS)


def test_a_later_release_takes_over_and_once_more_it_changes_nothing(serving):
    build = serving.release(2)
    after = serving.cluster.read()["objects"]
    again = serving.program("move", "blue_staging")
    compared = serving.start(2, compares=True).end()

    assert results(build) == ALL_SUCCEED, report(build.steps())
    assert "There is nothing to do." in again
    assert serving.cluster.told() == "green 2 (100)"
    assert serving.cluster.read()["objects"] == after
    assert results(compared) == dict.fromkeys((*STAGES, "Rollback"), "Skipped"), report(compared.steps())
    assert "nothing to deploy" in report(compared.steps())
    assert not {KEY, TOKEN} & set(report(build.steps()).split())


# what fails, in which stage, and who serves then
LATER = {
    "blue does not start": ({"pods": "blue 2"}, "Blue_Staging", "blue 2 (0), green 1 (100)"),
    "blue has another model in it": ({"model": "blue 2"}, "Blue_Staging", "blue 2 (0), green 1 (100)"),
    "blue fails under traffic": ({"serving": "2 blue 2"}, "Blue_50", "blue 2 (0), green 1 (100)"),
    "blue hangs under traffic": ({"hangs": "2 blue 2"}, "Blue_50", "blue 2 (0), green 1 (100)"),
    "a node is drained meanwhile": (
        {"serving": "2 blue 2", "drained": "green 1"},
        "Blue_50",
        "blue 2 (0), green 1 (100)",
    ),
    "blue fails under all traffic": ({"serving": "1 blue 2"}, "Blue_100", "blue 2 (0), green 1 (100)"),
    "green does not start": ({"pods": "green 2"}, "Green_Staging", "blue 2 (100), green 2 (0)"),
    "green is not taken": ({"apply": "Deployment/{}-green"}, "Green_Staging", "blue 2 (0), green 1 (100)"),
    "green fails under traffic": ({"serving": "1 green 2"}, "Green_100", "blue 2 (100), green 2 (0)"),
    "blue cannot be removed": ({"delete": True}, "Remove_Blue", "blue 2 (0), green 2 (100)"),
}
FIRST = {
    "blue does not start": ({"pods": "blue 2"}, "Blue_Staging", "blue 2 (0)"),
    "blue fails under traffic": ({"serving": "1 blue 2"}, "Blue_50", "blue 2 (100)"),
    "green does not start": ({"pods": "green 2"}, "Green_Staging", "blue 2 (100), green 2 (0)"),
    "green fails under traffic": ({"serving": "1 green 2"}, "Green_100", "blue 2 (100), green 2 (0)"),
}


@pytest.mark.parametrize("failure", LATER)
def test_whatever_fails_in_a_release_a_proven_version_serves(serving, failure):
    fails, stage, expected = LATER[failure]

    build = serving.release(2, **{how: str(what).format(serving.slug) for how, what in fails.items()})

    assert results(build) == stopped_at(stage), report(build.steps())
    assert serving.cluster.told() == expected


@pytest.mark.parametrize("failure", FIRST)
def test_whatever_fails_in_a_first_release_nothing_unproven_serves(empty, failure):
    fails, stage, expected = FIRST[failure]

    build = empty.release(2, **fails)

    assert results(build) == stopped_at(stage), report(build.steps())
    assert empty.cluster.told() == expected


def test_faults_in_passing_do_not_keep_the_traffic_from_going_back(serving):
    passing = {"every other read": True, "first apply after blue": f"VirtualService/{serving.slug}"}

    build = serving.release(2, serving="1 blue 2", **passing)

    assert results(build) == stopped_at("Blue_100"), report(build.steps())
    assert serving.cluster.told() == "blue 2 (0), green 1 (100)"
    assert "first apply after blue" not in serving.cluster.read()["fails"]


def test_a_rollback_waits_for_nobody(serving):
    build = serving.release(2, serving="1 blue 2")

    lock = f"lock of {serving.slug}-canary-traffic"
    assert build.stages["Rollback"].checks == (lock,)
    assert {build.stages[name].checks for name in STAGES if build.stages[name].jobs} == {
        (f"approval of {serving.slug}-canary", lock)
    }


def test_only_other_settings_are_a_release(serving):
    manifest = ("deployment/aks/manifests/base/autoscaler.yaml", "maxReplicas: 3", "maxReplicas: 4")
    edit(serving.root, *manifest)
    try:
        build = serving.start(1, compares=True).end()
    finally:
        edit(serving.root, manifest[0], *reversed(manifest[1:]))

    assert results(build) == ALL_SUCCEED, report(build.steps())
    (green,) = [one for one in serving.cluster.read()["objects"].values() if one["kind"] == "HorizontalPodAutoscaler"]
    assert (green["metadata"]["labels"]["colour"], green["spec"]["maxReplicas"]) == ("green", 4)


def test_an_older_build_that_is_approved_late_replaces_nothing(serving):
    serving.released(canary_15=1)
    before = serving.cluster.read()["objects"]

    build = serving.start(2, 12).end()

    assert results(build) == stopped_at("Blue_Staging"), report(build.steps())
    assert "error: Build 12 is older than build 15, which was released before it: " in report(build.steps())
    assert serving.cluster.read()["objects"] == before


def test_what_a_later_build_leaves_alone_is_not_undone_by_an_older_release_under_way(serving):
    """Build 15 wants what green serves, such as after a revert, while build 12 waits with its version in blue."""
    older = serving.start(2, 12).until("Blue_50", APPROVAL)
    later = serving.start(1, 15, compares=True).end()

    build = older.end()

    assert results(later) == dict.fromkeys((*STAGES, "Rollback"), "Skipped")

    assert results(build) == stopped_at("Blue_50"), report(build.steps())
    assert serving.cluster.told() == "blue 2 (0), green 1 (100)"


def test_a_later_release_under_way_is_not_replaced_by_an_older_one(serving):
    later = serving.start(3, 7).until("Blue_50", APPROVAL)

    build = serving.start(2, 6).end()

    assert results(build) == stopped_at("Blue_Staging"), report(build.steps())
    assert results(later.end()) == ALL_SUCCEED
    assert serving.cluster.told() == "green 3 (100)"


def test_a_later_build_that_nobody_has_approved_stops_no_other(serving):
    """Both have the image of what serves: builds 12 and 15 changed the autoscaler, and then a document."""
    manifest = ("deployment/aks/manifests/base/autoscaler.yaml", "maxReplicas: 3", "maxReplicas: 4")
    edit(serving.root, *manifest)
    try:
        older = serving.start(1, 12, compares=True).until("Blue_50", APPROVAL)
        later = serving.start(1, 15, compares=True).until("Blue_Staging", APPROVAL)
        assert results(older.end()) == ALL_SUCCEED
        before = serving.cluster.read()["objects"]
        assert results(later.end()) == ALL_SUCCEED
    finally:
        edit(serving.root, manifest[0], *reversed(manifest[1:]))

    assert serving.cluster.read()["objects"] == before


def test_a_release_that_comes_before_the_rollback_of_a_failed_one_leaves_it_what_served(serving):
    serving.cluster.change(fails={"serving": "1 blue 2"})
    failed = serving.start(2).until("Blue_100", RUNS)
    following = serving.start(3).until("Blue_Staging", LOCK)

    failed.until("Rollback", LOCK)
    assert following.until("Rollback", LOCK).build.stages["Blue_Staging"].result == "Failed"

    assert failed.end().stages["Rollback"].result == "Succeeded"
    following.end()
    assert serving.cluster.told() == "blue 2 (0), green 1 (100)"


def test_each_move_is_bounded_and_the_rollback_is_tried_again(baked, serving):
    made = Expansion(baked.path).pipeline(".pipelines/cd.yml", {}, serving.agent.predefined, serving.agent.groups)
    stages = {stage["stage"]: stage for stage in made["stages"]}

    moves = [
        (name, step)
        for name in (*STAGES, "Rollback")
        for job in stages[name]["jobs"]
        for step in job["steps"]
        if str(step.get("displayName")).startswith("Move ")
    ]
    assert len(moves) == 9
    assert {float(step["timeoutInMinutes"]) for _, step in moves} == {24}
    assert {(name, step.get("retryCountOnTaskFailure")) for name, step in moves if name == "Rollback"} == {
        ("Rollback", 2.0)
    }


def test_going_back_on_purpose_is_a_release(serving):
    serving.released(canary_15=1)

    serving.start(2, 12, going_back=True).until("Blue_Staging", RUNS)

    assert serving.cluster.told() == "blue 2 (0), green 1 (100)"


def test_releases_that_overlap_take_turns_and_the_one_that_was_overtaken_undoes_nothing(serving):
    """Version 3 begins while version 2 waits for an approval; version 4 waits beside it."""
    overtaken = serving.start(2).until("Blue_100", APPROVAL)
    assert serving.cluster.told() == "blue 2 (50), green 1 (50)"
    other = serving.start(3).until("Blue_Staging", RUNS)
    overtaken.until("Blue_100", LOCK)
    last = serving.start(4).until("Blue_Staging", LOCK)
    assert serving.cluster.told() == "blue 3 (0), green 1 (100)"

    other.until("Blue_50", APPROVAL)
    assert overtaken.until("Rollback", LOCK).build.stages["Blue_100"].result == "Failed"
    last.until("Blue_50", APPROVAL)
    assert overtaken.end().stages["Rollback"].result == "Succeeded"
    assert serving.cluster.told() == "blue 4 (0), green 1 (100)"


def test_a_release_after_one_that_stopped_at_blue_goes_through(empty):
    empty.release(2, pods="green 2")
    build = empty.release(3)

    assert results(build) == ALL_SUCCEED, report(build.steps())
    assert empty.cluster.told() == "green 3 (100)"


def test_green_that_fails_in_blue_s_place_gives_the_traffic_back(empty):
    empty.release(2, pods="green 2")

    build = empty.release(3, serving="1 green 2")

    assert results(build) == stopped_at("Blue_Staging"), report(build.steps())
    assert empty.cluster.told() == "blue 2 (100), green 2 (0)"


def test_after_a_move_that_fails_none_is_made(empty):
    empty.release(2, pods="green 2")

    build = empty.release(3, apply=f"Deployment/{empty.slug}-green")

    ended = {step.name: step.result for step in build.stages["Blue_Staging"].jobs["canary"].steps}
    moves = {name: result for name, result in ended.items() if name.startswith("Move ")}
    assert moves == {"Move stand_in": "Failed", "Move hand_over": "Skipped", "Move blue_staging": "Skipped"}


@pytest.mark.parametrize("name", ["K8S_AB_NAMESPACE", "K8S_AB_HOST"])
def test_without_a_namespace_or_a_host_there_is_no_canary(serving, monkeypatch, name):
    (group,) = serving.agent.groups.values()
    monkeypatch.setitem(group, name, "")

    build = serving.release(2)

    assert results(build) == dict.fromkeys((*STAGES, "Rollback"), "Skipped")
    assert build.result == "Succeeded"


def test_a_release_that_is_canceled_goes_back(serving):
    serving.agent.canceled = ("Blue_100.canary",)
    try:
        build = serving.release(2)
    finally:
        serving.agent.canceled = ()

    assert build.stages["Rollback"].result == "Succeeded"
    assert serving.cluster.told() == "blue 2 (0), green 1 (100)"


def test_blue_is_not_removed_while_it_serves(empty):
    empty.release(2, pods="green 2")
    before = empty.cluster.told()

    assert "error: Green does not run version 2" in empty.program("move", "remove_blue", code=1)
    empty.cluster.change(fails={})
    assert "blue 2 (100)" in before
    assert empty.cluster.told() == before


def test_a_pod_that_does_not_start_says_why(empty):
    build = empty.release(2, pods="blue 2")

    assert 'CreateContainerConfigError: secret "the-keys" not found' in report(build.steps())


# -- two releases at once, of which nothing but the order is looked at ---


@pytest.fixture
def rehearsal(baked, tmp_path):
    """Return a function that starts releases in which no step does anything."""
    root = repository(baked, tmp_path / "repository", without=("tests", "docs", "src", "ml_service"))

    def rehearse(change=lambda text: text):
        (root / ".pipelines" / "alone.yml").write_text(change(alone(root)), encoding="utf-8")
        nothing = dict.fromkeys(("AzureCLI@2", "UsePythonVersion@0", "script"), lambda step: None)
        local = agent(baked, root, tmp_path / "agent", {**TASKS, **nothing})
        slug = baked.answers["project_slug"]
        local.checks = {f"{slug}-canary": {"approval"}, f"{slug}-canary-traffic": {"lock"}}
        given = {"version": "1", "image": "an-image", "build": "1", "goingBack": False, "compares": False}
        return lambda: local.start(".pipelines/alone.yml", **given)

    return rehearse


def overlap(start):
    """Have a first release wait for the lock that a second holds, and a third come; return the three."""
    first = start().until("Blue_100", APPROVAL)
    second = start().until("Blue_Staging", RUNS)
    return first.until("Blue_100", LOCK), second, start().until("Blue_Staging", LOCK)


def test_a_release_that_waits_for_another_gets_its_turn(rehearsal):
    first, second, third = overlap(rehearsal())

    second.until("Blue_50", APPROVAL)
    first.until("Blue_100", RUNS).until("Green_Staging", APPROVAL)
    third.until("Blue_Staging", RUNS)


def test_without_the_line_in_cd_a_later_release_cancels_it_and_its_rollback(rehearsal):
    start = rehearsal(lambda text: re.sub("lockBehavior: .*", "", text))
    first, *_ = overlap(start)

    assert first.end().stages["Blue_100"].result == "Canceled"
    assert first.build.stages["Rollback"].result == "Canceled"
