"""Model code: it knows files and MLflow, and nothing of any cloud."""

import os

# MLflow reads both when it is imported: whether to report usage to its makers, and to be loud where git is missing.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
