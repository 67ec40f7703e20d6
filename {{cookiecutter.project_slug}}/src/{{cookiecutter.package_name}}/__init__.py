"""Model code: it knows files and MLflow, and nothing of any cloud."""

import os

# MLflow reads these when it is imported: whether to report usage to its makers, to be loud where git is missing, and
# how often to try again, for half a minute in all, to reach a server.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "4")
