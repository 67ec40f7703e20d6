"""Metrics of runs: those of ``run.log``, and those of MLflow."""

from typing import Any

from ..routes import API, Reply, Request, not_found, page, route
from ..state import State
from ..storage import new_id, now
from .runs import RUN

METRICS = "/metric/v2.0{ws}/runs/{run}"


def _metrics(state: State, run: str) -> dict[str, Any]:
    """Return a run's metrics, those of ``run.log`` and those of MLflow."""
    logged = {}
    for name, values in state.mlflow.metrics(run).items():
        entries = [
            {"metricId": new_id(), "createdUtc": now(), "step": i, "data": {name: v}} for i, v in enumerate(values)
        ]
        properties = {"uxMetricType": "azureml.v1.scalar"}
        logged[name] = {"name": name, "columns": {name: "double"}, "properties": properties, "value": entries}
    return {**logged, **(state.documents.get("metrics", run) or {})}


@route("POST", API, METRICS + "/batch")
def post_metrics(state: State, request: Request, run: str) -> Any:
    """Answer the flush of Run.log."""
    with state.lock:
        metrics = dict(state.documents.get("metrics", run) or {})
        for entry in request.json["values"]:
            known = metrics.get(entry["name"], {**entry, "value": []})
            metrics[entry["name"]] = {**known, "value": known["value"] + entry["value"]}
        state.documents.put("metrics", run, metrics)
    return {"errors": []}


@route("POST", API, METRICS + "/list")
def list_metrics(state: State, request: Request, run: str) -> Any:
    """Answer the first half of Run.get_metrics."""
    shown = ("name", "columns", "properties")
    metrics = _metrics(state, run).values()
    return page([{"metricKey": {"name": metric["name"]}, **{k: metric.get(k) for k in shown}} for metric in metrics])


@route("POST", API, METRICS + "/full")
def get_metric(state: State, request: Request, run: str) -> Any:
    """Answer the second half of Run.get_metrics."""
    if not (found := _metrics(state, run).get(request.json["metricName"])):
        raise not_found(f"Metric {request.json['metricName']}")
    return {**found, "runId": run}


@route("GET", API, RUN + "/metricsingest/wait")
def wait_for_metrics(state: State, request: Request, experiment: str, run: str) -> Reply:
    """Answer RunClient.wait_for_metrics_ingest: nothing is ever under way."""
    return Reply(None)
