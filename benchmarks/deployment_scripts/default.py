"""The entry script of a default deployment: every worker has a session of its own."""

import json
import os

import numpy as np
import onnxruntime as ort


def init():
    global session
    options = ort.SessionOptions()
    options.intra_op_num_threads = int(os.environ["THREADS"])
    path = os.path.join(os.environ["AZUREML_MODEL_DIR"], "triton", os.environ["MODEL"], "1", "model.onnx")
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(data):
    rows = np.array(json.loads(data)["data"], np.float32)
    (result,) = session.run(None, {session.get_inputs()[0].name: rows})
    return {"result": result.tolist()}
