"""How busy the first GPU was meanwhile, the one that is device 0 to CUDA; asked of NVML by a thread."""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from despina.telemetry.gpu_usage import visible_indices
from despina.telemetry.nvml import CtypesNvml, GpuReading, Nvml, NvmlError

PERIOD_S = 0.1


@dataclass(frozen=True, slots=True)
class GpuUse:
    """Mean utilisation in percent and the most memory in use, in megabytes; None where the GPU does not tell."""

    utilisation: float | None
    memory_mb: float | None


class GpuWatch:
    """Samples while the block runs. `use` is None without a GPU that CUDA may use, and until the block has ended."""

    def __init__(self, nvml: Nvml | None = None) -> None:
        self.use: GpuUse | None = None
        self._nvml = nvml or open_nvml()
        # NVML counts all GPUs, CUDA those that are left to it.
        self._visible = (
            visible_indices(os.environ.get("CUDA_VISIBLE_DEVICES"), self._nvml.uuids()) if self._nvml else []
        )
        self._over = threading.Event()
        self._readings: list[GpuReading] = []
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> "GpuWatch":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()
        self.use = summary(self._readings)

    def _sample(self) -> None:
        while self._nvml is not None and self._visible:
            self._readings.append(self._nvml.read(self._visible[0]))
            if self._over.wait(PERIOD_S):
                return


def summary(readings: Sequence[GpuReading]) -> GpuUse | None:
    """None for no readings at all."""
    if not readings:
        return None
    busy = [each.utilization_percent for each in readings if each.utilization_percent is not None]
    memory = [each.memory_used / 1e6 for each in readings if each.memory_used is not None]
    return GpuUse(mean(busy) if busy else None, max(memory, default=None))


def open_nvml() -> Nvml | None:
    """None where there is no driver or no GPU."""
    try:
        nvml = CtypesNvml()
    except NvmlError:
        return None
    return nvml if nvml.uuids() else None
