"""The score.py that `make bench` compares with: as the reference system ships it, on the same model.

Azure ML's inference server reads it from here: numpy types by decorators, scikit-learn predicts, print() logs.
"""

import os
from pathlib import Path

import joblib
import numpy as np
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.schema_decorators import input_schema, output_schema

WIDTH = int(os.environ["WIDTH"])


def init():
    global model  # noqa: PLW0603
    model = joblib.load(Path(os.environ["AZUREML_MODEL_DIR"]) / "model.pkl")


@input_schema("data", NumpyParameterType(np.zeros((2, WIDTH))))
@output_schema(NumpyParameterType(np.zeros(2)))
def run(data, request_headers):
    result = model.predict(data)
    print(
        '{{"RequestId":"{}", "TraceParent":"{}", "NumberOfPredictions":{}}}'.format(
            request_headers.get("X-Ms-Request-Id", ""), request_headers.get("Traceparent", ""), len(result)
        )
    )
    return {"result": result.tolist()}
