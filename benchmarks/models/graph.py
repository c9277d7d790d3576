"""Writes ONNX graphs node by node, with seeded weights."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 9
"""Old enough for every ONNX Runtime that is compared."""


class Graph:
    """A graph under construction. Methods return the name of the tensor they add."""

    def __init__(self, name: str, seed: int = 0) -> None:
        self.name = name
        self._rng = np.random.default_rng(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def constant(self, value: npt.NDArray[np.generic]) -> str:
        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(value, name))
        return name

    def weight(self, *shape: int, scale: float) -> str:
        """Normally distributed float32."""
        return self.constant((self._rng.standard_normal(shape) * scale).astype(np.float32))

    def node(self, op: str, inputs: Sequence[str], **attributes: Any) -> str:
        name = f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def dense(self, x: str, inputs: int, outputs: int) -> str:
        """x @ w + b over the last axis."""
        product = self.node("MatMul", [x, self.weight(inputs, outputs, scale=inputs**-0.5)])
        return self.node("Add", [product, self.weight(outputs, scale=0.1)])

    def model(
        self, inputs: Sequence[tuple[str, int, Sequence[int]]], output: tuple[str, str, Sequence[int]]
    ) -> onnx.ModelProto:
        """`inputs`: name, element type, shape behind the batch axis; `output`: name, tensor it is, shape likewise."""
        name, tensor, shape = output
        self._nodes.append(helper.make_node("Identity", [tensor], [name]))
        graph = helper.make_graph(
            self._nodes,
            self.name,
            [helper.make_tensor_value_info(each, kind, ["N", *dims]) for each, kind, dims in inputs],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])],
            self._weights,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
