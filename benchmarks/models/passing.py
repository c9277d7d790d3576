"""Models that compute nothing: `identity` gives back what it gets, `head` only the first 16 numbers of it. What is left
is the front end, with `head` the way in alone. `copies` are identities of any datatype, width and number of tensors."""

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from benchmarks.models.graph import IR_VERSION, OPSET, Graph

KEPT = 16


def make_identity(width: int) -> onnx.ModelProto:
    return Graph("identity").model([("x", "float32", [width])], ("y", "x", [width]))


def make_head(width: int) -> onnx.ModelProto:
    graph = Graph("head")
    bounds = [graph.constant(np.array([value])) for value in (0, KEPT, 1)]
    return graph.model([("x", "float32", [width])], ("y", graph.node("Slice", ["x", *bounds]), [KEPT]))


def make_copies(dtype: str, tensors: int) -> onnx.ModelProto:
    """IN0 to OUT0, IN1 to OUT1 and so on, each [N, any width]; `object` are strings."""
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(
        [helper.make_node("Identity", [f"IN{number}"], [f"OUT{number}"]) for number in range(tensors)],
        "copies",
        [helper.make_tensor_value_info(f"IN{number}", element, ["N", "width"]) for number in range(tensors)],
        [helper.make_tensor_value_info(f"OUT{number}", element, ["N", "width"]) for number in range(tensors)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def rows(count: int, width: int) -> dict[str, npt.NDArray[np.generic]]:
    """Rows of few digits, as features are."""
    values = np.random.default_rng(1).standard_normal((count, width))
    return {"x": values.round(4).astype(np.float32)}
