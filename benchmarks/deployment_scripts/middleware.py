"""The entry script of a middleware deployment: it asks the inference server beside it."""

import json
import os

import numpy as np
import tritonclient.http as triton


def init():
    global client, model, source, target
    client = triton.InferenceServerClient(os.environ["TRITON_HTTP_URL"])
    model = os.environ["MODEL"]
    metadata = client.get_model_metadata(model)
    source, target = metadata["inputs"][0]["name"], metadata["outputs"][0]["name"]


def run(data):
    rows = np.array(json.loads(data)["data"], np.float32)
    tensor = triton.InferInput(source, rows.shape, "FP32")
    tensor.set_data_from_numpy(rows)
    return {"result": client.infer(model, [tensor]).as_numpy(target).tolist()}
