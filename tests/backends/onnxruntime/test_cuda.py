import ctypes
from typing import Any

import numpy as np

from despina_backends.onnxruntime.cuda import (
    PinnedMemory,
    compute_capability,
    device_count,
    missing_libraries,
    open_cudart,
)


class FakeCudart:
    """Host memory stands in for pinned memory."""

    def __init__(self, *, status: int = 0, gpus: int = 2) -> None:
        self.status, self.gpus = status, gpus
        self.current = 0
        self.allocated_on: list[int] = []
        self.freed_on: list[int] = []
        self.blocks: dict[int, Any] = {}
        self.last_error = 0

    def cudaGetDeviceCount(self, count: Any, /) -> int:  # noqa: N802
        count._obj.value = self.gpus
        return self.status

    def cudaDeviceGetAttribute(self, value: Any, attribute: int, device: int, /) -> int:  # noqa: N802
        value._obj.value = {75: 8 + device, 76: 6}[attribute]
        return self.status

    def cudaSetDevice(self, device: Any, /) -> int:  # noqa: N802
        self.current = device
        return 0

    def cudaHostAlloc(self, pointer: Any, size: Any, flags: Any, /) -> int:  # noqa: N802
        self.allocated_on.append(self.current)
        if self.status == 0:
            block = ctypes.create_string_buffer(size.value)
            self.blocks[ctypes.addressof(block)] = block
            pointer._obj.value = ctypes.addressof(block)
        self.last_error = self.status
        return self.status

    def cudaFreeHost(self, pointer: Any, /) -> int:  # noqa: N802
        del self.blocks[pointer.value]
        self.freed_on.append(self.current)
        return 0

    def cudaGetLastError(self) -> int:  # noqa: N802
        error, self.last_error = self.last_error, 0
        return error


def test_missing_libraries_are_named_for_the_cuda_version() -> None:
    def open_library(name: str) -> None:
        if name in ("libcublas.so.13", "libcuda.so.1"):
            raise OSError(name)

    assert missing_libraries("13.0", open_library) == ("libcuda.so.1", "libcublas.so.13")


def test_cudart_is_opened_by_major_version() -> None:
    opened: list[str] = []
    open_cudart("12.8", opened.append)
    assert opened == ["libcudart.so.12"]


def test_absent_cudart_is_none() -> None:
    def open_library(name: str) -> None:
        raise OSError(name)

    assert open_cudart("13.0", open_library) is None


def test_devices_are_counted_and_an_error_counts_none() -> None:
    assert device_count(FakeCudart()) == 2
    assert device_count(FakeCudart(status=35)) == 0


def test_compute_capability_is_major_and_minor_and_none_after_an_error() -> None:
    assert [compute_capability(FakeCudart(), device) for device in (0, 1)] == ["8.6", "9.6"]
    assert compute_capability(FakeCudart(status=35), 0) == "0.0"


def test_pinned_bytes_are_the_allocated_block_and_are_freed_by_close() -> None:
    cudart = FakeCudart()
    memory = PinnedMemory(cudart)
    array = memory.bytes(16)
    array[:] = 7
    (block,) = cudart.blocks.values()
    assert block.raw == bytes([7]) * 16
    del array
    memory.close()
    assert cudart.blocks == {}


def test_pinned_bytes_can_be_given_back_before_the_others() -> None:
    cudart = FakeCudart()
    memory = PinnedMemory(cudart)
    first, second = memory.bytes(16), memory.bytes(32)
    memory.free(first)
    assert list(cudart.blocks) == [second.ctypes.data]
    memory.free(np.empty(8, np.uint8))
    memory.close()
    assert cudart.blocks == {}


def test_without_pinned_memory_ordinary_memory_serves() -> None:
    memory = PinnedMemory(FakeCudart(status=2))
    array = memory.bytes(4)
    assert (array.dtype, array.size) == (np.dtype(np.uint8), 4)
    memory.close()


def test_pinned_memory_that_cannot_be_had_leaves_no_error_for_onnx_runtime_to_find() -> None:
    cudart = FakeCudart(status=2)
    PinnedMemory(cudart).bytes(4)
    assert cudart.allocated_on == [0]
    assert cudart.last_error == 0


def test_nothing_is_allocated_for_nothing() -> None:
    cudart = FakeCudart()
    assert PinnedMemory(cudart).bytes(0).size == 0
    assert cudart.blocks == {}


def test_pinned_memory_is_allocated_and_freed_with_the_instances_gpu_current() -> None:
    cudart = FakeCudart()
    memory = PinnedMemory(cudart, 1)
    first = memory.bytes(1)
    memory.bytes(1)
    assert cudart.allocated_on == [1, 1]
    cudart.current = 0  # as that of another thread
    memory.free(first)
    cudart.current = 0
    memory.close()
    assert cudart.freed_on == [1, 1]
