"""The training pipeline as Azure ML runs it. As a program: publish it for this build.

The steps are those of pipeline.py in src/, each a command that runs where a local run has it run: beside its package.
"""

from azureml.core import Environment, RunConfiguration, Workspace
from azureml.data import FileDataset, OutputFileDatasetConfig
from azureml.data.abstract_datastore import AbstractDatastore
from azureml.data.dataset_consumption_config import DatasetConsumptionConfig
from azureml.pipeline.core import Pipeline, PipelineParameter, PublishedPipeline
from azureml.pipeline.steps import CommandStep

from {{ cookiecutter.package_name }}.pipeline import TRAINING, VALUES, Step, flag

from . import PACKAGE, SRC, settings
from .compute import get_compute
from .dataset import get_dataset, get_datastore
from .environment import get_environment
from .published import publish_once, publish_program
from .settings import Settings

DATA = "data"  # the folder that no step writes


def steps(
    compute: str, environment: Environment, dataset: FileDataset, datastore: AbstractDatastore, values: dict[str, str]
) -> list[CommandStep]:
    """Return the steps, and with them what flows from one to the next.

    The pipeline's parameters are ``values``, and the dataset under the name dataset_version; both are defaults.
    """
    parameters = {name: PipelineParameter(name, value) for name, value in values.items()}
    given = DatasetConsumptionConfig(DATA, PipelineParameter("dataset_version", dataset), mode="download")
    kept_at = (datastore, "training/{run-id}/{output-name}")
    written = {
        folder: OutputFileDatasetConfig(folder, kept_at).as_upload(overwrite=True)
        for step in TRAINING
        for folder in step.writes
    }
    run_in = RunConfiguration()
    run_in.environment = environment

    def command(step: Step) -> list[object]:
        reads = {name: given if name == DATA else written[name].as_input(name).as_download() for name in step.reads}
        writes = {name: written[name] for name in step.writes}
        takes = {name: parameters[name] for name in step.takes}
        words = [word for name, value in {**reads, **writes, **takes}.items() for word in (flag(name), value)]
        return [f"python -m {PACKAGE}.{step.name}", *words]

    return [
        CommandStep(
            name=step.name,
            command=command(step),
            source_directory=str(SRC),
            runconfig=run_in,
            compute_target=(compute, "AmlCompute"),
            allow_reuse=step.reuse,
            version=environment.name,  # what the SDK compares before it re-uses a run does not hold the environment
        )
        for step in TRAINING
    ]


def values(settings: Settings) -> dict[str, str]:
    """Return what the settings say of the values that steps take."""
    return {name: str(getattr(settings, name)) for name in VALUES}


def assemble(workspace: Workspace, settings: Settings) -> Pipeline:
    """Return the pipeline, with all that it needs made where it is absent."""
    dataset = get_dataset(workspace, settings.model_copy(update={"data_file_path": None}))
    compute, environment = get_compute(workspace, settings), get_environment(workspace, "train")
    datastore = get_datastore(workspace, settings.datastore_name)
    graph = steps(compute.name, environment, dataset, datastore, values(settings))
    return Pipeline(workspace, graph, default_datastore=datastore)


def publish(workspace: Workspace, settings: Settings) -> PublishedPipeline:
    """Return the published pipeline of this build, or publish it."""
    name = settings.training_pipeline_name
    return publish_once(workspace, name, settings.build_id, lambda: assemble(workspace, settings))


if __name__ == "__main__":
    publish_program(__doc__, settings.read, publish)
