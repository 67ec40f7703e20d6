"""What stands in for the tasks that pipelines name. Each does on this machine what the task promises, and no more.

Inputs: learn.microsoft.com/azure/devops/pipelines/tasks/reference.
"""

import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

from .errors import PipelineError
from .job import Step


def checkout(step: Step) -> None:
    """The job's folder is a fresh copy already."""


def script(step: Step) -> None:
    step.shell(str(step.written.get("script", step.written.get("bash"))))


def azure_cli(step: Step) -> None:
    """AzureCLI@2: what the environment calls `az` stands in for the real one; the login itself is not shown."""
    given = step.inputs(*INPUTS_OF_AZURE_CLI)
    if (given["scriptType"], given["scriptLocation"]) != ("bash", "inlineScript"):
        raise PipelineError(f"{step.name!r}: only inline scripts for bash are known here.")
    federated = {name: f"{name.lower()} of {given['azureSubscription']}" for name in OF_A_CONNECTION}
    step.shell(given["inlineScript"], **federated)


INPUTS_OF_AZURE_CLI = (
    "azureSubscription", "scriptType", "scriptLocation", "inlineScript", "keepAzSessionActive", "visibleAzLogin"
)  # fmt: skip
OF_A_CONNECTION = (
    "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", "AZURESUBSCRIPTION_CLIENT_ID", "AZURESUBSCRIPTION_TENANT_ID"
)  # fmt: skip


def use_python(step: Step) -> None:
    """UsePythonVersion@0: the interpreter that the environment has must be of that version."""
    version = step.inputs("versionSpec")["versionSpec"]
    step.shell(f"""python -c 'import sys; sys.exit(sys.version_info[:2] != tuple(map(int, "{version}".split("."))))'""")


def cache(step: Step) -> None:
    """Cache@2: nothing is ever there; the files in the key must be."""
    for part in map(str.strip, step.inputs("key", "path")["key"].split("|")):
        if "/" in part and not (step.job.sources / part).is_file():
            raise PipelineError(f"{step.name!r}: {part} in the key is no file.")


def publish_test_results(step: Step) -> None:
    given = step.inputs(
        "testResultsFormat", "testResultsFiles", "searchFolder", "failTaskOnFailedTests",
        "failTaskOnMissingResultsFile", "testRunTitle",
    )  # fmt: skip
    patterns = given["testResultsFiles"].split()
    files = {pattern: list(Path(given["searchFolder"]).glob(pattern)) for pattern in patterns}
    if absent := [pattern for pattern, found in files.items() if not found]:
        step.fail(f"No test result files matching {', '.join(absent)} were found.")
    suites = [suite for found in files.values() for file in found for suite in read(file).iter("testsuite")]
    bad = sum(int(suite.get("failures", 0)) + int(suite.get("errors", 0)) for suite in suites)
    step.tell(f"{sum(int(suite.get('tests', 0)) for suite in suites)} tests, {bad} failed\n")
    if bad and given.get("failTaskOnFailedTests", "").lower() == "true":
        step.fail("There are one or more test failures detected in result files.")


def publish_coverage(step: Step) -> None:
    given = step.inputs("summaryFileLocation", "failIfCoverageEmpty")
    file = Path(given["summaryFileLocation"])
    covered = file.is_file() and int(read(file).get("lines-covered", 0)) > 0
    if not covered and given["failIfCoverageEmpty"].lower() == "true":
        step.fail(f"There is no coverage in {file}.")


def read(file: Path) -> ET.Element:
    return ET.parse(file).getroot()  # noqa: S314 - the job wrote it


def publish(step: Step) -> None:
    """Keep a file or a folder as an artifact of the build. One of that name must not be there yet."""
    source = step.job.sources / step.job.fill(str(step.written["publish"]))
    target = step.job.artifacts / str(step.written["artifact"])
    if not source.exists():
        step.fail(f"Path does not exist: {source}")
        return
    if target.exists():
        step.fail(f"Artifact {target.name} already exists for build.")
        return
    target.mkdir(parents=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy(source, target)


def download(step: Step) -> None:
    """Fetch an artifact into the pipeline's workspace: of this build, or of the run of a pipeline resource."""
    origin = str(step.written["download"])
    if origin == "none":
        return
    build, folder = "", step.job.workspace
    if origin != "current":
        build = step.job.fill(f"$(resources.pipeline.{origin}.runID)")
        folder /= origin
    name = str(step.written["artifact"])
    fetch(step, step.job.artifact(name, build), folder / name)


def download_of_a_run(step: Step) -> None:
    """DownloadPipelineArtifact@2: fetch an artifact of one run of another pipeline, into the folder that is named."""
    given = step.inputs("source", "project", "pipeline", "runVersion", "runId", "artifact", "path")
    if (given["source"], given["runVersion"]) != ("specific", "specific"):
        raise PipelineError(f"{step.name!r}: only artifacts of one run are known here.")
    fetch(step, step.job.artifact(given["artifact"], given["runId"]), step.job.sources / given["path"])


def fetch(step: Step, source: Path, target: Path) -> None:
    if not source.is_dir():
        step.fail(f"Artifact {source.name} was not found for build.")
        return
    shutil.copytree(source, target, dirs_exist_ok=True)


TASKS = {
    "checkout": checkout,
    "script": script,
    "bash": script,
    "download": download,
    "publish": publish,
    "AzureCLI@2": azure_cli,
    "Cache@2": cache,
    "DownloadPipelineArtifact@2": download_of_a_run,
    "PublishCodeCoverageResults@2": publish_coverage,
    "PublishTestResults@2": publish_test_results,
    "UsePythonVersion@0": use_python,
}
