import json

import numpy as np
import pytest
from benchmarks.measurement import KINDS, Kind
from benchmarks.requests import http_request, infer_body, v2_answer, v2_body, v2_request
from benchmarks.workload import Workload


def a_workload() -> Workload:
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    return Workload("m", {"x": rows}, "y", rows * 2, 1e-6)


def test_a_request_is_complete_and_says_its_length() -> None:
    assert http_request("/p", {"A": "b"}, b"12345") == (
        b"POST /p HTTP/1.1\r\nHost: 127.0.0.1\r\nA: b\r\nContent-Length: 5\r\n\r\n12345"
    )


def test_binary_requests_carry_the_row_behind_the_json() -> None:
    head, headers, tail = v2_body(a_workload(), "binary", 1)
    assert headers == {"Inference-Header-Content-Length": str(len(head))}
    assert np.frombuffer(tail, np.float32).tolist() == [2.0, 3.0]
    assert json.loads(head)["inputs"] == [
        {"name": "x", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}
    ]


def test_json_requests_carry_the_row_in_the_json() -> None:
    head, _headers, tail = v2_body(a_workload(), "json", 2)
    told = json.loads(head)
    assert (told["inputs"][0]["data"], told["outputs"], tail) == ([4.0, 5.0], [{"name": "y"}], b"")


def test_strings_have_their_length_before_them() -> None:
    head, _headers, tail = infer_body({"s": np.array([["a", "bcd"]], object)}, "binary", {"id": "1"})
    assert tail == b"\1\0\0\0a\3\0\0\0bcd"
    assert json.loads(head) == {
        "inputs": [{"name": "s", "shape": [1, 2], "datatype": "BYTES", "parameters": {"binary_data_size": 12}}],
        "id": "1",
    }
    head, _headers, _tail = infer_body({"s": np.array([["a", "bcd"]], object)}, "json", {})
    assert json.loads(head)["inputs"][0]["data"] == ["a", "bcd"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_lies_elsewhere_is_not_sent(kind: Kind) -> None:
    inputs = {"a": np.ones((1, 2), np.float32), "b": np.ones((1, 2), np.float32)}
    head, _headers, tail = infer_body(inputs, kind, {}, places={"b": {"shared_memory_region": "r"}})
    first, second = json.loads(head)["inputs"]
    place = {"shared_memory_region": "r"}
    assert second == {"name": "b", "shape": [1, 2], "datatype": "FP32", "parameters": place}
    assert len(tail) == first.get("parameters", {}).get("binary_data_size", 0)


@pytest.mark.parametrize(("doubles", "said"), [(False, b"[0.1]"), (True, b"[0.10000000149011612]")])
def test_numbers_have_the_digits_of_their_datatype_or_those_of_doubles(doubles: bool, said: bytes) -> None:
    head, _headers, _tail = infer_body({"x": np.array([[0.1]], np.float32)}, "json", {}, doubles)
    assert b'"data":' + said in head


@pytest.mark.parametrize("kind", ["binary", "json"])
def test_every_row_has_a_request_of_its_own(kind: Kind) -> None:
    workload = a_workload()
    assert len({v2_request(workload, kind, row) for row in range(workload.rows)}) == 3


def test_an_answer_is_read_from_binary_and_from_json() -> None:
    workload = a_workload()
    head = b'{"outputs":[{"name":"y","shape":[1,2],"datatype":"FP32"}]}'
    tensor = np.array([[4, 6]], np.float32)
    headers = {"inference-header-content-length": str(len(head))}
    assert v2_answer(workload, headers, head + tensor.tobytes()).tolist() == [[4.0, 6.0]]
    text = b'{"outputs":[{"name":"y","shape":[1,2],"datatype":"FP32","data":[4,6]}]}'
    assert v2_answer(workload, {}, text).tolist() == [[4.0, 6.0]]


def test_an_answer_to_another_row_is_no_answer() -> None:
    workload = a_workload()
    answer = np.array([[4, 6]], np.float32)
    assert workload.is_answer(1, answer)
    assert not workload.is_answer(0, answer)


def test_an_answer_that_fits_two_rows_proves_nothing() -> None:
    rows = np.zeros((2, 1), np.float32)
    assert not Workload("m", {"x": rows}, "y", rows, 1e-6).is_answer(0, rows[:1])
