"""CUDA shared memory: device memory of a client, opened by its IPC handle and copied through the CUDA driver.

The driver library comes with every GPU machine, a CUDA toolkit does not; so it is called directly. It is loaded when
the first region is registered.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

from despina.errors import Internal, InvalidArgument

HANDLE_SIZE = 64

MAX_DEVICE = (1 << 31) - 1
_LAZY_PEER_ACCESS = 1


def check_handle(raw_handle: bytes) -> None:
    """Raises InvalidArgument for what is no IPC handle."""
    if len(raw_handle) != HANDLE_SIZE:
        raise InvalidArgument("'raw_handle' must be a valid base64 encoded cudaIpcMemHandle_t")


class CudaError(Exception):
    """A call of the driver failed; the argument says which and how."""


class CudaMemory:
    """`byte_size` bytes from `address` on a GPU."""

    def __init__(self, driver: CudaDriver, device: int, address: int, byte_size: int) -> None:
        self.byte_size = byte_size
        self.description: Mapping[str, int | str] = {"device_id": device, "byte_size": byte_size}
        self._driver = driver
        self._device = device
        self._address = address
        weakref.finalize(self, driver.close, device, address)

    def read(self, offset: int, size: int) -> bytes:
        try:
            return self._driver.copy_out(self._device, self._address + offset, size)
        except CudaError as error:
            raise Internal(f"failed to read CUDA shared memory on GPU {self._device}: {error}") from None

    def write(self, offset: int, data: bytes | memoryview) -> None:
        try:
            self._driver.copy_in(self._device, self._address + offset, data)
        except CudaError as error:
            raise Internal(f"failed to write CUDA shared memory on GPU {self._device}: {error}") from None


class CudaOpener:
    """Opens device memory by IPC handle. The driver is made for the first one, unless one is given; `apart` is its."""

    def __init__(self, driver: CudaDriver | None = None, apart: AbstractContextManager[object] | None = None) -> None:
        self._driver = driver
        self._apart = apart

    def __call__(self, name: str, raw_handle: bytes, device_id: int, byte_size: int) -> CudaMemory:
        """Open the memory that region `name` is to be. Raises InvalidArgument, also where there is no GPU."""
        driver = self._driver = self._driver or _make_driver(name, self._apart)
        try:
            address, size = driver.open(device_id, raw_handle)
        except CudaError:
            raise InvalidArgument("failed to register shared memory region: invalid args") from None
        memory = CudaMemory(driver, device_id, address, byte_size)
        if byte_size > size:
            raise InvalidArgument(f"failed to register shared memory region '{name}': invalid args")
        return memory


def _make_driver(name: str, apart: AbstractContextManager[object] | None) -> CudaDriver:
    try:
        return CudaDriver(apart)
    except (OSError, CudaError):
        raise InvalidArgument(f"failed to register CUDA shared memory region: '{name}', GPUs not supported") from None


class _IpcHandle(ctypes.Structure):
    _fields_ = (("reserved", ctypes.c_char * HANDLE_SIZE),)


class CudaDriver:
    """libcuda. Works in the primary context of a device, which is the one ONNX Runtime works in, too; once used, a
    context is kept for the life of the process. Every method raises CudaError.

    `apart` keeps the calls that copy, open and close away from what they would disturb: while a CUDA graph is recorded
    on any thread of the process, CUDA refuses them to all others, and the recording fails, too."""

    def __init__(self, apart: AbstractContextManager[object] | None = None) -> None:
        """Raises OSError where there is no driver, CudaError where there is no GPU."""
        self._apart = apart or nullcontext()
        # Read by the driver's first call in a process, which may be this one. See `onnxruntime.runtime`.
        os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
        self._cuda = ctypes.CDLL("libcuda.so.1")
        self._contexts: dict[int, ctypes.c_void_p] = {}
        self._call("cuInit", 0)
        count = ctypes.c_int()
        self._call("cuDeviceGetCount", ctypes.byref(count))
        if not count.value:
            raise CudaError("no device")

    def _call(self, function: str, *arguments: object) -> None:
        status = getattr(self._cuda, function)(*arguments)
        if status:
            raise CudaError(f"{function} returned {status}")

    @contextmanager
    def _current(self, device: int) -> Iterator[None]:
        """Makes the context of a device current, and afterwards the one that was."""
        with self._apart:
            self._call("cuCtxPushCurrent_v2", self._contexts.get(device) or self._retain(device))
            try:
                yield
            finally:
                self._call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))

    def _retain(self, device: int) -> ctypes.c_void_p:
        ordinal, context = ctypes.c_int(), ctypes.c_void_p()
        if not 0 <= device <= MAX_DEVICE:
            raise CudaError(f"no device {device}")
        self._call("cuDeviceGet", ctypes.byref(ordinal), device)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), ordinal)
        self._contexts[device] = context
        return context

    def open(self, device: int, handle: bytes) -> tuple[int, int]:
        """The device address of an IPC handle, and how many bytes are there."""
        address, base, size = ctypes.c_uint64(), ctypes.c_uint64(), ctypes.c_size_t()
        raw = _IpcHandle.from_buffer_copy(handle)
        with self._current(device):
            self._call("cuIpcOpenMemHandle_v2", ctypes.byref(address), raw, _LAZY_PEER_ACCESS)
            try:
                self._call("cuMemGetAddressRange_v2", ctypes.byref(base), ctypes.byref(size), address)
            except CudaError:
                self._call("cuIpcCloseMemHandle", address)
                raise
        return address.value, base.value + size.value - address.value

    def close(self, device: int, address: int) -> None:
        with self._current(device):
            self._call("cuIpcCloseMemHandle", ctypes.c_uint64(address))

    def copy_out(self, device: int, address: int, size: int) -> bytes:
        data = ctypes.create_string_buffer(size)
        with self._current(device):
            self._call("cuMemcpyDtoH_v2", data, ctypes.c_uint64(address), ctypes.c_size_t(size))
        return data.raw

    def copy_in(self, device: int, address: int, data: bytes | memoryview) -> None:
        with self._current(device):
            self._call("cuMemcpyHtoD_v2", ctypes.c_uint64(address), bytes(data), ctypes.c_size_t(len(data)))
            # From pageable memory that call returns once the bytes are in a buffer of the driver: the client, who is
            # another process and looks at the memory when he has the answer, could still find what was there before.
            self._call("cuStreamSynchronize", ctypes.c_void_p())
