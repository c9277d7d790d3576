"""Ensembles, the response cache, ragged batches and shape buckets of a server that runs, on small ONNX models."""

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper as h
from support.serving import serving

ADD = 'input { name: "X" data_type: TYPE_FP32 dims: 1 } output { name: "Y" data_type: TYPE_FP32 dims: 1 }'


def write(repository: Path, name: str, config: str, nodes: Any = (), inputs: Any = (), outputs: Any = ()) -> None:
    directory = repository / name / "1"
    directory.mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(config)
    if not nodes:
        return
    tensors = [
        [h.make_tensor_value_info(tensor, kind, shape) for tensor, kind, shape in tensors] for tensors in (inputs, outputs)
    ]
    constants = [
        h.make_tensor("one", T.FLOAT, [1], [1.0]),
        h.make_tensor("two", T.FLOAT, [1], [2.0]),
        h.make_tensor("axis", T.INT64, [1], [1]),
    ]
    used = {name for node in nodes for name in node.input}
    graph = h.make_graph(nodes, "g", *tensors, [constant for constant in constants if constant.name in used])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, str(directory / "model.onnx"))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repository")
    rows = [("X", T.FLOAT, ["n", 1])], [("Y", T.FLOAT, ["n", 1])]
    add = [h.make_node("Add", ["X", "one"], ["Y"])]
    labelled = ADD.replace('name: "Y"', 'name: "Y" label_filename: "labels.txt"')
    write(root, "add", f'backend: "onnxruntime" max_batch_size: 8 {labelled} dynamic_batching {{}}', add, *rows)
    (root / "add" / "labels.txt").write_text("only\n")
    steps = """
        ensemble_scheduling {
          step { model_name: "add" model_version: -1 input_map { key: "X" value: "X" } output_map { key: "Y" value: "t" } }
          step { model_name: "add" model_version: -1 input_map { key: "X" value: "t" } output_map { key: "Y" value: "Y" } }
        }"""
    write(root, "twice", f'platform: "ensemble" max_batch_size: 8 {ADD} {steps}')
    write(root, "cached_twice", f'platform: "ensemble" max_batch_size: 8 {ADD} response_cache {{ enable: true }} {steps}')
    write(
        root,
        "cached",
        'backend: "onnxruntime" max_batch_size: 8 response_cache { enable: true } '
        + ADD
        + ' output { name: "Z" data_type: TYPE_FP32 dims: 1 }',
        [*add, h.make_node("Mul", ["X", "two"], ["Z"])],
        rows[0],
        [*rows[1], ("Z", T.FLOAT, ["n", 1])],
    )
    write(
        root,
        "scattered",
        'backend: "onnxruntime" max_batch_size: 8 dynamic_batching { max_queue_delay_microseconds: 300000 '
        'preferred_batch_size: 3 } input { name: "X" data_type: TYPE_FP32 dims: -1 allow_ragged_batch: true } '
        'output { name: "Y" data_type: TYPE_FP32 dims: -1 } batch_output { target_name: "Y" source_input: "X" }',
        [h.make_node("Mul", ["X", "two"], ["Y"])],
        [("X", T.FLOAT, ["t"])],
        [("Y", T.FLOAT, ["t"])],
    )
    write(
        root,
        "bucketed",
        'backend: "onnxruntime" max_batch_size: 8 dynamic_batching { max_queue_delay_microseconds: 300000 '
        'preferred_batch_size: 3 } input { name: "X" data_type: TYPE_FP32 dims: -1 } '
        'output { name: "Y" data_type: TYPE_FP32 dims: -1 } output { name: "SUM" data_type: TYPE_FP32 dims: 1 } '
        'output { name: "WIDTH" data_type: TYPE_INT64 dims: 1 } '
        'parameters { key: "shape_bucket.X" value { string_value: "pad=100;sizes=4,8" } } '
        'parameters { key: "shape_bucket.X.mask_input" value { string_value: "MASK" } }',
        [
            h.make_node("Mul", ["X", "two"], ["Y"]),
            h.make_node("Mul", ["X", "MASK"], ["m"]),
            h.make_node("ReduceSum", ["m", "axis"], ["SUM"], keepdims=1),
            h.make_node("Shape", ["X"], ["w"], start=1, end=2),
            h.make_node("Mul", ["SUM", "zero"], ["z"]),
            h.make_node("Cast", ["z"], ["zi"], to=T.INT64),
            h.make_node("Add", ["zi", "w"], ["WIDTH"]),
            h.make_node("Constant", [], ["zero"], value=h.make_tensor("v", T.FLOAT, [1], [0.0])),
        ][::1][-1:]
        + [
            h.make_node("Mul", ["X", "two"], ["Y"]),
            h.make_node("Mul", ["X", "MASK"], ["m"]),
            h.make_node("ReduceSum", ["m", "axis"], ["SUM"], keepdims=1),
            h.make_node("Shape", ["X"], ["w"], start=1, end=2),
            h.make_node("Mul", ["SUM", "zero"], ["z"]),
            h.make_node("Cast", ["z"], ["zi"], to=T.INT64),
            h.make_node("Add", ["zi", "w"], ["WIDTH"]),
        ],
        [("X", T.FLOAT, ["n", "t"]), ("MASK", T.FLOAT, ["n", "t"])],
        [("Y", T.FLOAT, ["n", "t"]), ("SUM", T.FLOAT, ["n", 1]), ("WIDTH", T.INT64, ["n", 1])],
    )
    return root
