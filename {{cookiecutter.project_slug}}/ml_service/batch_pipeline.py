"""Batch scoring as Azure ML runs it, on several nodes at once. As a program: publish it for this build.

Two steps: `score` has each node score some files at a time, and `publish` puts the scores into a folder of its day and
time. Whoever submits the published pipeline may choose the version by the parameters of choose.py in src/.
"""

import shlex

from azureml.core import Environment, RunConfiguration, Workspace
from azureml.data import FileDataset, OutputFileDatasetConfig
from azureml.data.abstract_datastore import AbstractDatastore
from azureml.data.dataset_consumption_config import DatasetConsumptionConfig
from azureml.pipeline.core import Pipeline, PipelineParameter, PipelineStep, PublishedPipeline
from azureml.pipeline.steps import CommandStep, ParallelRunConfig, ParallelRunStep

from {{ cookiecutter.package_name }}.choose import CHOICE
from {{ cookiecutter.package_name }}.pipeline import flag

from . import PACKAGE, SRC, batch_settings
from .batch_settings import BatchSettings
from .compute import get_compute
from .dataset import get_datastore, register_data, register_path
from .environment import get_environment
from .published import publish_once, publish_program

SCORE, PUBLISH = "score", "publish"
ROWS, SCORED, PUBLISHED = "rows", "scored", "published"
NOTHING = " "  # a parameter's value, for which Azure ML takes no empty one


def get_rows(workspace: Workspace, settings: BatchSettings) -> FileDataset:
    """Return the files to score: what lies at BATCH_INPUT_PATH, or the data that training had, as a sample."""
    name, datastore = settings.batch_dataset_name, get_datastore(workspace, settings.batch_input_datastore)
    if path := settings.batch_input_path:
        return register_path(workspace, name, (datastore, path), settings.build_id, "BATCH_INPUT_PATH")
    sample = f"{name}-sample"
    return workspace.datasets.get(sample) or register_data(workspace, sample, datastore)


def steps(
    compute: str,
    environment: Environment,
    rows: FileDataset,
    *,
    working: AbstractDatastore,
    target: AbstractDatastore,
    settings: BatchSettings,
) -> list[PipelineStep]:
    """Return the steps: scores go to the working datastore first, and from there to the target."""
    # with a path, or the step would take another object of the same name for its input
    given = DatasetConsumptionConfig(ROWS, PipelineParameter("batch_data", rows)).as_mount(f"/tmp/{ROWS}")  # noqa: S108
    scored = OutputFileDatasetConfig(SCORED, (working, "batch-scoring/{run-id}"))
    chosen = {"model_name": settings.model_name, **dict.fromkeys(CHOICE, NOTHING)}
    parameters = {name: PipelineParameter(name, value) for name, value in chosen.items()}
    takes = {ROWS: given, SCORED: scored, **parameters}
    score = ParallelRunStep(
        name=SCORE,
        parallel_run_config=ParallelRunConfig(
            environment=environment,
            source_directory=str(SRC),
            entry_script="score_batches.py",
            compute_target=compute,
            node_count=settings.batch_nodes,
            mini_batch_size=str(settings.batch_files_at_once),
            error_threshold=settings.batch_error_threshold,
            run_invocation_timeout=settings.batch_seconds,
            run_max_try=settings.batch_attempts,
            output_action="append_row",  # of the names of files that are done; scores are files of their own
            append_row_file_name="done.txt",
        ),
        inputs=[given],
        output=scored,
        arguments=[word for name, value in takes.items() for word in (flag(name), value)],
        allow_reuse=False,
    )
    published = OutputFileDatasetConfig(PUBLISHED, (target, settings.batch_output_path)).as_upload(overwrite=False)
    run_in = RunConfiguration()
    run_in.environment = environment
    publish = CommandStep(
        name=PUBLISH,
        command=[
            f"python -m {PACKAGE}.batch_publish",
            *(flag(ROWS), given),
            *(flag(SCORED), scored.as_input(SCORED).as_download()),
            *(flag(PUBLISHED), published),
            f"--place {shlex.quote(settings.batch_output_path)} --datastore {target.name}",
            f"--max-rejected {settings.batch_max_rejected} --max-failed {settings.batch_error_threshold}",
        ],
        source_directory=str(SRC),
        runconfig=run_in,
        compute_target=(compute, "AmlCompute"),
        allow_reuse=False,
    )
    return [score, publish]


def assemble(workspace: Workspace, settings: BatchSettings) -> Pipeline:
    """Return the pipeline, with all that it needs made where it is absent."""
    rows = get_rows(workspace, settings)
    compute, environment = get_compute(workspace, settings), get_environment(workspace, "batch")
    working = workspace.get_default_datastore()
    target = get_datastore(workspace, settings.batch_output_datastore)
    graph = steps(compute.name, environment, rows, working=working, target=target, settings=settings)
    return Pipeline(workspace, graph, default_datastore=working)


def publish(workspace: Workspace, settings: BatchSettings) -> PublishedPipeline:
    """Return the published pipeline of this build, or publish it."""
    name = settings.batch_pipeline_name
    return publish_once(workspace, name, settings.build_id, lambda: assemble(workspace, settings))


if __name__ == "__main__":
    publish_program(__doc__, batch_settings.read, publish)
