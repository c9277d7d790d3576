"""Infer requests that front ends pass on as they came: the owner's reply to them, through any front end."""

import gzip
import http.client
import json
import time
from collections.abc import Iterator
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.front_ends import Serving, as_binary, as_json, post, server

SEQUENCES = """
backend: "identity"
max_batch_size: 4
sequence_batching { direct { } max_sequence_idle_microseconds: 60000000 }
input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ 2 ] } ]
output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 2 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""
VALUES = {"INPUT0": ("FP32", [1, 2], [0.5, 2.0])}
LARGE = 300_000
"""Numbers, of which a reply is not sent in one piece with its message."""


@pytest.fixture
def serving(repository: Path) -> Iterator[Serving]:
    (repository / "sequences" / "1").mkdir(parents=True)
    (repository / "sequences" / "config.pbtxt").write_text('name: "sequences"\n' + SEQUENCES)
    with server(repository, ["--allow-client-shm=true"]) as serving:
        yield serving


@pytest.fixture
def segment() -> Iterator[SharedMemory]:
    made = SharedMemory(create=True, size=4 * LARGE)
    yield made
    made.close()
    made.unlink()


def infer(
    connection: http.client.HTTPConnection, model: str, body: bytes, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer."""
    connection.request("POST", f"/v2/models/{model}/infer", body, headers or {})
    response = connection.getresponse()
    answer = response.read()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, answer


def sockets_of(serving: Serving) -> int:
    """Those that the owner has open."""
    descriptors = Path(f"/proc/{serving.process.pid}/fd").iterdir()
    return sum(str(descriptor.readlink()).startswith("socket:") for descriptor in descriptors)


def of_sequence(number: int, **flags: bool) -> bytes:
    return as_json(VALUES, parameters={"sequence_id": number, **flags})


def placed(name: str, count: int, **more: Any) -> dict[str, Any]:
    there = {"shared_memory_region": "region", "shared_memory_byte_size": 4 * count}
    return {"name": name, "parameters": there, **more}


def register(serving: Serving, segment: SharedMemory) -> None:
    key = json.dumps({"key": f"/{segment.name}", "byte_size": 4 * LARGE}).encode()
    assert serving.ask("POST", "/v2/systemsharedmemory/region/region/register", key)[0] == 200


def test_a_sequence_goes_on_through_another_front_end(serving: Serving) -> None:
    first, second = serving.connections_to_both()
    for number in range(1, 4):
        assert infer(first, "sequences", of_sequence(number, sequence_start=True))[0] == 200
        status, _, answer = infer(second, "sequences", of_sequence(number))
        assert (status, json.loads(answer)["outputs"][0]["data"]) == (200, [0.5, 2.0])
        assert infer(first, "sequences", of_sequence(number, sequence_end=True))[0] == 200
        status, _, answer = infer(second, "sequences", of_sequence(number))
        assert status == 400
        assert b"must specify the START flag on the first request of the sequence" in answer
    status, _, answer = infer(first, "sequences", as_json(VALUES))
    assert status == 400
    assert b"must specify a non-zero or non-empty correlation ID" in answer


def test_tensors_in_shared_memory_are_read_and_written(serving: Serving, segment: SharedMemory) -> None:
    register(serving, segment)
    numbers = np.ndarray(4, "<f4", segment.buf)
    there = placed("OUTPUT0", 2)
    there["parameters"]["shared_memory_offset"] = 8
    body = json.dumps({"inputs": [placed("INPUT0", 2, datatype="FP32", shape=[1, 2])], "outputs": [there]}).encode()
    for round_number in range(3):
        for connection in serving.connections_to_both():
            numbers[:] = [round_number, 7, 0, 0]
            status, _, answer = infer(connection, "quick", body)
            assert status == 200
            assert "data" not in json.loads(answer)["outputs"][0]
            assert numbers.tolist() == [round_number, 7, round_number, 7]
    assert serving.ask("POST", "/v2/systemsharedmemory/unregister", b"")[0] == 200
    for connection in serving.connections_to_both():
        status, _, answer = infer(connection, "quick", body)
        assert (status, answer) == (404, b'{"error":"Unable to find shared memory region: \'region\'"}')


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_large_replies_come_whole(serving: Serving, segment: SharedMemory, encoding: str) -> None:
    register(serving, segment)
    np.ndarray(LARGE, "<f4", segment.buf)[:] = np.arange(LARGE)
    inputs = [placed("INPUT0", LARGE, datatype="FP32", shape=[1, LARGE])]
    body = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    for connection in serving.connections_to_both():
        for _ in range(3):
            status, headers, answer = infer(connection, "quick", body, {"Accept-Encoding": encoding})
            assert (status, headers.get("content-encoding", "")) == (200, encoding)
            answer = gzip.decompress(answer) if encoding else answer
            assert answer[int(headers["inference-header-content-length"]) :] == segment.buf[: 4 * LARGE]


def test_they_need_no_connection_to_the_application(serving: Serving, segment: SharedMemory) -> None:
    register(serving, segment)
    connections = serving.connections_to_both()
    for connection in connections:
        post(connection, "quick", as_json(VALUES))
    before = sockets_of(serving)
    classes = [{"name": "OUTPUT0", "parameters": {"classification": 1}}]
    inputs = [placed("INPUT0", 2, datatype="FP32", shape=[1, 2])]
    for connection in connections:
        assert infer(connection, "sequences", of_sequence(1, sequence_start=True, sequence_end=True))[0] == 200
        assert infer(connection, "quick", json.dumps({"inputs": inputs}).encode())[0] == 200
        assert infer(connection, "nobody", as_json(VALUES))[0] == 404
        assert infer(connection, "quick", b"wrong")[0] == 500
        told = [infer(connection, "quick", as_json(VALUES, outputs=classes, id="a")) for _ in range(3)]
        assert {json.loads(answer)["outputs"][0]["data"][0] for _, _, answer in told} == {"2.000000:1"}
        explained = post(connection, "quick", as_json(VALUES, parameters={"despina_explain": True}))
        assert json.loads(explained)["parameters"]["batch_rows"] == 1
    assert sockets_of(serving) == before


def test_a_large_request_of_a_sequence_is_answered_all_the_same(serving: Serving) -> None:
    body, json_length = as_binary({"INPUT0": ("FP32", [1, 100_000], bytes(400_000))})
    headers = {"Inference-Header-Content-Length": str(json_length)}
    for connection in serving.connections_to_both():
        status, _, answer = infer(connection, "sequences", body, headers)
        assert status == 400
        assert b"unexpected shape for input 'INPUT0' for model 'sequences'" in answer


def test_those_whose_clients_have_gone_do_not_run(serving: Serving) -> None:
    body = as_json(VALUES, parameters={"despina_explain": True})
    for _ in range(3):
        for connection in serving.connections_to_both():
            connection.request("POST", "/v2/models/slow/infer", body)
    time.sleep(0.2)  # two of them run, and the others wait
    serving.hang_up()
    connection, _ = serving.connections_to_both()
    assert infer(connection, "slow", body)[0] == 200
    statistics = json.loads(serving.ask("GET", "/v2/models/slow/stats")[1])["model_stats"][0]
    assert statistics["inference_count"] == 3
