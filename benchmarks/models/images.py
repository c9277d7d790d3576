"""ResNet-50 and DenseNet-121 as their papers draw them, batch normalisation folded into the convolutions; 224 x 224 x 3
in, 1000 logits out. 602,112 bytes per row in float32."""

import numpy as np
import numpy.typing as npt
import onnx

from benchmarks.models.graph import Graph

SIZE = 224
CLASSES = 1000
RESNET_STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
"""Width, blocks, stride of the first block."""
DENSENET_BLOCKS = (6, 12, 24, 16)
GROWTH = 32


def make_resnet50(dtype: str = "float32") -> onnx.ModelProto:
    graph = Graph("resnet50", dtype)
    x, channels = _stem(graph), 64
    for width, blocks, stride in RESNET_STAGES:
        for block in range(blocks):
            x = _bottleneck(graph, x, channels, width, stride if block == 0 else 1)
            channels = 4 * width
    return _classify(graph, x, channels)


def _bottleneck(graph: Graph, x: str, channels: int, width: int, stride: int) -> str:
    y = graph.node("Relu", [graph.conv(x, channels, width, 1)])
    y = graph.node("Relu", [graph.conv(y, width, width, 3, stride)])
    y = graph.conv(y, width, 4 * width, 1)
    if channels != 4 * width:
        x = graph.conv(x, channels, 4 * width, 1, stride)
    return graph.node("Relu", [graph.node("Add", [x, y])])


def make_densenet121(dtype: str = "float32") -> onnx.ModelProto:
    graph = Graph("densenet121", dtype)
    x, channels = _stem(graph), 64
    for number, layers in enumerate(DENSENET_BLOCKS):
        for _layer in range(layers):
            y = graph.node("Relu", [graph.conv(graph.node("Relu", [x]), channels, 4 * GROWTH, 1)])
            x = graph.node("Concat", [x, graph.conv(y, 4 * GROWTH, GROWTH, 3)], axis=1)
            channels += GROWTH
        if number < len(DENSENET_BLOCKS) - 1:
            x = graph.conv(graph.node("Relu", [x]), channels, channels // 2, 1)
            x = graph.node("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
            channels //= 2
    return _classify(graph, x, channels)


def _stem(graph: Graph) -> str:
    x = graph.node("Relu", [graph.conv("x", 3, 64, 7, 2)])
    return graph.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])


def _classify(graph: Graph, x: str, channels: int) -> onnx.ModelProto:
    x = graph.node("Flatten", [graph.node("GlobalAveragePool", [x])])
    return graph.model([("x", graph.dtype, [3, SIZE, SIZE])], ("y", graph.dense(x, channels, CLASSES), [CLASSES]))


def rows(count: int, dtype: str = "float32") -> dict[str, npt.NDArray[np.generic]]:
    """Images of blotches: noise alone would average out to the same answer for all."""
    rng = np.random.default_rng(1)
    blotches = rng.standard_normal((count, 3, 7, 7)).repeat(SIZE // 7, axis=2).repeat(SIZE // 7, axis=3)
    return {"x": (blotches + 0.1 * rng.standard_normal((count, 3, SIZE, SIZE))).astype(dtype)}
