"""The score.py that `make bench` compares with: it checks and describes its input, as the documentation has it."""

import os
from pathlib import Path

import joblib
import numpy as np
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.schema_decorators import input_schema, output_schema


def init():
    global model  # noqa: PLW0603
    model = joblib.load(Path(os.environ["AZUREML_MODEL_DIR"]) / "model.pkl")


@input_schema("data", NumpyParameterType(np.zeros((2, 10))))
@output_schema(NumpyParameterType(np.zeros(2)))
def run(data):
    result = model.predict(data)
    print(f"{len(result)} predictions")
    return {"result": result.tolist()}
