"""Shared memory over HTTP, with segments of this process."""

import asyncio
import ctypes
import json
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPResponse
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.asking import ask, ask_json
from tests.support.serving import REPOSITORY, serving

from despina.scheduling.clock import LoopClock
from despina.server import Server
from despina.settings import Settings
from despina_backends.onnxruntime.recording import GATE

MODELS = ("identity_fp32_nb", "identity_bytes", "add_sub_int32")
FLAGS = ["--model-control-mode=explicit", *(f"--load-model={model}" for model in MODELS)]
SYSTEM = "/v2/systemsharedmemory"
PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving(REPOSITORY, [*FLAGS, "--allow-client-shm=true"]) as port:
        yield port


@pytest.fixture
def segment() -> Iterator[SharedMemory]:
    made = SharedMemory(create=True, size=4 * PAGE)
    yield made
    made.close()
    made.unlink()


def register(port: int, segment: SharedMemory, name: str, offset: int = 0, byte_size: int = 4 * PAGE) -> None:
    ask_json(port, "POST", f"{SYSTEM}/unregister")
    key = {"key": f"/{segment.name}", "offset": offset, "byte_size": byte_size}
    assert ask_json(port, "POST", f"{SYSTEM}/region/{name}/register", key) == (200, None)


def place(region: str, offset: int, byte_size: int) -> dict[str, Any]:
    return {
        "shared_memory_region": region,
        "shared_memory_offset": offset,
        "shared_memory_byte_size": byte_size,
    }


def infer(port: int, source: dict[str, Any], target: dict[str, Any], count: int) -> tuple[int, Any]:
    document = {
        "inputs": [{"name": "INPUT0", "shape": [count], "datatype": "FP32", "parameters": source}],
        "outputs": [{"name": "OUTPUT0", "parameters": target}],
    }
    return ask_json(port, "POST", "/v2/models/identity_fp32_nb/infer", document)


def test_a_tensor_goes_from_memory_to_memory(port: int, segment: SharedMemory) -> None:
    values = np.ndarray(4 * PAGE // 4, "<f4", segment.buf)
    values[:] = 0
    values[PAGE // 4 : PAGE // 4 + 3] = [1, 2, 3]
    register(port, segment, "r", PAGE, 2 * PAGE)
    for _ in range(3):
        values[PAGE // 4] += 1
        status, answer = infer(port, place("r", 0, 12), place("r", PAGE, 64), 3)
        assert (status, answer["outputs"]) == (200, [{"name": "OUTPUT0", "datatype": "FP32", "shape": [3]}])
        assert values[2 * PAGE // 4 : 2 * PAGE // 4 + 4].tolist() == [values[PAGE // 4], 2, 3, 0]
    del values


def test_a_region_has_the_name_that_was_received_and_is_found_by_the_one_meant(
    port: int, segment: SharedMemory
) -> None:
    register(port, segment, "my%20region")
    status, listed = ask_json(port, "GET", f"{SYSTEM}/region/my%20region/status")
    assert (status, listed[0]["name"]) == (200, "my%20region")
    for name in ("my%20region", "my region", "my region\0x"):
        status, _ = infer(port, place(name, 0, 12), {"binary_data": False}, 3)
        assert status == 200
    status, answer = infer(port, place("my  region\0x", 0, 12), {"binary_data": False}, 3)
    assert (status, answer["error"]) == (404, "Unable to find shared memory region: 'my  region'")


def test_a_key_ends_at_a_nul(port: int, segment: SharedMemory) -> None:
    ask_json(port, "POST", f"{SYSTEM}/unregister")
    document = {"key": f"/{segment.name}\0x", "byte_size": 8}
    assert ask_json(port, "POST", f"{SYSTEM}/region/r/register", document) == (200, None)
    assert ask_json(port, "GET", f"{SYSTEM}/region/r/status")[1][0]["key"] == f"/{segment.name}"


def test_outputs_of_repeated_requests_go_to_memory_each_time(port: int, segment: SharedMemory) -> None:
    register(port, segment, "r")
    values = np.ndarray(3, "<f4", segment.buf)
    for number in range(3):
        tensor = {"name": "INPUT0", "shape": [3], "datatype": "FP32", "data": [number, 2, 3]}
        document = {"inputs": [tensor], "outputs": [{"name": "OUTPUT0", "parameters": place("r", 0, 12)}]}
        status, answer = ask_json(port, "POST", "/v2/models/identity_fp32_nb/infer", document)
        assert (status, answer["outputs"]) == (200, [{"name": "OUTPUT0", "datatype": "FP32", "shape": [3]}])
        assert values.tolist() == [number, 2, 3]
    del values


def test_repeated_requests_look_for_their_region_each_time(port: int, segment: SharedMemory) -> None:
    values = np.ndarray(4 * PAGE // 4, "<f4", segment.buf)
    values[:] = np.arange(values.size)
    for first_page in (0, 1, 0):
        register(port, segment, "r", first_page * PAGE, 2 * PAGE)
        first = first_page * PAGE // 4
        for _ in range(3):
            values[first + 20] = 0
            assert infer(port, place("r", 4, 12), place("r", 80, 64), 3)[0] == 200
            assert values[first + 20 : first + 23].tolist() == values[first + 1 : first + 4].tolist()
        assert infer(port, place("r", 4, 12), place("r", 8192, 64), 3)[0] == 400
        ask_json(port, "POST", f"{SYSTEM}/unregister")
        for _ in range(2):
            missing = infer(port, place("r", 4, 12), place("r", 80, 64), 3)
            assert missing == (404, {"error": "Unable to find shared memory region: 'r'"})
    del values


def test_an_output_in_memory_stays_out_of_replies_that_are_composed_anew(port: int, segment: SharedMemory) -> None:
    register(port, segment, "r")
    values = np.ndarray(16, "<i4", segment.buf)
    inputs = [{"name": f"INPUT{n}", "shape": [1, 16], "datatype": "INT32", "data": [*range(16)]} for n in range(2)]
    classes = {"name": "OUTPUT1", "parameters": {"classification": 1}}
    document = {"inputs": inputs, "outputs": [{"name": "OUTPUT0", "parameters": place("r", 0, 64)}, classes]}
    for _ in range(3):
        values[:] = -1
        status, answer = ask_json(port, "POST", "/v2/models/add_sub_int32/infer", document)
        placed, classified = answer["outputs"]
        assert (status, placed) == (200, {"name": "OUTPUT0", "datatype": "INT32", "shape": [1, 16]})
        assert values.tolist() == [2 * number for number in range(16)]
        assert classified["datatype"] == "BYTES"
    del values


@contextmanager
def one_connection(port: int) -> Iterator[Callable[[dict[str, Any]], tuple[int, Any]]]:
    """Sends requests in one piece each, all on the same connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:

        def infer(document: dict[str, Any]) -> tuple[int, Any]:
            body = json.dumps(document)
            head = f"POST /v2/models/identity_fp32_nb/infer HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall((head + body).encode())
            response = HTTPResponse(connection)
            response.begin()
            return response.status, json.loads(response.read())

        yield infer


@pytest.mark.parametrize("source", ["memory", "JSON"])
def test_what_a_connection_repeats_looks_for_its_region_each_time(
    port: int, segment: SharedMemory, source: str
) -> None:
    values = np.ndarray(4 * PAGE // 4, "<f4", segment.buf)
    values[:] = np.arange(values.size)
    there = {"parameters": place("in", 4, 12)} if source == "memory" else {"data": [7, 8, 9]}
    document = {
        "inputs": [{"name": "INPUT0", "shape": [3], "datatype": "FP32", **there}],
        "outputs": [{"name": "OUTPUT0", "parameters": place("out", 80, 16)}],
    }
    with one_connection(port) as ask:
        for page in (0, 2, 0):
            register(port, segment, "in", page * PAGE, 2 * PAGE)
            key = {"key": f"/{segment.name}", "offset": page * PAGE, "byte_size": 2 * PAGE}
            ask_json(port, "POST", f"{SYSTEM}/region/out/register", key)
            begin = page * PAGE // 4
            expected = values[begin + 1 : begin + 4].tolist() if source == "memory" else [7, 8, 9]
            for _ in range(3):
                values[begin + 20 : begin + 24] = 0
                status, answer = ask(document)
                assert (status, answer["outputs"]) == (200, [{"name": "OUTPUT0", "datatype": "FP32", "shape": [3]}])
                assert values[begin + 20 : begin + 24].tolist() == [*expected, 0]
            ask_json(port, "POST", f"{SYSTEM}/region/out/unregister")
            for _ in range(2):
                assert ask(document) == (404, {"error": "Unable to find shared memory region: 'out'"})
    del values


def test_a_tensor_may_take_all_of_a_region(port: int, segment: SharedMemory) -> None:
    register(port, segment, "r", 0, 12)
    assert infer(port, place("r", 0, 12), place("r", 0, 12), 3)[0] == 200
    status, answer = infer(port, place("r", 0, 12), place("r", 0, 11), 3)
    assert (status, "should be at least 12 bytes to hold the results" in answer["error"]) == (500, True)


def test_an_answer_without_room_counts_as_failed_inference(port: int, segment: SharedMemory) -> None:
    def counts() -> tuple[int, ...]:
        (model,) = ask_json(port, "GET", "/v2/models/identity_fp32_nb/stats")[1]["model_stats"]
        times = model["inference_stats"]
        counted = [times[name]["count"] for name in ("success", "fail", "queue", "compute_infer")]
        return model["inference_count"], model["execution_count"], *counted

    register(port, segment, "r", 0, 12)
    before = counts()
    assert infer(port, place("r", 0, 12), place("r", 0, 12), 3)[0] == 200
    assert infer(port, place("r", 0, 12), place("r", 0, 11), 3)[0] == 500
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [1, 2, 1, 1, 1, 1]


def test_a_segment_truncated_after_registration_fails_the_request_only(port: int, segment: SharedMemory) -> None:
    register(port, segment, "r")
    os.truncate(f"/dev/shm/{segment.name}", PAGE)
    gone = f"shared memory '/{segment.name}' has shrunk since it was registered: expected"
    status, answer = infer(port, place("r", 2 * PAGE, 12), place("r", 0, 12), 3)
    assert (status, answer["error"]) == (400, f"{gone} {2 * PAGE + 12} bytes, got {PAGE}")
    status, answer = infer(port, place("r", 0, 12), place("r", 2 * PAGE, 12), 3)
    assert (status, answer["error"]) == (400, f"{gone} {2 * PAGE + 12} bytes, got {PAGE}")
    assert infer(port, place("r", 0, 12), place("r", 16, 12), 3)[0] == 200


def test_strings_are_read_in_their_binary_form(port: int, segment: SharedMemory) -> None:
    segment.buf[:7] = b"\3\0\0\0abc"
    register(port, segment, "r")
    document = {"inputs": [{"name": "INPUT0", "shape": [1, 1], "datatype": "BYTES", "parameters": place("r", 0, 7)}]}
    _, metadata = ask_json(port, "GET", "/v2/models/identity_bytes")
    document["inputs"][0]["shape"] = [1] * len(metadata["inputs"][0]["shape"])
    status, answer = ask_json(port, "POST", "/v2/models/identity_bytes/infer", document)
    assert (status, answer["outputs"][0]["data"]) == (200, ["abc"])


def test_outputs_of_repeated_texts_go_to_memory_each_time(port: int, segment: SharedMemory) -> None:
    register(port, segment, "r")
    for text in (b"a", b"bc", b"def"):
        data = len(text).to_bytes(4, "little") + text
        size = {"binary_data_size": len(data)}
        document = {
            "inputs": [{"name": "INPUT0", "shape": [1, 1], "datatype": "BYTES", "parameters": size}],
            "outputs": [{"name": "OUTPUT0", "parameters": place("r", 0, 16)}],
        }
        head = json.dumps(document).encode()
        headers = {"Inference-Header-Content-Length": str(len(head))}
        answer = ask(port, "POST", "/v2/models/identity_bytes/infer", head + data, headers)
        outputs = json.loads(answer.body)["outputs"]
        assert outputs == [{"name": "OUTPUT0", "datatype": "BYTES", "shape": [1, 1]}]
        assert segment.buf[: len(data)] == data


def test_an_unregistered_region_is_gone_for_the_next_request(port: int, segment: SharedMemory) -> None:
    register(port, segment, "r")
    assert infer(port, place("r", 0, 12), place("r", 0, 12), 3)[0] == 200
    assert ask_json(port, "POST", f"{SYSTEM}/region/r/unregister") == (200, None)
    answer = (404, {"error": "Unable to find shared memory region: 'r'"})
    assert infer(port, place("r", 0, 12), place("r", 0, 12), 3) == answer


@pytest.mark.parametrize(
    ("path", "document", "status", "text"),
    [
        (
            f"{SYSTEM}/register",
            {},
            400,
            "'region name' is necessary to register system shared memory region",
        ),
        (f"{SYSTEM}/region/r/register", {}, 400, "Shared memory register request has no 'key' field"),
        (f"{SYSTEM}/region/r/register", [], 400, "Shared memory register request has no 'key' field"),
        (
            f"{SYSTEM}/region/r/register",
            {"key": "/k"},
            400,
            "Shared memory register request has no 'byte_size' field",
        ),
        (
            f"{SYSTEM}/region/r/register",
            {"key": "/k", "offset": -1},
            500,
            "attempt to access JSON non-unsigned-integer as unsigned-integer",
        ),
        (
            "/v2/cudasharedmemory/register",
            {},
            400,
            "'region name' is necessary to register cuda shared memory region",
        ),
        (
            "/v2/cudasharedmemory/region/g/register",
            {},
            400,
            "Shared memory register request has no 'raw_handle' field",
        ),
        (
            "/v2/cudasharedmemory/region/g/register",
            {"raw_handle": {"b64": ""}},
            500,
            "attempt to access non-existing object member 'byte_size'",
        ),
    ],
)
def test_registrations_are_checked_in_order(port: int, path: str, document: Any, status: int, text: str) -> None:
    assert ask_json(port, "POST", path, document) == (status, {"error": text})


def test_without_the_flag_clients_cannot_register() -> None:
    disabled = {"error": "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable."}
    with serving(REPOSITORY, FLAGS) as port:
        for family in ("systemsharedmemory", "cudasharedmemory"):
            assert ask_json(port, "POST", f"/v2/{family}/register", {}) == (501, disabled)
            assert ask_json(port, "POST", f"/v2/{family}/region/r/register", {}) == (501, disabled)
            assert ask_json(port, "POST", f"/v2/{family}/unregister") == (501, disabled)
            assert ask_json(port, "GET", f"/v2/{family}/status") == (200, [])


def test_memory_of_gpus_is_copied_apart_from_recordings_of_graphs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cuda:
        """A driver with one GPU."""

        def __init__(self) -> None:
            self.apart: list[bool] = []

        def __getattr__(self, name: str) -> Callable[..., int]:
            return lambda *_: 0

        def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
            count._obj.value = 1
            return 0

        def cuMemGetAddressRange_v2(self, _base: Any, size: Any, _address: Any) -> int:  # noqa: N802
            size._obj.value = 8
            return 0

        def cuMemcpyDtoH_v2(self, *_: object) -> int:  # noqa: N802
            with ThreadPoolExecutor(1) as elsewhere:
                self.apart.append(not elsewhere.submit(GATE.transfers.acquire, blocking=False).result())
            return 0

    async def start() -> Server:
        clock = LoopClock(asyncio.get_running_loop())
        return Server(Settings(model_repository=(tmp_path,), allow_metrics=False), clock)

    cuda = Cuda()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: cuda)
    regions = asyncio.run(start()).shared_memory
    regions.register_cuda("g", b"h" * 64, 0, 8)
    assert bytes(regions.find("g", 0, 8).read()) == bytes(8)
    assert cuda.apart == [True]
