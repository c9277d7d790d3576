"""`mlp`: 256-1024-1024-16, three dense layers. So short that serving it measures the server."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import onnx

from benchmarks.models.graph import Graph

WIDTHS = (256, 1024, 1024, 16)


def make() -> onnx.ModelProto:
    graph = Graph("mlp")
    x = "x"
    for layer, (inputs, outputs) in enumerate(pairwise(WIDTHS)):
        x = graph.dense(x, inputs, outputs)
        if layer < len(WIDTHS) - 2:
            x = graph.node("Relu", [x])
    return graph.model([("x", "float32", [WIDTHS[0]])], ("y", x, [WIDTHS[-1]]))


def rows(count: int) -> dict[str, npt.NDArray[np.generic]]:
    """Rows of few digits, as features are."""
    values = np.random.default_rng(1).standard_normal((count, WIDTHS[0]))
    return {"x": values.round(4).astype(np.float32)}
