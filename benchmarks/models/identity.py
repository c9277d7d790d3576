"""`identity`: 256 numbers in, the same out. What is left is the front end."""

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from benchmarks.models.graph import Graph

WIDTH = 256


def make() -> onnx.ModelProto:
    return Graph("identity").model([("x", TensorProto.FLOAT, [WIDTH])], ("y", "x", [WIDTH]))


def rows(count: int) -> dict[str, npt.NDArray[np.generic]]:
    values = np.random.default_rng(1).standard_normal((count, WIDTH))
    return {"x": values.round(4).astype(np.float32)}
