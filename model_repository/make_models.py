"""Trains and writes the example models: `python model_repository/make_models.py [directory]`.

    digits       handwritten digits, 8×8 pixels → ten probabilities; a small network trained here, in seconds
    simple       sum and difference of two integer vectors, with a complete config.pbtxt
    text_concat  two texts → one; no config.pbtxt at all

The same versions of the libraries write the same files. `digits/example.json` is a request with one digit that was not
trained on. Needs onnx and scikit-learn.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

HELD_OUT = 450
LABELS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
Array = NDArray[np.float32]


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    accuracy = write_digits(target / "digits")
    write_simple(target / "simple")
    write_text_concat(target / "text_concat")
    print(f"digits: {accuracy:.1%} of {HELD_OUT} held-out digits are right")


def split_digits() -> tuple[Array, Array, NDArray[np.int64], NDArray[np.int64]]:
    """Train images and held-out images [n, 64] with pixels from 0 to 16, train labels and held-out labels [n]."""
    images, labels = load_digits(return_X_y=True)
    return train_test_split(images.astype(np.float32), labels, test_size=HELD_OUT, random_state=0, stratify=labels)


def write_digits(directory: Path) -> float:
    """Train, write, and return the share of held-out digits that are classified right."""
    train, held_out, train_labels, held_out_labels = split_digits()
    with threadpool_limits(1):  # sums of several threads differ in their last digits
        network = MLPClassifier((128,), alpha=1e-3, max_iter=400, random_state=0).fit(train / 16, train_labels)
    write_model(directory, digits_graph(network), opset=13)
    (directory / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
    (directory / "config.pbtxt").write_text(DIGITS_CONFIG)
    (directory / "example.json").write_text(example_request(held_out[0], int(held_out_labels[0])))
    return float(network.score(held_out / 16, held_out_labels))


def digits_graph(network: MLPClassifier) -> onnx.GraphProto:
    """Scale the pixels, then the layers of the network, relu between them and softmax behind."""
    nodes = [helper.make_node("Mul", ["image", "scale"], ["layer0"])]
    tensors = [numpy_helper.from_array(np.float32(1 / 16), "scale")]
    last = len(network.coefs_) - 1
    for index, (weights, bias) in enumerate(zip(network.coefs_, network.intercepts_, strict=True)):
        tensors.append(numpy_helper.from_array(weights.astype(np.float32), f"weights{index}"))
        tensors.append(numpy_helper.from_array(bias.astype(np.float32), f"bias{index}"))
        nodes.append(helper.make_node("Gemm", [f"layer{index}", f"weights{index}", f"bias{index}"], [f"sum{index}"]))
        output = "probabilities" if index == last else f"layer{index + 1}"
        nodes.append(helper.make_node("Softmax" if index == last else "Relu", [f"sum{index}"], [output]))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 64])
    probabilities = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 10])
    return helper.make_graph(nodes, "digits", [image], [probabilities], tensors)


def example_request(image: Array, label: int) -> str:
    """A request for the most probable class of one image; its id says what the image shows."""
    tensor = {"name": "image", "shape": [1, 64], "datatype": "FP32", "data": [int(pixel) for pixel in image]}
    output = {"name": "probabilities", "parameters": {"classification": 1}}
    return json.dumps({"id": f"a handwritten {label}", "inputs": [tensor], "outputs": [output]}) + "\n"


def write_simple(directory: Path) -> None:
    nodes = [helper.make_node("Add", ["INPUT0", "INPUT1"], ["OUTPUT0"])]
    nodes.append(helper.make_node("Sub", ["INPUT0", "INPUT1"], ["OUTPUT1"]))
    inputs = [helper.make_tensor_value_info(f"INPUT{i}", TensorProto.INT32, ["N", 16]) for i in range(2)]
    outputs = [helper.make_tensor_value_info(f"OUTPUT{i}", TensorProto.INT32, ["N", 16]) for i in range(2)]
    write_model(directory, helper.make_graph(nodes, "simple", inputs, outputs), opset=14)
    (directory / "config.pbtxt").write_text(SIMPLE_CONFIG)


def write_text_concat(directory: Path) -> None:
    nodes = [helper.make_node("StringConcat", ["left", "right"], ["text"])]
    inputs = [helper.make_tensor_value_info(name, TensorProto.STRING, ["N", 1]) for name in ("left", "right")]
    outputs = [helper.make_tensor_value_info("text", TensorProto.STRING, ["N", 1])]
    write_model(directory, helper.make_graph(nodes, "text_concat", inputs, outputs), opset=20)


def write_model(directory: Path, graph: onnx.GraphProto, opset: int) -> None:
    """Write version 1, in a format old enough for every ONNX Runtime this project runs on."""
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    (directory / "1").mkdir(parents=True, exist_ok=True)
    onnx.save(model, directory / "1" / "model.onnx")


DIGITS_CONFIG = """\
# Everything else is read from the model: its input, the batch size, dynamic batching.
output [
  {
    name: "probabilities"
    data_type: TYPE_FP32
    dims: [ 10 ]
    label_filename: "labels.txt"
  }
]
"""

SIMPLE_CONFIG = """\
name: "simple"
backend: "onnxruntime"
max_batch_size: 8
input [
  {
    name: "INPUT0"
    data_type: TYPE_INT32
    dims: [ 16 ]
  },
  {
    name: "INPUT1"
    data_type: TYPE_INT32
    dims: [ 16 ]
  }
]
output [
  {
    name: "OUTPUT0"
    data_type: TYPE_INT32
    dims: [ 16 ]
  },
  {
    name: "OUTPUT1"
    data_type: TYPE_INT32
    dims: [ 16 ]
  }
]
dynamic_batching { }
"""

if __name__ == "__main__":
    main()
