"""The graph that Azure ML gets, built by the SDK in memory: nothing is sent anywhere."""

import json
import shutil
import uuid
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import jwt
import pytest
from conftest import PACKAGE, SRC

from {{ cookiecutter.package_name }} import run_local
from {{ cookiecutter.package_name }}.pipeline import TRAINING, VALUES
from {{ cookiecutter.package_name }}.program import UserError

pytest.importorskip("azureml.pipeline.steps", reason="Azure ML's SDK has no build for this machine")

from azureml._base_sdk_common.service_discovery import CachedServiceDiscovery
from azureml.core import Dataset, Environment, Workspace
from azureml.core.authentication import TokenAuthentication
from azureml.data.abstract_dataset import _DatasetRegistration
from azureml.data.azure_storage_datastore import AzureBlobDatastore
from azureml.pipeline.core import Pipeline
from azureml.pipeline.core._aeva_provider import _AevaWorkflowProvider
from azureml.pipeline.core._restclients.aeva.dryrun_service_caller import DryRunServiceCaller
from ml_service import published, training_pipeline

DEFAULTS = {name: value.default for name, value in VALUES.items()}


class Graph(NamedTuple):
    """What would be posted: modules and nodes by step, the edges between them, the parameters with their defaults."""

    modules: dict[str, Any]
    nodes: dict[str, Any]
    hashes: dict[str, str]  # what decides whether an earlier run of the step may be used again
    edges: set[tuple[str, str, str]]
    parameters: dict[str, Any]


class Snapshots:
    """Takes the place of the upload of src/."""

    def upload(self, directory: str) -> str:
        return str(uuid.uuid4())


def workspace() -> Workspace:
    """Return a workspace that is asked for nothing."""
    login = TokenAuthentication(lambda audience: jwt.encode({"exp": 2**32}, "-" * 32), cloud="AzureCloud")
    opened = Workspace(
        "subscription", "group", "name", auth=login, _location="here", _disable_service_check=True, _workspace_id="id"
    )
    opened._discovery_url_internal = "http://nowhere"
    return opened


def assemble(
    monkeypatch: pytest.MonkeyPatch, caller: DryRunServiceCaller, environment: str = "environment", cycle: bool = False
) -> Pipeline:
    """Assemble the pipeline from its steps, with services that live in memory."""
    services = defaultdict(lambda: "http://nowhere")
    monkeypatch.setattr(CachedServiceDiscovery, "get_cached_services_uris", lambda *_, **__: services)
    opened = workspace()
    datastore = AzureBlobDatastore(opened, "store", container_name="container", account_name="account")
    data = Dataset.File.from_files((datastore, "training-data"), validate=False)
    data._registration = _DatasetRegistration(opened, saved_id="saved")
    steps = training_pipeline.steps("cluster", Environment(environment), data, datastore, DEFAULTS)
    if cycle:
        steps[0].run_after(steps[-1])
    provider = _AevaWorkflowProvider(caller, Snapshots(), opened)
    return Pipeline(opened, steps, default_datastore=datastore, _workflow_provider=provider)


def build(monkeypatch: pytest.MonkeyPatch, environment: str = "environment") -> Graph:
    """Return the graph that would be published."""
    caller = DryRunServiceCaller()
    pipeline = assemble(monkeypatch, caller, environment)
    published.check(pipeline)
    pipeline.publish("training", version="1")
    (graph,), (interface,) = caller._graph_entities.values(), caller._graph_interfaces.values()
    modules = {node.id: caller._module_entities[node.module_id] for node in graph.module_nodes}
    names = {node: module.name for node, module in modules.items()}
    ends = [(edge.source_output_port, edge.destination_input_port) for edge in graph.edges]
    edges = {
        (names[source.node_id], source.port_name, names[destination.node_id])
        for source, destination in ends
        if source.node_id in names
    }
    parameters = {one.name: one.default_value for one in (*interface.parameters, *interface.data_path_parameter_list)}
    hashes = {caller._module_entities[module].name: text for text, module in caller._module_hash_to_id.items()}
    nodes = {names[node.id]: node for node in graph.module_nodes}
    return Graph({module.name: module for module in modules.values()}, nodes, hashes, edges, parameters)


@pytest.fixture
def graph(monkeypatch: pytest.MonkeyPatch) -> Graph:
    return build(monkeypatch)


def test_azure_and_a_local_run_start_the_same_programs_with_the_same_flags(graph: Graph) -> None:
    for step in TRAINING:
        folders = {name: Path(name) for name in step.reads + step.writes}
        _, *words = run_local.command(step, folders, DEFAULTS)
        posted = [argument.value for argument in graph.modules[step.name].structured_interface.arguments]

        assert posted[:2] == ["-m", f"{PACKAGE}.{step.name}"] == words[:2]
        assert posted[2::2] == words[2::2]


def test_each_folder_goes_from_the_step_that_writes_it_to_those_that_read_it(graph: Graph) -> None:
    flows = {
        (writer.name, folder, reader.name)
        for writer in TRAINING
        for folder in writer.writes
        for reader in TRAINING
        if folder in reader.reads
    }

    assert graph.edges == flows


def test_every_step_runs_in_the_environment_and_on_the_cluster(graph: Graph) -> None:
    for node in graph.nodes.values():
        assert json.loads(node.runconfig)["environment"]["name"] == "environment"
        assert {one.name: one.value for one in node.module_parameters}["Target"] == "cluster"


def test_what_steps_write_is_kept_where_the_run_can_be_told(graph: Graph) -> None:
    kept = {
        output.name: (output.data_store_name, output.dataset_output_options.path_on_datastore)
        for node in graph.nodes.values()
        for output in node.module_output_settings
        if output.dataset_output_options
    }

    assert kept == {folder: ("store", "training/{run-id}/{output-name}") for step in TRAINING for folder in step.writes}


def test_every_value_is_a_parameter_and_so_is_the_version_of_the_data(graph: Graph) -> None:
    data = graph.parameters.pop("dataset_version")

    assert data.saved_data_set_reference.id == "saved"
    assert graph.parameters == DEFAULTS


def test_only_training_may_be_used_again(graph: Graph) -> None:
    assert {name: bool(module.is_deterministic) for name, module in graph.modules.items()} == {
        "train": True,
        "evaluate": False,
        "register": False,
    }


def test_a_changed_environment_is_never_used_again(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    same, other = build(monkeypatch), build(monkeypatch, "another")

    assert same.hashes == graph.hashes
    assert not other.hashes.items() & graph.hashes.items()


@pytest.mark.parametrize(
    ("name", "used_again"), [("parameters.yml", False), ("__pycache__/train.pyc", True)], ids=["parameters", "bytecode"]
)
def test_what_a_job_needs_decides_whether_it_runs_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, used_again: bool
) -> None:
    source = tmp_path / "src"
    shutil.copytree(SRC, source, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(training_pipeline, "SRC", source)
    before = build(monkeypatch).hashes
    (source / name).parent.mkdir(exist_ok=True)
    with (source / name).open("a", encoding="utf-8") as file:
        file.write("\n# changed\n")

    after = build(monkeypatch).hashes

    assert (before == after) is used_again


def test_a_pipeline_that_cannot_run_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = assemble(monkeypatch, DryRunServiceCaller(), cycle=True)

    with pytest.raises(UserError, match=r"not valid: .*[Cc]ycle"):
        published.check(pipeline)


def test_what_is_found_wrong_is_not_published(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def validate(self) -> list[str]:
            return ["a finding"]

    for name in ("get_compute", "get_environment", "get_dataset", "get_datastore", "steps"):
        monkeypatch.setattr(training_pipeline, name, lambda *_: None)
    monkeypatch.setattr(published, "published", lambda *_: None)
    monkeypatch.setattr(training_pipeline, "get_compute", lambda *_: SimpleNamespace(name="cluster"))
    monkeypatch.setattr(training_pipeline, "Pipeline", Wrong)
    given = SimpleNamespace(
        **DEFAULTS, training_pipeline_name="training", datastore_name=None, model_copy=lambda **_: None
    )

    with pytest.raises(UserError, match="a finding"):
        training_pipeline.publish(workspace(), given)
