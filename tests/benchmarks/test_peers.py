import json

import numpy as np
import pytest
from benchmarks.peers.dialects import json_rows, raw_or_json_rows
from benchmarks.peers.tritonserver import config_text
from benchmarks.workload import Workload


def a_workload() -> Workload:
    rows = np.array([[1, 2], [3, 4]], np.float32)
    return Workload("m", {"x": rows}, "y", rows * 2, 1e-6)


@pytest.mark.parametrize(("nested", "sent"), [(True, [[3.0, 4.0]]), (False, [3.0, 4.0])])
def test_json_rows_are_sent_nested_or_flat(nested: bool, sent: list[object]) -> None:
    request = json_rows("/score", "data", "result", nested).render(a_workload(), "json", 1)
    head, _end, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /score HTTP/1.1\r\n")
    assert json.loads(body) == {"data": sent}


@pytest.mark.parametrize("body", [b'{"result":[[6,8]]}', b'{"result":[6,8]}'])
def test_json_answers_are_one_row_either_way(body: bytes) -> None:
    workload = a_workload()
    got = json_rows("/score", "data", "result", nested=True).read(workload, "json")({}, body)
    assert workload.is_answer(1, got)


def test_raw_rows_are_bytes_both_ways() -> None:
    workload = a_workload()
    dialect = raw_or_json_rows("/i", "input", "output")
    assert dialect.render(workload, "binary", 0).endswith(b"\r\n\r\n" + workload.inputs["x"][0].tobytes())
    answer = np.array([2, 4], np.float32).tobytes()
    assert workload.is_answer(0, dialect.read(workload, "binary")({}, answer))


def test_tritons_configuration_says_shapes_and_datatypes() -> None:
    text = config_text(a_workload())
    assert 'input [ { name: "x" data_type: TYPE_FP32 dims: [2] } ]' in text
    assert 'output [ { name: "y" data_type: TYPE_FP32 dims: [2] } ]' in text
