"""One run of a pipeline: step after step, each run or reused, and its history kept."""

import hashlib
import json
import threading
import time
from typing import Any

from .graph import Graph, Port, Step
from .job import LOG, Data, Job
from .launchers import Launcher
from .services import datasets, datastores, runs
from .state import State
from .storage import new_id, now

ENDED = ("Completed", "Failed", "Canceled")
MLFLOW_STATUS = {"Completed": "FINISHED", "Failed": "FAILED", "Canceled": "KILLED"}


class PipelineRun:
    """A pipeline run while it runs."""

    def __init__(
        self, state: State, launcher: Launcher, run: dict[str, Any], graph: Graph, stop: threading.Event
    ) -> None:
        self._state, self._launcher, self._graph, self._stop = state, launcher, graph, stop
        self._id, self._experiment = run["id"], run["experiment"]
        self._data = {Port(node, ""): resolve(state, reference) for node, reference in graph.datasets.items()}

    def execute(self) -> str:
        """Run the steps until one fails, and return the status of the run."""
        for step in self._graph.in_order():
            if self._stop.is_set():
                return "Canceled"
            began = time.monotonic()
            fingerprint = self._fingerprint(step)
            earlier = self._state.documents.get("finished_steps", fingerprint) if step.reusable else None
            run_id = self._begin(step, earlier)
            status = self._reuse(step, earlier) if earlier else self._run(step, run_id, fingerprint)
            sentence = f"Step {step.name} failed; see {LOG}."
            error = failure(sentence) if status == "Failed" else None
            runs.change(self._state, run_id, status=status, endTimeUtc=now(), error=error)
            self._note(step, status=status, seconds=round(time.monotonic() - began, 3))
            if status != "Completed":
                return status
        return "Completed"

    def _reuse(self, step: Step, earlier: dict[str, Any]) -> str:
        self._keep(step, earlier["runId"], earlier["outputs"])
        return "Completed"

    def _run(self, step: Step, run_id: str, fingerprint: str) -> str:
        outputs = {name: self._place(run_id, name, settings) for name, settings in step.outputs.items()}
        inputs = {name: self._source(source) for name, source in step.inputs.items()}
        job = Job(self._state, step, run_id, self._id, self._experiment)
        code = job.run(self._launcher, self._stop, inputs, outputs)
        self._note(step, exitCode=code, command=job.line)
        status = "Completed" if code == 0 else "Canceled" if self._stop.is_set() else "Failed"
        self._state.mlflow.end_run(run_id, MLFLOW_STATUS[status])
        if status == "Completed":
            self._keep(step, run_id, outputs)
            record = {"runId": run_id, "nodeId": step.id, "pipelineRunId": self._id, "outputs": outputs}
            self._state.documents.put("finished_steps", fingerprint, record)
        return status

    def _keep(self, step: Step, run_id: str, outputs: dict[str, str]) -> None:
        for name, prefix in outputs.items():
            self._data[Port(step.id, name)] = Data(id=f"{run_id}/{name}", prefix=prefix)

    def _source(self, source: Port) -> Data:
        return self._data[Port(source.node, "") if source.node in self._graph.datasets else source]

    def _fingerprint(self, step: Step) -> str:
        """Return what must be equal for a step to be reused. Its environment need not be: the SDK's hash has none."""
        inputs = {name: self._source(source).id for name, source in sorted(step.inputs.items())}
        content = [step.module["IdentifierHash"], sorted(step.settings.items()), inputs]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def _place(self, run_id: str, name: str, settings: dict[str, Any]) -> str:
        """Return where an output is kept; azureml.data.output_dataset_config names the placeholders."""
        pattern = (settings.get("DatasetOutputOptions") or {}).get("PathOnDatastore")
        path = (pattern or "azureml/{run-id}/{output-name}").replace("{run-id}", run_id).replace("{output-name}", name)
        container = datastores.container(self._state, settings.get("DataStoreName") or datastores.DEFAULT)
        return f"{container}/{path.strip('/')}"

    def _begin(self, step: Step, earlier: dict[str, Any] | None) -> str:
        """Add the step to the history, with what StepRun._from_dto reads."""
        place = {"azureml.nodeid": step.id, "azureml.pipeline": self._id, "azureml.pipelinerunid": self._id}
        properties = {
            **place,
            "azureml.runsource": "azureml.StepRun",
            "azureml.moduleid": step.module["Id"],
            "azureml.moduleName": step.name,
            "ContentSnapshotId": step.module["StorageId"],
        }
        if earlier:
            properties |= {
                "azureml.isreused": "true",
                "azureml.reusedrunid": earlier["runId"],
                "azureml.reusednodeid": earlier["nodeId"],
                "azureml.reusedpipeline": earlier["pipelineRunId"],
            }
        run_id = new_id() if earlier else self._state.mlflow.start_run(self._experiment, step.name)
        about = {"runType": "azureml.StepRun", "target": step.settings.get("Target"), "tags": place}
        started = {"status": "Running", "startTimeUtc": now(), "parentRunId": self._id, "rootRunId": self._id}
        runs.create(self._state, self._experiment, run_id, step.name, **about, **started, properties=properties)
        self._note(step, runId=run_id, status="Running", reused=bool(earlier))
        return run_id

    def _note(self, step: Step, **changes: Any) -> None:
        nodes = self._state.documents.get("pipeline_runs", self._id)["nodes"]  # only this thread changes them
        nodes = {**nodes, step.id: {**nodes[step.id], **changes}}
        self._state.documents.update("pipeline_runs", self._id, nodes=nodes)


def resolve(state: State, reference: dict[str, Any]) -> Data:
    """Return the dataset that a pipeline refers to: DataSetReference and SavedDataSetReference are what is posted."""
    if saved := reference.get("SavedDataSetReference"):
        datasets.dataflow(state, saved["Id"])
        return Data(id=saved["Id"])
    registered = reference["DataSetReference"]
    found = datasets.find(state, dataset_id=registered["Id"], version=registered.get("Version"))
    return Data(id=found["latest"]["savedDatasetId"])


def failure(sentence: str) -> dict[str, Any]:
    """Return an error as Run.get_details shows it."""
    return {"error": {"code": "UserError", "message": sentence, "details": []}}
