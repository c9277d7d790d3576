import ctypes
import json
from typing import Any

import numpy as np
import pytest
from benchmarks.gpu_box.regions import content, cuda_region, offsets, shared_request, system_region
from benchmarks.shared_memory import SHARED
from benchmarks.workload import Workload

ROWS = {"a": np.arange(6, dtype=np.float16).reshape(3, 2), "b": np.arange(3, dtype=np.int64).reshape(3, 1)}
WORKLOAD = Workload("m", ROWS, "y", np.zeros((3, 1), np.float32), 0.1)


class FakeCudart:
    """Host memory stands in for the GPU's."""

    def __init__(self) -> None:
        self.memory = b""
        self.freed = False

    def cudaMalloc(self, address: Any, size: Any) -> int:  # noqa: N802
        address._obj.value = 4096
        return 0

    def cudaMemcpy(self, target: Any, source: bytes, size: Any, kind: int) -> int:  # noqa: N802
        assert (target.value, size.value, kind) == (4096, len(source), 1)
        self.memory = source
        return 0

    def cudaIpcGetMemHandle(self, handle: Any, address: Any) -> int:  # noqa: N802
        ctypes.memmove(handle, b"h" * 64, 64)
        return 0

    def cudaFree(self, address: Any) -> int:  # noqa: N802
        self.freed = True
        return 0


def test_inputs_lie_one_behind_the_other() -> None:
    assert offsets(WORKLOAD) == {"a": 0, "b": 12}
    assert content(WORKLOAD) == ROWS["a"].tobytes() + ROWS["b"].tobytes()


def test_a_request_points_at_its_row() -> None:
    head, _, body = shared_request(WORKLOAD, "binary", 2).partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v2/models/m/infer HTTP/1.1")
    inputs = {each["name"]: each for each in json.loads(body)["inputs"]}
    place = inputs["a"]["parameters"]
    assert (inputs["a"]["shape"], inputs["a"]["datatype"]) == ([1, 2], "FP16")
    assert (place["shared_memory_offset"], place["shared_memory_byte_size"]) == (8, 4)
    assert content(WORKLOAD)[8:12] == ROWS["a"][2].tobytes()
    assert inputs["b"]["parameters"]["shared_memory_offset"] == 12 + 2 * 8


def test_a_system_region_is_registered_while_it_is_there(posts: tuple[int, list[tuple[str, Any]]]) -> None:
    port, seen = posts
    with system_region(port, WORKLOAD):
        path, document = seen[0]
        file = SHARED / document["key"].removeprefix("/")
        assert file.read_bytes() == content(WORKLOAD)
        assert (path, document["byte_size"]) == ("/v2/systemsharedmemory/region/rows/register", 36)
    assert not file.exists()
    assert seen[1:] == [("/v2/systemsharedmemory/region/rows/unregister", None)]


def test_a_cuda_region_is_registered_by_its_handle_and_freed(posts: tuple[int, list[tuple[str, Any]]]) -> None:
    port, seen = posts
    cudart = FakeCudart()
    with cuda_region(port, WORKLOAD, cudart):
        assert cudart.memory == content(WORKLOAD)
        assert not cudart.freed
    assert cudart.freed
    assert seen[0][1] == {"raw_handle": {"b64": "aGho" * 21 + "aA=="}, "device_id": 0, "byte_size": 36}


def test_a_refused_call_is_an_error() -> None:
    cudart = FakeCudart()
    cudart.cudaMalloc = lambda address, size: 2  # type: ignore[method-assign]
    with pytest.raises(OSError, match="cudaMalloc returned 2"), cuda_region(1, WORKLOAD, cudart):
        pass
