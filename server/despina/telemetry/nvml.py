"""The few functions of NVIDIA's management library that the metrics need, called through ctypes.

The library comes with the driver, so wherever there is a GPU to measure it is there, and no package is needed.
"""

import ctypes
from dataclasses import dataclass
from typing import Protocol

_UUID_BYTES = 96


class NvmlError(Exception):
    """The library is missing or refused a call."""


@dataclass(frozen=True, slots=True)
class GpuReading:
    """What NVML says of one GPU; None where the GPU does not support the question.

    Utilization in percent, memory in bytes, power in milliwatts, energy in millijoules since the driver was loaded.
    """

    utilization_percent: int | None
    memory_total: int | None
    memory_used: int | None
    power_mw: int | None
    power_limit_mw: int | None
    energy_mj: int | None


class Nvml(Protocol):
    """GPUs in NVML's order, which is that of the PCI bus."""

    def uuids(self) -> list[str]: ...

    def read(self, index: int) -> GpuReading: ...


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class CtypesNvml:
    """The real library. Raises NvmlError when it cannot be loaded or there is no driver."""

    def __init__(self, library: str = "libnvidia-ml.so.1") -> None:
        try:
            self._library = ctypes.CDLL(library)
        except OSError as error:
            raise NvmlError(str(error)) from error
        self._check("nvmlInit_v2")
        self._handles = self._open_all()

    def uuids(self) -> list[str]:
        return [self._uuid(handle) for handle in self._handles]

    def read(self, index: int) -> GpuReading:
        handle = self._handles[index]
        utilization, memory = _Utilization(), _Memory()
        has_utilization = self._succeeds("nvmlDeviceGetUtilizationRates", handle, ctypes.byref(utilization))
        has_memory = self._succeeds("nvmlDeviceGetMemoryInfo", handle, ctypes.byref(memory))
        return GpuReading(
            utilization_percent=utilization.gpu if has_utilization else None,
            memory_total=memory.total if has_memory else None,
            memory_used=memory.used if has_memory else None,
            power_mw=self._number("nvmlDeviceGetPowerUsage", handle, ctypes.c_uint()),
            power_limit_mw=self._number("nvmlDeviceGetPowerManagementLimit", handle, ctypes.c_uint()),
            energy_mj=self._number("nvmlDeviceGetTotalEnergyConsumption", handle, ctypes.c_ulonglong()),
        )

    def _open_all(self) -> list[ctypes.c_void_p]:
        count = ctypes.c_uint()
        self._check("nvmlDeviceGetCount_v2", ctypes.byref(count))
        handles = [ctypes.c_void_p() for _ in range(count.value)]
        # The count includes GPUs that this process may not talk to (NVML_ERROR_NO_PERMISSION); CUDA leaves them out.
        return [
            handle
            for index, handle in enumerate(handles)
            if self._succeeds("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), ctypes.byref(handle))
        ]

    def _uuid(self, handle: ctypes.c_void_p) -> str:
        buffer = ctypes.create_string_buffer(_UUID_BYTES)
        self._check("nvmlDeviceGetUUID", handle, buffer, ctypes.c_uint(_UUID_BYTES))
        return buffer.value.decode()

    def _number(self, name: str, handle: ctypes.c_void_p, cell: ctypes.c_uint | ctypes.c_ulonglong) -> int | None:
        return cell.value if self._succeeds(name, handle, ctypes.byref(cell)) else None

    def _check(self, name: str, *arguments: object) -> None:
        if not self._succeeds(name, *arguments):
            raise NvmlError(f"{name} failed")

    def _succeeds(self, name: str, *arguments: object) -> bool:
        return int(getattr(self._library, name)(*arguments)) == 0
