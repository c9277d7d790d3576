"""An entry script in front of the inference server: pixels in, words out.

POST /score with {"data": [[64 pixels from 0 to 16], ...]} is answered by {"labels": ["two", ...], "pid": 123}.
"""

import json
import os

import numpy as np
import tritonclient.http as triton


def init():
    global client
    # Port 8000, unless that was taken when the service was deployed.
    client = triton.InferenceServerClient(os.environ.get("TRITON_HTTP_URL", "localhost:8000"))


def run(data):
    images = np.array(json.loads(data)["data"], np.float32)
    image = triton.InferInput("image", images.shape, "FP32")
    image.set_data_from_numpy(images)
    probabilities = triton.InferRequestedOutput("probabilities", class_count=1)
    result = client.infer("digits", [image], outputs=[probabilities])
    # Each class is b"probability:index:label"; the labels are those of the model repository.
    labels = [row[0].decode().split(":")[2] for row in result.as_numpy("probabilities")]
    return {"labels": labels, "pid": os.getpid()}
