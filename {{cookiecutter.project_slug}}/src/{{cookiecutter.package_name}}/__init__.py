"""Model code: it knows files and MLflow, and nothing of any cloud."""

import os

# MLflow reports usage to its makers unless this is set before it is imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
