"""Models that compute nothing: `identity` gives back what it gets, `head` only the first 16 numbers of it. What is left
is the front end, with `head` the way in alone."""

import numpy as np
import numpy.typing as npt
import onnx

from benchmarks.models.graph import Graph

KEPT = 16


def make_identity(width: int) -> onnx.ModelProto:
    return Graph("identity").model([("x", "float32", [width])], ("y", "x", [width]))


def make_head(width: int) -> onnx.ModelProto:
    graph = Graph("head")
    bounds = [graph.constant(np.array([value])) for value in (0, KEPT, 1)]
    return graph.model([("x", "float32", [width])], ("y", graph.node("Slice", ["x", *bounds]), [KEPT]))


def rows(count: int, width: int) -> dict[str, npt.NDArray[np.generic]]:
    values = np.random.default_rng(1).standard_normal((count, width))
    return {"x": values.round(4).astype(np.float32)}
