import json
from itertools import count

import numpy as np
import pytest

from despina.telemetry.tracing.text import render_groups
from despina.telemetry.tracing.trace import Trace
from despina.telemetry.tracing.values import LEVELS


def finished(group: list[Trace]) -> None:
    raise AssertionError("nobody closes here")


def test_timestamps_of_one_request_are_written_as_tritonserver_writes_them() -> None:
    trace = Trace(count(1), ("TIMESTAMPS",), finished)
    trace.stamp("HTTP_RECV_START", 10)
    trace.stamp("HTTP_RECV_END", 11)
    trace.start_request("dyn", 1, "req-1", 12)
    trace.tensor("TENSOR_QUEUE_INPUT", "X", "FP32", (1,), np.zeros(1, np.float32))
    trace.stamp("QUEUE_START", 13)
    assert render_groups([trace.group]) == (
        b'{"id":1,"timestamps":[{"name":"HTTP_RECV_START","ns":10}]},'
        b'{"id":1,"timestamps":[{"name":"HTTP_RECV_END","ns":11}]},'
        b'{"id":1,"model_name":"dyn","model_version":1,"request_id":"req-1"},'
        b'{"id":1,"timestamps":[{"name":"REQUEST_START","ns":12}]},'
        b'{"id":1,"timestamps":[{"name":"QUEUE_START","ns":13}]}'
    )


def test_tensors_of_one_request_are_written_without_its_name() -> None:
    trace = Trace(count(1), ("TENSORS",), finished)
    trace.start_request("plain", 1, "req-1", 1)
    trace.tensor("TENSOR_QUEUE_INPUT", "COST", "FP32", (1, 1), np.full((1, 1), 2, np.float32))
    trace.tensor("TENSOR_BACKEND_OUTPUT", "ROW", "INT32", (1, 1), np.zeros((1, 1), np.int32))
    assert render_groups([trace.group]) == (
        b'{"id":1,"activity":"TENSOR_QUEUE_INPUT",'
        b'"tensor":{"name":"COST","data":"2","shape":"1,1","dtype":"FP32"}},'
        b'{"id":1,"activity":"TENSOR_BACKEND_OUTPUT",'
        b'"tensor":{"name":"ROW","data":"0","shape":"1,1","dtype":"INT32"}}'
    )


def test_the_steps_of_an_ensemble_come_last_first_and_name_their_parent() -> None:
    root = Trace(count(1), ("TIMESTAMPS",), finished)
    root.start_request("ens", 1, "", 1)
    for step in ("add1", "mul2"):
        root.child().start_request(step, 1, "", 2)
    written = json.loads(b"[" + render_groups([root.group]) + b"]")
    assert [entry for entry in written if "model_name" in entry] == [
        {"id": 3, "model_name": "mul2", "model_version": 1, "parent_id": 1},
        {"id": 2, "model_name": "add1", "model_version": 1, "parent_id": 1},
        {"id": 1, "model_name": "ens", "model_version": 1},
    ]
    assert len(written) == 6


@pytest.mark.parametrize(
    ("datatype", "array", "data"),
    [
        ("BOOL", np.array([[True, False]]), "1,0"),
        ("UINT8", np.array([0, 65], np.uint8), "0,65"),
        ("INT64", np.array([-(2**63)]), "-9223372036854775808"),
        ("FP32", np.array([0.1, 1e10, 1234567], np.float32), "0.1,1e+10,1.23457e+06"),
        ("FP64", np.array([np.nan, -np.inf]), "nan,-inf"),
        ("FP16", np.array([1], np.float16), ""),
        ("BF16", np.array([1], np.uint16), ""),
        ("BYTES", np.array([b"a", b'"q"', b""], object), '"a",""q"",""'),
        ("FP32", np.array([], np.float32), ""),
    ],
)
def test_elements_are_separated_by_commas(datatype: str, array: np.ndarray, data: str) -> None:
    trace = Trace(count(1), LEVELS, finished)
    trace.tensor("TENSOR_QUEUE_INPUT", "X", datatype, array.shape, array)
    assert json.loads(render_groups([trace.group]))["tensor"]["data"] == data


def test_a_group_is_finished_with_its_root_and_not_with_a_step() -> None:
    groups: list[list[Trace]] = []
    root = Trace(count(1), LEVELS, groups.append)
    step = root.child()
    step.close()
    assert groups == []
    root.close()
    assert groups == [[root, step]]


def test_bytes_that_are_not_utf8_are_written_as_they_are() -> None:
    trace = Trace(count(1), LEVELS, finished)
    trace.tensor("TENSOR_QUEUE_INPUT", "X", "BYTES", (1,), np.array([b"\xff"], object))
    assert b'\\"\xff\\"' in render_groups([trace.group])


def test_a_tensor_is_kept_as_it_was() -> None:
    trace = Trace(count(1), LEVELS, finished)
    array = np.ones(2, np.int32)
    trace.tensor("TENSOR_QUEUE_INPUT", "X", "INT32", (2,), array)
    array[:] = 7
    assert b'"data":"1,1"' in render_groups([trace.group])
