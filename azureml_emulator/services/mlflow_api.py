"""MLflow's REST API below the workspace's address, as far as Azure ML is known to serve it."""

import json
import re

from ..routes import API, Reply, Request, route
from ..state import State

# learn.microsoft.com/azure/machine-learning/how-to-manage-models-mlflow and azure-sdk-for-python issue #44896.
# Aliases, logged models and traces are not among them.
SERVED = re.compile(
    r"/api/2\.0/mlflow/("
    r"experiments/(create|get|get-by-name|search|update|delete|restore|set-experiment-tag)"
    r"|runs/(create|get|search|update|delete|restore|log-metric|log-parameter|log-batch|log-inputs|log-model)"
    r"|runs/(set-tag|delete-tag)"
    r"|metrics/get-history"
    r"|registered-models/(create|get|search|update|delete|set-tag|delete-tag|get-latest-versions)"
    r"|model-versions/(create|get|search|update|delete|get-download-uri|set-tag|delete-tag|transition-stage)"
    r")"
)


@route("GET POST PATCH DELETE PUT", API, r"/mlflow/v[12]\.0{ws}{path...}")
def call(state: State, request: Request, path: str) -> Reply:
    """Answer azureml.mlflow._store.azureml_reststore with what the real server says."""
    if not SERVED.fullmatch(path):
        # No error of the emulator's: MLflow's clients ask for what is newer than a server, and do without it.
        told = f"Azure ML does not serve {request.method} {path} of MLflow."
        return Reply({"error_code": "ENDPOINT_NOT_FOUND", "message": told}, 404)
    body = request.body
    if path.endswith("experiments/create"):
        wanted = request.json
        body = json.dumps({**wanted, "artifact_location": state.mlflow.artifact_location(wanted["name"])}).encode()
    status, content = state.mlflow.call(request.method, path, request.query_string, body)
    return Reply(content, status, {"Content-Type": "application/json"})
