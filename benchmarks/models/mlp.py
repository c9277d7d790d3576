"""`mlp`: 256-1024-1024-16, three dense layers. So short that serving it measures the server."""

from itertools import pairwise

import onnx

from benchmarks.models.graph import Graph

WIDTHS = (256, 1024, 1024, 16)
WIDE = (256, 4096, 4096, 16)
"""`mlp_wide`: reading its weights once per batch costs more than computing a row, so batches pay."""


def make(widths: tuple[int, ...] = WIDTHS) -> onnx.ModelProto:
    graph = Graph("mlp")
    x = "x"
    for layer, (inputs, outputs) in enumerate(pairwise(widths)):
        x = graph.dense(x, inputs, outputs)
        if layer < len(widths) - 2:
            x = graph.node("Relu", [x])
    return graph.model([("x", "float32", [widths[0]])], ("y", x, [widths[-1]]))
