"""CUDA without a binding library: which parts are missing, how many GPUs there are, pinned host memory.

Checked so far only against doubles of the CUDA runtime, not against a GPU.
"""

import ctypes
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

_PORTABLE = 1
"""`cudaHostAllocPortable`: pinned for every GPU, whichever context allocates."""

_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76
"""`cudaDevAttrComputeCapabilityMajor` and `cudaDevAttrComputeCapabilityMinor`."""


class Cudart(Protocol):
    """The functions of libcudart used here, under its own names (hence the noqa). They return 0 on success."""

    def cudaGetDeviceCount(self, count: Any, /) -> int: ...  # noqa: N802
    def cudaDeviceGetAttribute(self, value: Any, attribute: int, device: int, /) -> int: ...  # noqa: N802
    def cudaSetDevice(self, device: Any, /) -> int: ...  # noqa: N802
    def cudaHostAlloc(self, pointer: Any, size: Any, flags: Any, /) -> int: ...  # noqa: N802
    def cudaFreeHost(self, pointer: Any, /) -> int: ...  # noqa: N802
    def cudaGetLastError(self) -> int: ...  # noqa: N802


def required_libraries(cuda_version: str) -> tuple[str, ...]:
    """What the CUDA provider cannot do without, for the CUDA version it was built with ("13.0").

    cuDNN is loaded later than the others, but convolutions need it.
    """
    major = cuda_version.partition(".")[0]
    versioned = tuple(f"lib{name}.so.{major}" for name in ("cudart", "cublas", "cublasLt"))
    return ("libcuda.so.1", *versioned, "libcurand.so.10", "libcudnn.so.9")


def missing_libraries(cuda_version: str, open_library: Callable[[str], object] = ctypes.CDLL) -> tuple[str, ...]:
    """Those of `required_libraries` that the loader does not find."""
    return tuple(name for name in required_libraries(cuda_version) if not opens(name, open_library))


def opens(name: str, open_library: Callable[[str], object]) -> bool:
    """Whether a library can be opened; then it stays so, and is found by its name."""
    try:
        open_library(name)
    except OSError:
        return False
    return True


def open_cudart(cuda_version: str, open_library: Callable[[str], Any] = ctypes.CDLL) -> Cudart | None:
    """The CUDA runtime, or None where it is not installed."""
    try:
        library: Cudart = open_library(f"libcudart.so.{cuda_version.partition('.')[0]}")
    except OSError:
        return None
    return library


def device_count(cudart: Cudart) -> int:
    """Visible GPUs; 0 without a usable driver."""
    count = ctypes.c_int(0)
    return count.value if cudart.cudaGetDeviceCount(ctypes.byref(count)) == 0 else 0


def compute_capability(cudart: Cudart, device: int) -> str:
    """Of a GPU, like "9.0"; "0.0" where the driver does not say."""
    value = ctypes.c_int(0)
    numbers: list[int] = []
    for attribute in (_CAPABILITY_MAJOR, _CAPABILITY_MINOR):
        if cudart.cudaDeviceGetAttribute(ctypes.byref(value), attribute, device):
            return "0.0"
        numbers.append(value.value)
    return "{}.{}".format(*numbers)


class PinnedMemory:
    """Page-locked memory, which a GPU reads and writes by itself. Where none can be had: ordinary memory."""

    pinned = True

    def __init__(self, cudart: Cudart, device: int = 0) -> None:
        self._cudart = cudart
        self._device = device
        self._pointers: set[int] = set()

    def bytes(self, count: int) -> NDArray[np.uint8]:
        if not count:
            return np.empty(0, np.uint8)
        pointer = ctypes.c_void_p()
        # Of a thread that never chose one the current device is GPU 0, where the call would set up a context.
        failed = self._cudart.cudaSetDevice(self._device) or self._cudart.cudaHostAlloc(
            ctypes.byref(pointer), ctypes.c_size_t(count), _PORTABLE
        )
        if failed or not pointer.value:
            # CUDA keeps an error of the thread until it is asked for, and ONNX Runtime asks after every kernel: the run
            # that follows would fail with this one.
            self._cudart.cudaGetLastError()
            return np.empty(count, np.uint8)
        self._pointers.add(pointer.value)
        return np.frombuffer(memoryview((ctypes.c_uint8 * count).from_address(pointer.value)), np.uint8)

    def free(self, block: NDArray[np.uint8]) -> None:
        address: int = block.__array_interface__["data"][0]
        if address in self._pointers:
            self._pointers.remove(address)
            self._free(address)

    def close(self) -> None:
        while self._pointers:
            self._free(self._pointers.pop())

    def _free(self, address: int) -> None:
        self._cudart.cudaSetDevice(self._device)
        self._cudart.cudaFreeHost(ctypes.c_void_p(address))
