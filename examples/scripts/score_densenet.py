"""An entry script that reads the whole request itself, asynchronously: an image's bytes in, a class's name out.

The image is raw pixels, 224×224×3 of one byte each, so that this example needs no imaging library. The names of the
classes lie beside the model, in the registered folder.
"""

import os
from pathlib import Path

import numpy as np
import tritonclient.http as triton
from azureml.contrib.services.aml_request import rawhttp
from azureml.contrib.services.aml_response import AMLResponse

MODEL = "densenet_onnx"
SIDE = 224


def init():
    global client, names
    client = triton.InferenceServerClient(os.environ.get("TRITON_HTTP_URL", "localhost:8000"))
    metadata = client.get_model_metadata(MODEL)
    assert [tensor["name"] for tensor in metadata["inputs"]] == ["data_0"]
    folder = Path(os.environ["AZUREML_MODEL_DIR"], "models", "triton", MODEL)
    names = (folder / "densenet_labels.txt").read_text().splitlines()


@rawhttp
async def run(request):
    if request.method != "POST":
        return AMLResponse(f"POST {SIDE}x{SIDE}x3 bytes", 405)
    pixels = np.frombuffer(await request.get_data(), np.uint8)
    if pixels.size != SIDE * SIDE * 3:
        return AMLResponse(f"expected {SIDE * SIDE * 3} bytes, got {pixels.size}", 400)
    image = (pixels.reshape(SIDE, SIDE, 3).astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)
    scores = classify(image)
    return {"class": names[int(scores.argmax())], "pid": os.getpid()}


def classify(image):
    """Scores [classes] of one image [3, SIDE, SIDE]; the model wants a batch of exactly one."""
    data = triton.InferInput("data_0", [1, 3, SIDE, SIDE], "FP32")
    data.set_data_from_numpy(image[np.newaxis])
    return client.infer(MODEL, [data]).as_numpy("fc6_1").ravel()
