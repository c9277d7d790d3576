import ctypes
import os
from typing import Any

import pytest

from despina.errors import DespinaError
from despina.shared_memory.cuda import CudaDriver, CudaError, CudaOpener


class FakeDriver:
    """A driver with 128 bytes at address 1000 of GPU 0."""

    def __init__(self) -> None:
        self.memory = bytearray(128)
        self.closed: list[tuple[int, int]] = []
        self.failing = False

    def open(self, device: int, handle: bytes) -> tuple[int, int]:
        if device or handle != b"h" * 64:
            raise CudaError("cuIpcOpenMemHandle_v2 returned 1")
        return 1000, 128

    def close(self, device: int, address: int) -> None:
        self.closed.append((device, address))

    def copy_out(self, device: int, address: int, size: int) -> bytes:
        if self.failing:
            raise CudaError("cuMemcpyDtoH_v2 returned 700")
        return bytes(self.memory[address - 1000 : address - 1000 + size])

    def copy_in(self, device: int, address: int, data: bytes | memoryview) -> None:
        if self.failing:
            raise CudaError("cuMemcpyHtoD_v2 returned 700")
        self.memory[address - 1000 : address - 1000 + len(data)] = data


def test_device_memory_is_copied_out_and_in_until_nobody_refers_to_it() -> None:
    driver = FakeDriver()
    memory = CudaOpener(driver)("r", b"h" * 64, 0, 100)
    memory.write(8, b"abc")
    assert driver.memory[8:11] == b"abc"
    assert memory.read(9, 2) == b"bc"
    assert memory.description == {"device_id": 0, "byte_size": 100}
    assert driver.closed == []
    del memory
    assert driver.closed == [(0, 1000)]


@pytest.mark.parametrize(
    ("handle", "device", "byte_size", "text"),
    [
        (b"x" * 64, 0, 8, "failed to register shared memory region: invalid args"),
        (b"h" * 64, 3, 8, "failed to register shared memory region: invalid args"),
        (b"h" * 64, 0, 129, "failed to register shared memory region 'r': invalid args"),
    ],
)
def test_what_the_driver_does_not_open_is_refused(handle: bytes, device: int, byte_size: int, text: str) -> None:
    with pytest.raises(DespinaError) as error:
        CudaOpener(FakeDriver())("r", handle, device, byte_size)
    assert (error.value.status, error.value.message) == (400, text)


def test_a_region_that_is_too_small_is_closed_again() -> None:
    driver = FakeDriver()
    with pytest.raises(DespinaError):
        CudaOpener(driver)("r", b"h" * 64, 0, 129)
    assert driver.closed == [(0, 1000)]


def test_a_failing_copy_is_an_error_of_the_request() -> None:
    driver = FakeDriver()
    memory = CudaOpener(driver)("r", b"h" * 64, 0, 100)
    driver.failing = True
    with pytest.raises(DespinaError, match="failed to read CUDA shared memory on GPU 0: cuMemcpyDtoH_v2 returned 700"):
        memory.read(0, 1)
    with pytest.raises(DespinaError, match="failed to write CUDA shared memory on GPU 0: cuMemcpyHtoD_v2 returned 700"):
        memory.write(0, b"x")


def test_without_a_driver_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(DespinaError) as error:
        CudaOpener()("r", b"h" * 64, 0, 8)
    assert error.value.message == "failed to register CUDA shared memory region: 'r', GPUs not supported"


class LazyCuda:
    """libcuda whose copies to a GPU arrive when the stream is waited for: what is documented for pageable memory."""

    def __init__(self) -> None:
        self.memory = bytearray(16)
        self.on_the_way: list[tuple[int, bytes]] = []

    def __getattr__(self, name: str) -> object:
        return lambda *_: 0

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = 1
        return 0

    def cuMemcpyHtoD_v2(self, address: Any, data: bytes, size: Any) -> int:  # noqa: N802
        self.on_the_way.append((address.value, data[: size.value]))
        return 0

    def cuStreamSynchronize(self, stream: Any) -> int:  # noqa: N802
        assert stream.value is None
        while self.on_the_way:
            address, data = self.on_the_way.pop()
            self.memory[address : address + len(data)] = data
        return 0


def test_what_is_written_has_arrived_when_the_client_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = LazyCuda()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: cuda)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    driver = CudaDriver()
    driver.copy_in(0, 4, b"abc")
    assert bytes(cuda.memory[4:7]) == b"abc"


def test_gpus_are_counted_as_onnx_runtime_and_nvml_count_them_even_if_the_driver_is_needed_here_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    orders: list[str | None] = []

    def load(_name: str) -> LazyCuda:
        orders.append(os.environ.get("CUDA_DEVICE_ORDER"))
        return LazyCuda()

    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    CudaDriver()
    assert orders == ["PCI_BUS_ID"]


class Apart:
    """Counts how often it is entered, and whether one is inside."""

    def __init__(self) -> None:
        self.entered = self.inside = 0

    def __enter__(self) -> None:
        self.entered += 1
        self.inside += 1

    def __exit__(self, *_: object) -> None:
        self.inside -= 1


class WatchedCuda(LazyCuda):
    """Says which functions were called inside of `apart`, and which outside."""

    def __init__(self, apart: Apart) -> None:
        super().__init__()
        self.apart = apart
        self.calls: dict[str, set[bool]] = {}

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("cu"):
            self.calls.setdefault(name, set()).add(bool(self.apart.inside))
        return super().__getattribute__(name)


def test_what_a_recording_of_a_graph_must_not_meet_happens_apart_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    apart = Apart()
    cuda = WatchedCuda(apart)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: cuda)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    memory = CudaOpener(apart=apart)("r", b"h" * 64, 0, 0)
    memory.write(0, b"abc")
    memory.read(0, 3)
    del memory
    assert apart.entered == 4
    assert not apart.inside
    outside = {name for name, inside in cuda.calls.items() if inside != {True}}
    assert outside == {"cuInit", "cuDeviceGetCount"}
    assert {"cuIpcOpenMemHandle_v2", "cuMemcpyHtoD_v2", "cuMemcpyDtoH_v2", "cuIpcCloseMemHandle"} < set(cuda.calls)
