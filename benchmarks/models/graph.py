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

ELEMENTS = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "int64": TensorProto.INT64}


class Graph:
    """A graph under construction, computing in `dtype`. Methods return the name of the tensor they add."""

    def __init__(self, name: str, dtype: str = "float32", seed: int = 0) -> None:
        self.name = name
        self.dtype = dtype
        self._rng = np.random.default_rng(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def constant(self, value: npt.NDArray[np.generic]) -> str:
        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(value, name))
        return name

    def weight(self, *shape: int, scale: float) -> str:
        """Normally distributed."""
        return self.constant((self._rng.standard_normal(shape) * scale).astype(self.dtype))

    def node(self, op: str, inputs: Sequence[str], **attributes: Any) -> str:
        name = f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def dense(self, x: str, inputs: int, outputs: int) -> str:
        """x @ w + b over the last axis."""
        product = self.node("MatMul", [x, self.weight(inputs, outputs, scale=inputs**-0.5)])
        return self.node("Add", [product, self.weight(outputs, scale=0.1)])

    def conv(self, x: str, inputs: int, outputs: int, size: int, stride: int = 1) -> str:
        """A convolution with bias, padded so that stride 1 keeps the size: what batch normalisation folds into."""
        scale = (inputs * size * size) ** -0.5
        weights = [self.weight(outputs, inputs, size, size, scale=scale), self.weight(outputs, scale=0.05)]
        return self.node(
            "Conv", [x, *weights], kernel_shape=[size, size], strides=[stride, stride], pads=[size // 2] * 4
        )

    def model(
        self, inputs: Sequence[tuple[str, str, Sequence[int]]], output: tuple[str, str, Sequence[int]]
    ) -> onnx.ModelProto:
        """`inputs`: name, dtype, shape behind the batch axis; `output`: name, the tensor it is, shape likewise."""
        name, tensor, shape = output
        self._nodes.append(helper.make_node("Identity", [tensor], [name]))
        graph = helper.make_graph(
            self._nodes,
            self.name,
            [helper.make_tensor_value_info(each, ELEMENTS[kind], ["N", *dims]) for each, kind, dims in inputs],
            [helper.make_tensor_value_info(name, ELEMENTS[self.dtype], ["N", *shape])],
            self._weights,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
