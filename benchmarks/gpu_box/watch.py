"""How busy the GPU is meanwhile, asked of NVML by a thread."""

import threading
from dataclasses import dataclass
from statistics import mean

from despina.telemetry.nvml import CtypesNvml, GpuReading, Nvml, NvmlError

PERIOD_S = 0.1


@dataclass(frozen=True, slots=True)
class GpuUse:
    """Mean utilisation in percent, mean power in watts and the most memory in bytes; None where it does not tell."""

    utilisation: float | None
    power_w: float | None
    memory: int | None


class NvmlWatch:
    """Samples the first GPU while the block runs; `use` is set when it ends, and stays None without NVML."""

    def __init__(self, nvml: Nvml | None, period_s: float = PERIOD_S) -> None:
        self.use: GpuUse | None = None
        self._nvml = nvml
        self._period_s = period_s
        self._over = threading.Event()
        self._readings: list[GpuReading] = []
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> "NvmlWatch":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()
        self.use = summary(self._readings)

    def _sample(self) -> None:
        while self._nvml is not None:
            self._readings.append(self._nvml.read(0))
            if self._over.wait(self._period_s):
                return


def summary(readings: list[GpuReading]) -> GpuUse | None:
    """None for no readings at all."""
    if not readings:
        return None
    busy = [each.utilization_percent for each in readings if each.utilization_percent is not None]
    power = [each.power_mw / 1000 for each in readings if each.power_mw is not None]
    memory = [each.memory_used for each in readings if each.memory_used is not None]
    return GpuUse(mean(busy) if busy else None, mean(power) if power else None, max(memory, default=None))


def open_nvml() -> Nvml | None:
    try:
        nvml = CtypesNvml()
    except NvmlError:
        return None
    return nvml if nvml.uuids() else None
