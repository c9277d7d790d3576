"""`bert`: an encoder of BERT-base's size, 12 layers of 768 with 12 heads and 3072 in between, on 128 token ids; the
first token's state comes out. Only its vocabulary is smaller."""

import numpy as np
import numpy.typing as npt
import onnx

from benchmarks.models.graph import Graph

LAYERS, WIDTH, HEADS, INNER, TOKENS, VOCABULARY = 12, 768, 12, 3072, 128, 4096


def make(dtype: str = "float32") -> onnx.ModelProto:
    graph = Graph("bert", dtype)
    words = graph.node("Gather", [graph.weight(VOCABULARY, WIDTH, scale=1.0), "ids"])
    x = _normalised(graph, graph.node("Add", [words, graph.weight(TOKENS, WIDTH, scale=0.5)]))
    for _layer in range(LAYERS):
        x = _normalised(graph, graph.node("Add", [x, _attention(graph, x)]))
        inner = graph.dense(_gelu(graph, graph.dense(x, WIDTH, INNER)), INNER, WIDTH)
        x = _normalised(graph, graph.node("Add", [x, inner]))
    first = graph.node("Gather", [x, graph.constant(np.array(0))], axis=1)
    return graph.model([("ids", "int64", [TOKENS])], ("y", first, [WIDTH]))


def _attention(graph: Graph, x: str) -> str:
    split = graph.constant(np.array([0, TOKENS, HEADS, WIDTH // HEADS]))
    joined = graph.constant(np.array([0, TOKENS, WIDTH]))

    def heads(order: list[int]) -> str:
        return graph.node("Transpose", [graph.node("Reshape", [graph.dense(x, WIDTH, WIDTH), split])], perm=order)

    scores = graph.node("MatMul", [heads([0, 2, 1, 3]), heads([0, 2, 3, 1])])
    scaled = graph.node("Mul", [scores, graph.constant(np.array((WIDTH // HEADS) ** -0.5, graph.dtype))])
    mixed = graph.node("MatMul", [graph.node("Softmax", [scaled], axis=-1), heads([0, 2, 1, 3])])
    together = graph.node("Reshape", [graph.node("Transpose", [mixed], perm=[0, 2, 1, 3]), joined])
    return graph.dense(together, WIDTH, WIDTH)


def _gelu(graph: Graph, x: str) -> str:
    half, one, root = (graph.constant(np.array(value, graph.dtype)) for value in (0.5, 1.0, 2**-0.5))
    erf = graph.node("Add", [graph.node("Erf", [graph.node("Mul", [x, root])]), one])
    return graph.node("Mul", [graph.node("Mul", [x, half]), erf])


def _normalised(graph: Graph, x: str) -> str:
    scale = graph.constant(np.ones(WIDTH, graph.dtype))
    return graph.node("LayerNormalization", [x, scale, graph.constant(np.zeros(WIDTH, graph.dtype))], axis=-1)


def rows(count: int) -> dict[str, npt.NDArray[np.generic]]:
    return {"ids": np.random.default_rng(1).integers(0, VOCABULARY, (count, TOKENS))}
