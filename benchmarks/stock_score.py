"""The score.py that `make bench` compares with, as the documentation of Azure ML's inference server has it."""

import json
import os

import joblib
import numpy as np


def init():
    global model  # noqa: PLW0603
    model = joblib.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.pkl"))  # noqa: PTH118


def run(raw_data):
    data = np.array(json.loads(raw_data)["data"])
    result = model.predict(data)
    print(f"{len(result)} predictions")
    return {"result": result.tolist()}
