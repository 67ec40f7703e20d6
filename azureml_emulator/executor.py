"""Takes submitted pipelines, and runs each of them in a thread."""

import json
import threading
import traceback
from typing import Any

from . import job
from .graph import Graph
from .launchers import Launcher
from .pipeline_run import ENDED, PipelineRun, failure, resolve
from .routes import Refusal
from .services import environments, runs
from .state import State
from .storage import new_id, now

KIND = "pipeline_runs"
NOT_STARTED = {"status": "NotStarted", **dict.fromkeys(("runId", "reused", "command", "exitCode", "seconds"))}


class Executor:
    """Pipeline runs. What is known of them lies in the documents ``pipeline_runs``."""

    def __init__(self, state: State, launcher: Launcher) -> None:
        self._state = state
        self._launcher = launcher
        self._stops: dict[str, threading.Event] = {}
        self._threads: list[threading.Thread] = []
        for run in state.documents.all(KIND):  # left over from an emulator that ended
            if run["status"] not in ENDED:
                self._end(run["id"], "Canceled")

    def prepare(self, submission: dict[str, Any], pipeline: dict[str, Any]) -> dict[str, Any]:
        """Take a submission, checked; it does not start yet."""
        graph = self._read(pipeline["GraphId"], submission)
        nodes = {step.id: {"name": step.name, **NOT_STARTED} for step in graph.in_order()}
        for step in graph.steps.values():
            environments.check(self._state, step.name, step.environment)
        for reference in graph.datasets.values():
            resolve(self._state, reference)
        run_id, experiment = new_id(), submission.get("ExperimentName") or "Default"
        properties = {
            "azureml.runsource": "azureml.PipelineRun",
            "runSource": submission.get("RunSource") or "SDK",
            "runType": submission.get("RunType") or "HTTP",
            "azureml.parameters": json.dumps(submission["ParameterAssignments"]),
            "azureml.pipelineid": pipeline["Id"] or "",
            **(submission.get("Properties") or {}),
        }
        name = submission.get("Description") or pipeline.get("Name") or run_id
        tags = submission.get("tags") or submission.get("Tags") or {}
        about = {"runType": "azureml.PipelineRun", "tags": tags, "properties": properties}
        runs.create(self._state, experiment, run_id, name, **about)
        document = {"id": run_id, "pipeline": pipeline["Id"], "graph": pipeline["GraphId"], "experiment": experiment}
        details = {"submission": submission, "status": "NotStarted", "nodes": nodes, "submitted": now()}
        self._state.documents.put(KIND, run_id, {**document, **details})
        return {**document, **details}

    def start(self, run_id: str) -> None:
        self._stops[run_id] = threading.Event()
        thread = threading.Thread(target=self._execute, args=(run_id,), name=f"run {run_id}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def cancel(self, run_id: str) -> None:
        if stop := self._stops.get(run_id):
            stop.set()

    def close(self) -> None:
        for stop in self._stops.values():
            stop.set()
        for thread in self._threads:
            thread.join(5)
        self._launcher.close()

    def report(self) -> list[dict[str, Any]]:
        """Return all runs with their steps, for tests."""
        shown = ("id", "pipeline", "experiment", "status")
        return [
            {
                **{name: run[name] for name in shown},
                "parameters": run["submission"]["ParameterAssignments"],
                "steps": [{**node, "output": job.log(self._state, node["runId"])} for node in run["nodes"].values()],
            }
            for run in self._state.documents.all(KIND)
        ]

    def _read(self, graph: str, submission: dict[str, Any]) -> Graph:
        documents = self._state.documents
        posted = documents.get("graphs", graph)
        names = {node["ModuleId"] for node in posted["graph"]["ModuleNodes"]}
        modules = {name: documents.get("modules", name) for name in names}
        if absent := [name for name, module in modules.items() if not module]:
            raise Refusal(400, "UserError", f"The pipeline names modules that do not exist: {', '.join(absent)}.")
        return Graph(posted, {name: module["Data"] for name, module in modules.items()}, submission)

    def _execute(self, run_id: str) -> None:
        status = "Failed"
        try:
            run = self._state.documents.update(KIND, run_id, status="Running")
            runs.change(self._state, run_id, status="Running", startTimeUtc=now())
            graph = self._read(run["graph"], run["submission"])
            status = PipelineRun(self._state, self._launcher, run, graph, self._stops[run_id]).execute()
        except Exception:
            traceback.print_exc()
        finally:
            self._end(run_id, status)

    def _end(self, run_id: str, status: str) -> None:
        nodes = self._state.documents.get(KIND, run_id)["nodes"]
        failed = [node["name"] for node in nodes.values() if node["status"] == "Failed"]
        sentence = f"Steps failed: {', '.join(failed) or 'none, but the run could not be executed'}."
        error = failure(sentence) if status == "Failed" else None
        cut_short = {
            name: {**node, "status": "Canceled"}
            for name, node in nodes.items()
            if node["status"] in ("Running", "Queued")
        }
        runs.change(self._state, run_id, status=status, endTimeUtc=now(), error=error)
        self._state.documents.update(KIND, run_id, status=status, nodes={**nodes, **cut_short})
