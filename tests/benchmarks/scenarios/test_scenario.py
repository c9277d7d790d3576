import gzip
import json
from typing import Any

import numpy as np
import pytest
from benchmarks.scenarios.scenario import Ask, Infer, Scenario, values


def parts(request: bytes) -> tuple[list[str], bytes]:
    head, _end, body = request.partition(b"\r\n\r\n")
    return head.decode().split("\r\n"), body


def first(asked: Infer, kind: Any = "json") -> tuple[list[str], dict[str, Any]]:
    head, body = parts(next(asked.exchanges(kind)).request)
    return head, json.loads(body)


def test_json_carries_the_tensor_that_is_expected_back() -> None:
    exchange = next(Infer("fp32", 3).exchanges("json"))
    told = json.loads(parts(exchange.request)[1])
    expected = exchange.outputs["OUT0"]
    assert told["inputs"] == [{"name": "IN0", "shape": [1, 3], "datatype": "FP32", "data": expected.ravel().tolist()}]
    assert told["outputs"] == [{"name": "OUT0"}]


def test_every_tensor_and_every_request_has_numbers_of_its_own() -> None:
    exchanges = list(Infer("eight", 2, rows=3, count=2).exchanges("binary"))
    tensors = [tensor.tobytes() for exchange in exchanges for tensor in exchange.outputs.values()]
    assert len(set(tensors)) == 16
    assert {tensor.shape for tensor in exchanges[0].outputs.values()} == {(3, 2)}


def test_the_answer_may_be_wanted_in_the_other_form() -> None:
    _head, told = first(Infer("fp32", got="binary"))
    assert told["outputs"] == [{"name": "OUT0", "parameters": {"binary_data": True}}]


def test_what_is_said_beside_the_tensors_is_there() -> None:
    head, told = first(
        Infer(
            "fp32",
            classes=5,
            fields={"parameters": {"a": 1}},
            numbered=lambda n: {"id": f"{n}"},
            headers=lambda number: {"X": "y"},
        )
    )
    assert told["outputs"] == [{"name": "OUT0", "parameters": {"classification": 5}}]
    assert (told["parameters"], told["id"]) == ({"a": 1}, "0")
    assert "X: y" in head


def test_outputs_need_not_be_named() -> None:
    _head, told = first(Infer("fp32", named=False))
    assert "outputs" not in told


def test_a_zipped_body_is_that_of_the_plain_request() -> None:
    plain, zipped = (parts(next(Infer("fp32", gzipped=each).exchanges("binary")).request) for each in (False, True))
    assert gzip.decompress(zipped[1]) == plain[1]
    assert "Content-Encoding: gzip" in zipped[0]
    assert f"Content-Length: {len(zipped[1])}" in zipped[0]


def test_a_chunked_body_is_that_of_the_plain_request() -> None:
    plain, chunked = (parts(next(Infer("fp32", chunked=each).exchanges("binary")).request) for each in (False, True))
    assert chunked[1] == b"%x\r\n%b\r\n0\r\n\r\n" % (len(plain[1]), plain[1])
    assert "Transfer-Encoding: chunked" in chunked[0]
    assert not any(line.startswith("Content-Length") for line in chunked[0])


def test_in_shared_memory_every_tensor_of_every_request_has_a_place_of_its_own() -> None:
    exchanges = list(Infer("eight", 3, rows=2, count=2, shared=("IN", "OUT")).exchanges("json"))
    begins = [offset for exchange in exchanges for offset in exchange.shared.values()]
    assert begins == list(range(0, 2 * 16 * 24, 24))
    head, body = parts(exchanges[1].request)
    told = json.loads(body)
    place = {"shared_memory_region": "scenarios", "shared_memory_byte_size": 24, "shared_memory_offset": 16 * 24}
    assert "Content-Type: application/json" in head
    assert told["inputs"][0] == {"name": "IN0", "shape": [2, 3], "datatype": "FP32", "parameters": place}
    assert told["outputs"][0] == {"name": "OUT0", "parameters": {**place, "shared_memory_offset": 24 * 24}}


def test_outputs_come_back_where_only_inputs_are_in_shared_memory() -> None:
    exchange = next(Infer("fp32", 3, got="binary", shared=("IN",)).exchanges("json"))
    told = json.loads(parts(exchange.request)[1])
    assert exchange.shared == {"IN0": 0}
    assert told["outputs"] == [{"name": "OUT0", "parameters": {"binary_data": True}}]


def test_requests_without_a_body() -> None:
    (get,) = Ask("/v2").exchanges("json")
    assert get.request == b"GET /v2 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    (post,) = Ask("/i", "POST", compared=False).exchanges("json")
    assert post.request == b"POST /i HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n"
    assert (get.compared, post.compared) == (True, False)


def test_all_that_is_asked_is_sent_in_order() -> None:
    scenario = Scenario("s", "json", [Infer("int64", count=2), Ask("/v2")])
    lines = [parts(exchange.request)[0][0] for exchange in scenario.exchanges()]
    assert lines == ["POST /v2/models/int64/infer HTTP/1.1"] * 2 + ["GET /v2 HTTP/1.1"]


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "uint8", "bool", "object"])
def test_values_are_of_the_datatype(dtype: str) -> None:
    got = values(np.random.default_rng(0), dtype, (2, 3))
    assert (got.dtype, got.shape) == (np.dtype(dtype), (2, 3))
